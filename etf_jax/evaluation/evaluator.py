# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Evaluates a model's variables on a split: every example once.

evaluate = evaluator.create(model, inputs, num_classes)
sums = evaluate(variables, feed)    # metrics.Sums, as NumPy arrays
"""

from collections.abc import Callable
import functools

import jax

from etf_jax.data.feeds.resident import EvalBatches
from etf_jax.evaluation import metrics


def create(
  model, inputs: Callable[..., jax.Array], num_classes: int
) -> Callable[[dict, EvalBatches], metrics.Sums]:
  """Build `evaluate(variables, feed)`.

  Args:
    model: a linen module whose output has `logits`.
    inputs: (uint8 images, their sizes or None) to what the model takes.
    num_classes: K.

  Returns:
    A function of the model's variables and of a split. It compiles once per
    shape, and waits for the device only at the end.
  """

  @functools.cache  # for each way to read, which is one a split
  def update_of(take):
    @jax.jit
    def update(variables, arrays, index, sums):
      batch = take(arrays, index)
      images = inputs(batch.images, batch.sizes)
      output = model.apply(variables, images, train=False)
      return metrics.update(
        sums, output.logits, batch.labels, where=batch.where
      )

    return update

  def evaluate(variables, feed):
    update, sums = update_of(feed.take), metrics.zeros(num_classes)
    for arrays, index in feed.parts():
      sums = update(variables, arrays, index, sums)
    return metrics.fetch(sums)

  return evaluate
