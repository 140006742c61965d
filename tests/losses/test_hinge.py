# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""HingeCE: cones, exact zeros, and cross entropy at the ends."""

from hypothesis import given
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from etf_jax import losses, simplex_etf

BATCH, DIM, CLASSES = 16, 6, 5
PROTOTYPES = simplex_etf(jax.random.key(0), DIM, CLASSES)
THETA = np.arccos(-1 / (CLASSES - 1))
SEEDS = st.integers(0, 2**31 - 1)


def batch(seed):
  rng = np.random.default_rng(seed)
  features = rng.standard_normal((BATCH, DIM)).astype(np.float32)
  return 3 * features, rng.integers(0, CLASSES, BATCH).astype(np.int32)


def at_angle(angle, seed=0):
  """Features at an angle from their prototypes, in random directions."""
  rng = np.random.default_rng(seed)
  labels = rng.integers(0, CLASSES, BATCH).astype(np.int32)
  w = np.asarray(PROTOTYPES).T[labels]
  aside = rng.standard_normal((BATCH, DIM))
  aside -= (aside * w).sum(1, keepdims=True) * w
  aside /= np.linalg.norm(aside, axis=1, keepdims=True)
  features = np.cos(angle) * w + np.sin(angle) * aside
  length = rng.uniform(0.5, 5, (BATCH, 1))
  return (length * features).astype(np.float32), labels


def total(features, labels, **options):
  return losses.hinge_cross_entropy_with_integer_labels(
    features, labels, PROTOTYPES, **options
  ).sum()


@pytest.mark.slow
def test_logits_by_hand():
  w = jnp.array([[2.0, -2.0], [0.0, 0.0]])
  h = jnp.array([[3.0, 0.0], [-3.0, 0.0], [0.0, 3.0]])
  y = jnp.array([0, 0, 0])
  # Own: at most 3 * 2 * cos(60 degrees) = 3; other: at least
  # 3 * 2 * cos(120 degrees) = -3.
  logits = losses.hinge_logits(
    h, y, w, tau_plus=np.pi / 3, tau_minus=2 * np.pi / 3
  )
  np.testing.assert_allclose(
    logits, [[3, -3], [-6, 6], [0, 0]], rtol=1e-6, atol=1e-6
  )


@pytest.mark.slow
def test_each_class_has_its_own_angle():
  features, labels = at_angle(0.2)
  angles = np.array([0, 0.1, 0.3, 0.5, 1.0], np.float32)
  together = losses.hinge_logits(features, labels, PROTOTYPES, tau_plus=angles)
  for i, y in enumerate(labels):
    alone = losses.hinge_logits(
      features[i], y, PROTOTYPES, tau_plus=float(angles[y])
    )
    np.testing.assert_allclose(together[i], alone, rtol=1e-6)


PI = [np.pi, np.float32(np.pi), jnp.float32(np.pi)]


@pytest.mark.slow
@pytest.mark.parametrize("pi", PI, ids=["python", "numpy", "jax"])
@pytest.mark.parametrize("tau_plus", [0.0, np.zeros(CLASSES, np.float32)])
@pytest.mark.parametrize("jit", [False, True])
def test_cross_entropy_bit_for_bit_at_zero_and_pi(pi, tau_plus, jit):
  # On the prototypes themselves rounding would tie with the cone's edge.
  features = np.concatenate([batch(0)[0], np.asarray(PROTOTYPES).T])
  labels = np.concatenate([batch(0)[1], np.arange(CLASSES, dtype=np.int32)])

  def hinge(features, prototypes):
    return losses.hinge_cross_entropy_with_integer_labels(
      features, labels, prototypes, tau_plus=tau_plus, tau_minus=pi
    )

  def plain(features, prototypes):
    return optax.softmax_cross_entropy_with_integer_labels(
      features @ prototypes, labels
    )

  for transform in (
    lambda f: f,
    lambda f: jax.grad(lambda *a: f(*a).sum(), argnums=(0, 1)),
  ):
    actual, expected = (
      (jax.jit(transform(f)) if jit else transform(f))(features, PROTOTYPES)
      for f in (hinge, plain)
    )
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


@pytest.mark.slow
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("jit", [False, True])
def test_gradient_is_exactly_zero_inside_the_cones(jit, label_smoothing):
  tau_plus = 11 * np.pi / 36
  options = {
    "tau_plus": tau_plus,
    "tau_minus": THETA - tau_plus,
    "label_smoothing": label_smoothing,
  }
  gradient = jax.grad(lambda *arguments: total(*arguments, **options))
  gradient = jax.jit(gradient) if jit else gradient
  for share in (0.0, 0.5, 0.99):
    features, labels = at_angle(share * tau_plus)
    np.testing.assert_array_equal(gradient(features, labels), 0)
  features, labels = at_angle(1.01 * tau_plus)
  assert (np.abs(gradient(features, labels)).max(axis=1) > 1e-3).all()


@pytest.mark.slow
def test_surface_of_a_cone_belongs_to_it():
  # tau = pi/2 needs no rounding: the surface is where w.h is 0 or nearly so.
  w = jnp.eye(2)
  h, y = jnp.array([0.0, 1.0]), jnp.array(0)
  cosine = float(jnp.cos(jnp.float32(np.pi / 2)))
  on_surface = jnp.array([cosine, (1 - cosine**2) ** 0.5])

  def own_logit(h):
    return losses.hinge_logits(h, y, w, tau_plus=np.pi / 2)[0]

  np.testing.assert_array_equal(jax.grad(own_logit)(on_surface), [0, 0])
  below = jnp.array([-0.1, 1.0])
  np.testing.assert_array_equal(jax.grad(own_logit)(below), [1, 0])
  assert float(h @ w[:, 0]) == 0


def test_features_inside_a_cone_still_move_if_the_others_push():
  features, labels = at_angle(0.1)
  gradient = jax.grad(total)(features, labels, tau_plus=0.5)
  assert np.abs(gradient).max() > 1e-3
  # The push is on the other logits only: nothing along the detached own one.
  v = losses.hinge_logits(features, labels, PROTOTYPES, tau_plus=0.5)
  p = np.array(jax.nn.softmax(v))
  p[np.arange(BATCH), labels] = 0
  np.testing.assert_allclose(gradient, p @ PROTOTYPES.T, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@given(SEEDS)
def test_gradient_is_that_of_the_open_logits(seed):
  features, labels = batch(seed)
  options = {"tau_plus": 1.0, "tau_minus": 2.0}
  v = losses.hinge_logits(features, labels, PROTOTYPES, **options)
  open_logits = np.isclose(v, features @ np.asarray(PROTOTYPES), atol=1e-5)
  force = np.asarray(jax.nn.softmax(v) - jax.nn.one_hot(labels, CLASSES))
  expected = (force * open_logits) @ np.asarray(PROTOTYPES).T
  gradient = jax.grad(lambda x: total(x, labels, **options))(features)
  np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5)


@given(SEEDS, st.floats(0, np.pi), st.floats(0, np.pi))
def test_loss_grows_with_tau_plus(seed, one, other):
  features, labels = batch(seed)
  small, large = sorted([np.float32(one), np.float32(other)])
  loss = _loss_at(features, labels, small)
  assert (np.asarray(_loss_at(features, labels, large) - loss) >= -1e-5).all()


@jax.jit
def _loss_at(features, labels, tau_plus):
  return losses.hinge_cross_entropy_with_integer_labels(
    features, labels, PROTOTYPES, tau_plus=tau_plus
  )


@pytest.mark.slow
@given(SEEDS)
def test_rotation_order_and_names_change_nothing(seed):
  features, labels = batch(seed)
  rng = np.random.default_rng(seed)
  rotation, _ = np.linalg.qr(rng.standard_normal((DIM, DIM)))
  rotation = rotation.astype(np.float32)
  names, order = rng.permutation(CLASSES), rng.permutation(BATCH)
  angles = np.linspace(0, 1, CLASSES).astype(np.float32)
  loss = losses.hinge_cross_entropy_with_integer_labels(
    features, labels, PROTOTYPES, tau_plus=angles, label_smoothing=0.1
  )
  back = np.argsort(names)
  changed = losses.hinge_cross_entropy_with_integer_labels(
    (features @ rotation.T)[order],
    names[labels][order],
    (rotation @ np.asarray(PROTOTYPES))[:, back],
    tau_plus=angles[back],
    label_smoothing=0.1,
  )
  np.testing.assert_allclose(changed, loss[order], rtol=1e-4, atol=1e-4)


def test_label_smoothing_agrees_with_optax():
  features, labels = batch(0)
  smooth = optax.smooth_labels(jax.nn.one_hot(labels, CLASSES), 0.1)
  expected = optax.softmax_cross_entropy(features @ PROTOTYPES, smooth)
  actual = losses.hinge_cross_entropy_with_integer_labels(
    features, labels, PROTOTYPES, tau_plus=0.0, label_smoothing=0.1
  )
  np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_logits_of_an_out_of_range_label_are_nan():
  features, _ = batch(0)
  logits = jax.jit(
    lambda y: losses.hinge_logits(features[:2], y, PROTOTYPES, tau_plus=0.1)
  )(jnp.array([0, 5]))
  assert np.isfinite(logits[0]).all()
  assert np.isnan(logits[1]).all()
  with pytest.raises(ValueError, match=r"labels must lie in \[0, 5\), got 5"):
    losses.hinge_logits(features[0], 5, PROTOTYPES, tau_plus=0.1)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"tau_plus": -0.1}, r"tau_plus must lie in \[0, 3.14159\], got -0.1"),
    ({"tau_plus": 3.2}, r"tau_plus must lie in \[0, 3.14159\], got 3.2"),
    ({"tau_plus": 20 * np.ones(5)}, "tau_plus must lie in .* got 20"),
    ({"tau_plus": np.nan}, "tau_plus must lie in .* got nan"),
    ({"tau_plus": 0.0, "tau_minus": 180.0}, "tau_minus must lie in .* 180"),
    ({"tau_plus": np.ones(3)}, r"tau_plus must have shape .*\(5,\)"),
    ({"tau_plus": 0.0, "tau_minus": np.ones(5)}, "tau_minus must have shape"),
    ({"tau_plus": 0.0, "label_smoothing": 1.5}, "label_smoothing must lie in"),
  ],
)
def test_wrong_angles(options, message):
  features, labels = batch(0)
  with pytest.raises(ValueError, match=message):
    total(features, labels, **options)


def test_prototypes_of_another_width():
  features, labels = batch(0)
  with pytest.raises(ValueError, match=r"prototypes .* feature_dim 6, got"):
    losses.hinge_logits(features, labels, jnp.ones((4, 5)), tau_plus=0.1)
