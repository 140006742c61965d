# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Long-tailed subsets: counts of the classes and the images chosen.

    counts = exponential_counts(5000, num_classes=10, imbalance=0.01)
    indices = select(labels, counts, seed=0)

Class 0 is the largest and `imbalance` is the smallest count over the largest.
The choice is seeded and nested: with one seed, the fewer images of a class are
among the more of it. It depends on nothing but (seed, class, number of images
of the class), and never on NumPy's version.
"""

from collections.abc import Callable, Sequence

import numpy as np

from etf_jax.errors import InputError, unknown_name

# 5000 * 0.29 is 1449.9999999999998 in float64: without the slack a product
# that is whole on paper would lose an image.
_FLOOR_SLACK = 1e-9

# A profile maps the largest count, K >= 2 and the imbalance in (0, 1] to `[K]`
# int64 from the largest to the smallest, or raises InputError.
# In `apportioned_counts` the largest class has so many.
_UNITS = 2**40

_SELECT, _HOLD_OUT = 0, 1  # Purposes of a random order; they never share one.


def exponential_counts(
  largest: float, num_classes: int, imbalance: float
) -> np.ndarray:
  """Return floor(largest * imbalance**(k / (K - 1))) for k = 0..K-1."""
  _check_shape(num_classes, imbalance)
  return _floor(
    largest * imbalance ** (np.arange(num_classes) / (num_classes - 1))
  )


def step_counts(largest: int, num_classes: int, imbalance: float) -> np.ndarray:
  """Return `largest` for the first K // 2 classes, then largest * imbalance."""
  _check_shape(num_classes, imbalance)
  large = np.arange(num_classes) < num_classes // 2
  return _floor(np.where(large, largest, largest * imbalance))


def pareto_counts(
  largest: int, num_classes: int, imbalance: float, alpha: float = 6.0
) -> np.ndarray:
  """Return K evenly spaced quantiles of a Pareto distribution, bounded.

  n_k = n_min + (n_max - n_min) (q_k - 1) / (q_0 - 1), where q_k is the quantile
  (K / (k + 1))**(1 / alpha) and n_min = imbalance * n_max: both ends are met.

  ImageNet-LT (Liu et al. 2019) was drawn at random from such a distribution, of
  alpha 6 and shifted to begin at 0. Its 1000 classes of 1280 to 5 images hold
  115,846; these quantiles give 121,449. A Pareto distribution that is cut to
  [5, 1280] without the shift would give 6,862: nearly all classes near 5.

  Args:
    largest: n_max, the count of class 0.
    num_classes: K, at least 2.
    imbalance: n_min / n_max, in (0, 1].
    alpha: Exponent of the tail, above 0; smaller is steeper.
  """
  _check_shape(num_classes, imbalance)
  if not 0 < alpha < np.inf:
    raise InputError(
      f"alpha={alpha:g} of a Pareto tail must be above 0 and finite"
    )
  quantiles = (num_classes / np.arange(1, num_classes + 1)) ** (1 / alpha)
  share = (quantiles - 1) / (quantiles[0] - 1)
  return _floor(largest * (imbalance + (1 - imbalance) * share))


_PROFILES: dict[str, Callable[[int, int, float], np.ndarray]] = {
  "exponential": exponential_counts,
  "step": step_counts,
  "pareto": pareto_counts,
}
PROFILES = (*_PROFILES, "list", "none")


def apportioned_counts(
  total: int, num_classes: int, imbalance: float, profile: str
) -> np.ndarray:
  """Return counts in the proportions of a profile that add up to `total`.

  So the imbalance can be varied while the number of images is held. Each class
  has its quota rounded down, and what is left goes to the largest fractions, of
  equal ones to the larger class.

  Args:
    total: Images in all.
    num_classes: K, at least 2.
    imbalance: Count of class K-1 over that of class 0, in (0, 1].
    profile: "exponential", "step" or "pareto".

  Returns:
    `[K]` int64, from the largest to the smallest; small ones may be 0.
  """
  weights = _PROFILES[profile](_UNITS, num_classes, imbalance)
  quotas = total * (weights / weights.sum())
  counts = _floor(quotas)
  order = np.argsort(counts - quotas, kind="stable")
  counts[order[: total - counts.sum()]] += 1
  return counts


def realized_counts(
  labels: np.ndarray,
  class_names: tuple[str, ...],
  *,
  profile: str,
  imbalance: float,
  counts: Sequence[int] = (),
  total: int | None = None,
) -> np.ndarray:
  """Return how many images each class keeps.

  The largest count of a profile is N // K of the given labels. A class that has
  fewer images than its share, or than its number in `counts`, keeps what it
  has. With `total` every class has its share of so many images, or it is an
  error.

  Args:
    labels: `[N]` classes of the images there are.
    class_names: The K names.
    profile: "exponential", "step", "pareto", "list" (`counts` decides) or
      "none" (everything is kept).
    imbalance: See the profiles; "list" and "none" only check its range.
    counts: K whole numbers, at least 1, for "list"; empty for all others.
    total: See `apportioned_counts`; None for "list" and "none".

  Returns:
    `[K]` int64, each at least 1.

  Raises:
    InputError: An argument is out of its range, a class is left empty, or has
      fewer images than its share of `total`.
  """
  num_classes = len(class_names)
  if profile not in PROFILES:
    known = (*PROFILES, "published_svhn")
    raise unknown_name("config.data.profile", profile, known)
  _check_shape(num_classes, imbalance)
  if len(counts) and profile != "list":
    raise InputError(
      "config.data.counts is for config.data.profile='list', and that is "
      f"{profile!r}; set one of the two"
    )
  if total is not None and profile not in _PROFILES:
    raise InputError(
      f"config.data.images={total} does nothing with config.data.profile="
      f"{profile!r}; leave it out"
    )
  available = np.bincount(labels, minlength=num_classes).astype(np.int64)
  check_present(available, class_names)
  if profile == "none":
    return available
  if profile == "list":
    return np.minimum(_listed(counts, class_names), available)
  if total is not None:
    wanted = apportioned_counts(total, num_classes, imbalance, profile)
    _check_shares(wanted, available, class_names, total, imbalance)
    return wanted
  largest = len(labels) // num_classes
  wanted = _PROFILES[profile](largest, num_classes, imbalance)
  empty = np.flatnonzero(wanted == 0)
  if empty.size:
    raise InputError(
      f"config.data.imbalance={imbalance:g} leaves class {empty[0]} "
      f"({class_names[empty[0]]!r}) without a training image, since {largest} "
      f"images in the largest class times {imbalance:g} is below 1; use at "
      f"least {1 / largest:.3g}"
    )
  return np.minimum(wanted, available)


def select(labels: np.ndarray, counts: np.ndarray, seed: int) -> np.ndarray:
  """Return sorted indices of counts[k] images of each class k.

  Args:
    labels: `[N]` classes.
    counts: `[K]` how many to choose; a class with fewer gives all it has.
    seed: Seed of the choice, at least 0.
  """
  return _first(labels, counts, seed, _SELECT)


def hold_out(
  labels: np.ndarray,
  class_names: tuple[str, ...],
  *,
  fraction: float,
  seed: int,
) -> tuple[np.ndarray, np.ndarray]:
  """Split the images of each class into training and validation.

  A class gives its share, rounded down. Where that is nothing, it gives one
  image if it has two; a class of one gives none.

  Args:
    labels: `[N]` classes.
    class_names: The K names.
    fraction: Share of each class that goes to validation, in [0, 1).
    seed: Seed of the choice, at least 0.

  Returns:
    Sorted int64 indices into `labels`: the training and the validation ones.

  Raises:
    InputError: `fraction` is out of range, or every class has one image.
  """
  if not 0 <= fraction < 1:
    raise InputError(
      f"config.data.validation_fraction={fraction:g} must be at least 0 and "
      "below 1"
    )
  available = np.bincount(labels, minlength=len(class_names))
  check_present(available, class_names)
  counts = _floor(fraction * available)
  if fraction > 0:
    counts = np.minimum(np.maximum(counts, 1), available - 1)
    if not counts.any():
      raise InputError(
        f"config.data.validation_fraction={fraction:g}: every class has one "
        "image, and none is left for validation; set it to 0"
      )
  validation = _first(labels, counts, seed, _HOLD_OUT)
  training = np.setdiff1d(np.arange(len(labels)), validation)
  return training, validation


def check_present(available: np.ndarray, class_names: tuple[str, ...]) -> None:
  """Raise InputError unless each of the `[K]` counts is positive."""
  empty = np.flatnonzero(available == 0)
  if empty.size:
    raise InputError(
      f"class {empty[0]} ({class_names[empty[0]]!r}) has no training image; "
      "remove the class or add images of it"
    )


def _check_shares(wanted, available, class_names, total, imbalance) -> None:
  """Refuse a total of which a class would have nothing, or too much."""
  for k, name in enumerate(class_names):
    if not 0 < wanted[k] <= available[k]:
      remedy = "raise" if wanted[k] <= 0 else "lower"
      raise InputError(
        f"config.data.images={total} gives class {k} ({name!r}) {wanted[k]} of "
        f"its {available[k]} images at config.data.imbalance={imbalance:g}: "
        f"{remedy} config.data.images or raise config.data.imbalance"
      )


def _listed(counts: Sequence[int], class_names: tuple[str, ...]) -> np.ndarray:
  if len(counts) != len(class_names):
    raise InputError(
      f"config.data.counts has {len(counts)} numbers and there are "
      f"{len(class_names)} classes; give one for each"
    )
  for k, (count, name) in enumerate(zip(counts, class_names, strict=True)):
    if count != int(count) or count < 1:
      raise InputError(
        f"config.data.counts[{k}]={count} (class {name!r}) must be a whole "
        "number of images, at least 1"
      )
  return np.asarray(counts, np.int64)


def _first(
  labels: np.ndarray, counts: np.ndarray, seed: int, purpose: int
) -> np.ndarray:
  """Return the sorted indices of the first images of each class.

  Of class k they are in an order of (seed, k, purpose). NumPy promises the raw
  stream of a bit generator for all time, but not the permutations made of it:
  hence the sort of raw numbers.
  """
  if seed < 0:
    raise InputError(f"config.data.seed={seed} must be at least 0")
  chosen = []
  for k, count in enumerate(counts):
    members = np.flatnonzero(labels == k)
    bits = np.random.PCG64(np.random.SeedSequence((seed, k, purpose)))
    raw = bits.random_raw(len(members))
    chosen.append(members[np.argsort(raw, kind="stable")][:count])
  return np.sort(np.concatenate(chosen))


def _floor(counts: np.ndarray) -> np.ndarray:
  return np.floor(counts * (1 + _FLOOR_SLACK)).astype(np.int64)


def _check_shape(num_classes: int, imbalance: float) -> None:
  if num_classes < 2:
    raise InputError(
      f"a long tail needs at least 2 classes, and there are {num_classes}"
    )
  if not 0 < imbalance <= 1:
    raise InputError(
      f"config.data.imbalance={imbalance:g} must be above 0 and at most 1 "
      "(smallest class over largest)"
    )
