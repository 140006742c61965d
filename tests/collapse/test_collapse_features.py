# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Measures of features themselves: cosines, cones, means and ranks."""

from hypothesis import given, settings
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from etf_jax import collapse, simplex_etf

SIZE, DIM, CLASSES = 40, 6, 5
PROTOTYPES = np.asarray(simplex_etf(jax.random.key(0), DIM, CLASSES))

centre_cosines = jax.jit(collapse.centre_cosines)
in_cone = jax.jit(collapse.in_cone)


def test_cosines():
  a = np.array([[3e-30, 0.0, 1.0], [4e-30, 0.0, 0.0]], np.float32)
  b = np.array([[0.0, -2e30], [1.0, 0.0]], np.float32)
  np.testing.assert_allclose(
    collapse.cosines(a, b), [[0.8, -0.6], [np.nan] * 2, [0, -1]], rtol=1e-6
  )
  half = collapse.cosines(jnp.asarray(b, jnp.bfloat16))
  assert half.dtype == jnp.float32
  np.testing.assert_array_equal(half, np.eye(2))


def test_centre_cosines_by_hand():
  centres = np.array([[2.0, 0.0, -1.0], [0.0, 1.0, 0.0]], np.float32)
  h = np.array([[[3.0, 0.0], [3.0, 4.0]], [[0.0, 0.0], [0.0, -1.0]]], "f4")
  y = np.array([[0, 0], [1, 2]])
  own, others = centre_cosines(h, y, centres)
  np.testing.assert_allclose(own, [[1, 0.6], [np.nan, 0]], rtol=1e-6)
  np.testing.assert_allclose(
    others, [[-0.5, (0.8 - 0.6) / 2], [np.nan, -0.5]], rtol=1e-6
  )
  # An absent class is nobody's other centre; a zero centre has no direction.
  absent, zero = centres.copy(), centres.copy()
  absent[:, 1], zero[:, 1] = np.nan, 0
  own, others = centre_cosines(h, y, absent)
  np.testing.assert_allclose(own, [[1, 0.6], [np.nan, 0]], rtol=1e-6)
  np.testing.assert_allclose(others, [[-1, -0.6], [np.nan, 0]], rtol=1e-6)
  own, others = centre_cosines(h, np.array([[0, 1], [2, 2]]), zero)
  np.testing.assert_allclose(own, [[1, np.nan], [np.nan, 0]])
  np.testing.assert_allclose(others, [[np.nan, 0], [np.nan, np.nan]], atol=1e-7)
  # With one class there is no other centre.
  centres[:, 1:] = np.nan
  assert np.isnan(centre_cosines(h, 0 * y, centres)[1]).all()


def test_features_of_a_simplex_point_to_their_own_centre():
  y = np.arange(SIZE) % CLASSES
  own, others = centre_cosines(3 * PROTOTYPES.T[y], y, PROTOTYPES)
  np.testing.assert_allclose(own, 1, rtol=1e-6)
  np.testing.assert_allclose(others, -1 / (CLASSES - 1), rtol=1e-5)


@settings(max_examples=10)
@given(st.integers(0, 2**31))
def test_in_cone_is_an_angle(seed):
  rng = np.random.default_rng(seed)
  tau = rng.uniform(0, np.pi, CLASSES).astype(np.float32)
  y = rng.integers(0, CLASSES, SIZE)
  h = rng.standard_normal((SIZE, DIM)).astype(np.float32)
  w = PROTOTYPES[:, y].T.astype(np.float64)
  cosine = np.sum(h * w, axis=1) / np.linalg.norm(np.float64(h), axis=1)
  clear = np.abs(np.arccos(cosine) - tau[y]) > 1e-5
  inside = in_cone(h, y, 2 * PROTOTYPES, tau)
  np.testing.assert_array_equal(
    inside[clear], (cosine >= np.cos(tau[y]))[clear]
  )
  # The axis is in the thinnest cone, and everything in the widest.
  along = in_cone(7 * PROTOTYPES.T[y], y, PROTOTYPES, 0.0)
  np.testing.assert_array_equal(along, 1)
  near = 7 * PROTOTYPES.T[y] + np.float32(1e-3) * h
  np.testing.assert_array_equal(in_cone(near, y, PROTOTYPES, 0.0), 0)
  np.testing.assert_array_equal(in_cone(h, y, PROTOTYPES, np.pi), 1)
  opposite = in_cone(-PROTOTYPES.T[y], y, PROTOTYPES, np.pi)
  np.testing.assert_array_equal(opposite, 1)


def test_in_cone_without_a_direction_is_nan():
  h = np.array([[0.0, 0.0], [1.0, 0.0]], np.float32)
  w = np.array([[1.0, 0.0], [0.0, 0.0]], np.float32)
  np.testing.assert_array_equal(
    in_cone(h[[0, 1, 1]], np.array([0, 0, 1]), w, 1.0),
    [np.nan, 1, np.nan],
  )


@pytest.mark.slow
@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_nearest_mean_agreement(offset):
  rng = np.random.default_rng(0)
  means = (rng.standard_normal((CLASSES, DIM)) + offset).astype(np.float32)
  means[1] = np.nan
  h = (2 * rng.standard_normal((8, 5, DIM)) + offset).astype(np.float32)
  logits = rng.standard_normal((8, 5, CLASSES)).astype(np.float32)
  distance = np.linalg.norm(
    np.float64(h)[..., None, :] - np.float64(means), axis=-1
  )
  distance[..., 1] = np.inf
  logits[:6] = -distance[:6]
  same = logits.argmax(axis=-1) == distance.argmin(axis=-1)
  assert 0.75 < same.mean() < 1
  agreement = collapse.nearest_mean_agreement(logits, h, means)
  assert float(agreement) == pytest.approx(same.mean())
  where = rng.random((8, 5)) < 0.7
  masked = np.where(where[..., None], h, np.float32(np.nan))
  agreement = collapse.nearest_mean_agreement(
    logits, masked, means, where=where
  )
  assert float(agreement) == pytest.approx(same[where].mean())
  for undefined in (
    collapse.nearest_mean_agreement(logits, masked, means),
    collapse.nearest_mean_agreement(logits, h, np.nan * means),
    collapse.nearest_mean_agreement(logits, h, means, where=where & False),
    collapse.nearest_mean_agreement(np.nan * logits, h, means),
  ):
    assert np.isnan(undefined)


def rank(matrix):
  sizes = np.linalg.svd(np.float64(matrix), compute_uv=False)
  return sizes.sum() ** 2 / np.sum(sizes**2)


@pytest.mark.parametrize("centred", [False, True])
def test_numerical_rank(centred):
  rng = np.random.default_rng(0)
  counts = [300, 7, 0, 1, 20, 3]
  y = np.repeat(np.arange(6), counts)
  h = (rng.standard_normal((len(y), 8)) + 1).astype(np.float32)
  h[y == 5] = h[0]
  groups = [h[y == k].astype(np.float64) for k in (0, 1, 3, 4, 5)]
  if centred:
    # One example, and equal examples, have nothing around their mean.
    groups = [g - g.mean(axis=0) for g in groups if len(np.unique(g[:, 0])) > 1]
    assert len(groups) == 3
  expected = [rank(group) for group in groups]
  order = rng.permutation(len(y))
  actual = collapse.numerical_rank(
    h[order].reshape(1, -1, 8), y[order][None], 6, centred=centred
  )
  assert actual.dtype == jnp.float32
  assert float(actual) == pytest.approx(np.mean(expected), rel=1e-6)
  assert all(
    1 <= r <= min(len(g), 8) for r, g in zip(expected, groups, strict=True)
  )
  with jax.enable_x64(True):
    wide = collapse.numerical_rank(np.float64(h), y, 6, centred=centred)
    assert wide.dtype == jnp.float64
    assert float(wide) == pytest.approx(np.mean(expected), rel=1e-12)


def test_numerical_rank_is_not_that_of_a_gram_matrix():
  # Squaring loses small singular values, so rank where there is none appears.
  rng = np.random.default_rng(0)
  spread = rng.standard_normal((2000, 19))
  spread = spread @ np.linalg.qr(rng.standard_normal((64, 19)))[0].T
  collapsed = rng.standard_normal(64) + 2e-4 * spread
  for h, excess in ((spread, 0.005), (collapsed, 0.002)):
    h = h.astype(np.float32)
    values = np.maximum(np.linalg.eigvalsh(h.T @ h), 0)
    by_gram = np.sqrt(values).sum() ** 2 / values.sum()
    actual = float(collapse.numerical_rank(h, np.zeros(2000, int), 1))
    assert actual == pytest.approx(rank(h), rel=1e-6)
    assert by_gram - actual > excess


def test_numerical_rank_of_nothing_is_nan():
  h, y = np.zeros((4, 3), np.float32), np.arange(4)
  assert np.isnan(collapse.numerical_rank(h, y, 4))
  assert np.isnan(collapse.numerical_rank(h[:0], y[:0], 4))
  assert np.isnan(collapse.numerical_rank(h + 1, y, 4, centred=True))
  # Ten times 0.1 over ten is not 0.1: nor is that a rank.
  equal = np.full((10, 3), 0.1)
  assert equal.mean(axis=0)[0] != 0.1
  assert np.isnan(collapse.numerical_rank(equal, [0] * 10, 1, centred=True))
  h[1] = np.nan
  assert np.isnan(collapse.numerical_rank(h, y, 4))
