# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Order of the examples of an epoch: (seed, epoch) -> indices.

    sampler = make_sampler("instance", labels)
    order = sampler.order(seed=0, epoch=3)    # int32 [sampler.size]

Nothing else decides it: not the devices, hosts or workers, nor the version of
NumPy, whose raw random numbers are promised never to change. So a run's place
in its data is the number of its step.
"""

from collections.abc import Callable
import dataclasses
import functools

import numpy as np

from etf_jax.errors import InputError, unknown_name

# Purposes of random numbers of one (seed, epoch); they never share a stream.
_ORDER, _CLASS, _EXAMPLE = range(3)


@dataclasses.dataclass(frozen=True, eq=False)
class Sampler:
  """The order of every epoch; it can be pickled.

  Attributes:
    name: A key of `SAMPLERS`.
    labels: int32 `[N]`, the classes of the examples.
    size: Draws of an epoch.
    total_epochs: Epochs of the run, for `progressively_balanced`.
    repeat_threshold: See `make_sampler`.
    first: The index of the first example, whose class is labels[0].
  """

  name: str
  labels: np.ndarray
  size: int
  total_epochs: float
  repeat_threshold: float
  first: int = 0

  def order(self, seed: int, epoch: int) -> np.ndarray:
    """Return the indices that an epoch visits, int32 `[size]`."""
    order = self.first + SAMPLERS[self.name](self, seed, epoch)
    return order.astype(np.int32)

  @functools.cached_property
  def by_class(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Examples sorted by class; where each present class begins, and its n."""
    sorted_by_class = np.argsort(self.labels, kind="stable")
    _, first, counts = np.unique(
      self.labels[sorted_by_class], return_index=True, return_counts=True
    )
    return sorted_by_class, first, counts


def make_sampler(
  name: str,
  labels: np.ndarray,
  *,
  total_epochs: float = 1.0,
  repeat_threshold: float | None = None,
) -> Sampler:
  """Build a sampler.

  `instance` visits every example once, in random order. The others draw a
  class first, with a probability q that depends on its count n of N, and then
  one of its examples uniformly, with replacement (Kang et al. 2020):

  * `class_balanced`: the same q for every present class;
  * `square_root`: q proportional to sqrt(n);
  * `progressively_balanced`: q moves from n / N in the first epoch to that of
    `class_balanced` in the last.

  Two draw without replacement as far as they can:

  * `class_aware` (Shen et al. 2016) takes one image of each class in turn, the
    classes and the images of each in random order that begins anew when it is
    used up;
  * `repeat_factor` (Gupta et al. 2019) repeats the images of a class whose
    share f of all images is below `repeat_threshold` t on average sqrt(t / f)
    times, with random rounding.

  An epoch has as many draws as there are examples, for `repeat_factor` as many
  as the factors add up to, rounded.

  Args:
    name: One of these.
    labels: integers `[N]`, the classes of the examples.
    total_epochs: Epochs of the run, > 0.
    repeat_threshold: t, in (0, 1]; None: 1 / K, the share of a class among K
      balanced ones (K: classes present).

  Raises:
    InputError: An unknown name or a threshold out of its range.
  """
  if name not in SAMPLERS:
    raise unknown_name("config.data.sampler", name, SAMPLERS)
  labels = np.asarray(labels, np.int32)
  if repeat_threshold is None:
    repeat_threshold = 1 / len(np.unique(labels))
  if not 0 < repeat_threshold <= 1:
    raise InputError(
      f"config.data.repeat_threshold={repeat_threshold:g} must be above 0 and "
      "at most 1 (a share of the images)"
    )
  size = len(labels)
  if name == "repeat_factor":
    size = round(_repeat_factors(labels, repeat_threshold).sum())
  return Sampler(name, labels, size, float(total_epochs), repeat_threshold)


def _instance(sampler: Sampler, seed: int, epoch: int) -> np.ndarray:
  return _permutation(len(sampler.labels), seed, epoch, _ORDER)


def _class_balanced(sampler: Sampler, seed: int, epoch: int) -> np.ndarray:
  return _draw(sampler, seed, epoch, lambda counts: np.ones(len(counts)))


def _square_root(sampler: Sampler, seed: int, epoch: int) -> np.ndarray:
  return _draw(sampler, seed, epoch, np.sqrt)


def _progressively_balanced(
  sampler: Sampler, seed: int, epoch: int
) -> np.ndarray:
  passed = min(1.0, epoch / max(1.0, np.ceil(sampler.total_epochs) - 1))
  return _draw(
    sampler,
    seed,
    epoch,
    lambda counts: (1 - passed) * counts / counts.sum() + passed / len(counts),
  )


def _class_aware(sampler: Sampler, seed: int, epoch: int) -> np.ndarray:
  examples, first, counts = sampler.by_class
  # 1. Rounds over all classes, each in an order of its own.
  rounds = -(-sampler.size // len(counts))
  keys = _raw(rounds * len(counts), seed, epoch, _CLASS)
  classes = np.argsort(keys.reshape(rounds, -1), axis=1, kind="stable")
  # 2. The r-th image of a class comes from its r-th shuffled place.
  places = np.empty((rounds, len(counts)), np.int64)
  for k, count in enumerate(counts):
    passes = -(-rounds // count)
    shuffled = np.argsort(
      _raw(passes * count, seed, epoch, _EXAMPLE, k).reshape(passes, count),
      axis=1,
      kind="stable",
    )
    places[:, k] = shuffled.reshape(-1)[:rounds]
  chosen = first[classes] + np.take_along_axis(places, classes, axis=1)
  return examples[chosen.reshape(-1)[: sampler.size]]


def _repeat_factor(sampler: Sampler, seed: int, epoch: int) -> np.ndarray:
  factors = _repeat_factors(sampler.labels, sampler.repeat_threshold)
  # Systematic rounding of the running sum: every example is visited floor(r) or
  # ceil(r) times, r on average, and an epoch always has the same size.
  mix = _permutation(len(factors), seed, epoch, _CLASS)
  total = np.cumsum(factors[mix])
  ends = total * (sampler.size / total[-1]) + _uniform(1, seed, epoch, _EXAMPLE)
  ends[-1] = sampler.size + 0.5  # whatever the rounding of the sum
  times = np.diff(np.floor(ends).astype(np.int64), prepend=0)
  visits = np.repeat(mix, times)
  return visits[_permutation(len(visits), seed, epoch, _ORDER)]


SAMPLERS: dict[str, Callable[[Sampler, int, int], np.ndarray]] = {
  "instance": _instance,
  "class_balanced": _class_balanced,
  "square_root": _square_root,
  "progressively_balanced": _progressively_balanced,
  "class_aware": _class_aware,
  "repeat_factor": _repeat_factor,
}


def _draw(sampler, seed, epoch, weights_of) -> np.ndarray:
  """Draw classes with these weights, then their examples uniformly."""
  examples, first, counts = sampler.by_class
  edges = np.cumsum(weights_of(counts.astype(np.float64)))
  drawn = np.searchsorted(
    edges[:-1] / edges[-1],
    _uniform(sampler.size, seed, epoch, _CLASS),
    side="right",
  )
  place = _uniform(sampler.size, seed, epoch, _EXAMPLE) * counts[drawn]
  return examples[first[drawn] + place.astype(np.int64)]


def _repeat_factors(labels: np.ndarray, threshold: float) -> np.ndarray:
  share = np.bincount(labels)[labels] / len(labels)
  return np.maximum(1, np.sqrt(threshold / share))


def _permutation(size: int, *words: int) -> np.ndarray:
  return np.argsort(_raw(size, *words), kind="stable")


def _uniform(size: int, *words: int) -> np.ndarray:
  """Float64 in [0, 1), multiples of 2**-53."""
  return (_raw(size, *words) >> np.uint64(11)) * 2.0**-53


def _raw(size: int, *words: int) -> np.ndarray:
  """Random uint64 `[size]` that follow from non-negative words."""
  return np.random.PCG64(np.random.SeedSequence(words)).random_raw(size)
