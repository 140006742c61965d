# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Regression at its optimum, and its penalty."""

import numpy as np
from probing_blobs import blobs
import pytest
from scipy import optimize, special

from etf_jax.probing import downstream, regression


@pytest.mark.parametrize("classes", [2, 4])
def test_regression_is_at_the_optimum(classes):
  features, labels = blobs(90, 6, classes, seed=1)
  features = 40 * features + 7
  held_out = np.arange(90) % 3 == 0
  found = regression.fit(features, labels, classes, held_out=held_out)
  assert found.converged
  # In the coordinates of the objective, by SciPy from zeros.
  rows = np.float64(features) - np.float64(features).mean(axis=0)
  scale = np.sqrt(np.mean(rows**2))
  rows /= scale

  def objective(flat):
    weights = flat.reshape(7, classes)
    logits = rows @ weights[:6] + weights[6]
    losses = special.logsumexp(logits, axis=1) - logits[range(90), labels]
    return losses.sum() + found.penalty / 2 * np.sum(weights[:6] ** 2)

  kernel = found.kernel * scale
  bias = found.bias + np.float64(features).mean(axis=0) @ found.kernel
  best = optimize.minimize(
    objective, np.zeros(7 * classes), method="BFGS", options={"gtol": 1e-4}
  )
  value = objective(np.vstack([kernel, bias]).ravel())
  assert value == pytest.approx(best.fun, rel=1e-6)
  np.testing.assert_allclose(
    kernel, best.x.reshape(7, classes)[:6], atol=2e-3 * np.abs(kernel).max()
  )


def test_the_penalty_is_the_best_of_the_grid_on_held_out_images():
  """Against all 45, each fitted alone."""
  from sklearn.linear_model import LogisticRegression

  features, labels = blobs(120, 8, 3, seed=2, spread=3.0)
  held_out = np.arange(120) % 2 == 0
  found = regression.fit(features, labels, 3, held_out=held_out)
  rows = np.float64(features) - np.float64(features).mean(axis=0)
  rows /= np.sqrt(np.mean(rows**2))
  scores = {}
  for penalty in regression.PENALTIES[::4]:
    model = LogisticRegression(C=1 / penalty, max_iter=5000, tol=1e-6)
    model.fit(rows[~held_out], labels[~held_out])
    scores[penalty] = model.score(rows[held_out], labels[held_out])
  assert found.penalty in regression.PENALTIES
  assert found.score >= max(scores.values()) - 1 / 60
  assert found.penalty > 1e-3
  assert min(scores.values()) < found.score


def test_regression_does_not_see_where_features_lie_or_how_long_they_are():
  features, labels = blobs(60, 4, 3)
  held_out = np.arange(60) % 4 == 0
  one, other = (
    regression.fit(x, labels, 3, held_out=held_out)
    for x in (features, 1e3 * features - 5e3)
  )
  assert one.penalty == other.penalty
  np.testing.assert_allclose(
    one.kernel, 1e3 * other.kernel, rtol=2e-2, atol=1e-3
  )
  np.testing.assert_array_equal(
    one.predict(features), other.predict(1e3 * features - 5e3)
  )


def test_regression_needs_every_class_and_held_out_images():
  features, labels = blobs(12, 3, 3)
  for held_out in (labels == 1, np.zeros(12, bool)):
    with pytest.raises(ValueError, match="every class"):
      regression.fit(features, labels, 3, held_out=held_out)


def test_the_mean_of_the_classes():
  labels = np.array([0, 0, 0, 0, 2, 2])
  predicted = np.array([0, 0, 0, 1, 2, 1])
  # 3/4 and 1/2; class 1 has no image.
  assert downstream.mean_per_class(labels, predicted) == 0.625
  assert regression.accuracy(labels, predicted) == 4 / 6
