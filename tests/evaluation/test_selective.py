# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Risk and coverage: numbers worked out by hand, and invariants."""

import itertools

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from etf_jax.evaluation import selective

ANSWERS = st.lists(
  st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=7
)


def test_by_hand():
  scores = np.array([0.5, 0.9, 0.7, 0.6])
  correct = np.array([True, True, False, True])
  # In the order .9, .7, .6, .5: right, wrong, right, right.
  expected = [0, 1 / 2, 1 / 3, 1 / 4]
  np.testing.assert_allclose(selective.risks(scores, correct), expected)
  assert selective.aurc(scores, correct) == pytest.approx(13 / 48)
  assert selective.table(scores, correct, (1.0, 0.7, 0.25)) == [
    {"coverage": 1.0, "accuracy": 0.75, "threshold": 0.5},
    {"coverage": 0.75, "accuracy": pytest.approx(2 / 3), "threshold": 0.6},
    {"coverage": 0.25, "accuracy": 1.0, "threshold": 0.9},
  ]


def test_a_share_of_whole_images_is_not_rounded_up():
  # 0.7 * 10 is 7.000000000000001 in floating point for 0.1 * 7 * 10.
  scores, correct = np.arange(10), np.ones(10, bool)
  rows = selective.table(scores, correct, (0.1 * 7, 0.35))
  assert [row["coverage"] for row in rows] == [0.7, 0.4]


@given(ANSWERS)
def test_equal_scores_count_as_their_mean_over_orders(answers):
  scores, correct = map(np.array, zip(*answers, strict=True))
  orders = [
    [right for _, right in order]
    for order in itertools.permutations(answers)
    if all(a >= b for (a, _), (b, _) in itertools.pairwise(order))
  ]
  wrong = ~np.array(orders)
  expected = np.mean(np.cumsum(wrong, axis=1), axis=0)
  expected /= np.arange(1, len(answers) + 1)
  found = selective.risks(scores, correct)
  np.testing.assert_allclose(found, expected, atol=1e-12)
  assert found[-1] == pytest.approx(1 - np.mean(correct))


@given(ANSWERS, st.randoms(use_true_random=False))
def test_the_order_of_the_images_does_not_matter(answers, random):
  first = selective.aurc(*map(np.array, zip(*answers, strict=True)))
  random.shuffle(answers)
  second = selective.aurc(*map(np.array, zip(*answers, strict=True)))
  assert first == pytest.approx(second, abs=1e-12)
