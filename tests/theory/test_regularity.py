# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The regularity number: theorem 2 and its closed forms."""

import doctest
import math

from hypothesis import given
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from etf_jax import losses, simplex_etf
from etf_jax.theory import regularity
from etf_jax.theory.regularity import regularity_number

CLASSES = 4
DIM = 6  # Room for features off the span of the prototypes.
ANGLES = st.floats(0.05, 3.0)
ENERGIES = st.floats(0.1, 20)
TABLE = [(0.1, 0.997502), (0.5, 0.938791), (1.0, 0.770151), (1.5, 0.535369)]


@pytest.fixture(autouse=True)
def wide():
  with jax.enable_x64(True):
    yield


def test_definition_2_projects_the_step():
  # At step 1 dot regression has cos + (1 - cos) = 1 along the optimum.
  w, angle = np.array([1.0, 0.0]), 0.1
  h = np.array([np.cos(angle), np.sin(angle)])
  gradient = -(1 - np.cos(angle)) * w
  reached = np.array([1.0, np.sin(angle)])
  reached /= np.linalg.norm(reached)
  expected = np.sum((reached - w) ** 2) / np.sum((h - w) ** 2)
  found = regularity_number(h, gradient, w, 1.0, radius=1.0)
  assert found == pytest.approx(expected)
  assert found == pytest.approx(0.990, abs=5e-4)
  # A step that stays inside the ball is not changed.
  inside = regularity_number(0.5 * h, gradient, w, 0.1, radius=1.0)
  assert inside == regularity_number(0.5 * h, gradient, w, 0.1)


def setting(angle, classifier_energy=1.0, feature_energy=1.0):
  """Prototypes, a feature at an angle to the first one, and its optimum.

  The others have equal logits: the feature leaves the span of the prototypes.
  """
  frame = np.asarray(
    simplex_etf(jax.random.key(0), DIM, CLASSES, dtype=jnp.float64)
  )
  off = np.linalg.svd(frame)[0][:, -1]
  direction = math.cos(angle) * frame[:, 0] + math.sin(angle) * off
  length = math.sqrt(feature_energy)
  return (
    math.sqrt(classifier_energy) * frame,
    length * direction,
    (length * frame[:, 0]),
  )


def dot_regression_gradient(feature, prototypes, feature_energy):
  def loss(h):
    return losses.dot_regression(
      h, prototypes[:, 0], feature_length=math.sqrt(feature_energy)
    )

  return np.asarray(jax.grad(loss)(feature))


def cross_entropy_gradient(feature, prototypes):
  parts = losses.pull_push(feature[None], np.array([0]), prototypes)
  return -np.asarray(parts.features_pull + parts.features_push)[0]


def cross_entropy_step(angle, energy_w=1.0, energy_h=1.0):
  """The best step in closed form: 1 - p from logits that differ in two ways."""
  cosine = math.cos(angle)
  product = math.sqrt(energy_w * energy_h)
  odds = (CLASSES - 1) * math.exp(-product * cosine * CLASSES / (CLASSES - 1))
  step = math.sqrt(energy_h / energy_w) * (1 - cosine) * (CLASSES - 1)
  return step / (CLASSES * odds / (1 + odds))


def by_hand(feature, gradient, optimum, step):
  before, after = feature - optimum, feature - step * gradient - optimum
  return float(after @ after) / float(before @ before)


@pytest.mark.slow
@pytest.mark.parametrize(("angle", "expected"), TABLE)
def test_table(angle, expected):
  prototypes, h, best = setting(angle)
  for gradient in (
    dot_regression_gradient(h, prototypes, 1),
    cross_entropy_gradient(h, prototypes),
  ):
    assert round(float(regularity_number(h, gradient, best)), 6) == expected


@given(ANGLES, ENERGIES, ENERGIES)
def test_dot_regression_has_one_best_step(angle, energy_w, energy_h):
  prototypes, h, best = setting(angle, energy_w, energy_h)
  gradient = dot_regression_gradient(h, prototypes, energy_h)
  expected = (1 + math.cos(angle)) / 2
  constant = math.sqrt(energy_h / energy_w)
  for step in (None, constant):
    eta = regularity_number(h, gradient, best, step)
    assert float(eta) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@given(ANGLES, ENERGIES, ENERGIES)
def test_best_step_of_cross_entropy_depends_on_the_feature(
  angle, energy_w, energy_h
):
  prototypes, h, best = setting(angle, energy_w, energy_h)
  gradient = cross_entropy_gradient(h, prototypes)
  expected = (1 + math.cos(angle)) / 2
  for step in (None, cross_entropy_step(angle, energy_w, energy_h)):
    eta = regularity_number(h, gradient, best, step)
    assert float(eta) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@given(ANGLES, st.floats(-5, 5))
def test_theorem_2(angle, log_step):
  prototypes, h, best = setting(angle)
  gradient = cross_entropy_gradient(h, prototypes)
  eta = float(regularity_number(h, gradient, best, math.exp(log_step)))
  assert eta >= (1 + math.cos(angle)) / 2 - 1e-9


def test_a_fixed_step_is_not_best_elsewhere():
  prototypes, _, best = setting(0)
  gaps = []
  for angle in (0.5, 1.5):
    _, h, _ = setting(angle)
    gradient = cross_entropy_gradient(h, prototypes)
    eta = regularity_number(h, gradient, best, cross_entropy_step(1.5))
    gaps.append(float(eta) - (1 + math.cos(angle)) / 2)
  assert gaps[0] > 0.01
  assert gaps[1] == pytest.approx(0, abs=1e-12)


@given(st.integers(0, 10**6), st.floats(-10, 10))
def test_best_step_is_best(seed, step):
  h, gradient, best = np.random.default_rng(seed).standard_normal((3, 5))
  least = float(regularity_number(h, gradient, best))
  given_step = float(regularity_number(h, gradient, best, step))
  assert given_step == pytest.approx(by_hand(h, gradient, best, step))
  assert 0 <= least <= min(1, given_step) + 1e-12
  closed = float(gradient @ (h - best)) / float(gradient @ gradient)
  assert least == pytest.approx(by_hand(h, gradient, best, closed), abs=1e-12)


@pytest.mark.slow
def test_leading_axes_steps_and_vmap():
  h, gradient, best = np.random.default_rng(0).standard_normal((3, 2, 3, 5))
  steps = np.linspace(0.1, 1, 6).reshape(2, 3)
  together = regularity_number(h, gradient, best, steps)
  assert together.shape == (2, 3)
  for i in np.ndindex(2, 3):
    one = by_hand(h[i], gradient[i], best[i], steps[i])
    assert float(together[i]) == pytest.approx(one)
  mapped = jax.jit(jax.vmap(jax.vmap(regularity_number)))
  np.testing.assert_allclose(mapped(h, gradient, best, steps), together)
  np.testing.assert_allclose(
    mapped(h, gradient, best), regularity_number(h, gradient, best)
  )


def test_where_it_is_not_defined():
  h, g = np.array([1.0, 2.0]), np.array([1.0, 1.0])
  zero = np.zeros(2)
  assert math.isnan(float(regularity_number(h, zero, zero)))
  assert float(regularity_number(h, zero, zero, 0.3)) == 1
  for step in (None, 0.0, 0.3):
    assert math.isnan(float(regularity_number(h, g, h, step)))


def test_dtypes():
  h, g = np.array([3.0, 4.0], np.float32), np.array([0.0, 1e-30], np.float32)
  eta = regularity_number(h, g, np.zeros_like(h))
  assert eta.dtype == jnp.float32
  # A gradient whose square underflows takes away its own direction.
  assert float(eta) == pytest.approx(9 / 25)
  assert regularity_number(h, g, np.zeros(2)).dtype == jnp.float64
  half = jnp.asarray(h, jnp.bfloat16)
  assert regularity_number(half, half, half, 2).dtype == jnp.float32


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ((1.0, 1.0, 1.0), r"feature must be floating with shape \[\.\.\., fea"),
    ((np.arange(2), np.ones(2), np.ones(2)), "feature must be floating"),
    ((np.ones(2), np.ones(3), np.ones(2)), r"gradient must have the.*\(3,\)"),
    ((np.ones(2), np.ones(2), np.ones((1, 2))), "optimum must have the fea"),
    (
      (np.ones((4, 2)),) * 3 + (np.ones(3),),
      r"step_size must be a scalar or have shape \(4,\), got \(3,\)",
    ),
  ],
)
def test_bad_input_of_regularity(arguments, message):
  with pytest.raises(ValueError, match=message):
    regularity_number(*arguments)


def test_examples_of_regularity_run():
  results = doctest.testmod(regularity)
  assert results.attempted > 0
  assert results.failed == 0
