# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The unconstrained-feature model against closed forms and other solvers."""

import doctest

import cvxpy as cp
from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest
from scipy import optimize, special

from etf_jax.theory import thresholds, unconstrained_features
from etf_jax.theory.unconstrained_features import (
  collapsed_classes,
  solve_unconstrained_features,
)

LONG_TAIL = [40, 20, 7, 3, 1]


def own(logits, sizes, cluster):
  """The coefficient a of a cluster of two classes or more."""
  first = int(np.sum(sizes[:cluster]))
  return logits[first, first] - logits[first + 1, first]


def two_clusters(sizes, counts):
  return np.repeat(np.asarray(counts, float), sizes)


@pytest.mark.slow
@pytest.mark.parametrize(
  ("sizes", "counts", "penalties", "scales", "objective"),
  [
    ((5, 5), (500, 100), (0.0027, 0.02), (2.739814, 1.347835), 1.44764877),
    ((5, 5), (500, 100), (0.0034, 0.02), (2.360621, 0), 1.64373132),
    ((2, 3), (20, 5), (0.02, None), (3.010163, 1.690785), 0.89855954),
  ],
)
def test_known_points(sizes, counts, penalties, scales, objective):
  solution = solve_unconstrained_features(
    two_clusters(sizes, counts), *penalties
  )
  assert round(solution.objective, 8) == objective
  found = [own(solution.logits, sizes, j) for j in (0, 1)]
  assert np.round(found, 6).tolist() == list(scales)
  np.testing.assert_allclose(solution.logits.sum(0), 0, atol=1e-9)


def objective(logits, bias, counts, lambda_z, lambda_b):
  scores = logits + bias[:, None]
  losses = special.logsumexp(scores, axis=0) - np.diag(scores)
  return (
    counts @ losses / counts.sum()
    + lambda_z * np.linalg.norm(logits * np.sqrt(counts), "nuc")
    + (lambda_b or 0) / 2 * bias @ bias
  )


@pytest.mark.parametrize(
  ("counts", "lambda_b"), [(LONG_TAIL, None), (LONG_TAIL, 0.1)]
)
@pytest.mark.slow
def test_agrees_with_an_independent_convex_solver(counts, lambda_b):
  counts, size = np.array(counts, float), len(counts)
  solution = solve_unconstrained_features(counts, 0.01, lambda_b)
  logits, bias = cp.Variable((size, size)), cp.Variable(size)
  share = counts / counts.sum()
  fit = sum(
    share[k] * (cp.log_sum_exp(logits[:, k] + bias) - logits[k, k] - bias[k])
    for k in range(size)
  )
  penalty = 0.01 * cp.normNuc(logits @ np.diag(np.sqrt(counts)))
  ridge = [bias == 0] if lambda_b is None else []
  smooth = 0 if lambda_b is None else lambda_b / 2 * cp.sum_squares(bias)
  problem = cp.Problem(cp.Minimize(fit + penalty + smooth), ridge)
  problem.solve(
    solver=cp.CLARABEL, tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10
  )
  assert solution.objective == pytest.approx(problem.value, abs=1e-6)
  np.testing.assert_allclose(solution.logits, logits.value, atol=5e-4)
  np.testing.assert_allclose(solution.bias, bias.value, atol=5e-4)


@pytest.mark.parametrize(("left", "right"), [(0.02, 0.005), (0.001, 0.1)])
@pytest.mark.slow
def test_agrees_with_the_factored_problem(left, right):
  # W, H and b as a network has them: only the product of penalties matters.
  counts, dim = np.array([8.0, 3.0, 1.0]), 3
  solution = solve_unconstrained_features(counts, (left * right) ** 0.5, 0.1)

  def value(x):
    weights, means, bias = np.split(x, [9, 18])
    weights, means = weights.reshape(dim, 3), means.reshape(dim, 3)
    scores = weights.T @ means + bias[:, None]
    wrong = special.softmax(scores, axis=0) - np.eye(3)
    wrong *= counts / counts.sum()
    losses = special.logsumexp(scores, axis=0) - np.diag(scores)
    total = counts @ losses / counts.sum() + 0.05 * bias @ bias
    total += left / 2 * np.sum(weights**2) + right / 2 * np.sum(
      counts * means**2
    )
    slope = (
      means @ wrong.T + left * weights,
      weights @ wrong + right * counts * means,
      wrong.sum(1) + 0.1 * bias,
    )
    return total, np.concatenate([s.ravel() for s in slope])

  start = np.random.default_rng(0).standard_normal(21)
  found = optimize.minimize(
    value,
    start,
    jac=True,
    method="L-BFGS-B",
    options={"maxiter": 5000, "ftol": 1e-15, "gtol": 1e-10},
  )
  assert solution.objective == pytest.approx(found.fun, abs=1e-7)
  weights, means = found.x[:9].reshape(3, 3), found.x[9:18].reshape(3, 3)
  np.testing.assert_allclose(weights.T @ means, solution.logits, atol=1e-3)
  energy = left * np.sum(weights**2), right * np.sum(counts * means**2)
  assert energy[0] == pytest.approx(energy[1], rel=1e-4)
  norms = np.linalg.norm(weights, axis=0)
  cosines = weights.T @ weights / np.outer(norms, norms)
  np.testing.assert_allclose(cosines, solution.classifier_cosines, atol=1e-3)
  norms = np.linalg.norm(means, axis=0)
  cosines = means.T @ means / np.outer(norms, norms)
  np.testing.assert_allclose(cosines, solution.feature_cosines, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("lambda_b", [None, 0.02])
@pytest.mark.parametrize("cluster", [0, 1, 2])
def test_clusters_collapse_at_their_thresholds(cluster, lambda_b):
  sizes, counts = (2, 3, 4), (60, 20, 5)
  at = thresholds.collapse_thresholds(sizes, counts)[cluster]
  below, above = (
    solve_unconstrained_features(
      two_clusters(sizes, counts), factor * at, lambda_b
    )
    for factor in (0.999, 1.001)
  )
  assert own(below.logits, sizes, cluster) > 1e-4
  assert abs(own(above.logits, sizes, cluster)) < 1e-9
  members = np.repeat(np.arange(3), sizes) == cluster
  assert collapsed_classes(above)[members].all()


def test_balanced_classes_have_a_closed_form():
  scale = thresholds.balanced_scale(4, 25, 0.01)
  assert scale == pytest.approx(np.log(17))
  solution = solve_unconstrained_features([25] * 4, 0.01)
  expected = scale * (np.eye(4) - 1 / 4)
  np.testing.assert_allclose(solution.logits, expected, atol=1e-7)
  np.testing.assert_allclose(
    solution.classifier_cosines, (4 * np.eye(4) - 1) / 3, atol=1e-7
  )
  assert thresholds.balanced_scale(4, 25, 0.05) == 0


def test_everything_collapsed_is_undefined():
  solution = solve_unconstrained_features([25] * 4, 0.06)
  np.testing.assert_array_equal(solution.logits, 0)
  assert np.isnan(solution.classifier_cosines).all()
  assert np.isnan(solution.feature_cosines).all()
  assert collapsed_classes(solution).all()
  assert solution.objective == pytest.approx(np.log(4))


@pytest.mark.parametrize("ratio", [1, 10, 100])
def test_limit_of_small_penalties(ratio):
  sizes = (3, 2)
  limit = thresholds.minority_cosine_limit(sizes, ratio)
  counts = two_clusters(sizes, (ratio * 10, 10))
  errors = [
    abs(
      solve_unconstrained_features(counts, z).classifier_cosines[3, 4] - limit
    )
    for z in (1e-3, 1e-4, 1e-5)
  ]
  if ratio == 1:
    np.testing.assert_allclose(errors, 0, atol=1e-6)
  else:
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.1


def test_minority_count_is_the_threshold_turned_round():
  count = thresholds.minority_collapse_count((3, 7), 50, 0.002)
  at = thresholds.collapse_thresholds((3, 7), (count, 50))
  assert at[1] == pytest.approx(0.002)
  assert np.isnan(thresholds.collapse_thresholds([1, 2], [5, 5])[0])


@pytest.mark.slow
@settings(max_examples=8)
@given(st.permutations(range(5)), st.floats(0.003, 0.03))
def test_relabelling_permutes_the_solution(order, lambda_z):
  counts = np.array(LONG_TAIL, float)
  plain = solve_unconstrained_features(counts, lambda_z, 0.05)
  moved = solve_unconstrained_features(counts[order], lambda_z, 0.05)
  np.testing.assert_allclose(
    moved.logits, plain.logits[np.ix_(order, order)], atol=1e-4
  )
  assert moved.objective == pytest.approx(plain.objective, abs=1e-9)
  value = objective(plain.logits, plain.bias, counts, lambda_z, 0.05)
  assert plain.objective == pytest.approx(value, abs=1e-9)
  assert 0 <= plain.gap <= 1e-9


def test_progress_names_round_and_certified_error():
  rounds = []
  solution = solve_unconstrained_features(
    [20, 20, 5, 5, 5], 0.02, progress=lambda *pair: rounds.append(pair)
  )
  assert [number for number, _ in rounds] == [*range(1, len(rounds) + 1)]
  assert rounds[-1][1] == pytest.approx(solution.gap / solution.objective)
  assert rounds[-1][1] <= 1e-10 < rounds[0][1]


@pytest.mark.slow
def test_a_start_saves_nothing_but_time():
  cold = solve_unconstrained_features(LONG_TAIL, 0.004, 0.05)
  near = solve_unconstrained_features(LONG_TAIL, 0.005, 0.05)
  warm = solve_unconstrained_features(LONG_TAIL, 0.004, 0.05, start=near)
  np.testing.assert_allclose(warm.logits, cold.logits, atol=1e-4)


@pytest.mark.parametrize(
  ("call", "said"),
  [
    (lambda: solve_unconstrained_features([5], 0.1), "at least two classes"),
    (lambda: solve_unconstrained_features([5, 0], 0.1), "positive"),
    (lambda: solve_unconstrained_features([[5, 1]], 0.1), "shape"),
    (lambda: solve_unconstrained_features([5, 1], 0.0), "lambda_z"),
    (lambda: solve_unconstrained_features([5, 1], 0.1, -1.0), "lambda_b"),
    (lambda: thresholds.collapse_thresholds([2], [3, 4]), "one length"),
    (lambda: thresholds.collapse_thresholds([0.5], [3]), "whole numbers"),
    (lambda: thresholds.collapse_thresholds([2], [-3]), "positive"),
    (lambda: thresholds.minority_collapse_count([2], 1, 1), "one length"),
    (lambda: thresholds.minority_collapse_count([2, 2], 1, 0), "lambda_z"),
    (lambda: thresholds.balanced_scale(1, 5, 0.1), "at least 2"),
    (lambda: thresholds.minority_cosine_limit([2, 2], 0), "ratio"),
  ],
)
def test_bad_input_is_named(call, said):
  with pytest.raises(ValueError, match=said):
    call()


@pytest.mark.parametrize("module", [unconstrained_features, thresholds])
def test_examples_in_docstrings_run(module):
  result = doctest.testmod(module)
  assert result.attempted
  assert not result.failed
