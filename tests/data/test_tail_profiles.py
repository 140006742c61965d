# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The Pareto profile, and counts that are given one by one."""

import hypothesis
from hypothesis import strategies as st
import numpy as np
import pytest

from etf_jax.data import long_tail
from etf_jax.errors import InputError

_NAMES = ("ant", "bee", "cat", "dog")


@pytest.mark.parametrize(
  ("num_classes", "alpha", "places", "expected"),
  [
    # (4 / (k + 1) - 1) / 3 = 1, 1/3, 1/9, 0 of 90, and 10.
    (4, 1.0, [0, 1, 2, 3], [100, 40, 20, 10]),
    # The square roots: 2, 1.4142, 1.1547, 1; 10 + 90 * .4142 = 47.28, 23.92.
    (4, 2.0, [0, 1, 2, 3], [100, 47, 23, 10]),
    # 64**(1/6) = 2; (64 / 8)**(1/6) = 1.4142; (64 / 27)**(1/6) = 1.1547.
    (64, 6.0, [0, 7, 26, 63], [100, 47, 23, 10]),
  ],
)
def test_pareto_counts_by_hand(num_classes, alpha, places, expected):
  counts = long_tail.pareto_counts(100, num_classes, 0.1, alpha)
  assert counts.dtype == np.int64
  np.testing.assert_array_equal(counts[places], expected)


def test_pareto_counts_resemble_imagenet_lt():
  # Published: 115,846 images, about 385 classes above 100, 136 below 20.
  counts = long_tail.pareto_counts(1280, 1000, 5 / 1280)
  assert (counts[0], counts[-1]) == (1280, 5)
  assert counts.sum() == 121_449
  assert abs(np.sum(counts > 100) - 385) < 25
  assert abs(np.sum(counts < 20) - 136) < 10


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("nan"), float("inf")])
def test_alpha_outside_its_range(alpha):
  with pytest.raises(InputError, match=f"alpha={alpha:g} of a Pareto tail"):
    long_tail.pareto_counts(100, 4, 0.1, alpha)


def test_pareto_profile_of_labels():
  labels = np.repeat(np.arange(4), 100)
  counts = long_tail.realized_counts(
    labels, _NAMES, profile="pareto", imbalance=0.1
  )
  # 4**(1/6) = 1.25992, 2**(1/6) = 1.12246, (4/3)**(1/6) = 1.04912:
  # 10 + 90 * .12246 / .25992 = 52.4 and 10 + 90 * .04912 / .25992 = 27.0.
  np.testing.assert_array_equal(counts, [100, 52, 27, 10])


def test_listed_counts_are_clipped_to_what_a_class_has():
  labels = np.repeat(np.arange(4), [20, 2, 15, 15])
  counts = long_tail.realized_counts(
    labels, _NAMES, profile="list", imbalance=1.0, counts=(7, 5, 15, 1)
  )
  assert counts.dtype == np.int64
  np.testing.assert_array_equal(counts, [7, 2, 15, 1])
  indices = long_tail.select(labels, counts, seed=0)
  np.testing.assert_array_equal(np.bincount(labels[indices]), counts)


@pytest.mark.parametrize(
  ("profile", "counts", "message"),
  [
    ("list", (7, 5, 15), "config.data.counts has 3 .* 4 classes; give one"),
    ("list", (), "config.data.counts has 0 .* 4 classes; give one for each"),
    ("list", (7, 5, 0, 1), r"config.data.counts\[2\]=0 \(class 'cat'\) must"),
    ("list", (7, -5, 1, 1), r"config.data.counts\[1\]=-5 \(class 'bee'\) must"),
    (
      "list",
      (7, 5, 1, 2.5),
      r"counts\[3\]=2.5 \(class 'dog'\) must be a whole",
    ),
    ("step", (7, 5, 1, 2), "config.data.counts is for .*profile='list'.*; set"),
  ],
)
def test_counts_that_cannot_be_used(profile, counts, message):
  labels = np.repeat(np.arange(4), 20)
  with pytest.raises(InputError, match=message):
    long_tail.realized_counts(
      labels, _NAMES, profile=profile, imbalance=0.5, counts=counts
    )


@pytest.mark.parametrize(
  ("profile", "imbalance", "total", "expected"),
  [
    ("exponential", 0.125, 15, [8, 4, 2, 1]),
    ("exponential", 0.125, 16, [9, 4, 2, 1]),  # .533 .267 .133 .067 are left
    ("step", 0.5, 10, [3, 3, 2, 2]),  # .333 .333 .667 .667 are left
    ("step", 0.5, 7, [3, 2, 1, 1]),  # .333 .333 .167 .167: the first of equals
    ("exponential", 1.0, 6, [2, 2, 1, 1]),
  ],
)
def test_counts_that_add_up(profile, imbalance, total, expected):
  labels = np.repeat(np.arange(4), 10)
  counts = long_tail.realized_counts(
    labels, _NAMES, profile=profile, imbalance=imbalance, total=total
  )
  np.testing.assert_array_equal(counts, expected)
  chosen = long_tail.select(labels, counts, seed=3)
  np.testing.assert_array_equal(np.bincount(labels[chosen]), expected)


@hypothesis.given(
  total=st.integers(0, 1_000_000),
  num_classes=st.integers(2, 200),
  imbalance=st.floats(1e-3, 1.0),
  profile=st.sampled_from(["exponential", "step", "pareto"]),
)
def test_apportioned_counts(total, num_classes, imbalance, profile):
  counts = long_tail.apportioned_counts(total, num_classes, imbalance, profile)
  assert counts.sum() == total
  assert (np.diff(counts) <= 0).all()
  # Without rounding they would be a multiple of the profile's.
  like = long_tail.apportioned_counts(10**12, num_classes, imbalance, profile)
  assert np.abs(counts - total * (like / 10**12)).max() < 1 + 1e-5


@pytest.mark.parametrize(
  ("profile", "total", "message"),
  [
    ("exponential", 50, r"images=50 gives class 0 .*27 of its 10 .*: lower"),
    ("exponential", 4, r"images=4 gives class 3 .*0 of its 10 .*: raise"),
    ("none", 4, r"config.data.images=4 does .*profile='none'; leave it out"),
  ],
)
def test_totals_that_cannot_be(profile, total, message):
  labels = np.repeat(np.arange(4), 10)
  with pytest.raises(InputError, match=message):
    long_tail.realized_counts(
      labels, _NAMES, profile=profile, imbalance=0.125, total=total
    )
