# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""CIFAR ResNets: their size, their shortcuts, what they give."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from etf_jax.models import BACKBONES, ResNetCIFAR
from etf_jax.models.resnet_cifar import BasicBlock


def expected_parameters(depth, width, channels):
  """By hand: 3x3 kernels without bias, and two numbers per normalised channel.

  A stage of n blocks has 2n convolutions, the first from the previous width.
  """
  n = (depth - 2) // 6
  a, b, c = (16 * width * m for m in (1, 2, 4))
  kernels = channels * a + 2 * n * a * a
  kernels += a * b + (2 * n - 1) * b * b
  kernels += b * c + (2 * n - 1) * c * c
  normalised = a + 2 * n * (a + b + c)
  return 9 * kernels + 2 * normalised


def shapes(module, channels=3):
  images = jax.ShapeDtypeStruct((2, 32, 32, channels), jnp.float32)
  return jax.eval_shape(module.init, jax.random.key(0), images)


def size(tree):
  return sum(x.size for x in jax.tree.leaves(tree))


@pytest.mark.parametrize("depth", [8, 20, 32, 44, 56])
@pytest.mark.parametrize(("width", "channels"), [(1, 3), (2, 1)])
def test_number_of_parameters(depth, width, channels):
  variables = shapes(BACKBONES[f"resnet{depth}"](width=width), channels)
  expected = expected_parameters(depth, width, channels)
  assert size(variables["params"]) == expected
  scales = [
    x.size
    for path, x in jax.tree.leaves_with_path(variables["params"])
    if path[-1].key == "scale"
  ]
  assert size(variables["batch_stats"]) == 2 * sum(scales)


def test_resnet32_with_ten_classes_has_the_published_size():
  # He et al. 2016, table 6: 0.46 million.
  backbone = size(shapes(ResNetCIFAR(depth=32))["params"])
  assert backbone + 64 * 10 + 10 == 464_154


@pytest.mark.parametrize("depth", [2, 7, 30])
def test_other_depths_do_not_exist(depth):
  with pytest.raises(ValueError, match=rf"6n \+ 2 with n >= 1, got {depth}"):
    shapes(ResNetCIFAR(depth=depth))


def block_with_nothing_but_its_shortcut(x, filters, stride):
  block = BasicBlock(filters=filters, stride=stride)
  arguments = {"train": False, "mask": None}
  variables = jax.eval_shape(
    functools.partial(block.init, **arguments), jax.random.key(0), x
  )
  zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), variables)
  return jax.jit(functools.partial(block.apply, **arguments))(zeros, x)


def test_shortcut_pads_half_of_the_channels_on_each_side():
  x = jnp.arange(1.0, 33.0).reshape(1, 4, 4, 2)
  y = block_with_nothing_but_its_shortcut(x, filters=4, stride=2)
  expected = np.zeros((1, 2, 2, 4))
  expected[..., 1:3] = np.asarray(x)[:, ::2, ::2]
  np.testing.assert_array_equal(y, expected)


def test_shortcut_of_a_block_that_keeps_its_shape_is_the_identity():
  x = jax.random.normal(jax.random.key(0), (2, 3, 3, 4))
  y = block_with_nothing_but_its_shortcut(x, filters=4, stride=1)
  np.testing.assert_array_equal(y, np.maximum(x, 0))


@pytest.fixture(scope="module")
def variables():
  """Draw a ResNet-8 for 9 x 12 images by NumPy, which need not compile."""
  rng = np.random.default_rng(0)
  kernels = jax.eval_shape(
    ResNetCIFAR(depth=8).init, jax.random.key(0), jnp.zeros((1, 9, 12, 1))
  )
  return jax.tree.map(
    lambda x: jnp.asarray(rng.uniform(0.1, 1, x.shape) - 0.4 * (x.ndim > 1)),
    kernels,
  )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_features_are_pooled_after_relu(variables, dtype):
  model = ResNetCIFAR(depth=8, dtype=jnp.dtype(dtype))
  images = jax.random.normal(jax.random.key(1), (4, 9, 12, 1))
  # linen promotes bfloat16 with the float32 statistics itself.
  with jax.numpy_dtype_promotion("standard"):
    features = jax.jit(model.apply)(variables, images)
  assert features.shape == (4, 64)
  assert features.dtype == dtype
  features = np.asarray(features, np.float32)
  assert features.min() >= 0
  assert features.std(axis=0).max() > 0.01


def test_bfloat16_keeps_its_parameters_in_float32(variables):
  model = ResNetCIFAR(depth=8, dtype=jnp.bfloat16)
  with jax.numpy_dtype_promotion("standard"):
    narrow = jax.eval_shape(
      model.init, jax.random.key(0), jnp.zeros((1, 9, 12, 1))
    )
  dtypes = (jax.tree.map(lambda x: x.dtype, v) for v in (narrow, variables))
  assert next(dtypes) == next(dtypes)


def test_resolution_is_halved_twice():
  # Shortcuts and strides must meet at odd sizes too: 9 -> 5 -> 3.
  model = ResNetCIFAR(depth=8)
  _, state = jax.eval_shape(
    lambda x: model.init_with_output(
      jax.random.key(0), x, capture_intermediates=True
    ),
    jax.ShapeDtypeStruct((2, 9, 12, 1), jnp.float32),
  )
  outputs = {
    name: state["intermediates"][name]["__call__"][0].shape
    for name in ("stage1_block1", "stage2_block1", "stage3_block1")
  }
  assert outputs == {
    "stage1_block1": (2, 9, 12, 16),
    "stage2_block1": (2, 5, 6, 32),
    "stage3_block1": (2, 3, 3, 64),
  }


def test_initial_kernels_have_kaiming_variance():
  block = BasicBlock(filters=48, stride=1)
  init = functools.partial(block.init, train=False, mask=None)
  params = jax.jit(init)(jax.random.key(0), jnp.zeros((1, 2, 2, 32)))["params"]
  for name, fan_in in (("conv_1", 9 * 32), ("conv_2", 9 * 48)):
    std = params[name]["kernel"].std()
    np.testing.assert_allclose(std, np.sqrt(2 / fan_in), rtol=0.03)
  np.testing.assert_array_equal(params["norm_1"]["scale"], np.ones(48))
  np.testing.assert_array_equal(params["norm_2"]["bias"], np.zeros(48))
