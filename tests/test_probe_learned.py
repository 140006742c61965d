# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Classifiers on fixed features, beside NumPy and SciPy in float64."""

import numpy as np
import pytest
from scipy import optimize, special

from etf_jax.probing import downstream, linear, regression, summary, views


def blobs(size, width, classes, seed=0, spread=1.5):
  """Features that overlap, and their classes, each of them present."""
  rng = np.random.default_rng(seed)
  labels = rng.permutation(np.arange(size) % classes)
  centres = rng.normal(size=(classes, width))
  features = centres[labels] + spread * rng.normal(size=(size, width))
  return features.astype(np.float32), labels


def descent(features, labels, classes, *, epochs, batch_size, rate):
  """The same descent, step by step in float64."""
  rows = np.hstack([features.astype(np.float64), np.ones((len(labels), 1))])
  weights = np.zeros((rows.shape[1], classes))
  for epoch in range(epochs):
    order = linear.order(3, epoch, len(labels))
    for start in range(0, len(labels), batch_size):
      chosen = order[start : start + batch_size]
      errors = special.softmax(rows[chosen] @ weights, axis=1)
      errors -= np.eye(classes)[labels[chosen]]
      weights -= rate * rows[chosen].T @ errors / len(chosen)
  return weights[:-1], weights[-1]


@pytest.mark.parametrize("size", [60, 53, 7])
def test_descent_is_that_of_numpy(size):
  features, labels = blobs(size, 5, 3)
  how = {"epochs": 3, "batch_size": 20}
  found = linear.train(features, labels, 3, learning_rate=0.7, seed=3, **how)
  kernel, bias = descent(features, labels, 3, rate=0.7, **how)
  np.testing.assert_allclose(found.kernel, kernel, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(found.bias, bias, rtol=1e-4, atol=1e-5)
  expected = np.argmax(features @ kernel + bias, axis=1)
  np.testing.assert_array_equal(found.predict(features), expected)


def test_an_epoch_sees_every_image_once_and_in_another_order():
  first, second = (linear.order(0, epoch, 30) for epoch in (0, 1))
  assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(30))
  assert first.tolist() != second.tolist()


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


def test_a_plane_by_hand():
  # Templates in the plane z = 1: the first axis points from a to b.
  templates = np.array([[0.0, 3.0, 0.0], [0.0, 0.0, 3.0], [1.0, 1.0, 1.0]])
  points = np.array([[1.0, 1.0, 9.0], [3.0, 0.0, -2.0], [1.0, 2.0, 0.0]])
  np.testing.assert_allclose(
    views.project(points, templates), [[0, 0], [2, -1], [0, 1]], atol=1e-12
  )
  # The corners of a frame of three keep their distances.
  frame = np.eye(5)[:, :3]
  corners = views.project(frame.T, frame)
  apart = np.linalg.norm(corners[:, None] - corners[None], axis=-1)
  np.testing.assert_allclose(apart, np.sqrt(2) * (1 - np.eye(3)), atol=1e-12)
  np.testing.assert_allclose(corners.mean(axis=0), 0, atol=1e-12)


def test_no_plane_through_a_line():
  with pytest.raises(ValueError, match="on one line"):
    views.project(np.eye(2), np.array([[0.0, 1.0, 2.0], [0.0, 1.0, 2.0]]))
  with pytest.raises(ValueError, match="3 templates, got 2"):
    views.project(np.eye(2), np.eye(2))


def test_differences_are_paired_by_seed():
  ours = [{"seed": s, "x": x} for s, x in ((0, 0.5), (1, 0.9), (7, 0.1))]
  theirs = [{"seed": s, "x": x} for s, x in ((1, 0.7), (0, 0.4), (2, 0.0))]
  mean, error, number = summary.paired(ours, theirs, lambda row: row["x"])
  # 0.1 and 0.2: the deviation is 0.1 / sqrt(2), the error that over sqrt(2).
  assert (mean, error) == pytest.approx((0.15, 0.05))
  assert number == 2
  assert summary.paired(ours[:1], theirs, lambda row: row["x"])[1:] == (None, 1)
  assert summary.paired(ours[2:], theirs, lambda row: row["x"])[2] == 0


def test_tsne_keeps_clusters_and_is_the_same_each_time():
  rng = np.random.default_rng(0)
  features = 0.1 * rng.normal(size=(40, 6))
  features[:20] += 3
  points = views.EMBEDDINGS["tsne"](features)
  assert points.shape == (40, 2)
  apart = np.linalg.norm(points[:, None] - points[None], axis=-1)
  nearest = np.argsort(apart, axis=1)[:, 1]
  np.testing.assert_array_equal(nearest < 20, np.arange(40) < 20)
  np.testing.assert_array_equal(points, views.EMBEDDINGS["tsne"](features))
