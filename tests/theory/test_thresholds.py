# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Many samples make imbalanced logits a simplex ETF, slowly."""

import numpy as np
import pytest

from etf_jax.theory import simplex_deviation_rate, solve_two_clusters


def deviation(sizes, counts, lambda_z, lambda_b=None):
  """The distance of Z / |Z| from the simplex ETF's direction."""
  solution = solve_two_clusters(sizes, counts, lambda_z, lambda_b)
  cluster = np.repeat([0, 1], sizes)
  logits = solution.shifts[np.ix_(cluster, cluster)]
  logits = logits + np.diag(solution.scales[cluster])
  simplex = np.eye(cluster.size) - 1 / cluster.size
  logits = logits / np.linalg.norm(logits)
  return np.linalg.norm(logits - simplex / np.linalg.norm(simplex))


def of_samples(sizes, ratio, count, lambda_b=None):
  counts = np.array([ratio * count, count])
  return deviation(sizes, counts, 1 / (sizes @ counts), lambda_b)


def rate(first, second, distance):
  """Fit 1 / deviation, which grows linearly in the logarithm."""
  return distance / (1 / second - 1 / first)


@pytest.mark.parametrize(
  ("sizes", "ratio"),
  [((5, 5), 5), ((3, 7), 100), ((4, 1), 10), ((1, 4), 10), ((2, 2), 0.1)],
)
def test_deviation_falls_like_one_over_the_logarithm(sizes, ratio):
  limit = simplex_deviation_rate(sizes, ratio)
  counts = 10.0 ** np.array([3, 6, 12, 150, 300])
  found = [of_samples(sizes, ratio, n) for n in counts]
  scaled = found * np.log(counts)
  assert (np.diff(found) < 0).all()
  # From below, with an error of order 1 / log n.
  assert (np.diff(scaled) > 0).all()
  assert 0.6 * limit < scaled[2] < 0.9 * limit
  assert scaled[-1] == pytest.approx(limit, rel=0.035)
  assert rate(*found[1:3], np.log(1e6)) == pytest.approx(limit, rel=0.12)
  assert rate(*found[3:], np.log(1e150)) == pytest.approx(limit, rel=0.002)
  # A bias vanishes with the errors.
  biased = of_samples(sizes, ratio, counts[-1], 0.02)
  assert biased == pytest.approx(found[-1], rel=1e-9)


def test_deviation_at_vanishing_penalties():
  found = [deviation((5, 5), (500, 100), 10.0**-power) for power in (100, 200)]
  expected = simplex_deviation_rate((5, 5), 5) / 2
  assert rate(*found, np.log(1e100)) == pytest.approx(expected, rel=0.003)


def test_balanced_classes_are_a_simplex_at_once():
  assert simplex_deviation_rate((3, 4), 1) == pytest.approx(0, abs=1e-6)
  assert of_samples((3, 4), 1, 1e3) == pytest.approx(0, abs=1e-12)
  # Two classes have one direction only.
  assert simplex_deviation_rate((1, 1), 50) == pytest.approx(0, abs=1e-6)


def test_swapped_clusters_have_the_inverse_ratio():
  assert simplex_deviation_rate((2, 5), 8) == pytest.approx(
    simplex_deviation_rate((5, 2), 1 / 8)
  )


@pytest.mark.parametrize(
  ("sizes", "ratio", "said"),
  [
    ((2, 2), 0, "ratio"),
    ((2, 2, 2), 5, "one length"),
    ((2,), 5, "one length"),
    ((0, 2), 5, "whole numbers"),
  ],
)
def test_bad_clusters_are_said(sizes, ratio, said):
  with pytest.raises(ValueError, match=said):
    simplex_deviation_rate(sizes, ratio)
