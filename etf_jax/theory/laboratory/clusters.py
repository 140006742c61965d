# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
r"""Numbers of the figures about two clusters of classes, A larger than B.

The optimum of the unconstrained-feature model without bias has three parts:
:math:`a_B` tells minority classes apart, :math:`c` minority from majority,
:math:`a_A` majority classes. They vanish in this order as lambda_Z grows.
"Pairs" are minority-minority, minority-majority and majority-majority.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from etf_jax.etf import simplex_etf
from etf_jax.theory import thresholds
from etf_jax.theory.layer_peeled import solve_layer_peeled
from etf_jax.theory.learnable_layer_peeled import (
  critical_ratio,
  solve_learnable_layer_peeled,
)
from etf_jax.theory.two_clusters import (
  TwoClusters,
  solve_two_clusters,
  two_cluster_thresholds,
)
from etf_jax.theory.unconstrained_features import solve_unconstrained_features

# Points nearer than this to a border, relatively, are on neither side.
_NEAR = 1e-3


class PhaseDiagram(NamedTuple):
  """Solved points, the borders of the theory, and a cut at one n_A."""

  cluster_sizes: tuple[int, int]  # (K_A, K_B)
  minority_count: float  # n_B
  lambda_z: np.ndarray  # [L]
  majority_counts: np.ndarray  # [M], n_A
  phases: np.ndarray  # [M, L], solved: how many of a_B, c and a_A are zero
  line_counts: np.ndarray  # [P], n_A along the borders
  borders: np.ndarray  # [3, P], theory: lambda_Z where a_B, c, a_A vanish
  cut_count: float  # n_A of the cut
  cut_lambda_z: np.ndarray  # [P]
  cut: np.ndarray  # [3, P], solved: a_B, c and a_A as gaps between logits
  wrong_side: int  # solved points whose phase is not what the borders say
  near: int  # solved points within 0.1% of a border, left out of the former
  error: tuple[float, ...]  # [3], largest relative error of a solved border


class ClassifierCosines(NamedTuple):
  """Cosines of classifier vectors over the imbalance of two clusters."""

  cluster_sizes: tuple[int, int]  # (K_A, K_B)
  classifier_energy: float  # E_W
  feature_energy: float  # E_H
  ratios: np.ndarray  # [R], majority samples over minority samples
  pairs: np.ndarray  # [3, R], learned; NaN where a vector is zero
  per_vector: np.ndarray  # [R], minority cosine with a budget for each vector
  critical: float  # the ratio from which on the minority vectors coincide
  fixed: float  # mean cosine of two vectors of the fixed frame
  alignment: np.ndarray  # [R], least cosine of a solved feature with its vector
  # Per (K_A, K_B) the minority cosines [R] and the critical ratio.
  splits: dict[tuple[int, int], tuple[np.ndarray, float]]
  error: float  # largest error of a solved inner product against theorem 1
  critical_error: float  # relative error of the solved critical ratio


class LargeSample(NamedTuple):
  """Cosines of the unconstrained-feature model as all counts grow."""

  cluster_sizes: tuple[int, int]  # (K_A, K_B)
  ratio: float  # majority samples over minority samples
  strength: float  # N lambda_Z, held fixed
  samples: np.ndarray  # [S], samples of a minority class
  logits: np.ndarray  # [3, S], theory: cosines of columns of mean logits
  classifier: np.ndarray  # [3, S], theory: cosines of classifier vectors
  solved_samples: np.ndarray  # [P], where the program was solved
  solved_logits: np.ndarray  # [3, P]
  solved_classifier: np.ndarray  # [3, P]
  logit_limit: float  # -1 / (K - 1)
  minority_limit: float  # limit of the classifier's minority-minority cosine
  distances: tuple[float, float]  # of logits and minority from their limits
  # Distance of the mean logits from a simplex, both of norm 1, times the log of
  # the samples (but for an additive constant), over the last third.
  rate: float
  rate_limit: float
  error: float  # largest difference of a solved cosine from theory


def phase_diagram(
  lambda_z: ArrayLike,
  majority_counts: ArrayLike,
  *,
  cluster_sizes: tuple[int, int] = (5, 5),
  minority_count: float = 100.0,
  cut_count: float = 1000.0,
  points: int = 120,
) -> PhaseDiagram:
  """Solve the model over lambda_Z and n_A beside `two_cluster_thresholds`.

  Args:
    lambda_z: `[L]`, increasing.
    majority_counts: `[M]`, n_A, increasing, above `minority_count`, n_B.
    cluster_sizes: (K_A, K_B), two classes each at least.
    minority_count: n_B.
    cut_count: n_A of the cut, above `minority_count`.
    points: number of points along the borders and the cut.
  """
  _check_two_clusters(cluster_sizes)
  grid = np.asarray(lambda_z, np.float64)
  counts = np.asarray(majority_counts, np.float64)
  least = min(counts.min(), cut_count)
  if not least > minority_count:
    raise ValueError(
      f"majority counts must exceed minority_count = {minority_count:g}, got"
      f" {least:g}"
    )

  def solve(count: float, strength: float) -> np.ndarray:
    each = np.repeat([count, minority_count], cluster_sizes)
    logits = solve_unconstrained_features(each, float(strength)).logits
    # Columns sum to 0: with no logit for the majority there is no mean.
    minority_mean = logits[cluster_sizes[0] :, -1].mean()
    between = minority_mean - logits[0, -1] if logits[0, -1] else 0.0
    minority = logits[-1, -1] - logits[-2, -1]
    return np.array([minority, between, logits[0, 0] - logits[1, 0]])

  def borders(counts: np.ndarray) -> np.ndarray:
    clusters = [(count, minority_count) for count in counts]
    return np.array(
      [two_cluster_thresholds(cluster_sizes, pair) for pair in clusters]
    )

  phases = np.array(
    [[int((solve(n, at) == 0).sum()) for at in grid] for n in counts]
  )
  theory = borders(counts)
  expected = (grid >= theory[:, :, None]).sum(1)
  near = (np.abs(grid / theory[:, :, None] - 1) < _NEAR).any(1)
  solved = np.array(
    [
      [_vanishes(solve, n, part, row[part]) for part in range(3)]
      for n, row in zip(counts, theory, strict=True)
    ]
  )
  line_counts = np.geomspace(counts[0], counts[-1], points)
  cut_lambda_z = np.geomspace(grid[0], grid[-1], points)
  return PhaseDiagram(
    cluster_sizes,
    minority_count,
    grid,
    counts,
    phases,
    line_counts,
    borders(line_counts).T,
    cut_count,
    cut_lambda_z,
    np.array([solve(cut_count, at) for at in cut_lambda_z]).T,
    int(((phases != expected) & ~near).sum()),
    int(near.sum()),
    tuple(np.abs(solved / theory - 1).max(0).tolist()),
  )


def large_sample(
  samples: ArrayLike,
  *,
  cluster_sizes: tuple[int, int] = (5, 5),
  ratio: float = 10.0,
  strength: float = 2.0,
  solved_up_to: float = 1e8,
) -> LargeSample:
  """Let the samples grow at a fixed N lambda_Z.

  In the limit the mean logits are a simplex, at a rate of one over the
  logarithm of the samples; the classifier is not (Hong and Ling, 2023).

  Args:
    samples: `[S]` samples of a minority class, three at least, increasing.
    cluster_sizes: (K_A, K_B), two classes each at least.
    ratio: samples of a majority class over these.
    strength: N lambda_Z; below the root of the fewest samples nothing merges.
    solved_up_to: most samples at which the program is also solved; float64 is
      exact enough up to about 1e8.
  """
  _check_two_clusters(cluster_sizes)
  numbers = np.asarray(samples, np.float64)
  if numbers.size < 3 or numbers[0] > solved_up_to:
    raise ValueError(
      "samples must be three or more, the first at most solved_up_to ="
      f" {solved_up_to:g}, got {numbers.tolist()}"
    )
  share = np.dot(cluster_sizes, (ratio, 1.0))
  theory = [
    solve_two_clusters(cluster_sizes, (ratio * n, n), strength / (n * share))
    for n in numbers
  ]
  matrices = [_logits(solution, cluster_sizes) for solution in theory]
  logits = np.array([_pairs(_column_cosines(z)) for z in matrices]).T
  classifier = np.array(
    [x.classifier_cosines[[1, 1, 0], [1, 0, 0]] for x in theory]
  ).T
  inside = numbers <= solved_up_to
  found, solution = [], None
  for number in numbers[inside]:
    counts = np.repeat([ratio * number, number], cluster_sizes)
    solution = solve_unconstrained_features(
      counts, strength / counts.sum(), start=solution
    )
    cosines = _column_cosines(solution.logits), solution.classifier_cosines
    found.append([_pairs(matrix) for matrix in cosines])
  solved_logits, solved_classifier = np.moveaxis(np.array(found), 0, -1)
  logit_limit = -1 / (sum(cluster_sizes) - 1)
  minority_limit = thresholds.minority_cosine_limit(cluster_sizes, ratio)
  # Distances are rate / (log(n) + constant).
  ends = [2 * (len(numbers) - 1) // 3, len(numbers) - 1]
  inverse = [1 / _from_simplex(matrices[k]) for k in ends]
  return LargeSample(
    cluster_sizes,
    ratio,
    strength,
    numbers,
    logits,
    classifier,
    numbers[inside],
    solved_logits,
    solved_classifier,
    logit_limit,
    minority_limit,
    (
      float(np.abs(logits[:, -1] - logit_limit).max()),
      float(abs(classifier[0, -1] - minority_limit)),
    ),
    float(np.diff(np.log(numbers[ends]))[0] / np.diff(inverse)[0]),
    thresholds.simplex_deviation_rate(cluster_sizes, ratio),
    float(
      max(
        np.abs(solved_logits - logits[:, inside]).max(),
        np.abs(solved_classifier - classifier[:, inside]).max(),
      )
    ),
  )


def classifier_cosines(
  ratios: ArrayLike,
  *,
  cluster_sizes: tuple[int, int] = (3, 7),
  others: Sequence[tuple[int, int]] = ((5, 5), (7, 3)),
  classifier_energy: float = 1.0,
  feature_energy: float = 5.0,
) -> ClassifierCosines:
  """Solve the layer-peeled model with a learned and with a fixed classifier.

  Minority collapse (Fang et al., 2021) beside Yang et al., 2022, theorem 1. The
  critical ratios that lie among the ratios `[R]`, each at least 1, are added;
  for `others` only the minority is looked at.
  """
  every = (cluster_sizes, *others)
  for sizes in every:
    _check_two_clusters(sizes)
  grid = np.asarray(ratios, np.float64)
  energies: Any = {
    "classifier_energy": classifier_energy,
    "feature_energy": feature_energy,
  }
  merges = np.array([critical_ratio(sizes, **energies) for sizes in every])
  inside = (merges > grid.min()) & (merges < grid.max())
  grid = np.union1d(grid, merges[inside])
  splits = {}
  for sizes, critical in zip(every, merges.tolist(), strict=True):
    solved = [solve_learnable_layer_peeled(sizes, r, **energies) for r in grid]
    if sizes == cluster_sizes:
      pairs = np.array([_pairs(x.classifier_cosines) for x in solved])
    splits[sizes] = np.array([x.minority_cosine for x in solved]), critical
  total = sum(cluster_sizes)
  with jax.enable_x64(True):
    frame = np.asarray(
      simplex_etf(jax.random.key(0), total, total, dtype=jnp.float64)
    )
  frame = np.sqrt(classifier_energy) * frame
  alignment, error = [], 0.0
  simplex = (total * np.eye(total) - 1) / (total - 1)
  simplex *= np.sqrt(classifier_energy * feature_energy)
  for ratio in grid:
    counts = np.repeat([ratio, 1.0], cluster_sizes)
    features = solve_layer_peeled(
      frame, counts, feature_energy=feature_energy
    ).features
    products = features @ frame
    error = max(error, float(np.abs(products - simplex).max()))
    lengths = np.linalg.norm(features, axis=1) * np.linalg.norm(frame, axis=0)
    alignment.append((np.diag(products) / lengths).min())
  gram = frame.T @ frame / classifier_energy
  return ClassifierCosines(
    cluster_sizes,
    classifier_energy,
    feature_energy,
    grid,
    pairs.T,
    np.array(
      [
        solve_learnable_layer_peeled(
          cluster_sizes, r, budgets="per_vector", **energies
        ).minority_cosine
        for r in grid
      ]
    ),
    splits[cluster_sizes][1],
    float(gram[np.triu_indices(total, 1)].mean()),
    np.array(alignment),
    splits,
    error,
    _critical_error(cluster_sizes, splits[cluster_sizes][1], energies),
  )


def _check_two_clusters(cluster_sizes: tuple[int, int]) -> None:
  if len(cluster_sizes) != 2 or min(cluster_sizes) < 2:
    raise ValueError(
      "cluster_sizes must name two clusters of two classes or more, got"
      f" {tuple(cluster_sizes)}"
    )


def _vanishes(
  solve: Callable[[float, float], np.ndarray],
  count: float,
  part: int,
  around: float,
) -> float:
  """Bisect for the least lambda_Z at which a part of the solution is zero."""
  low, high = 0.9 * around, 1.1 * around
  while high / low - 1 > 1e-7:
    middle = (low * high) ** 0.5
    low, high = (middle, high) if solve(count, middle)[part] else (low, middle)
  return high


def _critical_error(
  sizes: tuple[int, int], critical: float, energies: Any
) -> float:
  """Bisect for the end of the solved minority amplitude, near `critical`."""
  low, high = critical * (1 - 1e-2), critical * (1 + 1e-2)
  for _ in range(30):
    middle = (low * high) ** 0.5
    logits = solve_learnable_layer_peeled(sizes, middle, **energies).logits
    gap = logits[-1, -1] - logits[-2, -1]
    low, high = (middle, high) if gap > 1e-9 else (low, middle)
  return abs(low / critical - 1)


def _column_cosines(matrix: np.ndarray) -> np.ndarray:
  gram = matrix.T @ matrix
  length = np.sqrt(np.diag(gram))
  return gram / np.outer(length, length)


def _pairs(cosines: np.ndarray) -> list[float]:
  return [cosines[-1, -2], cosines[-1, 0], cosines[0, 1]]


def _logits(solution: TwoClusters, sizes: tuple[int, int]) -> np.ndarray:
  """Expand the mean logits to all classes, `[K, K]`."""
  kind = np.repeat([0, 1], sizes)
  return np.diag(solution.scales[kind]) + solution.shifts[np.ix_(kind, kind)]


def _from_simplex(logits: np.ndarray) -> float:
  """Measure the distance from a simplex, both scaled to norm 1."""
  simplex = np.eye(len(logits)) - 1 / len(logits)
  difference = logits / np.linalg.norm(logits)
  difference -= simplex / np.linalg.norm(simplex)
  return float(np.linalg.norm(difference))
