# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Mixup: any loss on two sets of labels.

In use::

    loss = losses.mixup(
      lambda labels: losses.focal(logits, labels), labels_a, labels_b, lam
    )
"""

from collections.abc import Callable

import jax
from jax.typing import ArrayLike
import numpy as np

from etf_jax import arrays


def mixup(
  loss: Callable[[ArrayLike], jax.Array],
  labels_a: ArrayLike,
  labels_b: ArrayLike,
  lam: ArrayLike,
) -> jax.Array:
  r"""Mix the losses of mixed examples with respect to both their labels.

  .. math::
    \ell = \lambda \, \ell(y_a) + (1 - \lambda) \, \ell(y_b)

  for inputs :math:`\lambda x_a + (1 - \lambda) x_b`. With dot regression the
  class lengths are those of `labels_a`, for both terms.

  Args:
    loss: labels to the loss of each example, both ``[...]``.
    labels_a: integers ``[...]``, the labels of :math:`x_a`.
    labels_b: integers ``[...]``, the labels of :math:`x_b`.
    lam: :math:`\lambda` in ``[0, 1]``: a scalar or ``[...]``.

  Returns:
    The mixed loss of each example, of the shape and dtype of `loss`.

  Raises:
    ValueError: if the labels' shapes differ, `lam` does not match or, outside
      ``jit``, is out of range.

  Examples:
    >>> import jax.numpy as jnp
    >>> from etf_jax import losses
    >>> jnp.set_printoptions(precision=4)
    >>> logits = jnp.array([[0.0, 2.0]])
    >>> loss = lambda labels: losses.focal(logits, labels, gamma=0.0)
    >>> mixed = losses.mixup(loss, jnp.array([1]), jnp.array([0]), 0.75)
    >>> print(mixed)
    [0.6269]

  References:
    Zhang et al., `mixup: Beyond Empirical Risk Minimization
    <https://arxiv.org/abs/1710.09412>`_, 2017
  """
  shape = np.shape(labels_a)
  if np.shape(labels_b) != shape:
    raise ValueError(
      f"labels_b must have the shape of labels_a {shape}, got "
      f"{np.shape(labels_b)}"
    )
  if np.shape(lam) not in ((), shape):
    raise ValueError(
      f"lam must be a scalar or have shape {shape}, got {np.shape(lam)}"
    )
  arrays.check_range("lam", lam, 0, 1)
  first, second = loss(labels_a), loss(labels_b)
  lam = arrays.in_range(lam, first.dtype, 0, 1)
  return lam * first + (1 - lam) * second
