# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
import functools

import hypothesis
from hypothesis import strategies as st
import numpy as np
import pytest

from etf_jax.data import long_tail
from etf_jax.errors import InputError

_NAMES = ("ant", "bee", "cat", "dog")
_RATIOS = st.floats(0.02, 1.0)


@pytest.mark.parametrize(
  ("num_classes", "imbalance", "total"),
  [
    (10, 0.005, 11_203),
    (10, 0.01, 12_406),
    (10, 0.02, 13_996),
    (100, 0.005, 9_502),
    (100, 0.01, 10_847),
    (100, 0.02, 12_608),
  ],
)
def test_published_totals_of_cifar(num_classes, imbalance, total):
  names = tuple(map(str, range(num_classes)))
  rng = np.random.default_rng(0)
  labels = rng.permutation(
    np.repeat(np.arange(num_classes), 50_000 // num_classes)
  )
  counts = long_tail.realized_counts(
    labels, names, profile="exponential", imbalance=imbalance
  )
  assert counts.sum() == total
  indices = long_tail.select(labels, counts, seed=0)
  np.testing.assert_array_equal(np.bincount(labels[indices]), counts)


def test_exponential_counts_of_cifar10_at_a_hundredth():
  np.testing.assert_array_equal(
    long_tail.exponential_counts(5000, 10, 0.01),
    [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50],
  )


@pytest.mark.parametrize(
  ("num_classes", "expected"),
  [(2, [100, 5]), (3, [100, 5, 5]), (4, [100, 100, 5, 5])],
)
def test_step_counts(num_classes, expected):
  np.testing.assert_array_equal(
    long_tail.step_counts(100, num_classes, 0.05), expected
  )


def test_a_whole_product_is_not_rounded_down():
  # In float64, 100 * 0.29 is 28.999999999999996.
  assert long_tail.exponential_counts(100, 2, 0.29)[1] == 29
  assert long_tail.step_counts(100, 2, 0.29)[1] == 29


@hypothesis.given(
  largest=st.integers(1, 10_000),
  num_classes=st.integers(2, 50),
  imbalance=_RATIOS,
)
def test_counts_fall_from_the_largest_to_its_share(
  largest, num_classes, imbalance
):
  for count in (
    long_tail.exponential_counts,
    long_tail.step_counts,
    long_tail.pareto_counts,
  ):
    counts = count(largest, num_classes, imbalance)
    assert counts[0] == largest
    assert np.all(np.diff(counts) <= 0)
    assert largest * imbalance - 1 < counts[-1] <= largest * imbalance + 1e-4


def test_a_small_class_gives_what_it_has():
  # N // K = 52 // 4 = 13, and class 1 has 2 of the 7 that are its share.
  labels = np.repeat(np.arange(4), [20, 2, 15, 15])
  counts = long_tail.realized_counts(
    labels, _NAMES, profile="exponential", imbalance=0.125
  )
  # 13 * 0.125**(k/3) = 13, 6.5, 3.25, 1.625.
  np.testing.assert_array_equal(counts, [13, 2, 3, 1])
  indices = long_tail.select(labels, counts, seed=3)
  np.testing.assert_array_equal(np.bincount(labels[indices]), counts)


def test_profile_none_keeps_everything():
  labels = np.array([0, 1, 1, 2, 2, 2, 3])
  counts = long_tail.realized_counts(
    labels, _NAMES, profile="none", imbalance=0.01
  )
  np.testing.assert_array_equal(counts, [1, 2, 3, 1])
  np.testing.assert_array_equal(
    long_tail.select(labels, counts, seed=0), np.arange(7)
  )


@hypothesis.given(
  labels=st.lists(st.integers(0, 3), min_size=40, max_size=80),
  seed=st.integers(0, 2**40),
  ratios=st.tuples(_RATIOS, _RATIOS),
)
def test_selections_are_nested_sorted_and_repeatable(labels, seed, ratios):
  labels = np.array([0, 1, 2, 3, *labels])
  small, large = (
    long_tail.select(labels, long_tail.exponential_counts(30, 4, ratio), seed)
    for ratio in sorted(ratios)
  )
  assert set(small) <= set(large)
  assert np.all(np.diff(large) > 0)
  np.testing.assert_array_equal(
    large,
    long_tail.select(
      labels, long_tail.exponential_counts(30, 4, max(ratios)), seed
    ),
  )


def test_selection_of_a_class_ignores_the_other_classes():
  alone = np.full(50, 1)
  among = np.concatenate([np.zeros(30, int), alone, np.full(9, 2)])
  np.testing.assert_array_equal(
    long_tail.select(among, np.array([0, 7, 0]), seed=5) - 30,
    long_tail.select(alone, np.array([0, 7]), seed=5),
  )


def test_every_image_is_as_likely_as_another():
  labels = np.zeros(10, int)
  chosen = np.zeros(10)
  for seed in range(2000):
    chosen[long_tail.select(labels, np.array([3]), seed)] += 1
  # Binomial(2000, 0.3): mean 600, deviation 20.5; five deviations either way.
  assert np.all(np.abs(chosen - 600) < 5 * 20.5)


def test_selection_of_seed_0_is_what_it_always_was():
  labels = np.tile([0, 1], 10)
  # Every published subset follows from these. If you meant this change,
  # update here and say so in the change log.
  np.testing.assert_array_equal(
    long_tail.select(labels, np.array([4, 3]), seed=0),
    [2, 4, 6, 9, 11, 15, 16],
  )
  training, validation = long_tail.hold_out(
    labels, ("a", "b"), fraction=0.2, seed=0
  )
  np.testing.assert_array_equal(validation, [3, 5, 12, 14])
  assert len(training) == 16


@hypothesis.given(
  sizes=st.lists(st.integers(10, 40), min_size=2, max_size=4),
  fraction=st.sampled_from([0.1, 0.25, 0.5, 0.9]),
  seed=st.integers(0, 1000),
)
def test_hold_out_takes_the_fraction_of_each_class(sizes, fraction, seed):
  labels = np.random.default_rng(seed).permutation(
    np.repeat(np.arange(len(sizes)), sizes)
  )
  training, validation = long_tail.hold_out(
    labels, _NAMES[: len(sizes)], fraction=fraction, seed=seed
  )
  np.testing.assert_array_equal(
    np.sort(np.concatenate([training, validation])), np.arange(len(labels))
  )
  np.testing.assert_array_equal(
    np.bincount(labels[validation]),
    [int(fraction * size + 1e-6) for size in sizes],
  )
  assert np.all(np.diff(training) > 0)
  assert np.all(np.diff(validation) > 0)


def test_hold_out_and_selection_are_drawn_apart():
  # The first images of one common order would make the two the same.
  labels = np.zeros(100, int)
  selected = long_tail.select(labels, np.array([50]), seed=0)
  _, held_out = long_tail.hold_out(labels, ("a",), fraction=0.5, seed=0)
  assert 10 < len(np.intersect1d(selected, held_out)) < 40


def test_hold_out_of_nothing():
  training, validation = long_tail.hold_out(
    np.array([0, 1, 1]), ("a", "b"), fraction=0.0, seed=0
  )
  np.testing.assert_array_equal(training, [0, 1, 2])
  assert validation.size == 0


@pytest.mark.parametrize(
  ("fraction", "expected"),
  [(0.1, [2, 1, 1, 0]), (0.2, [4, 1, 1, 0]), (0.6, [12, 4, 1, 0])],
)
def test_a_class_of_a_tail_gives_what_it_can(fraction, expected):
  labels = np.repeat(np.arange(4), [20, 8, 2, 1])
  training, validation = long_tail.hold_out(
    labels, _NAMES, fraction=fraction, seed=0
  )
  held_out = np.bincount(labels[validation], minlength=4)
  assert held_out.tolist() == expected
  np.testing.assert_array_equal(
    np.bincount(labels[training], minlength=4), [20, 8, 2, 1] - held_out
  )


def realized(labels, names=_NAMES, profile="exponential", imbalance=0.5, **kw):
  return long_tail.realized_counts(
    np.array(labels), names, profile=profile, imbalance=imbalance, **kw
  )


def hold_out(labels, fraction):
  return long_tail.hold_out(np.array(labels), _NAMES, fraction=fraction, seed=0)


OF_20 = np.repeat(np.arange(4), 20)
EMPTY = r"class 2 \('cat'\) has no training image; remove .* or add"
OUTSIDE = r"config.data.imbalance={} must be above 0 and at most 1"
FRACTION = "config.data.validation_fraction="


@pytest.mark.parametrize(
  ("call", "message"),
  [
    *(
      (functools.partial(count, 100, 10, imbalance), OUTSIDE.format(imbalance))
      for imbalance in (0, -0.1, 1.5, float("nan"))
      for count in (
        long_tail.exponential_counts,
        long_tail.step_counts,
        long_tail.pareto_counts,
      )
    ),
    (
      lambda: realized(range(4), profile="none", imbalance=-1),
      OUTSIDE.format(-1),
    ),
    (lambda: realized([0], ("a",)), "a long tail needs at least 2 classes"),
    (
      lambda: realized(range(4), profile="exponental"),
      r"config.data.profile='exponental': .* mean 'exponential'\? .*published",
    ),
    (lambda: realized([0, 1, 3, 3]), EMPTY),
    (lambda: hold_out([0, 1, 3, 3], 0.0), EMPTY),
    # 20 * 0.01**(2/3) is 0.93.
    (
      lambda: realized(OF_20, imbalance=0.01),
      r"config.data.imbalance=0.01 leaves class 2 \('cat'\) .* least 0.05$",
    ),
    *(
      (functools.partial(hold_out, range(4), share), FRACTION + f"{share:g} ")
      for share in (-0.1, 1.0, float("nan"))
    ),
    (lambda: hold_out(range(4), 0.2), FRACTION + "0.2: .*; set it to 0"),
    (
      lambda: long_tail.select(np.arange(4), np.ones(4, int), seed=-1),
      "config.data.seed=-1 must be at least 0",
    ),
  ],
)
def test_arguments_out_of_range(call, message):
  with pytest.raises(InputError, match=message):
    call()


def test_the_smallest_imbalance_leaves_an_image():
  assert realized(OF_20, imbalance=0.05)[-1] == 1
