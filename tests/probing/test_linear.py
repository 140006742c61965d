# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Stochastic gradient descent beside NumPy in float64."""

import numpy as np
from probing_blobs import blobs
import pytest
from scipy import special

from etf_jax.probing import linear


def descent(features, labels, classes, *, epochs, batch_size, rate):
  """Do the same descent, step by step in float64."""
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
