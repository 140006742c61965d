# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
import io
import pathlib
import re

import numpy as np
from PIL import Image
import pytest
import tensorflow_datasets as tfds

from etf_jax.data import catalog
from etf_jax.data.prepare import archives, fetch
from etf_jax.data.sources import prepared
from etf_jax.errors import InputError
from etf_jax.evaluation import shots

WITH_BUILDER = [name for name, f in catalog.DATASETS.items() if f.tfds_name]


@pytest.mark.parametrize("name", WITH_BUILDER)
def test_facts_agree_with_the_builder(name, tmp_path):
  info = catalog.lookup(name)
  builder = prepared.make_builder(name, tmp_path)
  features = builder.info.features
  assert builder.name == info.tfds_name
  assert features[info.label_key].num_classes == info.num_classes
  if info.tfds_config is not None:
    assert builder.builder_config.name == info.tfds_config
  if info.image_shape is None:
    assert features["image"].shape[-1] == 3
  else:
    assert features["image"].shape == info.image_shape
  for key in (info.file_key, info.class_name_key):
    if key is not None:
      assert isinstance(features[key], tfds.features.Text)
  # What is downloaded is verified, so every archive is registered: with the
  # builder, or where that knows none, in the catalog.
  known = builder.url_infos or {}
  assert set(info.archives) <= set(known) | set(info.checksums)
  for url in set(info.checksums) & set(known):
    registered = (int(known[url].size), known[url].checksum)
    assert info.checksums[url] == registered
  for archive in archives.of(info, builder):
    assert archive.size > 0
    assert len(bytes.fromhex(archive.sha256)) == 32
    assert "/" not in archive.name
    assert "?" not in archive.name


@pytest.mark.parametrize("name", catalog.DATASETS)
def test_facts_agree_with_each_other(name):
  info = catalog.lookup(name)
  channels = 3 if info.image_shape is None else info.image_shape[-1]
  assert len(info.mean) == len(info.std) == channels
  if info.image_shape is not None:
    assert 2 * info.crop_padding < min(info.image_shape[:2])
  if info.splits:
    named = {*info.train_split.split("+"), info.test_split}
    named |= {info.validation_split} - {None}
    assert named <= set(info.splits)
  assert info.train_split != info.test_split
  assert set(info.lists) == set(info.list_sizes)
  for location in info.lists.values():
    _, (kind, digits) = fetch.split(location)
    assert (kind, len(digits)) in {("sha256", 64), ("git", 40)}
  assert {len(bytes.fromhex(d)) for d in info.members.values()} <= {16, 20}
  assert info.by_hand <= (info.homepage is not None)
  assert info.shots == (shots.FEW_BELOW, shots.MANY_ABOVE)


@pytest.mark.parametrize(
  ("name", "sizes"),
  [
    ("cifar20", {"train": 50_000, "test": 10_000}),
    # Train and extra together.
    ("svhn", {"train": 604_388, "test": 26_032}),
    # Those of the lists.
    (
      "imagenet_lt",
      {"train": 115_846, "validation": 20_000, "test": 50_000},
    ),
    ("birdsnap", {}),
  ],
)
def test_published_sizes(name, sizes):
  assert catalog.lookup(name).sizes() == sizes


@pytest.mark.slow
def test_digits_mean_and_deviation_are_those_of_the_training_pixels(
  digits_dir,
):
  info = catalog.lookup("digits")
  builder = prepared.make_builder("digits", digits_dir)
  source = prepared.open_prepared(builder, "train", info)
  pixels = np.stack(
    [
      np.asarray(Image.open(io.BytesIO(source.read(i))))
      for i in range(len(source.labels))
    ]
  )
  np.testing.assert_allclose(pixels.mean() / 255, info.mean[0], atol=5e-5)
  np.testing.assert_allclose(pixels.std() / 255, info.std[0], atol=5e-5)


@pytest.mark.parametrize(
  ("name", "near"),
  [
    ("cifar-10", "cifar10"),
    ("cifar_100", "cifar100"),
    ("fashion-mnist", "fashion_mnist"),
    ("digit", "digits"),
    ("imagenet2012", "imagenet"),
    ("places-lt", "places_lt"),
  ],
)
def test_unknown_name_suggests_the_nearest(name, near):
  with pytest.raises(InputError) as error:
    catalog.lookup(name)
  assert str(error.value) == (
    f"name={name!r}: unknown; did you mean {near!r}? "
    f"(known: {', '.join(catalog.DATASETS)})"
  )


def test_the_readme_has_a_row_for_every_data_set():
  folder = pathlib.Path(catalog.__file__).parents[1]
  page = (folder / "README.md").read_text()
  rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|", page, re.MULTILINE)
  assert [name for name, _, _ in rows] == list(catalog.DATASETS)
  for name, images, sizes in rows:
    info = catalog.lookup(name)
    assert f"{info.num_classes} " in images
    if info.image_shape is not None and not images.startswith("those of"):
      assert images.startswith("x".join(map(str, info.image_shape)))
    found = info.sizes()
    if found:
      assert sizes == f"{found['train']:,} / {found['test']:,}"
