# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Evaluates a model's variables on a split: every example once.

evaluate = evaluator.create(model, normalize, num_classes)
sums = evaluate(variables, batches)    # metrics.Sums, as NumPy arrays
"""

from collections.abc import Callable

import jax

from etf_jax.data.resident import Batch
from etf_jax.evaluation import metrics


def create(
  model, normalize: Callable[[jax.Array], jax.Array], num_classes: int
) -> Callable[[dict, Batch], metrics.Sums]:
  """Builds `evaluate(variables, batches)`.

  Args:
    model: a linen module whose output has `logits`.
    normalize: uint8 images to what the model takes.
    num_classes: K.

  Returns:
    A function of the model's variables and of batches stacked along a leading
    axis (`resident.stack_batches`). It compiles once per shape, and waits for
    the device only at the end.
  """

  @jax.jit
  def update(variables, batches, index, sums):
    batch = jax.tree.map(lambda x: x[index], batches)
    output = model.apply(variables, normalize(batch.images), train=False)
    return metrics.update(sums, output.logits, batch.labels, where=batch.where)

  def evaluate(variables, batches):
    sums = metrics.zeros(num_classes)
    for index in range(batches.labels.shape[0]):
      sums = update(variables, batches, index, sums)
    return jax.device_get(sums)

  return evaluate
