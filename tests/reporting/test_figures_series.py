# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Series over epochs, and their means over seeds."""

import numpy as np

from etf_jax.reporting.figures import series


def test_missing_values_leave_means_of_the_others():
  values = np.array([[1.0, np.nan, np.nan], [3.0, 5.0, np.nan]])
  mean, deviation = series.mean_and_deviation(values)
  np.testing.assert_allclose(mean, [2, 5, np.nan])
  np.testing.assert_allclose(deviation, [2**0.5, np.nan, np.nan])


def test_seeds_with_other_epochs_are_averaged_where_they_meet():
  pairs = [
    (np.array([1.0, 2.0]), np.array([1.0, 2.0])),
    (np.array([2.0, 3.0]), np.array([4.0, 5.0])),
  ]
  epochs, mean, deviation = series.over_seeds(pairs)
  np.testing.assert_array_equal(epochs, [1, 2, 3])
  np.testing.assert_allclose(mean, [1, 3, 5])
  np.testing.assert_allclose(deviation, [np.nan, 2**0.5, np.nan])


def test_a_training_curve_has_as_many_steps_at_each_point():
  """A row of one step, where an epoch ends, is joined to the next ones."""
  rows = [
    {"step": 4, "epoch": 1.0, "loss": 1.0},
    {"step": 5, "epoch": 1.25, "loss": 9.0},
    {"step": 8, "epoch": 2.0, "loss": 2.0},
    {"step": 12, "epoch": 3.0, "loss": None},
    {"step": 14, "epoch": 3.5, "loss": np.nan},
    {"step": 18, "epoch": 4.5, "loss": 5.0},
  ]
  epochs, values = series.loss(rows)
  np.testing.assert_array_equal(epochs, [1, 2, 3.5, 4.5])
  np.testing.assert_array_equal(values, [1, (9 + 3 * 2) / 4, np.nan, 5])
  assert not series.loss([])[0].size
  many = [{"step": n, "epoch": n / 10, "loss": n} for n in range(1, 601)]
  epochs, values = series.loss(many)
  np.testing.assert_allclose(epochs, np.arange(4, 601, 4) / 10)
  np.testing.assert_allclose(values, np.arange(2.5, 600, 4))
