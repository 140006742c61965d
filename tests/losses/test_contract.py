# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Every loss: transformations, meshes, dtypes and masks."""

from collections.abc import Callable
import functools
from typing import NamedTuple

import jax
from jax.experimental import checkify
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
import numpy as np
import pytest
import references

from etf_jax import losses, simplex_etf

BATCH, DIM, CLASSES = 16, 6, 5
COUNTS = np.array([50, 20, 9, 4, 1])
LENGTHS = np.array([0.5, 0.8, 1.0, 1.5, 2.0], np.float32)
ANGLES = np.array([0.0, 0.3, 0.6, 0.9, 1.2], np.float32)
PROTOTYPES = np.asarray(simplex_etf(jax.random.key(0), DIM, CLASSES))


class Case(NamedTuple):
  """A loss of (x, labels, where) and its float64 value for one example."""

  loss: Callable
  reference: Callable
  width: int  # of x: features or classes


CASES = {
  "dot_regression": Case(
    lambda x, y, where: losses.dot_regression(
      x,
      jax.nn.one_hot(y, CLASSES, dtype=jnp.float32) @ (2 * PROTOTYPES.T),
      where=where,
    ),
    lambda x, y: references.dot_regression(x, 2 * PROTOTYPES[:, y]),
    DIM,
  ),
  "dot_regression_with_integer_labels": Case(
    lambda x, y, where: losses.dot_regression_with_integer_labels(
      x, y, PROTOTYPES, class_lengths=LENGTHS, feature_length=1.5, where=where
    ),
    lambda x, y: references.dot_regression(
      x, LENGTHS[y] * PROTOTYPES[:, y], 1.5
    ),
    DIM,
  ),
  "dot_regression_detached": Case(
    lambda x, y, where: losses.dot_regression_with_integer_labels(
      x,
      y,
      PROTOTYPES,
      class_lengths=LENGTHS,
      feature_length=None,
      scaling="class_balanced",
      where=where,
    ),
    lambda x, y: references.dot_regression(
      x, LENGTHS[y] * PROTOTYPES[:, y], None, "class_balanced"
    ),
    DIM,
  ),
  "feature_length_penalty": Case(
    lambda x, y, where: losses.feature_length_penalty(x, where=where),
    lambda x, y: np.linalg.norm(np.float64(x)),
    DIM,
  ),
  "hinge_cross_entropy_with_integer_labels": Case(
    lambda x, y, where: losses.hinge_cross_entropy_with_integer_labels(
      x,
      y,
      PROTOTYPES,
      tau_plus=ANGLES,
      tau_minus=2.0,
      label_smoothing=0.1,
      where=where,
    ),
    lambda x, y: references.cross_entropy(
      references.hinge_logits(x, y, PROTOTYPES, ANGLES, 2.0), y, 0.1
    ),
    DIM,
  ),
  "ldam": Case(
    lambda x, y, where: losses.ldam(x, y, class_counts=COUNTS, where=where),
    lambda x, y: references.ldam(x, y, COUNTS),
    CLASSES,
  ),
  "logit_adjusted": Case(
    lambda x, y, where: losses.logit_adjusted(
      x, y, class_counts=COUNTS, temperature=1.5, where=where
    ),
    lambda x, y: references.logit_adjusted(x, y, COUNTS, 1.5),
    CLASSES,
  ),
  "balanced_softmax": Case(
    lambda x, y, where: losses.balanced_softmax(
      x, y, class_counts=COUNTS, where=where
    ),
    lambda x, y: references.logit_adjusted(x, y, COUNTS),
    CLASSES,
  ),
  "focal": Case(
    lambda x, y, where: losses.focal(x, y, gamma=0.5, where=where),
    lambda x, y: references.focal(x, y, 0.5),
    CLASSES,
  ),
  "mixup": Case(
    lambda x, y, where: losses.mixup(
      lambda labels: losses.focal(x, labels, where=where),
      y,
      (y + 1) % CLASSES,
      0.3,
    ),
    lambda x, y: (
      0.3 * references.focal(x, y)
      + 0.7 * references.focal(x, (y + 1) % CLASSES)
    ),
    CLASSES,
  ),
}
# The others take no labels, or change them before the loss sees them.
LABELLED = sorted(
  set(CASES) - {"dot_regression", "feature_length_penalty", "mixup"}
)


@functools.cache
def data(name):
  """Inputs of a case, and the loss of each example."""
  rng = np.random.default_rng(0)
  x = rng.standard_normal((BATCH, CASES[name].width)).astype(np.float32)
  y = rng.integers(0, CLASSES, BATCH).astype(np.int32)
  expected = [CASES[name].reference(*xy) for xy in zip(x, y, strict=True)]
  return x, y, np.array(expected)


@functools.cache
def compiled(name, gradient=False):
  loss = CASES[name].loss
  if gradient:
    return jax.jit(jax.grad(lambda *arguments: loss(*arguments).sum()))
  return jax.jit(loss)


def close(actual, expected):
  np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=2e-6)


every_loss = pytest.mark.parametrize("name", CASES)


@every_loss
def test_value_eager_and_under_jit(name):
  x, y, expected = data(name)
  eager = CASES[name].loss(x, y, None)
  assert eager.shape == (BATCH,)
  assert eager.dtype == jnp.float32
  close(eager, expected)
  close(compiled(name)(x, y, None), expected)


@every_loss
def test_leading_axes_are_free_and_vmap_agrees(name):
  x, y, expected = data(name)
  loss = compiled(name)
  close(loss(x.reshape(2, 8, -1), y.reshape(2, 8), None).ravel(), expected)
  vmapped = jax.jit(jax.vmap(lambda x, y: CASES[name].loss(x, y, None)))
  close(vmapped(x, y), expected)
  single = loss(x[0], y[0], None)
  assert single.shape == ()
  close(single, expected[0])
  assert loss(x[:0], y[:0], None).shape == (0,)


@every_loss
@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_meshes(name, kind):
  x, y, expected = data(name)
  gradient = compiled(name, gradient=True)(x, y, None)
  mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=(kind, kind))
  with jax.set_mesh(mesh):
    placed = jax.device_put((x, y), NamedSharding(mesh, P("data")))
    value = compiled(name)(*placed, None)
    close(value, expected)
    close(compiled(name, gradient=True)(*placed, None), gradient)
    if kind == AxisType.Explicit:
      assert jax.typeof(value).sharding.spec == P("data")


@every_loss
def test_shard_map(name):
  x, y, expected = data(name)
  loss = CASES[name].loss
  mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))

  def per_shard(x, y):
    gradient = jax.grad(lambda x: loss(x, y, None).sum())(x)
    return loss(x, y, None), gradient

  value, gradient = jax.jit(
    jax.shard_map(per_shard, mesh=mesh, in_specs=P("data"), out_specs=P("data"))
  )(x, y)
  close(value, expected)
  close(gradient, compiled(name, gradient=True)(x, y, None))


@every_loss
def test_bfloat16_is_computed_in_float32(name):
  x, y, _ = data(name)
  half = jnp.asarray(x, jnp.bfloat16)
  loss = compiled(name)(half, y, None)
  assert loss.dtype == jnp.float32
  exact = [
    CASES[name].reference(np.float64(row), label)
    for row, label in zip(np.asarray(half, np.float32), y, strict=True)
  ]
  close(loss, exact)
  gradient = compiled(name, gradient=True)(half, y, None)
  assert gradient.dtype == jnp.bfloat16


@every_loss
def test_float64_stays_float64(name):
  x, y, expected = data(name)
  with jax.enable_x64(True):
    loss = compiled(name)
    wide = loss(jnp.asarray(x, jnp.float64), y.astype(np.int64), None)
    assert wide.dtype == jnp.float64
    # The prototypes and angles of the cases are float32 numbers.
    np.testing.assert_allclose(wide, expected, rtol=1e-12, atol=1e-13)
    assert loss(jnp.asarray(x), y, None).dtype == jnp.float32


@every_loss
@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_masked_examples_give_zero_and_finite_zero_gradients(name, poison):
  x, y, expected = data(name)
  where = np.arange(BATCH) % 3 != 0
  x = np.where(where[:, None], x, np.float32(poison))
  # -1 is what padding often holds.
  y = np.where(where, y, -1).astype(np.int32)
  if name == "mixup":
    y = np.where(where, y, 0)
  for loss in (CASES[name].loss, compiled(name)):
    value = loss(x, y, where)
    close(value, np.where(where, expected, 0))
    np.testing.assert_array_equal(value[~where], 0)
  gradient = compiled(name, gradient=True)(x, y, where)
  assert np.isfinite(gradient).all()
  np.testing.assert_array_equal(gradient[~where], 0)
  clean, labels, _ = data(name)
  unmasked = compiled(name, gradient=True)(clean, labels, None)
  close(gradient[where], unmasked[where])


@pytest.mark.parametrize("name", LABELLED)
@pytest.mark.parametrize("wrong", [-1, CLASSES, 300])
def test_out_of_range_labels(name, wrong):
  x, y, expected = data(name)
  y = y.copy()
  y[3] = wrong
  others = np.arange(BATCH) != 3
  message = rf"labels must lie in \[0, 5\), got {wrong}"
  with pytest.raises(ValueError, match=message):
    CASES[name].loss(x, y, None)
  value = compiled(name)(x, y, None)
  assert np.isnan(value[3])
  close(value[others], expected[others])
  gradient = compiled(name, gradient=True)(x, y, None)
  assert np.isnan(gradient[3]).all()
  assert np.isfinite(gradient[others]).all()


@pytest.mark.parametrize("name", LABELLED)
def test_checkify_reports_the_label(name):
  x, y, _ = data(name)
  checked = jax.jit(checkify.checkify(CASES[name].loss))
  error, _ = checked(x, y, None)
  assert error.get() is None
  where = np.ones(BATCH, bool)
  error, _ = checked(x, np.where(y == 2, 7, y), where)
  assert "labels must lie in [0, 5), got 0 to 7" in error.get()
  error, _ = checked(x, np.where(y == 2, 7, y), y != 2)
  assert error.get() is None


@pytest.mark.parametrize("name", LABELLED)
def test_wrong_shapes_and_dtypes(name):
  x, y, _ = data(name)
  loss = CASES[name].loss
  with pytest.raises(ValueError, match=r"labels must have shape \(16,\), got"):
    loss(x, y[:3], None)
  with pytest.raises(
    ValueError, match=r"labels must be integers.*, got .*float32"
  ):
    loss(x, y.astype(np.float32), None)
  with pytest.raises(ValueError, match=r"where must be boolean .*\(3,\)"):
    loss(x, y, np.ones(3, bool))
  with pytest.raises(ValueError, match=r"where must be boolean .* float32"):
    loss(x, y, np.ones(BATCH, np.float32))
  with pytest.raises(ValueError, match="must be floating with shape"):
    loss(x.astype(np.int32), y, None)
  with pytest.raises(ValueError, match="must be floating with shape"):
    loss(np.float32(1), np.int32(0), None)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint32])
def test_labels_of_any_integer_dtype(dtype):
  # 300 classes: more than a byte can count.
  logits = np.random.default_rng(0).standard_normal((4, 300), np.float32)
  y = np.array([0, 44, 100, 127], dtype)
  expected = [references.focal(*xy) for xy in zip(logits, y, strict=True)]
  close(jax.jit(losses.focal)(logits, y), expected)
