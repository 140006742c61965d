# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""RandAugment (Cubuk et al. 2020, arXiv:1909.13719) in one program.

Its fourteen operations but equalisation, whose histograms cost more than the
rest together. A device cannot choose per image what to run, so a layer is one
pass over the pixels that serves all the changes of color, and one gather that
serves all the moves; an image takes part in one of them.
"""

import math

import jax
import jax.numpy as jnp

from etf_jax.data.augment import color

# Each with its largest strength, which is reached at magnitude 10: slopes of
# shears, shares of the side, degrees, changes of a factor from 1, bits dropped,
# the share of gray levels that is inverted. Those of torchvision.
OPERATIONS = {
  "identity": None,
  "shear_x": 0.3,
  "shear_y": 0.3,
  "translate_x": 150 / 331,
  "translate_y": 150 / 331,
  "rotate": 30.0,
  "brightness": 0.9,
  "saturation": 0.9,
  "contrast": 0.9,
  "sharpness": 0.9,
  "posterize": 4,
  "solarize": 1.0,
  "autocontrast": None,
}
_NAMES = tuple(OPERATIONS)


def randaugment(
  keys: jax.Array, images: jax.Array, *, layers: int, magnitude: float
) -> jax.Array:
  """Apply `layers` operations to each image, drawn uniformly.

  Signs of shears, shifts, rotations and factors are drawn as well.

  Args:
    keys: `[B]` keys, one per example.
    images: uint8 `[B, H, W, C]`.
    layers: operations per image, >= 0.
    magnitude: in [0, 10], the same for all; torchvision's run from 0 to 30.

  Returns:
    uint8 `[B, H, W, C]`.
  """

  kinds, signs = draw(keys, layers)
  for i in range(layers):
    images = layer(images, kinds[:, i], signs[:, i], magnitude / 10)
  return images


def draw(keys: jax.Array, layers: int) -> tuple[jax.Array, jax.Array]:
  """Operations, int32 places in `OPERATIONS`, and signs, 1.0 or -1.0: `[B, n]`.

  Args:
    keys: `[B]` keys, one per example.
    layers: n.
  """

  def one(key):
    kind_key, sign_key = jax.random.split(jax.random.fold_in(key, 5))
    return (
      jax.random.randint(kind_key, (layers,), 0, len(_NAMES), jnp.int32),
      jax.random.rademacher(sign_key, (layers,), jnp.float32),
    )

  return jax.vmap(one)(keys)


def layer(
  images: jax.Array, kinds: jax.Array, signs: jax.Array, strength: float
) -> jax.Array:
  """Apply an operation to each image; see `draw` for `kinds` and `signs`.

  `strength` is a share of the largest one, in [0, 1].
  """
  amount = {k: (v or 0) * strength for k, v in OPERATIONS.items()}
  return _move(_recolor(images, kinds, signs, amount), kinds, signs, amount)


def _recolor(images, kinds, signs, amount):
  """Apply the operations that keep every pixel in its place."""
  x = jnp.asarray(images, jnp.float32)

  def at(name):
    return (kinds == _NAMES.index(name))[:, None, None, None]

  # 1. Blends: with black, the mean gray, the image in gray, or blurred.
  other = color.others(
    x,
    jnp.where(
      kinds == _NAMES.index("contrast"),
      color.MEAN_GRAY,
      jnp.where(kinds == _NAMES.index("saturation"), color.GRAY, color.BLACK),
    ),
  )
  other = jnp.where(at("sharpness"), _smooth(x), other)
  factors = jnp.ones_like(signs)
  for name in ("brightness", "saturation", "contrast", "sharpness"):
    change = jnp.where(kinds == _NAMES.index(name), amount[name], 0)
    factors += signs * change
  blended = color.to_levels(color.blend(x, other, factors))
  # 2. Fewer bits, 3. inverted highlights,
  dropped = round(amount["posterize"])
  images = jnp.where(at("posterize"), (images >> dropped) << dropped, blended)
  above = x >= 256 * (1 - amount["solarize"])
  images = jnp.where(at("solarize") & above, 255 - images, images)
  # 4. and each channel stretched to the whole range.
  low, high = (f(x, axis=(1, 2), keepdims=True) for f in (jnp.min, jnp.max))
  stretched = (x - low) * (255 / jnp.maximum(high - low, 1))
  flat = high == low
  return jnp.where(
    at("autocontrast") & ~flat, color.to_levels(stretched), images
  )


def _smooth(x):
  """Pillow's SMOOTH: neighbours weigh 1, the pixel 5; the border is kept."""
  if min(x.shape[1:3]) < 3:
    return x
  rows = x[:, :-2] + x[:, 1:-1] + x[:, 2:]
  box = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
  inner = jnp.round((box + 4 * x[:, 1:-1, 1:-1]) / 13)
  return x.at[:, 1:-1, 1:-1].set(inner)


def _move(images, kinds, signs, amount):
  """Apply the operations that move pixels, to the nearest one; black comes in.

  Shears keep the top left corner and rotations the center, as Pillow's.
  """
  height, width = images.shape[1:3]

  def signed(name):
    return jnp.where(kinds == _NAMES.index(name), amount[name], 0) * signs

  angle = signed("rotate") * (math.pi / 180)
  cos, sin = jnp.cos(angle)[:, None, None], jnp.sin(angle)[:, None, None]
  shear_x, shear_y, shift_x, shift_y = (
    signed(name)[:, None, None]
    for name in ("shear_x", "shear_y", "translate_x", "translate_y")
  )
  y = jnp.arange(height, dtype=jnp.float32)[None, :, None] + 0.5
  x = jnp.arange(width, dtype=jnp.float32)[None, None] + 0.5
  right, down = x - width / 2, y - height / 2
  # All but one of these leave the coordinates as they are.
  from_x = width / 2 + cos * right - sin * down + shear_x * y + shift_x * width
  from_y = (
    height / 2 + sin * right + cos * down + shear_y * x + shift_y * height
  )
  from_x, from_y = (jnp.floor(c).astype(jnp.int32) for c in (from_x, from_y))
  inside = (from_x >= 0) & (from_x < width) & (from_y >= 0) & (from_y < height)
  place = jnp.where(inside, from_y * width + from_x, 0)
  pixels = images.reshape(images.shape[0], height * width, -1)
  moved = jax.vmap(
    lambda rows, where: rows.at[where].get(mode="promise_in_bounds")
  )(pixels, place)
  return jnp.where(inside[..., None], moved, jnp.uint8(0))
