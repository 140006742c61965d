# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Augmentation inside the jitted step: uint8 images in, normalized floats out.

Each example's draws come from (key, its place in the batch) alone, so padding
a batch or spreading it over devices changes nothing.

  train = augment.training(config.augment, mean, std)
  inputs, partners, lam = train(batch, key)
  evaluate = augment.evaluation(config.augment, mean, std)
  inputs = evaluate(images, sizes)
"""

from collections.abc import Callable, Sequence
import math
import numbers

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np

from etf_jax.data.augment import (
  color,
  mixing,
  randaugment,
  resized_crop,
  shifted_crop,
)
from etf_jax.data.augment.mixing import mix, mixup_partners
from etf_jax.data.batch import Batch
from etf_jax.errors import InputError

__all__ = [
  "check",
  "cutout",
  "evaluation",
  "example_keys",
  "flip",
  "mix",
  "mixup_partners",
  "normalize",
  "pad_crop",
  "training",
]

Mixed = tuple[jax.Array, jax.Array | None, jax.Array | None]


def training(
  config: ConfigDict,
  mean: Sequence[float],
  std: Sequence[float],
  dtype: jnp.dtype = jnp.float32,
) -> Callable[[Batch, jax.Array], Mixed]:
  """Build what a training step does to its batch.

  In this order, each only if the config asks for it: the random-resized or the
  padded crop, the flip, color jitter, RandAugment, normalization, cutout, and
  mixup or CutMix.

  Args:
    config: `config.augment` of configs/base.py.
    mean: per channel, of pixels in [0, 1].
    std: per channel, of pixels in [0, 1].
    dtype: of the inputs.

  Returns:
    A function of a batch and the step's key to the model's inputs
    `[B, H, W, C]`; and, where examples are mixed, the partner of each, `[B]`
    indices, and the scalar float32 share of its own label. Those two are None
    where nothing is mixed.

  Raises:
    InputError: see `check`.
  """
  check(config, len(mean))

  def augmented(batch, key):
    # Neither may depend on the size of the batch, which padding changes.
    batch_key, examples_key = jax.random.split(key)
    keys = example_keys(examples_key, batch.labels.shape[0])
    if config.crop_size:
      sizes = _sizes(batch.images, batch.sizes)
      boxes = resized_crop.random_boxes(
        keys, sizes, scale=config.crop_scale, ratio=config.crop_ratio
      )
      images = resized_crop.resample(
        batch.images, boxes, boxes, size=config.crop_size
      )
    else:
      _check_same_size(batch.sizes)
      images = pad_crop(keys, batch.images, padding=config.crop_padding)
    if config.flip:
      images = flip(keys, images)
    images = color.jitter(
      keys,
      images,
      brightness=config.brightness,
      contrast=config.contrast,
      saturation=config.saturation,
    )
    images = randaugment.randaugment(
      keys,
      images,
      layers=config.randaugment_layers,
      magnitude=config.randaugment_magnitude,
    )

    def inputs_of(keys, images):
      inputs = normalize(images, mean, std, dtype)
      return cutout(keys, inputs, side=config.cutout)

    inputs = inputs_of(keys, images)
    if not (config.mixup_alpha or config.cutmix_alpha):
      return inputs, None, None
    share, lam = mixing.shares(
      batch_key,
      *inputs.shape[1:3],
      mixup_alpha=config.mixup_alpha,
      cutmix_alpha=config.cutmix_alpha,
    )
    partners = mixup_partners(keys, batch.where)
    # Fetched as bytes, since they may come from other devices.
    theirs = inputs_of(keys[partners], mixing.fetch(images, partners))
    return mixing.blend(inputs, theirs, share), partners, lam

  return augmented


def evaluation(
  config: ConfigDict,
  mean: Sequence[float],
  std: Sequence[float],
  dtype: jnp.dtype = jnp.float32,
) -> Callable[..., jax.Array]:
  """Build what an evaluation does to images: center crop, normalization.

  Args:
    config: `config.augment` of configs/base.py; `crop_size` and `eval_crop`
      are read.
    mean: per channel, of pixels in [0, 1].
    std: per channel, of pixels in [0, 1].
    dtype: of the inputs.

  Returns:
    A function of images, uint8 `[B, H, W, C]`, and their sizes, int32 `[B, 2]`
    or None, to the model's inputs.

  Raises:
    InputError: see `check`.
  """
  check(config, len(mean))

  def prepared(images, sizes=None):
    if config.crop_size:
      sizes = _sizes(images, sizes)
      boxes = resized_crop.center_boxes(
        sizes, size=config.crop_size, fraction=config.eval_crop
      )
      whole = jnp.concatenate([jnp.zeros_like(sizes), sizes], axis=1)
      images = resized_crop.resample(
        images, boxes, whole, size=config.crop_size
      )
    else:
      _check_same_size(sizes)
    return normalize(images, mean, std, dtype)

  return prepared


def _sizes(images, sizes):
  """`[B, 2]`; what could not be decoded may have the size 0."""
  if sizes is None:
    shape = jnp.array(images.shape[1:3], jnp.int32)
    return jnp.broadcast_to(shape, (images.shape[0], 2))
  return jnp.maximum(sizes, 1)


def _check_same_size(sizes):
  if sizes is not None:
    raise InputError(
      "images of several sizes need one to be scaled to: set"
      " config.augment.crop_size, or config.data.fit='shorter'"
    )


def example_keys(key: jax.Array, batch_size: int) -> jax.Array:
  """One key per place in the batch, `[B]`."""
  return jax.vmap(jax.random.fold_in, (None, 0))(
    key, jnp.arange(batch_size, dtype=jnp.uint32)
  )


def pad_crop(keys: jax.Array, images: jax.Array, *, padding: int) -> jax.Array:
  """Add `padding` zero pixels on each side and crops back at random.

  Args:
    keys: `[B]` keys, one per example.
    images: uint8 `[B, H, W, C]`.
    padding: pixels, >= 0; 0 returns the images as they are.
  """
  if not padding:
    return images
  corners = jax.vmap(
    lambda key: jax.random.randint(
      jax.random.fold_in(key, 0), (2,), 0, 2 * padding + 1, jnp.int32
    )
  )(keys)
  return shifted_crop.windows(images, corners - padding, padding=padding)


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
  if jnp.issubdtype(images.dtype, jnp.floating):
    return images.astype(dtype)  # Features, which the model normalizes.
  wide = np.promote_types(dtype, np.float32)
  center, scale = (
    jnp.asarray(x, wide).reshape(1, 1, 1, -1) for x in (mean, std)
  )
  return ((images.astype(wide) / 255 - center) / scale).astype(dtype)


def cutout(keys: jax.Array, inputs: jax.Array, *, side: int) -> jax.Array:
  """Zeroes a square around a random pixel (DeVries & Taylor 2017).

  arXiv:1708.04552. What lies outside the image is cut off, so the square is
  whole in some images only. Zero is the mean color, as it comes after
  normalization.

  Args:
    keys: `[B]` keys, one per example.
    inputs: floating `[B, H, W, C]`.
    side: of the square, in pixels, >= 0; 0 returns the inputs as they are.
  """
  if not side:
    return inputs

  def kept(key):
    drawn = jax.random.uniform(jax.random.fold_in(key, 6), (2,), jnp.float32)
    rows, columns = map(outside, drawn, inputs.shape[1:3])
    return rows[:, None] | columns[None]

  def outside(drawn, pixels):
    places = jnp.arange(pixels, dtype=jnp.int32)
    start = jnp.floor(drawn * pixels).astype(jnp.int32) - side // 2
    return (places < start) | (places >= start + side)

  return jnp.where(
    jax.vmap(kept)(keys)[..., None], inputs, jnp.zeros((), inputs.dtype)
  )


def check(config: ConfigDict, channels: int) -> None:
  """Refuse what cannot be done, or would do nothing.

  Args:
    config: `config.augment` of configs/base.py.
    channels: of the images.

  Raises:
    InputError: the first field that is out of its range, or two that exclude
      each other.
  """
  for field, (rule, holds) in _RANGES.items():
    value = config[field]
    if not holds(value):
      raise InputError(f"config.augment.{field}={value!r} must {rule}")
  if config.crop_size and config.crop_padding:
    raise InputError(
      f"config.augment.crop_size={config.crop_size} crops and scales, and"
      f" crop_padding={config.crop_padding} would crop again: set one of them"
      " to None or 0"
    )
  if config.saturation and channels == 1:
    raise InputError(
      f"config.augment.saturation={config.saturation} does nothing to gray"
      " images: set it to 0"
    )


# Comparisons that NaN fails.
def _whole(low):
  return lambda x: isinstance(x, numbers.Integral) and x >= low


def _interval(highest):
  return lambda pair: (
    isinstance(pair, Sequence)
    and len(pair) == 2
    and all(isinstance(x, numbers.Real) for x in pair)
    and 0 < pair[0] <= pair[1] <= highest
    and pair[1] < math.inf
  )


_PIXELS = ("be a whole number of pixels >= 0", _whole(0))
_NOT_NEGATIVE = ("be finite and >= 0", lambda x: 0 <= x < math.inf)
_RANGES = {
  "crop_padding": _PIXELS,
  "crop_size": (
    "be a whole number of pixels >= 1, or None",
    lambda x: x is None or _whole(1)(x),
  ),
  "crop_scale": (
    "be two shares of the area, 0 < lowest <= highest <= 1, as in 0.08,1.0",
    _interval(1),
  ),
  "crop_ratio": (
    "be two ratios, 0 < lowest <= highest, as in 0.75,1.33",
    _interval(math.inf),
  ),
  "eval_crop": ("lie in (0, 1]", lambda x: 0 < x <= 1),
  "brightness": _NOT_NEGATIVE,
  "contrast": _NOT_NEGATIVE,
  "saturation": _NOT_NEGATIVE,
  "randaugment_layers": ("be a whole number >= 0", _whole(0)),
  "randaugment_magnitude": ("lie in [0, 10]", lambda x: 0 <= x <= 10),
  "cutout": _PIXELS,
  "mixup_alpha": _NOT_NEGATIVE,
  "cutmix_alpha": _NOT_NEGATIVE,
}
