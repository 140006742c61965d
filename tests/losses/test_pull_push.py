# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The pull and push parts of the gradient of cross entropy."""

from hypothesis import given
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
import numpy as np
import optax
import pytest

from etf_jax import losses

BATCH, DIM, CLASSES = 16, 6, 5


def batch(seed):
  rng = np.random.default_rng(seed)
  features = rng.standard_normal((BATCH, DIM)).astype(np.float32)
  weights = rng.standard_normal((DIM, CLASSES)).astype(np.float32)
  return features, rng.integers(0, CLASSES, BATCH).astype(np.int32), weights


def reference(features, labels, weights):
  """Equations 10 to 13, one example and one class at a time."""
  features, weights = np.float64(features), np.float64(weights)
  parts = losses.PullPush(
    np.zeros((DIM, CLASSES)),
    np.zeros((DIM, CLASSES)),
    np.zeros((BATCH, DIM)),
    np.zeros((BATCH, DIM)),
  )
  for i, (h, y) in enumerate(zip(features, labels, strict=True)):
    p = np.exp(h @ weights)
    p /= p.sum()
    for k in range(CLASSES):
      if k == y:
        parts.classifier_pull[:, k] += (1 - p[k]) * h
        parts.features_pull[i] += (1 - p[k]) * weights[:, k]
      else:
        parts.classifier_push[:, k] -= p[k] * h
        parts.features_push[i] -= p[k] * weights[:, k]
  return parts


def close(actual, expected):
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-6),
    actual,
    losses.PullPush(*expected),
  )


@pytest.mark.slow
@given(st.integers(0, 2**31 - 1))
def test_pull_and_push_are_minus_the_gradient(seed):
  features, labels, weights = batch(seed)

  def total(features, weights):
    return optax.softmax_cross_entropy_with_integer_labels(
      features @ weights, labels
    ).sum()

  parts = losses.pull_push(features, labels, weights)
  by_features, by_weights = jax.grad(total, argnums=(0, 1))(features, weights)
  np.testing.assert_allclose(
    parts.features_pull + parts.features_push, -by_features, atol=1e-5
  )
  np.testing.assert_allclose(
    parts.classifier_pull + parts.classifier_push, -by_weights, atol=1e-5
  )
  close(parts, reference(features, labels, weights))


def test_pull_keeps_its_digits_when_the_answer_is_certain():
  # 1 - p = e^-30 / (1 + e^-30) is zero in float32 if computed from p.
  parts = losses.pull_push(
    jnp.array([[1.0]]), jnp.array([0]), jnp.array([[30.0, 0.0]])
  )
  assert float(parts.features_pull[0, 0]) == pytest.approx(
    30 * np.exp(-30), rel=1e-5
  )


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_meshes(kind):
  features, labels, weights = batch(0)
  mesh = jax.make_mesh((8,), ("data",), axis_types=(kind,))
  with jax.set_mesh(mesh):
    placed = jax.device_put((features, labels), NamedSharding(mesh, P("data")))
    parts = jax.jit(losses.pull_push)(*placed, weights)
  close(parts, reference(features, labels, weights))


def test_dtypes():
  features, labels, weights = batch(0)
  half = losses.pull_push(
    jnp.asarray(features, jnp.bfloat16),
    labels,
    jnp.asarray(weights, jnp.bfloat16),
  )
  assert {part.dtype for part in half} == {jnp.dtype(jnp.float32)}
  with jax.enable_x64(True):
    wide = losses.pull_push(features.astype(np.float64), labels, weights)
    assert {part.dtype for part in wide} == {jnp.dtype(jnp.float64)}
  for part, expected in zip(
    wide, reference(features, labels, weights), strict=True
  ):
    np.testing.assert_allclose(part, expected, rtol=1e-12, atol=1e-13)


def test_out_of_range_label():
  features, labels, weights = batch(0)
  labels[2] = CLASSES
  with pytest.raises(ValueError, match=r"labels must lie in \[0, 5\), got 5"):
    losses.pull_push(features, labels, weights)
  parts = jax.jit(losses.pull_push)(features, labels, weights)
  assert np.isnan(parts.classifier_push).all()
  assert np.isnan(parts.features_push[2]).all()
  assert np.isfinite(np.delete(parts.features_push, 2, axis=0)).all()


def test_wrong_shapes():
  features, labels, weights = batch(0)
  with pytest.raises(ValueError, match=r"shape \[batch, feature_dim\]"):
    losses.pull_push(features[0], labels[0], weights)
  with pytest.raises(ValueError, match="weights must be floating with shape"):
    losses.pull_push(features, labels, weights.T)
  with pytest.raises(ValueError, match=r"labels must have shape \(16,\)"):
    losses.pull_push(features, labels[:2], weights)
