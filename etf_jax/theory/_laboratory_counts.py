# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Which classes of a training set collapse, by how much it is regularised."""

from collections.abc import Callable, Sequence
import time
from typing import NamedTuple

from jax.typing import ArrayLike
import numpy as np

from etf_jax.theory.thresholds import collapse_thresholds
from etf_jax.theory.unconstrained_features import (
  collapsed_classes,
  solve_unconstrained_features,
)

# A class has collapsed when a cosine with another exceeds this.
COLLAPSE_COSINE = 0.99
# The time grows with the cube of how many different counts there are: more
# than the first number are merged into the second.
EXACT, LEVELS = 100, 60


class CountsSweep(NamedTuple):
  """The learned classifier of the solved programme for given class counts.

  Attributes:
    class_counts: `[K]` samples.
    lambda_z: `[L]`, increasing.
    lambda_b: of the bias; None is no bias.
    levels: how many different counts were solved for.
    merged: whether these are fewer than there are.
    largest_cosine: `[K, L]`, of a class's classifier vector with another's;
      NaN where its vector, or every other, is zero.
    relative_norm: `[K, L]`, the length over the largest; NaN where all
      vectors are zero.
    collapsed: boolean `[K, L]`: the vector is zero, or a cosine exceeds
      `COLLAPSE_COSINE`.
    thresholds: `[K]`, lambda_Z from which on classes of equal counts share one
      vector in closed form; NaN for a count that no other class has.
    gap: the largest certified error of an objective, over the objective.
    seconds: what solving took.
  """

  class_counts: np.ndarray
  lambda_z: np.ndarray
  lambda_b: float | None
  levels: int
  merged: bool
  largest_cosine: np.ndarray
  relative_norm: np.ndarray
  collapsed: np.ndarray
  thresholds: np.ndarray
  gap: float
  seconds: float

  @property
  def starts(self) -> np.ndarray:
    """`[K]`, the least solved lambda_Z from which on a class is collapsed.

    NaN where it is not at the largest.
    """
    lasting = np.logical_and.accumulate(self.collapsed[:, ::-1], axis=1)
    number = lasting.sum(1)
    first = np.minimum(self.lambda_z.size - number, self.lambda_z.size - 1)
    return np.where(number > 0, self.lambda_z[first], np.nan)

  @property
  def reference(self) -> int:
    """The first column in which a class has collapsed, or else the last."""
    some = self.collapsed.any(0)
    return int(some.argmax()) if some.any() else self.lambda_z.size - 1


def default_grid(class_counts: ArrayLike) -> np.ndarray:
  """A logarithmic grid of lambda_Z over which classes collapse.

  24 points from 0.3 times the threshold of the smallest count to 1.2 times that
  of the largest, sqrt(n)/N each.

  Args:
    class_counts: `[K]`, positive.

  Returns:
    `[24]`, increasing.

  Examples:
    >>> from etf_jax.theory import laboratory
    >>> grid = laboratory.default_grid([400, 100])
    >>> print(grid[[0, -1]])
    [0.006 0.048]
  """
  counts = np.asarray(class_counts, np.float64)
  low, high = np.sqrt([counts.min(), counts.max()]) / counts.sum()
  return np.geomspace(0.3 * low, 1.2 * high, 24)


def sweep_counts(
  class_counts: ArrayLike,
  lambda_z: Sequence[float],
  lambda_b: float | None = None,
  *,
  exact: bool = False,
  progress: Callable[[int], None] | None = None,
) -> CountsSweep:
  """Solve the model of unconstrained features at every lambda_Z.

  Args:
    class_counts: `[K]`, positive, of two classes at least.
    lambda_z: `[L]`, positive.
    lambda_b: of the bias; None is no bias.
    exact: solve for every count as it is, however many differ.
    progress: called after each solution with how many there are.

  Returns:
    A `CountsSweep`. Unless `exact`, more than 100 different counts are merged
    into 60, evenly spaced in their logarithms, each the mean of its classes.

  Raises:
    ValueError: if an argument is out of its range.
    RuntimeError: if a solution cannot be found, which is so for values of
      lambda_Z more than a thousand times below where classes collapse.

  Examples:
    >>> from etf_jax.theory import laboratory
    >>> sweep = laboratory.sweep_counts([20, 20, 5, 5, 5], [0.02, 0.05])
    >>> print(sweep.starts)
    [ nan  nan 0.05 0.05 0.05]
  """
  counts = np.asarray(class_counts, np.float64)
  lambda_z = np.sort(np.asarray(lambda_z, np.float64))
  different = np.unique(counts).size
  merged = different > EXACT and not exact
  solved = merge_counts(counts, LEVELS) if merged else counts
  started = time.perf_counter()
  cosine, norm, collapsed, gap, solution = [], [], [], 0.0, None
  # From the most regularised: solutions grow out of zero, mode by mode.
  for value in lambda_z[::-1]:
    solution = solve_unconstrained_features(
      solved, float(value), lambda_b, start=solution
    )
    cosine.append(_largest_cosine(solution.classifier_cosines))
    norm.append(solution.classifier_norms)
    collapsed.append(collapsed_classes(solution, cosine=COLLAPSE_COSINE))
    gap = max(gap, solution.gap / solution.objective)
    if progress is not None:
      progress(len(norm))
  norms = np.array(norm)
  largest = norms.max(1, keepdims=True)
  relative = np.divide(
    norms, largest, out=np.full_like(norms, np.nan), where=largest > 0
  )
  return CountsSweep(
    counts,
    lambda_z,
    lambda_b,
    np.unique(solved).size,
    merged,
    np.array(cosine)[::-1].T,
    relative[::-1].T,
    np.array(collapsed)[::-1].T,
    _thresholds(counts),
    gap,
    time.perf_counter() - started,
  )


def merge_counts(class_counts: ArrayLike, levels: int) -> np.ndarray:
  """Give neighbouring counts their mean, so that few different ones remain.

  Args:
    class_counts: `[K]`, positive.
    levels: at most how many remain.

  Returns:
    `[K]`, with the same sum.
  """
  counts = np.asarray(class_counts, np.float64)
  edges = np.geomspace(counts.min(), counts.max(), levels + 1)
  level = np.searchsorted(edges[1:-1], counts, side="right")
  number = np.bincount(level)
  total = np.bincount(level, counts)
  mean = np.divide(total, number, out=np.zeros_like(total), where=number > 0)
  return mean[level]


def _largest_cosine(cosines: np.ndarray) -> np.ndarray:
  """Of each row, off the diagonal; NaN where every entry is."""
  others = cosines.copy()
  np.fill_diagonal(others, np.nan)
  largest = np.where(np.isnan(others), -np.inf, others).max(1)
  return np.where(np.isfinite(largest), largest, np.nan)


def _thresholds(counts: np.ndarray) -> np.ndarray:
  values, cluster, sizes = np.unique(
    counts, return_inverse=True, return_counts=True
  )
  return np.asarray(collapse_thresholds(sizes, values))[cluster]
