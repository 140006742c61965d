# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Our convolution is lax's, with the same gradients."""

import functools

import jax
from jax import lax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
import numpy as np
import pytest

from etf_jax.models import convolution

DIMENSIONS = ("NHWC", "HWIO", "NHWC")

# Batch, height, width, kernel, stride, padding. The batches make the weight
# gradient a sum over 8, 4, 1, 1 and 2 slices.
CASES = [
  (16, 6, 6, 3, 1, [(1, 1), (1, 1)]),
  (12, 7, 5, 3, 2, [(1, 1), (1, 1)]),
  (7, 5, 4, 1, 1, "VALID"),
  (1, 5, 5, 3, 2, "SAME"),
  (2, 4, 6, 1, 2, "VALID"),
]


def inputs(batch, height, width, kernel, dtype):
  rng = np.random.default_rng(batch)
  images = rng.standard_normal((batch, height, width, 3))
  weights = rng.standard_normal((kernel, kernel, 3, 5))
  return jnp.asarray(images, dtype), jnp.asarray(weights, dtype)


def scalar(conv, stride, padding):
  """A smooth function of a convolution, with a cotangent that varies."""

  def function(images, weights):
    # As linen calls it: strides by position, the rest by keyword.
    y = conv(
      images,
      weights,
      (stride, stride),
      padding,
      dimension_numbers=DIMENSIONS,
    )
    return jnp.sum(jnp.sin(y)), y

  return function


OURS, LAX = convolution.conv_general_dilated, lax.conv_general_dilated


@pytest.mark.slow
@pytest.mark.parametrize(
  ("case", "dtype"), [(CASES[0], "float32"), *((c, "float64") for c in CASES)]
)
def test_value_and_both_gradients_are_those_of_lax(case, dtype):
  *shape, stride, padding = case
  with jax.enable_x64(dtype == "float64"):
    arrays = inputs(*shape, dtype)
    (_, ours), gradients = jax.jit(
      jax.value_and_grad(scalar(OURS, stride, padding), (0, 1), has_aux=True)
    )(*arrays)
    (_, wanted), wanted_gradients = jax.jit(
      jax.value_and_grad(scalar(LAX, stride, padding), (0, 1), has_aux=True)
    )(*arrays)
  np.testing.assert_array_equal(ours, wanted)
  tolerance = 1e-13 if dtype == "float64" else 1e-5
  for gradient, expected in zip(gradients, wanted_gradients, strict=True):
    assert gradient.dtype == expected.dtype == dtype
    atol = tolerance * float(np.abs(expected).max())
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=atol)


@pytest.mark.slow
def test_gradients_under_vmap_over_images_and_weights():
  def gradient(conv):
    function = scalar(conv, 1, "SAME")
    return jax.jit(jax.vmap(jax.grad(function, (0, 1), has_aux=True)))

  rng = np.random.default_rng(0)
  images = jnp.asarray(rng.standard_normal((2, 8, 4, 4, 3)), jnp.float32)
  weights = jnp.asarray(rng.standard_normal((2, 3, 3, 3, 5)), jnp.float32)
  ours, _ = gradient(OURS)(images, weights)
  wanted, _ = gradient(LAX)(images, weights)
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4),
    ours,
    wanted,
  )


@pytest.mark.slow
def test_a_batch_spread_over_devices_stays_spread():
  images, weights = inputs(16, 6, 6, 3, "float32")
  gradient = jax.grad(scalar(OURS, 1, "SAME"), (0, 1), has_aux=True)
  alone, _ = jax.jit(gradient)(images, weights)
  mesh = Mesh(np.asarray(jax.devices()), ("data",))
  spread = NamedSharding(mesh, PartitionSpec("data"))
  everywhere = NamedSharding(mesh, PartitionSpec())
  compiled = (
    jax.jit(gradient, out_shardings=((spread, everywhere), spread))
    .lower(jax.device_put(images, spread), jax.device_put(weights, everywhere))
    .compile()
  )
  together, _ = compiled(
    jax.device_put(images, spread), jax.device_put(weights, everywhere)
  )
  for ours, wanted in zip(together, alone, strict=True):
    np.testing.assert_allclose(ours, wanted, rtol=1e-5, atol=1e-4)
  # Only the weights' gradient is exchanged; no device collects the images.
  program = compiled.as_text()
  assert "all-reduce" in program
  assert "all-gather" not in program
  assert "all-to-all" not in program


@pytest.mark.slow
def test_bfloat16_gradients_keep_their_dtype():
  arrays = inputs(8, 4, 4, 3, "bfloat16")
  ours, lax_s = (
    jax.jit(jax.grad(scalar(conv, 1, "SAME"), (0, 1), has_aux=True))
    for conv in (OURS, LAX)
  )
  gradients, _ = ours(*arrays)
  wanted, _ = lax_s(*(x.astype(jnp.float32) for x in arrays))
  for ours, expected in zip(gradients, wanted, strict=True):
    assert ours.dtype == jnp.bfloat16
    error = np.linalg.norm(np.asarray(ours, np.float32) - expected)
    assert error < 0.02 * np.linalg.norm(expected)
