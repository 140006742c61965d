# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Logits shifted and scaled by the sizes of the classes.

In use::

    loss = losses.logit_adjusted(logits, labels, class_counts=counts)
    predicted = losses.adjust_logits(logits, class_counts=counts).argmax(-1)
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
import numpy as np

from etf_jax import arrays
from etf_jax.losses import _cross_entropy as ce


def logit_adjusted(
  logits: ArrayLike | ce.LinearLogits,
  labels: ArrayLike,
  *,
  class_counts: ArrayLike,
  temperature: ArrayLike = 1.0,
  label_smoothing: ArrayLike = 0.0,
  where: ArrayLike | None = None,
  block_size: int | None = None,
) -> jax.Array:
  r"""Compute the cross entropy of logits shifted by the classes' frequency.

  .. math::
    \ell(z, y) = -\log \frac{e^{z_y + \tau \log \pi_y}}
    {\sum_k e^{z_k + \tau \log \pi_k}} , \qquad
    \pi_k = \frac{n_k}{\sum_j n_j}

  Training with it makes the plain logits fit for a balanced test set.

  Args:
    logits: floating ``[..., num_classes]``, or `LinearLogits`.
    labels: integers ``[...]`` in ``[0, num_classes)``, or probabilities of
      them, floating ``[..., num_classes]``: the mean of the classes' losses.
    class_counts: training samples per class, ``[num_classes]``, finite, >= 0.
      A class of 0 is absent: no part of the softmax.
    temperature: the scalar :math:`\tau`; 0 is cross entropy.
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
  shift = _shift(ce.counts(class_counts, logits), temperature)
  return ce.cross_entropy(
    logits,
    labels,
    where,
    lambda z, shift: z + shift,
    parameters=(shift,),
    label_smoothing=label_smoothing,
    block_size=block_size,
  )


def balanced_softmax(
  logits: ArrayLike | ce.LinearLogits,
  labels: ArrayLike,
  *,
  class_counts: ArrayLike,
  label_smoothing: ArrayLike = 0.0,
  where: ArrayLike | None = None,
  block_size: int | None = None,
) -> jax.Array:
  r"""Compute the balanced softmax loss.

  .. math::
    \ell(z, y) = -\log \frac{n_y e^{z_y}}{\sum_k n_k e^{z_k}}

  It is `logit_adjusted` at temperature 1, under the name of its other paper.

  Args:
    logits: floating ``[..., num_classes]``, or `LinearLogits`.
    labels: integers ``[...]`` in ``[0, num_classes)``, or probabilities of
      them, floating ``[..., num_classes]``: the mean of the classes' losses.
    class_counts: training samples per class, ``[num_classes]``, finite, >= 0.
      A class of 0 is absent: no part of the softmax.
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
  return logit_adjusted(
    logits,
    labels,
    class_counts=class_counts,
    label_smoothing=label_smoothing,
    where=where,
    block_size=block_size,
  )


def adjust_logits(
  logits: ArrayLike,
  *,
  class_counts: ArrayLike,
  temperature: ArrayLike = 1.0,
  target_counts: ArrayLike | None = None,
) -> jax.Array:
  r"""Take the classes' training frequency out of a trained model's logits.

  .. math::
    \tilde z_k = z_k - \tau \log \pi_k + \tau \log \rho_k , \qquad
    \pi_k = \frac{n_k}{\sum_j n_j}

  with :math:`\rho_k` the frequencies of the classes where the model is used, of
  `target_counts` as :math:`\pi_k` of `class_counts`; without them the last term
  is left out, which fits a balanced test set.

  This is for predictions of a model that was trained with plain cross entropy;
  one trained with `logit_adjusted` needs no adjustment.

  Args:
    logits: floating ``[..., num_classes]``.
    class_counts: training samples per class, ``[num_classes]``, finite, >= 0.
      A class of 0 is absent: its logit becomes -inf.
    temperature: the scalar :math:`\tau`; 0 changes nothing.
    target_counts: amounts of the classes where the model is used,
      ``[num_classes]``, finite, >= 0. A class of 0 has a logit of -inf. None:
      all are alike.

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
  counts = ce.counts(class_counts, logits)
  z = jnp.asarray(logits).astype(counts.dtype)
  shift = ce.along_classes(_shift(counts, temperature), z.ndim)
  adjusted = jnp.where(shift == -jnp.inf, shift, z - shift)
  if target_counts is None:
    return adjusted
  targets = arrays.check_counts(
    target_counts, z.shape[-1], z, allow_absent=True, name="target_counts"
  )
  added = _shift(targets.astype(z.dtype), temperature)
  return adjusted + ce.along_classes(added, z.ndim)


def vector_scaling(
  logits: ArrayLike | ce.LinearLogits,
  labels: ArrayLike,
  *,
  class_counts: ArrayLike,
  gamma: ArrayLike = 0.1,
  temperature: ArrayLike = 1.0,
  label_smoothing: ArrayLike = 0.0,
  where: ArrayLike | None = None,
  block_size: int | None = None,
) -> jax.Array:
  r"""Compute the vector-scaling loss: logits scaled and shifted by class.

  .. math::
    \ell(z, y) = -\log \frac{e^{\Delta_y z_y + \tau \log \pi_y}}
    {\sum_k e^{\Delta_k z_k + \tau \log \pi_k}} , \qquad
    \Delta_k = \left( \frac{n_k}{\max_j n_j} \right)^\gamma , \quad
    \pi_k = \frac{n_k}{\sum_j n_j}

  At :math:`\gamma = 0` it is `logit_adjusted`, at :math:`\tau = 0` the loss of
  class-dependent temperatures (CDT), at both cross entropy.

  Args:
    logits: floating ``[..., num_classes]``, or `LinearLogits`.
    labels: integers ``[...]`` in ``[0, num_classes)``, or probabilities of
      them, floating ``[..., num_classes]``: the mean of the classes' losses.
    class_counts: training samples per class, ``[num_classes]``, finite, >= 0.
      A class of 0 is absent: no part of the softmax.
    gamma: the scalar :math:`\gamma` >= 0.
    temperature: the scalar :math:`\tau`.
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
    ValueError: if shapes do not match or, outside ``jit``, a label is out of
      range, or a count or `gamma` is negative or not finite.

  Examples:
    >>> import jax.numpy as jnp
    >>> from etf_jax import losses
    >>> jnp.set_printoptions(precision=4)
    >>> logits, labels = jnp.array([[0.0, 4.0]]), jnp.array([1])
    >>> loss = losses.vector_scaling(
    ...   logits, labels, class_counts=[16, 1], gamma=0.5, temperature=0.0
    ... )
    >>> print(loss)
    [0.3133]

  References:
    Kini et al., `Label-Imbalanced and Group-Sensitive Classification under
    Overparameterization <https://arxiv.org/abs/2103.01550>`_, 2021
  """
  arrays.check_range("gamma", gamma, 0, shapes=[()])
  counts = ce.counts(class_counts, logits)
  present = counts != 0
  ratios = jnp.where(present, counts, 1) / jnp.max(counts)
  power = arrays.in_range(gamma, counts.dtype, 0)
  scales = jnp.where(present, ratios**power, 0)
  return ce.cross_entropy(
    logits,
    labels,
    where,
    lambda z, scale, shift: ce.scale(z, scale) + shift,
    parameters=(scales, _shift(counts, temperature)),
    label_smoothing=label_smoothing,
    block_size=block_size,
  )


def _shift(counts: jax.Array, temperature: ArrayLike) -> jax.Array:
  """Return temperature times log priors `[K]`, -inf for absent classes."""
  arrays.check_range("temperature", temperature, -np.inf, shapes=[()])
  present = counts != 0
  priors = jnp.log(jnp.where(present, counts, 1) / jnp.sum(counts))
  shift = arrays.in_range(temperature, counts.dtype, -np.inf) * priors
  return jnp.where(present, shift, -jnp.inf)
