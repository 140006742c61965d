# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Windows at a place of their own in each image of a batch.

Most devices copy them. A TPU would do so in a loop over the images: a third of
the step of a ResNet-32, by its compiler's estimate. It multiplies with matrices
that choose rows and columns, which is exact for whole gray levels.
"""

import functools

import jax
from jax import lax
import jax.numpy as jnp


def windows(
  images: jax.Array, corners: jax.Array, *, padding: int
) -> jax.Array:
  """Windows as large as the images, with zeros beyond their borders.

  Args:
    images: uint8 `[B, H, W, C]`.
    corners: int32 `[B, 2]`, row and column of an image at which its window
      begins, from -padding to padding.
    padding: in pixels.

  Returns:
    uint8 `[B, H, W, C]`.
  """
  return lax.platform_dependent(
    images,
    corners,
    tpu=products,
    default=functools.partial(slices, padding=padding),
  )


def slices(images: jax.Array, corners: jax.Array, *, padding: int) -> jax.Array:
  """`windows`, copied one by one from padded images."""
  sides = (padding, padding)
  padded = jnp.pad(images, ((0, 0), sides, sides, (0, 0)))

  def window(image, corner):
    start = (corner[0] + padding, corner[1] + padding, jnp.int32(0))
    return lax.dynamic_slice(image, start, images.shape[1:])

  return jax.vmap(window)(padded, corners)


def products(images: jax.Array, corners: jax.Array) -> jax.Array:
  """`windows`, as products with matrices of zeros and ones."""
  count, height, width, channels = images.shape
  # The channels of a pixel stay side by side: as an axis of their own a TPU
  # would pad them to 128.
  flat = images.reshape(count, height, width * channels).astype(jnp.bfloat16)
  rows = _chosen(corners[:, 0], height)
  columns = _chosen(corners[:, 1] * channels, width * channels)
  # bfloat16 holds whole numbers to 256, and in each sum at most one number is
  # not zero.
  across = jnp.einsum("bow,bhw->bho", columns, flat)
  windows = jnp.einsum("boh,bhw->bow", rows, across)
  return windows.astype(images.dtype).reshape(images.shape)


def _chosen(starts, length):
  """Ones where a place in the image is one in the window, `[B, n, n]`."""
  places = jnp.arange(length, dtype=jnp.int32)
  distance = (starts[:, None] + places[None])[:, :, None] - places[None, None]
  # A comparison would be kept as an array of its own.
  return jnp.maximum(1 - jnp.abs(distance), 0).astype(jnp.bfloat16)
