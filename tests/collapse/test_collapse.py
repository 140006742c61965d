# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Neural collapse: the statistics, and the metrics that follow from them."""

import dataclasses
import doctest

from hypothesis import given, settings
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from etf_jax import collapse, simplex_etf

SIZE, DIM, CLASSES = 40, 6, 5
PROTOTYPES = np.asarray(simplex_etf(jax.random.key(0), DIM, CLASSES))
CONTAINERS = {"Metrics", "Statistics"}
NAMES = [field.name for field in dataclasses.fields(collapse.Metrics)]

update = jax.jit(lambda s, h, y, w: collapse.update(s, h, y, where=w))


def direct(features, labels, prototypes, global_mean="class"):
  """The metrics by their definitions, in float64 and from all features."""
  h, w = np.float64(features), np.float64(prototypes)
  present = np.unique(labels)
  k, w = len(present), w[:, present]
  mu = np.stack([h[labels == c].mean(axis=0) for c in present])
  centre = mu.mean(axis=0) if global_mean == "class" else h.mean(axis=0)
  inner = h - mu[np.searchsorted(present, labels)]
  m = mu - centre
  within, between = inner.T @ inner / len(h), m.T @ m / k
  # Singular values of the means' matrix, squared, are those of `between`.
  pseudo = np.linalg.pinv(between, rcond=1e-13, hermitian=True)
  lengths = np.linalg.norm(m, axis=1)
  mm = m / lengths[:, None]
  ww = w / np.linalg.norm(w, axis=0)
  off = ~np.eye(k, dtype=bool)
  features_cos, classifier_cos = (mm @ mm.T)[off], (mm @ ww)[off]
  aligned = np.sum(mm.T * ww, axis=0)
  missed = mm @ mm.T - (k * np.eye(k) - 1) / (k - 1)
  apart = m.T / np.linalg.norm(m) - w / np.linalg.norm(w)
  v = [np.sum(inner[labels == c] ** 2, axis=1).mean() for c in present]
  cdnv = [
    (v[a] + v[b]) / (2 * np.sum((mu[a] - mu[b]) ** 2))
    for a in range(k)
    for b in range(k)
    if a != b
  ]
  return dict(
    nc1=np.trace(within @ pseudo) / k,
    nc2_deviation=np.linalg.norm(missed),
    nc2_max=np.abs(missed).max(),
    equinorm_cv=lengths.std() / lengths.mean(),
    cos_features_mean=features_cos.mean(),
    cos_features_std=features_cos.std(),
    cos_features_classifier_mean=classifier_cos.mean(),
    cos_features_classifier_std=classifier_cos.std(),
    nc3_alignment_mean=aligned.mean(),
    nc3_alignment_std=aligned.std(),
    nc3_distance=np.sum(apart**2),
    cdnv=np.mean(cdnv),
  )


def as_dict(metrics):
  return {name: float(getattr(metrics, name)) for name in NAMES}


def streamed(features, labels, prototypes, *, reference=None, **options):
  """The metrics of one update, by name."""
  stats = collapse.init(*prototypes.shape[::-1], reference=reference)
  stats = update(stats, features, labels, None)
  return as_dict(collapse.compute(stats, prototypes, **options))


def assert_close(actual, expected, rtol, atol=0.0):
  assert actual.keys() == expected.keys()
  for name, value in expected.items():
    np.testing.assert_allclose(
      actual[name], value, rtol=rtol, atol=atol, err_msg=name
    )


def draw(seed, size=SIZE, dim=DIM, classes=CLASSES):
  """Float64 features around random class means, and labels of all classes."""
  rng = np.random.default_rng(seed)
  labels = np.concatenate(
    [np.arange(classes), rng.integers(0, classes, size - classes)]
  )
  means = rng.standard_normal((classes, dim))
  features = means[labels] + 0.5 * rng.standard_normal((size, dim))
  return features, labels


def one_of_each(features, labels, classes):
  return np.stack([features[labels == k][0] for k in range(classes)])


def test_by_hand():
  # Means (2, 0), (-2, 0); variances 2/3, 0; three examples and one.
  h = np.array([[1, 0], [2, 0], [3, 0], [-2, 0]], np.float32)
  y = np.array([0, 0, 0, 1])
  w = np.array([[3.0, 0.0], [0.0, 4.0]], np.float32)
  actual = streamed(h, y, w)
  root = np.sqrt(0.5)
  expected = dict(
    nc1=2 / 4 / 4 / 2,  # S_W = 2/4, S_B = 4, K = 2
    nc2_deviation=0,
    nc2_max=0,
    equinorm_cv=0,
    cos_features_mean=-1,
    cos_features_std=0,
    cos_features_classifier_mean=-0.5,  # cos(m_0, w_1) = 0, cos(m_1, w_0) = -1
    cos_features_classifier_std=0.5,
    nc3_alignment_mean=0.5,
    nc3_alignment_std=0.5,
    # Columns (root, 0), (-root, 0) and (.6, 0), (0, .8).
    nc3_distance=(root - 0.6) ** 2 + root**2 + 0.8**2,
    cdnv=(2 / 3) / (2 * 16),
  )
  assert_close(actual, expected, rtol=1e-6)
  # Around the sample mean (1, 0) the centred means are (1, 0) and (-3, 0).
  by_sample = streamed(h, y, w, global_mean="sample")
  assert by_sample["nc1"] == pytest.approx(2 / 4 / 5 / 2)
  assert by_sample["equinorm_cv"] == pytest.approx(0.5)
  assert by_sample["cos_features_mean"] == -1


@pytest.mark.slow
@settings(max_examples=15)
@given(
  seed=st.integers(0, 2**31),
  cuts=st.lists(st.integers(0, SIZE), min_size=2, max_size=2),
  offset=st.sampled_from([0.0, 3.0]),
  global_mean=st.sampled_from(["class", "sample"]),
  absent=st.booleans(),
)
def test_any_sharding_order_and_reference(
  seed, cuts, offset, global_mean, absent
):
  h, y = draw(seed)
  h += offset
  if absent:
    h, y = h[y != 2], y[y != 2]
    h, y = np.resize(h, (SIZE, DIM)), np.resize(y, SIZE)
  expected = direct(h, y, PROTOTYPES, global_mean)
  rng = np.random.default_rng(seed + 1)
  order = rng.permutation(SIZE)
  part = np.digitize(np.arange(SIZE), sorted(cuts))
  with jax.enable_x64(True):
    reference = rng.standard_normal((CLASSES, DIM))
    start = collapse.init(CLASSES, DIM, reference=reference)
    # Parts as masks, so that one shape compiles once.
    parts = [update(start, h[order], y[order], part == i) for i in range(3)]
    stats = collapse.merge(parts[2], collapse.merge(parts[0], parts[1]))
    metrics = collapse.compute(
      stats, np.float64(PROTOTYPES), global_mean=global_mean
    )
    assert metrics.nc1.dtype == jnp.float64
    assert_close(as_dict(metrics), expected, rtol=1e-9, atol=1e-12)
    means = collapse.class_means(stats)
    chained = update(update(start, h, y, y < 3), h, y, y >= 3)
    for a, b in zip(stats, chained, strict=True):
      np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)
  for k in range(CLASSES):
    if k in y:
      np.testing.assert_allclose(means[k], h[y == k].mean(axis=0), rtol=1e-11)
    else:
      assert np.isnan(means[k]).all()


@settings(max_examples=10)
@given(
  seed=st.integers(0, 2**31),
  scale=st.floats(0.01, 100),
  length=st.floats(0.01, 100),
  shift=st.floats(-5, 5),
  global_mean=st.sampled_from(["class", "sample"]),
)
def test_invariants(seed, scale, length, shift, global_mean):
  h, y = draw(seed)
  rng = np.random.default_rng(seed + 1)
  w = rng.standard_normal((DIM, CLASSES))
  rotation, _ = np.linalg.qr(rng.standard_normal((DIM, DIM)))
  renamed = rng.permutation(CLASSES)
  options = {"global_mean": global_mean}
  with jax.enable_x64(True):
    metrics = streamed(h, y, w, **options)
    for other in (
      streamed(scale * h + shift, y, length * w, **options),
      streamed(h @ rotation, y, rotation.T @ w, **options),
      streamed(h, renamed[y], w[:, np.argsort(renamed)], **options),
    ):
      assert_close(other, metrics, rtol=1e-8, atol=1e-12)
    stats = update(collapse.init(CLASSES, DIM), h, y, None)
    twice = collapse.compute(collapse.merge(stats, stats), w, **options)
    assert_close(as_dict(twice), metrics, rtol=1e-8, atol=1e-12)
    assert metrics["nc1"] >= 0
    cosines = np.asarray(collapse.cosines(h.T))
    assert np.abs(cosines).max() <= 1
    np.testing.assert_allclose(np.diag(cosines), 1, rtol=1e-15)


@pytest.mark.slow
@pytest.mark.parametrize("offset", [0.0, 3.0, 100.0])
@pytest.mark.parametrize("global_mean", ["class", "sample"])
def test_float32_of_collapsed_features(offset, global_mean):
  rng = np.random.default_rng(0)
  classes, dim = 10, 64
  y = np.concatenate([np.arange(10), rng.geometric(0.3, 1990) % 10])
  means = rng.standard_normal((classes, dim)) + offset
  h = means[y] + 1e-3 * rng.standard_normal((len(y), dim))
  h = h.astype(np.float32)
  w = rng.standard_normal((dim, classes)).astype(np.float32)
  expected = direct(h, y, w, global_mean)
  stats = collapse.init(classes, dim, reference=one_of_each(h, y, classes))
  for part in np.split(np.arange(2000), 8):
    stats = update(stats, h[part], y[part], None)
  metrics = collapse.compute(stats, w, global_mean=global_mean)
  assert metrics.nc1.dtype == jnp.float32
  assert_close(as_dict(metrics), expected, rtol=1e-4)
  again = collapse.init(classes, dim, reference=collapse.class_means(stats))
  again = collapse.compute(
    update(again, h, y, None), w, global_mean=global_mean
  )
  assert_close(as_dict(again), expected, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("classes", [9, 1001])  # the latter by cosines
def test_float32_keeps_close_pairs(classes):
  # Two means at a distance of 1e-3 among others of length 3 or so.
  rng = np.random.default_rng(classes)
  means = rng.standard_normal((classes, DIM))
  means[1] = means[0] + 1e-3 / DIM**0.5
  labels = np.arange(20 * classes) % classes
  features = means[labels] + 0.01 * rng.standard_normal((len(labels), DIM))
  features, prototypes = np.float32(features), np.float32(means.T)
  reference = np.float32(means)
  stats = collapse.init(classes, DIM, reference=reference)
  actual = collapse.compute(
    collapse.update(stats, features, labels), prototypes
  )
  expected = direct(features, labels, prototypes)
  np.testing.assert_allclose(actual.cdnv, expected["cdnv"], rtol=1e-4)
  np.testing.assert_allclose(actual.nc1, expected["nc1"], rtol=1e-3)


@pytest.mark.slow
def test_the_optimum_on_imbalanced_data_is_collapsed_around_the_class_mean():
  # CIFAR-10-LT, ratio 0.01, every feature on its prototype: the exact optimum
  # of cross entropy with a fixed frame.
  counts = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
  w = np.asarray(simplex_etf(jax.random.key(0), 9, 10))
  y = np.repeat(np.arange(10), counts)
  stats = collapse.init(10, 9, reference=w.T)
  stats = update(stats, w.T[y], y, None)
  sample = as_dict(collapse.compute(stats, w, global_mean="sample"))
  assert round(sample["cos_features_mean"], 4) == 0.0169
  assert round(sample["cos_features_std"], 4) == 0.1948
  metrics = as_dict(collapse.compute(stats, w))
  assert round(metrics["cos_features_mean"], 4) == -0.1111
  for name in ("cos_features_std", "nc1", "nc2_max", "nc3_distance", "cdnv"):
    assert metrics[name] == pytest.approx(0, abs=1e-5)
  assert metrics["nc3_alignment_mean"] == pytest.approx(1, abs=1e-6)


@pytest.mark.slow
def test_the_zero_direction_of_the_means_does_not_count():
  # As much variance between classes as within in K - 1 directions, so NC1 is
  # about 1; divided by the rounding of the last direction it would be huge.
  classes = dim = 32
  w = np.asarray(simplex_etf(jax.random.key(0), dim, classes))
  rng = np.random.default_rng(0)
  noise = rng.standard_normal((8, classes, dim)) * classes**-0.5
  h = (w.T + noise + 7.0).astype(np.float32)
  y = np.tile(np.arange(classes), (8, 1))
  expected = direct(h.reshape(-1, dim), y.ravel(), w)["nc1"]
  assert 0.8 < expected < 1
  for reference in (None, h[0]):
    actual = streamed(h, y, w, reference=reference)["nc1"]
    assert actual == pytest.approx(expected, rel=1e-3)


def test_an_absent_class_is_left_out():
  h, y = draw(0)
  h = h.astype(np.float32)
  y = np.where(y == 2, 3, y)
  kept = np.array([0, 1, 3, 4])
  w = PROTOTYPES.copy()
  w[:, 2] = np.nan
  expected = direct(h, np.searchsorted(kept, y), w[:, kept])
  assert_close(streamed(h, y, w), expected, rtol=1e-4)


def test_fewer_than_two_classes_are_nan():
  h = np.ones((SIZE, DIM), np.float32)
  metrics = streamed(h, np.full(SIZE, 2), PROTOTYPES)
  assert all(np.isnan(value) for value in metrics.values())
  metrics = as_dict(collapse.compute(collapse.init(CLASSES, DIM), PROTOTYPES))
  assert all(np.isnan(value) for value in metrics.values())


def test_zero_vectors_are_nan():
  h, y = draw(0)
  h = h.astype(np.float32)
  w = PROTOTYPES.copy()
  w[:, 3] = 0
  whole, hurt = streamed(h, y, PROTOTYPES), streamed(h, y, w)
  undefined = {
    "cos_features_classifier_mean",
    "cos_features_classifier_std",
    "nc3_alignment_mean",
    "nc3_alignment_std",
  }
  assert {name for name in NAMES if np.isnan(hurt[name])} == undefined
  assert hurt["nc1"] == whole["nc1"]
  hurt = streamed(h, y, 0 * w)
  undefined.add("nc3_distance")
  assert {name for name in NAMES if np.isnan(hurt[name])} == undefined
  # A class in the middle of two others: only what needs no direction of it.
  y, line = np.resize([0, 1, 1, 2], SIZE), np.zeros((SIZE, DIM), np.float32)
  line[:, 1] = y - 1
  hurt = streamed(line, y, PROTOTYPES)
  defined = {name for name in NAMES if not np.isnan(hurt[name])}
  assert defined == {"nc1", "equinorm_cv", "nc3_distance", "cdnv"}
  assert hurt["equinorm_cv"] == pytest.approx(np.sqrt(0.5))
  # Two of three means in one place.
  hurt = streamed(np.maximum(line, 0), y, PROTOTYPES)
  assert {name for name in NAMES if np.isnan(hurt[name])} == {"cdnv"}
  # All of them: nothing is between classes.
  hurt = streamed(0 * line, y, PROTOTYPES)
  assert all(np.isnan(value) for value in hurt.values())


def test_a_reference_with_nan_rows():
  h, y = draw(0)
  h = h.astype(np.float32)
  reference = h[:CLASSES].copy()
  reference[1] = np.nan
  stats = collapse.init(CLASSES, DIM, reference=reference)
  np.testing.assert_allclose(
    stats.reference[1], h[[0, 2, 3, 4]].mean(axis=0), rtol=1e-6
  )
  metrics = collapse.compute(update(stats, h, y, None), PROTOTYPES)
  assert_close(as_dict(metrics), direct(h, y, PROTOTYPES), rtol=1e-4)
  nothing = collapse.init(2, 3, reference=np.full((2, 3), np.inf, np.float32))
  np.testing.assert_array_equal(nothing.reference, 0)


@pytest.mark.parametrize("name", sorted({*collapse.__all__} - CONTAINERS))
def test_docstring_examples_run(name):
  function = getattr(collapse, name)
  (test,) = doctest.DocTestFinder(recurse=False).find(function, globs={})
  results = doctest.DocTestRunner().run(test)
  assert results.attempted > 1
  assert results.failed == 0
