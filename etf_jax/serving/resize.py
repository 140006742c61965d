# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Scaling of photographs inside a program, as `data.decode` scales files.

squares, sizes = resize.to_square(images, 224, "shorter")    # any height, width

The filter, the rounding and the part that is kept are those of
data/decode/scale.py, as a dense matrix for each axis: for photographs on an
accelerator the model takes longer. Results differ from `data.decode` by at
most one gray level, and for JPEGs of twice the size or more by what their
reduction while they are decoded makes (see data/decode/image.py).
"""

import jax
import jax.numpy as jnp

_LEVELS = 256


def to_square(
  images: jax.Array, size: int, fit: str
) -> tuple[jax.Array, jax.Array]:
  """Scale images of one height and width, which may be symbolic.

  Args:
    images: uint8 `[B, H, W, C]`.
    size: side of the squares.
    fit: "shorter" or "longer", see `decode.decode`.

  Returns:
    uint8 `[B, size, size, C]`, and int32 `[B, 2]`: the height and width of what
    is image in the top left corner.
  """
  batch, height, width, _ = images.shape
  full = jnp.stack([jnp.asarray(height), jnp.asarray(width)]).astype(jnp.int32)
  shorter, longer = jnp.min(full), jnp.max(full)
  if fit == "shorter":
    scaled = jnp.where(full == shorter, size, size * longer // shorter)
    # Rounds halves to even, as torchvision's CenterCrop.
    first = jnp.round((scaled - size).astype(jnp.float32) / 2)
    kept = jnp.full(2, size, jnp.int32)
  else:
    long = jnp.minimum(size, longer)
    short = jnp.maximum(1, shorter * long // longer)
    scaled = jnp.where(full == longer, long, short)
    first, kept = jnp.zeros(2), scaled
  down, across = (
    _weights(count, full[axis], scaled[axis], first[axis], kept[axis], size)
    for axis, count in enumerate((height, width))
  )
  # Products of 8 bits and two weights of 8: exact in float32, in any order.
  scaled_images = jnp.einsum(
    "yh,xw,bhwc->byxc",
    *(down, across, images.astype(jnp.float32)),
    precision=jax.lax.Precision.HIGHEST,
    optimize=[(1, 2), (0, 1)],
  )
  squares = jnp.floor(scaled_images + 0.5).astype(jnp.uint8)
  return squares, jnp.broadcast_to(kept, (batch, 2))


def _weights(
  count: int,
  full: jax.Array,
  scaled: jax.Array,
  first: jax.Array,
  kept: jax.Array,
  size: int,
) -> jax.Array:
  """Return float32 `[size, count]`: each output's share of each input."""
  step = full.astype(jnp.float32) / scaled.astype(jnp.float32)
  output = jnp.arange(size)
  centers = (first + output.astype(jnp.float32) + 0.5) * step
  places = jnp.arange(count, dtype=jnp.int32).astype(jnp.float32) + 0.5
  distances = jnp.abs(places[None] - centers[:, None]) / jnp.maximum(step, 1.0)
  sums = jnp.cumsum(jnp.maximum(0.0, 1.0 - distances), axis=1)
  sums = jnp.round(sums / jnp.maximum(sums[:, -1:], 1e-9) * _LEVELS) / _LEVELS
  weights = jnp.diff(sums, axis=1, prepend=0.0)
  return jnp.where(output[:, None] < kept, weights, 0.0)
