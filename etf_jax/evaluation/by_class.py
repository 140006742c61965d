# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Precision, recall and F1 of each class, and intervals from the test set.

scores = by_class.scores(confusion)
low, high = by_class.wilson(right, total)          # accuracy, or class recall
low, high = by_class.mean_recall_interval(right, total)    # balanced accuracy

The intervals are those of other test images of the same number. What another
seed of the training would give is not in them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from etf_jax.evaluation import shots

# Of the normal distribution: 95 % lie within.
_Z = 1.959963984540054


class Scores(NamedTuple):
  """Scores of K classes; NaN where a share has no image.

  Attributes:
    support: int64 `[K]`, test images.
    precision: floats `[K]`, the share of right ones among the predictions.
    recall: floats `[K]`, the share of right ones among the test images.
    f1: floats `[K]`, the harmonic mean of the two.
  """

  support: np.ndarray
  precision: np.ndarray
  recall: np.ndarray
  f1: np.ndarray


def scores(confusion: np.ndarray) -> Scores:
  """Return the scores of each class.

  Args:
    confusion: numbers `[K, K]`, a row per true class.
  """
  confusion = np.asarray(confusion)
  return of_counts(
    confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
  )


def of_counts(
  right: np.ndarray, support: np.ndarray, predicted: np.ndarray
) -> Scores:
  """Return the scores from integers `[K]`: right, test and predicted images."""
  return Scores(
    support,
    _share(right, predicted),
    _share(right, support),
    _share(2 * right, support + predicted),
  )


def wilson(right: np.ndarray, total: np.ndarray) -> np.ndarray:
  r"""Return Wilson's 95 % intervals of shares.

  .. math:: \frac{p + z^2/2n \pm z \sqrt{p(1-p)/n + z^2/4n^2}}{1 + z^2/n}

  Wilson 1927 (doi:10.1080/01621459.1927.10502953).

  Args:
    right: numbers `[...]`, images that are right.
    total: numbers `[...]`, all images, n.

  Returns:
    `[2, ...]`, the ends, in [0, 1]; NaN for no image.
  """
  right, total = np.asarray(right, float), np.asarray(total, float)
  n = np.where(total > 0, total, np.nan)
  p, square = right / n, _Z**2 / n
  middle = p + square / 2
  reach = np.sqrt(p * (1 - p) * square + square**2 / 4)
  ends = np.stack([middle - reach, middle + reach]) / (1 + square)
  return np.clip(ends, 0, 1)


def mean_recall_interval(right: np.ndarray, total: np.ndarray) -> np.ndarray:
  r"""Return a 95 % interval of the mean recall of some classes.

  .. math:: \bar p - \frac1K \sqrt{\sum_k (p_k - l_k)^2}, \quad
            \bar p + \frac1K \sqrt{\sum_k (u_k - p_k)^2}

  with Wilson's interval [l_k, u_k] of each class: unlike a bootstrap's, which
  has no width where all images of each class are right or all are wrong. Zou
  and Donner 2008 (doi:10.1002/sim.3095), equation 2.

  Args:
    right: integers `[K]`, images that are right.
    total: integers `[K]`, all images; classes without any do not count.

  Returns:
    `[2]`, the ends; NaN if no class has an image.
  """
  right, total = np.asarray(right), np.asarray(total)
  right, total = right[total > 0], total[total > 0]
  if not len(total):
    return np.full(2, np.nan)
  shares = right / total
  reach = np.linalg.norm(wilson(right, total) - shares, axis=1) / len(total)
  return shares.mean() + reach * (-1, 1)


def intervals(
  right: np.ndarray, total: np.ndarray, class_counts: Sequence[int]
) -> dict[str, list[float]]:
  """Return 95 % intervals from the number of test images, by metric.

  Args:
    right: integers `[K]`, test images that are right.
    total: integers `[K]`, all test images.
    class_counts: `[K]` training images.

  Returns:
    Both ends of `accuracy` (Wilson) and of `balanced_accuracy` and of the
    groups that have test images (see `mean_recall_interval`).
  """
  right, total = np.asarray(right), np.asarray(total)
  group = shots.of(class_counts)
  found = {"accuracy": wilson(right.sum(), total.sum())}
  for name, chosen in (
    ("balanced_accuracy", np.ones(len(group), bool)),
    *((name, group == i) for i, name in enumerate(shots.NAMES)),
  ):
    found[name] = mean_recall_interval(right[chosen], total[chosen])
  return {
    name: ends.tolist() for name, ends in found.items() if ends[0] == ends[0]
  }


def confused_pairs(
  labels: np.ndarray, predictions: np.ndarray, number: int
) -> list[tuple[int, int]]:
  """Return the (true, predicted) classes most often confused, at most `number`.

  Pairs of equal counts come in the order of their classes.

  Args:
    labels: integers `[N]`, the true classes.
    predictions: integers `[N]`.
    number: of pairs.
  """
  wrong = labels != predictions
  pairs, counts = np.unique(
    np.stack([labels[wrong], predictions[wrong]]), axis=1, return_counts=True
  )
  order = np.argsort(-counts, kind="stable")[:number]
  return [(int(true), int(taken)) for true, taken in pairs.T[order]]


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
  return np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan)
