# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""ResNets for photographs: their size, and a second writing in NumPy."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
from numpy_layers import assert_same, max_pool, relu
import pytest

from etf_jax.models import BACKBONES, ResNet
from etf_jax.models.resnet import BasicBlock

# Stages of He et al. 2016, table 1.
STAGES = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}


def shapes(model, side=64):
  images = jax.ShapeDtypeStruct((2, side, side, 3), jnp.float32)
  return jax.eval_shape(
    lambda x: model.init_with_output(jax.random.key(0), x), images
  )


def size(tree):
  return sum(x.size for x in jax.tree.leaves(tree))


@pytest.mark.parametrize(
  ("depth", "features", "published"),
  [
    # torchvision's, with a linear classifier of 1000 classes.
    (18, 512, 11_689_512),
    (34, 512, 21_797_672),
    (50, 2048, 25_557_032),
    (101, 2048, 44_549_160),
  ],
)
def test_number_of_parameters(depth, features, published):
  output, variables = shapes(BACKBONES[f"resnet{depth}"]())
  assert output.shape == (2, features)
  assert size(variables["params"]) + 1000 * features + 1000 == published
  scales = [
    x.size
    for path, x in jax.tree.leaves_with_path(variables["params"])
    if path[-1].key == "scale"
  ]
  assert size(variables["batch_stats"]) == 2 * sum(scales)


def test_a_last_stage_of_twice_the_width():
  """The network of Yang et al. 2022 on ImageNet-LT."""
  output, variables = shapes(ResNet(depth=50, last_stage_width=2))
  assert output.shape == (2, 4096)
  # Three bottlenecks of p planes and 2 numbers per normalised channel; the
  # first sees 1024 channels and has a shortcut.
  stage = lambda p: (  # noqa: E731
    (1024 * p + 9 * p * p + 4 * p * p + 1024 * 4 * p)
    + 2 * (4 * p * p + 9 * p * p + 4 * p * p)
    + 2 * (3 * (p + p + 4 * p) + 4 * p)
  )
  backbone = 25_557_032 - 1000 * 2048 - 1000
  expected = backbone - stage(512) + stage(1024)
  assert size(variables["params"]) == expected == 63_114_304
  narrow, _ = shapes(ResNet(depth=18, last_stage_width=2))
  assert narrow.shape == (2, 1024)


def test_the_width_multiplies_all_channels():
  output, variables = shapes(ResNet(depth=18, width=2))
  _, narrow = shapes(ResNet(depth=18))
  assert output.shape == (2, 1024)
  # All kernels but the stem's see and make twice as many channels.
  stem = 7 * 7 * 3 * 64
  normalised = size(narrow["batch_stats"])
  kernels = size(narrow["params"]) - normalised - stem
  expected = 4 * kernels + 2 * stem + 2 * normalised
  assert size(variables["params"]) == expected


def resnet(layers, x, stages, bottleneck):
  """v1.5: a bottleneck has its stride in the middle."""
  x = relu(layers.norm(layers.conv(x, "conv_stem", stride=2), "norm_stem"))
  x = max_pool(x, 3, stride=2)
  for i, blocks in enumerate(stages):
    for j in range(blocks):
      block, stride = f"stage{i + 1}_block{j + 1}", 2 if i and not j else 1
      strides = (1, stride, 1) if bottleneck else (stride, 1)
      y = x
      for n, s in enumerate(strides, 1):
        y = layers.conv(y, block, f"conv_{n}", stride=s)
        y = layers.norm(y, block, f"norm_{n}")
        y = relu(y) if n < len(strides) else y
      if x.shape != y.shape:
        x = layers.conv(x, block, "conv_shortcut", stride=stride)
        x = layers.norm(x, block, "norm_shortcut")
      x = relu(x + y)
  return x.mean(axis=(1, 2))


@pytest.mark.slow
@pytest.mark.parametrize(
  ("depth", "train"), [(18, True), (18, False), (50, True)]
)
def test_numpy_gives_the_same(depth, train):
  rng = np.random.default_rng(1)
  model = ResNet(depth, dtype=jnp.float64)
  reference = functools.partial(
    resnet, stages=STAGES[depth], bottleneck=depth == 50
  )
  # Sides that do not halve evenly: 17 -> 9 -> 5 -> 3 -> 2 -> 1.
  images = rng.standard_normal((4, 17, 40, 3))
  mask = np.array([1, 0, 1, 1], bool) if depth == 18 else None
  assert_same(model, reference, images, train=train, mask=mask)


def test_bfloat16_keeps_its_parameters_in_float32():
  with jax.numpy_dtype_promotion("standard"):
    output, variables = shapes(ResNet(depth=50, dtype=jnp.bfloat16))
  assert output.dtype == jnp.bfloat16
  assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


def test_initial_kernels_have_kaiming_variance():
  block = BasicBlock(filters=48, stride=1)
  init = functools.partial(block.init, train=False, mask=None)
  params = jax.jit(init)(jax.random.key(0), jnp.zeros((1, 2, 2, 32)))["params"]
  for name, fan_out in (("conv_1", 9 * 48), ("conv_shortcut", 48)):
    std = params[name]["kernel"].std()
    np.testing.assert_allclose(std, np.sqrt(2 / fan_out), rtol=0.05)
  for name in ("norm_1", "norm_2", "norm_shortcut"):
    np.testing.assert_array_equal(params[name]["scale"], 1)
    np.testing.assert_array_equal(params[name]["bias"], 0)


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ({"depth": 44}, "depth must be one of 18, 34, 50, 101, got 44"),
    ({"width": 0}, "width must be a whole number >= 1, got 0"),
    (
      {"last_stage_width": 1.5},
      "last_stage_width must be a whole number >= 1, got 1.5",
    ),
  ],
)
def test_networks_that_do_not_exist(arguments, message):
  with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
    ResNet(**arguments)
