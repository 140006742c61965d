# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Mixup and CutMix: each example of a batch is mixed with another one."""

import functools

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

# Cells of the table of Beta quantiles, which are linear in between.
_CELLS = 4096


def mixup_partners(
  keys: jax.Array, where: jax.Array | None = None
) -> jax.Array:
  """Draw a random permutation of the batch, `[B]` indices.

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
  """Return the `blend` of images with those of their partners."""
  return blend(images, fetch(images, partners), lam)


def fetch(images: jax.Array, partners: jax.Array) -> jax.Array:
  """Return `images[partners]`, in a layout that TPUs gather well."""
  return lax.platform_dependent(
    images, partners, tpu=_fetch_planes, default=lambda x, places: x[places]
  )


def _fetch_planes(images, partners):
  # TPUs pad the last axis of what they gather to 128 numbers.
  return images.transpose(0, 3, 1, 2)[partners].transpose(0, 2, 3, 1)


def blend(images: jax.Array, others: jax.Array, lam: jax.Array) -> jax.Array:
  """Return `lam * images + (1 - lam) * others` (Zhang et al. 2018).

  In at least float32, since the loss mixes the labels with the same `lam`.

  Args:
    images: floating `[B, H, W, C]`.
    others: of the same shape and dtype.
    lam: in [0, 1], a scalar or one of each pixel, `[1, H, W, 1]`.
  """
  wide = np.promote_types(images.dtype, np.float32)
  lam = lam.astype(wide)
  mixed = lam * images.astype(wide) + (1 - lam) * others.astype(wide)
  return mixed.astype(images.dtype)


def shares(
  key: jax.Array,
  height: int,
  width: int,
  *,
  mixup_alpha: float,
  cutmix_alpha: float,
) -> tuple[jax.Array, jax.Array]:
  """Return the share of each pixel, and of the label, that an example keeps.

  With both alphas positive, mixup or CutMix is drawn with probability 1/2.

  Args:
    key: of the batch; nothing here depends on its size.
    height: of the images.
    width: of the images.
    mixup_alpha: mixup's share is Beta(alpha, alpha); 0: no mixup.
    cutmix_alpha: the same for the pixels outside its box; 0: no CutMix.

  Returns:
    float32 shares of the pixels, for `mix`, and of the label, a scalar: the
    mean of the former.
  """
  lam = symmetric_beta(key, mixup_alpha or cutmix_alpha)
  pasted = None
  if mixup_alpha and cutmix_alpha:
    pasted = jax.random.bernoulli(jax.random.fold_in(key, 2))
    lam = jnp.where(pasted, symmetric_beta(key, cutmix_alpha), lam)
  if not cutmix_alpha:
    return lam, lam
  window = cutmix_window(jax.random.fold_in(key, 1), lam, height, width)
  # Counted, since the border may cut the box off.
  area = jnp.sum(window, dtype=jnp.int32).astype(jnp.float32) / (height * width)
  window = window[None, :, :, None].astype(jnp.float32)
  if pasted is None:
    return window, area
  return jnp.where(pasted, window, lam), jnp.where(pasted, area, lam)


def symmetric_beta(key: jax.Array, alpha: float) -> jax.Array:
  """Draw from Beta(alpha, alpha) by quantiles, a float32 scalar.

  Sampling by rejection is a loop of unknown length, for which a GPU makes the
  host wait in every step.

  Args:
    key: of the draw.
    alpha: > 0.
  """
  level, side = jax.random.uniform(key, (2,), jnp.float32)
  place = level ** (1 / _exponent(alpha)) * _CELLS
  cell = jnp.minimum(place.astype(jnp.int32), _CELLS - 1)
  table = jnp.asarray(_lower_quantiles(alpha))
  low, high = table[cell], table[cell + 1]
  lam = low + (place - cell.astype(jnp.float32)) * (high - low)
  return jnp.where(side < 0.5, lam, 1 - lam)


def _exponent(alpha):
  """Return the power of a level in which small quantiles are smooth."""
  return min(alpha, 4.0)


@functools.cache
def _lower_quantiles(alpha):
  """Tabulate quantiles of Beta(alpha, alpha) at the levels 0 to 1/2."""
  from scipy import special  # here, for a fast start

  grid = np.linspace(0, 1, _CELLS + 1) ** _exponent(alpha)
  return special.betaincinv(alpha, alpha, grid / 2).astype(np.float32)


def cutmix_window(
  key: jax.Array, lam: jax.Array, height: int, width: int
) -> jax.Array:
  """Booleans `[height, width]`, False inside a random box.

  The box of Yun et al. 2019 (arXiv:1905.04899): a share 1 - lam of the area,
  around any pixel; what lies outside is cut off.
  """
  side = jnp.sqrt(1 - lam)
  center = jax.random.uniform(key, (2,), jnp.float32)

  def outside(pixels, center):
    half = jnp.floor(side * pixels).astype(jnp.int32) // 2
    middle = jnp.floor(center * pixels).astype(jnp.int32)
    places = jnp.arange(pixels, dtype=jnp.int32)
    return (places < middle - half) | (places >= middle + half)

  rows, columns = outside(height, center[0]), outside(width, center[1])
  return rows[:, None] | columns[None]
