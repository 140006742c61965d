# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The layer-peeled model with a fixed classifier.

In use::

    from etf_jax import simplex_etf
    from etf_jax.theory import layer_peeled

    prototypes = simplex_etf(jax.random.key(0), 64, 10)
    peeled = layer_peeled.solve_layer_peeled(
      prototypes, class_counts, feature_energy=5
    )
"""

import collections
from collections.abc import Callable
import dataclasses
import functools

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
import numpy as np

from etf_jax import arrays

LOSSES = ("ce", "dr")

_LOSS_TOLERANCE = 1e-8
_INNER_PRODUCT_TOLERANCE = 1e-6
# The distances below hold to first order; this leaves room for the rest.
_MARGIN = 10
_MAX_STEPS = 2000


@dataclasses.dataclass(frozen=True, eq=False)
class LayerPeeled:
  """The optimum for a fixed classifier.

  Attributes:
    features: float64 ``[num_classes, feature_dim]``; all samples of a class
      share its row.
    loss: the mean over samples; cross entropy in nats.
  """

  features: np.ndarray
  loss: float


def solve_layer_peeled(
  prototypes: ArrayLike,
  class_counts: ArrayLike,
  *,
  feature_energy: float,
  loss: str = "ce",
) -> LayerPeeled:
  r"""Find the best features for a classifier that is not learned.

  .. math::
    \min_H \frac{1}{N} \sum_{k} \sum_{i=1}^{n_k} \ell(h_{k,i}, k)
    \quad \text{s.t.} \quad |h_{k,i}|^2 \le E_H

  For a simplex ETF of length :math:`\sqrt{E_W}` and any counts both losses lead
  to neural collapse,

  .. math::
    h_k^\top w_{k'} = \sqrt{E_H E_W}
    \left( \frac{K}{K-1} \delta_{k,k'} - \frac{1}{K-1} \right) ,

  at a cross entropy of :math:`\log(1 + (K-1) e^{-\sqrt{E_W E_H} K / (K-1)})`.

  The problem is convex and, the classifier being fixed, splits into one for
  each class, so the counts weigh the loss and cannot move a feature. Dot
  regression is zero at one point of the ball, that of full length along the
  class's vector. Cross entropy is minimized through the log odds of a wrong
  answer, of which it is an increasing function: those do not saturate. They
  are solved by projected gradient until bounds that hold for convex functions
  meet the tolerances. Steps are spectral: they grow where the loss is flat.

  Args:
    prototypes: ``[feature_dim, num_classes]``, any classifier, a column per
      class, of at least 2 classes. Lengths are measured. Dot regression needs
      columns that are not zero.
    class_counts: samples per class, ``[num_classes]``, finite, positive.
    feature_energy: :math:`E_H` > 0, a squared length.
    loss: ``"ce"``, cross entropy, or ``"dr"``, dot regression (equation 14).

  Returns:
    A `LayerPeeled`, within 1e-8 of the least loss of every class and with inner
    products of features and prototypes within 1e-6, whatever JAX's 64-bit
    setting. Where the optimum is not unique it has no part outside the span of
    the prototypes.

  Raises:
    ValueError: if shapes, values or the loss's name are wrong.
    RuntimeError: if the tolerances are not met, with the class and what is
      missing.

  Examples:
    >>> import numpy as np
    >>> from etf_jax.theory import layer_peeled
    >>> simplex = np.array([[1, -0.5, -0.5], [0, 0.75**0.5, -(0.75**0.5)]])
    >>> peeled = layer_peeled.solve_layer_peeled(
    ...   simplex, [90, 9, 1], feature_energy=4
    ... )
    >>> print((peeled.features @ simplex).round(4))
    [[ 2. -1. -1.]
     [-1.  2. -1.]
     [-1. -1.  2.]]
    >>> print(round(peeled.loss, 4), round(np.log(1 + 2 * np.exp(-3)), 4))
    0.0949 0.0949

  References:
    Yang et al., `Inducing Neural Collapse in Imbalanced Learning: Do We Really
    Need a Learnable Classifier at the End of Deep Neural Network?
    <https://arxiv.org/abs/2203.09081>`_, 2022, equations 5 and 14, theorem 1;
    Birgin, Martínez and Raydan, `Nonmonotone spectral projected gradient
    methods on convex sets <https://doi.org/10.1137/S1052623497330963>`_, 2000
  """
  if loss not in LOSSES:
    raise ValueError(f"loss must be one of {LOSSES}, got {loss!r}")
  weights = _checked_prototypes(prototypes, loss)
  arrays.check_counts(class_counts, weights.shape[1])
  counts = np.asarray(class_counts, np.float64)
  arrays.check_positive("feature_energy", feature_energy)
  radius = float(feature_energy) ** 0.5
  if loss == "dr":
    unit = weights / np.linalg.norm(weights, axis=0)
    return LayerPeeled(radius * unit.T, 0.0)
  with jax.enable_x64(True):
    features, log_odds = _minimize(
      lambda h: tuple(np.asarray(x) for x in _evaluate(weights, h)),
      functools.partial(_shortfall, weights, radius),
      weights.shape[::-1],
      radius,
    )
  values = np.logaddexp(0, log_odds)
  return LayerPeeled(features, float(values @ counts / counts.sum()))


def _checked_prototypes(prototypes: ArrayLike, loss: str) -> np.ndarray:
  weights = np.asarray(prototypes, np.float64)
  if weights.ndim != 2 or weights.shape[0] < 1 or weights.shape[1] < 2:
    raise ValueError(
      "prototypes must have shape [feature_dim, num_classes] with at least 2 "
      f"classes, got {weights.shape}"
    )
  if not np.isfinite(weights).all():
    raise ValueError("prototypes must be finite")
  absent = ~weights.any(axis=0)
  if loss == "dr" and absent.any():
    raise ValueError(
      f"prototypes must not be zero for loss='dr': class {np.argmax(absent)} is"
    )
  return weights


@jax.jit
def _evaluate(
  prototypes: jax.Array, features: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Evaluate the log odds and their gradients, ``[K]`` and ``[K, d]``."""

  def log_odds(feature: jax.Array, label: jax.Array) -> jax.Array:
    logits = feature @ prototypes
    others = jnp.arange(logits.size) != label
    return jax.nn.logsumexp(logits, where=others) - logits[label]

  labels = jnp.arange(prototypes.shape[1])
  return jax.vmap(jax.value_and_grad(log_odds))(features, labels)


def _shortfall(
  prototypes: np.ndarray,
  radius: float,
  features: np.ndarray,
  gradients: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
  r"""Bound what is missing in the loss and in inner products, ``[K]`` each.

  A convex function falls by no more than :math:`g^\top (h - v)` from
  :math:`h`, with :math:`v` the point of the ball that :math:`-g` points to; the
  loss is no steeper than what is minimized. The optimum is its own
  :math:`v`: near one on the sphere :math:`|h - v|` is at least the distance to
  it, to first order.
  """
  steepness = np.linalg.norm(gradients, axis=1)
  gap = np.sum(gradients * features, axis=1) + radius * steepness
  longest = np.linalg.norm(prototypes, axis=0).max()
  nearest = -gradients / _positive(steepness)[:, None]
  distance = np.linalg.norm(features - radius * nearest, axis=1)
  lengths = np.linalg.norm(features, axis=1)
  inside = (lengths < radius * (1 - 1e-9)) & (gap < _LOSS_TOLERANCE)
  for k in np.flatnonzero(inside & (distance > 0)):
    curvature = _least_curvature(prototypes, features[k], int(k))
    if curvature > 0:
      distance[k] = min(distance[k], steepness[k] / curvature)
  return np.maximum(gap, 0), longest * distance


def _least_curvature(
  prototypes: np.ndarray, feature: np.ndarray, label: int
) -> float:
  """Return the least curvature of the log odds where the gradient can point."""
  logits = np.delete(feature @ prototypes, label)
  odds = np.exp(logits - logits.max())
  odds /= odds.sum()
  differences = np.delete(prototypes, label, axis=1)
  differences = differences - prototypes[:, [label]]
  basis, spread, _ = np.linalg.svd(differences, full_matrices=False)
  differences = basis[:, spread > 1e-12 * spread[0]].T @ differences
  mean = differences @ odds
  hessian = (differences * odds) @ differences.T - np.outer(mean, mean)
  return float(np.linalg.eigvalsh(hessian)[0])


def _minimize(
  evaluate: Callable[[np.ndarray], tuple[np.ndarray, ...]],
  shortfall: Callable[..., tuple[np.ndarray, np.ndarray]],
  shape: tuple[int, int],
  radius: float,
) -> tuple[np.ndarray, np.ndarray]:
  """Take spectral projected gradient steps on balls, of each row a size."""
  features = np.zeros(shape)
  values, gradients = evaluate(features)
  recent = collections.deque([values], maxlen=10)
  # The first step is as long as the ball is wide.
  steps = radius / _positive(np.linalg.norm(gradients, axis=1))
  for _ in range(_MAX_STEPS):
    missing = shortfall(features, gradients)
    active = (missing[0] > _LOSS_TOLERANCE) | (
      _MARGIN * missing[1] > _INNER_PRODUCT_TOLERANCE
    )
    if not active.any():
      return features, values
    before, slopes = features, gradients
    features, values, gradients = _search(
      evaluate, before, slopes, steps * active, np.max(recent, axis=0), radius
    )
    recent.append(values)
    moved, bent = features - before, gradients - slopes
    curvature = np.sum(moved * bent, axis=1)
    steps = np.sum(moved * moved, axis=1) / _positive(curvature)
    # Without curvature, nearly the point of the ball that the slope points to.
    longest = 1e8 * radius / _positive(np.linalg.norm(gradients, axis=1))
    steps = np.where(curvature > 0, np.minimum(steps, longest), longest)
  k = int(np.argmax(active))
  raise RuntimeError(
    f"no convergence in {_MAX_STEPS} steps for class {k}: the loss is within "
    f"{missing[0][k]:.1e} of its least value ({_LOSS_TOLERANCE:g} is wanted), "
    f"inner products within {missing[1][k]:.1e} "
    f"({_INNER_PRODUCT_TOLERANCE / _MARGIN:g} is wanted)"
  )


def _search(
  evaluate: Callable[[np.ndarray], tuple[np.ndarray, ...]],
  features: np.ndarray,
  gradients: np.ndarray,
  steps: np.ndarray,
  reference: np.ndarray,
  radius: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Halve each row's step until its value is low enough."""
  for _ in range(60):
    trial = features - steps[:, None] * gradients
    lengths = np.linalg.norm(trial, axis=1, keepdims=True)
    trial *= radius / np.maximum(lengths, radius)
    values, slopes = evaluate(trial)
    promised = 1e-4 * np.sum(gradients * (trial - features), axis=1)
    # Values are not known better than this, and slopes are.
    rounding = 1e-14 * (1 + np.abs(reference))
    enough = values <= reference + promised + rounding
    if enough.all():
      break
    steps = np.where(enough, steps, steps / 2)
  return trial, values, slopes


def _positive(x: np.ndarray) -> np.ndarray:
  """Return `x` where it is positive, 1 where dividing by it would fail."""
  return np.where(x > 0, x, 1)
