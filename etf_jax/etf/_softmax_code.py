# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Softmax codes, for more classes than a simplex frame has room for."""

import jax
import jax.numpy as jnp
import numpy as np

from etf_jax.etf._draws import check_sizes, draw, on_host
from etf_jax.etf._frames import simplex_etf


def softmax_code(
  key: jax.Array, feature_dim: int, num_classes: int
) -> tuple[jax.Array, jax.Array]:
  r"""Search for unit vectors with a large one-vs-rest margin (approximate).

  Where a simplex ETF does not fit (``feature_dim < num_classes - 1``) the frame
  that softmax training tends to is the softmax code, the unit columns whose
  smallest distance to the hull of the others is largest:

  .. math::
    \max_{W} \; \rho(W), \qquad \rho(W) = \min_k \,
    \operatorname{dist}\left( w_k, \operatorname{conv} \{ w_j \}_{j \ne k}
    \right)

  The problem is not convex: this follows a smoothed margin from one random
  start while the smoothing shrinks, and may end in a local optimum. Compare the
  margins of a few keys. Time grows as ``feature_dim * num_classes ** 2``: 500
  classes take about a minute on two CPU cores. Where the simplex ETF fits it is
  the answer, and is returned at once.

  Args:
    key: a `jax.random` key.
    feature_dim: d, at least 2, or 1 for two classes.
    num_classes: K, at least 2.

  Returns:
    The codes, float32 ``[feature_dim, num_classes]`` of unit columns, and a
    float32 scalar: a margin :math:`\rho` that these codes are certain to have
    up to rounding (a dual bound, within about 1e-3 of the exact one).

  Raises:
    ValueError: if the sizes are too small.

  Examples:
    >>> import jax
    >>> from etf_jax.etf import softmax_code
    >>> codes, margin = softmax_code(jax.random.key(0), 2, 4)
    >>> print(codes.shape, margin.round(2))
    (2, 4) 1.0

  References:
    Jiang et al., `Generalized Neural Collapse for a Large Number of Classes
    <https://arxiv.org/abs/2310.05351>`_, 2024
  """
  check_sizes(num_classes)
  if feature_dim >= num_classes - 1:
    codes = simplex_etf(key, feature_dim, num_classes)
    return codes, jnp.float32(num_classes / (num_classes - 1))
  if feature_dim < 2:
    raise ValueError(
      f"{num_classes} classes need feature_dim of at least 2, got {feature_dim}"
    )
  start = draw(jax.random.normal, key, (2, feature_dim, num_classes))
  if isinstance(start, np.ndarray):
    with jax.ensure_compile_time_eval():
      wide = np.asarray(_widen_margin(start))
  else:
    # Apart from what surrounds it, see `draw`.
    wide = jax.lax.optimization_barrier(_widen_margin(start))

  def certify(wide):
    wide = wide.astype(np.float64)
    unit = wide / np.linalg.norm(wide, axis=0)
    return unit, certified_margin(unit)

  shape = (feature_dim, num_classes)
  return on_host(certify, wide, (shape, jnp.float32), ((), jnp.float32))


@jax.jit
def _widen_margin(start: jax.Array) -> jax.Array:
  """Follow the smoothed one-vs-rest margin by Adam from a random start."""
  steps, first, last, rate = 3000, 0.5, 0.002, 0.03
  diagonal = jnp.eye(start.shape[-1], dtype=bool)

  def excess(pair, temperature):
    # Half the variables are the codes, half the directions that separate
    # each of them from the rest; the margin is the best over directions.
    codes, directions = pair / jnp.linalg.norm(pair, axis=1, keepdims=True)
    inner = codes.T @ directions
    gaps = inner - jnp.sum(codes * directions, axis=0, keepdims=True)
    gaps = jnp.where(diagonal, -jnp.inf, gaps / temperature)
    return temperature * jax.nn.logsumexp(gaps)

  def step(carry, fraction):
    pair, mean, square = carry
    temperature = first * (last / first) ** fraction
    gradient = jax.grad(excess)(pair, temperature)
    mean = 0.9 * mean + 0.1 * gradient
    square = 0.99 * square + 0.01 * gradient**2
    # The step shrinks with the smoothing, or it would leap over the optimum.
    size = rate * (temperature / first) ** 0.5
    pair -= size * mean / (jnp.sqrt(square) + 1e-12)
    pair /= jnp.linalg.norm(pair, axis=1, keepdims=True)
    return (pair, mean, square), None

  pair = start.at[1].set(start[0])
  carry = (pair, jnp.zeros_like(start), jnp.zeros_like(start))
  fractions = jnp.linspace(0.0, 1.0, steps, dtype=start.dtype)
  (pair, _, _), _ = jax.lax.scan(step, carry, fractions)
  return pair[0]


def certified_margin(codes: np.ndarray, steps: int = 2000) -> float:
  """Bound from below the smallest distance to the hull of the others.

  Finds the nearest points of all hulls at once by accelerated projected
  gradient on the simplex; any direction bounds the distance from below, and
  the one towards the nearest point attains it.
  """
  size = codes.shape[1]
  gram = codes.T @ codes
  smoothness = np.linalg.eigvalsh(gram)[-1]
  weights = (1.0 - np.eye(size)) / (size - 1)
  ahead, momentum = weights, 1.0
  best = np.zeros(size)
  for step in range(steps):
    # Column k holds the weights of the others in the hull point near k.
    moved = ahead - (gram @ ahead - gram) / smoothness
    np.fill_diagonal(moved, -np.inf)
    previous, weights = weights, _onto_simplex(moved)
    after = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
    ahead = weights + (momentum - 1) / after * (weights - previous)
    momentum = after
    if step % 50 == 49:
      direction = codes - codes @ weights
      distance = np.linalg.norm(direction, axis=0)
      inner = codes.T @ (direction / np.maximum(distance, 1e-12))
      itself = np.diag(inner).copy()
      np.fill_diagonal(inner, -np.inf)
      best = np.maximum(best, itself - inner.max(axis=0))
      if np.all(distance - best < 1e-5):
        break
  return float(best.min())


def _onto_simplex(columns: np.ndarray) -> np.ndarray:
  """Project each column onto the probability simplex."""
  descending = -np.sort(-columns, axis=0)
  finite = np.isfinite(descending)
  excess = np.cumsum(np.where(finite, descending, 0.0), axis=0) - 1
  rank = np.arange(1, columns.shape[0] + 1)[:, None]
  active = finite & (descending * rank > excess)
  last = active.sum(axis=0) - 1
  index = np.arange(columns.shape[1])
  threshold = excess[last, index] / (last + 1)
  return np.maximum(columns - threshold, 0)
