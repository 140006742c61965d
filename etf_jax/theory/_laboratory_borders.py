# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
r"""The phase diagram of two clusters of classes, and its borders.

The optimum of the unconstrained-feature model without bias has three parts:
:math:`a_B` tells minority classes apart, :math:`c` minority from majority,
:math:`a_A` majority classes. They vanish in this order as lambda_Z grows.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import optimize

from etf_jax.theory.thresholds import collapse_thresholds
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
  """Solves the model over lambda_Z and n_A and compares it with the theory.

  Args:
    lambda_z: `[L]`, increasing.
    majority_counts: `[M]`, n_A, increasing, above `minority_count`.
    cluster_sizes: (K_A, K_B), two classes each at least.
    minority_count: n_B.
    cut_count: n_A of the cut.
    points: along the borders and the cut.

  Returns:
    A `PhaseDiagram`.
  """
  lambda_z = np.asarray(lambda_z, np.float64)
  counts = np.asarray(majority_counts, np.float64)

  def solve(count: float, at: float) -> np.ndarray:
    each = np.repeat([count, minority_count], cluster_sizes)
    return parts(solve_unconstrained_features(each, float(at)), cluster_sizes)

  def border(count: float) -> np.ndarray:
    return borders(cluster_sizes, (count, minority_count))

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


def borders(
  cluster_sizes: tuple[int, int], counts: tuple[float, float]
) -> np.ndarray:
  r"""Where a_B, c and a_A vanish: `[3]` lambda_Z, without a bias.

  The first and the last are sqrt(n_j)/N. The one in between solves

  .. math::
    (N \lambda_Z)^2 = K \left( n_A q_A^2 / K_B + n_B q_B^2 / K_A \right)

  with :math:`q_A` the probability that a majority sample gives to all minority
  classes where c is zero, and :math:`q_B` the reverse.

  Args:
    cluster_sizes: (K_A, K_B), two classes each at least.
    counts: (n_A, n_B), the first not the smaller.
  """
  total = sum(cluster_sizes)
  samples = np.dot(cluster_sizes, counts)
  last, first = collapse_thresholds(cluster_sizes, counts)

  def excess(lambda_z: float) -> float:
    strays = [
      _stray(size, total - size, samples * lambda_z / np.sqrt(count))
      for size, count in zip(cluster_sizes, counts, strict=True)
    ]
    mass = counts[0] * strays[0] ** 2 / cluster_sizes[1]
    mass += counts[1] * strays[1] ** 2 / cluster_sizes[0]
    return (samples * lambda_z) ** 2 - total * mass

  # At the ends it is at most, and at least, zero, but for rounding.
  if excess(first) >= 0 or excess(last) <= 0:
    return np.array([first, last, last])
  between = optimize.brentq(excess, first, last, xtol=1e-16, rtol=1e-13)
  return np.array([first, between, last])


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


def _stray(own: int, other: int, strength: float) -> float:
  """The probability outside the own cluster where c is zero.

  A sample's logits are a for its class, 0 for its siblings, a / own for the
  others, up to a constant. The best a has 1 - p + r = `strength`, with p and r
  the probabilities of the class and of a sibling.
  """

  def probabilities(scale: float) -> tuple[float, float, float]:
    logits = np.array([scale, 0.0, scale / own])
    each = np.exp(logits - logits.max())
    each /= each @ [1, own - 1, other]
    return tuple(each)

  def excess(scale: float) -> float:
    p, r, _ = probabilities(scale)
    return 1 - p + r - strength

  if strength >= 1:
    return other / (own + other)
  high = 1.0
  while excess(high) > 0:
    high *= 2
  scale = optimize.brentq(excess, 0.0, high, xtol=1e-14, rtol=1e-14)
  return other * probabilities(scale)[2]


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
