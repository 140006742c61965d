# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The train step: pure in (state, batch, key).

It can be jitted over any mesh, scanned over steps and vmapped over seeds; the
loss, the class lengths and every statistic are those of the global batch.

With `accumulate_steps` > 1 the batch is augmented and mixed as a whole and then
computed in that many parts, whose gradients are added up. Loss, class lengths
and loss weights remain those of the whole batch. BatchNorm normalizes each part
by itself; the running statistics are updated once a step, with the mean over
the parts, weighted by their examples. A part takes examples from all over the
batch, so that each stays on its device and padding is shared out. It takes
whole groups of `bn_group_size`: the number of parts then changes rounding only.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from ml_collections import ConfigDict
import numpy as np
import optax

from etf_jax import losses
from etf_jax.data.augment import Mixed
from etf_jax.data.feeds.resident import Batch
from etf_jax.models import Classifier, Output
from etf_jax.training import methods
from etf_jax.training.parallel import sharding
from etf_jax.training.state import AveragedState, TrainState

TrainStep = Callable[
  [TrainState, Batch, jax.Array], tuple[TrainState, "StepMetrics"]
]


class StepMetrics(NamedTuple):
  """Scalars of one step; `accuracy` is NaN on the steps that skip it."""

  loss: jax.Array | np.ndarray
  accuracy: jax.Array | np.ndarray


class Mixture(NamedTuple):
  """An augmented batch, whose images may be mixed with others of it.

  Attributes:
    images: floats `[B, H, W, C]`.
    labels: int32 `[B]`.
    partner_labels: int32 `[B]`, of the images mixed in; None: no mixing.
    share: of the first label in a mixed image, a scalar in [0, 1].
    where: bool `[B]`, False for padding; None: all count.
    context: what the loss depends on besides.
    weights: floats `[B]` of the examples' losses; None: all 1.
    dropout_key: random numbers of the model's Dropout.
  """

  images: jax.Array
  labels: jax.Array
  partner_labels: jax.Array | None
  share: jax.Array
  where: jax.Array | None
  context: methods.Context
  weights: jax.Array | None
  dropout_key: jax.Array


# Takes the rows of a part from an array of the whole batch.
_Rows = Callable[[jax.Array | None], jax.Array | None]


class _Static(NamedTuple):
  """The constants of a train step."""

  config: ConfigDict
  model: Classifier
  loss: methods.Loss
  trains_backbone: bool
  mesh: Mesh | None
  freeze_steps: int


def make_train_step(
  config: ConfigDict,
  model: Classifier,
  optimizer: optax.GradientTransformation,
  class_counts: np.ndarray,
  augment: Callable[[Batch, jax.Array], Mixed],
  steps_per_epoch: int,
  total_steps: int,
  mesh: Mesh | None = None,
  *,
  freeze_steps: int = 0,
) -> TrainStep:
  """Make `train_step(state, batch, key) -> (state, metrics)`.

  Args:
    config: resolved; `method`, `loss`, `optimizer`, `eval`, `ema_decay`,
      `bn_group_size` and `accumulate_steps` are read.
    model: see `models.create_model`.
    optimizer: see `optimizer.create_optimizer`.
    class_counts: `[K]` training images of each class.
    augment: see `augment.training`.
    steps_per_epoch: with `total_steps`, tells the loss the epoch.
    total_steps: steps of the run.
    mesh: of the state and the batches; None: one device.
    freeze_steps: first steps, which train the head alone.

  Returns:
    The step. Its key is the run's; the step number is folded in. Its batches
    have a multiple of `sharding.row_multiple` rows.
  """
  static = _Static(
    config,
    model,
    methods.create_loss(config, class_counts),
    # Only with the backbone do the statistics follow the batches.
    methods.trains_backbone(config),
    mesh,
    freeze_steps,
  )

  def train_step(state, batch, key):
    key = jax.random.fold_in(key, state.step)
    images, partners, share = augment(batch, key)
    epoch = state.step // steps_per_epoch
    passed = epoch.astype(jnp.result_type(float))
    context = methods.Context(
      batch.labels, batch.where, epoch, passed * steps_per_epoch / total_steps
    )
    mixed_in = None if partners is None else batch.labels[partners]
    whole = Mixture(
      images,
      batch.labels,
      mixed_in,
      share,
      batch.where,
      context,
      batch.weights,
      jax.random.fold_in(key, 1),
    )
    metrics, batch_stats, gradients = accumulate(static, state, whole)
    state = apply_update(
      optimizer, state, gradients, batch_stats, config.ema_decay
    )
    return state, metrics

  return train_step


def forward(
  static: _Static, state: TrainState, params: Any, batch: Mixture, rows: _Rows
) -> tuple[jax.Array, tuple[Output, dict]]:
  """Compute the loss of each example of a part of a batch.

  Args:
    static: constants of the step.
    state: before the step; lends all variables but `params`.
    params: parameters, to be differentiated.
    batch: the whole batch, which decides class lengths and weights.
    rows: takes the part's rows from an array of the batch.

  Returns:
    Floats `[b]`, and the model's output beside its running statistics.
  """
  config, in_parts = static.config, static.config.accumulate_steps > 1
  gather, where = sharding.for_compute(static.mesh), rows(batch.where)
  images = rows(batch.images)

  def apply(params, train_backbone):
    return static.model.apply(
      gather(state.variables | {"params": params}),
      images,
      train=static.trains_backbone,
      train_backbone=train_backbone,
      mask=_some(where) if in_parts else where,
      mutable=["batch_stats"],
      rngs={"dropout": batch.dropout_key},
    )

  def apply_frozen(params):
    frozen = jax.lax.stop_gradient(params.get("backbone", {}))
    return apply(params | {"backbone": frozen}, train_backbone=False)

  def apply_all(params):
    return apply(params, train_backbone=static.trains_backbone)

  if static.freeze_steps:
    output, updates = jax.lax.cond(
      state.step < static.freeze_steps, apply_frozen, apply_all, params
    )
  else:
    output, updates = apply_all(params)

  def loss_of(labels):
    context = batch.context
    if in_parts:
      context = context._replace(part_of=labels, part_where=where)
    return static.loss(output, rows(labels), context)

  per_example = _over_labels(loss_of, batch)
  if config.loss.feature_length_penalty:
    per_example += (
      config.loss.feature_length_penalty
      * losses.feature_length_penalty(output.features)
    )
  if batch.weights is not None:
    per_example *= rows(batch.weights)
  return per_example, (output, updates.get("batch_stats", {}))


def accumulate(
  static: _Static, state: TrainState, batch: Mixture
) -> tuple[StepMetrics, dict, Any]:
  """Add up the metrics, running statistics and gradients of a batch's parts.

  Args:
    static: constants of the step.
    state: before the step.
    batch: the whole batch.
  """
  config = static.config
  parts, group = config.accumulate_steps, config.bn_group_size or 1
  if parts == 1:
    return _terms(static, state, batch, lambda array: array)
  spread = sharding.spreads_batch(static.mesh)

  def terms_of(number):
    def rows(array):
      if array is None:
        return None
      return spread(_rows(array, number, parts, group))

    metrics, batch_stats, gradients = _terms(static, state, batch, rows)
    # Each part began with the old statistics: their mean is one update.
    ones = jnp.ones(batch.labels.shape[0] // parts, metrics.loss.dtype)
    weight = _share_of_mean(ones, rows(batch.where), batch)
    batch_stats = jax.tree.map(
      lambda x: weight.astype(x.dtype) * x, batch_stats
    )
    return metrics, batch_stats, gradients

  unroll = sharding.unrolls(static.mesh)
  metrics, batch_stats, gradients = _sum(terms_of, parts, unroll)
  if not static.trains_backbone:
    batch_stats = state.batch_stats
  return metrics, batch_stats, gradients


def apply_update(
  optimizer: optax.GradientTransformation,
  state: TrainState,
  gradients: Any,
  batch_stats: dict,
  ema_decay: float,
) -> TrainState:
  """Make the state after a step from its gradients and running statistics."""
  updates, opt_state = optimizer.update(
    gradients, state.opt_state, state.params
  )
  params = optax.apply_updates(state.params, updates)
  if isinstance(state, AveragedState):
    state = state.average(params, batch_stats, ema_decay)
  return state.replace(
    step=state.step + 1,
    params=params,
    batch_stats=batch_stats,
    opt_state=opt_state,
  )


def _terms(static, state, batch, rows):
  """Compute a part's share of the metrics and gradients, and its statistics."""
  where = rows(batch.where)

  def mean_loss(params):
    per_example, aux = forward(static, state, params, batch, rows)
    return _share_of_mean(per_example, where, batch), aux

  (loss, (output, batch_stats)), gradients = jax.value_and_grad(
    mean_loss, has_aux=True
  )(state.params)

  def correct():
    predicted = jnp.argmax(output.logits, axis=-1)
    return _over_labels(
      lambda labels: (predicted == rows(labels)).astype(loss.dtype), batch
    )

  due = state.step % static.config.eval.train_accuracy_steps == 0
  skipped = jnp.full(output.features.shape[:1], jnp.nan, loss.dtype)
  if _logits_are_cheap(output, state.params):
    per_example = jnp.where(due, correct(), skipped)
  else:
    per_example = jax.lax.cond(due, correct, lambda: skipped)
  # The mean lies behind it, where devices sum it up together with the loss.
  accuracy = _share_of_mean(per_example, where, batch)
  return StepMetrics(loss, accuracy), batch_stats, gradients


def _logits_are_cheap(output: Output, params: Any) -> bool:
  """Compare the weights behind the logits with those of the backbone.

  A step multiplies each weight of the backbone at least three times an example,
  those behind the logits once. A conditional would save that in most steps of
  dot regression, and make the host of a GPU wait for the device.
  """
  sizes = jax.tree.map(jnp.size, params.get("backbone", {}))
  return output.weights.size <= sum(jax.tree.leaves(sizes))


def _over_labels(function, batch):
  """Mix a function of a batch's labels over both labels of a mixed image."""
  if batch.partner_labels is None:
    return function(batch.labels)
  return losses.mixup(function, batch.labels, batch.partner_labels, batch.share)


def _share_of_mean(values, where, batch):
  """Return what the values of some rows add to the mean over the batch."""
  if where is None:
    return jnp.sum(values) / batch.labels.shape[0]
  number = jnp.sum(batch.where, dtype=values.dtype)
  return jnp.sum(jnp.where(where, values, 0)) / number


def _rows(array, number, parts, group):
  """Take, of every `parts` groups of rows, the one of this number."""
  rest = array.shape[1:]
  groups = array.reshape(-1, parts, group, *rest)
  chosen = jax.lax.dynamic_index_in_dim(groups, number, 1, keepdims=False)
  return chosen.reshape(-1, *rest)


def _some(where):
  """Return a mask for BatchNorm, which cannot normalize a part of no example.

  There it sees the padding, whose terms are zero whatever it makes of them.
  """
  return None if where is None else where | ~jnp.any(where)


def _sum(function, parts, unroll):
  """Add up function(0) .. function(parts - 1), trees of arrays."""
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
