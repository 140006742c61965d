# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""RandAugment's operations against Pillow's."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageEnhance, ImageOps
import pytest
import scipy.stats

from etf_jax.data import augment
from etf_jax.data.augment import randaugment as _randaugment

NAMES = tuple(_randaugment.OPERATIONS)
HEIGHT, WIDTH = 26, 22
STRENGTH = 0.45
LAYER = jax.jit(_randaugment.layer, static_argnums=3)
DRAW = jax.jit(_randaugment.draw, static_argnums=1)
MOVES = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")


@pytest.fixture(scope="module")
def image():
  pixels = np.random.default_rng(0).integers(30, 200, (HEIGHT, WIDTH, 3))
  return pixels.astype(np.uint8)


def affine(*coefficients):
  return lambda x: x.transform(x.size, Image.AFFINE, coefficients)


def pillow(name, sign):
  """Apply Pillow's operation at 45 % of its largest strength."""
  factor = 1 + sign * 0.9 * STRENGTH
  slope = sign * 0.3 * STRENGTH
  shift = sign * 150 / 331 * STRENGTH
  return {
    "identity": lambda x: x,
    "shear_x": affine(1, slope, 0, 0, 1, 0),
    "shear_y": affine(1, 0, 0, slope, 1, 0),
    "translate_x": affine(1, 0, shift * WIDTH, 0, 1, 0),
    "translate_y": affine(1, 0, 0, 0, 1, shift * HEIGHT),
    "rotate": lambda x: x.rotate(sign * 30 * STRENGTH),
    "brightness": lambda x: ImageEnhance.Brightness(x).enhance(factor),
    "saturation": lambda x: ImageEnhance.Color(x).enhance(factor),
    "contrast": lambda x: ImageEnhance.Contrast(x).enhance(factor),
    "sharpness": lambda x: ImageEnhance.Sharpness(x).enhance(factor),
    "posterize": lambda x: ImageOps.posterize(x, 6),
    "solarize": lambda x: ImageOps.solarize(x, math.ceil(256 * 0.55)),
    "autocontrast": ImageOps.autocontrast,
  }[name]


@pytest.fixture(scope="module")
def changed(image):
  """The image after each operation, and after each in the other direction."""
  kinds = jnp.tile(jnp.arange(len(NAMES), dtype=jnp.int32), 2)
  signs = jnp.repeat(jnp.array([1.0, -1.0], jnp.float32), len(NAMES))
  images = np.broadcast_to(image, (2 * len(NAMES), *image.shape))
  out = LAYER(images, kinds, signs, STRENGTH)
  assert out.dtype == jnp.uint8
  return dict(
    zip([(s, n) for s in (1, -1) for n in NAMES], np.asarray(out), strict=True)
  )


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("name", NAMES)
def test_each_operation_is_pillows(image, changed, name, sign):
  expected = np.asarray(pillow(name, sign)(Image.fromarray(image)))
  actual = changed[sign, name]
  error = np.abs(actual.astype(int) - expected)
  if name in MOVES:
    # All but a few pixels that lie half way between two others.
    assert (error.max(axis=2) > 0).mean() <= 0.01
  else:
    # Pillow rounds greys to a level first, and blends down.
    assert error.max() <= 2
    assert error.mean() <= 1
  if name != "identity":
    assert np.abs(actual.astype(int) - image).mean() > 1


def test_autocontrast_leaves_a_flat_channel(image):
  flat = image.copy()
  flat[..., 1] = 77
  count = 2 * len(NAMES)
  out = LAYER(
    np.broadcast_to(flat, (count, *flat.shape)),
    np.full(count, NAMES.index("autocontrast"), np.int32),
    np.ones(count, np.float32),
    STRENGTH,
  )
  first = np.asarray(out[0])
  np.testing.assert_array_equal(first.min((0, 1)), [0, 77, 0])
  np.testing.assert_array_equal(first.max((0, 1)), [255, 77, 255])


def test_at_magnitude_zero_only_autocontrast_does_anything(image):
  kinds = np.arange(len(NAMES), dtype=np.int32)
  images = np.broadcast_to(image, (len(NAMES), *image.shape))
  out = LAYER(images, kinds, np.ones(len(NAMES), np.float32), 0.0)
  same = (np.asarray(out) == image).all((1, 2, 3))
  np.testing.assert_array_equal(same, [n != "autocontrast" for n in NAMES])


def test_operations_and_signs_are_as_likely():
  keys = augment.example_keys(jax.random.key(0), 4000)
  kinds, signs = (np.asarray(x) for x in DRAW(keys, 2))
  pairs = np.bincount(kinds[:, 0] * 13 + kinds[:, 1], minlength=169)
  assert scipy.stats.chisquare(pairs).pvalue > 0.01
  positive = int((signs[:, 0] > 0).sum())
  assert set(np.unique(signs)) == {-1, 1}
  assert scipy.stats.binomtest(positive, 4000).pvalue > 0.01


@pytest.mark.slow
def test_layers_follow_each_other(image):
  count = 2 * len(NAMES)
  keys = augment.example_keys(jax.random.key(3), count)
  images = np.broadcast_to(image, (count, *image.shape))
  kinds, signs = DRAW(keys, 2)
  expected = images
  for i in range(2):
    expected = LAYER(expected, kinds[:, i], signs[:, i], STRENGTH)
  randaugment = jax.jit(
    _randaugment.randaugment, static_argnames=("layers", "magnitude")
  )
  actual = randaugment(keys, images, layers=2, magnitude=10 * STRENGTH)
  np.testing.assert_array_equal(actual, expected)
  none = randaugment(keys, images, layers=0, magnitude=9.0)
  np.testing.assert_array_equal(none, images)
