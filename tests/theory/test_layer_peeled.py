# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The layer-peeled model with a fixed classifier."""

import math

from frames import (
  cross_entropies,
  etf,
  etf_cross_entropy,
  etf_inner_products,
)
from hypothesis import given
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, special

from etf_jax import losses
from etf_jax.theory.layer_peeled import solve_layer_peeled

COUNTS = [40, 20, 7, 3, 1]
CLASSES = len(COUNTS)
LOSSES = pytest.mark.parametrize("loss", ["ce", "dr"])


def random_classifier(seed, dim, classes):
  rng = np.random.default_rng(seed)
  return rng.standard_normal((dim, classes)) * rng.uniform(0.5, 2, classes)


@LOSSES
@pytest.mark.parametrize(
  ("classifier_energy", "feature_energy"), [(1, 5), (0.3, 0.2), (4, 900)]
)
def test_theorem_1(loss, classifier_energy, feature_energy):
  prototypes = etf(classifier_energy)
  peeled = solve_layer_peeled(
    prototypes, COUNTS, feature_energy=feature_energy, loss=loss
  )
  energies = classifier_energy * feature_energy
  expected = etf_inner_products(CLASSES, energies)
  np.testing.assert_allclose(peeled.features @ prototypes, expected, atol=1e-6)
  best = etf_cross_entropy(CLASSES, energies) if loss == "ce" else 0
  assert peeled.loss == pytest.approx(best, rel=1e-8, abs=1e-12)


@LOSSES
@given(st.lists(st.integers(1, 10**6), min_size=CLASSES, max_size=CLASSES))
def test_counts_do_not_move_features(loss, counts):
  prototypes = random_classifier(0, 3, CLASSES)
  balanced, other = (
    solve_layer_peeled(prototypes, n, feature_energy=2, loss=loss)
    for n in ([1] * CLASSES, counts)
  )
  np.testing.assert_array_equal(balanced.features, other.features)
  # But they do weigh the loss.
  each = losses_of(other.features, prototypes, 2, loss)
  mean = np.average(each, weights=counts)
  assert other.loss == pytest.approx(mean, rel=1e-9, abs=1e-12)


def losses_of(features, prototypes, energy, loss):
  if loss == "ce":
    return cross_entropies((features @ prototypes).T)
  with jax.enable_x64(True):
    return np.asarray(
      losses.dot_regression_with_integer_labels(
        features,
        np.arange(len(features)),
        prototypes,
        feature_length=math.sqrt(energy),
      )
    )


# Optima lie on the sphere, except for a prototype within the hull of the
# others, as the middle one of three numbers is.
@pytest.mark.parametrize(
  ("seed", "dim", "classes", "energy", "inside"),
  [(0, 4, 4, 1, 0), (1, 5, 3, 30, 0), (5, 1, 3, 50, 1), (2, 2, 8, 9, 1)],
)
def test_cross_entropy_against_slsqp(seed, dim, classes, energy, inside):
  prototypes = random_classifier(seed, dim, classes)
  peeled = solve_layer_peeled(
    prototypes, [1] * classes, feature_energy=energy, loss="ce"
  )
  lengths = np.linalg.norm(peeled.features, axis=1)
  assert (lengths <= math.sqrt(energy) * (1 + 1e-12)).all()
  assert (lengths < 0.999 * math.sqrt(energy)).sum() == inside
  least = []
  for k in range(classes):

    def value_and_slope(h, k=k):
      logits = h @ prototypes
      slope = prototypes @ special.softmax(logits) - prototypes[:, k]
      return special.logsumexp(logits) - logits[k], slope

    found = optimize.minimize(
      value_and_slope,
      np.full(dim, 0.1),
      jac=True,
      method="SLSQP",
      options={"ftol": 1e-15, "maxiter": 500},
      constraints={
        "type": "ineq",
        "fun": lambda h: energy - h @ h,
        "jac": lambda h: -2 * h,
      },
    )
    least.append(found.fun)
    np.testing.assert_allclose(
      peeled.features[k] @ prototypes, found.x @ prototypes, atol=2e-5
    )
  assert peeled.loss == pytest.approx(np.mean(least), abs=1e-8)


def test_forces_at_the_optimum_point_outwards():
  prototypes = random_classifier(1, 5, 3)
  peeled = solve_layer_peeled(prototypes, [1, 1, 1], feature_energy=3)
  with jax.enable_x64(True):
    parts = losses.pull_push(peeled.features, np.arange(3), prototypes)
  force = np.asarray(parts.features_pull + parts.features_push)
  length = np.linalg.norm(force, axis=1, keepdims=True)
  outwards = peeled.features / math.sqrt(3)
  np.testing.assert_allclose(force / length, outwards, atol=1e-7)


@given(st.integers(0, 10**6))
def test_dot_regression_points_every_feature_at_its_prototype(seed):
  prototypes = random_classifier(seed, 3, 6)
  peeled = solve_layer_peeled(prototypes, [1] * 6, feature_energy=7, loss="dr")
  lengths = np.linalg.norm(prototypes, axis=0)
  expected = math.sqrt(7) * (prototypes / lengths).T
  np.testing.assert_allclose(peeled.features, expected, atol=1e-9)


@LOSSES
@given(st.integers(0, 10**6))
def test_rotations_and_relabelling(loss, seed):
  rng = np.random.default_rng(seed)
  prototypes = random_classifier(seed, 4, CLASSES)
  rotation, _ = np.linalg.qr(rng.standard_normal((4, 4)))
  order = rng.permutation(CLASSES)
  one = solve_layer_peeled(prototypes, COUNTS, feature_energy=2, loss=loss)
  other = solve_layer_peeled(
    (rotation @ prototypes)[:, order],
    np.array(COUNTS)[order],
    feature_energy=2,
    loss=loss,
  )
  expected = (one.features @ rotation.T)[order]
  # Features that the loss hardly depends on are known less well.
  np.testing.assert_allclose(
    other.features @ (rotation @ prototypes),
    expected @ rotation @ prototypes,
    atol=2e-6,
  )
  assert other.loss == pytest.approx(one.loss, abs=1e-8)


def test_nothing_to_tell_apart():
  # Equal columns: every feature is as good, and zero is the shortest.
  peeled = solve_layer_peeled(np.ones((2, 3)), [3, 2, 1], feature_energy=4)
  np.testing.assert_array_equal(peeled.features, 0)
  assert peeled.loss == pytest.approx(math.log(3))


@LOSSES
def test_float64_whatever_the_setting(loss):
  prototypes = random_classifier(0, 3, CLASSES).astype(np.float32)
  found = []
  for wide in (False, True):
    with jax.enable_x64(wide):
      found.append(
        solve_layer_peeled(
          jnp.asarray(prototypes), COUNTS, feature_energy=5, loss=loss
        )
      )
      assert jax.config.jax_enable_x64 == wide
  assert found[0].features.dtype == np.float64
  assert isinstance(found[0].features, np.ndarray)
  np.testing.assert_array_equal(found[0].features, found[1].features)
  assert found[0].loss == found[1].loss


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"loss": "mse"}, r"loss must be one of \('ce', 'dr'\), got 'mse'"),
    ({"feature_energy": 0}, "feature_energy must be finite and positive"),
    ({"feature_energy": math.nan}, "feature_energy must be finite and posi"),
    ({"prototypes": np.ones(3)}, r"shape \[feature_dim, num_classes\].*\(3,\)"),
    ({"prototypes": np.ones((3, 1))}, "at least 2 classes"),
    ({"prototypes": np.full((2, 2), np.inf)}, "prototypes must be finite"),
    ({"class_counts": [1, 2, 3]}, "3 entries for 2 classes"),
    ({"class_counts": [1, 0]}, "positive, got 0 for class 1"),
    (
      {"prototypes": np.array([[1.0, 0.0]]), "loss": "dr"},
      "must not be zero for loss='dr': class 1 is",
    ),
  ],
)
def test_bad_input(changes, message):
  good = {"prototypes": np.eye(2), "class_counts": [2, 1], "feature_energy": 1}
  with pytest.raises(ValueError, match=message):
    solve_layer_peeled(**{**good, **changes})


def test_says_what_is_missing():
  # Inner products of 1e6 are known to more than 1e-7 in no float64.
  with pytest.raises(RuntimeError, match=r"class \d: the loss is within"):
    solve_layer_peeled(random_classifier(1, 3, 4), [1] * 4, feature_energy=1e12)
