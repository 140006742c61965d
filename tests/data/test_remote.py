# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Prepared data in a bucket: copied once, whole, whatever happens meanwhile."""

import collections
import importlib.util
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading

import bucket_server
import fsspec
import local_bucket
import numpy as np
import pytest

from etf_jax.data.prepare import bucket as _bucket
from etf_jax.data.prepare import remote
from etf_jax.data.sources import prepared, splits
from etf_jax.errors import InputError

INFO = "dataset_info.json"
FIRST = f"shapes-train.array_record-00000-of-{local_bucket.SHARDS:05}"
TEST = "shapes-test.array_record-00000-of-00001"


@pytest.fixture
def shapes(bucket, tmp_path):
  return local_bucket.write(tmp_path / "cloud")


def contents(folder: pathlib.Path) -> dict[str, bytes]:
  return {
    str(path.relative_to(folder)): path.read_bytes()
    for path in folder.rglob("*")
    if path.is_file()
  }


def wanted(shapes: pathlib.Path) -> dict[str, bytes]:
  return {k: v for k, v in contents(shapes).items() if "unlabelled" not in k}


def message(ask, *arguments, **fields) -> str:
  with pytest.raises(InputError) as caught:
    ask(*arguments, **fields)
  assert "\n" not in str(caught.value)
  return str(caught.value)


def start(tmp_path, *arguments):
  return subprocess.Popen(
    [sys.executable, local_bucket.__file__, tmp_path / "cloud", *arguments],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def test_prepared_digits_are_read_as_from_a_folder(
  bucket, tmp_path, digits_dir, data_config, capsys
):
  shutil.copytree(digits_dir, tmp_path / "cloud/bucket/my/tfds")
  local = splits.open_splits(data_config("digits", digits_dir))
  config = data_config(
    "digits", "gs://bucket/my/tfds/", cache_dir=str(tmp_path / "cache")
  )
  copied = splits.open_splits(config)
  assert "copying gs://bucket/my/tfds/scikit_digits/1.0.0 to" in (
    capsys.readouterr().err
  )
  for split in ("train", "test"):
    ours, theirs = getattr(copied, split), getattr(local, split)
    np.testing.assert_array_equal(ours.labels, theirs.labels)
    assert ours.class_names == theirs.class_names
    for index in (0, 7, len(ours.labels) - 1):
      assert ours.read(index) == theirs.read(index)
  assert len(bucket.reads) == len(set(bucket.reads)) > 3
  bucket.reads.clear()
  again = splits.open_splits(config)
  assert again.test.read(3) == local.test.read(3)
  assert bucket.reads == []
  assert capsys.readouterr().err == ""


def test_the_data_directory_of_the_environment(
  bucket, tmp_path, digits_dir, data_config, monkeypatch
):
  shutil.copytree(digits_dir, tmp_path / "cloud/bucket")
  monkeypatch.setenv("TFDS_DATA_DIR", "gs://bucket")
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
  config = data_config("digits", "unused")
  config.data_dir = None
  assert len(splits.open_splits(config).train.labels) == 1442
  assert (tmp_path / "home/etf_jax/gs/bucket/scikit_digits/1.0.0").is_dir()


def test_only_the_wanted_splits_are_copied(shapes, tmp_path, bucket):
  place = local_bucket.copy(tmp_path / "cache", splits=("test",))
  assert place == tmp_path / "cache/gs/bucket/tfds/shapes/1.0.0"
  assert set(contents(place)) == {INFO, "features.json", TEST}
  bucket.reads.clear()
  local_bucket.copy(tmp_path / "cache")
  assert contents(place) == wanted(shapes)
  # The file that says that all is there is written again, last.
  assert len(bucket.reads) == local_bucket.SHARDS + 1
  assert bucket.reads[-1] == INFO


def test_files_of_several_chunks(shapes, tmp_path, bucket, monkeypatch):
  monkeypatch.setattr(_bucket, "_CHUNK", 400)
  place = local_bucket.copy(tmp_path / "cache")
  assert contents(place) == wanted(shapes)
  # 1,000 bytes, and 396.
  counts = collections.Counter(bucket.reads)
  assert (counts[FIRST], counts[TEST]) == (3, 1)


@pytest.mark.parametrize("change", ["size", "time", "shards"])
def test_data_that_have_changed_are_copied_again(
  shapes, tmp_path, bucket, change
):
  place = local_bucket.copy(tmp_path / "cache")
  (place / ".etf_jax-train.npz").write_bytes(b"the labels of the old data")
  bucket.reads.clear()
  if change == "size":
    (shapes / FIRST).write_bytes(b"more" * 500)
    os.utime(shapes / FIRST, ((place / FIRST).stat().st_mtime,) * 2)
    copied = [FIRST]
  elif change == "time":
    (shapes / FIRST).write_bytes(b"!" * (place / FIRST).stat().st_size)
    os.utime(shapes / FIRST, (1e9, 1e9))
    copied = [FIRST]
  else:
    copied = []
    for path in shapes.glob("shapes-train*"):
      number = int(path.name.split("-")[2])
      path.unlink()
      if number < 2:
        name = f"shapes-train.array_record-{number:05}-of-00002"
        (shapes / name).write_bytes(b"new")
        copied.append(name)
  local_bucket.copy(tmp_path / "cache")
  assert contents(place) == wanted(shapes)
  assert sorted(bucket.reads[:-1]) == sorted(copied)
  assert bucket.reads[-1] == INFO


def test_a_copy_that_was_killed_goes_on(shapes, tmp_path, bucket):
  cache = tmp_path / "cache"
  process = start(tmp_path, cache, "10")
  process.communicate()
  assert process.returncode == -signal.SIGKILL
  place = cache / "gs/bucket/tfds" / local_bucket.FOLDER
  whole = {k for k in contents(place) if not k.endswith(".partial")}
  # At the tenth file, with eight at once, two are complete at least.
  assert 2 <= len(whole) < 10
  assert any(k.endswith(".partial") for k in contents(place))
  assert INFO not in whole
  local_bucket.copy(cache)
  assert contents(place) == wanted(shapes)
  assert set(bucket.reads) == set(wanted(shapes)) - whole


def test_of_two_processes_one_copies(shapes, tmp_path):
  both = [start(tmp_path, tmp_path / "cache") for _ in range(2)]
  out = [process.communicate(timeout=60) for process in both]
  assert [process.returncode for process in both] == [0, 0], out
  reads = " ".join(read for read, _ in out).split()
  assert sorted(reads) == sorted(wanted(shapes))
  place = tmp_path / "cache/gs/bucket/tfds" / local_bucket.FOLDER
  assert contents(place) == wanted(shapes)


def test_no_room(shapes, tmp_path, bucket, monkeypatch):
  usage = collections.namedtuple("usage", "total used free")(10**6, 0, 1000)
  monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
  assert message(local_bucket.copy, tmp_path / "cache") == (
    "copying gs://bucket/tfds/shapes/1.0.0 needs 0.0 MB in "
    f"{tmp_path}/cache/gs/bucket/tfds/shapes/1.0.0, and 0.0 MB are free; give "
    "another config.data.cache_dir"
  )
  assert bucket.reads == []


def test_no_permission_to_write(shapes, tmp_path):
  (tmp_path / "cache").write_text("a file")
  assert message(local_bucket.copy, tmp_path / "cache") == (
    "cannot copy gs://bucket/tfds/shapes/1.0.0 to "
    f"{tmp_path}/cache/gs/bucket/tfds/shapes/1.0.0 (Not a directory); give "
    "another config.data.cache_dir"
  )


def test_a_file_that_shrinks_while_it_is_copied(shapes, tmp_path, bucket):
  class Shrinking(bucket):
    def cat_file(self, path, **kwargs):
      if path.endswith(FIRST):
        (shapes / FIRST).write_bytes(b"short")
      return super().cat_file(path, **kwargs)

  fsspec.register_implementation("gs", Shrinking, clobber=True)
  assert message(local_bucket.copy, tmp_path / "cache") == (
    f"gs://bucket/tfds/shapes/1.0.0/{FIRST} has changed while it was copied; "
    "try again"
  )
  place = tmp_path / "cache/gs/bucket/tfds" / local_bucket.FOLDER
  assert not (place / INFO).exists()


def test_shards_that_are_absent(shapes, tmp_path):
  (shapes / FIRST).unlink()
  again = "; copy the data set there again, whole"
  assert message(local_bucket.copy, tmp_path) == (
    "gs://bucket/tfds/shapes/1.0.0 lacks 1 of the 12 files of split 'train', "
    f"such as {FIRST}{again}"
  )
  (shapes / TEST).rename(shapes / TEST.replace("array_record", "tfrecord"))
  assert message(local_bucket.copy, tmp_path) == (
    "gs://bucket/tfds/shapes/1.0.0 holds no ArrayRecord file of split 'test'"
    + again
  )


def test_data_that_are_not_in_the_bucket(bucket, tmp_path, data_config):
  cache = str(tmp_path / "a cache")
  config = data_config("digits", "gs://bucket/x/", cache_dir=cache)
  assert message(splits.open_splits, config) == (
    "digits is not prepared in gs://bucket/x/scikit_digits/1.0.0; run: python "
    "-m etf_jax.prepare digits --data_dir=gs://bucket/x/ "
    f"'--cache_dir={cache}'"
  )
  assert message(prepared.make_builder, "digits", "gs://bucket/x") == (
    "data_dir=gs://bucket/x is in a bucket, and a builder of digits needs a "
    "folder"
  )


@pytest.mark.parametrize("field", ["dir", "manual_dir", "cache_dir"])
def test_what_cannot_be_in_a_bucket(tmp_path, data_config, field):
  config = data_config("digits", tmp_path, **{field: "gs://bucket/x"})
  assert message(splits.open_splits, config) == (
    f"config.data.{field}=gs://bucket/x: of the data, only those that are "
    "prepared (data_dir) may be in a bucket; mount these (gcsfuse) or copy "
    "them (gcloud storage cp --recursive gs://bucket/x DIR), and give the "
    "folder"
  )


@pytest.mark.parametrize("address", ["s3://bucket/x", "gs://", "gs://b/../x"])
def test_addresses_that_are_none(address):
  assert message(remote.local_root, address, None) == (
    f"data_dir={address} is not read: give a folder or gs://BUCKET/FOLDER"
  )


def test_without_the_package_for_buckets(bucket, tmp_path, monkeypatch):
  local_bucket.uninstall()
  monkeypatch.setitem(sys.modules, "gcsfs", None)
  assert message(local_bucket.copy, tmp_path) == (
    "reading gs://bucket/tfds/shapes/1.0.0 needs pip install 'etf_jax[gcs]'"
  )


def test_a_bucket_that_does_not_answer(bucket, tmp_path, monkeypatch):
  answer = threading.Event()

  class Silent(bucket):
    def find(self, *_, **__):
      answer.wait()
      return {}

  fsspec.register_implementation("gs", Silent, clobber=True)
  monkeypatch.setattr(_bucket, "_LISTING_SECONDS", 0.2)
  try:
    assert message(local_bucket.copy, tmp_path) == (
      "gs://bucket/tfds/shapes/1.0.0 did not answer in 0.2 s; check the "
      "network, or bring the data here and give their folder as "
      "config.data.data_dir"
    )
  finally:
    answer.set()


def test_progress_is_told_in_lines(shapes, tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(_bucket, "_LINE_SECONDS", 0.0)
  local_bucket.copy(tmp_path / "cache")
  lines = capsys.readouterr().err.splitlines()
  assert lines[0].endswith(f"{local_bucket.FOLDER}: 0.0 MB")
  # One for every file, since each is one chunk.
  assert len(lines) == 1 + len(wanted(shapes))
  assert all(line.startswith("copied 0.0 MB of 0.0 MB, ") for line in lines[1:])


@pytest.mark.parametrize(
  ("count", "text"), [(155e9, "155.0 GB"), (1.3e6, "1.3 MB")]
)
def test_sizes_in_words(count, text):
  assert _bucket.size(count) == text


@pytest.mark.skipif(
  importlib.util.find_spec("gcsfs") is None, reason="gcsfs is not installed"
)
def test_the_real_library_against_a_server(tmp_path):
  shapes = local_bucket.write(tmp_path)
  (tmp_path / "closed").mkdir()
  program = (
    "import pathlib, sys, local_bucket; from etf_jax.errors import InputError\n"
    "for _ in range(2): local_bucket.copy(pathlib.Path(sys.argv[1]))\n"
    "for local_bucket.DATA_DIR in ('gs://closed', 'gs://absent'):\n"
    "  try: local_bucket.copy(pathlib.Path(sys.argv[1]))\n"
    "  except InputError as error: print(error)\n"
    "assert 'tensorflow' not in sys.modules\n"
  )
  with bucket_server.serve(tmp_path) as address:
    search_path = [str(pathlib.Path(__file__).parent), *sys.path]
    done = subprocess.run(
      [sys.executable, "-c", program, tmp_path / "cache"],
      env=os.environ
      | {"STORAGE_EMULATOR_HOST": address, "NO_GCE_CHECK": "true"}
      | {"PYTHONPATH": os.pathsep.join(search_path)},
      capture_output=True,
      text=True,
      check=False,
    )
  place = tmp_path / "cache/gs/bucket/tfds" / local_bucket.FOLDER
  assert done.returncode == 0, done.stderr
  assert contents(place) == wanted(shapes)
  assert done.stderr.splitlines() == [
    f"copying gs://bucket/tfds/shapes/1.0.0 to {place}: 0.0 MB"
  ]
  closed, absent = done.stdout.splitlines()
  assert closed == (
    "cannot read gs://closed/shapes/1.0.0 (Forbidden: b/closed/o not yours); "
    "check the address, the network and whether this account may read the "
    "bucket (gcloud auth application-default login)"
  )
  assert absent.startswith("shapes is not prepared in gs://absent/shapes/1.0.0")
