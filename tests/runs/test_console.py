# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Rows of metrics as a terminal and a log file show them."""

import io
import logging
import sys

import numpy as np
import pytest

from etf_jax.runs import console


def train_row(step, **more):
  return {"kind": "train", "step": step, "epoch": step / 10, **more}


class Terminal(io.StringIO):
  def isatty(self):
    return True


def collapse_row(**more):
  """A row of a run whose classifier has a vector of length zero."""
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
  writer = console.Console(30, initial_step=5, stream=stream)
  row = {"loss": 0.5, "learning_rate": 0.1, "images_per_second": 4321.6}
  writer.write(train_row(10, **row))  # 5 steps in 10 s: 20 left take 40 s
  writer.write(train_row(11, **row))  # two seconds later: not printed
  writer.write(train_row(25, **row))
  writer.write(evaluation_row())
  writer.write(train_row(30, loss=float("nan"), learning_rate=0.1))
  writer.write(final_row())
  writer.close()
  assert stream.getvalue().splitlines() == [
    "step 10/30  epoch 1.00  loss 0.5000  lr 0.1  4,322 images/s  ETA 00:40",
    "step 25/30  epoch 2.50  loss 0.5000  lr 0.1  4,322 images/s  ETA 00:05",
    "step 20  epoch 2.00  test accuracy 76.5 %  many 90.0 %"
    "  medium 50.0 %  9,000 images/s",
    "step 30/30  epoch 3.00  loss nan  lr 0.1  ETA 00:00",
    "done in 01:15  test accuracy 70.0 % at the last epoch, 76.5 %"
    " at the best (epoch 2, chosen by accuracy on validation)",
  ]


def test_console_says_what_limits_a_streamed_run():
  row = train_row(
    10,
    loss=0.5,
    learning_rate=0.1,
    images_per_second=900.4,
    feed_images_per_second=1234.5,
    limited_by="feed",
  )
  plain, live = io.StringIO(), Terminal()
  for stream in (plain, live):
    writer = console.Console(10, stream=stream)
    writer.write(row)
    writer.close()
  (line,) = plain.getvalue().splitlines()
  assert "  900 images/s  feed 1,234 images/s, the feed limits" in line
  assert "limit=feed" in live.getvalue()


def test_live_console_keeps_one_line_and_scrolls_evaluations():
  stream = Terminal()
  writer = console.Console(30, initial_step=5, stream=stream)
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
  writer = console.Console(30)
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
  writer = console.Console(30)
  writer.write(evaluation_row())
  assert "test accuracy 76.5 %" in capsys.readouterr().out


@pytest.fixture
def log(monkeypatch, caplog):
  monkeypatch.setattr(logging.getLogger("etf_jax"), "propagate", True)
  caplog.set_level(logging.INFO, "etf_jax")
  return caplog


def test_progress_is_logged_where_there_is_no_terminal(monkeypatch, log):
  now = [1000.0]
  monkeypatch.setattr("tqdm.std.time", lambda: now[0])
  with console.Progress("decoding", 10_000, finished=2000) as progress:
    for seconds in (4, 6, 3, 7):
      now[0] += seconds
      progress.update(1000)
  assert log.messages == [
    "decoding: 4,000 of 10,000 images, 200/s, 00:30 left",
    "decoding: 6,000 of 10,000 images, 200/s, 00:20 left",
  ]


@pytest.mark.parametrize("name", ["decoding", None])
def test_progress_of_a_few_seconds_says_nothing(name, log, capsys):
  with console.Progress(name, 10) as progress:
    progress.update(10)
  assert not log.messages
  assert capsys.readouterr().err == ""


def test_progress_is_a_bar_on_a_terminal(monkeypatch):
  monkeypatch.setattr("sys.stderr", Terminal())
  monkeypatch.setattr(console, "_DELAY", 0)
  with console.Progress("copying", 2 * 10**9, unit="B") as progress:
    progress.update(10**9)
  assert "copying:  50%" in sys.stderr.getvalue()
  assert "1.00G/2.00G" in sys.stderr.getvalue()
