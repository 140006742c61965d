# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Rows arrive whole, exactly, once, and survive kills and resumes."""

import errno
import json
import os
import struct
import threading

import jax.numpy as jnp
import numpy as np
import pytest
from tensorboardX.proto import event_pb2

from etf_jax.errors import InputError
from etf_jax.runs import writers


def train_row(step, **more):
  return {"kind": "train", "step": step, "epoch": step / 10, **more}


def strict(line):
  """Parse JSON as other languages do: NaN and Infinity are errors."""

  def refuse(name):
    raise ValueError(name)

  return json.loads(line, parse_constant=refuse)


def test_jsonl_writes_numbers_of_every_library_exactly(tmp_path):
  path = tmp_path / "deep" / "metrics.jsonl"
  writer = writers.Jsonl(path)
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
  writer = writers.Jsonl(tmp_path / "m.jsonl")
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
    writer = writers.Jsonl(path)
    writer.write(train_row(step))
    writer.close()
  assert [strict(line)["step"] for line in path.read_text().splitlines()] == [
    1,
    2,
  ]
  path.write_bytes(path.read_bytes()[:-3])
  with pytest.raises(ValueError, match="torn line: call truncate_after"):
    writers.Jsonl(path)


def test_resuming_from_any_cut_gives_the_uninterrupted_file(tmp_path):
  rows = [train_row(step, loss=1 / step) for step in (1, 2, 3)]
  rows.append({"kind": "final", "step": 3, "seconds": 1.5})
  path = tmp_path / "m.jsonl"

  def write(some):
    writer = writers.Jsonl(path)
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
    writers.Jsonl,
    writers.TensorBoard,
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


def test_tensorboard_holds_scalars_and_a_purge(tmp_path):
  writer = writers.TensorBoard(tmp_path, restored_step=19)
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
  # Of the collapse row neither lists and parts nor what is undefined.
  assert values["collapse_test/nc1", 20].simple_value == 0.5
  assert set(values) == {
    ("collapse_test/nc1", 20),
    ("train/loss", 20),
    ("train/epoch", 20),
    ("test/accuracy", 20),
  }
  # TensorBoard hides everything from this step on that came before.
  starts = [e.step for e in found if e.session_log.status == 1]
  assert starts == [20]


def collapse_row(**more):
  """A row of a run whose classifier has a vector of length zero."""
  return {
    "kind": "collapse",
    "split": "test",
    "step": 20,
    "cos_features_mean": np.float32("nan"),
    "classifier_norms": [1.0, 0.0],
  } | more


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
  writer = writers.Multi(recorders)
  writer.write(train_row(1))
  with pytest.raises(OSError, match="disk"):
    writer.close()
  assert all(r.rows == [train_row(1)] and r.closed for r in recorders)


class FullFile:
  """A disk that has no room for one write."""

  def __init__(self, file):
    self.file, self.full = file, True

  def write(self, data):
    if self.full:
      self.full = False
      raise OSError(errno.ENOSPC, "No space left on device")
    return self.file.write(data)

  def __getattr__(self, name):
    return getattr(self.file, name)


@pytest.mark.parametrize("make", [writers.Jsonl, writers.TensorBoard])
def test_a_disk_that_is_full_for_a_moment_stops_the_row(tmp_path, make):
  writer = make(tmp_path / "rows")
  writer._file = FullFile(writer._file)
  threads = threading.active_count()
  with pytest.raises(InputError, match=r"rows.*No space left.*make room"):
    writer.write(train_row(1, loss=0.5))
  writer.write(train_row(2, loss=0.5))
  writer.close()
  assert threading.active_count() == threads


def test_rows_are_on_the_disk_after_sync(tmp_path, monkeypatch):
  synced = []
  writer = writers.Multi([writers.Jsonl(tmp_path / "m.jsonl"), Recorder()])
  monkeypatch.setattr(
    os, "fsync", lambda number: synced.append(os.fstat(number).st_size)
  )
  writer.write(train_row(1))
  writer.sync()
  writer.close()
  assert synced == [(tmp_path / "m.jsonl").stat().st_size]


@pytest.mark.parametrize("other", [None, "x"])
def test_rows_of_a_file_that_was_removed_are_put_back(tmp_path, other, caplog):
  path = tmp_path / "metrics.jsonl"
  writer = writers.Jsonl(path)
  for step in range(1, 4):
    writer.write(train_row(step))
    writer.sync()
    if step == 1:
      path.unlink()
      if other:
        path.write_text(other)
  writer.close()
  assert caplog.text.count("its rows are put back") == 1
  rows = [json.loads(line) for line in path.read_text().splitlines()]
  assert [row["step"] for row in rows] == [1, 2, 3]
