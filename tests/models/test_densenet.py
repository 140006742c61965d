# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""DenseNets for small images: their size, and a second writing in NumPy."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
from numpy_layers import assert_same, average_pool, relu
import pytest

from etf_jax.models import BACKBONES, DenseNet


def shapes(model, side=32):
  images = jax.ShapeDtypeStruct((2, side, side, 3), jnp.float32)
  return jax.eval_shape(
    lambda x: model.init_with_output(jax.random.key(0), x), images
  )


def size(tree):
  return sum(x.size for x in jax.tree.leaves(tree))


def by_hand(layers, growth):
  """Features and parameters of three blocks, half of the channels kept."""
  channels = 2 * growth
  parameters = 27 * channels
  for block in range(3):
    for _ in range(layers):
      parameters += 2 * channels + 4 * growth * channels
      parameters += 2 * 4 * growth + 9 * 4 * growth * growth
      channels += growth
    parameters += 2 * channels
    if block < 2:
      parameters += channels * (channels // 2)
      channels //= 2
  return channels, parameters


@pytest.mark.parametrize(
  ("depth", "growth", "layers", "features", "millions"),
  [
    # Huang et al. 2017, table 2, which counts a classifier of 10 classes.
    (100, 12, 16, 342, 0.8),
    (150, 12, 24, 510, 1.5),
    # The smallest: a count by hand alone.
    (10, 12, 1, 27, 0.0),
  ],
)
def test_number_of_parameters(depth, growth, layers, features, millions):
  output, variables = shapes(BACKBONES[f"densenet{depth}"](growth=growth))
  parameters = size(variables["params"])
  assert output.shape == (2, features)
  assert (features, parameters) == by_hand(layers, growth)
  assert round((parameters + 10 * features + 10) / 1e6, 1) == millions
  scales = [
    x.size
    for path, x in jax.tree.leaves_with_path(variables["params"])
    if path[-1].key == "scale"
  ]
  assert size(variables["batch_stats"]) == 2 * sum(scales)


def densenet(layers, x, count, reduction):
  """DenseNet-BC with `count` layers in a block."""
  x = layers.conv(x, "conv_stem")
  for block in range(1, 4):
    for layer in range(1, count + 1):
      name = f"block{block}_layer{layer}"
      y = layers.conv(relu(layers.norm(x, name, "norm_1")), name, "conv_1")
      y = layers.conv(relu(layers.norm(y, name, "norm_2")), name, "conv_2")
      x = np.concatenate([x, y], axis=-1)
    if block == 3:
      return relu(layers.norm(x, "norm_last")).mean(axis=(1, 2))
    x = relu(layers.norm(x, f"norm_transition{block}"))
    width = int(x.shape[-1] * reduction)
    x = layers.conv(x, f"conv_transition{block}")
    assert x.shape[-1] == width
    x = average_pool(x, 2)


@pytest.mark.slow
@pytest.mark.parametrize(
  ("depth", "layers", "growth", "reduction", "train"),
  [(22, 3, 5, 0.5, True), (17, 2, 4, 0.7, False)],
)
def test_numpy_gives_the_same(depth, layers, growth, reduction, train):
  rng = np.random.default_rng(1)
  model = DenseNet(depth, growth, reduction, dtype=jnp.float64)
  reference = functools.partial(densenet, count=layers, reduction=reduction)
  # Sides that do not halve evenly: 11 -> 5 -> 2.
  images = rng.standard_normal((4, 11, 16, 3))
  mask = np.array([0, 1, 1, 1], bool) if train else None
  assert_same(model, reference, images, train=train, mask=mask)


def test_bfloat16_keeps_its_parameters_in_float32():
  with jax.numpy_dtype_promotion("standard"):
    output, variables = shapes(DenseNet(depth=16, dtype=jnp.bfloat16))
  assert output.dtype == jnp.bfloat16
  assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ({"depth": 9}, "depth must be a whole number >= 10, got 9"),
    ({"growth": 0}, "growth must be a whole number >= 1, got 0"),
    ({"growth": 2.5}, "growth must be a whole number >= 1, got 2.5"),
    ({"reduction": 0.0}, "reduction must lie in (0, 1], got 0.0"),
    ({"reduction": 1.1}, "reduction must lie in (0, 1], got 1.1"),
  ],
)
def test_networks_that_do_not_exist(arguments, message):
  with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
    DenseNet(**arguments)


def test_a_reduction_that_leaves_nothing():
  model = DenseNet(depth=10, growth=1, reduction=0.3)
  with pytest.raises(ValueError, match=r"0\.3 leaves none of 3 channels"):
    shapes(model)
