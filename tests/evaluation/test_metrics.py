# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Metrics against scikit-learn, hand-made cases and a plain NumPy loop."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics

from etf_jax.evaluation import metrics

CLASSES, EXAMPLES = 12, 203
COUNTS = np.full(CLASSES, 50)
update = jax.jit(metrics.update)


@pytest.fixture(scope="module")
def examples():
  """Logits that are often right, and labels without the classes 3 and 7."""
  rng = np.random.default_rng(0)
  present = np.setdiff1d(np.arange(CLASSES), [3, 7])
  labels = rng.choice(present, EXAMPLES).astype(np.int32)
  logits = 2 * rng.standard_normal((EXAMPLES, CLASSES))
  logits[np.arange(EXAMPLES), labels] += 2
  logits[:, 7] -= 100  # neither present nor predicted
  return logits.astype(np.float32), labels


def sums_of(logits, labels, where=None, sums=None):
  if where is None:  # in one shape for all tests, so that it compiles once
    missing = 256 - len(labels)
    where = np.arange(256) < len(labels)
    logits = np.pad(logits, ((0, missing), (0, 0)))
    labels = np.pad(labels, (0, missing))
  sums = metrics.zeros(logits.shape[1]) if sums is None else sums
  return update(
    sums,
    jnp.asarray(logits, jnp.float32),
    jnp.asarray(labels, jnp.int32),
    where=jnp.asarray(where),
  )


def computed(logits, labels, counts=COUNTS, where=None):
  sums = jax.device_get(sums_of(np.asarray(logits), labels, where))
  return metrics.compute(sums, counts)


def calibration_error(logits, labels, bins=15):
  """One example and one bin at a time, in float64."""
  error = 0.0
  kept = []
  for row, label in zip(np.asarray(logits, np.float64), labels, strict=True):
    probabilities = np.exp(row - row.max())
    probabilities /= probabilities.sum()
    kept.append((probabilities.max(), probabilities.argmax() == label))
  for k in range(bins):
    inside = [(p, c) for p, c in kept if k / bins < p <= (k + 1) / bins]
    if inside:
      confidence, correct = np.mean(inside, axis=0)
      error += len(inside) / len(kept) * abs(confidence - correct)
  return error


def test_against_scikit_learn(examples):
  logits, labels = examples
  row = computed(logits, labels)
  predicted = logits.argmax(1)
  sk = sklearn.metrics
  close = functools.partial(np.testing.assert_allclose, rtol=1e-12)
  close(row["accuracy"], sk.accuracy_score(labels, predicted))
  balanced = sk.recall_score(
    labels, predicted, average=None, labels=range(CLASSES), zero_division=0
  )
  present = np.isin(np.arange(CLASSES), labels)
  close(row["balanced_accuracy"], balanced[present].mean())
  close(row["macro_f1"], sk.f1_score(labels, predicted, average="macro"))
  top5 = sk.top_k_accuracy_score(labels, logits, k=5, labels=range(CLASSES))
  close(row["top5"], top5)
  per_class = [r if p else None for r, p in zip(balanced, present, strict=True)]
  assert row["per_class_accuracy"] == pytest.approx(per_class)
  assert row["per_class_accuracy"][3] is None
  confusion = sums_of(logits, labels).confusion
  np.testing.assert_array_equal(
    confusion, sk.confusion_matrix(labels, predicted, labels=range(CLASSES))
  )


def test_balanced_accuracy_where_every_class_is_present(examples):
  logits, labels = examples
  kept = (labels != 0) & (labels < 3)
  logits, labels = logits[kept][:, 1:3], labels[kept] - 1
  row = computed(logits, labels, counts=[50, 50])
  expected = sklearn.metrics.balanced_accuracy_score(labels, logits.argmax(1))
  assert row["balanced_accuracy"] == pytest.approx(expected, rel=1e-12)


def test_macro_f1_counts_a_class_that_is_only_predicted(examples):
  logits, labels = examples
  assert 3 in logits.argmax(1)
  assert 3 not in labels
  f1 = sklearn.metrics.f1_score(
    labels,
    logits.argmax(1),
    average=None,
    labels=range(CLASSES),
    zero_division=0,
  )
  expected = f1[np.arange(CLASSES) != 7].mean()
  assert computed(logits, labels)["macro_f1"] == pytest.approx(expected)


def test_calibration_error_against_a_loop(examples):
  logits, labels = examples
  expected = calibration_error(logits, labels)
  assert 0.01 < expected < 0.5
  np.testing.assert_allclose(
    computed(logits, labels)["ece"], expected, rtol=1e-5
  )


def test_calibration_error_by_hand():
  # Confidences .9 and .9, one right: |.9 - .5| of those two; .5 and right:
  # |.5 - 1|; the mean over the three.
  odds = np.log(9.0)
  logits = [[odds, 0], [0, odds], [0, 0]]
  row = computed(logits, np.array([0, 0, 0]), counts=[50, 50])
  assert row["ece"] == pytest.approx((2 * 0.4 + 0.5) / 3, rel=1e-5)


@pytest.mark.parametrize(
  ("logits", "place"),
  [
    ([1000.0, 0, 0], 14),  # confidence 1 belongs to (14/15, 1]
    ([0.0, 0, 0], 4),  # 1/3 to (4/15, 5/15]
    ([0.0, 0, -1000], 7),  # 1/2 to (7/15, 8/15]
    ([0.0] * 5, 2),  # 1/5 to (2/15, 3/15]
  ],
)
def test_bins_include_their_upper_border(logits, place):
  sums = sums_of(np.array([logits]), np.array([0]))
  expected = np.zeros(metrics.BINS, int)
  expected[place] = 1
  np.testing.assert_array_equal(sums.bin_count, expected)
  np.testing.assert_array_equal(sums.bin_correct, expected)


def test_sure_and_right_is_calibrated():
  row = computed([[1000.0, 0], [0, 1000.0]], np.array([0, 1]), [50, 50])
  assert row["ece"] == 0
  assert row["accuracy"] == row["macro_f1"] == 1


@pytest.mark.parametrize("batch", [1, 64])
def test_any_split_into_batches_gives_the_same(examples, batch):
  logits, labels = examples
  whole = sums_of(logits, labels)
  sums = None
  for start in range(0, EXAMPLES, batch):
    part = slice(start, start + batch)
    # Padded to the batch size, as in an evaluation.
    missing = batch - len(labels[part])
    sums = sums_of(
      np.pad(logits[part], ((0, missing), (0, 0))),
      np.pad(labels[part], (0, missing)),
      np.arange(batch) < batch - missing,
      sums,
    )
  for ours, wanted in zip(sums, whole, strict=True):
    if ours.dtype == jnp.int32:
      np.testing.assert_array_equal(ours, wanted)
    else:
      np.testing.assert_allclose(ours, wanted, rtol=1e-5)


def test_masked_examples_do_not_count(examples):
  logits, labels = examples
  where = np.random.default_rng(1).random(EXAMPLES) < 0.6
  spoiled = logits.copy()
  spoiled[~where] = np.nan
  masked = jax.device_get(sums_of(spoiled, labels, where))
  alone = jax.device_get(sums_of(logits[where], labels[where]))
  ours, wanted = (metrics.compute(s, COUNTS) for s in (masked, alone))
  assert masked.confusion.sum() == where.sum()
  assert ours.pop("ece") == pytest.approx(wanted.pop("ece"))
  assert ours == wanted


def test_ties_count_against_the_label():
  # Six equal logits: the label's rank is 6, whichever it is.
  tied = np.zeros((6, 6))
  assert computed(tied, np.arange(6), np.full(6, 50))["top5"] == 0
  # Ranks 5 and 6: the label ties with the fifth, or with the fifth and sixth.
  logits = np.array([[6.0, 5, 4, 3, 3, 0], [6.0, 5, 4, 3, 2, 2]])
  row = computed(logits, np.array([4, 5]), np.full(6, 50))
  assert row["top5"] == 0.5
  # Ties for the first place go to the lowest class, as NumPy's argmax.
  assert computed(tied, np.arange(6), np.full(6, 50))["accuracy"] == 1 / 6


@pytest.mark.parametrize("classes", [2, 5])
def test_top5_is_nothing_where_there_are_five_classes(classes):
  logits = np.eye(classes)
  row = computed(logits, np.arange(classes), np.full(classes, 50))
  assert row["top5"] is None
  assert row["accuracy"] == 1


def test_shots_at_their_borders():
  counts = [5000, 101, 100, 20, 19, 1]
  # Of two examples a class: 2, 1, 1, 0, 2, 1 right.
  labels = np.repeat(np.arange(6), 2)
  predicted = np.array([0, 0, 1, 0, 2, 0, 0, 0, 4, 4, 5, 0])
  row = computed(np.eye(6)[predicted], labels, counts)
  assert row["many"] == (1 + 0.5) / 2
  assert row["medium"] == (0.5 + 0) / 2
  assert row["few"] == (1 + 0.5) / 2
  assert row["balanced_accuracy"] == pytest.approx(3.5 / 6)


def test_shots_without_a_class_are_nothing():
  row = computed(np.eye(3), np.arange(3), [500, 300, 101])
  assert (row["many"], row["medium"], row["few"]) == (1, None, None)
  # A class of few images that the test set lacks does not make a group.
  row = computed(np.eye(3)[:2], np.arange(2), [500, 300, 5])
  assert row["few"] is None
  assert row["per_class_accuracy"] == [1, 1, None]


def test_results_are_plain_numbers(examples):
  row = computed(*examples)
  for name, value in row.items():
    values = value if isinstance(value, list) else [value]
    assert {type(v) for v in values} <= {float, type(None)}, name


def test_many_classes_have_counts_and_no_matrix(monkeypatch):
  rng = np.random.default_rng(0)
  logits = jnp.asarray(rng.normal(size=(64, 9)), jnp.float32)
  labels = jnp.asarray(rng.integers(0, 9, 64))
  dense = sums_of(logits, labels)
  monkeypatch.setattr(metrics, "DENSE_CLASSES", 8)
  sums = sums_of(logits, labels, sums=metrics.zeros(9))
  assert sums.confusion is None
  assert metrics.compute(sums, [30] * 9) == metrics.compute(dense, [30] * 9)
  shapes = jax.eval_shape(lambda: metrics.zeros(60_000))
  size = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(shapes))
  assert size < 1e6
