# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
r"""The layer-peeled model with a budget for each vector, and two clusters.

Yang et al., 2022, equation 4 as printed: :math:`|w_k|^2 \le E_W` and
:math:`|h_{k,i}|^2 \le E_H`. In the Gram matrix of all vectors this is convex,
and exchangeable classes make the optimum symmetric inside each cluster: a
vector of cluster j is :math:`\alpha_j s_k + u_j` with :math:`s_k` the unit
vectors of a simplex ETF over the cluster and :math:`u_j` in a space that all
clusters share; four dimensions of it hold every such Gram matrix. Four unit
vectors :math:`(\alpha, u)` of five numbers are thus the unknowns.

The optimum is certified. Where the norms of :math:`Z = W^\top H` allowed by the
budgets meet the gradient :math:`G` of the loss, every :math:`p, q > 0` bound
:math:`-\langle G, Z' \rangle` over all admissible :math:`Z'` by
:math:`\sqrt{E_W E_H} (\sum p + \sum q) / 2` times the operator norm of
:math:`\mathrm{diag}(p)^{-1/2} G\, \mathrm{diag}(q)^{-1/2}`.
"""

from typing import NamedTuple

import numpy as np
from scipy import optimize

# The certified error of the loss, relative to the loss.
TOLERANCE = 1e-6
_STARTS = 8


class PerVector(NamedTuple):
  """The optimum; `[K, K]` float64 with the majority's classes first."""

  logits: np.ndarray
  classifier_cosines: np.ndarray
  feature_cosines: np.ndarray
  loss: float
  gap: float  # bound on the loss above the minimum


def solve(sizes: tuple[int, int], ratio: float, length: float) -> PerVector:
  """Find the optimum for vectors whose lengths have the product `length`.

  Args:
    sizes: (K_A, K_B), classes of the majority and of the minority.
    ratio: samples of a majority class over those of a minority class.
    length: sqrt(E_W E_H).

  Raises:
    RuntimeError: if no start comes within the tolerance; names the gap.
  """
  number = np.array(sizes, np.float64)
  shares = number * [ratio, 1.0] / (number @ [ratio, 1.0])
  random = np.random.default_rng(0)
  gap = np.inf
  for _ in range(_STARTS):
    start = random.normal(size=(4, 5))
    start[:, 0] = 2.0
    result = optimize.minimize(
      _loss,
      start.ravel(),
      args=(number, np.log(shares), length),
      jac=True,
      method="BFGS",
      options={"gtol": 1e-12, "maxiter": 5000},
    )
    solution = _solution(result.x, sizes, shares, length)
    if solution.gap <= TOLERANCE * solution.loss:
      return solution
    gap = min(gap, solution.gap / solution.loss)
  raise RuntimeError(
    "the layer-peeled model with a budget for each vector did not converge:"
    f" the loss is only known to {gap:.2g} of it"
  )


def _unit(x: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Split into unit vectors `[2, 2, 5]` (W, H; A, B) and lengths."""
  vectors = x.reshape(2, 2, 5) * np.append([0.0], np.ones(4))
  vectors[..., 0] = x.reshape(2, 2, 5)[..., 0] * (sizes > 1)
  lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
  return vectors / lengths, lengths


def _loss(
  x: np.ndarray, sizes: np.ndarray, log_shares: np.ndarray, length: float
) -> tuple[float, np.ndarray]:
  """Evaluate the log of the loss, which does not saturate, and its slope."""
  (w, h), lengths = _unit(x, sizes)
  others = np.maximum(sizes - 1, 1)
  inside = length * w[:, 0] * h[:, 0] * (1 + 1 / others)
  stranger = np.sum(w[::-1, 1:] * h[:, 1:], axis=1)
  across = length * (np.sum(w * h, axis=1) - stranger)
  with np.errstate(divide="ignore"):
    terms = np.array([np.log(sizes - 1) - inside, np.log(sizes[::-1]) - across])
  odds = np.logaddexp(*terms)
  each = log_shares + np.log(np.logaddexp(0, odds))
  value = np.logaddexp(*each)
  # Slopes of the log of the loss in `inside` and in `across`.
  slope = np.exp(each - value) / (np.logaddexp(0, odds) * (1 + np.exp(-odds)))
  by_inside, by_across = -slope * np.exp(terms - odds)
  dw, dh = length * by_across[:, None] * h, length * by_across[:, None] * w
  dw[:, 0] += length * by_inside * h[:, 0] * (1 + 1 / others)
  dh[:, 0] += length * by_inside * w[:, 0] * (1 + 1 / others)
  dw[::-1, 1:] -= length * by_across[:, None] * h[:, 1:]
  dh[:, 1:] -= length * by_across[:, None] * w[::-1, 1:]
  slopes, units = np.array([dw, dh]), np.array([w, h])
  radial = np.sum(slopes * units, axis=-1, keepdims=True)
  slopes = (slopes - radial * units) / lengths
  slopes[..., 0] *= sizes > 1
  return float(value), slopes.ravel()


def _solution(
  x: np.ndarray, sizes: tuple[int, int], shares: np.ndarray, length: float
) -> PerVector:
  """Write the vectors out and certify them."""
  number = np.array(sizes)
  (w, h), _ = _unit(x, number)
  cluster = np.repeat([0, 1], sizes)
  same = cluster[:, None] == cluster
  identity = np.eye(cluster.size)
  simplex = identity - (same - identity) / np.maximum(number - 1, 1)[cluster]

  def products(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    within = (left[:, 0] * right[:, 0])[cluster] * simplex
    return within + (left[:, 1:] @ right[:, 1:].T)[np.ix_(cluster, cluster)]

  logits = length * products(w, h)
  shifted = logits - logits.max(0)
  log_total = np.log(np.exp(shifted).sum(0))
  each = (shares / number)[cluster]
  loss = float(each @ (log_total - np.diag(shifted)))
  slope = (np.exp(shifted - log_total) - np.eye(cluster.size)) * each
  # What the vectors pull with, at the optimum the multipliers of the budgets.
  p = -(slope * logits).sum(1) / length
  q = -(slope * logits).sum(0) / length
  gap = np.inf
  if (p > 0).all() and (q > 0).all():
    norm = np.linalg.norm(slope / np.sqrt(np.outer(p, q)), 2)
    gap = length * (p.sum() + q.sum()) / 2 * norm + (slope * logits).sum()
  return PerVector(logits, products(w, w), products(h, h), loss, float(gap))
