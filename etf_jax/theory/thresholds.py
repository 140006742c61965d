# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
r"""Closed forms of the unconstrained-feature model with imbalanced classes.

See `unconstrained_features` for the program that they are about. Unless a
function names others they are of

Hong and Ling, `Neural Collapse for Unconstrained Feature Model under
Cross-entropy Loss with Imbalanced Data
<https://arxiv.org/abs/2309.09725>`_, 2023
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from etf_jax import arrays


def collapse_thresholds(
  cluster_sizes: ArrayLike, cluster_counts: ArrayLike
) -> np.ndarray:
  r"""Compute where clusters of equally large classes collapse.

  The classes of cluster j are told apart if and only if

  .. math::
    \lambda_Z < \frac{\sqrt{n_j}}{N} , \qquad N = \sum_j K_j n_j ,

  whatever the bias penalty and the other clusters.

  Args:
    cluster_sizes: `[clusters]` integers >= 1, classes per cluster, K_j.
    cluster_counts: `[clusters]` > 0, samples per class, n_j.

  Returns:
    `[clusters]` float64, the smallest :math:`\lambda_Z` at which each
    cluster's classes are merged; NaN for a cluster of one class.

  Raises:
    ValueError: if lengths differ or a number is out of its range.

  Examples:
    >>> from etf_jax.theory import thresholds
    >>> print(thresholds.collapse_thresholds([5, 5], [400, 100]).round(6))
    [0.008 0.004]
  """
  sizes, counts = check_clusters(cluster_sizes, cluster_counts)
  return np.where(sizes > 1, np.sqrt(counts) / (sizes @ counts), np.nan)


def minority_collapse_count(
  cluster_sizes: ArrayLike, minority_count: float, lambda_z: float
) -> float:
  r"""Compute how large the majority's classes may be before minorities merge.

  The threshold of `collapse_thresholds` for cluster B, solved for n_A:

  .. math::
    n_A \ge \frac{\sqrt{n_B} / \lambda_Z - K_B n_B}{K_A}

  Args:
    cluster_sizes: `[2]`, classes of the majority A and of the minority B.
    minority_count: n_B > 0, samples of each minority class.
    lambda_z: > 0.

  Returns:
    The smallest n_A at which the minority's classes collapse; not positive
    where they do for every majority.

  Raises:
    ValueError: if there are not two clusters, or a number is out of its range.

  Examples:
    >>> from etf_jax.theory import thresholds
    >>> print(thresholds.minority_collapse_count([5, 5], 100, 0.004))
    400.0
  """
  sizes, counts = check_two_clusters(cluster_sizes, [1, minority_count])
  arrays.check_positive("lambda_z", lambda_z)
  return float(
    (math.sqrt(counts[1]) / lambda_z - sizes[1] * counts[1]) / sizes[0]
  )


def balanced_scale(num_classes: int, count: float, lambda_z: float) -> float:
  r"""Compute the logits of balanced classes, a (I - J/K).

  .. math::
    a = \max\left(0, \log\left( \frac{1}{\lambda_Z \sqrt{n}} - K + 1 \right)
    \right)

  Args:
    num_classes: K >= 2.
    count: n > 0, samples per class.
    lambda_z: > 0.

  Returns:
    a; 0 where the classes collapse.

  Raises:
    ValueError: if a number is out of its range.

  Examples:
    >>> from etf_jax.theory import thresholds
    >>> print(f"{thresholds.balanced_scale(10, 100, 0.001):.6f}")
    4.510860
  """
  check_clusters([num_classes], [count])
  if num_classes < 2:
    raise ValueError(f"num_classes must be at least 2, got {num_classes}")
  arrays.check_positive("lambda_z", lambda_z)
  odds = 1 / (lambda_z * math.sqrt(count)) - num_classes + 1
  return math.log(odds) if odds > 1 else 0.0


def minority_cosine_limit(cluster_sizes: ArrayLike, ratio: float) -> float:
  r"""Compute the minority's classifier cosine as :math:`\lambda_Z \to 0`.

  With :math:`n_A = R n_B` and :math:`\sigma = \sqrt{(K_B R + K_A) / K}`,

  .. math::
    \cos = \frac{\sigma K_A / (K K_B) - 1 / K_B}
    {1 - 1 / K_B + \sigma K_A / (K K_B)} ,

  which grows to 1 with R: an imbalance turns minority classes together. It is
  the cosine of SELI, the simplex-encoded-labels interpolation of Thrampoulidis
  et al., to which the classifier tends as the penalty vanishes.

  Args:
    cluster_sizes: `[2]`, classes of the majority A and of the minority B.
    ratio: R > 0.

  Returns:
    The cosine between two minority classes' classifier vectors.

  Raises:
    ValueError: if there are not two clusters, or a number is out of its range.

  Examples:
    >>> from etf_jax.theory import thresholds
    >>> print(f"{thresholds.minority_cosine_limit([5, 5], 1):.4f}")
    -0.1111

  References:
    Thrampoulidis, Kini, Vakilian and Behnia, `Imbalance Trouble: Revisiting
    Neural-Collapse Geometry <https://arxiv.org/abs/2208.05512>`_, 2022
  """
  sizes, _ = check_two_clusters(cluster_sizes, [1, 1])
  arrays.check_positive("ratio", ratio)
  major, minor = sizes
  total = major + minor
  pull = math.sqrt((minor * ratio + major) / total) * major / (total * minor)
  return float((pull - 1 / minor) / (1 - 1 / minor + pull))


def simplex_deviation_rate(cluster_sizes: ArrayLike, ratio: float) -> float:
  r"""Compute how slowly many samples make the logits a simplex ETF.

  For :math:`n_A = R n_B \to \infty` at fixed :math:`N \lambda_Z` the logits are
  :math:`Z = L (I - J / K) + V + O(1 / L)` with :math:`L = \log(\sqrt{n_B} /
  (N \lambda_Z))`, so with :math:`V_\perp` the part of V that is orthogonal to
  :math:`E = I - J / K`

  .. math::
    \left| \frac{Z}{|Z|_F} - \frac{E}{|E|_F} \right|_F \log n_B \to
    \frac{2 |V_\perp|_F}{\sqrt{K - 1}} .

  With :math:`\tan\theta = \sqrt{K_A / (K_B R)}` a column of V for a class of A
  has mean 0, and its own entry exceeds that of another class of A and of a
  class of B by

  .. math::
    \frac{\log R}{2} - \log \frac{1 - \sqrt{K_B / K} \cos\theta}{K_A}
    \quad \text{and} \quad
    \frac{\log R}{2} - \log \frac{\cos\theta}{\sqrt{K K_B}} ;

  one of B likewise, without :math:`\log R` and with the sine. The limit is the
  same with any fixed bias penalty. The order O(1 / log n) is that of Hong and
  Ling, the constant is worked out here. It takes :math:`\log n_B` much larger
  than K; for 10 classes and :math:`n_B = 10^{12}` the left side has come to
  about two thirds.

  Args:
    cluster_sizes: `[2]`, classes of the majority A and of the minority B.
    ratio: R > 0.

  Returns:
    The right side; 0 for R = 1. Half of it where :math:`\lambda_Z \to 0` at
    fixed counts and :math:`\log n_B` is replaced by :math:`-\log\lambda_Z`.

  Raises:
    ValueError: if there are not two clusters, or a number is out of its range.

  Examples:
    >>> from etf_jax.theory import thresholds
    >>> print(f"{thresholds.simplex_deviation_rate([5, 5], 5):.6f}")
    2.497005
  """
  sizes, _ = check_two_clusters(cluster_sizes, [1, 1])
  arrays.check_positive("ratio", ratio)
  others, classes = sizes[::-1], sizes.sum()
  # Cosine and sine.
  unit = np.sqrt(others * [ratio, 1] / (others @ [ratio, 1]))
  gain = np.log([ratio, 1]) / 2
  to_same = gain - np.log((1 - np.sqrt(others / classes) * unit) / sizes)
  to_other = gain - np.log(unit / np.sqrt(classes * others))
  first = ((sizes - 1) * to_same + others * to_other) / classes
  square = first**2 + (sizes - 1) * (first - to_same) ** 2
  square += others * (first - to_other) ** 2
  orthogonal = sizes @ square - (sizes @ first) ** 2 / (classes - 1)
  return 2 * math.sqrt(max(orthogonal, 0) / (classes - 1))


def check_clusters(
  cluster_sizes: ArrayLike, cluster_counts: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
  """Check clusters of equally large classes; return both as float64.

  Raises:
    ValueError: if lengths differ or a number is out of its range.
  """
  sizes = np.asarray(cluster_sizes, np.float64)
  counts = np.asarray(cluster_counts, np.float64)
  if sizes.ndim != 1 or sizes.shape != counts.shape or not sizes.size:
    raise ValueError(
      "cluster_sizes and cluster_counts must be lists of one length, got "
      f"shapes {sizes.shape} and {counts.shape}"
    )
  if not (np.all(sizes >= 1) and np.all(sizes == np.floor(sizes))):
    raise ValueError(
      f"cluster_sizes must be whole numbers >= 1, got {sizes.tolist()}"
    )
  if not (np.all(np.isfinite(counts)) and np.all(counts > 0)):
    raise ValueError(
      f"cluster_counts must be finite and positive, got {counts.tolist()}"
    )
  return sizes, counts


def check_two_clusters(
  cluster_sizes: ArrayLike, cluster_counts: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
  """Check two clusters of equally large classes; see `check_clusters`."""
  sizes, counts = check_clusters(cluster_sizes, cluster_counts)
  if sizes.size != 2:
    raise ValueError(f"cluster_sizes must name two clusters, got {sizes.size}")
  return sizes, counts
