# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Means over seeds and data sets, and differences seed by seed."""

import pytest

from etf_jax.probing import results


def test_differences_are_paired_by_seed():
  ours = [{"seed": s, "x": x} for s, x in ((0, 0.5), (1, 0.9), (7, 0.1))]
  theirs = [{"seed": s, "x": x} for s, x in ((1, 0.7), (0, 0.4), (2, 0.0))]
  mean, error, number = results.paired(ours, theirs, lambda row: row["x"])
  # 0.1 and 0.2: the deviation is 0.1 / sqrt(2), the error that over sqrt(2).
  assert (mean, error) == pytest.approx((0.15, 0.05))
  assert number == 2
  assert results.paired(ours[:1], theirs, lambda row: row["x"])[1:] == (None, 1)
  assert results.paired(ours[2:], theirs, lambda row: row["x"])[2] == 0


def test_the_mean_over_data_sets():
  """Take the seeds that have all of them: 50 and 70, 60 and 90 percent."""

  def row(data, seed, accuracy, run="ce"):
    about = {"run": run, "seed": seed, "data": data, "part": "transfer"}
    accuracies = {"sgd_top1": accuracy, "regression_top1": accuracy}
    diversity = {"nc1": 1.0, "rank": 1.0, "rank_centred": 1.0}
    return about | {"metric": "top1"} | accuracies | diversity

  rows = [row("a", 0, 0.5), row("b", 0, 0.7), row("a", 1, 0.6)]
  rows += [row("b", 1, 0.9), row("a", 2, 0.1)]
  averages = results.means(rows, "ce")
  assert [r["seed"] for r in averages] == [0, 1]
  assert [r["sgd"] for r in averages] == pytest.approx([0.6, 0.75])
  assert not results.means([row("a", 0, 0.5)], "ce")
  other = [row("a", 0, 0.6, "etf_ce"), row("b", 0, 0.9, "etf_ce")]
  source = {"part": "source", "data": "c", "seed": 0, "accuracy": 0.5}
  source |= {"nc1": 1.0, "rank": 1.0, "rank_centred": 1.0}
  sources = [source | {"run": run} for run in ("ce", "etf_ce")]
  _, transfers, differences = results.tables(sources + rows + other)
  (line,) = (
    line for line in transfers.lines if line[:2] == ["mean of 2", "ce"]
  )
  assert line[3] == "67.5 ± 10.6"
  assert line[-1] == "2 (0,1)"
  assert differences.lines[-1] == [
    *("mean of 2", "etf_ce", "+15.00 ± -", "+15.00 ± -", "1"),
  ]
