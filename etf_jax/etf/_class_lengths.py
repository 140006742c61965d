# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Lengths of the targets, by the number of samples of the classes."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
import numpy as np

from etf_jax import arrays


def class_lengths(class_counts: ArrayLike) -> jax.Array:
  r"""Compute the length of each class's target from the data set's counts.

  .. math::
    a_k = \sqrt{\gamma / n_k}, \qquad
    \gamma = \frac{\sum_j n_j}{|\{ j : n_j > 0 \}|}

  and 1 for classes without samples, so that the mean over samples of
  :math:`a_y^2` is 1 and every present class adds the same to it.

  Args:
    class_counts: samples per class, ``[num_classes]``, finite, >= 0.

  Returns:
    The lengths, ``[num_classes]``; float64 if the counts are, float32 if they
    are another float, else JAX's default float. Under ``jit`` a negative or
    non-finite count makes all of them NaN.

  Raises:
    ValueError: if the counts are not one-dimensional or, outside ``jit``, one
      is negative or not finite.

  Examples:
    >>> import jax.numpy as jnp
    >>> from etf_jax.etf import class_lengths
    >>> jnp.set_printoptions(precision=4)
    >>> print(class_lengths([8, 2, 2, 0]))
    [0.7071 1.4142 1.4142 1.    ]

  References:
    The published code of Yang et al., `Inducing Neural Collapse in Imbalanced
    Learning <https://arxiv.org/abs/2203.09081>`_, 2022
  """
  return _lengths(arrays.check_counts(class_counts, allow_absent=True))


def batch_class_lengths(
  labels: ArrayLike,
  num_classes: int,
  *,
  where: ArrayLike | None = None,
  axis_name: str | tuple[str, ...] | None = None,
) -> jax.Array:
  r"""Compute the length of each class's target from one batch, on the device.

  `class_lengths` of the counts of the classes in the batch:

  .. math::
    a_k = \sqrt{\gamma / n_k}, \qquad
    \gamma = \frac{B}{|\{ j : n_j > 0 \}|}

  and 1 for classes the batch does not hold. All axes of `labels` are batch.
  In a sharded ``jit`` the counts are those of the global batch, whatever the
  number of devices. Inside `jax.shard_map` and `jax.vmap` a function sees one
  shard only: with `axis_name` the counts of all of them are added up.

  Args:
    labels: integers of any shape in ``[0, num_classes)``.
    num_classes: K >= 1.
    where: boolean of the labels' shape, the examples that count.
    axis_name: the mapped axis, or axes, over which a batch is spread.

  Returns:
    The lengths, ``[num_classes]``, in JAX's default float. Under ``jit`` an
    out-of-range label that counts makes all of them NaN.

  Raises:
    ValueError: if the labels are not integers, `where` does not match, or,
      outside ``jit``, a label that counts is out of range.

  Examples:
    >>> import jax.numpy as jnp
    >>> from etf_jax.etf import batch_class_lengths
    >>> jnp.set_printoptions(precision=4)
    >>> print(batch_class_lengths(jnp.array([0, 0, 0, 1]), 3))
    [0.8165 1.4142 1.    ]

  References:
    The published code of Yang et al., `Inducing Neural Collapse in Imbalanced
    Learning <https://arxiv.org/abs/2203.09081>`_, 2022
  """
  if num_classes < 1:
    raise ValueError(f"num_classes must be at least 1, got {num_classes}")
  labels, valid, mask = arrays.check_labels(
    labels, num_classes, np.shape(labels), where
  )
  counted = jnp.ones(labels.shape, jnp.int32) if mask is None else mask
  # Labels out of range are counted behind the classes, so that devices add up
  # one array, and not another for the check.
  labels = jnp.where(valid, labels, num_classes)
  counts = arrays.count(labels, counted.astype(jnp.int32), num_classes + 1)
  if axis_name is not None:
    counts = jax.lax.psum(counts, axis_name)
  lengths = _lengths(counts[:-1].astype(jnp.zeros(()).dtype))
  return jnp.where(counts[-1] == 0, lengths, jnp.nan)


def _lengths(counts: jax.Array) -> jax.Array:
  present = counts != 0
  classes = jnp.maximum(jnp.sum(present.astype(counts.dtype)), 1)
  gamma = jnp.sum(counts) / classes
  return jnp.where(present, jnp.sqrt(gamma / jnp.where(present, counts, 1)), 1)
