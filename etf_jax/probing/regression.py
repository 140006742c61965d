# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""L2-regularized multinomial regression, its penalty chosen on held-out images.

learned = regression.fit(features, labels, num_classes, held_out=mask)
predicted = learned.predict(test_features)

The protocol of Kornblith et al., Do Better ImageNet Models Transfer Better?,
2019: L-BFGS, 45 penalties from 1e-6 to 1e5, and a last fit on all images.
"""

from collections.abc import Callable
from typing import NamedTuple
import warnings

import numpy as np
from sklearn import exceptions, linear_model
import threadpoolctl

PENALTIES = np.logspace(-6, 5, 45)
_ITERATIONS = 1000
# Below so many products N d K an iteration, threads spend most of their time in
# waiting for each other.
_MANY = 1e8
# Of the largest entry of the gradient of the mean loss.
_TOLERANCE, _LAST_TOLERANCE = 1e-4, 1e-5
# Each eighth penalty first, then closer and closer around the best.
_STRIDES = (8, 4, 2, 1)


class Regression(NamedTuple):
  """A fitted regression.

  Attributes:
    kernel: floats `[d, K]`, of features as they were given.
    bias: floats `[K]`.
    penalty: lambda, see `fit`.
    score: on the held-out images, with the model of the others.
    converged: whether the last fit came to its end within 1,000 iterations.
  """

  kernel: np.ndarray
  bias: np.ndarray
  penalty: float
  score: float
  converged: bool

  def predict(self, features: np.ndarray) -> np.ndarray:
    """Return the class, int64 `[N]`, of each of the features `[N, d]`."""
    return np.argmax(features @ self.kernel + self.bias, axis=1)


def accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
  """Return the share of right predictions, in [0, 1]."""
  return float(np.mean(labels == predicted))


def fit(
  features: np.ndarray,
  labels: np.ndarray,
  num_classes: int,
  *,
  held_out: np.ndarray,
  score: Callable[[np.ndarray, np.ndarray], float] = accuracy,
) -> Regression:
  r"""Fit a multinomial regression.

  .. math::
    \min_{W, b} \sum_i -\log p_{y_i}(W^\top x_i + b)
    + \frac{\lambda}{2} |W|_F^2 , \qquad
    x = \frac{h - \bar h}{\sqrt{\mathrm{mean}\, (h - \bar h)^2}}

  The one mean and the one scale make a penalty mean the same for features of
  any length; the directions of features keep their weight.

  Args:
    features: floats `[N, d]`; computed in float64.
    labels: integers `[N]` in 0..K-1, each of them at least once among the
      images that are not held out.
    num_classes: K >= 2.
    held_out: booleans `[N]`: on which of them the penalty is chosen. All are
      fitted in the end.
    score: (labels, predicted) to what is to be large. Of equals the largest
      penalty is taken.

  Raises:
    ValueError: a class without an image to fit, or nothing held out.
  """
  rows = np.asarray(features, np.float64)
  mean = rows.mean(axis=0)
  rows = rows - mean
  scale = np.sqrt(np.mean(rows**2)) or 1.0
  rows /= scale
  present = np.bincount(labels[~held_out], minlength=num_classes) > 0
  if not present.all() or not held_out.any():
    raise ValueError(
      "held_out must leave images of every class to fit, and hold some"
    )
  fitted = rows[~held_out], labels[~held_out]
  chosen_on, expected = rows[held_out], labels[held_out]
  model = linear_model.LogisticRegression(
    max_iter=_ITERATIONS, tol=_TOLERANCE, warm_start=True
  )
  scores = {}

  def try_one(place):
    if place in scores or not 0 <= place < len(PENALTIES):
      return
    _fit(model, *fitted, PENALTIES[place])
    scores[place] = score(expected, model.predict(chosen_on))

  # From strong penalties to weak ones, each from where the last one ended.
  for place in reversed(range(0, len(PENALTIES), _STRIDES[0])):
    try_one(place)
  for stride in _STRIDES[1:]:
    best = _best(scores)
    for place in (best + stride, best - stride):
      try_one(place)
  best = _best(scores)
  model.set_params(tol=_LAST_TOLERANCE)
  converged = _fit(model, rows, labels, PENALTIES[best])
  kernel, bias = model.coef_.T / scale, model.intercept_
  if num_classes == 2:  # which scikit-learn fits as one vector
    kernel, bias = kernel * [[-0.5, 0.5]], bias * [-0.5, 0.5]
  return Regression(
    kernel,
    bias - mean @ kernel,
    float(PENALTIES[best]),
    float(scores[best]),
    converged,
  )


def _best(scores):
  return max(scores, key=lambda place: (scores[place], place))


def _fit(model, rows, labels, penalty) -> bool:
  """Fit, and return True if the solver converged."""
  # Two opposite vectors of half the length have half of the penalty of one.
  two = np.unique(labels).size == 2
  model.set_params(C=(2 if two else 1) / penalty)
  few = rows.size * np.unique(labels).size < _MANY
  with (
    threadpoolctl.threadpool_limits(1 if few else None),
    warnings.catch_warnings(record=True) as caught,
  ):
    warnings.simplefilter("always", exceptions.ConvergenceWarning)
    model.fit(rows, labels)
  return not any(
    issubclass(w.category, exceptions.ConvergenceWarning) for w in caught
  )
