# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The train step: pure in (state, batch, key).

It can be jitted over any mesh, scanned over steps and vmapped over seeds; the
loss, the class lengths and every statistic are those of the global batch.

With `accumulate_steps` > 1 the batch is augmented and mixed as a whole and then
computed in that many parts, whose gradients are added up. Loss, class lengths
and loss weights remain those of the whole batch. BatchNorm normalises each part
by itself; the running statistics are updated once a step, with the mean over
the parts, by their examples. A part takes examples from all over the batch, so
that each stays on its device and padding is shared out. It takes whole groups
of `bn_group_size`, so with those the number of parts changes rounding only.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from ml_collections import ConfigDict
import numpy as np
import optax

from etf_jax import losses
from etf_jax.data.augment import Mixed
from etf_jax.data.batch import Batch
from etf_jax.errors import InputError
from etf_jax.models import Classifier
from etf_jax.training import objectives
from etf_jax.training.parallel import sharding
from etf_jax.training.state import Own, TrainState


class StepMetrics(NamedTuple):
  """Scalars of one step; `accuracy` is NaN on the steps that skip it."""

  loss: jax.Array
  accuracy: jax.Array


def create(
  config: ConfigDict,
  model: Classifier,
  optimizer: optax.GradientTransformation,
  class_counts: np.ndarray,
  augment: Callable[[Batch, jax.Array], Mixed],
  steps_per_epoch: int,
  total_steps: int,
  mesh: Mesh | None = None,
) -> Callable[
  [TrainState, Batch, jax.Array | Own], tuple[TrainState, StepMetrics]
]:
  """Build `train_step(state, batch, key)`.

  Args:
    config: resolved; `method`, `loss`, `optimizer`, `eval`, `ema_decay`,
      `bn_group_size` and `accumulate_steps` are read.
    model: see `models.create_model`.
    optimizer: see `optimizer.create_optimizer`.
    class_counts: `[K]` training images of each class.
    augment: see `augment.training`.
    steps_per_epoch: tells the loss which epoch it is in ...
    total_steps: ... and of how many.
    mesh: of the state and the batches; None: one of one device.

  Returns:
    The step. Its key is the run's; the step number is folded in. With a
    `state.Own` for it, a learning rate or class counts of the run's own replace
    these. Its batches have a multiple of `sharding.row_multiple` rows.

  Raises:
    InputError: `ema_decay` is out of its range.
  """
  if not 0 <= config.ema_decay < 1:
    raise InputError(
      f"config.ema_decay={config.ema_decay!r} must lie in [0, 1)"
    )
  # Only with the backbone do the statistics follow the batches.
  train = objectives.trains_backbone(config)
  parts, group = config.accumulate_steps, config.bn_group_size or 1
  gather, spread = sharding.for_compute(mesh), sharding.spreads_batch(mesh)
  unroll = sharding.unrolls(mesh)
  shared_loss = objectives.create_loss(config, class_counts)

  def train_step(state, batch, key):
    own = key if isinstance(key, Own) else Own(key)
    key = jax.random.fold_in(own.key, state.step)
    loss = shared_loss
    if own.class_counts is not None:
      loss = objectives.create_loss(config, own.class_counts)
    images, partners, lam = augment(batch, key)
    epoch = state.step // steps_per_epoch
    passed = epoch.astype(jnp.result_type(float))
    context = objectives.Context(
      batch.labels, batch.where, epoch, passed * steps_per_epoch / total_steps
    )

    def terms(rows):
      """What some rows add to the metrics and gradients, and their statistics.

      `rows` takes them from an array of the batch.
      """
      where = rows(batch.where)

      def mean_loss(params):
        output, updates = model.apply(
          gather(state.variables | {"params": params}),
          rows(images),
          train=train,
          mask=where if parts == 1 else _some(where),
          mutable=["batch_stats"],
        )

        def loss_of(labels):
          asked = context
          if parts > 1:
            asked = context._replace(part_of=labels, part_where=where)
          return loss(output, rows(labels), asked)

        per_example = _over_labels(loss_of, batch, partners, lam)
        if config.loss.feature_length_penalty:
          per_example += (
            config.loss.feature_length_penalty
            * losses.feature_length_penalty(output.features)
          )
        value = _mean_terms(per_example, where, batch)
        return value, (output, updates.get("batch_stats", {}))

      (value, (output, batch_stats)), gradients = jax.value_and_grad(
        mean_loss, has_aux=True
      )(state.params)

      def right():
        predicted = jnp.argmax(output.logits, axis=-1)
        return _over_labels(
          lambda labels: (predicted == rows(labels)).astype(value.dtype),
          batch,
          partners,
          lam,
        )

      # A conditional, so that dot regression builds logits on these steps only.
      # The mean lies behind it, where devices sum it up together with the loss.
      accuracy = _mean_terms(
        jax.lax.cond(
          state.step % config.eval.train_accuracy_steps == 0,
          right,
          lambda: jnp.full(output.features.shape[:1], jnp.nan, value.dtype),
        ),
        where,
        batch,
      )
      return StepMetrics(value, accuracy), batch_stats, gradients

    def part(number):
      def rows(array):
        if array is None:
          return None
        return spread(_rows(array, number, parts, group))

      metrics, batch_stats, gradients = terms(rows)
      # Each part began with the old statistics: their mean is one update.
      where = rows(batch.where)
      ones = jnp.ones(batch.labels.shape[0] // parts, metrics.loss.dtype)
      weight = _mean_terms(ones, where, batch)
      batch_stats = jax.tree.map(
        lambda x: weight.astype(x.dtype) * x, batch_stats
      )
      return metrics, batch_stats, gradients

    if parts == 1:
      metrics, batch_stats, gradients = terms(lambda array: array)
    else:
      metrics, batch_stats, gradients = _sum(part, parts, unroll)
      if not train:
        batch_stats = state.batch_stats
    updates, opt_state = optimizer.update(
      gradients, state.opt_state, state.params
    )
    if own.rate_factor is not None:  # SGD's updates are linear in its rate.
      updates = jax.tree.map(
        lambda x: own.rate_factor.astype(x.dtype) * x, updates
      )
    params = optax.apply_updates(state.params, updates)
    if config.ema_decay:
      state = state.average(params, batch_stats, config.ema_decay)
    state = state.replace(
      step=state.step + 1,
      params=params,
      batch_stats=batch_stats,
      opt_state=opt_state,
    )
    return state, metrics

  return train_step


def _over_labels(function, batch, partners, lam):
  """A function of the labels, mixed over both labels of a mixed image."""
  if partners is None:
    return function(batch.labels)
  return losses.mixup(function, batch.labels, batch.labels[partners], lam)


def _mean_terms(values, where, batch):
  """The mean over a batch, or what the values of some of its rows add to it."""
  if where is None:
    return jnp.sum(values) / batch.labels.shape[0]
  number = jnp.sum(batch.where, dtype=values.dtype)
  return jnp.sum(jnp.where(where, values, 0)) / number


def _rows(array, number, parts, group):
  """Of every `parts` groups of rows the one of this number."""
  rest = array.shape[1:]
  groups = array.reshape(-1, parts, group, *rest)
  chosen = jax.lax.dynamic_index_in_dim(groups, number, 1, keepdims=False)
  return chosen.reshape(-1, *rest)


def _some(where):
  """A mask for BatchNorm, which cannot normalise a part without examples.

  There it sees the padding, whose terms are zero whatever it makes of them.
  """
  return None if where is None else where | ~jnp.any(where)


def _sum(function, parts, unroll):
  """The sum of function(0) .. function(parts - 1), trees of arrays."""
  zeros = jax.tree.map(
    lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(function, 0)
  )
  total, _ = jax.lax.scan(
    lambda total, number: (
      jax.tree.map(jnp.add, total, function(number)),
      None,
    ),
    zeros,
    jnp.arange(parts, dtype=jnp.int32),
    unroll=unroll,
  )
  return total
