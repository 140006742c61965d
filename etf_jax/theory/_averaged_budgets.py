# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The modes of `learnable_layer_peeled` that share one averaged budget."""

from collections.abc import Callable
import math
from typing import NamedTuple

import numpy as np
from scipy import optimize


class Problem(NamedTuple):
  """Cluster sizes, log R and the largest nuclear norm."""

  majority: int
  minority: int
  log_ratio: float
  budget: float


class Slopes(NamedTuple):
  """Logs of how fast the loss falls with each part of the budget.

  Logs, because the slopes themselves underflow on large budgets.
  """

  majority: float
  minority: float
  between: float


class Cluster(NamedTuple):
  """The loss of one cluster's samples, and the logs of its two slopes."""

  loss: float
  within: float
  between: float


def _cluster(
  classes: int, other: int, within: float, between: float
) -> Cluster:
  r"""Evaluate a cluster of `classes` classes beside one of `other` classes.

  ``within`` is :math:`(K_j - 1) a_j`; ``between`` is :math:`\sqrt{K K_B} x` for
  A and :math:`\sqrt{K K_A} y` for B, so that the last term of the nuclear norm
  is their Euclidean length.
  """
  total = classes + other
  sibling = within / (classes - 1) if classes > 1 else 0.0
  outsider = (within + between * math.sqrt(total / other)) / classes
  loss = math.log1p(
    (classes - 1) * math.exp(-sibling) + other * math.exp(-outsider)
  )
  inside = np.logaddexp(-sibling, math.log(other / classes) - outsider) - loss
  across = 0.5 * math.log(total * other) - math.log(classes) - outsider - loss
  return Cluster(loss, float(inside) if classes > 1 else -math.inf, across)


def clusters(
  problem: Problem, majority: float, minority: float, log_tangent: float
) -> tuple[Cluster, Cluster]:
  """Evaluate both clusters, weighted by their share of the samples.

  The remaining budget goes between the clusters; ``log_tangent`` says in which
  proportion the columns of the two use it.
  """
  between = (problem.budget - majority) - minority
  cosine, sine = cosine_and_sine(log_tangent)
  a = _cluster(problem.majority, problem.minority, majority, between * cosine)
  b = _cluster(problem.minority, problem.majority, minority, between * sine)
  odds = math.log(problem.majority / problem.minority) + problem.log_ratio

  def weigh(share: float, cluster: Cluster) -> Cluster:
    within, between = share + cluster.within, share + cluster.between
    return Cluster(math.exp(share) * cluster.loss, within, between)

  first, second = -np.logaddexp(0, -odds), -np.logaddexp(0, odds)
  return weigh(float(first), a), weigh(float(second), b)


def cosine_and_sine(log_tangent: float) -> tuple[float, float]:
  return (
    math.exp(-0.5 * np.logaddexp(0, 2 * log_tangent)),
    math.exp(-0.5 * np.logaddexp(0, -2 * log_tangent)),
  )


def best_tangent(problem: Problem, majority: float, minority: float) -> float:
  """Find where the gradient points along the budget's arc."""

  def misalignment(log_tangent: float) -> float:
    a, b = clusters(problem, majority, minority, log_tangent)
    return a.between - b.between + log_tangent

  # Its slope is at least 1, which bounds how far away the root can be.
  reach = abs(misalignment(0.0)) + 1
  return optimize.brentq(misalignment, -reach, reach, xtol=1e-15, rtol=1e-15)


def slopes(problem: Problem, majority: float, minority: float) -> Slopes:
  tangent = best_tangent(problem, majority, minority)
  a, b = clusters(problem, majority, minority, tangent)
  between = 0.5 * np.logaddexp(2 * a.between, 2 * b.between)
  return Slopes(a.within, b.within, float(between))


def best_minority(problem: Problem, majority: float) -> float:
  """Find the minority's part of the budget, given the majority's."""

  def excess(minority: float) -> float:
    found = slopes(problem, majority, minority)
    return found.minority - found.between

  return sign_change(excess, problem.budget - majority)


def best_majority(
  problem: Problem, minority_of: Callable[[Problem, float], float]
) -> float:
  """Find the majority's part of the budget, given the minority's answer.

  Comparing with what lies between the clusters is enough even where nothing
  does: its slope is at least the lesser of the other two there, so the majority
  cannot be worth more than it and less than the minority.
  """

  def excess(majority: float) -> float:
    found = slopes(problem, majority, minority_of(problem, majority))
    return found.majority - found.between

  return sign_change(excess, problem.budget)


def sign_change(function: Callable[[float], float], high: float) -> float:
  """Find where on ``[0, high]`` a function turns from positive to negative."""
  if function(0.0) <= 0:
    return 0.0
  if function(high) >= 0:
    return high
  # Relative to the bracket: budgets span many orders of magnitude.
  return optimize.brentq(function, 0.0, high, xtol=1e-15 * high, rtol=1e-15)
