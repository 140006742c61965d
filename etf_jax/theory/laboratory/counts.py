# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Classes of a training set that collapse, over the regularization."""

from collections.abc import Callable
import json
from pathlib import Path
import time
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from etf_jax.errors import InputError
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
# Where float64 still tells a count of 1 from none in their sum.
_MOST = 1e15


class CountsSweep(NamedTuple):
  """The learned classifier of the solved program for given class counts."""

  class_counts: np.ndarray  # [K] samples
  lambda_z: np.ndarray  # [L], increasing
  lambda_b: float | None  # of the bias; None is no bias
  levels: int  # number of different counts that were solved for
  merged: bool  # True where that is less than the number given
  # [K, L], of a class's classifier vector with another's; NaN where its vector,
  # or every other, is zero.
  largest_cosine: np.ndarray
  relative_norm: np.ndarray  # [K, L], over the largest; NaN where all are zero
  # Boolean [K, L]: the vector is zero, or a cosine exceeds `COLLAPSE_COSINE`.
  collapsed: np.ndarray
  # [K], lambda_Z from which on classes of equal counts share one vector in
  # closed form; NaN for a count that no other class has.
  thresholds: np.ndarray
  gap: float  # largest certified error of an objective, over the objective
  seconds: float  # time of the solutions

  @property
  def starts(self) -> np.ndarray:
    """The least solved lambda_Z `[K]` from which on a class stays collapsed.

    NaN where it has not collapsed at the largest.
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


def read_counts(text: str | None, file: str | None) -> np.ndarray | None:
  """Read class counts `[K]` from the command line or a file; None for neither.

  A file is a JSON list, numbers with commas or spaces between, or a run's
  folder, which holds class_counts.json.
  """
  if text is not None and file is not None:
    raise InputError("--counts, --counts_file: both given; give one")
  field = f"--counts={text}"
  if file is not None:
    path = Path(file)
    if path.is_dir():
      path /= "class_counts.json"
    field = f"--counts_file={path}"
    try:
      text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
      reason = getattr(error, "strerror", None) or "it is not text"
      raise InputError(
        f"{field}: cannot be read, {reason}; give a file of counts"
      ) from error
  if text is None:
    return None
  try:
    is_json = text.lstrip()[:1] in ("[", "{")
    values = json.loads(text) if is_json else text.replace(",", " ").split()
  except json.JSONDecodeError as error:
    raise InputError(f"{field}: is not JSON, {error}; mend the file") from error
  if not isinstance(values, list) or len(values) < 2:
    raise InputError(f"{field}: needs a list of two counts or more; add them")
  return np.array(
    [
      read_positive(f"{field}: the count of class {k}", str(value))
      for k, value in enumerate(values)
    ]
  )


def read_positive(field: str, text: str | None) -> float | None:
  """Read a positive number of at most 1e15; None stays None.

  Raises:
    InputError: names the field, for any other text.
  """
  if text is None:
    return None
  try:
    number = float(text)
  except ValueError:
    number = np.nan
  if not 0 < number <= _MOST:
    raise InputError(
      f"{field}={text[:40]}: is no positive number up to {_MOST:g}; give one"
    )
  return number


def default_grid(class_counts: ArrayLike) -> np.ndarray:
  """Return a logarithmic grid of lambda_Z over which classes collapse.

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
  lambda_z: ArrayLike,
  lambda_b: float | None = None,
  *,
  exact: bool = False,
  progress: Callable[[], object] | None = None,
) -> CountsSweep:
  """Solve the model of unconstrained features at every lambda_Z.

  Args:
    class_counts: `[K]`, positive, of two classes at least.
    lambda_z: `[L]`, positive.
    lambda_b: of the bias; None is no bias.
    exact: solve for every count as it is, however many differ.
    progress: called after each solution.

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
  grid = np.sort(np.asarray(lambda_z, np.float64))
  different = np.unique(counts).size
  merged = different > EXACT and not exact
  solved = merge_counts(counts, LEVELS) if merged else counts
  started = time.perf_counter()
  cosine, norm, collapsed, gap = [], [], [], 0.0
  solution = None
  # From the most regularized: solutions grow out of zero, mode by mode.
  for value in grid[::-1]:
    solution = solve_unconstrained_features(
      solved, float(value), lambda_b, start=solution
    )
    cosine.append(_largest_cosine(solution.classifier_cosines))
    norm.append(solution.classifier_norms)
    collapsed.append(collapsed_classes(solution, cosine=COLLAPSE_COSINE))
    gap = max(gap, solution.gap / solution.objective)
    if progress is not None:
      progress()
  norms = np.array(norm)
  largest = norms.max(1, keepdims=True)
  relative = np.divide(
    norms, largest, out=np.full_like(norms, np.nan), where=largest > 0
  )
  return CountsSweep(
    counts,
    grid,
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
  """Give neighboring counts their mean, so that at most `levels` remain."""
  counts = np.asarray(class_counts, np.float64)
  edges = np.geomspace(counts.min(), counts.max(), levels + 1)
  level = np.searchsorted(edges[1:-1], counts, side="right")
  number = np.bincount(level)
  total = np.bincount(level, counts)
  mean = np.divide(total, number, out=np.zeros_like(total), where=number > 0)
  return mean[level]


def _largest_cosine(cosines: np.ndarray) -> np.ndarray:
  """Find the largest of each row off the diagonal; NaN where every entry is."""
  others = cosines.copy()
  np.fill_diagonal(others, np.nan)
  largest = np.where(np.isnan(others), -np.inf, others).max(1)
  return np.where(np.isfinite(largest), largest, np.nan)


def _thresholds(counts: np.ndarray) -> np.ndarray:
  values, cluster, sizes = np.unique(
    counts, return_inverse=True, return_counts=True
  )
  return np.asarray(collapse_thresholds(sizes, values))[cluster]
