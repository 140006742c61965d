# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Augmentation against brute force, and what its draws depend on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from etf_jax.configs import base
from etf_jax.data import augment
from etf_jax.data.augment import mixing
from etf_jax.data.batch import Batch
from etf_jax.errors import InputError

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
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


def settings(**changes):
  """`config.augment` with a few fields changed."""
  config = base.get_config().augment
  with config.unlocked():
    config.update(changes)
  return config


EVERYTHING = {
  "crop_size": 12,
  "flip": True,
  "brightness": 0.4,
  "contrast": 0.4,
  "saturation": 0.4,
  "randaugment_layers": 1,
  "cutout": 4,
  "mixup_alpha": 1.0,
  "cutmix_alpha": 1.0,
}


def batch_of(count, where=None, sizes=None, seed=0):
  rng = np.random.default_rng(seed)
  return Batch(
    jnp.asarray(rng.integers(0, 256, (count, 16, 18, 3), np.uint8)),
    jnp.asarray(rng.integers(0, 10, count), jnp.int32),
    where,
    sizes,
  )


def test_with_nothing_on_a_batch_is_only_normalised():
  batch = batch_of(4)
  train = augment.training(settings(), MEAN, STD, jnp.bfloat16)
  inputs, partners, lam = train(batch, jax.random.key(0))
  assert partners is None
  assert lam is None
  expected = augment.normalize(batch.images, MEAN, STD, jnp.bfloat16)
  np.testing.assert_array_equal(inputs, expected)
  shown = augment.evaluation(settings(), MEAN, STD, jnp.bfloat16)(batch.images)
  np.testing.assert_array_equal(shown, expected)


@pytest.mark.slow
def test_the_recipe_of_cifar_is_padded_crop_flip_and_mixup():
  """Draw by draw, so that runs of today repeat those of yesterday."""
  batch, key = batch_of(6, where=jnp.arange(6) < 5), jax.random.key(7)
  config = settings(crop_padding=2, flip=True, mixup_alpha=0.7)

  @jax.jit
  def by_hand(batch, key):
    batch_key, examples_key = jax.random.split(key)
    own = augment.example_keys(examples_key, 6)
    images = augment.flip(own, augment.pad_crop(own, batch.images, padding=2))
    lam = mixing.symmetric_beta(batch_key, 0.7)
    partners = augment.mixup_partners(own, batch.where)
    inputs = augment.normalize(images, MEAN, STD)
    return augment.mix(inputs, partners, lam), partners, lam

  actual = jax.jit(augment.training(config, MEAN, STD))(batch, key)
  for a, e in zip(actual, by_hand(batch, key), strict=True):
    np.testing.assert_array_equal(a, e)


@pytest.mark.slow
def test_what_is_mixed_in_has_the_square_of_the_partner():
  batch, key = batch_of(6), jax.random.key(3)
  config = settings(cutout=7, mixup_alpha=1.0)

  @jax.jit
  def by_hand(batch, key):
    batch_key, examples_key = jax.random.split(key)
    own = augment.example_keys(examples_key, 6)
    inputs = augment.normalize(batch.images, MEAN, STD)
    inputs = augment.cutout(own, inputs, side=7)
    lam = mixing.symmetric_beta(batch_key, 1.0)
    return augment.mix(inputs, augment.mixup_partners(own), lam)

  inputs, partners, _ = jax.jit(augment.training(config, MEAN, STD))(batch, key)
  assert (np.asarray(partners) != np.arange(6)).any()
  np.testing.assert_array_equal(inputs, by_hand(batch, key))


@pytest.fixture(scope="module")
def everything():
  return jax.jit(augment.training(settings(**EVERYTHING), MEAN, STD))


@pytest.mark.slow
def test_padding_changes_nothing_of_the_others(everything):
  whole, key = batch_of(16), jax.random.key(1)
  sizes = jnp.tile(jnp.array([[16, 18], [9, 12]], jnp.int32), (8, 1))
  where = jnp.arange(16) < 11
  results = []
  for seed in (1, 2):
    # The padding is other images, of other sizes: even what has none.
    other = batch_of(16, seed=seed).images
    images = jnp.where(where[:, None, None, None], whole.images, other)
    shown = jnp.where(where[:, None], sizes, 5 * (seed - 1))
    results.append(everything(Batch(images, whole.labels, where, shown), key))
  (first, partners, lam), (second, same_partners, same_lam) = results
  assert first.shape == (16, 12, 12, 3)
  assert np.isfinite(first).all()
  assert lam == same_lam
  np.testing.assert_array_equal(partners, same_partners)
  np.testing.assert_array_equal(first[:11], second[:11])
  assert (np.asarray(partners)[:11] < 11).all()
  assert not np.array_equal(first[11:], second[11:])


@pytest.mark.slow
def test_a_mesh_changes_nothing(everything):
  batch = batch_of(16, jnp.arange(16) < 11, jnp.full((16, 2), 14, jnp.int32))
  key = jax.random.key(2)
  mesh = jax.make_mesh((8,), ("data",), (jax.sharding.AxisType.Auto,))
  spread = jax.device_put(
    batch, jax.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
  )
  one, eight = everything(batch, key), everything(spread, key)
  for a, b in zip(one, eight, strict=True):
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_cutmix_alone_pastes_from_the_partner():
  """Own pixels and the partner's, by the share that the label has."""
  colours = 10 * np.arange(1, 9, dtype=np.uint8)
  images = np.broadcast_to(colours[:, None, None, None], (8, 16, 18, 1))
  batch = Batch(jnp.asarray(images), jnp.zeros(8, jnp.int32), None)
  train = jax.jit(augment.training(settings(cutmix_alpha=1.0), (0.0,), (1.0,)))
  shares = []
  for seed in range(5):
    inputs, partners, lam = train(batch, jax.random.key(seed))
    levels = np.round(np.asarray(inputs)[..., 0] * 255).astype(int)
    shares.append(float(lam))
    for image, own, partner in zip(levels, colours, partners, strict=True):
      assert set(np.unique(image)) <= {int(own), int(colours[partner])}
      if colours[partner] != own:
        assert (image == own).mean() == pytest.approx(shares[-1], abs=1e-6)
  assert len(set(shares)) > 1


def test_centre_crops_before_an_evaluation():
  """Half the shorter side of a 12 x 16 image in a canvas, at its own scale."""
  image = np.zeros((1, 16, 18, 1), np.uint8)
  image[0, :12, :16, 0] = np.arange(12 * 16).reshape(12, 16)
  show = jax.jit(
    augment.evaluation(settings(crop_size=6, eval_crop=0.5), (0.0,), (1 / 255,))
  )
  shown = show(image, jnp.array([[12, 16]], jnp.int32))[0, :, :, 0]
  np.testing.assert_allclose(shown, image[0, 3:9, 5:11, 0], rtol=1e-6)
  # Without sizes the whole array is the image.
  whole = show(image, jnp.array([[16, 18]], jnp.int32))
  np.testing.assert_array_equal(show(image), whole)


def test_float64_programs_run():
  with jax.enable_x64(True):
    train = augment.training(settings(**EVERYTHING), MEAN, STD, jnp.float64)
    inputs, _, lam = jax.eval_shape(train, batch_of(2), jax.random.key(0))
  assert (inputs.dtype, lam.dtype) == (jnp.float64, jnp.float32)


@pytest.mark.parametrize(
  ("field", "value", "rule"),
  [
    ("crop_padding", -1, "be a whole number of pixels >= 0"),
    ("crop_size", 0, "be a whole number of pixels >= 1, or None"),
    ("crop_scale", (0.5, 0.1), "be two shares of the area"),
    ("crop_scale", (0.0, 1.0), "be two shares of the area"),
    ("crop_scale", (0.5, 1.5), "be two shares of the area"),
    ("crop_scale", (0.5,), "be two shares of the area"),
    ("crop_ratio", (0.0, 1.0), "be two ratios"),
    ("crop_ratio", (0.5, float("inf")), "be two ratios"),
    ("eval_crop", 0.0, "lie in \\(0, 1\\]"),
    ("eval_crop", 1.1, "lie in \\(0, 1\\]"),
    ("brightness", -0.1, "be finite and >= 0"),
    ("contrast", float("nan"), "be finite and >= 0"),
    ("saturation", float("inf"), "be finite and >= 0"),
    ("randaugment_layers", -1, "be a whole number >= 0"),
    ("randaugment_magnitude", 11.0, "lie in \\[0, 10\\]"),
    ("cutout", -2, "be a whole number of pixels >= 0"),
    ("mixup_alpha", -1.0, "be finite and >= 0"),
    ("cutmix_alpha", -1.0, "be finite and >= 0"),
  ],
)
def test_out_of_range(field, value, rule):
  config = settings(**{field: value})
  message = rf"^config.augment.{field}=.* must {rule}"
  with pytest.raises(InputError, match=message):
    augment.training(config, MEAN, STD)
  with pytest.raises(InputError, match=message):
    augment.evaluation(config, MEAN, STD)


def test_what_excludes_each_other():
  with pytest.raises(InputError, match=r"crop_size=8 .* crop_padding=4"):
    augment.training(settings(crop_size=8, crop_padding=4), MEAN, STD)
  with pytest.raises(InputError, match=r"saturation=0.4 does nothing"):
    augment.training(settings(saturation=0.4), (0.5,), (0.2,))


def test_images_of_several_sizes_need_a_crop_size():
  batch = batch_of(2, sizes=jnp.array([[16, 18], [9, 12]], jnp.int32))
  message = "images of several sizes .* config.augment.crop_size"
  with pytest.raises(InputError, match=message):
    augment.training(settings(), MEAN, STD)(batch, jax.random.key(0))
  with pytest.raises(InputError, match=message):
    augment.evaluation(settings(), MEAN, STD)(batch.images, batch.sizes)
