# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Data sets that several tests read, each prepared once."""

from collections.abc import Callable
import pathlib

import local_bucket
import ml_collections
import pytest

from etf_jax.configs import base


@pytest.fixture(scope="session")
def data_config() -> Callable[..., ml_collections.ConfigDict]:
  """Make the data part of a config: everything and balanced unless told."""

  def make(name: str, data_dir: pathlib.Path, **fields: object):
    config = base.get_config().data
    config.update({"profile": "none", "imbalance": 1.0, "prepare": False})
    config.update({"name": name, "data_dir": str(data_dir)} | fields)
    return config

  return make


@pytest.fixture
def bucket(tmp_path: pathlib.Path):
  """The file system behind gs://, whose buckets are in tmp_path/cloud."""
  yield local_bucket.install(tmp_path / "cloud")
  local_bucket.uninstall()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
  """Mark as slow what waits for the archives of all stock builders."""
  for item in items:
    if "official" in getattr(item, "fixturenames", ()):
      item.add_marker(pytest.mark.slow)
