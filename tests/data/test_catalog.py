# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from etf_jax.data import catalog, sources
from etf_jax.errors import InputError


@pytest.mark.parametrize("name", catalog.DATASETS)
def test_facts_agree_with_the_builder(name, tmp_path):
  facts = catalog.lookup(name)
  builder = sources.make_builder(name, tmp_path)
  assert builder.name == facts.tfds_name
  assert builder.info.features["image"].shape == facts.image_shape
  assert builder.info.features["label"].num_classes == facts.num_classes
  channels = facts.image_shape[-1]
  assert len(facts.mean) == len(facts.std) == channels
  assert 2 * facts.crop_padding < min(facts.image_shape[:2])
  # The builder verifies what it downloads, so every archive is registered.
  assert set(facts.archives) == set(builder.url_infos or {})


def test_digits_mean_and_deviation_are_those_of_the_training_pixels(
  digits_dir,
):
  builder = sources.make_builder("digits", digits_dir)
  records = sources.read(builder, "train", num_classes=10)
  facts = catalog.lookup("digits")
  pixels = sources.decode(
    records, range(len(records.labels)), shape=facts.image_shape
  )
  np.testing.assert_allclose(pixels.mean() / 255, facts.mean[0], atol=5e-5)
  np.testing.assert_allclose(pixels.std() / 255, facts.std[0], atol=5e-5)


@pytest.mark.parametrize(
  ("name", "near"),
  [
    ("cifar-10", "cifar10"),
    ("cifar_100", "cifar100"),
    ("fashion-mnist", "fashion_mnist"),
    ("digit", "digits"),
  ],
)
def test_unknown_name_suggests_the_nearest(name, near):
  with pytest.raises(InputError) as error:
    catalog.lookup(name)
  assert str(error.value) == (
    f"unknown data set {name!r}; did you mean {near!r}? "
    "(known: digits, fashion_mnist, cifar10, cifar100)"
  )


def test_unknown_name_without_a_near_one_lists_the_known():
  with pytest.raises(InputError) as error:
    catalog.lookup("q")
  assert str(error.value) == (
    "unknown data set 'q' (known: digits, fashion_mnist, cifar10, cifar100)"
  )
