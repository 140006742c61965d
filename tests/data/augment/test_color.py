# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Colour jitter against Pillow's ImageEnhance and a NumPy chain."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageEnhance
import pytest
import scipy.stats

from etf_jax.data import augment
from etf_jax.data.augment import color

KINDS = (color.BLACK, color.MEAN_GRAY, color.GRAY)
FACTORS = (0.3, 0.8, 1.0, 1.7)


@pytest.fixture(scope="module")
def images():
  return np.random.default_rng(0).integers(0, 256, (4, 6, 7, 3), np.uint8)


def keys(count, seed=0):
  return augment.example_keys(jax.random.key(seed), count)


@pytest.mark.parametrize(
  ("kind", "enhance"),
  [
    (color.BLACK, ImageEnhance.Brightness),
    (color.MEAN_GRAY, ImageEnhance.Contrast),
    (color.GRAY, ImageEnhance.Color),
  ],
)
def test_each_is_pillows_to_the_level_it_rounds_away(images, kind, enhance):
  x = jnp.asarray(images, jnp.float32)
  kinds = jnp.full((4,), kind, jnp.int32)
  blended = color.blend(
    x, color.others(x, kinds), jnp.array(FACTORS, jnp.float32)
  )
  for image, actual, factor in zip(images, blended, FACTORS, strict=True):
    expected = np.asarray(enhance(Image.fromarray(image)).enhance(factor))
    # Pillow rounds the grey to a level first, and the result down.
    assert np.abs(np.asarray(actual) - expected).max() <= 1.8


def test_contrast_by_hand():
  """A mean of 100: 60 is 40 below and 140 as far above."""
  x = jnp.array([60.0, 140.0], jnp.float32).reshape(1, 1, 2, 1)
  other = color.others(x, jnp.array([color.MEAN_GRAY], jnp.int32))
  low, high = color.blend(x, other, jnp.array([1.5], jnp.float32)).ravel()
  assert (float(low), float(high)) == (40, 160)


def test_factors_are_uniform_and_orders_as_likely():
  widths = {color.BLACK: 0.4, color.MEAN_GRAY: 0.8, color.GRAY: 1.5}
  kinds, factors = (np.asarray(x) for x in drawn(keys(3000), widths))
  orders = list(itertools.permutations(KINDS))
  counts = [int((kinds == order).all(1).sum()) for order in orders]
  assert sum(counts) == 3000
  assert scipy.stats.chisquare(counts).pvalue > 0.01
  for kind, low, high in zip(
    KINDS, (0.6, 0.2, 0), (1.4, 1.8, 2.5), strict=True
  ):
    values = factors[kinds == kind]
    uniform = scipy.stats.uniform(low, high - low)
    assert scipy.stats.kstest(values, uniform.cdf).pvalue > 0.01
    # An order tells nothing of a factor.
    first = factors[:, 0][kinds[:, 0] == kind]
    assert scipy.stats.kstest(first, uniform.cdf).pvalue > 0.01


JITTER = jax.jit(
  color.jitter, static_argnames=("brightness", "contrast", "saturation")
)


def drawn(keys, widths):
  return jax.jit(lambda keys: color.draw(keys, widths))(keys)


def reference(image, kinds, factors):
  """Float64, without rounding in between."""
  x = image.astype(np.float64)
  for kind, factor in zip(kinds, factors, strict=True):
    shade = x @ [0.299, 0.587, 0.114]
    other = {
      color.BLACK: 0.0,
      color.MEAN_GRAY: np.round(shade.mean()),
      color.GRAY: shade[..., None],
    }[int(kind)]
    x = np.clip(other + float(factor) * (x - other), 0, 255)
  return x


@pytest.mark.slow
def test_jitter_is_the_chain_of_its_draws(images):
  jittered = JITTER(
    keys(4), images, brightness=0.4, contrast=0.4, saturation=0.4
  )
  assert jittered.dtype == jnp.uint8
  draws = drawn(keys(4), dict.fromkeys(KINDS, 0.4))
  for image, actual, *draw in zip(images, jittered, *draws, strict=True):
    error = np.abs(np.asarray(actual) - reference(image, *draw))
    assert error.max() <= 0.51
  assert not np.array_equal(jittered[0], images[0])


def test_nothing_asked_nothing_done(images):
  same = color.jitter(
    keys(4), jnp.asarray(images), brightness=0, contrast=0, saturation=0
  )
  np.testing.assert_array_equal(same, images)


def test_grey_images_have_contrast_and_brightness():
  image = np.random.default_rng(1).integers(0, 256, (1, 5, 5, 1), np.uint8)
  actual = JITTER(keys(1), image, brightness=0.5, contrast=0.5, saturation=0.0)
  widths = {color.BLACK: 0.5, color.MEAN_GRAY: 0.5}
  (kinds,), (factors,) = drawn(keys(1), widths)
  expected = reference(np.repeat(image[0], 3, 2), kinds, factors)[..., :1]
  assert np.abs(np.asarray(actual[0]) - expected).max() <= 0.51
