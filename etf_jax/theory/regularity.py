# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
r"""The regularity number: the progress of a gradient step to the optimum.

In use::

    from etf_jax.theory import regularity

    gradient = jax.grad(loss)(h)
    eta = regularity.regularity_number(h, gradient, optimum)
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from etf_jax import arrays as checks


def regularity_number(
  feature: ArrayLike,
  gradient: ArrayLike,
  optimum: ArrayLike,
  step_size: ArrayLike | None = None,
  *,
  radius: float | None = None,
) -> jax.Array:
  r"""Compute the factor by which a gradient step shrinks the squared distance.

  .. math::
    \eta = \frac{|h - \gamma g - h^*|^2}{|h - h^*|^2} , \qquad
    \gamma^* = \frac{\langle g, h - h^* \rangle}{|g|^2}

  with :math:`\gamma` the given step or the best one, :math:`\gamma^*`. Without
  `radius` the step is not projected back to the ball of features: so the
  paper's equation 16 is an equality, for a feature of length
  :math:`\sqrt{E_H}` at angle :math:`\theta` to the prototype :math:`w` of a
  simplex ETF with lengths :math:`\sqrt{E_W}`:

  * Dot regression has :math:`\eta = (1 + \cos\theta) / 2` at
    :math:`\gamma^* = \sqrt{E_H / E_W}`, one step size for all features.
  * Cross entropy with equal probabilities of the other classes has the same
    :math:`\eta`, at :math:`\gamma^* = \sqrt{E_H / E_W} (1 - \cos\theta) (K - 1)
    / (K (1 - p))`, which depends on the feature: any fixed step gives a larger
    :math:`\eta` at other features.

  Definition 2 of the paper projects the step. Then the order is the opposite
  near the optimum: at :math:`\theta = .1`, :math:`\gamma = 1`, ten classes and
  unit lengths dot regression has .990 and cross entropy .298. Projected steps
  converge linearly on cross entropy and sublinearly on dot regression, whose
  gradient vanishes at the optimum.

  Args:
    feature: floating ``[..., feature_dim]``, :math:`h`.
    gradient: floating, the shape of `feature`, :math:`g`: of a loss with
      respect to the feature.
    optimum: floating, the shape of `feature`, :math:`h^*`.
    step_size: :math:`\gamma`, a scalar or ``[...]``; None takes the best step
      of each feature without projection.
    radius: :math:`\sqrt{E_H}`, of the ball that :math:`h - \gamma g` is
      projected to; None does not project.

  Returns:
    :math:`\eta`, ``[...]``, at least 0, and at most 1 with the best step; NaN
    where the feature is the optimum, and where the gradient is zero and the
    best step is wanted. float64 if an input is, else float32.

  Raises:
    ValueError: if an input is not floating or shapes do not match.

  Examples:
    >>> import jax
    >>> import jax.numpy as jnp
    >>> from etf_jax import losses
    >>> from etf_jax.theory import regularity
    >>> w = jnp.array([1.0, 0.0])
    >>> h = jnp.array([jnp.cos(0.5), jnp.sin(0.5)])
    >>> g = jax.grad(losses.dot_regression)(h, w)
    >>> print(f"{regularity.regularity_number(h, g, optimum=w):.4f}")
    0.9388
    >>> print(f"{(1 + jnp.cos(0.5)) / 2:.4f}")
    0.9388

  References:
    Yang et al., `Inducing Neural Collapse in Imbalanced Learning: Do We Really
    Need a Learnable Classifier at the End of Deep Neural Network?
    <https://arxiv.org/abs/2203.09081>`_, 2022, definition 2 and theorem 2
  """
  named = {"feature": feature, "gradient": gradient, "optimum": optimum}
  arrays = {name: jnp.asarray(x) for name, x in named.items()}
  shape = arrays["feature"].shape
  for name, x in arrays.items():
    if x.ndim == 0 or not jnp.issubdtype(x.dtype, jnp.floating):
      raise ValueError(
        f"{name} must be floating with shape [..., feature_dim], got {x.dtype} "
        f"of shape {x.shape}"
      )
    if x.shape != shape:
      raise ValueError(
        f"{name} must have the feature's shape {shape}, got {x.shape}"
      )
  step = None
  # A Python number takes the others' dtype, as everywhere in JAX.
  typed = None
  if step_size is not None:
    step = jnp.asarray(step_size)
    typed = None if isinstance(step_size, float | int) else step
    if step.shape not in ((), shape[:-1]):
      raise ValueError(
        f"step_size must be a scalar or have shape {shape[:-1]}, got "
        f"{step.shape}"
      )
  dtype = checks.result_dtype(*arrays.values(), typed)
  h, g, best = (x.astype(dtype) for x in arrays.values())
  error = h - best
  if step is None:
    # The best step's result does not depend on the gradient's length, and the
    # square of a small one would underflow.
    g = g / jnp.max(jnp.abs(g), axis=-1, keepdims=True, initial=0)
    step = jnp.sum(g * error, axis=-1) / jnp.sum(g * g, axis=-1)
  step = step.astype(dtype)
  taken = (step if step.ndim == 0 else step[..., None]) * g
  remaining = error - taken
  if radius is not None:
    reached = h - taken
    length = jnp.linalg.norm(reached, axis=-1, keepdims=True)
    remaining = reached * (radius / jnp.maximum(length, radius)) - best
  distance = jnp.sum(error * error, axis=-1)
  ratio = jnp.sum(remaining * remaining, axis=-1) / distance
  return jnp.where(distance > 0, ratio, jnp.nan)
