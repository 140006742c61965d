# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Losses on logits for classes of unequal size.

In use::

    from etf_jax import losses

    loss = losses.logit_adjusted(logits, labels, class_counts=counts)
    loss = losses.ldam(cosines, labels, class_counts=counts)
    predicted = losses.adjust_logits(logits, class_counts=counts).argmax(-1)
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
import numpy as np

from etf_jax import arrays
from etf_jax.losses import _cross_entropy as ce


def ldam(
  logits: ArrayLike,
  labels: ArrayLike,
  *,
  class_counts: ArrayLike,
  max_margin: float = 0.5,
  scale: float = 30.0,
  where: ArrayLike | None = None,
) -> jax.Array:
  r"""Compute the label-distribution-aware margin loss.

  .. math::
    \ell(z, y) = -\log \frac{e^{s (z_y - \Delta_y)}}
    {e^{s (z_y - \Delta_y)} + \sum_{k \ne y} e^{s z_k}} , \qquad
    \Delta_k = \Delta_{\max} \left( \frac{\min_j n_j}{n_k} \right)^{1/4}

  Deferred re-weighting multiplies it by class weights late in training, see
  `deferred_weights`.

  Args:
    logits: floating ``[..., num_classes]``, meant to be cosines.
    labels: integers ``[...]`` in ``[0, num_classes)``.
    class_counts: training samples per class, ``[num_classes]``, finite, >= 0.
      A class of 0 is absent: it has no margin.
    max_margin: :math:`\Delta_{\max}` >= 0, the smallest class's margin.
    scale: :math:`s` > 0.
    where: boolean ``[...]``, the examples that count. The others give 0 and
      zero gradients whatever they hold.

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
  counts = _counts(class_counts, logits)
  z, is_label, valid, mask = ce.examples(logits, labels, where, counts)
  factor = arrays.positive(scale, z.dtype)
  present = counts != 0
  smallest = jnp.min(jnp.where(present, counts, jnp.inf))
  ratios = smallest / jnp.where(present, counts, 1)
  margins = arrays.in_range(max_margin, z.dtype, 0) * ratios**0.25
  margins = ce.along_classes(jnp.where(present, margins, 0), z.ndim)
  z = jnp.where(is_label, z - margins, z)
  # A logit of -inf is scaled apart: 0 times it would be a gradient of NaN.
  masked = z == -jnp.inf
  z = jnp.where(masked, z, factor * jnp.where(masked, 0, z))
  loss = ce.cross_entropy(z, is_label)
  return arrays.finish(loss, valid, mask)


def logit_adjusted(
  logits: ArrayLike,
  labels: ArrayLike,
  *,
  class_counts: ArrayLike,
  temperature: ArrayLike = 1.0,
  where: ArrayLike | None = None,
) -> jax.Array:
  r"""Compute the cross entropy of logits shifted by the classes' frequency.

  .. math::
    \ell(z, y) = -\log \frac{e^{z_y + \tau \log \pi_y}}
    {\sum_k e^{z_k + \tau \log \pi_k}} , \qquad
    \pi_k = \frac{n_k}{\sum_j n_j}

  Training with it makes the plain logits fit for a balanced test set.

  Args:
    logits: floating ``[..., num_classes]``.
    labels: integers ``[...]`` in ``[0, num_classes)``.
    class_counts: training samples per class, ``[num_classes]``, finite, >= 0.
      A class of 0 is absent: no part of the softmax.
    temperature: the scalar :math:`\tau`; 0 is cross entropy.
    where: boolean ``[...]``, the examples that count. The others give 0 and
      zero gradients whatever they hold.

  Returns:
    The loss of each example, ``[...]``; float64 if an input is, else float32.
    Under ``jit`` an out-of-range label makes its example's loss and gradient
    NaN.

  Raises:
    ValueError: if shapes do not match or, outside ``jit``, a label is out of
      range or a count is negative or not finite.

  Examples:
    >>> import jax.numpy as jnp
    >>> from etf_jax import losses
    >>> jnp.set_printoptions(precision=4)
    >>> logits = jnp.zeros((2, 2))
    >>> labels = jnp.array([0, 1])
    >>> loss = losses.logit_adjusted(logits, labels, class_counts=[3, 1])
    >>> print(loss)
    [0.2877 1.3863]

  References:
    Menon et al., `Long-tail learning via logit adjustment
    <https://arxiv.org/abs/2007.07314>`_, 2020
  """
  counts = _counts(class_counts, logits)
  z, is_label, valid, mask = ce.examples(logits, labels, where, counts)
  z = z + _shift(counts, temperature, z)
  return arrays.finish(ce.cross_entropy(z, is_label), valid, mask)


def balanced_softmax(
  logits: ArrayLike,
  labels: ArrayLike,
  *,
  class_counts: ArrayLike,
  where: ArrayLike | None = None,
) -> jax.Array:
  r"""Compute the balanced softmax loss.

  .. math::
    \ell(z, y) = -\log \frac{n_y e^{z_y}}{\sum_k n_k e^{z_k}}

  It is `logit_adjusted` at temperature 1, under the name of its other paper.

  Args:
    logits: floating ``[..., num_classes]``.
    labels: integers ``[...]`` in ``[0, num_classes)``.
    class_counts: training samples per class, ``[num_classes]``, finite, >= 0.
      A class of 0 is absent: no part of the softmax.
    where: boolean ``[...]``, the examples that count. The others give 0 and
      zero gradients whatever they hold.

  Returns:
    The loss of each example, ``[...]``; float64 if an input is, else float32.
    Under ``jit`` an out-of-range label makes its example's loss and gradient
    NaN.

  Raises:
    ValueError: if shapes do not match or, outside ``jit``, a label is out of
      range or a count is negative or not finite.

  Examples:
    >>> import jax.numpy as jnp
    >>> from etf_jax import losses
    >>> jnp.set_printoptions(precision=4)
    >>> logits = jnp.array([[0.0, 0.0]])
    >>> labels = jnp.array([1])
    >>> loss = losses.balanced_softmax(logits, labels, class_counts=[3, 1])
    >>> print(loss)
    [1.3863]

  References:
    Ren et al., `Balanced Meta-Softmax for Long-Tailed Visual Recognition
    <https://arxiv.org/abs/2007.10740>`_, 2020
  """
  return logit_adjusted(logits, labels, class_counts=class_counts, where=where)


def adjust_logits(
  logits: ArrayLike, *, class_counts: ArrayLike, temperature: ArrayLike = 1.0
) -> jax.Array:
  r"""Take the classes' training frequency out of a trained model's logits.

  .. math::
    \tilde z_k = z_k - \tau \log \pi_k , \qquad
    \pi_k = \frac{n_k}{\sum_j n_j}

  This is for predictions of a model that was trained with plain cross entropy;
  one trained with `logit_adjusted` needs no adjustment.

  Args:
    logits: floating ``[..., num_classes]``.
    class_counts: training samples per class, ``[num_classes]``, finite, >= 0.
      A class of 0 is absent: its logit becomes -inf.
    temperature: the scalar :math:`\tau`; 0 changes nothing.

  Returns:
    The adjusted logits, ``[..., num_classes]``; float64 if an input is, else
    float32.

  Raises:
    ValueError: if shapes do not match or, outside ``jit``, a count is
      negative or not finite.

  Examples:
    >>> import jax.numpy as jnp
    >>> from etf_jax import losses
    >>> jnp.set_printoptions(precision=4)
    >>> logits = jnp.array([[0.5, 0.0]])
    >>> print(losses.adjust_logits(logits, class_counts=[3, 1]))
    [[0.7877 1.3863]]

  References:
    Menon et al., `Long-tail learning via logit adjustment
    <https://arxiv.org/abs/2007.07314>`_, 2020
  """
  counts = _counts(class_counts, logits)
  z = jnp.asarray(logits).astype(counts.dtype)
  shift = _shift(counts, temperature, z)
  return jnp.where(shift == -jnp.inf, shift, z - shift)


def focal(
  logits: ArrayLike,
  labels: ArrayLike,
  *,
  gamma: ArrayLike = 2.0,
  where: ArrayLike | None = None,
) -> jax.Array:
  r"""Compute the multiclass focal loss.

  .. math::
    \ell(z, y) = -(1 - p_y)^\gamma \log p_y , \qquad
    p_y = \frac{e^{z_y}}{\sum_k e^{z_k}}

  It is exact also where :math:`p_y` rounds to 1, and its gradient is finite
  there for every :math:`\gamma`.

  Args:
    logits: floating ``[..., num_classes]``, of two classes or more.
    labels: integers ``[...]`` in ``[0, num_classes)``.
    gamma: the scalar :math:`\gamma` >= 0; 0 is cross entropy.
    where: boolean ``[...]``, the examples that count. The others give 0 and
      zero gradients whatever they hold.

  Returns:
    The loss of each example, ``[...]``; float64 if an input is, else float32.
    Under ``jit`` an out-of-range label makes its example's loss and gradient
    NaN.

  Raises:
    ValueError: if shapes do not match, there is one class only, or, outside
      ``jit``, a label is out of range or `gamma` is negative.

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
  z, is_label, valid, mask = ce.examples(logits, labels, where)
  if z.shape[-1] < 2:
    raise ValueError("focal needs logits of at least two classes")
  gamma = arrays.in_range(gamma, z.dtype, 0)
  others = jax.nn.logsumexp(jnp.where(is_label, -jnp.inf, z), axis=-1)
  lead = ce.pick(z, is_label) - others
  # log p and log(1 - p) by softplus: neither cancels when p is near 1 or 0.
  log_miss = -jax.nn.softplus(lead)
  loss = jnp.exp(gamma * log_miss) * jax.nn.softplus(-lead)
  return arrays.finish(loss, valid, mask)


def _counts(class_counts: ArrayLike, logits: ArrayLike) -> jax.Array:
  logits = jnp.asarray(logits)
  ce.check_logits(logits)
  return arrays.check_counts(
    class_counts, logits.shape[-1], logits, allow_absent=True
  )


def _shift(
  counts: jax.Array, temperature: ArrayLike, logits: jax.Array
) -> jax.Array:
  """Return temperature times log priors, -inf for absent classes."""
  arrays.check_range("temperature", temperature, -np.inf, shapes=[()])
  present = counts != 0
  priors = jnp.log(jnp.where(present, counts, 1) / jnp.sum(counts))
  shift = arrays.in_range(temperature, logits.dtype, -np.inf) * priors
  shift = jnp.where(present, shift, -jnp.inf)
  return ce.along_classes(shift, logits.ndim)
