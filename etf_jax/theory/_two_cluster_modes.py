# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The two equations of `two_clusters`: with and without the cross mode."""

from typing import NamedTuple

import numpy as np
from scipy import optimize, special

# Log-odds beyond which a probability cannot be told from 0 in float64.
_LOG_ODDS = 700.0
# Of log(tan(theta)); the counts may differ by a factor of exp(160).
_LOG_TANGENT = 80.0
ACCURACY = {"xtol": 1e-15, "rtol": 1e-15}


class Problem(NamedTuple):
  """Arrays are `[2]`, the larger classes first."""

  sizes: np.ndarray  # K_A, K_B
  others: np.ndarray  # K_B, K_A
  counts: np.ndarray
  spread: np.ndarray  # tau
  # log((1 - tau) K / tau), which a follows from; -inf for a cluster whose
  # classes are not told apart.
  spare: np.ndarray
  # All that a column gives to the other cluster and, times its size, to one
  # other class of its own: tau, and 1 for a cluster that is not told apart.
  ceiling: np.ndarray
  lambda_z: float
  # K / (N lambda_b); 0 without bias.
  leverage: float


class Columns(NamedTuple):
  """The columns of each cluster; `[2]` each."""

  odds: np.ndarray  # log(q / (ceiling - q))
  mass: np.ndarray  # q
  # Minus the logits c_BA and c_AB.
  depths: np.ndarray
  # The minority's bias minus the majority's.
  tilt: float


def problem_of(sizes, counts, lambda_z, lambda_b) -> Problem:
  """Take sizes and counts with the larger classes first."""
  total = sizes @ counts
  spread = total * lambda_z / np.sqrt(counts)
  distinct = (sizes > 1) & (spread < 1)
  ceiling = np.where(distinct, spread, 1)
  with np.errstate(divide="ignore"):
    spare = np.log((1 - ceiling) * sizes) - np.log(ceiling)
  return Problem(
    sizes=sizes,
    others=sizes[::-1],
    counts=counts,
    spread=spread,
    spare=spare,
    ceiling=ceiling,
    lambda_z=lambda_z,
    leverage=0.0 if lambda_b is None else sizes.sum() / (total * lambda_b),
  )


def scales_of(problem: Problem, odds: np.ndarray) -> np.ndarray:
  """Return the a that go with the q."""
  return np.logaddexp(0, problem.spare + np.logaddexp(0, odds))


def _balance(problem: Problem, odds: np.ndarray) -> np.ndarray:
  """Return the excess of the other cluster's bias at depth 0."""
  base = np.log(problem.sizes / problem.others)
  return odds + base - scales_of(problem, odds) / problem.sizes


def _tilt(problem: Problem, mass: np.ndarray) -> float:
  """Return the bias by its first-order condition."""
  majority, minority = problem.counts * mass / problem.others
  return problem.leverage * (minority - majority)


def without_cross_mode(problem: Problem) -> Columns:
  """Find the optimum among c_AB = c_BA = 0 where the minority's a is 0."""
  base = np.log(problem.sizes[0] / problem.sizes[1])

  def columns(odds: float) -> Columns:
    tilt = _balance(problem, np.array([odds, 0.0]))[0]
    both = np.array([odds, base - tilt])
    mass = problem.ceiling * special.expit(both)
    return Columns(both, mass, np.zeros(2), tilt)

  def residual(odds: float) -> float:
    found = columns(odds)
    return found.tilt - _tilt(problem, found.mass)

  return columns(optimize.brentq(residual, -_LOG_ODDS, _LOG_ODDS, **ACCURACY))


def cross_excess(problem: Problem, columns: Columns) -> float:
  """Negative where the cross mode is worth its penalty."""
  ratio = np.sqrt(problem.sizes.sum() / problem.others)
  return 1 - np.sum((ratio * columns.mass / problem.spread) ** 2)


def with_cross_mode(problem: Problem) -> Columns:
  """Find the optimum where the cross mode is not 0, by its angle."""
  share = problem.sizes / problem.sizes.sum()
  root = np.sqrt(share[::-1])
  weights = np.sqrt(problem.counts * problem.others)
  distinct = problem.spare > -np.inf

  def columns(log_tangent: float) -> tuple[Columns, float]:
    unit = np.sqrt(special.expit(2 * log_tangent * np.array([-1, 1])))
    mass = problem.spread * root * unit
    # ceiling - mass, without cancellation where the classes are told apart.
    left = problem.spread * (share * unit**2 + unit[::-1] ** 2)
    left /= 1 + root * unit
    left = np.where(distinct, left, np.maximum(1 - mass, np.exp(-_LOG_ODDS)))
    odds = np.log(mass / left)
    tilt = _tilt(problem, mass)
    depths = np.array([tilt, -tilt]) - _balance(problem, odds)
    depths *= share
    lengths = weights * depths
    turn = lengths[1] * unit[0] - lengths[0] * unit[1]
    return Columns(odds, mass, depths, tilt), turn

  log_tangent = optimize.brentq(
    lambda x: columns(x)[1], -_LOG_TANGENT, _LOG_TANGENT, **ACCURACY
  )
  return columns(log_tangent)[0]
