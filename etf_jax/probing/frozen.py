# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Features of a trained model that stays as it is, and how diverse they are.

extract = jax.jit(frozen.create(model, inputs, "backbone"))
seen = frozen.look(extract, variables, split, num_classes, batch_size=500)
seen.features, seen.labels, seen.diversity
"""

from collections.abc import Callable, Iterator
import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from etf_jax import collapse
from etf_jax.data import Encoded, decode
from etf_jax.data.feeds import stream
from etf_jax.errors import InputError

# backbone: what the network gives, before the head's projector, BatchNorm and
# scaling; classifier: what the classifier sees, behind them.
KINDS = ("backbone", "classifier")
# Of each class, the first so many enter the numerical ranks.
RANK_IMAGES = 100


class Diversity(NamedTuple):
  """How far the features of each class are from one point.

  Attributes:
    nc1: within-class over between-class variability, see `collapse.compute`.
    rank: the mean numerical rank of a class, see `collapse.numerical_rank`.
    rank_centred: the same around the mean of the class.
  """

  nc1: float
  rank: float
  rank_centred: float


class Seen(NamedTuple):
  """A split's features; N of its images can be decoded.

  Attributes:
    features: float32 `[N, d]`; None if they were not held.
    labels: int32 `[N]`.
    diversity: None if it was not measured.
  """

  features: np.ndarray | None
  labels: np.ndarray
  diversity: Diversity | None


@dataclasses.dataclass(frozen=True)
class _Chosen:
  """The images that are named, in their order; a `stream.Plan`."""

  images: np.ndarray
  batch_size: int

  @property
  def steps(self) -> int:
    return -(-len(self.images) // self.batch_size)

  def indices(self, step: int) -> np.ndarray:
    start = step * self.batch_size
    return self.images[start : start + self.batch_size]


def create(
  model, inputs: Callable[..., jax.Array], kind: str
) -> Callable[[dict, jax.Array, jax.Array | None], jax.Array]:
  """Build `extract(variables, images, sizes)`, to be jitted.

  Args:
    model: a `models.Classifier`.
    inputs: (uint8 images, their sizes or None) to what the model takes.
    kind: one of `KINDS`.

  Returns:
    A function to features `[B, d]`, float32 or wider.

  Raises:
    ValueError: another kind.
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
  """The classifier vectors, `[d, K]`, that `classifier` features meet.

  Args:
    model: a `models.Classifier`.
    variables: of it.
    image: uint8 `[H, W, C]`, any of the right shape.
    inputs: see `create`.
  """

  @jax.jit
  def weights(variables, images):
    return model.apply(variables, inputs(images, None), train=False).weights

  return np.asarray(weights(variables, jnp.asarray(image)[None]))


def look(
  extract: Callable[..., jax.Array],
  variables: dict,
  split: Encoded,
  num_classes: int,
  *,
  batch_size: int,
  hold: bool = True,
  measure: bool = True,
) -> Seen:
  """Extract the features of a split, every image once.

  Args:
    extract: see `create`.
    variables: of the model.
    split: its images.
    num_classes: K.
    batch_size: images at once.
    hold: whether the features are kept, on this host (4 N d bytes).
    measure: whether to measure their diversity, in the same pass.

  Raises:
    InputError: an image that cannot be decoded, unless config.data.corrupt is
      "skip"; or none that can.
  """
  size = min(batch_size, len(split.labels))
  everything = np.arange(len(split.labels))
  meter = None
  if measure:
    first = np.unique(split.labels, return_index=True)[1]
    references = list(_read(extract, variables, split, first, size))
    meter = _Meter(*_joined(references), num_classes)
  every = []
  for part in _read(extract, variables, split, everything, size):
    if meter is not None:
      meter.add(*part)
    features, labels, where = part
    kept = np.asarray(features)[where] if hold else None
    every.append((kept, labels[where]))
  labels = np.concatenate([labels for _, labels in every])
  if not len(labels):
    raise InputError(f"none of the {len(split.labels)} images can be decoded")
  features = np.concatenate([kept for kept, _ in every]) if hold else None
  return Seen(features, labels, None if meter is None else meter.found())


def _read(
  extract, variables, split, images, size
) -> Iterator[tuple[jax.Array, np.ndarray, np.ndarray]]:
  """Features, labels and what counts, in batches of one shape."""
  batches = stream.Batches(
    split,
    _Chosen(images, size),
    multiple_of=size,
    threads=decode.cpu_threads(),
  )
  with stream.Stream(batches) as reader:
    for local in reader:
      features = extract(variables, local.images, local.sizes)
      yield features, local.labels, local.where


def _joined(parts):
  features, labels, where = map(np.concatenate, zip(*parts, strict=True))
  return features[where], labels[where]


_update = jax.jit(collapse.update, donate_argnums=0)


class _Meter:
  """Diversity from batches, around one example of each class."""

  def __init__(self, examples, classes, num_classes):
    reference = np.full((num_classes, examples.shape[1]), np.nan, np.float32)
    reference[classes] = examples
    self._stats = collapse.init(*reference.shape, reference=reference)
    self._seen = np.zeros(num_classes, np.int64)
    self._first = []

  def add(self, features, labels, where) -> None:
    """Add a batch."""
    self._stats = _update(self._stats, features, labels, where=where)
    chosen = []
    for place in np.flatnonzero(where):
      if self._seen[labels[place]] < RANK_IMAGES:
        self._seen[labels[place]] += 1
        chosen.append(place)
    if chosen:
      self._first.append((np.asarray(features)[chosen], labels[chosen]))

  def found(self) -> Diversity:
    """Of all that was added."""
    num_classes, width = self._stats.reference.shape
    # NC1 is of the features alone, whatever the classifier.
    nothing = jnp.zeros((width, num_classes), self._stats.reference.dtype)
    nc1 = float(collapse.compute(self._stats, nothing).nc1)
    features, labels = map(np.concatenate, zip(*self._first, strict=True))
    features = features.astype(np.float64)
    plain, centred = (
      float(
        collapse.numerical_rank(features, labels, num_classes, centred=around)
      )
      for around in (False, True)
    )
    return Diversity(nc1, plain, centred)
