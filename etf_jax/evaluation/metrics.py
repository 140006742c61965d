# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Classification metrics from sums that add over batches and devices.

sums = metrics.zeros(num_classes)
sums = metrics.update(sums, logits, labels, where=mask)    # any number
row = metrics.compute(jax.device_get(sums), class_counts)
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
from jax.experimental import multihost_utils
import jax.numpy as jnp
import numpy as np

from etf_jax.evaluation import shots

BINS = 15  # of confidence, for the calibration error
TOP = 5
# Up to this many classes there is a confusion matrix, of K * K counts.
DENSE_CLASSES = 1024
# Metrics that may choose the best evaluation, of all classes together.
OF_BEST = ("balanced_accuracy", "accuracy", "macro_f1")


class Sums(NamedTuple):
  """Counts and sums over the examples seen.

  Attributes:
    confusion: int32 `[K, K]`, rows are true classes, columns predictions; None
      beyond `DENSE_CLASSES` classes.
    true: int32 `[K]`, examples of each class.
    predicted: int32 `[K]`, examples taken for each class.
    right: int32 `[K]`, of the examples of each class, the right ones.
    top: int32, examples whose label is among the 5 largest logits.
    bin_count: int32 `[15]`, examples by confidence.
    bin_correct: int32 `[15]`, of these, the right ones.
    bin_confidence: float32 `[15]`, the sum of their confidences.
  """

  confusion: jax.Array | None
  true: jax.Array
  predicted: jax.Array
  right: jax.Array
  top: jax.Array
  bin_count: jax.Array
  bin_correct: jax.Array
  bin_confidence: jax.Array


def zeros(num_classes: int) -> Sums:
  """Return the sums over no example."""
  dense = num_classes <= DENSE_CLASSES
  return Sums(
    jnp.zeros((num_classes, num_classes), jnp.int32) if dense else None,
    jnp.zeros(num_classes, jnp.int32),
    jnp.zeros(num_classes, jnp.int32),
    jnp.zeros(num_classes, jnp.int32),
    jnp.zeros((), jnp.int32),
    jnp.zeros(BINS, jnp.int32),
    jnp.zeros(BINS, jnp.int32),
    jnp.zeros(BINS, jnp.float32),
  )


def update(
  sums: Sums, logits: jax.Array, labels: jax.Array, *, where: jax.Array
) -> Sums:
  """Add a batch.

  Args:
    sums: what has been seen.
    logits: `[B, K]`.
    labels: `[B]` integers in 0..K-1.
    where: `[B]` booleans; the False ones do not count.
  """
  counted = where.astype(jnp.int32)
  predicted = jnp.argmax(logits, axis=-1)
  correct = (where & (predicted == labels)).astype(jnp.int32)
  # The rank of the label's logit; ties count against it, as in a sort.
  label_logits = jnp.take_along_axis(logits, labels[:, None], axis=-1)
  rank = jnp.sum(logits >= label_logits, axis=-1, dtype=jnp.int32)
  confidence = jnp.max(jax.nn.softmax(logits, axis=-1), axis=-1)
  confidence = jnp.where(where, confidence, 0).astype(jnp.float32)
  # Bins (0, 1/15], ..., (14/15, 1].
  bins = jnp.clip(jnp.ceil(confidence * BINS).astype(jnp.int32) - 1, 0)
  confusion = sums.confusion
  if confusion is not None:
    confusion = confusion.at[labels, predicted].add(counted)
  return Sums(
    confusion,
    sums.true.at[labels].add(counted),
    sums.predicted.at[predicted].add(counted),
    sums.right.at[labels].add(correct),
    sums.top + jnp.sum(where & (rank <= TOP), dtype=jnp.int32),
    sums.bin_count.at[bins].add(counted),
    sums.bin_correct.at[bins].add(correct),
    sums.bin_confidence.at[bins].add(confidence),
  )


def fetch(tree: Any) -> Any:
  """NumPy arrays of what lies on the devices of all processes, in each."""
  if jax.process_count() == 1:
    return jax.device_get(tree)
  return multihost_utils.process_allgather(tree, tiled=True)


def compute(sums: Sums, class_counts: Sequence[int] | np.ndarray) -> dict:
  """Turn sums into the metrics of one evaluation.

  Args:
    sums: over at least one example.
    class_counts: `[K]` training images of each class, which decide the shots.

  Returns:
    Fractions in [0, 1], as Python numbers: `accuracy`; `top5` (None unless
    K > 5); `balanced_accuracy`, the mean of `per_class_accuracy` over the
    classes present, like `many`, `medium` and `few` over the classes with
    more than 100, 20 to 100 and less than 20 training images (None where
    there is no such class); `macro_f1` over classes present or predicted;
    `ece`, the expected calibration error over 15 equal bins; and
    `per_class_accuracy`, a list with None for an absent class.
  """
  shot = shots.of(class_counts)
  true = np.asarray(sums.true, np.int64)
  total, num_classes = true.sum(), len(true)
  present = true > 0
  recall = np.asarray(sums.right, np.int64) / np.where(present, true, 1)
  overall = of_counts(sums)

  def over(group):
    group = group & present
    return float(recall[group].mean()) if group.any() else None

  gap = np.abs(
    np.asarray(sums.bin_correct, np.float64)
    - np.asarray(sums.bin_confidence, np.float64)
  )
  return {
    "accuracy": overall["accuracy"],
    "top5": float(sums.top / total) if num_classes > TOP else None,
    "balanced_accuracy": overall["balanced_accuracy"],
    "macro_f1": overall["macro_f1"],
    **{name: over(shot == i) for i, name in enumerate(shots.NAMES)},
    "ece": float(gap.sum() / total),
    "per_class_accuracy": [
      float(r) if p else None for r, p in zip(recall, present, strict=True)
    ],
  }


def of_counts(sums: Sums) -> dict[str, float]:
  """Return the metrics of `OF_BEST`, see `compute`.

  Args:
    sums: over at least one example.
  """
  right, true, predicted = (
    np.asarray(counts, np.int64)
    for counts in (sums.right, sums.true, sums.predicted)
  )
  f1 = 2 * right / np.maximum(true + predicted, 1)
  return {
    "accuracy": float(right.sum() / true.sum()),
    "balanced_accuracy": float((right[true > 0] / true[true > 0]).mean()),
    "macro_f1": float(f1[true + predicted > 0].mean()),
  }
