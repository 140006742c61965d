# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
r"""Closed forms of the unconstrained-feature model with imbalanced classes.

See `unconstrained_features` for the program that they are about.
"""

import math

from jax.typing import ArrayLike
import numpy as np


def collapse_thresholds(
  cluster_sizes: ArrayLike, cluster_counts: ArrayLike
) -> np.ndarray:
  r"""Computes where clusters of equally large classes collapse.

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

  References:
    Hong and Ling, `Neural Collapse for Unconstrained Feature Model under
    Cross-entropy Loss with Imbalanced Data
    <https://arxiv.org/abs/2309.09725>`_, 2023
  """
  sizes, counts = _clusters(cluster_sizes, cluster_counts)
  return np.where(sizes > 1, np.sqrt(counts) / (sizes @ counts), np.nan)


def minority_collapse_count(
  cluster_sizes: ArrayLike, minority_count: float, lambda_z: float
) -> float:
  r"""Computes how large the majority's classes may be before minorities merge.

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
  sizes, counts = _clusters(cluster_sizes, [1, minority_count])
  if sizes.size != 2:
    raise ValueError(f"cluster_sizes must name two clusters, got {sizes.size}")
  _check_positive("lambda_z", lambda_z)
  return float(
    (math.sqrt(counts[1]) / lambda_z - sizes[1] * counts[1]) / sizes[0]
  )


def balanced_scale(num_classes: int, count: float, lambda_z: float) -> float:
  r"""Computes the logits of balanced classes, a (I - J/K).

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
  _clusters([num_classes], [count])
  if num_classes < 2:
    raise ValueError(f"num_classes must be at least 2, got {num_classes}")
  _check_positive("lambda_z", lambda_z)
  odds = 1 / (lambda_z * math.sqrt(count)) - num_classes + 1
  return math.log(odds) if odds > 1 else 0.0


def minority_cosine_limit(cluster_sizes: ArrayLike, ratio: float) -> float:
  r"""Computes the minority's classifier cosine as :math:`\lambda_Z \to 0`.

  With :math:`n_A = R n_B` and :math:`\sigma = \sqrt{(K_B R + K_A) / K}`,

  .. math::
    \cos = \frac{\sigma K_A / (K K_B) - 1 / K_B}
    {1 - 1 / K_B + \sigma K_A / (K K_B)} ,

  which grows to 1 with R: an imbalance alone turns minority classes together.

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
  """
  sizes, _ = _clusters(cluster_sizes, [1, 1])
  if sizes.size != 2:
    raise ValueError(f"cluster_sizes must name two clusters, got {sizes.size}")
  _check_positive("ratio", ratio)
  major, minor = sizes
  total = major + minor
  pull = math.sqrt((minor * ratio + major) / total) * major / (total * minor)
  return float((pull - 1 / minor) / (1 - 1 / minor + pull))


def _clusters(cluster_sizes, cluster_counts):
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


def _check_positive(name: str, x: float) -> None:
  if not (math.isfinite(x) and x > 0):
    raise ValueError(f"{name} must be finite and positive, got {x:g}")
