# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""CutMix and cutout against brute force."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from etf_jax.data import augment
from etf_jax.data.augment import mixing

HEIGHT, WIDTH = 12, 9


@jax.jit
def draw_windows(keys, lam):
  return jax.vmap(
    lambda key, lam: mixing.cutmix_window(key, lam, HEIGHT, WIDTH)
  )(keys, lam)


def windows(alpha):
  keys = jax.random.split(jax.random.key(0), 3000)
  lam = np.random.default_rng(1).beta(alpha, alpha, 3000).astype(np.float32)
  return np.asarray(draw_windows(keys, lam))


def reference_areas(rng, count, alpha):
  """Pixels that are pasted: the box of the paper, cut off at the border."""
  areas = []
  for lam in rng.beta(alpha, alpha, count):
    sides = []
    for pixels in (HEIGHT, WIDTH):
      half = int(pixels * np.sqrt(1 - lam)) // 2
      centre = rng.integers(pixels)
      sides.append(min(centre + half, pixels) - max(centre - half, 0))
    areas.append(sides[0] * sides[1])
  return np.array(areas)


@pytest.mark.parametrize("alpha", [1.0, 0.3])
def test_areas_of_pasted_boxes(alpha):
  drawn = HEIGHT * WIDTH - windows(alpha).sum((1, 2))
  expected = reference_areas(np.random.default_rng(0), 20_000, alpha)
  test = scipy.stats.ks_2samp(drawn, expected, method="asymp")
  assert test.pvalue > 0.01


def test_what_is_pasted_is_a_box():
  for own in windows(1.0)[:50]:
    rows, columns = (~own).any(1), (~own).any(0)
    np.testing.assert_array_equal(~own, np.outer(rows, columns))
    for line in (rows, columns):
      assert np.abs(np.diff(np.pad(line.astype(int), 1))).sum() in (0, 2)


@pytest.mark.parametrize("alpha", [0.1, 0.2, 1.0, 3.0, 50.0, 1e4])
def test_shares_have_the_beta_distribution(alpha):
  keys = jax.random.split(jax.random.key(7), 50_000)
  draw = jax.vmap(lambda key: mixing.symmetric_beta(key, alpha))
  shares = np.asarray(jax.jit(draw)(keys), np.float64)
  assert shares.min() >= 0
  assert shares.max() <= 1
  lower = shares[shares < 0.5]
  assert scipy.stats.binomtest(len(lower), len(shares)).pvalue > 0.01
  # The upper half is rounded to 1 in float32, where the lower is exact.
  found = scipy.stats.kstest(lower, lambda x: 2 * beta(alpha).cdf(x))
  assert found.pvalue > 0.01
  assert abs(shares.mean() - 0.5) < 4 * beta(alpha).std() / np.sqrt(len(shares))


def beta(alpha):
  return scipy.stats.beta(alpha, alpha)


def test_quantiles_between_the_cells_are_those_of_scipy():
  """To 1e-6, which is a hundredth of what a byte of a pixel can show."""
  for alpha in (0.1, 0.2, 1.0, 2.0, 8.0):
    levels = np.random.default_rng(0).uniform(size=2000)
    exponent = mixing._exponent(alpha)
    place = levels ** (1 / exponent) * mixing._CELLS
    table = mixing._lower_quantiles(alpha)
    found = np.interp(place, np.arange(len(table)), table)
    np.testing.assert_allclose(
      found, beta(alpha).ppf(levels / 2), rtol=0, atol=1e-6
    )


@jax.jit
def both(keys):
  return jax.vmap(
    lambda key: mixing.shares(
      key, HEIGHT, WIDTH, mixup_alpha=0.5, cutmix_alpha=1.0
    )
  )(keys)


@pytest.mark.slow
def test_of_both_each_is_drawn_half_of_the_time():
  keys = jax.random.split(jax.random.key(0), 1000)
  own, lam = (np.asarray(x) for x in both(keys))
  assert own.shape == (1000, 1, HEIGHT, WIDTH, 1)
  assert lam.dtype == np.float32
  boxes = np.isin(own, (0, 1)).all((1, 2, 3, 4))
  assert scipy.stats.binomtest(int(boxes.sum()), 1000).pvalue > 0.01
  # Mixup's share is one number, the same for all pixels and for the label.
  np.testing.assert_array_equal(own[~boxes].min((1, 2, 3, 4)), lam[~boxes])
  np.testing.assert_array_equal(own[~boxes].max((1, 2, 3, 4)), lam[~boxes])
  mixup = scipy.stats.kstest(lam[~boxes], scipy.stats.beta(0.5, 0.5).cdf)
  assert mixup.pvalue > 0.01
  # CutMix's is the share of the pixels, counted.
  counted = own[boxes].sum((1, 2, 3, 4), dtype=np.int64)
  np.testing.assert_allclose(lam[boxes], counted / (HEIGHT * WIDTH), rtol=2e-7)


def test_pasting_copies_pixels_of_the_partner():
  images = jnp.arange(8, dtype=jnp.float32).reshape(2, 2, 2, 1)
  own = jnp.array([[1.0, 0.0], [1.0, 1.0]], jnp.float32)[None, :, :, None]
  mixed = augment.mix(images, jnp.array([1, 0]), own)
  np.testing.assert_array_equal(
    mixed[..., 0], [[[0, 5], [2, 3]], [[4, 1], [6, 7]]]
  )


def test_partners_are_the_same_by_planes():
  images = np.arange(4 * 3 * 5 * 2, dtype=np.uint8).reshape(4, 3, 5, 2)
  partners = np.array([2, 0, 3, 1])
  for fetch in (mixing.fetch, mixing._fetch_planes):
    fetched = fetch(jnp.asarray(images), jnp.asarray(partners))
    np.testing.assert_array_equal(fetched, images[partners])


@pytest.mark.parametrize("side", [3, 4])
def test_cutout_is_a_square_around_any_pixel(side):
  count, height, width = 4000, 6, 5
  keys = augment.example_keys(jax.random.key(1), count)
  inputs = jnp.ones((count, height, width, 2), jnp.float32)
  out = np.asarray(
    jax.jit(augment.cutout, static_argnames="side")(keys, inputs, side=side)
  )
  np.testing.assert_array_equal(out[..., 0], out[..., 1])
  places = {}
  for row in range(height):
    for column in range(width):
      kept = np.ones((height, width), np.float32)
      top, left = row - side // 2, column - side // 2
      kept[max(top, 0) : top + side, max(left, 0) : left + side] = 0
      places[kept.tobytes()] = row * width + column
  assert len(places) == height * width
  found = [places[np.ascontiguousarray(x).tobytes()] for x in out[..., 0]]
  counts = np.bincount(found, minlength=height * width)
  assert scipy.stats.chisquare(counts).pvalue > 0.01


def test_a_square_of_no_pixels_changes_nothing():
  inputs = jnp.ones((2, 3, 3, 1), jnp.float32)
  keys = augment.example_keys(jax.random.key(1), 2)
  np.testing.assert_array_equal(augment.cutout(keys, inputs, side=0), inputs)
