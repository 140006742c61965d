# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Checks, masks and cross entropy of the losses on logits."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from etf_jax import arrays


class Examples(NamedTuple):
  """Logits and labels that are safe to compute with."""

  logits: jax.Array  # [..., K], at least float32, 0 where masked
  is_label: jax.Array  # [..., K], True for the class of the example
  valid: jax.Array  # [...], False where the label was out of range
  mask: jax.Array | None  # [...]


def examples(
  logits: ArrayLike,
  labels: ArrayLike,
  where: ArrayLike | None,
  *others: jax.Array,
) -> Examples:
  """Check logits and labels; `others` may widen the dtype."""
  logits = jnp.asarray(logits)
  check_logits(logits)
  labels, valid, mask = arrays.check_labels(
    labels, logits.shape[-1], logits.shape[:-1], where
  )
  logits = logits.astype(arrays.result_dtype(logits, *others))
  if mask is not None:
    # Before any arithmetic, or NaN would come back through the gradient.
    logits = jnp.where(mask[..., None], logits, 0)
  return Examples(logits, arrays.label_mask(labels, logits), valid, mask)


def counts(class_counts: ArrayLike, logits: ArrayLike) -> jax.Array:
  """Check the counts of the classes of logits, of which some may be absent."""
  logits = jnp.asarray(logits)
  check_logits(logits)
  return arrays.check_counts(
    class_counts, logits.shape[-1], logits, allow_absent=True
  )


def check_logits(logits: jax.Array) -> None:
  """Raise ValueError unless `logits` are floating ``[..., K]``."""
  if logits.ndim == 0 or not jnp.issubdtype(logits.dtype, jnp.floating):
    raise ValueError(
      "logits must be floating with shape [..., num_classes], got "
      f"{logits.dtype} of shape {logits.shape}"
    )


def along_classes(x: jax.Array, ndim: int) -> jax.Array:
  """Give a `[K]` array the rank of ``[..., K]`` logits."""
  return x.reshape((1,) * (ndim - 1) + x.shape)


def pick(x: jax.Array, is_label: jax.Array) -> jax.Array:
  """Return the entry of the own class, ``[..., K] -> [...]``."""
  return jnp.sum(jnp.where(is_label, x, 0), axis=-1)


def cross_entropy(
  logits: jax.Array, is_label: jax.Array, label_smoothing: float = 0.0
) -> jax.Array:
  """Softmax cross entropy, ``[..., K] -> [...]``."""
  wanted = pick(logits, is_label)
  if label_smoothing:
    mean = jnp.mean(logits, axis=-1)
    wanted = (1 - label_smoothing) * wanted + label_smoothing * mean
  return jax.nn.logsumexp(logits, axis=-1) - wanted
