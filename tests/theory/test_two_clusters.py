# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Two class sizes: the one-equation solution against the general solver."""

import doctest

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from etf_jax.theory import thresholds, two_clusters
from etf_jax.theory.two_clusters import (
  solve_two_clusters,
  two_cluster_thresholds,
)
from etf_jax.theory.unconstrained_features import solve_unconstrained_features

CLUSTERS = ((5, 5), (500, 100))


@pytest.mark.parametrize(
  ("sizes", "counts", "penalties", "scales", "objective"),
  [
    (*CLUSTERS, (0.0027, 0.02), [2.739814, 1.347835], 1.44764877),
    (*CLUSTERS, (0.0034, 0.02), [2.360621, 0], 1.64373132),
    ((2, 3), (20, 5), (0.02, None), [3.010163, 1.690785], 0.89855954),
    ((3, 2), (5, 20), (0.02, None), [1.690785, 3.010163], 0.89855954),
  ],
)
def test_reference_points(sizes, counts, penalties, scales, objective):
  solution = solve_two_clusters(sizes, counts, *penalties)
  assert solution.scales.round(6).tolist() == scales
  assert round(solution.objective, 8) == objective


@pytest.mark.slow
@pytest.mark.parametrize(
  ("sizes", "counts", "lambda_b", "factor", "regime"),
  [
    ((5, 5), (500, 100), 0.02, 0.1, "distinct"),
    ((3, 7), (10, 200), None, 0.5, "distinct"),
    ((3, 7), (10, 200), None, 1.02, "minority collapse"),
    ((4, 2), (50, 5), 1e-4, 1.1, "minority collapse"),
    ((4, 2), (50, 5), 0.5, 2, "minority zero"),
    ((4, 2), (50, 5), 0.5, 3.5, "complete collapse"),
    ((1, 6), (90, 10), 0.05, 0.3, "distinct"),
    ((1, 6), (90, 10), 0.05, 1.2, "minority collapse"),
    ((6, 1), (90, 10), None, 0.3, "distinct"),
    ((6, 1), (90, 10), None, 2.5, "minority zero"),
  ],
)
def test_agrees_with_the_general_solver(
  sizes, counts, lambda_b, factor, regime
):
  counts = np.array(counts, float)
  lambda_z = factor * np.sqrt(counts.min()) / (sizes @ counts)
  found = solve_two_clusters(sizes, counts, lambda_z, lambda_b)
  assert found.regime == regime
  cluster = np.repeat([0, 1], sizes)
  general = solve_unconstrained_features(counts[cluster], lambda_z, lambda_b)
  grid = np.ix_(cluster, cluster)
  logits = np.diag(found.scales[cluster]) + found.shifts[grid]
  np.testing.assert_allclose(logits, general.logits, atol=1e-6)
  np.testing.assert_allclose(found.bias[cluster], general.bias, atol=1e-6)
  assert found.objective == pytest.approx(general.objective, rel=1e-10)
  different = ~np.eye(cluster.size, dtype=bool)
  for name in ("classifier_cosines", "feature_cosines"):
    np.testing.assert_allclose(
      getattr(found, name)[grid][different],
      getattr(general, name)[different],
      atol=1e-5,
    )


def objective(sizes, counts, lambda_z, lambda_b, scales, down, tilt):
  """Solve with coefficients a, -(c_BA, c_AB) and b_B - b_A."""
  others, classes, total = sizes[::-1], sizes.sum(), sizes @ counts
  with np.errstate(divide="ignore"):
    wrong = np.log(sizes - 1) - scales
  across = np.log(others) + tilt * np.array([1, -1])
  across -= down * classes / sizes + scales * (1 - 1 / sizes)
  errors = np.logaddexp(0, np.logaddexp(wrong, across))
  penalty = (sizes - 1) @ (np.sqrt(counts) * np.abs(scales))
  penalty += np.sqrt(classes) * np.linalg.norm(np.sqrt(counts * others) * down)
  ridge = (lambda_b or 0) * sizes.prod() / classes * tilt**2
  return (
    sizes * counts @ errors / total + lambda_z * penalty + ridge / 2,
    sizes * counts @ errors / total,
  )


@settings(max_examples=60, deadline=None)
@given(
  sizes=st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)),
  log_counts=st.tuples(st.floats(0, 12), st.floats(0, 12)),
  below=st.floats(-2, 20),
  lambda_b=st.sampled_from([None, 1e-6, 0.02, 1.0]),
  seed=st.integers(0, 99),
)
def test_no_other_coefficients_are_better(
  sizes, log_counts, below, lambda_b, seed
):
  # The program is convex: a minimum nearby is the minimum.
  counts = 10.0 ** np.array(log_counts)
  lambda_z = np.sqrt(counts.max()) / (np.array(sizes) @ counts) / 10**below
  found = solve_two_clusters(sizes, counts, lambda_z, lambda_b)
  sizes = np.array(sizes, float)
  own = np.diag(found.shifts) + found.scales
  down = -found.shifts[[1, 0], [0, 1]]
  np.testing.assert_allclose(
    own + (sizes - 1) * np.diag(found.shifts) - sizes[::-1] * down,
    0,
    atol=1e-9 * (1 + np.abs(found.scales).max()),
  )
  assert sizes @ found.bias == pytest.approx(0, abs=1e-9 * sizes.max())
  program = (sizes, counts, lambda_z, lambda_b)
  best = (found.scales, down, found.bias[1] - found.bias[0])
  value, errors = objective(*program, *best)
  assert found.objective == pytest.approx(value, rel=1e-9)
  random = np.random.default_rng(seed)
  for size in (1e-1, 1e-2, 1e-3):
    for _ in range(10):
      step = size * random.standard_normal(5)
      other, _ = objective(
        *program,
        best[0] + step[:2],
        best[1] + step[2:4] / sizes.sum(),
        best[2] + step[4] * (lambda_b is not None),
      )
      assert other >= value * (1 - 1e-12)
  assert 0 <= errors <= value


@pytest.mark.slow
@pytest.mark.parametrize("lambda_b", [None, 1e-3, 0.02])
@pytest.mark.parametrize(
  ("sizes", "counts"),
  [
    ((5, 5), (500, 100)),
    ((7, 3), (8, 90)),
    ((1, 4), (60, 9)),
    ((3, 1), (9, 2)),
  ],
)
def test_cross_mode_dies_at_its_threshold(sizes, counts, lambda_b):
  found = two_cluster_thresholds(sizes, counts, lambda_b)
  majority = int(np.argmax(counts))
  merge = np.sqrt(counts) / np.dot(sizes, counts)
  assert merge.min() < found.cross_collapse <= merge.max()
  assert found.complete_collapse == pytest.approx(
    merge.max() if sizes[majority] > 1 else found.cross_collapse
  )
  first = int(sizes[0])
  for factor, dead in ((0.999, False), (1.001, True)):
    lambda_z = factor * found.cross_collapse
    solved = solve_two_clusters(sizes, counts, lambda_z, lambda_b)
    general = solve_unconstrained_features(
      np.repeat(np.array(counts, float), sizes), lambda_z, lambda_b
    ).logits
    for c in (
      solved.shifts[0, 1],
      solved.shifts[1, 0],
      general[0, first],
      general[first, 0],
    ):
      assert abs(c) < 1e-10 if dead else c < -1e-6
    complete = dead and sizes[majority] == 1
    assert (solved.regime == "complete collapse") == complete
    assert (np.abs(general).max() < 1e-9) == complete


def test_regimes_follow_one_another():
  minority, cross, complete = two_cluster_thresholds(*CLUSTERS)
  assert minority == pytest.approx(10 / 3000)
  assert complete == pytest.approx(np.sqrt(500) / 3000)
  regimes = [
    solve_two_clusters(*CLUSTERS, at * factor).regime
    for at in (minority, cross, complete)
    for factor in (1 - 1e-9, 1 + 1e-9)
  ]
  assert regimes == [
    "distinct",
    *["minority collapse"] * 2,
    *["minority zero"] * 2,
    "complete collapse",
  ]
  zero = solve_two_clusters(*CLUSTERS, cross * 1.01)
  assert zero.classifier_cosines[0, 0] == pytest.approx(-1 / 4)
  assert np.isnan(zero.classifier_cosines[1]).all()
  merged = solve_two_clusters(*CLUSTERS, minority * 1.01)
  assert merged.classifier_cosines[1, 1] == pytest.approx(1)


def test_a_majority_of_one_class_has_a_closed_form():
  found = two_cluster_thresholds((1, 4), (60, 9))
  expected = np.sqrt((60 * 4 + 9) / 5) / 96
  assert found.cross_collapse == pytest.approx(expected, rel=1e-12)
  assert found.complete_collapse == found.cross_collapse
  alone = two_cluster_thresholds((4, 1), (60, 9))
  assert np.isnan(alone.minority_collapse)


def test_equal_counts_collapse_at_once():
  found = two_cluster_thresholds((3, 4), (25, 25), 0.1)
  np.testing.assert_allclose(found, 5 / 175, rtol=1e-12)
  below = solve_two_clusters((3, 4), (25, 25), found[0] * 0.99, 0.1)
  assert below.regime == "distinct"
  above = solve_two_clusters((3, 4), (25, 25), found[0] * 1.01, 0.1)
  assert above.regime == "complete collapse"
  assert above.objective == pytest.approx(np.log(7))


def test_a_billion_balanced_classes():
  size, lambda_z = 10**9, 1e-15
  solution = solve_two_clusters((size, size), (4, 4), lambda_z, 0.02)
  scale = thresholds.balanced_scale(2 * size, 4, lambda_z)
  np.testing.assert_allclose(solution.scales, scale, rtol=1e-12)
  np.testing.assert_allclose(solution.shifts, -scale / (2 * size), rtol=1e-9)
  np.testing.assert_allclose(solution.bias, 0, atol=1e-12)


@pytest.mark.parametrize("ratio", [1, 10, 1000])
def test_limit_of_vanishing_penalties(ratio):
  limit = thresholds.minority_cosine_limit((3, 7), ratio)
  errors = [
    solve_two_clusters((3, 7), (ratio, 1), 10.0**-power).classifier_cosines[
      1, 1
    ]
    - limit
    for power in (75, 150)
  ]
  # They fall like 1 / log(1 / lambda_Z); Richardson's step takes most away.
  assert 2 * errors[1] - errors[0] == pytest.approx(0, abs=1e-3)
  assert abs(errors[1]) < 0.02


@pytest.mark.parametrize(
  ("call", "said"),
  [
    (lambda: solve_two_clusters([2], [3], 0.1), "two clusters, got 1"),
    (lambda: solve_two_clusters([2, 0], [3, 3], 0.1), "whole numbers"),
    (lambda: solve_two_clusters([2, 2], [3, 0], 0.1), "positive"),
    (lambda: solve_two_clusters([2, 2], [3, 4], 0), "lambda_z"),
    (lambda: solve_two_clusters([2, 2], [3, 4], 0.1, -1), "lambda_b"),
    (lambda: two_cluster_thresholds([1, 2, 3], [3, 4, 5]), "got 3"),
    (lambda: two_cluster_thresholds([1, 2], [3, 4], 0), "lambda_b"),
  ],
)
def test_bad_input_is_said(call, said):
  with pytest.raises(ValueError, match=said):
    call()


def test_examples_of_two_clusters_run():
  result = doctest.testmod(two_clusters)
  assert result.attempted
  assert not result.failed
