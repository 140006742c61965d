# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
r"""Dot regression: pull each feature to its class prototype, push from none.

    from etf_jax import losses, simplex_etf

    prototypes = simplex_etf(jax.random.key(0), feature_dim=64, num_classes=10)
    loss = losses.dot_regression_with_integer_labels(h, labels, prototypes)

Only the prototype of the own class enters, so no ``[batch, num_classes]``
logits are ever built.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from etf_jax import arrays

SCALINGS = ("paper", "class_balanced")

# Keeps a zero feature from dividing by its own length.
_SMALLEST_LENGTH = 1e-8


def dot_regression(
  features: ArrayLike,
  targets: ArrayLike,
  *,
  feature_length: ArrayLike | None = 1.0,
  scaling: str = "paper",
  where: ArrayLike | None = None,
) -> jax.Array:
  r"""Compute the dot-regression loss between features and target vectors.

  For a feature :math:`h` and its target :math:`w` of length
  :math:`|w| = \sqrt{E_W}` the loss is

  .. math::
    \ell(h, w) = \frac{1}{2 \sqrt{E_W E_H}}
    \left( w^\top h - \sqrt{E_W E_H} \right)^2 ,
    \qquad \nabla_h \ell
    = -\left( 1 - \frac{|h|}{\sqrt{E_H}} \cos(h, w) \right) w

  with ``scaling="paper"``, and :math:`\sqrt{E_W}` times that with
  ``scaling="class_balanced"``. The gradient is always parallel to the target.

  Args:
    features: floating ``[..., feature_dim]``.
    targets: floating, the shape of `features`. Each carries its own length
      :math:`\sqrt{E_W}`, which is measured; it must not be zero.
    feature_length: :math:`\sqrt{E_H}` > 0, the length that features are meant
      to have: a scalar or ``[...]``. None takes each feature's own length (at
      least 1e-8) and lets no gradient through it.
    scaling: ``"paper"`` (equation 14 of the paper) or ``"class_balanced"`` (as
      the authors' published code divides). They agree for targets of length 1;
      with targets of length :math:`\sqrt{\gamma / n_c}` the second weights
      every class of the batch equally.
    where: boolean ``[...]``, the examples that count. The others give 0 and
      zero gradients whatever they hold.

  Returns:
    The loss of each example, ``[...]``; float64 if an input is, else float32.

  Raises:
    ValueError: if shapes do not match, `scaling` is unknown, or
      `feature_length` is not positive.

  Examples:
    >>> from etf_jax import losses
    >>> h = [[1.0, 0.0], [0.0, 1.0]]
    >>> w = [[1.0, 0.0], [1.0, 0.0]]
    >>> print(losses.dot_regression(h, w))
    [0.  0.5]

  References:
    Yang et al., `Inducing Neural Collapse in Imbalanced Learning: Do We Really
    Need a Learnable Classifier at the End of Deep Neural Network?
    <https://arxiv.org/abs/2203.09081>`_, 2022
  """
  features, targets = jnp.asarray(features), jnp.asarray(targets)
  arrays.check_features(features)
  if targets.shape != features.shape:
    raise ValueError(
      f"targets must have the features' shape {features.shape}, got "
      f"{targets.shape}"
    )
  mask = arrays.check_mask(where, features.shape[:-1])
  return _masked(
    _dot_regression(features, targets, feature_length, scaling, mask), mask
  )


def dot_regression_with_integer_labels(
  features: ArrayLike,
  labels: ArrayLike,
  prototypes: ArrayLike,
  *,
  class_lengths: ArrayLike | None = None,
  feature_length: ArrayLike | None = 1.0,
  scaling: str = "paper",
  where: ArrayLike | None = None,
) -> jax.Array:
  r"""Compute the dot-regression loss of features, labels and prototypes.

  The target of an example of class :math:`y` is :math:`w = a_y m_y`, with
  :math:`m_y` column :math:`y` of `prototypes` and :math:`a_y` entry :math:`y`
  of `class_lengths`:

  .. math::
    \ell(h, y) = \frac{1}{2 \sqrt{E_H} |w|}
    \left( w^\top h - |w| \sqrt{E_H} \right)^2 , \qquad w = a_y m_y

  with ``scaling="paper"``, and :math:`|w|` times that with
  ``scaling="class_balanced"``.

  Args:
    features: floating ``[..., feature_dim]``.
    labels: integers ``[...]`` in ``[0, num_classes)``.
    prototypes: floating ``[feature_dim, num_classes]``, a column per class,
      such as `etf_jax.simplex_etf` makes. Lengths are measured; no column may
      be zero.
    class_lengths: ``[num_classes]`` > 0, as `etf_jax.etf.class_lengths` and
      `etf_jax.etf.batch_class_lengths` make; None is 1 for every class.
    feature_length: :math:`\sqrt{E_H}` > 0: a scalar or ``[...]``. None takes
      each feature's own length (at least 1e-8) without gradient.
    scaling: ``"paper"`` or ``"class_balanced"``, see `dot_regression`.
    where: boolean ``[...]``, the examples that count. The others give 0 and
      zero gradients whatever they hold.

  Returns:
    The loss of each example, ``[...]``; float64 if an input is, else float32.
    Under ``jit`` an out-of-range label makes its example's loss and gradient
    NaN.

  Raises:
    ValueError: if shapes do not match, `scaling` is unknown, a length is not
      positive, or, outside ``jit``, a label is out of range.

  Examples:
    >>> import jax.numpy as jnp
    >>> from etf_jax import losses
    >>> jnp.set_printoptions(precision=4)
    >>> prototypes = jnp.array([[1.0, -1.0], [0.0, 0.0]])
    >>> h = jnp.array([[1.0, 0.0], [0.6, 0.8]])
    >>> y = jnp.array([0, 1])
    >>> loss = losses.dot_regression_with_integer_labels(h, y, prototypes)
    >>> print(loss)
    [0.   1.28]

  References:
    Yang et al., `Inducing Neural Collapse in Imbalanced Learning: Do We Really
    Need a Learnable Classifier at the End of Deep Neural Network?
    <https://arxiv.org/abs/2203.09081>`_, 2022
  """
  features, prototypes = arrays.check_vectors(features, prototypes)
  num_classes = prototypes.shape[1]
  labels, valid, mask = arrays.check_labels(
    labels, num_classes, features.shape[:-1], where
  )
  targets = arrays.take_columns(prototypes, labels)
  if class_lengths is not None:
    lengths = jnp.asarray(class_lengths)
    if lengths.shape != (num_classes,):
      raise ValueError(
        f"class_lengths must have shape ({num_classes},), got {lengths.shape}"
      )
    arrays.check_positive("class_lengths", class_lengths)
    dtype = arrays.result_dtype(targets, lengths)
    lengths = arrays.take_rows(arrays.positive(lengths, dtype), labels)
    targets = targets.astype(dtype) * lengths[..., None]
  return arrays.finish(
    _dot_regression(features, targets, feature_length, scaling, mask),
    valid,
    mask,
  )


def feature_length_penalty(
  features: ArrayLike, *, where: ArrayLike | None = None
) -> jax.Array:
  r"""Compute the length of each feature, to be penalized.

  .. math::
    r(h) = |h|_2

  Where features are not normalized, dot regression with
  ``feature_length=None`` leaves their length free; the ImageNet-LT recipe adds
  0.01 times the mean of this term.

  Args:
    features: floating ``[..., feature_dim]``.
    where: boolean ``[...]``, the examples that count; the others give 0.

  Returns:
    The lengths, ``[...]``; float64 if `features` are, else float32. The
    gradient at a zero feature is zero.

  Raises:
    ValueError: if `features` have no axis or `where` does not match.

  Examples:
    >>> from etf_jax import losses
    >>> print(losses.feature_length_penalty([[3.0, 4.0], [0.0, 0.0]]))
    [5. 0.]

  References:
    Yang et al., `Inducing Neural Collapse in Imbalanced Learning: Do We Really
    Need a Learnable Classifier at the End of Deep Neural Network?
    <https://arxiv.org/abs/2203.09081>`_, 2022, and its published code
  """
  features = jnp.asarray(features)
  arrays.check_features(features)
  mask = arrays.check_mask(where, features.shape[:-1])
  features = features.astype(arrays.result_dtype(features))
  if mask is not None:
    features = jnp.where(mask[..., None], features, 0)
  return arrays.root(jnp.sum(features * features, axis=-1))


def _dot_regression(
  features: jax.Array,
  targets: jax.Array,
  feature_length: ArrayLike | None,
  scaling: str,
  mask: jax.Array | None,
) -> jax.Array:
  """Compute the loss, with finite gradients where the mask is False."""
  if scaling not in SCALINGS:
    raise ValueError(f"scaling must be one of {SCALINGS}, got {scaling!r}")
  goal = None if feature_length is None else jnp.asarray(feature_length)
  # A Python number takes the others' dtype, as everywhere in JAX.
  typed = None if isinstance(feature_length, float | int) else goal
  dtype = arrays.result_dtype(features, targets, typed)
  features, targets = features.astype(dtype), targets.astype(dtype)
  if mask is not None:
    # Before any arithmetic, or NaN would come back through the gradient.
    features = jnp.where(mask[..., None], features, 0)
    targets = jnp.where(mask[..., None], targets, 1)
  target_length = arrays.root(jnp.sum(targets * targets, axis=-1))
  if goal is None or feature_length is None:
    detached = jax.lax.stop_gradient(features)
    goal = jnp.sqrt(jnp.sum(detached * detached, axis=-1))
    goal = jnp.maximum(goal, _SMALLEST_LENGTH)
  else:
    if goal.shape not in ((), features.shape[:-1]):
      raise ValueError(
        f"feature_length must be a scalar or have shape {features.shape[:-1]}"
        f", got {goal.shape}"
      )
    if goal.ndim == 0 or mask is None:
      arrays.check_positive("feature_length", feature_length)
    goal = arrays.positive(goal, dtype)
    if mask is not None:
      goal = jnp.where(mask, goal, 1)
  residual = jnp.sum(features * targets, axis=-1) - target_length * goal
  if scaling == "paper":
    return arrays.ratio(residual * residual, 2 * target_length * goal)
  return residual * residual / (2 * goal)


def _masked(loss: jax.Array, mask: jax.Array | None) -> jax.Array:
  return loss if mask is None else jnp.where(mask, loss, 0)
