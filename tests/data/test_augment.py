# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Augmentation against brute force, and what its draws depend on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from etf_jax.data import augment

PADDING = 2


@pytest.fixture(scope="module")
def images():
  """Pixels that are all different from each other and from zero."""
  return jnp.arange(1, 1 + 3 * 4 * 5 * 2, dtype=jnp.uint8).reshape(3, 4, 5, 2)


def keys(count, seed=0):
  return augment.example_keys(jax.random.key(seed), count)


def window(image, top, left):
  """The crop of the zero-padded image, in NumPy."""
  padded = np.pad(image, ((PADDING, PADDING), (PADDING, PADDING), (0, 0)))
  return padded[top : top + image.shape[0], left : left + image.shape[1]]


@pytest.fixture(scope="module")
def offsets(images):
  """(top, left) of 4,000 crops, each found among all windows."""
  count, image = 4000, images[0]
  crops = jax.jit(augment.pad_crop, static_argnames="padding")(
    keys(count),
    jnp.broadcast_to(image[None], (count, *image.shape)),
    padding=PADDING,
  )
  assert crops.dtype == jnp.uint8
  assert crops.shape == (count, *image.shape)
  places = range(2 * PADDING + 1)
  windows = {
    window(np.asarray(image), top, left).tobytes(): (top, left)
    for top in places
    for left in places
  }
  assert len(windows) == 25
  return np.array([windows[crop.tobytes()] for crop in np.asarray(crops)])


def test_crops_are_windows_of_the_padded_image_and_uniform(offsets):
  seen = np.zeros((5, 5))
  np.add.at(seen, tuple(offsets.T), 1)
  assert scipy.stats.chisquare(seen.ravel()).pvalue > 0.01


def test_padding_of_zero_changes_nothing(images):
  cropped = augment.pad_crop(keys(3), images, padding=0)
  np.testing.assert_array_equal(cropped, images)


def test_half_of_the_images_are_mirrored(images):
  count, image = 4000, np.asarray(images[1])
  flipped = jax.jit(augment.flip)(
    keys(count), jnp.broadcast_to(image[None], (count, *image.shape))
  )
  mirrored = (np.asarray(flipped) == image[:, ::-1]).all((1, 2, 3))
  same = (np.asarray(flipped) == image).all((1, 2, 3))
  np.testing.assert_array_equal(mirrored, ~same)
  assert scipy.stats.binomtest(int(mirrored.sum()), count).pvalue > 0.01


def test_flips_do_not_follow_crops(images, offsets):
  count, image = 4000, np.asarray(images[0])
  flipped = jax.jit(augment.flip)(
    keys(count), jnp.broadcast_to(image[None], (count, *image.shape))
  )
  mirrored = (np.asarray(flipped) != image).any((1, 2, 3))
  table = [
    [np.sum((offsets[:, 1] == left) & (mirrored == m)) for left in range(5)]
    for m in (False, True)
  ]
  assert scipy.stats.chi2_contingency(table).pvalue > 0.01


def test_draws_of_an_example_know_nothing_of_the_rest_of_the_batch(images):
  @jax.jit
  def augmented(key, images):
    chosen = augment.example_keys(key, images.shape[0])
    cropped = augment.pad_crop(chosen, images, padding=PADDING)
    return augment.flip(chosen, cropped)

  padded = jnp.concatenate([images, images + 100, images[:2]])
  few = augmented(jax.random.key(3), images)
  many = augmented(jax.random.key(3), padded)
  np.testing.assert_array_equal(many[:3], few)
  # But places differ, and so do keys.
  assert not np.array_equal(many[3:6], few + 100)
  other = augmented(jax.random.key(4), images)
  assert not np.array_equal(other, few)


def test_normalisation_by_hand():
  images = jnp.array([[0, 51], [255, 102]], jnp.uint8).reshape(1, 2, 1, 2)
  x = augment.normalize(images, mean=(0.5, 0.2), std=(0.25, 0.1))
  # (0 - .5) / .25, (.2 - .2) / .1; (1 - .5) / .25, (.4 - .2) / .1.
  np.testing.assert_allclose(
    x.reshape(2, 2), [[-2, 0], [2, 2]], rtol=1e-5, atol=1e-6
  )
  assert x.dtype == jnp.float32


def test_normalisation_rounds_once_to_bfloat16():
  images = jnp.arange(256, dtype=jnp.uint8).reshape(1, 16, 16, 1)
  narrow = augment.normalize(images, (0.4914,), (0.2023,), jnp.bfloat16)
  wide = augment.normalize(images, (0.4914,), (0.2023,))
  assert narrow.dtype == jnp.bfloat16
  np.testing.assert_array_equal(narrow, wide.astype(jnp.bfloat16))


def test_normalisation_in_float64():
  with jax.enable_x64(True):
    images = jnp.arange(256, dtype=jnp.uint8).reshape(1, 16, 16, 1)
    x = np.asarray(augment.normalize(images, (0.4914,), (0.2023,), np.float64))
  expected = (np.arange(256) / 255 - 0.4914) / 0.2023
  np.testing.assert_allclose(x.ravel(), expected, rtol=1e-14)


def test_partners_are_a_permutation_that_the_key_decides():
  partners = [
    np.asarray(augment.mixup_partners(keys(50, s))) for s in (0, 0, 1)
  ]
  np.testing.assert_array_equal(np.sort(partners[0]), np.arange(50))
  np.testing.assert_array_equal(partners[0], partners[1])
  assert not np.array_equal(partners[0], partners[2])


def test_partners_are_uniform():
  drawn = jax.jit(
    jax.vmap(lambda key: augment.mixup_partners(augment.example_keys(key, 4)))
  )(jax.random.split(jax.random.key(0), 3000))
  place, partner = np.broadcast_to(np.arange(4), drawn.shape), drawn
  table = np.zeros((4, 4))
  np.add.at(table, (place, np.asarray(partner)), 1)
  assert scipy.stats.chisquare(table.ravel()).pvalue > 0.01


@pytest.mark.parametrize("last", [True, False])
def test_padding_is_mixed_with_padding_only(last):
  counts = np.arange(12) < 9
  where = counts if last else np.random.default_rng(0).permutation(counts)
  partners = np.asarray(augment.mixup_partners(keys(12), jnp.asarray(where)))
  np.testing.assert_array_equal(np.sort(partners), np.arange(12))
  np.testing.assert_array_equal(where[partners], where)


def test_padding_leaves_the_partners_of_the_others():
  alone = augment.mixup_partners(keys(9))
  padded = augment.mixup_partners(keys(12), jnp.arange(12) < 9)
  np.testing.assert_array_equal(padded[:9], alone)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_mixing_by_hand(dtype):
  images = jnp.array([4.0, 8.0, 16.0], dtype).reshape(3, 1, 1, 1)
  partners = jnp.array([2, 0, 1])
  mixed = augment.mix(images, partners, jnp.float32(0.75))
  assert mixed.dtype == dtype
  np.testing.assert_array_equal(
    np.asarray(mixed, np.float32).ravel(), [7.0, 7.0, 14.0]
  )


def test_the_weight_is_not_rounded_to_bfloat16():
  images = jnp.array([1.0, 0.0], jnp.bfloat16).reshape(2, 1, 1, 1)
  mixed = augment.mix(images, jnp.array([0, 0]), jnp.float32(0.502))
  # bfloat16 has .50390625 for .502; 1 - .502 = .498 is .498046875 there.
  assert float(mixed[1, 0, 0, 0]) == 0.498046875


def test_a_weight_of_one_mixes_nothing(images):
  x = augment.normalize(images, (0.5,), (0.25,))
  mixed = augment.mix(x, jnp.array([1, 2, 0]), jnp.float32(1))
  np.testing.assert_array_equal(mixed, x)
