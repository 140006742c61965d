# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The layer-peeled model with a learned classifier."""

import doctest
import math

import cvxpy as cp
from frames import (
  cross_entropies,
  etf,
  etf_cross_entropy,
  etf_inner_products,
)
from hypothesis import given, settings
from hypothesis import strategies as st
import jax
import numpy as np
import pytest
from scipy import special

from etf_jax import losses
from etf_jax.theory import layer_peeled, learnable_layer_peeled
from etf_jax.theory.layer_peeled import solve_layer_peeled
from etf_jax.theory.learnable_layer_peeled import (
  critical_ratio,
  solve_learnable_layer_peeled,
)


def learn(sizes, ratio, feature_energy=5.0, **budgets):
  return solve_learnable_layer_peeled(
    sizes, ratio, classifier_energy=1, feature_energy=feature_energy, **budgets
  )


def shares(sizes, ratio):
  counts = np.repeat([ratio, 1.0], sizes)
  return counts / counts.sum()


@pytest.mark.parametrize(
  ("ratio", "cosine"),
  [
    (1, -0.1111),
    (10, -0.0202),
    (50, 0.1422),
    (100, 0.3107),
    (200, 0.7272),
    (500, 1.0),
  ],
)
def test_minority_cosines(ratio, cosine):
  assert round(learn((3, 7), ratio).minority_cosine, 4) == cosine


@pytest.mark.parametrize(
  ("sizes", "ratio", "cosine"),
  [
    ((3, 7), 1, -1 / 9),
    ((3, 7), 10, 0.385),
    ((3, 7), 50, 0.866),
    ((3, 7), 100, 0.958),
    ((7, 3), 100, 1.0),
    ((1, 9), 10, 0.120),
  ],
)
def test_minority_cosines_with_a_budget_for_each_vector(sizes, ratio, cosine):
  learned = learn(sizes, ratio, budgets="per_vector")
  assert learned.minority_cosine == pytest.approx(cosine, abs=6e-4)
  np.testing.assert_allclose(np.diag(learned.classifier_cosines), 1)
  # The averaged budgets admit all that these admit.
  assert learned.loss >= learn(sizes, ratio).loss - 1e-9


@pytest.mark.slow
def test_budgets_per_vector_are_the_full_convex_problem():
  sizes, ratio, length = (2, 3), 8.0, 5**0.5
  total = sum(sizes)
  gram = cp.Variable((2 * total, 2 * total), PSD=True)
  logits = length * gram[:total, total:]
  each = [
    weight * (cp.log_sum_exp(logits[:, k]) - logits[k, k])
    for k, weight in enumerate(shares(sizes, ratio))
  ]
  problem = cp.Problem(cp.Minimize(cp.sum(each)), [cp.diag(gram) <= 1])
  problem.solve(solver=cp.CLARABEL)
  learned = learn(sizes, ratio, budgets="per_vector")
  assert learned.loss == pytest.approx(problem.value, abs=1e-6)
  np.testing.assert_allclose(
    learned.classifier_cosines, gram.value[:total, :total], atol=2e-3
  )


def test_budgets_have_two_names():
  with pytest.raises(ValueError, match=r"budgets must be one of .*'averaged'"):
    learn((2, 2), 2, budgets="each")


@pytest.mark.parametrize(
  ("sizes", "expected"), [((3, 7), 245.50), ((5, 5), 12.19), ((7, 3), 4.00)]
)
def test_critical_ratio(sizes, expected):
  critical = critical_ratio(sizes, classifier_energy=1, feature_energy=5)
  assert round(critical, 2) == expected
  assert learn(sizes, critical * (1 - 1e-6)).minority_cosine < 1
  assert learn(sizes, critical * (1 + 1e-6)).minority_cosine == 1


def test_energies_enter_as_their_product():
  one = solve_learnable_layer_peeled(
    (2, 3), 7, classifier_energy=10, feature_energy=0.5
  )
  np.testing.assert_allclose(one.logits, learn((2, 3), 7).logits, rtol=1e-12)


def test_critical_ratio_beyond_floats():
  kwargs = {"classifier_energy": 1, "feature_energy": 1e6}
  assert critical_ratio((3, 7), **kwargs) == math.inf
  # Slopes that underflow still balance.
  learned = solve_learnable_layer_peeled((3, 7), 1e6, **kwargs)
  assert -1 / 9 < learned.minority_cosine < -0.1


@pytest.mark.parametrize("sizes", [(3, 7), (1, 1), (1, 4), (4, 1)])
def test_balanced_classes_give_a_simplex_etf(sizes):
  learned, total = learn(sizes, 1), sum(sizes)
  np.testing.assert_allclose(
    learned.logits, etf_inner_products(total, 5), atol=1e-9
  )
  expected = etf_inner_products(total, 1)
  np.testing.assert_allclose(learned.classifier_cosines, expected, atol=1e-9)
  np.testing.assert_allclose(learned.feature_cosines, expected, atol=1e-9)
  assert learned.loss == pytest.approx(etf_cross_entropy(total, 5))
  if sizes[1] == 1:
    assert math.isnan(learned.minority_cosine)
  else:
    assert learned.minority_cosine == pytest.approx(-1 / (total - 1))


PROBLEMS = st.tuples(
  st.tuples(st.integers(1, 6), st.integers(1, 6)),
  st.floats(0, 6).map(lambda x: 10**x),
  st.floats(-3, 1.5).map(lambda x: 10**x),
)


@given(PROBLEMS)
@settings(max_examples=60)
def test_duality_gap(problem):
  """No feasible matrix of any form is better: a bound from convexity."""
  sizes, ratio, energy = problem
  learned = learn(sizes, ratio, energy)
  logits, weights = learned.logits, shares(sizes, ratio)
  budget = sum(sizes) * math.sqrt(energy)
  nuclear = np.linalg.norm(logits, "nuc")
  assert nuclear == pytest.approx(budget, rel=1e-9)
  assert learned.loss == pytest.approx(weights @ cross_entropies(logits))
  wrong = special.softmax(logits, axis=0) - np.eye(len(weights))
  gradient = weights * wrong
  # The linear lower bound of the loss, at its least over the feasible set.
  gap = np.sum(gradient * logits) + budget * np.linalg.norm(gradient, 2)
  assert gap <= 1e-10 * (1 + budget)


@given(PROBLEMS, st.floats(1, 100))
def test_imbalance_brings_the_minority_together(problem, factor):
  sizes, ratio, energy = problem
  less, more = (
    learn(sizes, r, energy).minority_cosine for r in (ratio, ratio * factor)
  )
  # NaN: one minority class, or vectors that have shrunk to zero.
  if not (math.isnan(less) or math.isnan(more)):
    assert more >= less - 1e-9


def test_full_convex_problem():
  sizes, ratio = (2, 3), 10
  learned, weights = learn(sizes, ratio, 2), shares(sizes, ratio)
  logits = cp.Variable((5, 5))
  loss = sum(
    weights[k] * (cp.log_sum_exp(logits[:, k]) - logits[k, k]) for k in range(5)
  )
  problem = cp.Problem(
    cp.Minimize(loss), [cp.normNuc(logits) <= 5 * math.sqrt(2)]
  )
  problem.solve(solver=cp.CLARABEL)
  assert learned.loss == pytest.approx(problem.value, abs=1e-6)
  centred = logits.value - logits.value.mean(axis=0)
  np.testing.assert_allclose(learned.logits, centred, atol=1e-3)


@given(st.integers(0, 10**6), st.sampled_from([1, 10, 300]))
def test_nothing_feasible_is_better(seed, ratio):
  sizes = (2, 3)
  best, weights = learn(sizes, ratio, 2).loss, shares(sizes, ratio)
  guess = np.random.default_rng(seed).standard_normal((5, 5)) / 5 + np.eye(5)
  guess *= 5 * math.sqrt(2) / np.linalg.norm(guess, "nuc")
  assert weights @ cross_entropies(guess) > best
  # A simplex ETF is feasible, and best for equal counts only.
  fixed = solve_layer_peeled(
    etf(1), np.repeat([ratio, 1], sizes), feature_energy=2
  )
  assert fixed.loss > best + (1e-3 if ratio > 1 else -1e-8)


def test_a_factorisation_meets_the_budgets_and_is_stationary():
  sizes, ratio, energy = (3, 2), 3, 5
  learned = learn(sizes, ratio, energy)
  left, values, right = np.linalg.svd(learned.logits)
  assert values[3] > 0.1
  # One dimension less than classes is enough.
  weights = (left * np.sqrt(values))[:, :4].T / energy**0.25
  means = (np.sqrt(values)[:, None] * right)[:4] * energy**0.25
  np.testing.assert_allclose(weights.T @ means, learned.logits, atol=1e-9)
  assert np.mean(np.sum(weights**2, axis=0)) == pytest.approx(1)
  assert np.mean(np.sum(means**2, axis=0)) == pytest.approx(energy)
  for vectors, cosines in (
    (weights, learned.classifier_cosines),
    (means, learned.feature_cosines),
  ):
    unit = vectors / np.linalg.norm(vectors, axis=0)
    np.testing.assert_allclose(unit.T @ unit, cosines, atol=1e-8)
  # Forces on W, and on the samples of a class together, are along W and H.
  labels = np.repeat(np.arange(5), np.repeat([ratio, 1], sizes))
  with jax.enable_x64(True):
    parts = losses.pull_push(means.T[labels], labels, weights)
  on_weights = np.asarray(parts.classifier_pull + parts.classifier_push)
  each = np.asarray(parts.features_pull + parts.features_push)
  on_means = np.stack([each[labels == k].sum(axis=0) for k in range(5)], axis=1)
  for force, vectors in ((on_weights, weights), (on_means, means)):
    pressure = np.sum(force * vectors) / np.sum(vectors**2)
    assert pressure > 0
    np.testing.assert_allclose(force, pressure * vectors, atol=1e-8)


def test_vectors_that_vanish_have_no_cosine():
  # On a small budget a small minority is not worth any of it.
  learned = learn((3, 7), 1e6, 1e-4)
  np.testing.assert_array_equal(learned.logits[3:], 0)
  np.testing.assert_array_equal(learned.logits[:, 3:], 0)
  assert math.isnan(learned.minority_cosine)
  assert np.isnan(learned.feature_cosines[3:]).all()
  np.testing.assert_allclose(
    learned.classifier_cosines[:3, :3], etf_inner_products(3, 1), atol=1e-12
  )


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"cluster_sizes": (3, 7, 2)}, "two positive integers"),
    ({"cluster_sizes": (3, 0)}, r"two positive integers.*got \(3, 0\)"),
    ({"cluster_sizes": (3.0, 2.0)}, "two positive integers"),
    ({"ratio": 0.5}, "ratio must be at least 1, got 0.5.*swap the clusters"),
    ({"ratio": math.inf}, "ratio must be finite and positive"),
    ({"classifier_energy": -1}, "classifier_energy must be finite and pos"),
    ({"feature_energy": 0}, "feature_energy must be finite and positive"),
  ],
)
def test_bad_input_of_the_learned_model(changes, message):
  good = {
    "cluster_sizes": (3, 7),
    "ratio": 2,
    "classifier_energy": 1,
    "feature_energy": 1,
  }
  with pytest.raises(ValueError, match=message):
    solve_learnable_layer_peeled(**{**good, **changes})


def test_one_class_cannot_collapse():
  with pytest.raises(ValueError, match=r"two minority classes.*\(3, 1\)"):
    critical_ratio((3, 1), classifier_energy=1, feature_energy=1)


@pytest.mark.parametrize("module", [layer_peeled, learnable_layer_peeled])
def test_examples_of_layer_peeled_run(module):
  results = doctest.testmod(module)
  assert results.attempted > 0
  assert results.failed == 0
