# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Losses by blocks of classes, of soft labels and with smoothing."""

import jax
from jax import test_util
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import references

from etf_jax import etf, losses

BATCH, DIM, CLASSES = 12, 6, 7
RNG = np.random.default_rng(0)
H = 2 * RNG.standard_normal((BATCH, DIM))
W = RNG.standard_normal((DIM, CLASSES))
BIAS = RNG.standard_normal(CLASSES)
Y = RNG.integers(0, CLASSES, BATCH).astype(np.int32)
T = RNG.dirichlet(np.ones(CLASSES), BATCH)
T[0] = np.eye(CLASSES)[3]
COUNTS = np.array([500, 100, 60, 20, 9, 4, 1])
ANGLES = np.linspace(0, 1.2, CLASSES)
HINGE = {"tau_plus": ANGLES, "tau_minus": 1.8}


def hinge(logits, labels, **options):
  return losses.hinge_cross_entropy_with_integer_labels(
    logits.features, labels, logits.weights, **HINGE, **options
  )


def counted(loss, **options):
  return lambda z, y, **more: loss(z, y, class_counts=COUNTS, **options, **more)


def vector_scaled(z, y):
  scale = (COUNTS / COUNTS.max()) ** 0.1
  return references.logit_adjusted(scale * z, y, COUNTS)


# Each loss, and its float64 value for one example's logits and label.
CASES = {
  "logit_adjusted": (
    counted(losses.logit_adjusted),
    lambda z, y: references.logit_adjusted(z, y, COUNTS),
  ),
  "balanced_softmax": (
    counted(losses.balanced_softmax),
    lambda z, y: references.logit_adjusted(z, y, COUNTS),
  ),
  "ldam": (
    counted(losses.ldam, scale=3.0),
    lambda z, y: references.ldam(z, y, COUNTS, scale=3.0),
  ),
  "vector_scaling": (counted(losses.vector_scaling), vector_scaled),
  "focal": (
    lambda z, y, **more: losses.focal(z, y, gamma=1.5, **more),
    lambda z, y: references.focal(z, y, 1.5),
  ),
  "hinge": (hinge, None),
}
every_loss = pytest.mark.parametrize("name", CASES)


def product(name):
  bias = None if name == "hinge" else BIAS
  return losses.LinearLogits(H, W, bias)


def reference(name, example, label):
  if name == "hinge":
    v = references.hinge_logits(H[example], label, W, ANGLES, 1.8)
    return references.cross_entropy(v, label)
  return CASES[name][1](H[example] @ W + BIAS, label)


@pytest.fixture(autouse=True)
def float64():
  with jax.enable_x64(True):
    yield


def close(actual, expected, rtol=1e-10):
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-12),
    actual,
    expected,
  )


@pytest.mark.slow
@every_loss
@pytest.mark.parametrize("block_size", [1, 3, 50])
def test_blocks_are_the_dense_loss_with_its_gradients(name, block_size):
  loss = CASES[name][0]
  where = np.arange(BATCH) != 4
  options = {"where": where}
  if name != "focal":
    options["label_smoothing"] = 0.2

  def total(logits, **more):
    values = loss(logits, Y, **options, **more)
    return jnp.sum(values * np.arange(1.0, BATCH + 1)), values

  dense = jax.jit(jax.value_and_grad(total, has_aux=True))(product(name))
  blocked = jax.jit(
    jax.value_and_grad(lambda z: total(z, block_size=block_size), has_aux=True)
  )(product(name))
  close(blocked, dense)
  values = jax.jit(lambda z: loss(z, Y, block_size=block_size))(product(name))
  close(values, [reference(name, i, y) for i, y in enumerate(Y)])


@pytest.mark.slow
@every_loss
def test_hessians_of_blocks_are_those_of_the_dense_loss(name):
  loss = CASES[name][0]

  def total(h, **more):
    logits = product(name)._replace(features=h)
    return jnp.sum(loss(logits, Y, **more))

  direction = RNG.standard_normal(H.shape)

  def curvature(**more):
    gradient = jax.grad(lambda h: total(h, **more))
    return jax.jit(lambda h: jax.jvp(gradient, (h,), (direction,))[1])(H)

  close(curvature(block_size=2), curvature(), rtol=1e-8)
  if name == "hinge":
    return  # Its cones have no gradient through the features' length.
  test_util.check_grads(jax.jit(total), (H,), order=2, rtol=1e-4)


@pytest.mark.slow
@every_loss
def test_targets_are_the_weighted_mean_of_labels(name):
  loss = CASES[name][0]
  expected = [
    sum(T[i, k] * reference(name, i, k) for k in range(CLASSES))
    for i in range(BATCH)
  ]
  close(loss(product(name), T), expected)
  close(loss(product(name), jax.nn.one_hot(Y, CLASSES)), loss(product(name), Y))
  mixed = losses.mixup(
    lambda y: loss(product(name), y, label_smoothing=0.3), Y, Y[::-1], 0.3
  )
  both = 0.3 * np.eye(CLASSES)[Y] + 0.7 * np.eye(CLASSES)[Y[::-1]]
  close(loss(product(name), both, label_smoothing=0.3), mixed)
  if name == "hinge":
    return  # Its cones have no gradient through the features' length.
  test_util.check_grads(
    jax.jit(lambda h: loss(product(name)._replace(features=h), T).sum()),
    (H,),
    order=2,
    rtol=1e-4,
  )


@every_loss
def test_smoothing_by_hand(name):
  z = H @ W + (0 if name == "hinge" else BIAS)
  shift = np.log(COUNTS / COUNTS.sum())
  for smoothing in (0.2, jnp.float64(0.2)):
    actual = CASES[name][0](product(name), Y, label_smoothing=smoothing)
    expected = []
    for i, y in enumerate(Y):
      v = {
        "hinge": references.hinge_logits(H[i], y, W, ANGLES, 1.8),
        "vector_scaling": (COUNTS / 500) ** 0.1 * z[i] + shift,
        "ldam": 3 * (z[i] - 0.5 * COUNTS**-0.25 * (np.arange(CLASSES) == y)),
      }.get(name, z[i] + shift)
      if name == "focal":
        every = [references.focal(z[i], k, 1.5) for k in range(CLASSES)]
        expected.append(0.8 * every[y] + 0.2 * np.mean(every))
      else:
        expected.append(references.cross_entropy(v, y, 0.2))
    close(actual, expected)


def test_smoothing_leaves_absent_classes_out():
  counts = np.where(COUNTS == 20, 0, COUNTS)
  kept = counts > 0
  z, y = H @ W, np.zeros(BATCH, np.int32)
  actual = losses.logit_adjusted(z, y, class_counts=counts, label_smoothing=0.1)
  without = losses.logit_adjusted(
    z[:, kept], y, class_counts=counts[kept], label_smoothing=0.1
  )
  close(actual, without)


def test_probabilities_agree_with_optax():
  z = H @ W
  actual = losses.logit_adjusted(z, T, class_counts=COUNTS, temperature=0.0)
  close(actual, optax.softmax_cross_entropy(z, T))


def temporaries(loss, *arguments):
  compiled = jax.jit(jax.value_and_grad(loss)).lower(*arguments).compile()
  return compiled.memory_analysis().temp_size_in_bytes


@pytest.mark.slow
@every_loss
def test_memory_of_large_vocabularies(name):
  batch, dim, classes = 1024, 64, 32_000
  f32 = jnp.float32
  h, w = (jax.ShapeDtypeStruct(s, f32) for s in ((batch, dim), (dim, classes)))
  y = jax.ShapeDtypeStruct((batch,), jnp.int32)
  counts = np.ones(classes, np.float32)
  loss = {
    "hinge": lambda z, y, **more: (
      losses.hinge_cross_entropy_with_integer_labels(
        z.features, y, z.weights, tau_plus=0.3, **more
      )
    ),
    "focal": losses.focal,
  }.get(
    name,
    lambda z, y, **more: getattr(losses, name)(
      z, y, class_counts=counts, **more
    ),
  )

  def total(**more):
    return lambda h, w, y: loss(losses.LinearLogits(h, w), y, **more).sum()

  usual = temporaries(
    lambda h, w, y: optax.softmax_cross_entropy_with_integer_labels(
      h @ w, y
    ).sum(),
    h, w, y,
  )  # fmt: skip
  assert temporaries(total(), h, w, y) <= 1.1 * usual
  assert temporaries(total(block_size=1000), h, w, y) <= 0.1 * usual


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"block_size": 0}, "block_size must be a number of classes"),
    ({"block_size": 2, "logits": H @ W}, "block_size .* LinearLogits"),
    ({"block_size": 2, "labels": T}, "block_size=2: labels of"),
    ({"block_size": 2, "label_smoothing": 0.1}, "block_size=2: .*smooth"),
    ({"labels": T[:, :3]}, r"labels must .* floating of shape \(12, 7\)"),
    ({"labels": -T}, r"labels must lie in \[0, inf\)"),
    (
      {"logits": losses.LinearLogits(H, W, BIAS[:3])},
      r"bias must have shape \(7,\)",
    ),
  ],
)
def test_wrong_input(options, message):
  arguments = {"logits": product("focal"), "labels": Y} | options
  with pytest.raises(ValueError, match=message):
    losses.focal(**arguments)


@pytest.mark.slow
def test_lengths_of_a_batch_over_a_mapped_axis():
  labels, where = Y.reshape(3, 4), np.arange(12).reshape(3, 4) % 5 > 0
  expected = etf.batch_class_lengths(Y, CLASSES, where=where.ravel())
  each = jax.vmap(
    lambda y, where: etf.batch_class_lengths(
      y, CLASSES, where=where, axis_name="shards"
    ),
    axis_name="shards",
  )(labels, where)
  close(each, np.broadcast_to(expected, each.shape))


def test_a_mask_of_integers_counts_what_is_not_zero():
  mask = np.arange(BATCH) % 3
  for mapped in (lambda f: f, jax.jit):
    close(
      mapped(lambda m: losses.focal(H @ W, Y, where=m))(mask),
      losses.focal(H @ W, Y, where=mask != 0),
    )
