# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Crops scaled to one size, as two small matrix products an image.

Each output row is a weighted mean of rows, and each column of columns, with
the antialiased triangle weights of Pillow's BILINEAR. A crop of any place and
size differs from another in its two matrices alone, so one program serves all.
"""

from collections.abc import Sequence
import functools

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
  """Draw the boxes of random-resized crops, `[B, 4]` int32.

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


def center_boxes(sizes: jax.Array, *, size: int, fraction: float) -> jax.Array:
  """Return the boxes of center crops, float32 `[B, 4]`, see `random_boxes`.

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
  """Scale a box of each image to `size` x `size` pixels.

  As Pillow, it rounds to whole gray levels after each of the two products. So
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
  return lax.platform_dependent(
    images,
    boxes.astype(jnp.float32),
    bounds.astype(jnp.float32),
    cpu=functools.partial(products, size=size),
    tpu=functools.partial(channel_products, size=size),
    default=functools.partial(split_products, size=size),
  )


def products(
  images: jax.Array, boxes: jax.Array, bounds: jax.Array, *, size: int
) -> jax.Array:
  """`resample` by products in float32."""

  def product(equation, weights, pixels):
    return jnp.einsum(
      equation,
      weights,
      pixels.astype(jnp.float32),
      precision=lax.Precision.HIGHEST,
    )

  return _both(product, images, boxes, bounds, size)


def split_products(
  images: jax.Array, boxes: jax.Array, bounds: jax.Array, *, size: int
) -> jax.Array:
  """`resample` for matrix units that multiply bfloat16.

  Whole gray levels are exact in bfloat16. A weight is the sum of two such
  numbers within 2^-17 of itself, or .002 gray levels, and the products are
  added in float32. That is a third of the work of float32 on a TPU.
  """
  return _both(_split_product, images, boxes, bounds, size)


def channel_products(
  images: jax.Array, boxes: jax.Array, bounds: jax.Array, *, size: int
) -> jax.Array:
  """`split_products`, without an axis as short as that of the channels.

  A TPU pads the last axis to 128 numbers. To take an image of bytes apart into
  such channels it runs a program that took libtpu more than ten minutes to
  compile for a batch of 128. So the rows keep their pixels' channels side by
  side, and a matrix for each channel has zeros where the others are.
  """
  count, height, width, channels = images.shape
  rows = _weights(boxes, bounds, 0, height, size)
  columns = _weights(boxes, bounds, 1, width, size, repeat=channels)
  of_channel = jnp.arange(width * channels, dtype=jnp.int32) % channels
  flat = images.reshape(count, height, width * channels)
  planes = []
  for channel in range(channels):
    chosen = jnp.where((of_channel == channel)[None, None], columns, 0)
    across = _round(_split_product("bow,bhw->bho", chosen, flat))
    planes.append(_round(_split_product("boh,bhw->bow", rows, across)))
  return jnp.stack(planes, axis=-1).astype(jnp.uint8)


def _both(product, images, boxes, bounds, size):
  rows, columns = (
    _weights(boxes, bounds, axis, pixels, size)
    for axis, pixels in enumerate(images.shape[1:3])
  )
  across = _round(product("bow,bhwc->bhoc", columns, images))
  return _round(product("boh,bhwc->bowc", rows, across)).astype(jnp.uint8)


def _split_product(equation, weights, pixels):
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


def _weights(boxes, bounds, axis, pixels, size, repeat=1):
  """Return the weights of pixels, `[B, size, pixels * repeat]`.

  Of an axis of the images, whose pixels stand `repeat` times each.
  """
  box, bound = boxes[:, axis::2], bounds[:, axis::2]  # start and length
  scale = box[:, 1:] / size
  places = jnp.arange(pixels * repeat, dtype=jnp.int32) // repeat
  places = places.astype(jnp.float32)[None] + 0.5
  outputs = jnp.arange(size, dtype=jnp.float32)[None] + 0.5
  centers = box[:, :1] + outputs * scale
  # Shrinking averages over as many pixels as fall together.
  reach = jnp.maximum(scale, 1)[:, :, None]
  distance = jnp.abs(places[:, None] - centers[:, :, None])
  inside = (places > bound[:, :1]) & (places < bound[:, :1] + bound[:, 1:])
  weights = jnp.where(inside[:, None], jnp.maximum(1 - distance / reach, 0), 0)
  return weights / (jnp.sum(weights, axis=2, keepdims=True) / repeat)


def _round(levels):
  return jnp.floor(levels + 0.5)  # halves go up, as in Pillow
