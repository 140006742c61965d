# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""HingeCE: cross entropy that stops pulling inside a cone round each class.

In use::

    loss = losses.hinge_cross_entropy_with_integer_labels(
      features, labels, prototypes, tau_plus=13 * np.pi / 36
    )

Predictions are made with the plain logits, ``features @ prototypes``.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
import numpy as np

from etf_jax import arrays
from etf_jax.losses import _cross_entropy as ce


def hinge_logits(
  features: ArrayLike,
  labels: ArrayLike,
  prototypes: ArrayLike,
  *,
  tau_plus: ArrayLike,
  tau_minus: ArrayLike = np.pi,
  precision: jax.lax.PrecisionLike = jax.lax.Precision.HIGHEST,
) -> jax.Array:
  r"""Compute logits that are constant inside the maximal-separating cones.

  .. math::
    v_k = \begin{cases}
    \min\left( w_k^\top h, \; |h| \, |w_k| \cos \tau_+ \right) & k = y \\
    \max\left( w_k^\top h, \; |h| \, |w_k| \cos \tau_- \right) & k \ne y
    \end{cases}

  with no gradient through :math:`|h|`. A feature within the angle
  :math:`\tau_+` of its own prototype is not pulled any more, and one further
  than :math:`\tau_-` from another prototype is not pushed. The cones are
  closed: on their surface the gradient is zero. Angles of 0 and
  :math:`\pi` close the cones altogether and leave the logits as they are.

  Args:
    features: floating ``[..., feature_dim]``.
    labels: integers ``[...]`` in ``[0, num_classes)``.
    prototypes: floating ``[feature_dim, num_classes]``, a column per class.
    tau_plus: :math:`\tau_+` in radians in ``[0, pi]``, a scalar or
      ``[num_classes]``, the entry of the own class.
    tau_minus: the scalar :math:`\tau_-` in radians in ``[0, pi]``.
    precision: of the product of features and prototypes. The default keeps
      features near the edge of a cone on their side of it on accelerators.

  Returns:
    The logits, ``[..., num_classes]``; float64 if an input is, else float32.
    Under ``jit`` an out-of-range label makes its example's logits NaN.

  Raises:
    ValueError: if shapes do not match or, outside ``jit``, a label or an angle
      is out of range.

  Examples:
    >>> import jax.numpy as jnp
    >>> from etf_jax import losses
    >>> jnp.set_printoptions(precision=4)
    >>> prototypes = jnp.array([[1.0, -1.0], [0.0, 0.0]])
    >>> h = jnp.array([[1.0, 0.0], [0.0, 1.0]])
    >>> y = jnp.array([0, 0])
    >>> print(losses.hinge_logits(h, y, prototypes, tau_plus=jnp.pi / 3))
    [[ 0.5 -1. ]
     [ 0.   0. ]]

  References:
    `Do We Need Neural Collapse? Learning Diverse Features for Fine-grained and
    Long-tail Classification`, 2022, equation 8
  """
  product, push, pull, parameters = _hinged(
    features, prototypes, tau_plus, tau_minus
  )
  labels, valid, _ = arrays.check_labels(
    labels, parameters[0].size, product.features.shape[:-1], None
  )
  z = jnp.matmul(product.features, product.weights, precision=precision)
  aligned = [ce.along_classes(x, z.ndim) for x in parameters]
  is_label = arrays.label_mask(labels, z)
  hinged = jnp.where(is_label, pull(z, *aligned), push(z, *aligned))
  return arrays.finish(hinged, valid[..., None], None)


def hinge_cross_entropy_with_integer_labels(
  features: ArrayLike,
  labels: ArrayLike,
  prototypes: ArrayLike,
  *,
  tau_plus: ArrayLike,
  tau_minus: ArrayLike = np.pi,
  label_smoothing: ArrayLike = 0.0,
  where: ArrayLike | None = None,
  block_size: int | None = None,
  precision: jax.lax.PrecisionLike = jax.lax.Precision.HIGHEST,
) -> jax.Array:
  r"""Compute the cross entropy of `hinge_logits`.

  .. math::
    \ell(h, y) = -\sum_k t_k \log \frac{e^{v_k}}{\sum_j e^{v_j}} , \qquad
    t_k = (1 - \alpha) \, [k = y] + \frac{\alpha}{K}

  At ``tau_plus=0, tau_minus=pi`` it is softmax cross entropy, bit for bit. With
  :math:`\tau_- = \arccos(-1/(K-1)) - \tau_+` and a simplex ETF the gradient of
  a feature inside its cone is exactly zero.

  Args:
    features: floating ``[..., feature_dim]``.
    labels: integers ``[...]`` in ``[0, num_classes)``, or probabilities of
      them, floating ``[..., num_classes]``: the mean of the classes' losses.
    prototypes: floating ``[feature_dim, num_classes]``, a column per class.
    tau_plus: :math:`\tau_+` in radians in ``[0, pi]``, a scalar or
      ``[num_classes]``, the entry of the own class.
    tau_minus: the scalar :math:`\tau_-` in radians in ``[0, pi]``.
    label_smoothing: the scalar :math:`\alpha` in ``[0, 1]``. Which logit is
      hinged how depends on the true label alone.
    where: boolean ``[...]``, the examples that count. The others give 0 and
      zero gradients whatever they hold.
    block_size: classes at a time, to hold no ``[..., num_classes]`` array;
      needs integer labels. None: all at once.
    precision: see `hinge_logits`.

  Returns:
    The loss of each example, ``[...]``; float64 if an input is, else float32.
    Under ``jit`` an out-of-range label makes its example's loss and gradient
    NaN.

  Raises:
    ValueError: if shapes do not match, `label_smoothing` is out of range or,
      outside ``jit``, a label or an angle is.

  Examples:
    >>> import jax.numpy as jnp
    >>> from etf_jax import losses
    >>> jnp.set_printoptions(precision=4)
    >>> prototypes = jnp.array([[1.0, -1.0], [0.0, 0.0]])
    >>> h = jnp.array([[1.0, 0.0], [0.0, 1.0]])
    >>> y = jnp.array([0, 0])
    >>> loss = losses.hinge_cross_entropy_with_integer_labels(
    ...   h, y, prototypes, tau_plus=jnp.pi / 3
    ... )
    >>> print(loss)
    [0.2014 0.6931]

  References:
    `Do We Need Neural Collapse? Learning Diverse Features for Fine-grained and
    Long-tail Classification`, 2022, equation 8
  """
  product, push, pull, parameters = _hinged(
    features, prototypes, tau_plus, tau_minus, where
  )
  return ce.cross_entropy(
    product,
    labels,
    where,
    push,
    pull,
    parameters=parameters,
    label_smoothing=label_smoothing,
    block_size=block_size,
    precision=precision,
  )


def _hinged(
  features: ArrayLike,
  prototypes: ArrayLike,
  tau_plus: ArrayLike,
  tau_minus: ArrayLike,
  where: ArrayLike | None = None,
) -> tuple[ce.LinearLogits, ce.Elementwise, ce.Elementwise, tuple]:
  """Return the product, both forms of a logit, and the parameters of them."""
  features, prototypes = arrays.check_vectors(features, prototypes)
  classes = prototypes.shape[1]
  largest = arrays.LARGEST_ANGLE
  arrays.check_range("tau_plus", tau_plus, 0, largest, [(), (classes,)])
  arrays.check_range("tau_minus", tau_minus, 0, largest, [()])
  dtype = arrays.result_dtype(features, prototypes)
  features, prototypes = features.astype(dtype), prototypes.astype(dtype)
  mask = arrays.check_mask(where, features.shape[:-1])
  if mask is not None:
    features = jnp.where(mask[..., None], features, 0)
  detached = jax.lax.stop_gradient(features)
  length = jnp.sqrt(jnp.sum(detached * detached, axis=-1, keepdims=True))
  weights = arrays.root(jnp.sum(prototypes * prototypes, axis=0))
  tau_plus = arrays.in_range(tau_plus, dtype, 0, largest)
  tau_minus = arrays.in_range(tau_minus, dtype, 0, largest)
  # An angle of 0 or pi is tested by itself: rounding would put features that
  # lie along a prototype on the wrong side. `where` and not `minimum`, which
  # halves the gradient on the surface of a cone instead of dropping it. NaN is
  # on no side of a comparison, and becomes the bound.
  hinged = jnp.broadcast_to(tau_plus != 0, (classes,))
  upper, lower = weights * jnp.cos(tau_plus), weights * jnp.cos(tau_minus)

  def pull(z, upper, lower, hinged):
    inside = hinged & ~(z < length * upper)
    return jnp.where(inside, length * upper, z)

  def push(z, upper, lower, hinged):
    outside = ~(tau_minus >= np.pi) & ~(z > length * lower)
    return jnp.where(outside, length * lower, z)

  return (
    ce.LinearLogits(features, prototypes), push, pull, (upper, lower, hinged)
  )  # fmt: skip
