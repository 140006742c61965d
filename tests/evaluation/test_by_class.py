# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Scores and intervals by hand, and against scikit-learn and SciPy."""

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as references

from etf_jax.evaluation import by_class


def test_scores_by_hand():
  # Of class 0 two of four are right, and two of its three predictions; class 2
  # has no image, class 3 neither image nor prediction.
  confusion = [[2, 1, 1, 0], [1, 4, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
  found = by_class.scores(np.array(confusion))
  assert found.support.tolist() == [4, 5, 0, 0]
  np.testing.assert_allclose(found.precision, [2 / 3, 4 / 5, 0, np.nan])
  np.testing.assert_allclose(found.recall, [1 / 2, 4 / 5, np.nan, np.nan])
  np.testing.assert_allclose(found.f1, [4 / 7, 8 / 10, 0, np.nan])


@given(st.integers(0, 2**31), st.integers(1, 200))
def test_scores_are_those_of_scikit_learn(seed, number):
  rng = np.random.default_rng(seed)
  labels, predictions = rng.integers(0, 6, (2, number))
  confusion = references.confusion_matrix(
    labels, predictions, labels=np.arange(6)
  )
  precision, recall, f1, support = references.precision_recall_fscore_support(
    labels, predictions, labels=np.arange(6), zero_division=np.nan
  )
  found = by_class.scores(confusion)
  np.testing.assert_allclose(found.precision, precision)
  np.testing.assert_allclose(found.recall, recall)
  np.testing.assert_allclose(found.f1, f1)
  np.testing.assert_array_equal(found.support, support)


@pytest.mark.parametrize(
  ("right", "total"), [(0, 1), (1, 1), (3, 3), (81, 263), (9, 10), (500, 1000)]
)
def test_wilson_is_that_of_scipy(right, total):
  found = by_class.wilson(right, total)
  expected = stats.binomtest(right, total).proportion_ci(method="wilson")
  np.testing.assert_allclose(found, [expected.low, expected.high], atol=1e-12)


def test_wilson_by_hand():
  # No one right of 1: [0, z^2 / (1 + z^2)] = [0, 3.8415 / 4.8415].
  found = by_class.wilson(np.array([0, 0]), np.array([1, 0]))
  np.testing.assert_allclose(found[:, 0], [0, 3.8415 / 4.8415], atol=1e-5)
  assert np.isnan(found[:, 1]).all()


def test_the_interval_of_a_mean_recall():
  # Two classes of 400 and 100 images: the deviation of the mean recall is
  # sqrt(.25 / 400 + .16 / 100) / 2 = .02359, and the distribution near normal.
  right, total = np.array([200, 0, 80]), np.array([400, 0, 100])
  low, high = by_class.mean_recall_interval(right, total)
  assert low == pytest.approx(0.65 - 1.96 * 0.02359, abs=0.005)
  assert high == pytest.approx(0.65 + 1.96 * 0.02359, abs=0.005)
  # One image right and one wrong: 1/2 -+ z^2 / (1 + z^2) / 2.
  found = by_class.mean_recall_interval([1, 0], [1, 1])
  np.testing.assert_allclose(
    found, 0.5 + np.array([-1, 1]) * 0.39672, atol=1e-5
  )
  assert np.isnan(by_class.mean_recall_interval([0], [0])).all()
  one = by_class.mean_recall_interval([7, 0], [7, 0])
  np.testing.assert_allclose(one, by_class.wilson(7, 7))


@pytest.mark.parametrize("recall", [(0.5, 0.5, 0.5), (0.9, 0.4, 0.1)])
def test_coverage_of_small_classes(recall):
  """The probability, over all outcomes, that the interval holds the truth."""
  total, covered = np.array([9, 3, 2]), 0.0
  for right in np.ndindex(*(total + 1)):
    low, high = by_class.mean_recall_interval(right, total)
    if low <= np.mean(recall) <= high:
      covered += np.prod(stats.binom.pmf(right, total, recall))
  assert 0.92 < covered < 0.99


def test_the_most_confused_pairs():
  confusion = np.array([[9, 3, 0], [5, 1, 3], [0, 0, 2]])
  labels, predictions = (
    np.repeat(part.ravel(), confusion.ravel())
    for part in np.indices(confusion.shape)
  )
  found = by_class.confused_pairs(labels, predictions, 9)
  assert found == [(1, 0), (0, 1), (1, 2)]
  assert by_class.confused_pairs(labels, predictions, 1) == [(1, 0)]
  assert by_class.confused_pairs(labels, labels, 3) == []
