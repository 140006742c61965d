# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
r"""The phase diagram of two clusters of classes, and its borders.

The optimum of the unconstrained-feature model without bias has three parts:
:math:`a_B` tells minority classes apart, :math:`c` minority from majority,
:math:`a_A` majority classes. They vanish in this order as lambda_Z grows.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from etf_jax.theory.thresholds import check_clusters
from etf_jax.theory.two_clusters import two_cluster_thresholds
from etf_jax.theory.unconstrained_features import (
  UnconstrainedFeatures,
  solve_unconstrained_features,
)

# Points nearer than this to a border, relatively, are on neither side.
_NEAR = 1e-3


class PhaseDiagram(NamedTuple):
  """Solved points, the borders of the theory, and a cut.

  Attributes:
    cluster_sizes: (K_A, K_B), of the majority and the minority.
    minority_count: n_B.
    lambda_z: `[L]`.
    majority_counts: `[M]`, n_A.
    phases: `[M, L]`, how many of a_B, c and a_A are zero in the solution.
    line_counts: `[P]`, n_A along the borders.
    borders: `[3, P]` lambda_Z at which a_B, c and a_A vanish in theory.
    cut_count: n_A of the cut.
    cut_lambda_z: `[C]`.
    cut: `[3, C]`, in logits and from solutions: a_B, the mean majority logit
      of a minority sample below its mean minority logit, a_A.
    wrong_side: solved points whose phase is not what the borders say.
    near: solved points within 0.1% of a border, left out of the former.
    error: the largest relative distance between a border and where bisection
      finds the solution's part vanish, for each of the three.
  """

  cluster_sizes: tuple[int, int]
  minority_count: float
  lambda_z: np.ndarray
  majority_counts: np.ndarray
  phases: np.ndarray
  line_counts: np.ndarray
  borders: np.ndarray
  cut_count: float
  cut_lambda_z: np.ndarray
  cut: np.ndarray
  wrong_side: int
  near: int
  error: tuple[float, float, float]


def phase_diagram(
  lambda_z: Sequence[float],
  majority_counts: Sequence[float],
  *,
  cluster_sizes: tuple[int, int] = (5, 5),
  minority_count: float = 100.0,
  cut_count: float = 1000.0,
  points: int = 120,
) -> PhaseDiagram:
  """Solve the model over lambda_Z and n_A and compares it with the theory.

  Args:
    lambda_z: `[L]`, increasing.
    majority_counts: `[M]`, n_A, increasing, above `minority_count`.
    cluster_sizes: (K_A, K_B), two classes each at least.
    minority_count: n_B.
    cut_count: n_A of the cut, above `minority_count`.
    points: along the borders and the cut.

  Returns:
    A `PhaseDiagram`; see `two_clusters.two_cluster_thresholds` for the theory.

  Raises:
    ValueError: if a cluster has one class, or a majority is not the larger.
  """
  check_two_clusters(cluster_sizes)
  lambda_z = np.asarray(lambda_z, np.float64)
  counts = np.asarray(majority_counts, np.float64)
  least = min(counts.min(), cut_count)
  if not least > minority_count:
    raise ValueError(
      f"majority counts must exceed minority_count = {minority_count:g}, got"
      f" {least:g}"
    )

  def solve(count: float, at: float) -> np.ndarray:
    each = np.repeat([count, minority_count], cluster_sizes)
    return parts(solve_unconstrained_features(each, float(at)), cluster_sizes)

  def border(count: float) -> np.ndarray:
    return np.array(
      two_cluster_thresholds(cluster_sizes, (count, minority_count))
    )

  phases = np.array(
    [[int((solve(n, at) == 0).sum()) for at in lambda_z] for n in counts]
  )
  theory = np.array([border(n) for n in counts])
  expected = (lambda_z >= theory[:, :, None]).sum(1)
  ratio = lambda_z / theory[:, :, None]
  near = (np.abs(ratio - 1) < _NEAR).any(1)
  found = np.array(
    [
      [_vanishes(solve, n, part, row[part]) for part in range(3)]
      for n, row in zip(counts, theory, strict=True)
    ]
  )
  line_counts = np.geomspace(counts[0], counts[-1], points)
  cut_lambda_z = np.geomspace(lambda_z[0], lambda_z[-1], points)
  return PhaseDiagram(
    cluster_sizes,
    minority_count,
    lambda_z,
    counts,
    phases,
    line_counts,
    np.array([border(n) for n in line_counts]).T,
    cut_count,
    cut_lambda_z,
    np.array([solve(cut_count, at) for at in cut_lambda_z]).T,
    int(((phases != expected) & ~near).sum()),
    int(near.sum()),
    tuple(np.abs(found / theory - 1).max(0).tolist()),
  )


def check_two_clusters(cluster_sizes: tuple[int, int]) -> None:
  """Raise a ValueError unless there are two clusters of two classes."""
  sizes, _ = check_clusters(cluster_sizes, np.ones(len(cluster_sizes)))
  if sizes.size != 2 or sizes.min() < 2:
    raise ValueError(
      "cluster_sizes must name two clusters of two classes or more, got"
      f" {tuple(cluster_sizes)}"
    )


def parts(
  solution: UnconstrainedFeatures, cluster_sizes: tuple[int, int]
) -> np.ndarray:
  """a_B, c and a_A of a solution, `[3]`, as gaps between logits."""
  logits, majority = solution.logits, cluster_sizes[0]
  minority_mean = logits[majority:, -1].mean()
  return np.array(
    [
      logits[-1, -1] - logits[-2, -1],
      # Columns sum to 0: with no logit for the majority there is no mean.
      minority_mean - logits[0, -1] if logits[0, -1] else 0.0,
      logits[0, 0] - logits[1, 0],
    ]
  )


def _vanishes(
  solve: Callable[[float, float], np.ndarray],
  count: float,
  part: int,
  around: float,
) -> float:
  """Bisects for the least lambda_Z at which a part of the solution is zero."""
  low, high = 0.9 * around, 1.1 * around
  while high / low - 1 > 1e-7:
    middle = (low * high) ** 0.5
    low, high = (middle, high) if solve(count, middle)[part] else (low, middle)
  return high
