# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Waiting for data that another machine prepares into a bucket."""

import pathlib
import threading
import time

import fsspec
import local_bucket
import pytest

from etf_jax.data.prepare import upload
from etf_jax.errors import InputError

ADDRESS = f"{local_bucket.DATA_DIR}/{local_bucket.FOLDER}"


@pytest.fixture
def place(tmp_path):
  return tmp_path / "cloud/bucket/tfds" / local_bucket.FOLDER


def contents(folder: pathlib.Path) -> dict[str, bytes]:
  return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


def wait(patience: float, command: str = "") -> None:
  upload.wait_until_prepared("shapes", ADDRESS, command, patience=patience)


def test_nobody_prepares(bucket, place):
  place.mkdir(parents=True)
  # What a machine has left that died long ago.
  (place / ".being_prepared").touch()
  with pytest.raises(InputError) as caught:
    wait(0.3, "python -m etf_jax.prepare shapes --data_dir=gs://bucket/tfds")
  assert str(caught.value) == (
    f"waited 0.3 s, and no other machine prepares shapes in {ADDRESS}; prepare "
    "it once, before the run: python -m etf_jax.prepare shapes "
    "--data_dir=gs://bucket/tfds"
  )


def test_patience_lasts_while_there_are_signs(
  bucket, place, tmp_path, monkeypatch
):
  monkeypatch.setattr(upload, "_SIGN_SECONDS", 0.1)
  source = local_bucket.write(tmp_path / "elsewhere")
  failures, found = [], []

  class Failing(bucket):
    def find(self, path, **kwargs):
      # The network fails for a while in between.
      if 0 < len(failures) < 3:
        failures.append(path)
        raise ConnectionError("gone")
      return super().find(path, **kwargs)

  def wait_and_look():
    wait(1.0)
    found.extend(path.name for path in place.iterdir())

  waiter = threading.Thread(target=wait_and_look)
  with upload.signs(ADDRESS):
    fsspec.register_implementation("gs", Failing, clobber=True)
    waiter.start()
    time.sleep(0.5)
    failures.append("from now on")
    time.sleep(1.5)
    # It takes twice the patience.
    assert (waiter.is_alive(), len(failures)) == (True, 3)
    upload.upload(ADDRESS, source)
  waiter.join()
  assert set(contents(source)) <= set(found)
  assert contents(place) == contents(source)


def test_a_bucket_that_cannot_be_read_ends_the_waiting(bucket):
  class Broken(bucket):
    def find(self, path, **kwargs):
      raise ConnectionError("gone")

  fsspec.register_implementation("gs", Broken, clobber=True)
  with pytest.raises(InputError) as caught:
    wait(0.2)
  assert str(caught.value) == (
    f"cannot read {ADDRESS} (gone); check the address, the network and whether "
    "this account may read the bucket (gcloud auth application-default login)"
  )
