# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Crops scaled to one size, as two small matrix products an image.

Each output row is a weighted mean of rows, and each column of columns, with
the antialiased triangle weights of Pillow's BILINEAR. A crop of any place and
size differs from another in its two matrices alone, so one program serves all.
"""

from collections.abc import Sequence

import jax
from jax import lax
import jax.numpy as jnp

_ATTEMPTS = 10


def random_boxes(
  keys: jax.Array,
  sizes: jax.Array,
  *,
  scale: Sequence[float],
  ratio: Sequence[float],
) -> jax.Array:
  """The boxes of random-resized crops, `[B, 4]` int32.

  The area is uniform and the ratio log-uniform (Szegedy et al. 2015,
  arXiv:1409.4842). Of ten boxes the first that fits is taken, at a uniform
  place; if none does, the largest one in the middle whose ratio is allowed.
  These are the distributions of torchvision's RandomResizedCrop.

  Args:
    keys: `[B]` keys, one per example.
    sizes: `[B, 2]` int32, height and width of the images, >= 1.
    scale: lowest and highest share of the image's area.
    ratio: lowest and highest width over height.

  Returns:
    Rows of (top, left, height, width) in pixels.
  """
  low, high = ratio

  def draw(key, size):
    height, width = size[0], size[1]
    # One call, since each costs as much as all that follows to compile.
    drawn = jax.random.uniform(
      jax.random.fold_in(key, 3), (2 * _ATTEMPTS + 2,), jnp.float32
    )
    shares, exponents, place = jnp.split(drawn, (_ATTEMPTS, 2 * _ATTEMPTS))
    area = (height * width).astype(jnp.float32) * (
      scale[0] + (scale[1] - scale[0]) * shares
    )
    ratios = low * (high / low) ** exponents
    widths = jnp.round(jnp.sqrt(area * ratios)).astype(jnp.int32)
    heights = jnp.round(jnp.sqrt(area / ratios)).astype(jnp.int32)
    fits = (
      (widths > 0) & (widths <= width) & (heights > 0) & (heights <= height)
    )
    first = jnp.argmax(fits)
    wide, tall = width.astype(jnp.float32), height.astype(jnp.float32)
    box = jnp.where(
      jnp.any(fits),
      jnp.stack([heights[first], widths[first]]),
      jnp.stack(
        [
          jnp.round(jnp.minimum(tall, wide / low)).astype(jnp.int32),
          jnp.round(jnp.minimum(wide, tall * high)).astype(jnp.int32),
        ]
      ),
    )
    box = jnp.maximum(box, 1)
    room = size - box
    corner = jnp.floor(place * (room + 1).astype(jnp.float32))
    corner = jnp.where(jnp.any(fits), corner.astype(jnp.int32), room // 2)
    return jnp.concatenate([corner, box])

  return jax.vmap(draw)(keys, sizes)


def centre_boxes(sizes: jax.Array, *, size: int, fraction: float) -> jax.Array:
  """The boxes of centre crops, `[B, 4]` float32, as `random_boxes` has them.

  Those that give the pixels of scaling the shorter side to `size / fraction`
  and taking the middle `size` x `size`, with torchvision's rounding of the
  longer side and of the middle.

  Args:
    sizes: `[B, 2]` int32, height and width of the images, >= 1.
    size: side of the crop after scaling.
    fraction: its share of the shorter side, in (0, 1].
  """
  shorter = round(size / fraction)
  scaled = shorter * sizes // jnp.min(sizes, axis=1, keepdims=True)
  step = sizes.astype(jnp.float32) / scaled.astype(jnp.float32)
  start = jnp.round((scaled - size).astype(jnp.float32) / 2)
  return jnp.concatenate([start * step, size * step], axis=1)


def resample(
  images: jax.Array, boxes: jax.Array, bounds: jax.Array, *, size: int
) -> jax.Array:
  """Scales a box of each image to `size` x `size` pixels.

  As Pillow, it rounds to whole grey levels after each of the two products. So
  it differs from `crop(box).resize(..., BILINEAR)` by single levels, of one
  pixel in seven where Pillow takes the rows first, which it does if they are
  the shorter work, and hardly anywhere else.

  Args:
    images: uint8 `[B, H, W, C]`.
    boxes: `[B, 4]` rows of (top, left, height, width), which may be fractions.
    bounds: `[B, 4]` of the same kind: only pixels inside are read. The weights
      of antialiasing reach beyond a box where the bounds do.
    size: in pixels, >= 1.

  Returns:
    uint8 `[B, size, size, C]`.
  """
  boxes, bounds = boxes.astype(jnp.float32), bounds.astype(jnp.float32)
  rows, columns = (
    _weights(boxes[:, axis::2], bounds[:, axis::2], pixels, size)
    for axis, pixels in enumerate(images.shape[1:3])
  )
  return lax.platform_dependent(
    images, rows, columns, cpu=products, default=split_products
  )


def _weights(box, bound, pixels, size):
  """The weight of each pixel in each output, `[B, size, pixels]`, of an axis.

  `box` and `bound` are `[B, 2]`, start and length.
  """
  scale = box[:, 1:] / size
  places = jnp.arange(pixels, dtype=jnp.float32)[None] + 0.5
  outputs = jnp.arange(size, dtype=jnp.float32)[None] + 0.5
  centres = box[:, :1] + outputs * scale
  # Shrinking averages over as many pixels as fall together.
  reach = jnp.maximum(scale, 1)[:, :, None]
  distance = jnp.abs(places[:, None] - centres[:, :, None])
  inside = (places > bound[:, :1]) & (places < bound[:, :1] + bound[:, 1:])
  weights = jnp.where(inside[:, None], jnp.maximum(1 - distance / reach, 0), 0)
  return weights / jnp.sum(weights, axis=2, keepdims=True)


def products(
  images: jax.Array, rows: jax.Array, columns: jax.Array
) -> jax.Array:
  """The two products in float32.

  Args:
    images: uint8 `[B, H, W, C]`.
    rows: float32 `[B, size, H]`, whose rows add up to 1.
    columns: float32 `[B, size, W]`, likewise.

  Returns:
    uint8 `[B, size, size, C]`.
  """

  def product(equation, weights, pixels):
    return jnp.einsum(
      equation,
      weights,
      pixels.astype(jnp.float32),
      precision=lax.Precision.HIGHEST,
    )

  return _both(product, images, rows, columns)


def split_products(
  images: jax.Array, rows: jax.Array, columns: jax.Array
) -> jax.Array:
  """What `products` returns, for matrix units that multiply bfloat16.

  Whole grey levels are exact in bfloat16. A weight is the sum of two such
  numbers within 2^-17 of itself, or .002 grey levels, and the products are
  added in float32. That is a third of the work of float32 on a TPU.
  """

  def product(equation, weights, pixels):
    pixels = pixels.astype(jnp.bfloat16)
    # Not a cast there and back, which compilers may take for nothing.
    high = lax.reduce_precision(weights, exponent_bits=8, mantissa_bits=7)
    return sum(
      jnp.einsum(
        equation,
        part.astype(jnp.bfloat16),
        pixels,
        preferred_element_type=jnp.float32,
      )
      for part in (high, weights - high)
    )

  return _both(product, images, rows, columns)


def _both(product, images, rows, columns):
  across = _round(product("bow,bhwc->bhoc", columns, images))
  return _round(product("boh,bhwc->bowc", rows, across)).astype(jnp.uint8)


def _round(levels):
  return jnp.floor(levels + 0.5)  # halves go up, as in Pillow
