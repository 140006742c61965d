# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Small archives in the official formats, prepared by the stock builders."""

import dataclasses
import pathlib
import shutil

import official_archives
import official_photographs
import official_small
import official_transfer
import pytest


@dataclasses.dataclass(frozen=True)
class Official:
  """Stock builders' data, made from small archives in the official formats."""

  archives: pathlib.Path
  data_dir: pathlib.Path
  contents: dict[str, object]
  downloaded: tuple[str, ...]


def prepare(tmp_path_factory: pytest.TempPathFactory) -> Official:
  """Download Fashion-MNIST's images; all else lies in manual_dir."""
  archives = tmp_path_factory.mktemp("archives")
  manual = tmp_path_factory.mktemp("manual")
  data_dir = tmp_path_factory.mktemp("tfds")
  contents = {
    "cifar10": official_small.write_cifar10(archives, per_class=12),
    "cifar100": official_small.write_cifar100(archives, per_class=3),
    "fashion_mnist": official_small.write_fashion_mnist(archives),
    # Of the digit 0 there are fewer than a tenth, as in SVHN.
    "svhn": official_small.write_svhn(
      archives, train=[8] + [22] * 9, extra=[9] + [20] * 9, test=[3] * 10
    ),
    "stl10": official_small.write_stl10(archives, per_class=4),
    "imagenet": official_photographs.write_imagenet(archives, per_class=2),
    "inaturalist2018": official_photographs.write_inaturalist(archives),
    "places_lt": official_photographs.write_places365(archives),
    "cub200": official_transfer.write_cub200(archives),
    "food101": official_transfer.write_food101(archives),
    "imagenette": official_transfer.write_imagenette(archives, ""),
    "imagenette_320": official_transfer.write_imagenette(archives, "-320"),
    "imagenette_160": official_transfer.write_imagenette(archives, "-160"),
    "sun397": official_transfer.write_sun397(archives),
    "cars196": official_transfer.write_cars196(archives),
    "oxford_iiit_pet": official_transfer.write_oxford_iiit_pet(archives),
    "oxford_flowers102": official_transfer.write_oxford_flowers102(archives),
  }
  downloaded = tuple(sorted(f.name for f in archives.glob("*-images-idx3*")))
  for file in archives.iterdir():
    if file.name not in downloaded:
      shutil.copy(file, manual)
  # What TFDS would take for the unpacked archive, since it goes by file name.
  stale = data_dir / "downloads/extracted/TAR_GZ.cifar-10-binary.tar.gz"
  stale.mkdir(parents=True)
  with official_archives.file_server(archives) as url:
    done = official_archives.prepare(
      list(contents),
      data_dir=data_dir,
      manual_dir=manual,
      registered_dir=archives,
      environment=official_archives.proxy(url),
    )
  assert done.returncode == 0, done.stderr
  return Official(archives, data_dir, contents, downloaded)
