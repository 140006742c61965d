# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Examples that an epoch visits: each once, or with known frequencies."""

import pickle

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from etf_jax.data import sampling
from etf_jax.errors import InputError

# Classes of 600, 100, 30 and 5 examples, in no order; class 2 is absent.
COUNTS = np.array([600, 100, 0, 30, 5])
LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(5), COUNTS))


def visits(name, epochs, **options):
  """Count the visits of each example, `[epochs, N]`."""
  sampler = sampling.make_sampler(name, LABELS, **options)
  return np.stack(
    [
      np.bincount(sampler.order(0, epoch), minlength=len(LABELS))
      for epoch in epochs
    ]
  )


def assert_shares(found, expected):
  """Draw per example against their expectation, by class and inside it."""
  draws = found.sum()
  for k in np.flatnonzero(COUNTS):
    mine = found[:, k == LABELS].sum(axis=0)
    p = expected[k]
    # Five standard deviations of a binomial.
    assert abs(mine.sum() / draws - p) < 5 * np.sqrt(p * (1 - p) / draws)
    # Uniform inside the class: a chi-square statistic of n - 1 degrees.
    mean = draws * p / COUNTS[k]
    chi = ((mine - mine.mean()) ** 2 / mean).sum()
    freedom = COUNTS[k] - 1
    assert abs(chi - freedom) < 6 * np.sqrt(2 * freedom)


@given(
  size=st.integers(1, 300),
  seed=st.integers(0, 2**40),
  epoch=st.integers(0, 500),
)
def test_instance_visits_each_example_once(size, seed, epoch):
  order = sampling.make_sampler("instance", np.zeros(size)).order(seed, epoch)
  assert order.dtype == np.int32
  np.testing.assert_array_equal(np.sort(order), np.arange(size))


def test_the_order_is_that_of_raw_random_numbers():
  # NumPy promises the raw stream; the numbers were written down once.
  order = sampling.make_sampler("instance", np.zeros(8)).order(seed=7, epoch=3)
  bits = np.random.Generator(
    np.random.PCG64(np.random.SeedSequence([7, 3, 0]))
  ).integers(0, 2**64, 8, dtype=np.uint64)
  np.testing.assert_array_equal(order, np.argsort(bits))
  assert order.tolist() == [2, 4, 7, 3, 5, 1, 0, 6]


@pytest.mark.parametrize("name", sampling.SAMPLERS)
def test_seed_and_epoch_decide_and_nothing_else(name):
  sampler = sampling.make_sampler(name, LABELS, total_epochs=9)
  asked = {(s, e): sampler.order(s, e) for s in (1, 0) for e in (7, 0, 3)}
  assert len({order.tobytes() for order in asked.values()}) == 6
  copy = pickle.loads(pickle.dumps(sampler))
  for (seed, epoch), order in asked.items():
    assert order.shape == (sampler.size,)
    np.testing.assert_array_equal(order, copy.order(seed, epoch))


def test_class_balanced():
  expected = np.where(COUNTS > 0, 1 / 4, 0)
  assert_shares(visits("class_balanced", range(40)), expected)


def test_square_root():
  expected = np.sqrt(COUNTS) / np.sqrt(COUNTS).sum()
  assert_shares(visits("square_root", range(40)), expected)


@pytest.mark.parametrize("passed", [0.0, 0.5, 1.0])
def test_progressively_balanced(passed):
  found = visits("progressively_balanced", [int(40 * passed)], total_epochs=41)
  natural, balanced = COUNTS / COUNTS.sum(), np.where(COUNTS > 0, 1 / 4, 0)
  assert_shares(found, (1 - passed) * natural + passed * balanced)


def test_progress_ends_with_the_run():
  # The last epoch of 3.5 is the fourth; later ones do not go beyond it.
  sampler = sampling.make_sampler(
    "progressively_balanced", LABELS, total_epochs=3.5
  )
  share = [
    np.mean(LABELS[sampler.order(0, epoch)] == 0) for epoch in (0, 3, 50)
  ]
  np.testing.assert_allclose(share, [600 / 735, 0.25, 0.25], atol=0.08)


def test_two_epochs_go_from_natural_shares_to_balanced_ones():
  labels = np.repeat([0, 1], [9000, 1000])
  sampler = sampling.make_sampler(
    "progressively_balanced", labels, total_epochs=2
  )
  share = [np.mean(labels[sampler.order(0, epoch)] == 0) for epoch in (0, 1)]
  # 9,000 of 10,000 images, then half: its standard deviation is .005.
  np.testing.assert_allclose(share, [0.9, 0.5], atol=0.02)


def test_class_aware_takes_each_class_in_turn():
  sampler = sampling.make_sampler("class_aware", LABELS)
  order = sampler.order(0, 2)
  rounds = LABELS[order[: len(order) // 4 * 4]].reshape(-1, 4)
  np.testing.assert_array_equal(np.sort(rounds), [[0, 1, 3, 4]] * len(rounds))
  assert len({tuple(r) for r in rounds.tolist()}) == 24  # in every order
  # Images of a class are used up before they come again.
  for k, members in ((1, 100), (4, 5)):
    mine = order[LABELS[order] == k]
    full = mine[: len(mine) // members * members].reshape(-1, members)
    expected = np.flatnonzero(k == LABELS)
    for one_pass in full:
      np.testing.assert_array_equal(np.sort(one_pass), expected)
  assert len(np.unique(order[LABELS[order] == 0])) == np.sum(LABELS[order] == 0)


def test_repeat_factor():
  # Shares 600/735, 100/735, 30/735, 5/735 and the threshold .25: by hand.
  factors = {
    0: 1.0,
    1: np.sqrt(0.25 * 735 / 100),
    3: np.sqrt(0.25 * 735 / 30),
    4: np.sqrt(0.25 * 735 / 5),
  }
  size = round(sum(COUNTS[k] * factor for k, factor in factors.items()))
  found = visits("repeat_factor", range(400))  # 1/4 is the default: 4 classes
  np.testing.assert_array_equal(found.sum(axis=1), size)
  for k, factor in factors.items():
    mine = found[:, k == LABELS]
    # The sum was rounded to a whole size, so a count may pass its bounds.
    assert mine.min() >= np.floor(factor * 0.999)
    assert mine.max() <= np.ceil(factor * 1.001)
    np.testing.assert_allclose(mine.mean(axis=0), factor, atol=0.15)
    assert mine.mean() == pytest.approx(factor, rel=0.01)
  other = sampling.make_sampler("repeat_factor", LABELS, repeat_threshold=1e-3)
  assert other.size == len(LABELS)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    (
      {"name": "square_rot"},
      r"config.data.sampler='square_rot': .* did you mean 'square_root'\?",
    ),
    (
      {"name": "repeat_factor", "repeat_threshold": 1.5},
      "config.data.repeat_threshold=1.5 must be above 0 and at most 1",
    ),
  ],
)
def test_bad_input(options, message):
  with pytest.raises(InputError, match=message):
    sampling.make_sampler(labels=LABELS, **options)
