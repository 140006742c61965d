# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The rows of the catalog whose images are small and all of one size."""

import dataclasses

from etf_jax.data.catalog.info import DatasetInfo

_WORKS = "builder works (small archives in the official format)"

_CIFAR = "https://www.cs.toronto.edu/~kriz/"
_CIFAR_10 = DatasetInfo(
  tfds_name="cifar10",
  image_shape=(32, 32, 3),
  num_classes=10,
  splits={"train": 50_000, "test": 10_000},
  train_split="train",
  test_split="test",
  mean=(0.4914, 0.4822, 0.4465),
  std=(0.2023, 0.1994, 0.2010),
  crop_padding=4,
  flip=True,
  archives=(_CIFAR + "cifar-10-binary.tar.gz",),
  licence="none stated; cite Krizhevsky 2009",
  state=_WORKS,
  file_key="id",
  # Those of Apache MXNet.
  members={
    f"cifar-10-batches-bin/{name}.bin": sha1
    for name, sha1 in (
      ("data_batch_1", "aadd24acce27caa71bf4b10992e9e7b2d74c2540"),
      ("data_batch_2", "c0ba65cce70568cd57b4e03e9ac8d2a5367c1795"),
      ("data_batch_3", "1dd00a74ab1d17a6e7d73e185b69dbf31242f295"),
      ("data_batch_4", "aab85764eb3584312d3c7f65fd2fd016e36a258e"),
      ("data_batch_5", "26e2849e66a845b7f1e4614ae70f4889ae604628"),
      ("test_batch", "67eb016db431130d61cd03c7ad570b013799c88c"),
    )
  },
)
_CIFAR_100 = dataclasses.replace(
  _CIFAR_10,
  tfds_name="cifar100",
  num_classes=100,
  archives=(_CIFAR + "cifar-100-binary.tar.gz",),
  members={
    "cifar-100-binary/train.bin": "e207cd2e05b73b1393c74c7f5e7bea451d63e08e",
    "cifar-100-binary/test.bin": "8fb6623e830365ff53cf14adec797474f5478006",
  },
)

_FASHION = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
_SVHN = "http://ufldl.stanford.edu/housenumbers/"

SMALL: dict[str, DatasetInfo] = {
  "digits": DatasetInfo(
    tfds_name="scikit_digits",
    image_shape=(8, 8, 1),
    num_classes=10,
    splits={"train": 1_442, "test": 355},
    train_split="train",
    test_split="test",
    mean=(0.3052,),
    std=(0.3760,),
    crop_padding=1,
    flip=False,
    archives=(),
    licence="CC BY 4.0 (UCI optical recognition of handwritten digits)",
    state="builder works; images come with scikit-learn",
    needs_tensorflow=False,
    file_key="id",
  ),
  "fashion_mnist": DatasetInfo(
    tfds_name="fashion_mnist",
    image_shape=(28, 28, 1),
    num_classes=10,
    splits={"train": 60_000, "test": 10_000},
    train_split="train",
    test_split="test",
    mean=(0.2860,),
    std=(0.3530,),
    crop_padding=4,
    flip=True,
    archives=(
      _FASHION + "train-images-idx3-ubyte.gz",
      _FASHION + "train-labels-idx1-ubyte.gz",
      _FASHION + "t10k-images-idx3-ubyte.gz",
      _FASHION + "t10k-labels-idx1-ubyte.gz",
    ),
    licence="MIT",
    state="builder works (the real archives)",
  ),
  "cifar10": _CIFAR_10,
  "cifar100": _CIFAR_100,
  "cifar20": dataclasses.replace(
    _CIFAR_100, num_classes=20, label_key="coarse_label"
  ),
  "svhn": DatasetInfo(
    tfds_name="svhn_cropped",
    image_shape=(32, 32, 3),
    num_classes=10,
    splits={"train": 73_257, "extra": 531_131, "test": 26_032},
    train_split="train+extra",
    test_split="test",
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    crop_padding=0,
    flip=False,
    archives=(
      _SVHN + "train_32x32.mat",
      _SVHN + "extra_32x32.mat",
      _SVHN + "test_32x32.mat",
    ),
    licence="non-commercial use only",
    state=_WORKS,
    needs=("scipy",),
    file_key="id",
  ),
  "stl10": DatasetInfo(
    tfds_name="stl10",
    image_shape=(96, 96, 3),
    num_classes=10,
    splits={"train": 5_000, "test": 8_000, "unlabelled": 100_000},
    train_split="train",
    test_split="test",
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    crop_padding=0,
    flip=True,
    archives=("http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",),
    licence="none stated; images of ImageNet, whose terms hold",
    state=_WORKS,
    # Those of torchvision.
    members={
      f"stl10_binary/{name}.bin": md5
      for name, md5 in (
        ("train_X", "918c2871b30a85fa023e0c44e0bee87f"),
        ("train_y", "5a34089d4802c674881badbb80307741"),
        ("test_X", "7f263ba9f9e0b06b93213547f721ac82"),
        ("test_y", "36f9794fa4beb8a2c72628de14fa638e"),
        ("unlabeled_X", "5242ba1fed5e4be9e1e742405eb56ca4"),
      )
    },
  ),
}
