# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Small archives in the official formats: sets of small images of one size."""

from collections.abc import Mapping, Sequence
import dataclasses
import gzip
import pathlib

import numpy as np
import official_files
import scipy.io


@dataclasses.dataclass(frozen=True)
class Contents:
  """Content of an archive, in the archive's order."""

  train_images: np.ndarray
  train_labels: np.ndarray
  test_images: np.ndarray
  test_labels: np.ndarray
  class_names: tuple[str, ...]


def write_cifar10(directory: pathlib.Path, *, per_class: int) -> Contents:
  """Write cifar-10-binary.tar.gz: five training batches and a test batch."""
  contents = _random_contents(10, per_class, "class{}")
  batches = {}
  for number, members in enumerate(
    np.array_split(np.arange(len(contents.train_labels)), 5), start=1
  ):
    batches[f"data_batch_{number}.bin"] = _cifar_bytes(
      contents.train_images[members], contents.train_labels[members, None]
    )
  batches["test_batch.bin"] = _cifar_bytes(
    contents.test_images, contents.test_labels[:, None]
  )
  # The official file ends in an empty line.
  batches["batches.meta.txt"] = _lines(contents.class_names) + b"\n"
  _write_tar(
    directory / "cifar-10-binary.tar.gz", "cifar-10-batches-bin", batches
  )
  return contents


def write_cifar100(directory: pathlib.Path, *, per_class: int) -> Contents:
  """Write cifar-100-binary.tar.gz, with coarse labels that differ."""
  contents = _random_contents(100, per_class, "fine{}")
  files = {
    "fine_label_names.txt": _lines(contents.class_names),
    "coarse_label_names.txt": _lines([f"coarse{k}" for k in range(20)]),
  }
  for split in ("train", "test"):
    fine = getattr(contents, f"{split}_labels")
    files[f"{split}.bin"] = _cifar_bytes(
      getattr(contents, f"{split}_images"),
      np.stack([fine % 20, fine], axis=1),
    )
  _write_tar(directory / "cifar-100-binary.tar.gz", "cifar-100-binary", files)
  return contents


def write_fashion_mnist(directory: pathlib.Path) -> Contents:
  """Write the four idx files, full size: the builder insists on it.

  Image i is blank but for three pixels that spell i, and has label 7 i mod 10.
  """
  splits = {}
  for split, prefix, size in (
    ("train", "train", 60_000),
    ("test", "t10k", 10_000),
  ):
    index = np.arange(size)
    images = np.zeros((size, 28, 28, 1), np.uint8)
    for place in range(3):
      images[:, 14, place, 0] = index // 256**place % 256
    labels = index * 7 % 10
    splits[f"{split}_images"], splits[f"{split}_labels"] = images, labels
    # Magic number: two zeros, type uint8, number of axes; then the axes.
    _write_gzip(
      directory / f"{prefix}-images-idx3-ubyte.gz",
      b"\x00\x00\x08\x03" + _big_endian(size, 28, 28) + images.tobytes(),
    )
    _write_gzip(
      directory / f"{prefix}-labels-idx1-ubyte.gz",
      b"\x00\x00\x08\x01"
      + _big_endian(size)
      + labels.astype(np.uint8).tobytes(),
    )
  names = (
    "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,"
    "Ankle boot"
  )
  return Contents(**splits, class_names=tuple(names.split(",")))


@dataclasses.dataclass(frozen=True)
class SvhnContents:
  """Write the three files of SVHN; return their content by split."""

  images: dict[str, np.ndarray]
  labels: dict[str, np.ndarray]


def write_svhn(
  directory: pathlib.Path,
  *,
  train: Sequence[int],
  extra: Sequence[int],
  test: Sequence[int],
) -> SvhnContents:
  """Write train_, extra_ and test_32x32.mat.

  Args:
    directory: Where to.
    train: Number of training images of each digit 0..9.
    extra: Number of extra images.
    test: Number of test images.
  """
  rng = np.random.default_rng(7)
  contents = SvhnContents({}, {})
  for split, counts in (("train", train), ("extra", extra), ("test", test)):
    labels = rng.permutation(np.repeat(np.arange(10), counts))
    images = rng.integers(0, 256, (len(labels), 32, 32, 3), dtype=np.uint8)
    # The image number is the last axis, and a zero has label 10.
    scipy.io.savemat(
      directory / f"{split}_32x32.mat",
      {
        "X": images.transpose(1, 2, 3, 0),
        "y": np.where(labels == 0, 10, labels)[:, None].astype(np.uint8),
      },
      do_compression=True,
    )
    contents.images[split], contents.labels[split] = images, labels
  return contents


def write_stl10(directory: pathlib.Path, *, per_class: int) -> Contents:
  """Write stl10_binary.tar.gz, with three unlabelled images."""
  contents = _random_contents(10, per_class, "object{}", side=96)
  files = {
    # Column by column, the first of them being red.
    "unlabeled_X.bin": bytes(3 * 3 * 96 * 96),
    "class_names.txt": _lines(contents.class_names),
    "fold_indices.txt": b"0 1 2\n",
  }
  for split in ("train", "test"):
    images = getattr(contents, f"{split}_images").transpose(0, 3, 2, 1)
    labels = getattr(contents, f"{split}_labels")
    files[f"{split}_X.bin"] = images.tobytes()
    files[f"{split}_y.bin"] = (labels + 1).astype(np.uint8).tobytes()
  _write_tar(directory / "stl10_binary.tar.gz", "stl10_binary", files)
  return contents


def _write_tar(
  path: pathlib.Path, folder: str, files: Mapping[str, bytes]
) -> None:
  official_files.write_tar(
    path, {f"{folder}/{name}": data for name, data in files.items()}
  )


def _random_contents(
  num_classes: int, per_class: int, name: str, side: int = 32
) -> Contents:
  rng = np.random.default_rng(num_classes)

  def split() -> tuple[np.ndarray, np.ndarray]:
    labels = rng.permutation(np.repeat(np.arange(num_classes), per_class))
    shape = (len(labels), side, side, 3)
    return rng.integers(0, 256, shape, dtype=np.uint8), labels

  train_images, train_labels = split()
  test_images, test_labels = split()
  names = tuple(name.format(k) for k in range(num_classes))
  return Contents(train_images, train_labels, test_images, test_labels, names)


def _cifar_bytes(images: np.ndarray, labels: np.ndarray) -> bytes:
  """Each record is its label bytes, then a red, a green and a blue plane."""
  planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
  return np.concatenate([labels.astype(np.uint8), planes], axis=1).tobytes()


def _lines(names: Sequence[str]) -> bytes:
  return "".join(f"{name}\n" for name in names).encode()


def _big_endian(*numbers: int) -> bytes:
  return b"".join(number.to_bytes(4, "big") for number in numbers)


def _write_gzip(path: pathlib.Path, data: bytes) -> None:
  path.write_bytes(gzip.compress(data, compresslevel=1))
