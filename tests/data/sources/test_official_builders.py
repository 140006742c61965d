# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
import io

import numpy as np
from official_photographs import Photographs
from PIL import Image
import pytest

from etf_jax.data import catalog
from etf_jax.data.sources import prepared

SMALL = ("cifar10", "cifar100", "cifar20", "svhn", "stl10")
PHOTOGRAPHS = (
  "imagenet",
  "cub200",
  "inaturalist2018",
  "places_lt",
  "food101",
  *("imagenette", "imagenette_320", "imagenette_160"),
  "sun397",
  "cars196",
  "oxford_iiit_pet",
  "oxford_flowers102",
)


def _open(official, name, split):
  builder = prepared.make_builder(name, official.data_dir)
  return prepared.open_prepared(builder, split, catalog.lookup(name))


def _pixels(encoded):
  with Image.open(io.BytesIO(encoded)) as image:
    return np.asarray(image)


def _sorted_pairs(images, labels):
  """Images and labels, in an order that only depends on them."""
  return sorted(
    (np.ascontiguousarray(image).tobytes(), int(label))
    for image, label in zip(images, labels, strict=True)
  )


def _small_contents(official, name, split):
  """Return the content of an archive of small images, in its order."""
  if name == "svhn":
    contents = official.contents["svhn"]
    return contents.images[split], contents.labels[split]
  contents = official.contents["cifar100" if name == "cifar20" else name]
  labels = getattr(contents, f"{split}_labels")
  if name == "cifar20":
    labels = labels % 20
  return getattr(contents, f"{split}_images"), labels


def _class_names(official, name):
  if name == "svhn":
    return tuple("0123456789")
  if name == "cifar20":
    return tuple(f"coarse{k}" for k in range(20))
  return official.contents[name].class_names


def test_every_builder_of_the_catalog_is_driven():
  driven = {*SMALL, *PHOTOGRAPHS, "fashion_mnist", "digits", "imagenet_lt"}
  with_builder = {
    name for name, info in catalog.DATASETS.items() if info.tfds_name
  }
  assert with_builder == driven
  # The one of ImageNet-LT is ImageNet's.
  assert (
    catalog.lookup("imagenet_lt").tfds_name
    == catalog.lookup("imagenet").tfds_name
  )


@pytest.mark.parametrize("name", SMALL)
def test_small_images_labels_and_names_are_those_of_the_archive(name, official):
  info = catalog.lookup(name)
  splits = [*info.train_split.split("+"), info.test_split]
  for split in splits:
    source = _open(official, name, split)
    images, labels = _small_contents(official, name, split)
    assert source.class_names == _class_names(official, name)
    assert len(source.labels) == len(labels)
    read = [_pixels(source.read(i)) for i in range(len(labels))]
    assert {image.reshape(info.image_shape).shape for image in read} == {
      images.shape[1:]
    }
    assert _sorted_pairs(read, source.labels) == _sorted_pairs(images, labels)


@pytest.mark.parametrize(
  ("split", "size"), [("train", 60_000), ("test", 10_000)]
)
def test_fashion_mnist_keeps_images_and_labels_together(split, size, official):
  """Full size, as the builder insists, of which 500 images are compared."""
  source = _open(official, "fashion_mnist", split)
  contents = official.contents["fashion_mnist"]
  assert source.class_names == contents.class_names
  assert len(source.labels) == size
  numbers = []
  for place in np.random.default_rng(0).choice(size, 500, replace=False):
    image = _pixels(source.read(place)).reshape(28, 28, 1)
    # Three pixels spell the number of the image.
    number = int(image[14, :3, 0].astype(int) @ [1, 256, 256**2])
    numbers.append(number)
    np.testing.assert_array_equal(
      image, getattr(contents, f"{split}_images")[number]
    )
    assert source.labels[place] == 7 * number % 10
  assert len(set(numbers)) == 500
  np.testing.assert_array_equal(np.bincount(source.labels), [size // 10] * 10)


def test_two_splits_are_one_behind_the_other(official):
  both = _open(official, "svhn", "train+extra")
  parts = [_open(official, "svhn", split) for split in ("train", "extra")]
  np.testing.assert_array_equal(
    both.labels, np.concatenate([part.labels for part in parts])
  )
  start = len(parts[0].labels)
  assert both.read(start) == parts[1].read(0)
  assert both.file_names[start].startswith("extra_")


def test_unlabelled_images_of_stl10_are_no_training_images(official):
  builder = prepared.make_builder("stl10", official.data_dir)
  sizes = {k: v.num_examples for k, v in builder.info.splits.items()}
  assert sizes == {"train": 40, "test": 40, "unlabelled": 3}


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_photographs_are_the_bytes_of_the_archive(name, official):
  info, contents = catalog.lookup(name), official.contents[name]
  assert isinstance(contents, Photographs)
  for split, files in contents.splits.items():
    source = _open(official, name, split)
    assert source.class_names == contents.class_names
    pairs = [(source.read(i), int(k)) for i, k in enumerate(source.labels)]
    if info.file_key is None:
      assert sorted(pairs) == sorted(files.values())
      continue
    assert sorted(source.file_names) == sorted(files)
    for file_name, (encoded, label) in zip(
      source.file_names, pairs, strict=True
    ):
      original, expected = files[file_name]
      assert label == expected, file_name
      if file_name in contents.rewritten:
        _assert_rewritten(original, encoded)
      else:
        assert encoded == original, file_name


def _assert_rewritten(original, encoded):
  """The builder has made an RGB JPEG of it, with the same picture."""
  with Image.open(io.BytesIO(encoded)) as image:
    assert (image.format, image.mode) == ("JPEG", "RGB")
    found = np.asarray(image, np.int64)
  with Image.open(io.BytesIO(original)) as image:
    expected = np.asarray(image.convert("RGB"), np.int64)
  assert found.shape == expected.shape
  assert np.abs(found - expected).max() <= 8


def test_validation_labels_of_imagenet_are_the_published_ones(official):
  """The first five, by the name of the image."""
  source = _open(official, "imagenet", "validation")
  by_name = dict(zip(source.file_names, source.labels, strict=True))
  first = [by_name[f"ILSVRC2012_val_{i:08d}.JPEG"] for i in range(1, 6)]
  assert [source.class_names[label] for label in first] == [
    "n01751748",
    "n09193705",
    "n02105855",
    "n04263257",
    "n03125729",
  ]


def test_species_have_the_numbers_of_the_published_annotations(official):
  """So that a list with numbers and prepared data name the same classes."""
  names = _open(official, "inaturalist2018", "train").class_names
  # The groups of species stand together: the first bird is number 2746.
  assert names[0] == "Hermodice carunculata"
  assert len(set(names)) == 8142
