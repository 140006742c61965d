# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Files that a run lacks are named before a step; the others are kept."""

import json

import pytest

from etf_jax.training.records import resuming


def rows(train=range(1, 9), evals=(4, 8), final=False):
  found = [{"kind": "train", "step": step} for step in train]
  found += [{"kind": "eval", "split": "test", "step": step} for step in evals]
  return found + [{"kind": "final", "step": 8}] * final


@pytest.mark.parametrize(
  ("found", "step", "window", "problem"),
  [
    (rows(), 8, None, None),
    (rows(), 6, None, None),
    (rows(evals=(8,)), 8, None, "lacks the evaluation of step 4"),
    (rows(evals=(4,)), 8, None, "lacks the evaluation of step 8"),
    (rows(evals=(4,)), 7, None, None),
    (
      rows(train=[4]),
      7,
      None,
      "lacks the training row of step 7 and window.json the metrics before it",
    ),
    (rows(train=[4]), 7, 4, None),
    (rows(train=[4]), 7, 6, "lacks the training row of step 6"),
    ([], 3, 0, None),
    ([], 4, None, "lacks the evaluation of step 4"),
  ],
)
def test_a_hole_in_the_rows_is_named(found, step, window, problem):
  line = resuming.lacking(
    found, step, every=4, total=8, splits=("test",), window=window
  )
  assert line == (problem and f"metrics.jsonl {problem}")


@pytest.mark.parametrize(
  ("found", "lost"),
  [
    ([], False),
    (rows(evals=()), False),  # killed before the first was complete
    (rows(train=range(1, 10), evals=()), True),
    (rows(final=True), True),
  ],
)
def test_rows_without_a_checkpoint_are_not_replaced(tmp_path, found, lost):
  problem = resuming.lost_checkpoints(tmp_path, found, every=4)
  assert (problem is not None) == lost
  if lost:
    assert "would train again from step 0 and replace these rows" in problem


@pytest.mark.parametrize("newest", [8, 4, None])
def test_the_rows_of_a_run_that_had_ended_are_kept(tmp_path, newest, caplog):
  path = tmp_path / "metrics.jsonl"
  path.write_text("".join(json.dumps(row) + "\n" for row in rows(final=True)))
  resuming.keep_ended(path, rows(final=True), newest)
  kept = list((tmp_path / "damaged").glob("*"))
  assert bool(kept) == (newest != 8)
  assert [file.read_bytes() for file in kept] == [path.read_bytes()] * len(kept)
  assert len(caplog.messages) == len(kept)


@pytest.mark.parametrize(("kept", "warned"), [([], 1), ([4], 1), ([6, 8], 0)])
def test_a_lost_best_is_named(tmp_path, kept, warned, caplog):
  for ended in (False, True):
    caplog.clear()
    resuming.name_lost_best(tmp_path, 6, kept, ended=ended)
    assert len(caplog.messages) == warned
    assert ("put it back" in caplog.text) == (ended and warned)
