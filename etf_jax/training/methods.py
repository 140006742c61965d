# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Methods by name: the head, the loss and the sampling of each. One table.

loss = create_loss(config, class_counts)
per_example = loss(output, labels, Context(batch_labels, where, epoch))
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from ml_collections import ConfigDict
import optax

from etf_jax import etf, losses
from etf_jax.models import Output


class Context(NamedTuple):
  """Inputs of a loss besides the model's output and the labels.

  Attributes:
    labels: `[B]`, first labels of the batch, also where images are mixed.
    where: `[B]` booleans, False for padding; None: all count.
    epoch: int32 scalar, epochs completed.
    progress: float scalar, the same as a fraction of the run's epochs; only
      deferred re-weighting asks for it.
    part_of: `[B]` labels; where a batch is computed in parts, those of which
      the loss is given some. None: it is given all of them.
    part_where: `where` for the given ones.
  """

  labels: jax.Array
  where: jax.Array | None
  epoch: jax.Array
  progress: jax.Array | None = None
  part_of: jax.Array | None = None
  part_where: jax.Array | None = None


Loss = Callable[[Output, jax.Array, Context], jax.Array]


class Method(NamedTuple):
  """The head, loss and training that a name in `config.method` stands for.

  Attributes:
    head: the head's name, unless the config names another.
    normalize: BatchNorm and unit length before the head, unless configured.
    create_loss: (`config.loss`, class counts) -> loss.
    projector: width before the head, unless configured; see `ETFHead`.
    only_head: True if the method works with `head` only.
    smooths: True if the loss takes `label_smoothing`.
    weight_reduction: the default of the config's.
    trains: all | classifier | nothing; but for `all`, the model comes from the
      run in `config.init_from`.
    sampler: the default of the config's.
    length: of the prototypes of a frame, unless configured.
  """

  head: str
  normalize: bool
  create_loss: Callable[[ConfigDict, ArrayLike], Loss]
  projector: int = 0
  only_head: bool = False
  smooths: bool = False
  weight_reduction: str = "batch_size"
  trains: str = "all"
  sampler: str = "instance"
  length: float | None = None


def masked_mean(values: jax.Array, where: jax.Array | None) -> jax.Array:
  """Average `[B]` values over the examples that count."""
  if where is None:
    return jnp.mean(values)
  return jnp.sum(jnp.where(where, values, 0)) / jnp.sum(
    where, dtype=values.dtype
  )


def _cross_entropy(settings: ConfigDict, class_counts: ArrayLike) -> Loss:
  smoothing = settings.label_smoothing

  def loss(output, labels, context):
    logits = output.logits
    if not smoothing:
      return optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    targets = jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    return optax.softmax_cross_entropy(
      logits, optax.smooth_labels(targets, smoothing)
    )

  return loss


def _weighted_cross_entropy(settings, class_counts) -> Loss:
  """Make CE*: weights N / (K n_k), whose mean over the training set is 1."""
  weights = losses.inverse_frequency_weights(class_counts)
  weights *= jnp.sum(jnp.asarray(class_counts, weights.dtype))
  return _weighted(settings, _cross_entropy(settings, class_counts), weights)


def _class_balanced(settings, class_counts) -> Loss:
  weights = _effective_weights(settings, class_counts)
  return _weighted(settings, _cross_entropy(settings, class_counts), weights)


def _weighted(settings, loss, weights) -> Loss:
  return lambda output, labels, context: _weigh(
    settings, loss(output, labels, context), weights, labels, context
  )


def _ldam_drw(settings, class_counts) -> Loss:
  """Make LDAM, with class-balanced weights from `drw_start` on."""
  weights = _effective_weights(settings, class_counts)
  # A fraction of whole epochs must not be missed by a rounding error.
  start = settings.drw_start - 1e-6

  def loss(output, labels, context):
    values = losses.ldam(
      output.logits,
      labels,
      class_counts=class_counts,
      max_margin=settings.ldam_max_margin,
      scale=settings.ldam_scale,
    )
    now = losses.deferred_weights(weights, step=context.progress, start=start)
    return _weigh(settings, values, now, labels, context)

  return loss


def _effective_weights(settings, class_counts):
  return losses.class_balanced_weights(
    class_counts, beta=settings.class_balanced_beta
  )


def _weigh(settings, values, weights, labels, context):
  """Multiply per-example values by the weights of their classes."""
  weights = weights.astype(values.dtype)
  weight = weights[labels]
  if settings.weight_reduction == "weight_sum":
    whole = weight if context.part_of is None else weights[context.part_of]
    weight /= masked_mean(whole, context.where)
  return weight * values


def _logit_adjusted(settings, class_counts) -> Loss:
  return lambda output, labels, context: losses.logit_adjusted(
    output.logits,
    labels,
    class_counts=class_counts,
    temperature=settings.temperature,
  )


def _balanced_softmax(settings, class_counts) -> Loss:
  return lambda output, labels, context: losses.balanced_softmax(
    output.logits, labels, class_counts=class_counts
  )


def _focal(settings, class_counts) -> Loss:
  return lambda output, labels, context: losses.focal(
    output.logits, labels, gamma=settings.focal_gamma
  )


def hinge_tau(settings: ConfigDict, class_counts: ArrayLike) -> jax.Array:
  """Return the half angles of the classes' cones, `[K]`, in radians.

  Args:
    settings: `config.loss`.
    class_counts: `[K]` training images of each class.
  """
  return jnp.where(
    jnp.asarray(class_counts) <= settings.hinge_minor_count,
    settings.hinge_tau_minor,
    settings.hinge_tau_major,
  )


def _hinge(settings, class_counts) -> Loss:
  tau_plus = hinge_tau(settings, class_counts)
  return lambda output, labels, context: (
    losses.hinge_cross_entropy_with_integer_labels(
      output.features,
      labels,
      output.weights,
      tau_plus=tau_plus,
      tau_minus=settings.hinge_tau_minus,
      label_smoothing=settings.label_smoothing,
    )
  )


def _dot_regression(settings, class_counts) -> Loss:
  def lengths(context):
    match settings.class_lengths:
      case "batch":
        return etf.batch_class_lengths(
          context.labels, len(class_counts), where=context.where
        )
      case "global":
        return etf.class_lengths(class_counts)
      case "none":
        return None

  def loss(output, labels, context):
    class_lengths, where = lengths(context), context.where
    if context.part_of is not None:
      where = context.part_where
    if class_lengths is not None:
      class_lengths = class_lengths.astype(output.features.dtype)
    return losses.dot_regression_with_integer_labels(
      output.features,
      labels,
      output.weights,
      class_lengths=class_lengths,
      feature_length=settings.feature_length,
      scaling=settings.scaling,
      where=where,
    )

  return loss


METHODS = {
  "ce": Method("linear", False, _cross_entropy, smooths=True),
  "ce_weighted": Method("linear", False, _weighted_cross_entropy, smooths=True),
  "ce_frozen": Method("frozen_linear", False, _cross_entropy, smooths=True),
  "etf_ce": Method("etf", True, _cross_entropy, smooths=True),
  "etf_dr": Method("etf", True, _dot_regression, only_head=True),
  "etf_hinge": Method(
    "etf", False, _hinge, projector=-1, only_head=True, smooths=True
  ),
  # At length 10 the softmax of 100 collapsed classes reaches .995.
  "etf_logit_adjusted": Method(
    "etf", True, _logit_adjusted, only_head=True, length=10.0
  ),
  "ldam_drw": Method("cosine", False, _ldam_drw, weight_reduction="weight_sum"),
  "logit_adjusted": Method("linear", False, _logit_adjusted),
  "balanced_softmax": Method("linear", False, _balanced_softmax),
  "focal": Method("linear", False, _focal),
  "class_balanced": Method("linear", False, _class_balanced, smooths=True),
  "crt": Method(
    "linear",
    False,
    _cross_entropy,
    only_head=True,
    smooths=True,
    trains="classifier",
    sampler="class_balanced",
  ),
  "tau_norm": Method(
    "linear",
    False,
    _cross_entropy,
    only_head=True,
    smooths=True,
    trains="nothing",
  ),
}


def create_loss(config: ConfigDict, class_counts: ArrayLike) -> Loss:
  """Make the loss of a resolved config: per example, unreduced.

  Args:
    config: resolved.
    class_counts: `[K]` training images of each class.
  """
  settings = ConfigDict(config.loss)
  if settings.feature_length is None and config.head.l2_normalize:
    settings.feature_length = 1.0
  return METHODS[config.method].create_loss(settings, class_counts)


def trains_backbone(config: ConfigDict) -> bool:
  """Return True if a run of a resolved config trains more than the head."""
  factor = config.optimizer.backbone_learning_rate_factor
  return METHODS[config.method].trains == "all" and factor > 0
