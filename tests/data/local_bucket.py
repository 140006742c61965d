# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""gs:// as a folder of this machine, for fsspec to find.

As a program: `local_bucket.py FOLDER CACHE_DIR [FATAL]` copies what `write` has
made, prints the files that it read, and is killed at the FATAL-th of them;
`local_bucket.py FOLDER SOURCE FATAL up` copies SOURCE there.
"""

import os
import pathlib
import signal
import sys
import time

import fsspec
from fsspec.implementations.local import LocalFileSystem

from etf_jax.data.prepare import gcs

DATA_DIR = "gs://bucket/tfds"
FOLDER = "shapes/1.0.0"
SHARDS = 12


class LocalBucket(LocalFileSystem):
  """gs://NAME is `folder`/NAME.

  The files that were read are in `reads`, those that were copied there in
  `writes`.
  """

  protocol = "gs"
  folder = os.getenv("LOCAL_BUCKET")
  reads, writes = [], []
  fatal = None
  seconds = 0.0

  def __init__(self, **_):
    super().__init__(auto_mkdir=True)

  @classmethod
  def _strip_protocol(cls, path):
    path = str(path)
    if path.startswith("gs://"):
      path = f"{cls.folder}/{path.removeprefix('gs://')}"
    return super()._strip_protocol(path)

  def get_file(self, path1, path2, callback=None, **kwargs):
    self.note(self.reads, path1)
    pathlib.Path(path2).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(path2).write_bytes(self.cat_file(path1))

  def put_file(self, path1, path2, callback=None, **kwargs):
    self.note(self.writes, path2)
    super().put_file(path1, path2)

  def note(self, files, path):
    files.append(path.rpartition("/")[2])
    if len(files) == self.fatal:
      os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(self.seconds)


def install(folder: pathlib.Path) -> type[LocalBucket]:
  """Put a folder of buckets behind gs://."""
  LocalBucket.folder, LocalBucket.reads = str(folder), []
  LocalBucket.writes = []
  fsspec.register_implementation("gs", LocalBucket, clobber=True)
  return LocalBucket


def uninstall() -> None:
  """Leave gs:// to gcsfs again."""
  # `fsspec.registry` is a read-only view of it.
  sys.modules["fsspec.registry"]._registry.pop("gs", None)


def write(folder: pathlib.Path) -> pathlib.Path:
  """Write what looks like a prepared data set; returns where it is."""
  place = folder / "bucket" / "tfds" / FOLDER
  place.mkdir(parents=True)
  for number in range(SHARDS):
    name = f"shapes-train.array_record-{number:05}-of-{SHARDS:05}"
    (place / name).write_bytes(bytes([number]) * (1000 + number))
  (place / "shapes-test.array_record-00000-of-00001").write_bytes(b"test" * 99)
  (place / "shapes-unlabelled.array_record-00000-of-00001").touch()
  (place / "features.json").write_text("{}")
  (place / "dataset_info.json").write_text('{"name": "shapes"}')
  return place


def copy(cache_dir: pathlib.Path, splits=("train", "test")):
  """Copy it."""
  return gcs.download(DATA_DIR, FOLDER, splits, cache_dir)


if __name__ == "__main__":
  bucket = install(pathlib.Path(sys.argv[1]))
  bucket.fatal = int(sys.argv[3]) if len(sys.argv) > 3 else None
  bucket.seconds = 0.05
  if sys.argv[4:] == ["up"]:
    gcs.upload(f"{DATA_DIR}/{FOLDER}", pathlib.Path(sys.argv[2]))
  copy(pathlib.Path(sys.argv[2]))
  print(" ".join(bucket.reads))
