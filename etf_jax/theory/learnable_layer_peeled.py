# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
r"""The layer-peeled model with a learned classifier, and minority collapse.

In use::

    from etf_jax.theory import learnable_layer_peeled

    learned = learnable_layer_peeled.solve_learnable_layer_peeled(
      (3, 7), 100, classifier_energy=1, feature_energy=5
    )
    learned.minority_cosine  # 0.3107, where a simplex ETF has -0.1111
"""

import dataclasses
import math

import numpy as np
from numpy.typing import ArrayLike

from etf_jax import arrays
from etf_jax.theory import _averaged_budgets as averaged
from etf_jax.theory import _per_vector_budgets as per_vector

BUDGETS = ("averaged", "per_vector")


@dataclasses.dataclass(frozen=True, eq=False)
class LearnableLayerPeeled:
  """The optimum of both sets of vectors; majority classes come first.

  Attributes:
    logits: float64 ``[K, K]``; column k holds the logits of class k's samples.
    classifier_cosines: float64 ``[K, K]``; NaN where a vector is zero.
    feature_cosines: float64 ``[K, K]``, of class means; NaN likewise.
    minority_cosine: between the classifier vectors of two minority classes; NaN
      where those are zero or there is one such class only.
    loss: the mean cross entropy over samples, in nats.
  """

  logits: np.ndarray
  classifier_cosines: np.ndarray
  feature_cosines: np.ndarray
  minority_cosine: float
  loss: float


def solve_learnable_layer_peeled(
  cluster_sizes: tuple[int, int],
  ratio: float,
  *,
  classifier_energy: float,
  feature_energy: float,
  budgets: str = "averaged",
) -> LearnableLayerPeeled:
  r"""Find the optimal features and the optimal classifier together.

  The model, for :math:`K = K_A + K_B` classes of which :math:`K_A` have
  :math:`n_A` samples and :math:`K_B` have :math:`n_B = n_A / R`, is

  .. math::
    \min_{W, H} \frac{1}{N} \sum_{k, i} \mathrm{CE}(W^\top h_{k,i}, k)
    \quad \text{s.t.} \quad
    \frac{1}{K} \sum_k |w_k|^2 \le E_W , \quad
    \frac{1}{K} \sum_k \frac{1}{n_k} \sum_i |h_{k,i}|^2 \le E_H .

  These budgets average over classes, as in Fang et al.: a class of few samples
  has as large a part in the features' budget as any other. With
  ``budgets="per_vector"`` each vector has a budget, as in Yang et al., equation
  4: :math:`|w_k|^2 \le E_W` and :math:`|h_{k,i}|^2 \le E_H`; a bound from the
  dual certifies the loss to 1e-6 of it. The averaged model is solved to global
  optimality:

  * Cross entropy and the squared norm are convex, so replacing the features of
    a class by their mean lowers both: :math:`h_{k,i} = h_k`.
  * Let :math:`Z = W^\top H`, a column per class. Half of
    :math:`|W|_F^2 + |H|_F^2` is at least :math:`|Z|_*`, and scaling trades one
    for the other, so with :math:`d \ge K - 1` the budgets admit :math:`Z` if
    and only if :math:`|Z|_* \le K \sqrt{E_W E_H}`. The counts do not appear:
    they weigh the loss, not the budgets. What remains is convex in :math:`Z`.
  * Averaging a solution over the permutations inside each cluster, and removing
    the mean of each column, raises neither side. So
    :math:`Z_{AA} = a_A I + c_{AA} J`, :math:`Z_{BA} = -x J`,
    :math:`Z_{AB} = -y J`, :math:`Z_{BB} = a_B I + c_{BB} J` with columns that
    sum to zero: four numbers, none negative at the optimum, and

    .. math::
      |Z|_* = (K_A - 1) a_A + (K_B - 1) a_B
      + \sqrt{K} \sqrt{K_B x^2 + K_A y^2} .

  The three terms share the budget. Each optimality condition is the root of a
  function with one change of sign, so roots are found inside brackets, nested.

  Args:
    cluster_sizes: :math:`(K_A, K_B)`, how many classes are in the majority and
      in the minority; each at least 1.
    ratio: :math:`R = n_A / n_B`, finite, at least 1.
    classifier_energy: :math:`E_W` > 0, a squared length.
    feature_energy: :math:`E_H` > 0, a squared length.
    budgets: ``"averaged"`` over classes, or ``"per_vector"``.

  Returns:
    A `LearnableLayerPeeled`. At a ratio of 1 it is a simplex ETF with cosines
    :math:`-1 / (K - 1)`; beyond `critical_ratio`, which is that of averaged
    budgets, the minority's classifier vectors coincide.

  Raises:
    ValueError: if a size, the ratio, an energy or `budgets` is out of range.
      For a ratio below 1, swap the clusters.
    RuntimeError: if the certificate of ``"per_vector"`` is not met.

  Examples:
    >>> from etf_jax.theory import learnable_layer_peeled as learnable
    >>> for ratio in (1, 100, 500):
    ...   learned = learnable.solve_learnable_layer_peeled(
    ...     (3, 7), ratio, classifier_energy=1, feature_energy=5
    ...   )
    ...   print(f"{learned.minority_cosine:.4f} {learned.loss:.4f}")
    -0.1111 0.5598
    0.3107 0.0505
    1.0000 0.0137
    >>> learned = learnable.solve_learnable_layer_peeled(
    ...   (3, 7), 100, classifier_energy=1, feature_energy=5,
    ...   budgets="per_vector",
    ... )
    >>> print(f"{learned.minority_cosine:.3f}")
    0.958

  References:
    Fang, He, Long and Su, `Exploring deep neural networks via layer-peeled
    model: minority collapse in imbalanced training
    <https://arxiv.org/abs/2101.12699>`_, 2021, for averaged budgets; Yang et
    al., 2022, equation 4, for budgets per vector; the reductions to few numbers
    are worked out here
  """
  sizes = _checked_sizes(cluster_sizes)
  arrays.check_positive("ratio", ratio)
  if ratio < 1:
    raise ValueError(
      f"ratio must be at least 1, got {ratio:g}: cluster 0 is the majority, so "
      "swap the clusters"
    )
  if budgets not in BUDGETS:
    raise ValueError(f"budgets must be one of {BUDGETS}, got {budgets!r}")
  budget = _budget(sizes, classifier_energy, feature_energy)
  if budgets == "per_vector":
    found = per_vector.solve(sizes, ratio, budget / sum(sizes))
    cosines = found.classifier_cosines
    return LearnableLayerPeeled(
      logits=found.logits,
      classifier_cosines=cosines,
      feature_cosines=found.feature_cosines,
      minority_cosine=float(cosines[-1, -2]) if sizes[1] > 1 else math.nan,
      loss=found.loss,
    )
  problem = averaged.Problem(*sizes, math.log(ratio), budget)
  majority = averaged.best_majority(problem, averaged.best_minority)
  return _solution(problem, majority, averaged.best_minority(problem, majority))


def critical_ratio(
  cluster_sizes: tuple[int, int],
  *,
  classifier_energy: float,
  feature_energy: float,
) -> float:
  r"""Compute the imbalance from which on the minority has collapsed.

  Beyond this :math:`R = n_A / n_B` the optimum of
  `solve_learnable_layer_peeled` has :math:`a_B = 0`: the classifier tells no
  two minority classes apart. Their vectors are equal, with cosines of 1, or, on
  small budgets, zero (Fang et al., 2021).

  Args:
    cluster_sizes: :math:`(K_A, K_B)`, with at least two classes in the
      minority.
    classifier_energy: :math:`E_W` > 0, a squared length.
    feature_energy: :math:`E_H` > 0, a squared length.

  Returns:
    The ratio, at least 1; infinity where a float cannot hold it.

  Raises:
    ValueError: if a size or an energy is out of range.

  Examples:
    >>> from etf_jax.theory import learnable_layer_peeled as learnable
    >>> ratio = learnable.critical_ratio(
    ...   (3, 7), classifier_energy=1, feature_energy=5
    ... )
    >>> print(f"{ratio:.2f}")
    245.50
  """
  sizes = _checked_sizes(cluster_sizes)
  if sizes[1] < 2:
    raise ValueError(
      f"cluster_sizes must have two minority classes or more, got {sizes}: one "
      "class cannot collapse"
    )
  budget = _budget(sizes, classifier_energy, feature_energy)

  def excess(log_ratio: float) -> float:
    """Compare a first bit of budget inside the minority and between."""
    problem = averaged.Problem(*sizes, log_ratio, budget)
    majority = averaged.best_majority(problem, lambda *_: 0.0)
    slopes = averaged.slopes(problem, majority, 0.0)
    return slopes.minority - slopes.between

  high = 1.0
  while excess(high) > 0:
    high *= 2
  log_ratio = averaged.sign_change(excess, high)
  return math.exp(log_ratio) if log_ratio < 709 else math.inf


def _solution(
  problem: averaged.Problem, majority: float, minority: float
) -> LearnableLayerPeeled:
  """Write the modes out as matrices."""
  sizes = np.array([problem.majority, problem.minority])
  total = sizes.sum()
  tangent = averaged.best_tangent(problem, majority, minority)
  a, b = averaged.clusters(problem, majority, minority, tangent)
  between = (problem.budget - majority) - minority
  # Singular values inside the clusters. A cluster of one class has none.
  inside = np.array([majority, minority]) / np.maximum(sizes - 1, 1)
  # The singular vectors between them: their entry in each class of a cluster.
  left = np.sqrt(sizes[::-1] / (total * sizes)) * [1, -1]
  right = np.array(averaged.cosine_and_sine(tangent)) * [1, -1] / np.sqrt(sizes)

  cluster = np.repeat([0, 1], sizes)
  centered = np.eye(total) - (cluster[:, None] == cluster) / sizes[cluster]
  centered *= inside[cluster]

  def matrix(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return centered + between * np.outer(rows[cluster], columns[cluster])

  # W^T W and H^T H are multiples of (Z Z^T)^(1/2) and (Z^T Z)^(1/2).
  classifier_cosines = _cosines(matrix(left, left))
  return LearnableLayerPeeled(
    logits=matrix(left, right),
    classifier_cosines=classifier_cosines,
    feature_cosines=_cosines(matrix(right, right)),
    minority_cosine=(
      float(classifier_cosines[-1, -2]) if sizes[1] > 1 else math.nan
    ),
    loss=a.loss + b.loss,
  )


def _cosines(gram: np.ndarray) -> np.ndarray:
  squared = np.diag(gram)
  lengths = np.sqrt(np.outer(squared, squared))
  cosines = np.full_like(gram, np.nan)
  np.divide(gram, lengths, out=cosines, where=lengths > 0)
  return np.clip(cosines, -1, 1)


def _checked_sizes(cluster_sizes: ArrayLike) -> tuple[int, int]:
  sizes = np.asarray(cluster_sizes)
  if (
    sizes.shape != (2,)
    or not np.issubdtype(sizes.dtype, np.integer)
    or (sizes < 1).any()
  ):
    raise ValueError(
      "cluster_sizes must be two positive integers, the classes of the "
      f"majority and of the minority, got {cluster_sizes!r}"
    )
  return int(sizes[0]), int(sizes[1])


def _budget(
  sizes: tuple[int, int], classifier_energy: float, feature_energy: float
) -> float:
  arrays.check_positive("classifier_energy", classifier_energy)
  arrays.check_positive("feature_energy", feature_energy)
  return sum(sizes) * math.sqrt(classifier_energy) * math.sqrt(feature_energy)
