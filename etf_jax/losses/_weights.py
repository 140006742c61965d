# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Weights of the classes, to multiply any per-example loss with.

In use::

    weights = losses.class_balanced_weights(counts, beta=0.9999)
    loss = (weights[labels] * losses.focal(logits, labels)).mean()
"""

import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from etf_jax import arrays


def class_balanced_weights(
  class_counts: ArrayLike, *, beta: float
) -> jax.Array:
  r"""Compute class weights from the effective number of samples.

  .. math::
    \omega_k = \frac{K \, \alpha_k}{\sum_j \alpha_j} , \qquad
    \alpha_k = \frac{1 - \beta}{1 - \beta^{n_k}}

  The weights sum to the number of classes. At :math:`\beta = 0` they are all 1;
  as :math:`\beta` tends to 1 they tend to inverse frequencies.

  Args:
    class_counts: training samples per class, ``[num_classes]``, > 0.
    beta: a Python number in ``[0, 1)``; 0.9999 is usual.

  Returns:
    The weights, ``[num_classes]``; float64 if the counts are, float32 if they
    are another float, else JAX's default float.

  Raises:
    ValueError: if `beta` is out of range, the counts are not one-dimensional
      or, outside ``jit``, a count is not positive.

  Examples:
    >>> import jax.numpy as jnp
    >>> from etf_jax import losses
    >>> jnp.set_printoptions(precision=4)
    >>> print(losses.class_balanced_weights([2, 1], beta=0.5))
    [0.8 1.2]

  References:
    Cui et al., `Class-Balanced Loss Based on Effective Number of Samples
    <https://arxiv.org/abs/1901.05555>`_, 2019
  """
  if not 0 <= beta < 1:
    raise ValueError(f"beta must lie in [0, 1), got {beta:g}")
  counts = arrays.check_counts(class_counts)
  counts = counts.astype(arrays.result_dtype(counts))
  # 1 - beta cancels; expm1 keeps the digits that 1 - beta^n would lose.
  log_beta = math.log(beta) if beta > 0 else -math.inf
  weights = -1 / jnp.expm1(counts * log_beta)
  return weights / jnp.mean(weights)


def inverse_frequency_weights(class_counts: ArrayLike) -> jax.Array:
  r"""Compute class weights that give every class the same total.

  .. math::
    \omega_k = \frac{1}{K n_k}

  Summed over the training samples they give 1. For a mean over samples
  multiply them by :math:`N = \sum_k n_k`.

  Args:
    class_counts: training samples per class, ``[num_classes]``, > 0.

  Returns:
    The weights, ``[num_classes]``; float64 if the counts are, float32 if they
    are another float, else JAX's default float.

  Raises:
    ValueError: if the counts are not one-dimensional or, outside ``jit``, a
      count is not positive.

  Examples:
    >>> from etf_jax import losses
    >>> print(losses.inverse_frequency_weights([5, 1]))
    [0.1 0.5]

  References:
    Yang et al., `Inducing Neural Collapse in Imbalanced Learning
    <https://arxiv.org/abs/2203.09081>`_, 2022, where it weights the cross
    entropy of the baseline CE*
  """
  counts = arrays.check_counts(class_counts)
  counts = counts.astype(arrays.result_dtype(counts))
  return 1 / (counts.size * counts)


def deferred_weights(
  weights: ArrayLike, *, step: ArrayLike, start: ArrayLike
) -> jax.Array:
  r"""Return class weights that take effect late in training.

  .. math::
    \omega_k(t) = \begin{cases} 1 & t < t_0 \\ \omega_k & t \ge t_0 \end{cases}

  With `ldam` and `class_balanced_weights` this is LDAM-DRW.

  Args:
    weights: floating, the class weights of the second phase, ``[num_classes]``.
    step: the scalar :math:`t`, in steps, epochs or any unit.
    start: the scalar :math:`t_0`, in the same unit.

  Returns:
    The weights at `step`, of the shape of `weights`; float64 if `weights` are,
    else float32.

  Raises:
    ValueError: if `weights` are not floating.

  Examples:
    >>> import jax.numpy as jnp
    >>> from etf_jax import losses
    >>> weights = jnp.array([0.5, 1.5])
    >>> print(losses.deferred_weights(weights, step=159, start=160))
    [1. 1.]
    >>> print(losses.deferred_weights(weights, step=160, start=160))
    [0.5 1.5]

  References:
    Cao et al., `Learning Imbalanced Datasets with Label-Distribution-Aware
    Margin Loss <https://arxiv.org/abs/1906.07413>`_, 2019
  """
  weights = jnp.asarray(weights)
  if not jnp.issubdtype(weights.dtype, jnp.floating):
    raise ValueError(f"weights must be floating, got {weights.dtype}")
  weights = weights.astype(arrays.result_dtype(weights))
  return jnp.where(jnp.asarray(step) < start, 1, weights)
