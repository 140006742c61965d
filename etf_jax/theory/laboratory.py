# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The numbers of the theory figures: solved models beside closed forms.

In use::

    diagram = laboratory.phase_diagram([0.001, 0.002], [500, 1000])
    print(diagram.wrong_side, diagram.error)

Each function returns plain arrays with all parameters, and the error of theory
against solution.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from etf_jax.etf import simplex_etf
from etf_jax.theory._laboratory_borders import (
  check_two_clusters,
  phase_diagram,
)
from etf_jax.theory._laboratory_counts import default_grid, sweep_counts
from etf_jax.theory._laboratory_features import (
  cones,
  pull_push_fields,
  tetrahedron,
)
from etf_jax.theory._laboratory_regularity import regularity_numbers
from etf_jax.theory.layer_peeled import solve_layer_peeled
from etf_jax.theory.learnable_layer_peeled import (
  critical_ratio,
  solve_learnable_layer_peeled,
)
from etf_jax.theory.thresholds import (
  minority_cosine_limit,
  simplex_deviation_rate,
)
from etf_jax.theory.two_clusters import TwoClusters, solve_two_clusters
from etf_jax.theory.unconstrained_features import solve_unconstrained_features

__all__ = [
  "classifier_cosines",
  "cones",
  "default_grid",
  "large_sample",
  "phase_diagram",
  "pull_push_fields",
  "regularity_numbers",
  "sweep_counts",
  "tetrahedron",
]


class ClassifierCosines(NamedTuple):
  """Cosines of classifier vectors over the imbalance of two clusters.

  Attributes:
    cluster_sizes: (K_A, K_B), of the majority and the minority.
    classifier_energy: E_W, averaged over classes where it is learned.
    feature_energy: E_H.
    ratios: `[R]` majority samples over minority samples.
    pairs: `[3, R]` learned: minority-minority, minority-majority,
      majority-majority; NaN where a vector is zero.
    critical: the ratio from which on the minority vectors coincide.
    fixed: the mean cosine of two vectors of the fixed frame.
    alignment: `[R]`, the least cosine of a solved feature with its own vector
      of the fixed frame.
    splits: per (K_A, K_B) `[R]` minority cosines and the critical ratio.
    error: the largest difference of an inner product of solved features and
      fixed frame from theorem 1.
    critical_error: how far the solved minority amplitude's zero lies from the
      critical ratio, relative to it.
  """

  cluster_sizes: tuple[int, int]
  classifier_energy: float
  feature_energy: float
  ratios: np.ndarray
  pairs: np.ndarray
  critical: float
  fixed: float
  alignment: np.ndarray
  splits: dict[tuple[int, int], tuple[np.ndarray, float]]
  error: float
  critical_error: float


class LargeSample(NamedTuple):
  """Cosines of the unconstrained-feature model as all counts grow.

  Pairs are minority-minority, minority-majority and majority-majority.

  Attributes:
    cluster_sizes: (K_A, K_B).
    ratio: majority samples over minority samples.
    strength: N lambda_Z, held fixed.
    samples: `[S]` samples of a minority class, of the theory.
    logits: `[3, S]` cosines of columns of mean logits, in theory.
    classifier: `[3, S]` of classifier vectors, in theory.
    solved_samples: `[P]`, those at which the programme was solved.
    solved_logits: `[3, P]`, from solutions.
    solved_classifier: `[3, P]`, from solutions.
    logit_limit: -1 / (K - 1).
    minority_limit: what the classifier's minority-minority cosine tends to.
    distances: at the most samples, the largest distance of the logits' cosines
      from their limit, and that of the minority's from its own.
    rate: the mean logits' distance from a simplex, both of norm 1, times the
      logarithm of the samples but for an additive constant, over the last
      third of `samples`, in theory.
    rate_limit: what it tends to.
    error: the largest difference of a solved cosine from theory.
  """

  cluster_sizes: tuple[int, int]
  ratio: float
  strength: float
  samples: np.ndarray
  logits: np.ndarray
  classifier: np.ndarray
  solved_samples: np.ndarray
  solved_logits: np.ndarray
  solved_classifier: np.ndarray
  logit_limit: float
  minority_limit: float
  distances: tuple[float, float]
  rate: float
  rate_limit: float
  error: float


def large_sample(
  samples: Sequence[float],
  *,
  cluster_sizes: tuple[int, int] = (5, 5),
  ratio: float = 10.0,
  strength: float = 2.0,
  solved_up_to: float = 1e8,
) -> LargeSample:
  """Let the samples grow at a fixed N lambda_Z.

  Args:
    samples: `[S]` samples of a minority class, three at least, increasing.
    cluster_sizes: (K_A, K_B), two classes each at least.
    ratio: samples of a majority class over these.
    strength: N lambda_Z; below the root of the fewest samples nothing merges.
    solved_up_to: the programme is also solved, where there are no more samples
      than this; float64 is exact enough up to about 1e8.

  Returns:
    The solution by `two_clusters`, and the programme's. In the limit the mean
    logits are a simplex, at a rate of one over the logarithm of the samples;
    the classifier is not (Hong and Ling, 2023).

  Raises:
    ValueError: if a cluster has one class, or a number is out of its range.
  """
  check_two_clusters(cluster_sizes)
  samples = np.asarray(samples, np.float64)
  if samples.size < 3 or samples[0] > solved_up_to:
    raise ValueError(
      "samples must be three or more, the first at most solved_up_to ="
      f" {solved_up_to:g}, got {samples.tolist()}"
    )
  share = np.dot(cluster_sizes, (ratio, 1.0))
  theory = [
    solve_two_clusters(
      cluster_sizes, (ratio * number, number), strength / (number * share)
    )
    for number in samples
  ]
  matrices = [_logits(one, cluster_sizes) for one in theory]
  logits = np.array([_pairs(_column_cosines(one)) for one in matrices]).T
  classifier = np.array(
    [one.classifier_cosines[[1, 1, 0], [1, 0, 0]] for one in theory]
  ).T
  solved = samples <= solved_up_to
  solved_logits, solved_classifier, solution = [], [], None
  for number in samples[solved]:
    counts = np.repeat([ratio * number, number], cluster_sizes)
    solution = solve_unconstrained_features(
      counts, strength / counts.sum(), start=solution
    )
    solved_logits.append(_pairs(_column_cosines(solution.logits)))
    solved_classifier.append(_pairs(solution.classifier_cosines))
  solved_logits = np.array(solved_logits).T
  solved_classifier = np.array(solved_classifier).T
  error = max(
    np.abs(solved_logits - logits[:, solved]).max(),
    np.abs(solved_classifier - classifier[:, solved]).max(),
  )
  logit_limit = -1 / (sum(cluster_sizes) - 1)
  minority_limit = minority_cosine_limit(cluster_sizes, ratio)
  last = len(samples) - 1
  # Distances are rate / (log(n) + constant).
  at = [2 * last // 3, last]
  inverse = [1 / _from_simplex(matrices[k]) for k in at]
  return LargeSample(
    cluster_sizes,
    ratio,
    strength,
    samples,
    logits,
    classifier,
    samples[solved],
    solved_logits,
    solved_classifier,
    logit_limit,
    minority_limit,
    (
      float(np.abs(logits[:, -1] - logit_limit).max()),
      float(abs(classifier[0, -1] - minority_limit)),
    ),
    float(np.diff(np.log(samples[at]))[0] / np.diff(inverse)[0]),
    simplex_deviation_rate(cluster_sizes, ratio),
    float(error),
  )


def classifier_cosines(
  ratios: Sequence[float],
  *,
  cluster_sizes: tuple[int, int] = (3, 7),
  others: Sequence[tuple[int, int]] = ((5, 5), (7, 3)),
  classifier_energy: float = 1.0,
  feature_energy: float = 5.0,
) -> ClassifierCosines:
  """The layer-peeled model, with a learned classifier and with a fixed one.

  Args:
    ratios: `[R]`, each at least 1; the critical ratios in their range are
      added.
    cluster_sizes: (K_A, K_B), two classes each at least.
    others: further sizes, for which only the minority is looked at.
    classifier_energy: E_W.
    feature_energy: E_H.

  Returns:
    Minority collapse (Fang et al., 2021) beside Yang et al., 2022, theorem 1.

  Raises:
    ValueError: if a cluster has one class, or a number is out of its range.
  """
  for sizes in (cluster_sizes, *others):
    check_two_clusters(sizes)
  ratios = np.asarray(ratios, np.float64)
  energies = {
    "classifier_energy": classifier_energy,
    "feature_energy": feature_energy,
  }
  merges = np.array(
    [critical_ratio(sizes, **energies) for sizes in (cluster_sizes, *others)]
  )
  inside = (merges > ratios.min()) & (merges < ratios.max())
  ratios = np.union1d(ratios, merges[inside])
  splits = {}
  for sizes in (cluster_sizes, *others):
    solved = [
      solve_learnable_layer_peeled(sizes, ratio, **energies) for ratio in ratios
    ]
    if sizes == cluster_sizes:
      pairs = np.array([_pairs(one.classifier_cosines) for one in solved])
    minority = np.array([one.minority_cosine for one in solved])
    splits[sizes] = minority, float(merges[len(splits)])
  critical = splits[cluster_sizes][1]
  total = sum(cluster_sizes)
  with jax.enable_x64(True):
    frame = np.asarray(
      simplex_etf(jax.random.key(0), total, total, dtype=jnp.float64)
    )
  frame = np.sqrt(classifier_energy) * frame
  alignment, error = [], 0.0
  length = np.sqrt(classifier_energy * feature_energy)
  simplex = (total * np.eye(total) - 1) / (total - 1)
  for ratio in ratios:
    counts = np.repeat([ratio, 1.0], cluster_sizes)
    features = solve_layer_peeled(
      frame, counts, feature_energy=feature_energy
    ).features
    products = features @ frame
    error = max(error, np.abs(products - length * simplex).max())
    lengths = np.linalg.norm(features, axis=1) * np.linalg.norm(frame, axis=0)
    alignment.append((np.diag(products) / lengths).min())
  gram = frame.T @ frame / classifier_energy
  return ClassifierCosines(
    cluster_sizes,
    classifier_energy,
    feature_energy,
    ratios,
    pairs.T,
    critical,
    float(gram[np.triu_indices(total, 1)].mean()),
    np.array(alignment),
    splits,
    float(error),
    _critical_error(cluster_sizes, critical, energies),
  )


def _critical_error(sizes, critical: float, energies) -> float:
  """Where the solved minority amplitude ends, against the closed condition."""
  low, high = critical * (1 - 1e-2), critical * (1 + 1e-2)
  for _ in range(30):
    middle = (low * high) ** 0.5
    logits = solve_learnable_layer_peeled(sizes, middle, **energies).logits
    apart = logits[-1, -1] - logits[-2, -1]
    low, high = (middle, high) if apart > 1e-9 else (low, middle)
  return abs(low / critical - 1)


def _column_cosines(matrix: np.ndarray) -> np.ndarray:
  gram = matrix.T @ matrix
  length = np.sqrt(np.diag(gram))
  return gram / np.outer(length, length)


def _pairs(cosines: np.ndarray) -> list[float]:
  """Minority-minority, minority-majority and majority-majority entries."""
  return [cosines[-1, -2], cosines[-1, 0], cosines[0, 1]]


def _logits(solution: TwoClusters, sizes: tuple[int, int]) -> np.ndarray:
  """The mean logits of all classes, `[K, K]`."""
  kind = np.repeat([0, 1], sizes)
  return np.diag(solution.scales[kind]) + solution.shifts[np.ix_(kind, kind)]


def _from_simplex(logits: np.ndarray) -> float:
  """The distance of logits from a simplex, both scaled to norm 1."""
  simplex = np.eye(len(logits)) - 1 / len(logits)
  away = logits / np.linalg.norm(logits) - simplex / np.linalg.norm(simplex)
  return float(np.linalg.norm(away))
