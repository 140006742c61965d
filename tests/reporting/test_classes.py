# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The scores by class of a report, and that single seeds are not ranked."""

import json

import numpy as np
import pytest
import synthetic_runs
from synthetic_runs import one_section

from etf_jax.reporting import classes, report, results

COUNTS = [120, 30, 5]


def write(path, method, seed, confusion):
  """Write a run with a confusion matrix, and what follows from it."""
  synthetic_runs.write_run(path, method, seed, 0.5, counts=COUNTS, hash_=method)
  confusion = np.array(confusion)
  lines = (path / "metrics.jsonl").read_text().splitlines()
  final = json.loads(lines[-1])
  recall = confusion.diagonal() / confusion.sum(axis=1)
  final["confusion"] = confusion.tolist()
  final["last"] |= {
    "accuracy": confusion.trace() / confusion.sum(),
    "balanced_accuracy": recall.mean(),
    "per_class_accuracy": recall.tolist(),
  }
  (path / "metrics.jsonl").write_text(
    "\n".join([*lines[:-1], json.dumps(final)])
  )


def test_scores_by_hand(tmp_path):
  write(tmp_path / "0", "ce", 0, [[8, 2, 0], [1, 4, 0], [2, 2, 0]])
  write(tmp_path / "1", "ce", 1, [[10, 0, 0], [2, 3, 0], [1, 2, 1]])
  _, details, note = classes.scores(one_section(tmp_path))
  (table,) = details.blocks
  assert details.is_open
  assert "Wilson" in note.items[0]
  rows = [row.cells for row in table.groups[0]]
  # Recalls 80 and 100, precisions 8 / 11 and 10 / 13, F1 16 / 21 and 20 / 23.
  assert rows[0] == [
    *("0", "120", "10", "74.8 ± 3.0", "90.0 ± 14.1", "59.6-98.2", "81.6 ± 7.6")
  ]
  # Never predicted by one seed: no precision for it, hence no mean.
  assert rows[2][2:] == ["4", "-", "12.5 ± 17.7", "1.3-60.4", "20.0 ± 28.3"]


RIGHT = [[60, 40, 0], [10, 70, 20], [5, 5, 90]]
NEAR = [[62, 38, 0], [10, 70, 20], [5, 5, 90]]
FAR = [[90, 10, 0], [10, 80, 10], [5, 5, 90]]


@pytest.mark.parametrize(
  ("other", "ranked"), [(NEAR, False), (FAR, True)], ids=["near", "far"]
)
def test_single_seeds_are_not_ranked_within_their_intervals(
  tmp_path, other, ranked
):
  write(tmp_path / "a", "ce", 0, RIGHT)
  write(tmp_path / "b", "etf_dr", 0, other)
  section = one_section(tmp_path)
  assert ("follows" in report.summary(section)) is ranked
  assert ("does not tell which is better" in report.summary(section)) != ranked
  (rows,) = results.html(section).groups
  strong = [c.text for row in rows for c in row.cells[2:-1] if c.strong]
  assert (f"{np.trace(other) / 3:.1f}" in strong) is ranked
  # 220 of 300 right.
  (note,) = [n for n in results.notes(section) if "not ranked" in n]
  assert "ce: accuracy 68.1-78.0" in note


def test_means_over_seeds_are_ranked(tmp_path):
  for seed in (0, 1):
    write(tmp_path / f"a{seed}", "ce", seed, RIGHT)
    write(tmp_path / f"b{seed}", "etf_dr", seed, NEAR)
  section = one_section(tmp_path)
  assert "follows" in report.summary(section)
  assert not any("not ranked" in note for note in results.notes(section))
