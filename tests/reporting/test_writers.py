# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Rows arrive whole, exactly, once, and survive kills and resumes."""

import io
import json
import struct

import jax.numpy as jnp
import numpy as np
import pytest
from tensorboardX.proto import event_pb2

from etf_jax.errors import InputError
from etf_jax.reporting import writers


def train_row(step, **more):
  return {"kind": "train", "step": step, "epoch": step / 10, **more}


def strict(line):
  """Parse JSON as other languages do: NaN and Infinity are errors."""

  def refuse(name):
    raise ValueError(name)

  return json.loads(line, parse_constant=refuse)


class Terminal(io.StringIO):
  def isatty(self):
    return True


def test_jsonl_writes_numbers_of_every_library_exactly(tmp_path):
  path = tmp_path / "deep" / "metrics.jsonl"
  writer = writers.jsonl(path)
  writer.write(
    train_row(
      3,
      python=0.1,
      single=np.float32(0.1),
      integer=np.int64(7),
      jax=jnp.float32(0.1),
      brain=jnp.bfloat16(1.0078125),
      bits=jnp.array([1.5, 2.5], jnp.bfloat16),
      matrix=np.arange(4).reshape(2, 2),
      flag=np.True_,
      name=np.str_("ü"),
      missing=None,
      nested={"a": (1, np.float64(2.5))},
    )
  )
  # Flushed by line: readable while the run goes on.
  row = strict(path.read_text())
  writer.close()
  writer.close()
  assert row == {
    "kind": "train",
    "step": 3,
    "epoch": 0.3,
    "python": 0.1,
    "single": 0.10000000149011612,
    "integer": 7,
    "jax": 0.10000000149011612,
    "brain": 1.0078125,
    "bits": [1.5, 2.5],
    "matrix": [[0, 1], [2, 3]],
    "flag": True,
    "name": "ü",
    "missing": None,
    "nested": {"a": [1, 2.5]},
  }


def test_jsonl_writes_what_is_not_finite_as_null(tmp_path):
  writer = writers.jsonl(tmp_path / "m.jsonl")
  writer.write(
    train_row(
      1,
      loss=float("nan"),
      other=np.float32(np.inf),
      device=jnp.float32(-jnp.inf),
      listed=np.array([0.5, np.nan]),
    )
  )
  writer.close()
  row = strict((tmp_path / "m.jsonl").read_text())
  assert row["loss"] is row["other"] is row["device"] is None
  assert row["listed"] == [0.5, None]


def test_jsonl_appends_and_refuses_to_append_to_a_torn_line(tmp_path):
  path = tmp_path / "m.jsonl"
  for step in (1, 2):
    writer = writers.jsonl(path)
    writer.write(train_row(step))
    writer.close()
  assert [strict(line)["step"] for line in path.read_text().splitlines()] == [
    1,
    2,
  ]
  path.write_bytes(path.read_bytes()[:-3])
  with pytest.raises(ValueError, match="torn line: call truncate_after"):
    writers.jsonl(path)


def test_resuming_from_any_cut_gives_the_uninterrupted_file(tmp_path):
  rows = [train_row(step, loss=1 / step) for step in (1, 2, 3)]
  rows.append({"kind": "final", "step": 3, "seconds": 1.5})
  path = tmp_path / "m.jsonl"

  def write(some):
    writer = writers.jsonl(path)
    for row in some:
      writer.write(row)
    writer.close()

  write(rows)
  whole = path.read_bytes()
  ends = [i + 1 for i, byte in enumerate(whole) if byte == 10]
  for cut in range(len(whole) + 1):
    path.write_bytes(whole[:cut])
    # A checkpoint exists for a step once its row is complete, less its end.
    restored = sum(cut >= end - 1 for end in ends[:3])
    writers.truncate_after(path, restored)
    write(rows[restored:])
    assert path.read_bytes() == whole, cut


def test_truncate_drops_later_rows_the_final_row_and_a_torn_line(tmp_path):
  path = tmp_path / "m.jsonl"
  lines = [json.dumps(train_row(step)) for step in (10, 20, 30)]
  final = json.dumps({"kind": "final", "step": 20})
  path.write_text("\n".join([*lines, "", final, '{"kind": "tr']))
  assert writers.truncate_after(path, 20) == 3
  assert path.read_text() == f"{lines[0]}\n{lines[1]}\n"
  assert writers.truncate_after(path, 20) == 0
  assert writers.truncate_after(path, -1) == 2
  assert path.read_bytes() == b""
  assert writers.truncate_after(tmp_path / "none.jsonl", 5) == 0
  assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
  "bad",
  ["{", "[1]", '{"kind": "train"}', '{"step": 1}', '{"kind":1,"step":2.5}'],
)
def test_truncate_names_a_broken_line_and_changes_nothing(tmp_path, bad):
  path = tmp_path / "m.jsonl"
  good = json.dumps(train_row(1))
  path.write_text(f"{good}\n{bad}\n{good}\n")
  with pytest.raises(InputError, match=r"m\.jsonl, line 2: not a row"):
    writers.truncate_after(path, 1)
  assert path.read_text() == f"{good}\n{bad}\n{good}\n"


@pytest.mark.parametrize(
  "make",
  [
    writers.jsonl,
    writers.tensorboard,
    lambda path: writers.truncate_after(path, 0),
  ],
)
def test_remote_paths_are_refused(make):
  with pytest.raises(InputError, match="gs://bucket/run: not a local path"):
    make("gs://bucket/run")


def events(directory):
  """Read TensorBoard files: length, checksum, event, checksum."""
  for path in sorted(directory.iterdir()):
    data = path.read_bytes()
    while data:
      (length,) = struct.unpack("<Q", data[:8])
      yield event_pb2.Event.FromString(data[12 : 12 + length])
      data = data[16 + length :]


def test_tensorboard_holds_scalars_the_confusion_and_a_purge(tmp_path):
  writer = writers.tensorboard(
    tmp_path,
    restored_step=19,
    class_counts=[30, 5],
    class_names=["cat", "dog"],
  )
  writer.write(train_row(20, loss=np.float32(0.25), skipped=float("nan")))
  evaluation = {
    "kind": "eval",
    "split": "test",
    "step": 20,
    "accuracy": 0.75,
    "few": None,
    "per_class_accuracy": [1.0, 0.5],
  }
  writer.write(evaluation)
  writer.write(collapse_row(nc1=0.5, sample_mean={"nc1": 1.0}))
  writer.write({"kind": "final", "step": 20, "confusion": [[3, 1], [0, 4]]})
  writer.close()
  writer.close()
  found = list(events(tmp_path))
  values = {
    (value.tag, event.step): value
    for event in found
    for value in event.summary.value
  }
  assert values["train/loss", 20].simple_value == 0.25
  assert values["train/epoch", 20].simple_value == 2.0
  assert values["test/accuracy", 20].simple_value == 0.75
  assert values["confusion", 20].image.encoded_image_string.startswith(
    b"\x89PNG"
  )
  # Of the collapse row neither lists and parts nor what is undefined.
  assert values["collapse_test/nc1", 20].simple_value == 0.5
  assert set(values) == {
    ("collapse_test/nc1", 20),
    ("train/loss", 20),
    ("train/epoch", 20),
    ("test/accuracy", 20),
    ("confusion", 20),
  }
  # TensorBoard hides everything from this step on that came before.
  starts = [e.step for e in found if e.session_log.status == 1]
  assert starts == [20]


def collapse_row(**more):
  """Of a run whose classifier has a vector of length zero."""
  return {
    "kind": "collapse",
    "split": "test",
    "step": 20,
    "cos_features_mean": np.float32("nan"),
    "classifier_norms": [1.0, 0.0],
  } | more


def evaluation_row():
  return {
    "kind": "eval",
    "split": "test",
    "step": 20,
    "epoch": 2.0,
    "accuracy": 0.7651,
    "many": 0.9,
    "medium": 0.5,
    "few": None,
    "images_per_second": 9000.4,
  }


def final_row():
  return {
    "kind": "final",
    "step": 30,
    "epoch": 3.0,
    "seconds": 75.4,
    "last": {"accuracy": 0.7},
    "best": {"accuracy": 0.7651, "epoch": 2.0},
    "best_selected_on": "validation",
  }


def test_plain_console_prints_lines(monkeypatch):
  clock = iter([100.0, 110.0, 112.0, 120.0, 120.5])
  monkeypatch.setattr("time.monotonic", lambda: next(clock))
  stream = io.StringIO()
  writer = writers.console(30, initial_step=5, name="ce seed 0", stream=stream)
  row = {"loss": 0.5, "learning_rate": 0.1, "images_per_second": 4321.6}
  writer.write(train_row(10, **row))  # 5 steps in 10 s: 20 left take 40 s
  writer.write(train_row(11, **row))  # two seconds later: not printed
  writer.write(train_row(25, **row))
  writer.write(evaluation_row())
  writer.write(train_row(30, loss=float("nan"), learning_rate=0.1))
  writer.write(final_row())
  writer.close()
  assert stream.getvalue().splitlines() == [
    "ce seed 0  step 10/30  epoch 1.00  loss 0.5000  lr 0.1  4,322 images/s"
    "  ETA 00:40",
    "ce seed 0  step 25/30  epoch 2.50  loss 0.5000  lr 0.1  4,322 images/s"
    "  ETA 00:05",
    "ce seed 0  step 20  epoch 2.00  test accuracy 76.5 %  many 90.0 %"
    "  medium 50.0 %  9,000 images/s",
    "ce seed 0  step 30/30  epoch 3.00  loss nan  lr 0.1  ETA 00:00",
    "ce seed 0  done in 01:15  test accuracy 70.0 % at the last epoch, 76.5 %"
    " at the best (epoch 2, chosen on validation)",
  ]


def test_console_says_what_limits_a_streamed_run():
  row = train_row(
    10,
    loss=0.5,
    learning_rate=0.1,
    images_per_second=900.4,
    feed_images_per_second=1234.5,
    limited_by="feed",
    corrupt_images=2,
  )
  plain, live = io.StringIO(), Terminal()
  for stream in (plain, live):
    writer = writers.console(10, name="", stream=stream)
    writer.write(row)
    writer.close()
  (line,) = plain.getvalue().splitlines()
  assert (
    "  900 images/s  feed 1,234 images/s, the feed limits  2 images skipped"
    in line
  )
  assert "limit=feed" in live.getvalue()


def test_live_console_keeps_one_line_and_scrolls_evaluations():
  stream = Terminal()
  writer = writers.console(30, initial_step=5, stream=stream)
  writer.write(train_row(10, loss=0.5, images_per_second=4321.6))
  writer.write(evaluation_row())
  writer.write(train_row(21, loss=0.25, images_per_second=4000))
  writer.write(final_row())
  writer.close()
  shown = stream.getvalue()
  bars = [part for part in shown.split("\r") if "ETA" in part]
  assert "5/30" in bars[0]
  assert "10/30" in bars[1]
  assert "loss=0.5000, images/s=4,322" in bars[1]
  assert "loss=0.2500, images/s=4,000, test=76.5 %" in shown
  assert "30/30" in bars[-1]
  lines = [line for line in shown.replace("\r", "\n").split("\n")]
  assert any(line.startswith("step 20  epoch 2.00  test") for line in lines)
  assert any(line.startswith("done in 01:15") for line in lines)


def test_console_has_a_short_line_for_collapse(capsys):
  writer = writers.console(30)
  defined = {"nc1": np.float32(0.01234), "cos_features_mean": -0.108}
  defined |= {"cos_features_std": 0.031, "nc3_alignment_mean": 0.9921}
  writer.write(collapse_row(epoch=2.0, split="train", **defined))
  writer.write(collapse_row(epoch=2.0, nc1=None))
  assert capsys.readouterr().out.splitlines() == [
    "step 20  epoch 2.00  collapse train: NC1 0.0123, cos -0.108 ± 0.031,"
    " alignment 0.992",
    "step 20  epoch 2.00  collapse test: NC1 undefined, cos undefined ±"
    " undefined, alignment undefined",
  ]


def test_console_goes_to_standard_output(capsys):
  writer = writers.console(30)
  writer.write(evaluation_row())
  assert "test accuracy 76.5 %" in capsys.readouterr().out


class Recorder:
  def __init__(self, fails=False):
    self.rows, self.closed, self.fails = [], False, fails

  def write(self, row):
    self.rows.append(row)

  def close(self):
    self.closed = True
    if self.fails:
      raise OSError("disk")


def test_multi_gives_every_row_to_all_and_closes_all():
  recorders = [Recorder(), Recorder(fails=True), Recorder(fails=True)]
  writer = writers.multi(recorders)
  writer.write(train_row(1))
  with pytest.raises(OSError, match="disk"):
    writer.close()
  assert all(r.rows == [train_row(1)] and r.closed for r in recorders)
