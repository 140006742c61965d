# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Features of a trained model, and their diversity.

extract = jax.jit(features.extractor(model, inputs, "backbone"))
found = features.read(extract, variables, split, batch_size=500)
features.diversity(found, num_classes)
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from etf_jax import collapse
from etf_jax.data import Encoded, decode
from etf_jax.data.feeds import stream
from etf_jax.errors import InputError

# backbone: before the head's projector, BatchNorm and scaling; classifier:
# behind them.
KINDS = ("backbone", "classifier")
_UPDATE = 4096  # features in one update of the statistics


class Features(NamedTuple):
  """Float32 `[N, d]` and labels `[N]` of the N images that can be decoded."""

  features: np.ndarray
  labels: np.ndarray


class Diversity(NamedTuple):
  """Distance of the features of each class from one point.

  `collapse.compute` has NC1 and `collapse.numerical_rank` the rank, which is a
  mean over classes; `rank_centred` is around the mean of each class.
  """

  nc1: float
  rank: float
  rank_centred: float


def extractor(
  model, inputs: Callable[..., jax.Array], kind: str
) -> Callable[[dict, jax.Array, jax.Array | None], jax.Array]:
  """Create `extract(variables, images, sizes)`, to be jitted.

  Args:
    model: a `models.Classifier`.
    inputs: (uint8 images, their sizes or None) to the model's input.
    kind: one of `KINDS`.

  Returns:
    A function to features `[B, d]`, float32 or wider.
  """
  if kind not in KINDS:
    raise ValueError(f"kind must be one of {KINDS}, got {kind!r}")

  def extract(variables, images, sizes):
    taken = inputs(images, sizes)
    if kind == "classifier":
      return model.apply(variables, taken, train=False).features
    found = model.apply(variables, taken, train=False, method="features")
    return found.astype(jnp.promote_types(found.dtype, jnp.float32))

  return extract


def templates(model, variables: dict, image: np.ndarray, inputs) -> np.ndarray:
  """Return the classifier vectors `[d, K]`, which meet `classifier` features.

  `image` is any uint8 image of the right shape; `inputs` as in `extractor`.
  """

  @jax.jit
  def weights(variables, images):
    return model.apply(variables, inputs(images, None), train=False).weights

  return np.asarray(weights(variables, jnp.asarray(image)[None]))


def read(
  extract: Callable[..., jax.Array],
  variables: dict,
  split: Encoded,
  *,
  batch_size: int,
) -> Features:
  """Extract the features of every image, into 4 N d bytes of this host.

  Raises:
    InputError: an image that cannot be decoded, unless config.data.corrupt is
      "skip"; or none that can.
  """
  size = min(batch_size, len(split.labels))
  batches = stream.Batches(
    split,
    stream.Once(len(split.labels), size),
    multiple_of=size,
    threads=decode.cpu_threads(),
  )
  features, labels = list[np.ndarray](), list[np.ndarray]()
  with stream.Stream(batches) as reader:
    for local in reader:
      batch = extract(variables, local.images, local.sizes)
      features.append(np.asarray(batch)[local.where])
      labels.append(local.labels[local.where])
  found = Features(np.concatenate(features), np.concatenate(labels))
  if not len(found.labels):
    raise InputError(f"none of the {len(split.labels)} images can be decoded")
  return found


def diversity(found: Features, num_classes: int) -> Diversity:
  """Measure how diverse the features of each class are."""
  features, labels = found
  means = np.full((num_classes, features.shape[1]), np.nan, np.float32)
  for k in np.unique(labels):
    means[k] = features[labels == k].mean(axis=0, dtype=np.float64)
  stats = collapse.init(*means.shape, reference=means)
  update = jax.jit(collapse.update, donate_argnums=0)
  for start in range(0, len(labels), _UPDATE):
    part = slice(start, start + _UPDATE)
    stats = update(stats, features[part], labels[part])
  # NC1 is of the features, whatever the classifier.
  nothing = jnp.zeros(means.shape[::-1], means.dtype)
  nc1 = float(collapse.compute(stats, nothing).nc1)
  rows = features.astype(np.float64)
  plain, centred = (
    float(collapse.numerical_rank(rows, labels, num_classes, centred=around))
    for around in (False, True)
  )
  return Diversity(nc1, plain, centred)
