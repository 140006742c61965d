# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Layers in NumPy that read the parameters of ours by name."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np


@contextlib.contextmanager
def float64():
  # linen's normalisation promotes float64 with float32 itself.
  with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
    yield


class Layers:
  """Convolutions and BatchNorms of a model, each once; images are NHWC.

  Attributes:
    batch_stats: what training leaves.
  """

  def __init__(self, variables, train):
    self._variables, self._train = variables, train
    self.batch_stats = {}

  def conv(self, x, *path, stride=1):
    """Without a bias, padded by half of the kernel on every side."""
    kernel = np.asarray(_find(self._variables["params"], path)["kernel"])
    windows = _windows(x, kernel.shape[0], stride, padding=0.0)
    return np.tensordot(windows, kernel, ((4, 5, 3), (0, 1, 2)))

  def norm(self, x, *path):
    """Momentum .9 and epsilon 1e-5; the variance is the biased one."""
    numbers = _find(self._variables["params"], path)
    running = _find(self._variables["batch_stats"], path)
    mean, var = running["mean"], running["var"]
    if self._train:
      mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
      running = {
        "mean": 0.9 * running["mean"] + 0.1 * mean,
        "var": 0.9 * running["var"] + 0.1 * var,
      }
    place = self.batch_stats
    for name in path[:-1]:
      place = place.setdefault(name, {})
    assert path[-1] not in place
    place[path[-1]] = running
    y = (x - mean) / np.sqrt(var + 1e-5)
    return y * numbers["scale"] + numbers["bias"]


def relu(x):
  return np.maximum(x, 0)


def max_pool(x, side, stride):
  """Padded by half of the side, with what is never the largest."""
  return _windows(x, side, stride, padding=-np.inf).max((4, 5))


def average_pool(x, side):
  """Windows side by side; what is left over at the end is dropped."""
  high, wide = (n // side * side for n in x.shape[1:3])
  x = x[:, :high, :wide]
  return sum(
    x[:, i::side, j::side] for i in range(side) for j in range(side)
  ) / (side * side)


def _windows(x, side, stride, padding):
  """`[B, H / stride, W / stride, C, side, side]`."""
  half = side // 2
  x = np.pad(
    x, ((0, 0), (half, half), (half, half), (0, 0)), constant_values=padding
  )
  windows = np.lib.stride_tricks.sliding_window_view(x, (side, side), (1, 2))
  return windows[:, ::stride, ::stride]


def _find(tree, path):
  for name in path:
    tree = tree[name]
  return tree


def random_variables(model, images):
  """Parameters and statistics in which no two channels are alike."""
  rng = np.random.default_rng(0)

  def draw(path, leaf):
    kind = path[-1].key
    if kind == "kernel":
      scale = (2 / np.prod(leaf.shape[:3])) ** 0.5
      return scale * rng.standard_normal(leaf.shape)
    low, high = {"scale": (0.5, 1), "var": (0.5, 2)}.get(kind, (-0.3, 0.3))
    return rng.uniform(low, high, leaf.shape)

  shapes = jax.eval_shape(model.init, jax.random.key(0), images)
  return jax.tree_util.tree_map_with_path(draw, shapes)


def assert_same(model, reference, images, *, train, mask=None):
  """Our features and statistics are those of `reference(layers, images)`.

  Of the examples that a mask lets count, all without one.
  """
  with float64():
    variables = random_variables(model, images)
    ours, updates = jax.jit(
      lambda v, x: model.apply(
        v, x, train=train, mask=mask, mutable=["batch_stats"]
      )
    )(variables, jnp.asarray(images))
  assert ours.dtype == np.float64
  counted = slice(None) if mask is None else mask
  layers = Layers(variables, train)
  expected = reference(layers, images[counted])
  assert expected.std(axis=0).mean() > 0.02 * expected.mean()
  np.testing.assert_allclose(ours[counted], expected, rtol=1e-7, atol=1e-7)
  # linen keeps running statistics in float32. Had the reference forgotten a
  # layer, its place here would be empty.
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
    updates["batch_stats"],
    layers.batch_stats,
  )
