# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Selective classification: what is gained by leaving some images unanswered.

risks = selective.risks(scores, correct)     # at every coverage
selective.aurc(scores, correct)              # their mean

Geifman and El-Yaniv 2017 (arXiv:1705.08500); the area under the risk-coverage
curve is that of Geifman et al. 2019 (arXiv:1805.08206).
"""

import math

import numpy as np

COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)


def risks(scores: np.ndarray, correct: np.ndarray) -> np.ndarray:
  """Return the share of wrong answers among the k surest images, for each k.

  Images of the same score come in any order, so their mean counts.

  Args:
    scores: floats `[N]`, larger for surer answers: a probability, or minus an
      angle.
    correct: `[N]` booleans.

  Returns:
    float64 `[N]`, in [0, 1]; the last is one minus the accuracy.
  """
  _, group, sizes = np.unique(
    -np.asarray(scores), return_inverse=True, return_counts=True
  )
  wrong = np.bincount(group, ~np.asarray(correct, bool), len(sizes))
  shares = np.repeat(wrong / sizes, sizes)
  return np.cumsum(shares) / np.arange(1, len(shares) + 1)


def aurc(scores: np.ndarray, correct: np.ndarray) -> float:
  """Return the mean of `risks` over all coverages; lower is better."""
  return float(np.mean(risks(scores, correct)))


def table(
  scores: np.ndarray, correct: np.ndarray, coverages=COVERAGES
) -> list[dict[str, float]]:
  """Accuracy and threshold at some coverages.

  Args:
    scores: see `risks`.
    correct: see `risks`.
    coverages: shares of the images that are answered, in (0, 1].

  Returns:
    For each of them `coverage`, rounded up to whole images; `accuracy` of the
    answers; and `threshold`, the lowest score that is answered.
  """
  every, ordered = risks(scores, correct), np.sort(np.asarray(scores))[::-1]
  rows = []
  for coverage in coverages:
    # 0.7 of 10 images are 7, though 0.7 * 10 is more in floating point.
    answered = math.ceil(round(coverage * len(ordered), 9))
    rows.append(
      {
        "coverage": answered / len(ordered),
        "accuracy": float(1 - every[answered - 1]),
        "threshold": float(ordered[answered - 1]),
      }
    )
  return rows
