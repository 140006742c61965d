# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
r"""The unconstrained-feature model with two class sizes, by one equation.

    from etf_jax.theory import two_clusters

    solution = two_clusters.solve_two_clusters([500, 500], [1300, 5], 1e-6)
    solution.classifier_cosines[1, 1]  # Between two minority classes.

The program is that of `unconstrained_features`, with :math:`K_A` classes of
:math:`n_A` samples and :math:`K_B` classes of :math:`n_B`. Its optimum has
blocks :math:`Z_{ij} = a_i \delta_{ij} I + c_{ij} J` whose columns sum to 0, so

.. math::
  c_{AA} = -(a_A + K_B c_{BA}) / K_A , \qquad
  |Z D^{1/2}|_* = \sum_i (K_i - 1) \sqrt{n_i} |a_i|
  + \sqrt{K (n_A K_B c_{BA}^2 + n_B K_A c_{AB}^2)} .

The last term is the cross mode, of rank one: it tells the clusters apart.

Reduction. Let :math:`q_A` be the probability that a column of A gives to all
classes of B, and :math:`\tau_A = N \lambda_Z / \sqrt{n_A}`. Setting the
derivative in :math:`a_A` to 0 makes the own class' probability exceed that of
another class of A by :math:`1 - \tau_A`, or by 0 where :math:`\tau_A \ge 1` and
:math:`a_A = 0`. So :math:`q_A` gives :math:`a_A` in closed form. Where the
cross mode is there, its derivatives give the q by an angle,

.. math::
  q_A = \tau_A \sqrt{K_B / K} \cos\theta , \qquad
  q_B = \tau_B \sqrt{K_A / K} \sin\theta , \qquad
  \tan\theta = \frac{\sqrt{n_B K_A} c_{AB}}{\sqrt{n_A K_B} c_{BA}} ,

and the bias follows from the q: one equation for :math:`\theta`. Where it is
not, :math:`c_{AB} = c_{BA} = 0` is one equation for :math:`q_A`. Both have one
solution, as the program is strictly convex. So the cost and the accuracy do not
depend on how many classes or samples there are.

The blocks and the threshold of the minority are those of Hong and Ling (2023,
`arXiv:2309.09725 <https://arxiv.org/abs/2309.09725>`_); the reduction to one
equation and the other thresholds are worked out here.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special

from etf_jax import arrays
from etf_jax.theory import _two_cluster_modes as modes
from etf_jax.theory import thresholds


@dataclasses.dataclass(frozen=True)
class TwoClusters:
  r"""The optimum for two class sizes; clusters in the order of the arguments.

  Attributes:
    scales: `[2]` float64, a: what a class' own logit has over that of another
      class of its cluster; 0 for a cluster of one class.
    shifts: `[2, 2]` float64, c; column j belongs to the columns of cluster j.
    bias: `[2]` float64, of each class of a cluster; zeros without bias.
    objective: the value of the program, in nats.
    regime: "distinct", where all classes are told apart; "minority collapse",
      where the smaller classes have one classifier vector in common;
      "minority zero", where it is 0; "complete collapse", where all are 0.
    classifier_cosines: `[2, 2]` float64 between the classifier vectors of a
      class of cluster i and another one of cluster j; NaN where a vector is
      zero and, on the diagonal, for a cluster of one class.
    feature_cosines: `[2, 2]` float64 between mean features, likewise.
  """

  scales: np.ndarray
  shifts: np.ndarray
  bias: np.ndarray
  objective: float
  regime: str
  classifier_cosines: np.ndarray
  feature_cosines: np.ndarray


class TwoClusterThresholds(NamedTuple):
  r"""The :math:`\lambda_Z` from which on a part of the optimum is 0.

  Attributes:
    minority_collapse: the smaller classes have one classifier vector from here
      on; NaN where there is only one such class.
    cross_collapse: it is 0 from here on: the clusters' means are not told apart
      and only the larger classes are.
    complete_collapse: all logits are 0 from here on.
  """

  minority_collapse: float
  cross_collapse: float
  complete_collapse: float


def solve_two_clusters(
  cluster_sizes: ArrayLike,
  cluster_counts: ArrayLike,
  lambda_z: float,
  lambda_b: float | None = None,
) -> TwoClusters:
  r"""Solve the unconstrained-feature model for classes of two sizes.

  The program of `solve_unconstrained_features`, to about 1e-12 instead of a
  certified gap, in a few milliseconds for any number of classes, and for
  penalties as small as 1e-100.

  Args:
    cluster_sizes: `[2]` whole numbers >= 1, how many classes each cluster has.
    cluster_counts: `[2]` > 0, samples per class of each cluster.
    lambda_z: :math:`\sqrt{\lambda_W \lambda_H}` > 0.
    lambda_b: > 0, or None for a model without bias.

  Returns:
    The optimum.

  Raises:
    ValueError: if there are not two clusters, or a number is out of its range.

  Examples:
    >>> from etf_jax.theory import two_clusters
    >>> solution = two_clusters.solve_two_clusters([2, 3], [20, 5], 0.02)
    >>> print(f"{solution.objective:.8f}", solution.scales.round(6))
    0.89855954 [3.010163 1.690785]
  """
  sizes, counts = _two_clusters(cluster_sizes, cluster_counts, lambda_b)
  arrays.check_positive("lambda_z", lambda_z)
  # The larger classes first.
  order = np.argsort(-counts, kind="stable")
  problem = modes.problem_of(sizes[order], counts[order], lambda_z, lambda_b)
  columns = modes.without_cross_mode(problem)
  alive = problem.spread[1] < 1 or modes.cross_excess(problem, columns) < 0
  if alive:
    columns = modes.with_cross_mode(problem)
  return _solution(problem, columns, alive, np.argsort(order))


def two_cluster_thresholds(
  cluster_sizes: ArrayLike,
  cluster_counts: ArrayLike,
  lambda_b: float | None = None,
) -> TwoClusterThresholds:
  r"""Compute where minorities, the cross mode and everything collapse.

  With :math:`n_A \ge n_B` the minority's classes merge at
  :math:`\sqrt{n_B} / N`. The cross mode is 0 if and only if

  .. math::
    (N \lambda_Z)^2 \ge K \left( \frac{n_A q_A^2}{K_B}
    + \frac{n_B q_B^2}{K_A} \right) ,

  where :math:`q_A` is the probability that a column of A gives to all of B at
  the optimum among the logits without cross mode; with a bias, the bias is that
  optimum's too. It holds nowhere below :math:`\sqrt{n_B} / N` and everywhere
  from :math:`\sqrt{n_A} / N` on, with any bias penalty; a root is found in
  between. There is only one without bias; with one, thousands of random cases
  had no second. The majority's classes merge at :math:`\sqrt{n_A} / N`, and
  then everything is 0. If the majority is one class, everything is 0 where the
  cross mode is, without bias at
  :math:`\lambda_Z = \sqrt{(n_A K_B + n_B K_A) / K} / N`.

  Args:
    cluster_sizes: `[2]` whole numbers >= 1, how many classes each cluster has.
    cluster_counts: `[2]` > 0, samples per class of each cluster.
    lambda_b: > 0, or None for a model without bias. Only the cross mode's
      threshold depends on it.

  Returns:
    The three values of :math:`\lambda_Z`, each the smallest of its regime. For
    equal counts they are the same.

  Raises:
    ValueError: if there are not two clusters, or a number is out of its range.

  Examples:
    >>> from etf_jax.theory import two_clusters
    >>> found = two_clusters.two_cluster_thresholds([5, 5], [400, 100])
    >>> print([f"{x:.6f}" for x in found])
    ['0.004000', '0.005305', '0.008000']
  """
  sizes, counts = _two_clusters(cluster_sizes, cluster_counts, lambda_b)
  order = np.argsort(-counts, kind="stable")
  sizes, counts = sizes[order], counts[order]
  last, first = np.sqrt(counts) / (sizes @ counts)

  def excess(factor: float) -> float:
    problem = modes.problem_of(sizes, counts, factor * first, lambda_b)
    return modes.cross_excess(problem, modes.without_cross_mode(problem))

  # Counts may be equal up to rounding.
  if excess(1) < 0 < excess(last / first):
    cross = first * optimize.brentq(excess, 1, last / first, **modes.ACCURACY)
  else:
    cross = last
  return TwoClusterThresholds(
    minority_collapse=float(first) if sizes[1] > 1 else np.nan,
    cross_collapse=float(cross),
    complete_collapse=float(last if sizes[0] > 1 else cross),
  )


def _two_clusters(cluster_sizes, cluster_counts, lambda_b):
  sizes, counts = thresholds.check_two_clusters(cluster_sizes, cluster_counts)
  if lambda_b is not None:
    arrays.check_positive("lambda_b", lambda_b)
  return sizes, counts


def _solution(problem, columns, alive, back) -> TwoClusters:
  sizes, others, counts = problem.sizes, problem.others, problem.counts
  classes = sizes.sum()
  scales = modes.scales_of(problem, columns.odds)
  to_own = problem.ceiling * special.expit(-columns.odds) / sizes
  wrong = columns.mass + (sizes - 1) * to_own
  right = 1 - problem.ceiling + to_own
  lengths = np.sqrt(counts * others) * columns.depths
  cross = np.sqrt(classes) * np.hypot(*lengths)
  penalty = (sizes - 1) @ (np.sqrt(counts) * scales) + cross
  bias = columns.tilt * np.array([-1, 1]) * others / classes
  objective = (sizes * counts / (sizes @ counts)) @ np.log1p(wrong / right)
  objective += problem.lambda_z * penalty
  if problem.leverage:
    ridge = classes / (sizes @ counts * problem.leverage)
    objective += ridge / 2 * (sizes @ bias**2)
  to_other = columns.depths * others
  shifts = -np.array(
    [
      [(scales[0] - to_other[0]) / sizes[0], columns.depths[1]],
      [columns.depths[0], (scales[1] - to_other[1]) / sizes[1]],
    ]
  )
  within = np.sqrt(counts) * scales
  # The cross mode's singular vectors, per class.
  left = np.array([1, -1]) * np.sqrt(others / sizes / classes)
  right = np.zeros(2)
  if alive:
    right = np.array([1, -1]) * lengths / np.hypot(*lengths) / np.sqrt(sizes)
  grid = np.ix_(back, back)
  classifier, features = (
    _cosines(within, cross * np.outer(vectors, vectors), sizes)[grid]
    for vectors in (left, right)
  )
  return TwoClusters(
    scales=scales[back],
    shifts=shifts[grid],
    bias=bias[back],
    objective=float(objective),
    regime=_regime(scales, alive, sizes),
    classifier_cosines=classifier,
    feature_cosines=features,
  )


def _regime(scales, alive, sizes) -> str:
  if not alive:
    return "minority zero" if scales[0] > 0 else "complete collapse"
  if scales[1] > 0 or sizes[1] == 1:
    return "distinct"
  return "minority collapse"


def _cosines(within, between, sizes) -> np.ndarray:
  """Normalize the Gram matrix `within (I - J / K) + between J` in blocks."""
  gram = between - np.diag(within / sizes)
  squares = np.diag(gram) + within
  with np.errstate(invalid="ignore"):
    cosines = gram / np.sqrt(np.outer(squares, squares))
  single = np.diag(sizes == 1)
  return np.where(single, np.nan, np.clip(cosines, -1, 1))
