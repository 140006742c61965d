# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Augmentation inside the jitted step: uint8 images in, normalised floats out.

Each example's draws come from (key, its place in the batch) alone, so padding
a batch or spreading it over devices changes nothing.

  images = augment.pad_crop(keys, images, padding=4)
  images = augment.flip(keys, images)
  x = augment.normalize(images, mean, std)
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np


def example_keys(key: jax.Array, batch_size: int) -> jax.Array:
  """One key per place in the batch, `[B]`."""
  return jax.vmap(jax.random.fold_in, (None, 0))(
    key, jnp.arange(batch_size, dtype=jnp.uint32)
  )


def pad_crop(keys: jax.Array, images: jax.Array, *, padding: int) -> jax.Array:
  """Adds `padding` zero pixels on each side and crops back at random.

  Args:
    keys: `[B]` keys, one per example.
    images: `[B, H, W, C]`.
    padding: pixels, >= 0; 0 returns the images as they are.
  """
  if not padding:
    return images
  height, width, channels = images.shape[1:]
  padded = jnp.pad(
    images, ((0, 0), (padding, padding), (padding, padding), (0, 0))
  )

  def crop(key, image):
    top, left = jax.random.randint(
      jax.random.fold_in(key, 0), (2,), 0, 2 * padding + 1, jnp.int32
    )
    start = (top, left, jnp.int32(0))
    return jax.lax.dynamic_slice(image, start, (height, width, channels))

  return jax.vmap(crop)(keys, padded)


def flip(keys: jax.Array, images: jax.Array) -> jax.Array:
  """Mirrors each `[H, W, C]` image left to right with probability 1/2."""
  flipped = jax.vmap(
    lambda key: jax.random.bernoulli(jax.random.fold_in(key, 1))
  )(keys)
  return jnp.where(flipped[:, None, None, None], images[:, :, ::-1], images)


def normalize(
  images: jax.Array,
  mean: Sequence[float],
  std: Sequence[float],
  dtype: jnp.dtype = jnp.float32,
) -> jax.Array:
  """uint8 `[B, H, W, C]` to (x / 255 - mean) / std, computed in >= float32.

  Args:
    images: pixels in 0..255.
    mean: per channel, of pixels in [0, 1].
    std: per channel, of pixels in [0, 1].
    dtype: of the result.
  """
  wide = np.promote_types(dtype, np.float32)
  mean, std = (jnp.asarray(x, wide).reshape(1, 1, 1, -1) for x in (mean, std))
  return ((images.astype(wide) / 255 - mean) / std).astype(dtype)


def mixup_partners(
  keys: jax.Array, where: jax.Array | None = None
) -> jax.Array:
  """A random permutation of the batch, `[B]` indices.

  Args:
    keys: `[B]` keys, one per example.
    where: `[B]` booleans; the False ones are mixed with each other only.
  """
  order = jax.vmap(
    lambda key: jax.random.uniform(
      jax.random.fold_in(key, 2), dtype=jnp.float32
    )
  )(keys)
  if where is None:
    return jnp.argsort(order)
  drawn = jnp.argsort(jnp.where(where, order, 2))
  # The n-th example that counts takes the n-th of those that were drawn, and
  # the others take theirs behind them, wherever in the batch they stand.
  places = jnp.argsort(~where, stable=True)
  return jnp.zeros_like(drawn).at[places].set(drawn)


def mix(images: jax.Array, partners: jax.Array, lam: jax.Array) -> jax.Array:
  """`lam * images + (1 - lam) * images[partners]` (Zhang et al. 2018).

  In at least float32, since the loss mixes the labels with the same `lam`.
  """
  wide = images.astype(np.promote_types(images.dtype, np.float32))
  lam = lam.astype(wide.dtype)
  return (lam * wide + (1 - lam) * wide[partners]).astype(images.dtype)
