# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Windows of images against NumPy, by each of the ways to take them."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from etf_jax.data.augment import shifted_crop

PADDING = 3
WAYS = {
  "chosen": functools.partial(shifted_crop.windows, padding=PADDING),
  "slices": functools.partial(shifted_crop.slices, padding=PADDING),
  "products": shifted_crop.products,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_corner(way, channels):
  """Make images wider than high, with every gray level somewhere."""
  offsets = range(-PADDING, PADDING + 1)
  corners = np.array([*itertools.product(offsets, offsets)], np.int32)
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (len(corners), 5, 7, channels), np.uint8)
  sides = (PADDING, PADDING)
  padded = np.pad(images, ((0, 0), sides, sides, (0, 0)))
  expected = [
    image[top + PADDING :, left + PADDING :][:5, :7]
    for image, (top, left) in zip(padded, corners, strict=True)
  ]
  assert len(np.unique(images)) == 256
  actual = jax.jit(WAYS[way])(jnp.asarray(images), corners)
  assert actual.dtype == jnp.uint8
  np.testing.assert_array_equal(actual, expected)
