# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Losses on logits with margins, and with a focus on hard examples.

In use::

    loss = losses.ldam(cosines, labels, class_counts=counts)
    loss = losses.focal(logits, labels, gamma=2.0)
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from etf_jax import arrays
from etf_jax.losses import _cross_entropy as ce


def ldam(
  logits: ArrayLike | ce.LinearLogits,
  labels: ArrayLike,
  *,
  class_counts: ArrayLike,
  max_margin: float = 0.5,
  scale: float = 30.0,
  label_smoothing: ArrayLike = 0.0,
  where: ArrayLike | None = None,
  block_size: int | None = None,
) -> jax.Array:
  r"""Compute the label-distribution-aware margin loss.

  .. math::
    \ell(z, y) = -\log \frac{e^{s (z_y - \Delta_y)}}
    {e^{s (z_y - \Delta_y)} + \sum_{k \ne y} e^{s z_k}} , \qquad
    \Delta_k = \Delta_{\max} \left( \frac{\min_j n_j}{n_k} \right)^{1/4}

  Deferred re-weighting multiplies it by class weights late in training, see
  `deferred_weights`.

  Args:
    logits: floating ``[..., num_classes]``, meant to be cosines, or
      `LinearLogits`.
    labels: integers ``[...]`` in ``[0, num_classes)``, or probabilities of
      them, floating ``[..., num_classes]``: the mean of the classes' losses.
    class_counts: training samples per class, ``[num_classes]``, finite, >= 0.
      A class of 0 is absent: it has no margin.
    max_margin: :math:`\Delta_{\max}` >= 0, the smallest class's margin.
    scale: :math:`s` > 0.
    label_smoothing: in ``[0, 1]``, the share of the target that is spread
      evenly over the classes; the margin is the label's alone.
    where: boolean ``[...]``, the examples that count. The others give 0 and
      zero gradients whatever they hold.
    block_size: classes at a time, to hold no ``[..., num_classes]`` array;
      needs `LinearLogits` and integer labels. None: all at once.

  Returns:
    The loss of each example, ``[...]``; float64 if an input is, else float32.
    Under ``jit`` an out-of-range label makes its example's loss and gradient
    NaN.

  Raises:
    ValueError: if shapes do not match or, outside ``jit``, a label is out of
      range, a count or `max_margin` is negative or `scale` not
      positive.

  Examples:
    >>> import jax.numpy as jnp
    >>> from etf_jax import losses
    >>> jnp.set_printoptions(precision=4)
    >>> cosines = jnp.array([[0.8, 0.6], [0.2, 0.9]])
    >>> labels = jnp.array([0, 1])
    >>> loss = losses.ldam(cosines, labels, class_counts=[160, 10], scale=10.0)
    >>> print(loss)
    [0.9741 0.1269]

  References:
    Cao et al., `Learning Imbalanced Datasets with Label-Distribution-Aware
    Margin Loss <https://arxiv.org/abs/1906.07413>`_, 2019
  """
  arrays.check_range("max_margin", max_margin, 0, shapes=[()])
  arrays.check_positive("scale", scale)
  arrays.check_range("scale", scale, 0, shapes=[()])
  counts = ce.counts(class_counts, logits)
  factor = arrays.positive(scale, counts.dtype)
  present = counts != 0
  smallest = jnp.min(jnp.where(present, counts, jnp.inf))
  ratios = smallest / jnp.where(present, counts, 1)
  margins = arrays.in_range(max_margin, counts.dtype, 0) * ratios**0.25
  return ce.cross_entropy(
    logits,
    labels,
    where,
    lambda z, margin: ce.scale(z, factor),
    lambda z, margin: ce.scale(z - margin, factor),
    parameters=(jnp.where(present, margins, 0),),
    label_smoothing=label_smoothing,
    block_size=block_size,
  )


def focal(
  logits: ArrayLike | ce.LinearLogits,
  labels: ArrayLike,
  *,
  gamma: ArrayLike = 2.0,
  alpha: ArrayLike | None = None,
  label_smoothing: ArrayLike = 0.0,
  where: ArrayLike | None = None,
  block_size: int | None = None,
) -> jax.Array:
  r"""Compute the multiclass focal loss.

  .. math::
    \ell(z, y) = -\alpha_y (1 - p_y)^\gamma \log p_y , \qquad
    p_y = \frac{e^{z_y}}{\sum_k e^{z_k}}

  It is exact also where :math:`p_y` rounds to 1, and its gradient is finite
  there for every :math:`\gamma`.

  Args:
    logits: floating ``[..., num_classes]`` of two classes or more, or
      `LinearLogits`.
    labels: integers ``[...]`` in ``[0, num_classes)``, or probabilities of
      them, floating ``[..., num_classes]``: the mean of the classes' losses.
    gamma: the scalar :math:`\gamma` >= 0; 0 is cross entropy.
    alpha: weights of the classes >= 0, a scalar or ``[num_classes]``; None: 1.
    label_smoothing: in ``[0, 1]``, the share of the target that is spread
      evenly over the classes.
    where: boolean ``[...]``, the examples that count. The others give 0 and
      zero gradients whatever they hold.
    block_size: classes at a time, to hold no ``[..., num_classes]`` array;
      needs `LinearLogits` and integer labels. None: all at once.

  Returns:
    The loss of each example, ``[...]``; float64 if an input is, else float32.
    Under ``jit`` an out-of-range label makes its example's loss and gradient
    NaN.

  Raises:
    ValueError: if shapes do not match, there is one class only, or, outside
      ``jit``, a label is out of range or `gamma` or `alpha`
      negative.

  Examples:
    >>> import jax.numpy as jnp
    >>> from etf_jax import losses
    >>> jnp.set_printoptions(precision=4)
    >>> print(losses.focal(jnp.zeros((1, 2)), jnp.array([0])))
    [0.1733]

  References:
    Lin et al., `Focal Loss for Dense Object Detection
    <https://arxiv.org/abs/1708.02002>`_, 2017
  """
  arrays.check_range("gamma", gamma, 0, shapes=[()])
  logits = ce.check_logits(logits)
  classes = ce.num_classes(logits)
  if classes < 2:
    raise ValueError("focal needs logits of at least two classes")
  arrays.check_range(
    "alpha", 1 if alpha is None else alpha, 0, shapes=[(), (classes,)]
  )
  dtype = arrays.result_dtype(*jax.tree.leaves(logits))
  gamma = arrays.in_range(gamma, dtype, 0)
  weights = arrays.in_range(1 if alpha is None else alpha, dtype, 0)

  def modulate(lead, weight):
    # log p and log(1 - p) by softplus: neither cancels when p is near 1 or 0.
    log_miss = -jax.nn.softplus(lead)
    return weight * jnp.exp(gamma * log_miss) * jax.nn.softplus(-lead)

  return ce.cross_entropy(
    logits,
    labels,
    where,
    lambda z, weight: z,
    modulate=modulate,
    parameters=(jnp.broadcast_to(weights, (classes,)),),
    label_smoothing=label_smoothing,
    block_size=block_size,
  )
