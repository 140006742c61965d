# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Brightness, contrast and saturation: an image and one that lacks them.

Each is a line through two images, `other + factor * (image - other)`, cut off
at black and white: the other is black, the mean gray, or the image in gray.
"""

import jax
import jax.numpy as jnp

BLACK, MEAN_GRAY, GRAY = range(3)


def jitter(
  keys: jax.Array,
  images: jax.Array,
  *,
  brightness: float,
  contrast: float,
  saturation: float,
) -> jax.Array:
  """Change the three at random, in an order that is drawn for each image.

  Factors, order and blends are those of torchvision's ColorJitter, but it
  rounds after each of the three, downwards, and this to the nearest at the end.

  Args:
    keys: `[B]` keys, one per example.
    images: uint8 `[B, H, W, C]`; gray ones (C = 1) have no saturation.
    brightness: x; the factor is uniform in [max(0, 1 - x), 1 + x]. 0: as it is.
    contrast: likewise, about the mean gray of the image.
    saturation: likewise.

  Returns:
    uint8 `[B, H, W, C]`.
  """
  widths = {BLACK: brightness, MEAN_GRAY: contrast, GRAY: saturation}
  widths = {kind: width for kind, width in widths.items() if width}
  if not widths:
    return images
  kinds, factors = draw(keys, widths)
  x = images.astype(jnp.float32)
  for i in range(len(widths)):
    x = blend(x, others(x, kinds[:, i]), factors[:, i])
  return to_levels(x)


def draw(
  keys: jax.Array, widths: dict[int, float]
) -> tuple[jax.Array, jax.Array]:
  """Draw the order of the kinds, and their factors, `[B, n]`.

  Args:
    keys: `[B]` keys, one per example.
    widths: of n kinds, see `jitter`.
  """
  kinds = jnp.array(list(widths), jnp.int32)
  width = jnp.array(list(widths.values()), jnp.float32)
  lowest = jnp.maximum(1 - width, 0)

  def one(key):
    drawn = jax.random.uniform(
      jax.random.fold_in(key, 4), (2, len(widths)), jnp.float32
    )
    factors = lowest + drawn[0] * (1 + width - lowest)
    order = jnp.argsort(drawn[1])
    return kinds[order], factors[order]

  return jax.vmap(one)(keys)


def others(x: jax.Array, kinds: jax.Array) -> jax.Array:
  """Return the image to blend with, `[B, H, W, 1]`.

  Args:
    x: floating `[B, H, W, C]`.
    kinds: int32 `[B]` of BLACK, MEAN_GRAY and GRAY.
  """
  shade = gray(x)
  # Pillow's mean is a whole gray level.
  mean = jnp.round(jnp.mean(shade, axis=(1, 2, 3), keepdims=True))
  kinds = kinds[:, None, None, None]
  return jnp.where(kinds == GRAY, shade, jnp.where(kinds == MEAN_GRAY, mean, 0))


def blend(x: jax.Array, other: jax.Array, factors: jax.Array) -> jax.Array:
  """`other + factor * (x - other)` in [0, 255]; `factors` are `[B]`."""
  factors = factors[:, None, None, None]
  return jnp.clip(other + factors * (x - other), 0, 255)


def gray(x: jax.Array) -> jax.Array:
  """Return the luma of ITU-R 601, `[..., C]` to `[..., 1]`, C being 1 or 3."""
  if x.shape[-1] == 1:
    return x
  red, green, blue = (x[..., i : i + 1] for i in range(3))
  return 0.299 * red + 0.587 * green + 0.114 * blue


def to_levels(x: jax.Array) -> jax.Array:
  """Numbers in [0, 255] to the nearest uint8."""
  return jnp.round(x).astype(jnp.uint8)
