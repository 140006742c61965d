# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
r"""The layer-peeled model with a learned classifier, and minority collapse.

In use::

    from etf_jax.theory import learnable_layer_peeled

    learned = learnable_layer_peeled.solve_learnable_layer_peeled(
      (3, 7), 100, classifier_energy=1, feature_energy=5
    )
    learned.minority_cosine  # 0.3107, where a simplex ETF has -0.1111
"""

from collections.abc import Callable
import dataclasses
import math
from typing import NamedTuple

from jax.typing import ArrayLike
import numpy as np
from scipy import optimize

from etf_jax import arrays


@dataclasses.dataclass(frozen=True, eq=False)
class LearnableLayerPeeled:
  """What `solve_learnable_layer_peeled` finds; majority classes come first.

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
) -> LearnableLayerPeeled:
  r"""Find the optimal features and the optimal classifier together.

  The model, for :math:`K = K_A + K_B` classes of which :math:`K_A` have
  :math:`n_A` samples and :math:`K_B` have :math:`n_B = n_A / R`, is

  .. math::
    \min_{W, H} \frac{1}{N} \sum_{k, i} \mathrm{CE}(W^\top h_{k,i}, k)
    \quad \text{s.t.} \quad
    \frac{1}{K} \sum_k |w_k|^2 \le E_W , \quad
    \frac{1}{K} \sum_k \frac{1}{n_k} \sum_i |h_{k,i}|^2 \le E_H .

  Both budgets average over classes: a class of few samples has as large a part
  in the features' budget as any other. It is solved to global optimality:

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

  Returns:
    A `LearnableLayerPeeled`. At a ratio of 1 it is a simplex ETF with cosines
    :math:`-1 / (K - 1)`; beyond `critical_ratio` the minority's classifier
    vectors coincide.

  Raises:
    ValueError: if a size, the ratio or an energy is out of range. For a ratio
      below 1, swap the clusters.

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

  References:
    Fang, He, Long and Su, `Exploring deep neural networks via layer-peeled
    model: minority collapse in imbalanced training
    <https://arxiv.org/abs/2101.12699>`_, 2021, for the model; the reduction to
    four numbers is worked out here
  """
  sizes = _checked_sizes(cluster_sizes)
  arrays.check_positive("ratio", ratio)
  if ratio < 1:
    raise ValueError(
      f"ratio must be at least 1, got {ratio:g}: cluster 0 is the majority, so "
      "swap the clusters"
    )
  budget = _budget(sizes, classifier_energy, feature_energy)
  problem = _Problem(*sizes, math.log(ratio), budget)
  majority = _best_majority(problem, _best_minority)
  return _solution(problem, majority, _best_minority(problem, majority))


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
  small budgets, zero.

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

  References:
    Fang, He, Long and Su, `Exploring deep neural networks via layer-peeled
    model: minority collapse in imbalanced training
    <https://arxiv.org/abs/2101.12699>`_, 2021
  """
  sizes = _checked_sizes(cluster_sizes)
  if sizes[1] < 2:
    raise ValueError(
      f"cluster_sizes must have two minority classes or more, got {sizes}: one "
      "class cannot collapse"
    )
  budget = _budget(sizes, classifier_energy, feature_energy)

  def excess(log_ratio: float) -> float:
    """Whether a first bit of budget is worth more inside the minority."""
    problem = _Problem(*sizes, log_ratio, budget)
    majority = _best_majority(problem, lambda *_: 0.0)
    slopes = _slopes(problem, majority, 0.0)
    return slopes.minority - slopes.between

  high = 1.0
  while excess(high) > 0:
    high *= 2
  log_ratio = _sign_change(excess, high)
  return math.exp(log_ratio) if log_ratio < 709 else math.inf


class _Problem(NamedTuple):
  """Cluster sizes, log R and what the nuclear norm may be."""

  majority: int
  minority: int
  log_ratio: float
  budget: float


class _Slopes(NamedTuple):
  """Logs of how fast the loss falls with each part of the budget.

  Logs, because the slopes themselves underflow on large budgets.
  """

  majority: float
  minority: float
  between: float


class _Cluster(NamedTuple):
  """The loss of one cluster's samples, and the logs of its two slopes."""

  loss: float
  within: float
  between: float


def _cluster(own: int, other: int, within: float, between: float) -> _Cluster:
  r"""Evaluate a cluster of `own` classes beside one of `other` classes.

  ``within`` is :math:`(K_j - 1) a_j`; ``between`` is :math:`\sqrt{K K_B} x` for
  A and :math:`\sqrt{K K_A} y` for B, so that the last term of the nuclear norm
  is their Euclidean length.
  """
  total = own + other
  sibling = within / (own - 1) if own > 1 else 0.0
  stranger = (within + between * math.sqrt(total / other)) / own
  loss = math.log1p(
    (own - 1) * math.exp(-sibling) + other * math.exp(-stranger)
  )
  inside = np.logaddexp(-sibling, math.log(other / own) - stranger) - loss
  across = 0.5 * math.log(total * other) - math.log(own) - stranger - loss
  return _Cluster(loss, float(inside) if own > 1 else -math.inf, across)


def _clusters(
  problem: _Problem, majority: float, minority: float, log_tangent: float
) -> tuple[_Cluster, _Cluster]:
  """Both clusters, weighted by their share of the samples.

  The remaining budget goes between the clusters; ``log_tangent`` says in which
  proportion the columns of the two use it.
  """
  between = (problem.budget - majority) - minority
  cosine, sine = _cosine_and_sine(log_tangent)
  a = _cluster(problem.majority, problem.minority, majority, between * cosine)
  b = _cluster(problem.minority, problem.majority, minority, between * sine)
  odds = math.log(problem.majority / problem.minority) + problem.log_ratio
  shares = -np.logaddexp(0, -odds), -np.logaddexp(0, odds)
  return tuple(
    _Cluster(
      math.exp(share) * cluster.loss,
      float(share + cluster.within),
      float(share + cluster.between),
    )
    for share, cluster in zip(shares, (a, b), strict=True)
  )


def _cosine_and_sine(log_tangent: float) -> tuple[float, float]:
  return (
    math.exp(-0.5 * np.logaddexp(0, 2 * log_tangent)),
    math.exp(-0.5 * np.logaddexp(0, -2 * log_tangent)),
  )


def _best_tangent(problem: _Problem, majority: float, minority: float) -> float:
  """The proportion at which the gradient points along the budget's arc."""

  def misalignment(log_tangent: float) -> float:
    a, b = _clusters(problem, majority, minority, log_tangent)
    return a.between - b.between + log_tangent

  # Its slope is at least 1, which bounds how far away the root can be.
  reach = abs(misalignment(0.0)) + 1
  return optimize.brentq(misalignment, -reach, reach, xtol=1e-15, rtol=1e-15)


def _slopes(problem: _Problem, majority: float, minority: float) -> _Slopes:
  tangent = _best_tangent(problem, majority, minority)
  a, b = _clusters(problem, majority, minority, tangent)
  between = 0.5 * np.logaddexp(2 * a.between, 2 * b.between)
  return _Slopes(a.within, b.within, float(between))


def _best_minority(problem: _Problem, majority: float) -> float:
  """What of the budget the minority gets, given the majority's part."""

  def excess(minority: float) -> float:
    slopes = _slopes(problem, majority, minority)
    return slopes.minority - slopes.between

  return _sign_change(excess, problem.budget - majority)


def _best_majority(
  problem: _Problem, minority_of: Callable[[_Problem, float], float]
) -> float:
  """What of the budget the majority gets, given the minority's answer.

  Comparing with what lies between the clusters is enough even where nothing
  does: its slope is at least the lesser of the other two there, so the majority
  cannot be worth more than it and less than the minority.
  """

  def excess(majority: float) -> float:
    slopes = _slopes(problem, majority, minority_of(problem, majority))
    return slopes.majority - slopes.between

  return _sign_change(excess, problem.budget)


def _sign_change(function: Callable[[float], float], high: float) -> float:
  """Where on ``[0, high]`` a function turns from positive to negative."""
  if function(0.0) <= 0:
    return 0.0
  if function(high) >= 0:
    return high
  # Relative to the bracket: budgets span many orders of magnitude.
  return optimize.brentq(function, 0.0, high, xtol=1e-15 * high, rtol=1e-15)


def _solution(
  problem: _Problem, majority: float, minority: float
) -> LearnableLayerPeeled:
  """Write the modes out as matrices."""
  sizes = np.array([problem.majority, problem.minority])
  total = sizes.sum()
  tangent = _best_tangent(problem, majority, minority)
  a, b = _clusters(problem, majority, minority, tangent)
  between = (problem.budget - majority) - minority
  # Singular values inside the clusters. A cluster of one class has none.
  inside = np.array([majority, minority]) / np.maximum(sizes - 1, 1)
  # The singular vectors between them: their entry in each class of a cluster.
  left = np.sqrt(sizes[::-1] / (total * sizes)) * [1, -1]
  right = np.array(_cosine_and_sine(tangent)) * [1, -1] / np.sqrt(sizes)

  cluster = np.repeat([0, 1], sizes)
  centred = np.eye(total) - (cluster[:, None] == cluster) / sizes[cluster]
  centred *= inside[cluster]

  def matrix(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return centred + between * np.outer(rows[cluster], columns[cluster])

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
