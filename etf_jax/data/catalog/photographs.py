# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The rows of the catalog that are photographs of many sizes."""

import dataclasses
import functools

from etf_jax.data.catalog.info import DatasetInfo

_photographs = functools.partial(
  DatasetInfo,
  image_shape=None,
  # ImageNet's, as networks that were trained on it expect.
  mean=(0.485, 0.456, 0.406),
  std=(0.229, 0.224, 0.225),
  crop_padding=0,
  flip=True,
)

_WORKS = "builder works (small archives in the official format)"
_BY_HAND = "archives must be fetched by hand; " + _WORKS
_DEAD = "archives must be fetched by hand (dead addresses); " + _WORKS
_FOLDERS = "archive must be fetched by hand; no builder: folders of images"
_RESEARCH = "non-commercial research and education only"

_IMAGENET_ARCHIVES = (
  "http://www.image-net.org/challenges/LSVRC/2012/nnoupb/"
  "ILSVRC2012_img_train.tar",
  "http://www.image-net.org/challenges/LSVRC/2012/nnoupb/"
  "ILSVRC2012_img_val.tar",
)
_IMAGENET = _photographs(
  tfds_name="imagenet2012",
  num_classes=1000,
  splits={"train": 1_281_167, "validation": 50_000},
  train_split="train",
  test_split="validation",
  archives=_IMAGENET_ARCHIVES,
  licence=_RESEARCH + "; register at image-net.org",
  state=_BY_HAND,
  by_hand=True,
  homepage="https://image-net.org/download-images",
  file_key="file_name",
)

# The lists of Liu et al. 2019, as Kang et al. 2020 published them.
_LISTS = (
  "https://raw.githubusercontent.com/facebookresearch/classifier-balancing/"
  "f162adef63fdf592d0b8a0f6e52bc481fc08785f/data/"
)


def _lists(name: str, **digests: str) -> dict[str, str]:
  short = {"validation": "val"}
  return {
    split: f"{_LISTS}{name}/{name}_{short.get(split, split)}.txt#{digest}"
    for split, digest in digests.items()
  }


_INATURALIST = "https://ml-inat-competition-datasets.s3.amazonaws.com/2018/"
# Registered in TFDS's repository, and missing from its packages.
_INATURALIST_FILES = {
  f"{_INATURALIST}{name}.tar.gz": (size, sha256)
  for name, size, sha256 in (
    ("train_val2018", 127_945_569_561,
     "276522b02b65d98ee5168a17415b2b1ec971b035bd62959e37b80b1092130495"),
    ("train2018.json", 20_951_917,
     "be550dd4e2692458e508dd03e3a8d79f087453e2ad570a438a4ff198a7abc68f"),
    ("val2018.json", 1_276_686,
     "e23c47d61d3aa2a9095090dbc49de861445d9a8144884a78222873f11f7ef43e"),
    ("test2018", 42_093_877_810,
     "cb19d5b2d755e4dc2a2396a5371a847c95b08678aa00369e61365d7f1e486706"),
    ("categories.json", 139_473,
     "2287211e8da582419dc2ca66736005fdb079e0a89eaf38936a441d8277a8162e"),
  )
}  # fmt: skip
_PLACES = "http://data.csail.mit.edu/places/places365/"
_CARS = "http://ai.stanford.edu/~jkrause/"
_PETS = "https://thor.robots.ox.ac.uk/~vgg/data/pets/"
_FLOWERS = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"
_SUN = "https://vision.princeton.edu/projects/2010/SUN/"

_IMAGENETTE = "https://s3.amazonaws.com/fast-ai-imageclas/imagenette2"


def _imagenette(size: str, suffix: str) -> DatasetInfo:
  return _photographs(
    tfds_name="imagenette",
    tfds_config=f"{size}-v2",
    num_classes=10,
    splits={"train": 9_469, "validation": 3_925},
    train_split="train",
    test_split="validation",
    archives=(f"{_IMAGENETTE}{suffix}.tgz",),
    licence="Apache 2.0; images of ImageNet, whose terms hold",
    state=_WORKS,
  )


PHOTOGRAPHS: dict[str, DatasetInfo] = {
  "imagenet": _IMAGENET,
  "imagenet_lt": dataclasses.replace(
    _IMAGENET,
    validation_split="train",
    lists=_lists(
      "ImageNet_LT",
      train="git=a063f095fcd475db4cf8b0658c4b73955535bbf9",
      validation="sha256="
      "9af7ba688acf9532ff5845a8fb14a1e97fdc4c51ac48bc72c08ea9c3f7ff142e",
      test="sha256="
      "d1590191cf8a71fada7b1aaedaa2d139a2aea93ff2f1b755319d0bd8dbaa55d5",
    ),
    list_sizes={"train": 115_846, "validation": 20_000, "test": 50_000},
  ),
  "imagenette": _imagenette("full-size", ""),
  "imagenette_320": _imagenette("320px", "-320"),
  "imagenette_160": _imagenette("160px", "-160"),
  "tiny_imagenet": _photographs(
    tfds_name=None,
    num_classes=200,
    splits={"train": 100_000, "test": 10_000},
    train_split="train",
    # The labels of its test split were never published.
    test_split="test",
    annotations="val/val_annotations.txt",
    archives=("http://cs231n.stanford.edu/tiny-imagenet-200.zip",),
    licence="none stated; images of ImageNet, whose terms hold",
    state="no builder: the official folder (real images at 32 pixels)",
    needs_tensorflow=False,
    by_hand=True,
    homepage="http://cs231n.stanford.edu/",
  ),
  "cub200": _photographs(
    tfds_name="caltech_birds2011",
    num_classes=200,
    splits={"train": 5_994, "test": 5_794},
    train_split="train",
    test_split="test",
    archives=(
      "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz"
      "?download=1",
      "https://data.caltech.edu/records/w9d68-gec53/files/segmentations.tgz"
      "?download=1",
    ),
    licence=_RESEARCH,
    state=_WORKS,
    needs=("cv2",),
    file_key="image/filename",
    class_name_key="label_name",
  ),
  "inaturalist2018": _photographs(
    tfds_name="i_naturalist2018",
    num_classes=8142,
    splits={"train": 437_513, "validation": 24_426, "test": 149_394},
    train_split="train",
    # The labels of its test split were never published.
    test_split="validation",
    archives=tuple(_INATURALIST_FILES),
    checksums=_INATURALIST_FILES,
    licence="non-commercial research; each photograph has its own licence",
    state=_WORKS,
    file_key="id",
  ),
  "places_lt": _photographs(
    tfds_name="places365_small",
    num_classes=365,
    splits={"train": 1_803_460, "validation": 36_500, "test": 328_500},
    train_split="train",
    validation_split="train",
    test_split="validation",
    archives=tuple(
      _PLACES + name
      for name in (
        "train_256_places365standard.tar",
        "val_256.tar",
        "test_256.tar",
        "filelist_places365-standard.tar",
      )
    ),
    licence=_RESEARCH,
    state=_WORKS,
    file_key="filename",
    lists=_lists(
      "Places_LT",
      train="sha256="
      "726c4871dcbf07ce2f857703bfe32e9a83ffbf52d704239f6d95c4f4f4c247f7",
      validation="sha256="
      "719e3cf3766c09134ea28f56f1036c78def511ac1ed2c2532a6beef78f2439ba",
      test="sha256="
      "44eee8441c8098c59195465abede425721bc35525d75209f9433b161a6eb37bc",
    ),
    list_sizes={"train": 62_500, "validation": 7_300, "test": 36_500},
    # The lists sort `field_road` before `field/wild`, the builder behind it.
    list_labels=False,
  ),
  "food101": _photographs(
    tfds_name="food101",
    num_classes=101,
    splits={"train": 75_750, "validation": 25_250},
    train_split="train",
    test_split="validation",
    archives=("http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz",),
    licence="scientific fair use; photographs from foodspotting.com",
    state=_WORKS,
  ),
  "sun397": _photographs(
    tfds_name="sun397",
    # Partition 1 of the ten that were published.
    tfds_config="standard-part1-120k",
    num_classes=397,
    splits={"train": 19_850, "test": 19_850},
    train_split="train",
    test_split="test",
    archives=(_SUN + "SUN397.tar.gz", _SUN + "download/Partitions.zip"),
    licence="academic research only",
    state=_DEAD,
    needs=("cv2",),
    file_key="file_name",
  ),
  "cars196": _photographs(
    tfds_name="cars196",
    num_classes=196,
    splits={"train": 8_144, "test": 8_041},
    train_split="train",
    test_split="test",
    archives=(
      _CARS + "car196/cars_train.tgz",
      _CARS + "car196/cars_test.tgz",
      _CARS.replace("http:", "https:") + "cars/car_devkit.tgz",
      _CARS + "car196/cars_test_annos_withlabels.mat",
    ),
    licence=_RESEARCH,
    state=_DEAD,
    needs=("scipy",),
    file_key="id",
  ),
  "oxford_iiit_pet": _photographs(
    tfds_name="oxford_iiit_pet",
    num_classes=37,
    splits={"train": 3_680, "test": 3_669},
    train_split="train",
    test_split="test",
    archives=(_PETS + "images.tar.gz", _PETS + "annotations.tar.gz"),
    licence="CC BY-SA 4.0",
    state=_WORKS,
    file_key="file_name",
  ),
  "oxford_flowers102": _photographs(
    tfds_name="oxford_flowers102",
    num_classes=102,
    splits={"train": 1_020, "validation": 1_020, "test": 6_149},
    train_split="train",
    validation_split="validation",
    test_split="test",
    archives=tuple(
      _FLOWERS + name
      for name in ("102flowers.tgz", "imagelabels.mat", "setid.mat")
    ),
    licence="none stated; cite Nilsback and Zisserman 2008",
    state=_WORKS,
    needs=("scipy",),
    file_key="file_name",
  ),
  "aircraft": _photographs(
    tfds_name=None,
    num_classes=100,
    splits={"train": 3_334, "validation": 3_333, "test": 3_333},
    train_split="train",
    validation_split="validation",
    test_split="test",
    archives=(
      "https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/archives/"
      "fgvc-aircraft-2013b.tar.gz",
    ),
    licence=_RESEARCH,
    state=_FOLDERS,
    needs_tensorflow=False,
    by_hand=True,
    homepage="https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/",
  ),
  "birdsnap": _photographs(
    tfds_name=None,
    num_classes=500,
    # 47,386 and 2,443 were published, of which some are gone.
    splits={},
    train_split="train",
    test_split="test",
    archives=("http://thomasberg.org/datasets/birdsnap/1.1/birdsnap.tgz",),
    licence="none stated; each photograph belongs to its author",
    state=_FOLDERS,
    needs_tensorflow=False,
    by_hand=True,
    homepage="http://thomasberg.org/",
  ),
}
