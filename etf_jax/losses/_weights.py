# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Weights of the classes, to multiply any per-example loss with.

In use::

    weights = losses.class_balanced_weights(counts, beta=0.9999)
    values = losses.focal(logits, labels)
    loss = losses.weighted_mean(values, weights[labels])
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
import numpy as np

from etf_jax import arrays


def class_balanced_weights(
  class_counts: ArrayLike, *, beta: ArrayLike
) -> jax.Array:
  r"""Compute class weights from the effective number of samples.

  .. math::
    \omega_k = \frac{K \, \alpha_k}{\sum_j \alpha_j} , \qquad
    \alpha_k = \frac{1 - \beta}{1 - \beta^{n_k}}

  The weights sum to K, the classes present. All are 1 at :math:`\beta = 0`;
  as :math:`\beta` tends to 1 they tend to inverse frequencies.

  Args:
    class_counts: training samples per class, ``[num_classes]``, finite, >= 0.
      A class of 0 is absent: it has weight 0, and no part in K.
    beta: a scalar in ``[0, 1)``; 0.9999 is usual. As a Python number it keeps
      the digits of 1 - beta that float32 has not.

  Returns:
    The weights, ``[num_classes]``; float64 if the counts are, float32 if they
    are another float, else JAX's default float.

  Raises:
    ValueError: if `beta` is out of range, the counts are not one-dimensional
      or, outside ``jit``, a count is negative or not finite.

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
  arrays.check_range("beta", beta, 0, 1, [()])
  counts = arrays.check_counts(class_counts, allow_absent=True)
  present = counts != 0
  # 1 - beta cancels; expm1 keeps the digits that 1 - beta^n would lose.
  values = arrays.known(beta)
  if values is not None:
    if values == 1:
      raise ValueError("beta must lie in [0, 1), got 1")
    with np.errstate(divide="ignore"):
      log_beta = jnp.asarray(np.log(values.astype(np.float64)), counts.dtype)
  else:
    beta = arrays.in_range(beta, counts.dtype, 0, 1)
    log_beta = jnp.log(jnp.where(beta == 1, jnp.nan, beta))
  weights = -1 / jnp.expm1(jnp.where(present, counts, 1) * log_beta)
  total = jnp.sum(jnp.where(present, weights, 0))
  classes = jnp.maximum(jnp.sum(present, dtype=counts.dtype), 1)
  return jnp.where(present, weights / (total / classes), 0)


def inverse_frequency_weights(class_counts: ArrayLike) -> jax.Array:
  r"""Compute class weights that give every class the same total.

  .. math::
    \omega_k = \frac{1}{K n_k}

  Summed over the training samples they give 1. For a mean over samples
  multiply them by :math:`N = \sum_k n_k`.

  Args:
    class_counts: training samples per class, ``[num_classes]``, finite, >= 0.
      A class of 0 is absent: it has weight 0, and no part in K.

  Returns:
    The weights, ``[num_classes]``; float64 if the counts are, float32 if they
    are another float, else JAX's default float.

  Raises:
    ValueError: if the counts are not one-dimensional or, outside ``jit``, a
      count is negative or not finite.

  Examples:
    >>> from etf_jax import losses
    >>> print(losses.inverse_frequency_weights([5, 1]))
    [0.1 0.5]

  References:
    Yang et al., `Inducing Neural Collapse in Imbalanced Learning
    <https://arxiv.org/abs/2203.09081>`_, 2022, where it weights the cross
    entropy of the baseline CE*
  """
  counts = arrays.check_counts(class_counts, allow_absent=True)
  present = counts != 0
  classes = jnp.sum(present, dtype=counts.dtype)
  return jnp.where(present, 1 / (classes * jnp.where(present, counts, 1)), 0)


def deferred_weights(
  weights: ArrayLike, *, step: ArrayLike, start: ArrayLike
) -> jax.Array:
  r"""Return class weights that take effect late in training.

  .. math::
    \omega_k(t) = \begin{cases} 1 & t < t_0 \\ \omega_k & t \ge t_0 \end{cases}

  With `ldam`, `class_balanced_weights` and `weighted_mean` this is LDAM-DRW.

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


def weighted_mean(
  values: ArrayLike, weights: ArrayLike, where: ArrayLike | None = None
) -> jax.Array:
  r"""Compute the mean of a batch, weighted by example.

  .. math::
    \frac{\sum_i \omega_{y_i} \ell_i}{\sum_i \omega_{y_i}}

  The published LDAM-DRW and class-balanced focal loss divide by the weights of
  the batch, as PyTorch's weighted losses do. On long-tailed data the plain mean
  of ``weights * values`` is several times smaller, since the examples of a
  batch mostly belong to large classes of small weight:

  * LDAM-DRW: `values` of `ldam`, `weights` of `deferred_weights` of
    `class_balanced_weights`, at ``[labels]``;
  * CB-focal: `values` of `focal`, `weights` of `class_balanced_weights`, at
    ``[labels]``.

  Args:
    values: floating ``[...]``, the loss of each example.
    weights: floating ``[...]``, the weight of each example, >= 0.
    where: boolean ``[...]``, the examples that count.

  Returns:
    A scalar, 0 where no example counts or all weights are 0; float64 if an
    input is, else float32. Under ``jit`` a weight that counts and is negative
    or not finite makes it NaN.

  Raises:
    ValueError: if shapes do not match, an input is not floating or, outside
      ``jit``, a weight is negative or not finite.

  Examples:
    >>> import jax.numpy as jnp
    >>> from etf_jax import losses
    >>> values, weights = jnp.array([1.0, 4.0]), jnp.array([0.5, 1.0])
    >>> print(losses.weighted_mean(values, weights))
    3.0

  References:
    The published code of Cao et al., `Learning Imbalanced Datasets with
    Label-Distribution-Aware Margin Loss <https://arxiv.org/abs/1906.07413>`_,
    2019
  """
  values, example_weights = jnp.asarray(values), jnp.asarray(weights)
  for name, x in (("values", values), ("weights", example_weights)):
    if x.shape != values.shape or not jnp.issubdtype(x.dtype, jnp.floating):
      raise ValueError(
        f"{name} must be floating with shape {values.shape}, got {x.dtype} of "
        f"shape {x.shape}"
      )
  mask = arrays.check_mask(where, values.shape)
  if mask is None:
    arrays.check_range("weights", weights, 0)
  dtype = arrays.result_dtype(values, example_weights)
  values, w = values.astype(dtype), arrays.in_range(example_weights, dtype, 0)
  if mask is not None:
    values, w = jnp.where(mask, values, 0), jnp.where(mask, w, 0)
  total = jnp.sum(w)
  return jnp.sum(w * values) / jnp.where(total == 0, 1, total)
