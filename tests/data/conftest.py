# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Data sets that several tests read, each prepared once."""

from collections.abc import Callable
import dataclasses
import pathlib
import shutil
import types

import official_archives
import pytest


@dataclasses.dataclass(frozen=True)
class Official:
  """Stock builders' data, made from small archives in the official formats."""

  archives: pathlib.Path
  data_dir: pathlib.Path
  contents: dict[str, official_archives.Contents]
  downloaded: tuple[str, ...]


@pytest.fixture(scope="session")
def official(tmp_path_factory: pytest.TempPathFactory) -> Official:
  """CIFAR from manual_dir; Fashion-MNIST's images downloaded, labels not."""
  archives = tmp_path_factory.mktemp("archives")
  manual = tmp_path_factory.mktemp("manual")
  data_dir = tmp_path_factory.mktemp("tfds")
  contents = {
    "cifar10": official_archives.write_cifar10(archives, per_class=12),
    "cifar100": official_archives.write_cifar100(archives, per_class=3),
    "fashion_mnist": official_archives.write_fashion_mnist(archives),
  }
  downloaded = tuple(sorted(f.name for f in archives.glob("*-images-*")))
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


@pytest.fixture(scope="session")
def data_config() -> Callable[..., types.SimpleNamespace]:
  """Makes the data part of a config: everything and balanced unless told."""

  def make(name: str, data_dir: pathlib.Path, **fields: object):
    defaults = {
      "manual_dir": None,
      "profile": "none",
      "imbalance": 1.0,
      "seed": 0,
      "validation_fraction": 0.0,
      "prepare": False,
    }
    return types.SimpleNamespace(
      name=name, data_dir=str(data_dir), **(defaults | fields)
    )

  return make
