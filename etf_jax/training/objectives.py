# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Method names: which head each takes, and its loss. One table.

config = objectives.resolve(config, num_classes=10)
loss = objectives.create_loss(config, class_counts)
per_example = loss(output, labels, Context(batch_labels, where, epoch))
"""

from collections.abc import Callable
import difflib
from typing import NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np
import optax

from etf_jax import etf, losses
from etf_jax.errors import InputError
from etf_jax.models import Output


class Context(NamedTuple):
  """What a loss may depend on besides the model's output and the labels.

  Attributes:
    labels: `[B]`, the batch's own labels (mixup also asks for its partners').
    where: `[B]` booleans, False for padding; None: all count.
    epoch: int32 scalar, epochs completed.
  """

  labels: jax.Array
  where: jax.Array | None
  epoch: jax.Array


Loss = Callable[[Output, jax.Array, Context], jax.Array]


def _cross_entropy(config: ConfigDict, class_counts: np.ndarray) -> Loss:
  del config, class_counts

  def loss(output, labels, context):
    del context
    return optax.softmax_cross_entropy_with_integer_labels(
      output.logits, labels
    )

  return loss


def _weighted_cross_entropy(config, class_counts) -> Loss:
  """CE*: weights N / (K n_k), whose mean over the training set is 1."""
  total = float(np.sum(class_counts))
  weights = total * losses.inverse_frequency_weights(class_counts)

  def loss(output, labels, context):
    weight = weights.astype(output.features.dtype)[labels]
    if config.loss.weight_reduction == "weight_sum":
      weight /= masked_mean(weight, context.where)
    return weight * optax.softmax_cross_entropy_with_integer_labels(
      output.logits, labels
    )

  return loss


def _dot_regression(config, class_counts) -> Loss:
  num_classes = len(class_counts)
  feature_length = config.loss.feature_length
  if feature_length is None and config.head.l2_normalize:
    feature_length = 1.0

  def lengths(context):
    match config.loss.class_lengths:
      case "batch":
        return etf.batch_class_lengths(
          context.labels, num_classes, where=context.where
        )
      case "global":
        return etf.class_lengths(class_counts)
      case "none":
        return None

  def loss(output, labels, context):
    class_lengths = lengths(context)
    if class_lengths is not None:
      class_lengths = class_lengths.astype(output.features.dtype)
    return losses.dot_regression_with_integer_labels(
      output.features,
      labels,
      output.weights,
      class_lengths=class_lengths,
      feature_length=feature_length,
      scaling=config.loss.scaling,
      where=context.where,
    )

  return loss


class Method(NamedTuple):
  """A head by name, its normalisations, and a loss of (config, counts)."""

  head: str
  normalize: bool
  create_loss: Callable[[ConfigDict, np.ndarray], Loss]


METHODS = {
  "ce": Method("linear", False, _cross_entropy),
  "ce_weighted": Method("linear", False, _weighted_cross_entropy),
  "ce_frozen": Method("frozen_linear", False, _cross_entropy),
  "etf_ce": Method("etf", True, _cross_entropy),
  "etf_dr": Method("etf", True, _dot_regression),
}

_CHOICES = {
  "method": tuple(METHODS),
  "dtype": ("bfloat16", "float32", "float64"),
  "head.name": ("etf", "linear", "frozen_linear"),
  "loss.class_lengths": ("batch", "global", "none"),
  "loss.scaling": ("paper", "class_balanced"),
  "loss.weight_reduction": ("batch_size", "weight_sum"),
  "schedule.name": ("step", "cosine", "constant"),
  "optimizer.decayed": ("all", "kernels"),
}


def check_choices(config: ConfigDict) -> None:
  """Refuses a name that is not one of the known ones, with the nearest."""
  for field, known in _CHOICES.items():
    value = config
    for part in field.split("."):
      value = value[part]
    if value is not None and value not in known:
      near = difflib.get_close_matches(str(value), known, 1, 0)[0]
      raise InputError(
        f"config.{field}={value!r} is unknown; did you mean {near!r}?"
        f" (known: {', '.join(known)})"
      )


def resolve(config: ConfigDict, num_classes: int) -> ConfigDict:
  """A copy of the config in which nothing is left to the method or the data.

  Args:
    config: as configs/base.py describes it.
    num_classes: K of the data set.

  Raises:
    InputError: an unknown name, or a head that cannot serve the method.
  """
  check_choices(config)
  config = config.copy_and_resolve_references()
  method = METHODS[config.method]
  head = config.head
  head.name = head.name or method.head
  for field in ("batch_norm", "l2_normalize"):
    if head[field] is None:
      head[field] = method.normalize
  if config.method == "etf_dr" and head.name != "etf":
    raise InputError(
      f"config.method='etf_dr' needs config.head.name='etf', not {head.name!r}"
    )
  if config.model.num_classes is None:
    config.model.num_classes = num_classes
  if config.model.num_classes < num_classes:
    raise InputError(
      f"config.model.num_classes={config.model.num_classes} is less than the"
      f" {num_classes} classes of {config.data.name}"
    )
  return config


def create_loss(config: ConfigDict, class_counts: np.ndarray) -> Loss:
  """The loss of a resolved config: per example, unreduced.

  Args:
    config: resolved.
    class_counts: `[K]` training images of each class.
  """
  return METHODS[config.method].create_loss(config, class_counts)


def masked_mean(values: jax.Array, where: jax.Array | None) -> jax.Array:
  """The mean of `[B]` values over the examples that count."""
  if where is None:
    return jnp.mean(values)
  return jnp.sum(jnp.where(where, values, 0)) / jnp.sum(
    where, dtype=values.dtype
  )
