# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The train step: pure in (state, batch, key).

It can be jitted over any mesh, scanned over steps and vmapped over seeds; the
loss, the class lengths and every statistic are those of the global batch.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import optax

from etf_jax import losses
from etf_jax.data.augment import Mixed
from etf_jax.data.resident import Batch
from etf_jax.errors import InputError
from etf_jax.models import Classifier
from etf_jax.training import objectives
from etf_jax.training.state import TrainState


class StepMetrics(NamedTuple):
  """Scalars of one step; `accuracy` is NaN on the steps that skip it."""

  loss: jax.Array
  accuracy: jax.Array


def create(
  config: ConfigDict,
  model: Classifier,
  optimizer: optax.GradientTransformation,
  loss: objectives.Loss,
  augment: Callable[[Batch, jax.Array], Mixed],
  steps_per_epoch: int,
  total_steps: int,
) -> Callable[[TrainState, Batch, jax.Array], tuple[TrainState, StepMetrics]]:
  """Builds `train_step(state, batch, key)`.

  Args:
    config: resolved; `method`, `loss`, `eval` and `ema_decay` are read.
    model: see `models.create_model`.
    optimizer: see `optimizer.create_optimizer`.
    loss: see `objectives.create_loss`.
    augment: see `augment.training`.
    steps_per_epoch: tells the loss which epoch it is in ...
    total_steps: ... and of how many.

  Returns:
    The step. Its key is the run's; the step number is folded in.

  Raises:
    InputError: `ema_decay` is out of its range.
  """
  if not 0 <= config.ema_decay < 1:
    raise InputError(
      f"config.ema_decay={config.ema_decay!r} must lie in [0, 1)"
    )
  # Only where everything is trained do the statistics follow the batches.
  train = objectives.METHODS[config.method].trains == "all"

  def train_step(state, batch, key):
    key = jax.random.fold_in(key, state.step)
    images, partners, lam = augment(batch, key)
    epoch = state.step // steps_per_epoch
    passed = epoch.astype(jnp.result_type(float))
    context = objectives.Context(
      batch.labels, batch.where, epoch, passed * steps_per_epoch / total_steps
    )

    def mean_loss(params):
      output, updates = model.apply(
        state.variables | {"params": params},
        images,
        train=train,
        mask=batch.where,
        mutable=["batch_stats"],
      )
      per_example = _over_labels(
        lambda labels: loss(output, labels, context), batch, partners, lam
      )
      if config.loss.feature_length_penalty:
        per_example += (
          config.loss.feature_length_penalty
          * losses.feature_length_penalty(output.features)
        )
      value = objectives.masked_mean(per_example, batch.where)
      return value, (output, updates.get("batch_stats", {}))

    (value, (output, batch_stats)), gradients = jax.value_and_grad(
      mean_loss, has_aux=True
    )(state.params)
    updates, opt_state = optimizer.update(
      gradients, state.opt_state, state.params
    )
    params = optax.apply_updates(state.params, updates)

    def accuracy():
      predicted = jnp.argmax(output.logits, axis=-1)
      right = _over_labels(
        lambda labels: (predicted == labels).astype(value.dtype),
        batch,
        partners,
        lam,
      )
      return objectives.masked_mean(right, batch.where)

    # A conditional, so that dot regression builds logits on these steps only.
    metrics = StepMetrics(
      value,
      jax.lax.cond(
        state.step % config.eval.train_accuracy_steps == 0,
        accuracy,
        lambda: jnp.full((), jnp.nan, value.dtype),
      ),
    )
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
