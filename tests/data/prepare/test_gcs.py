# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Prepared data in a bucket: copied once, whole, whatever happens meanwhile."""

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
import jax
import local_bucket
import numpy as np
import pytest

from etf_jax import prepare as command
from etf_jax.data import catalog
from etf_jax.data.prepare import gcs, prepare
from etf_jax.data.sources import prepared, splits
from etf_jax.errors import InputError

INFO = gcs.INFO
FIRST = f"shapes-train.array_record-00000-of-{local_bucket.SHARDS:05}"
TEST = "shapes-test.array_record-00000-of-00001"
SHAPES = f"{local_bucket.DATA_DIR}/{local_bucket.FOLDER}"
DIGITS = "gs://bucket/tfds/scikit_digits/1.0.0"


@pytest.fixture
def shapes(bucket, tmp_path):
  return local_bucket.write(tmp_path / "cloud")


@pytest.fixture
def digits_cloud(tmp_path):
  return tmp_path / "cloud/bucket/tfds/scikit_digits/1.0.0"


@pytest.fixture
def digits_here(tmp_path, digits_dir):
  """Digits that are prepared on this machine."""
  target = tmp_path / "cache/gs/bucket/tfds/scikit_digits/1.0.0"
  return shutil.copytree(digits_dir / "scikit_digits/1.0.0", target)


def contents(folder: pathlib.Path) -> dict[str, bytes]:
  return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


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


def run(tmp_path, *arguments) -> int:
  return command.main([*arguments, f"--cache_dir={tmp_path}/cache"])


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


def test_a_file_of_another_size_is_copied_again(shapes, tmp_path, bucket):
  place = local_bucket.copy(tmp_path / "cache")
  bucket.reads.clear()
  (shapes / FIRST).write_bytes(b"more" * 500)
  local_bucket.copy(tmp_path / "cache")
  assert contents(place) == wanted(shapes)
  assert bucket.reads == [FIRST, INFO]


@pytest.mark.slow
def test_a_copy_that_was_killed_goes_on(shapes, tmp_path, bucket):
  cache = tmp_path / "cache"
  process = start(tmp_path, cache, "10")
  process.communicate()
  assert process.returncode == -signal.SIGKILL
  place = cache / "gs/bucket/tfds" / local_bucket.FOLDER
  whole = contents(place)
  assert len(whole) == 9
  assert INFO not in whole
  local_bucket.copy(cache)
  assert contents(place) == wanted(shapes)
  assert set(bucket.reads) == set(wanted(shapes)) - set(whole)


@pytest.mark.slow
def test_of_two_processes_one_copies(shapes, tmp_path):
  both = [start(tmp_path, tmp_path / "cache") for _ in range(2)]
  out = [process.communicate(timeout=60) for process in both]
  assert [process.returncode for process in both] == [0, 0], out
  reads = " ".join(read for read, _ in out).split()
  # The information file is copied whenever anything may be missing.
  assert sorted(set(reads)) == sorted(wanted(shapes))
  assert len(reads) - reads.count(INFO) == len(wanted(shapes)) - 1


@pytest.mark.slow
def test_an_upload_that_was_killed_goes_on(bucket, tmp_path):
  source = local_bucket.write(tmp_path / "elsewhere")
  place = tmp_path / "cloud/bucket/tfds" / local_bucket.FOLDER
  place.mkdir(parents=True)
  cut = f"shapes-train.array_record-00011-of-{local_bucket.SHARDS:05}"
  (place / cut).write_bytes(b"half")
  process = start(tmp_path, source, "10", "up")
  process.communicate()
  assert process.returncode == -signal.SIGKILL
  left, whole = contents(place), contents(source)
  kept = {name for name in left if left[name] == whole[name]}
  assert 8 <= len(kept) < 10
  assert not gcs.is_prepared(SHAPES)
  gcs.upload(SHAPES, source)
  assert contents(place) == whole
  assert set(bucket.writes) == set(whole) - kept
  assert bucket.writes[-1] == INFO


def test_prepared_once_and_read_without_a_copy(
  bucket, digits_here, digits_cloud, tmp_path, data_config, capsys
):
  (digits_here / ".etf_jax-train.npz").write_bytes(b"what a reader keeps")
  assert run(tmp_path, "digits", "--data_dir=gs://bucket/tfds/") == 0
  captured = capsys.readouterr()
  assert captured.out.splitlines()[-1] == f"digits is ready in {DIGITS}"
  assert f"copying {digits_here} to {DIGITS}" in captured.err
  assert len(contents(digits_cloud)) == 4
  assert set(contents(digits_here)) - set(contents(digits_cloud)) == {
    ".etf_jax-train.npz"
  }
  bucket.writes.clear()
  # With an empty cache, and the data directory's other spelling.
  arguments = ["digits", "--data_dir=gs://bucket/tfds"]
  assert run(tmp_path / "other", *arguments) == 0
  assert capsys.readouterr() == (f"digits is ready in {DIGITS}\n", "")
  assert bucket.writes == []
  assert not (tmp_path / "other").exists()
  config = data_config(
    "digits", "gs://bucket/tfds", cache_dir=str(tmp_path / "cache")
  )
  assert len(splits.open_splits(config).test.labels) == 355
  assert bucket.reads == []


@pytest.mark.slow
def test_a_run_of_one_process_prepares(
  bucket, digits_cloud, tmp_path, data_config, monkeypatch
):
  # For the child, which finds gs:// as it would find gcsfs.
  plugin = tmp_path / "site/local_bucket-1.dist-info"
  plugin.mkdir(parents=True)
  (plugin / "METADATA").write_text("Name: local_bucket\nVersion: 1\n")
  (plugin / "entry_points.txt").write_text(
    "[fsspec.specs]\ngs = local_bucket:LocalBucket\n"
  )
  tests = pathlib.Path(local_bucket.__file__).parent
  monkeypatch.setenv("PYTHONPATH", f"{plugin.parent}{os.pathsep}{tests}")
  monkeypatch.setenv("LOCAL_BUCKET", str(tmp_path / "cloud"))
  config = data_config(
    "digits", "gs://bucket/tfds", cache_dir=str(tmp_path), prepare=True
  )
  assert len(splits.open_splits(config).test.labels) == 355
  assert len(contents(digits_cloud)) == 4
  assert bucket.reads == []


def test_a_run_of_several_processes_asks_for_preparation(
  bucket, tmp_path, data_config, monkeypatch
):
  monkeypatch.setattr(jax, "process_count", lambda: 2)
  cache = str(tmp_path / "a cache")
  config = data_config(
    "digits", "gs://bucket/x/", cache_dir=cache, prepare=True
  )
  line = message(splits.open_splits, config)
  assert line.startswith("digits is not prepared in gs://bucket/x/scikit_dig")
  assert line.endswith(
    "python -m etf_jax.prepare digits --data_dir=gs://bucket/x/ "
    f"'--cache_dir={cache}'"
  )


def test_another_format_in_the_bucket(
  bucket, digits_dir, tmp_path, data_config
):
  place = tmp_path / "cloud/bucket/x/scikit_digits/1.0.0"
  shutil.copytree(digits_dir / "scikit_digits/1.0.0", place)
  info = (place / INFO).read_text()
  (place / INFO).write_text(info.replace("array_record", "tfrecord"))
  config = data_config("digits", "gs://bucket/x", cache_dir=str(tmp_path))
  assert "prepared as tfrecord" in message(splits.open_splits, config)


def test_verify_reads_the_copy(
  bucket, digits_here, digits_cloud, tmp_path, capsys
):
  shutil.copytree(digits_here, digits_cloud)
  shutil.rmtree(digits_here)
  arguments = ["digits", "--verify", "--data_dir=gs://bucket/tfds"]
  for copied in (True, False):
    bucket.reads.clear()
    assert run(tmp_path, *arguments) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[0] == f"digits in {digits_here}"
    assert captured.out.splitlines()[-1] == "no problem was found"
    assert bool(captured.err) == bool(bucket.reads) == copied
  assert run(tmp_path, "digits", "--verify", "--data_dir=gs://empty/x") == 2
  assert "python -m etf_jax.prepare digits --data_dir=gs://empty/x" in (
    capsys.readouterr().err
  )
  assert run(tmp_path, "birdsnap", "--verify", "--data_dir=gs://empty/x") == 2
  assert "data_dir=gs://empty/x: only prepared data" in capsys.readouterr().err


def listed(tmp_path, capsys, data_dir):
  assert run(tmp_path, "--list", f"--data_dir={data_dir}") == 0
  captured = capsys.readouterr()
  rows = captured.out.splitlines()[1:]
  assert len(rows) == len(catalog.DATASETS)
  return {r.split()[0]: r.split()[5] for r in rows}, captured.err


def test_list(bucket, digits_here, digits_cloud, tmp_path, capsys, monkeypatch):
  shutil.copytree(digits_here, digits_cloud)
  cifar10 = digits_cloud.parents[1] / "cifar10/3.0.2"
  cifar10.mkdir(parents=True)
  (cifar10 / "cifar10-train.array_record-00000-of-00001").touch()
  state, lines = listed(tmp_path, capsys, "gs://bucket/tfds/")
  expected = {"digits": "yes", "cifar10": "no", "birdsnap": "folders"}
  assert {name: state[name] for name in expected} == expected
  assert (set(state.values()), lines) == ({"yes", "no", "folders"}, "")
  state, lines = listed(tmp_path, capsys, "s3://bucket")
  assert set(state.values()) == {"unreadable", "folders"}
  assert "data_dir=s3://bucket" in lines
  local_bucket.uninstall()
  monkeypatch.setitem(sys.modules, "gcsfs", None)
  state, lines = listed(tmp_path, capsys, "gs://bucket/tfds")
  assert (state["digits"], state["cifar10"]) == ("unreadable", "unreadable")
  assert "pip install 'etf_jax[gcs]'" in lines


@pytest.mark.parametrize("field", ["dir", "manual_dir", "cache_dir"])
def test_what_cannot_be_in_a_bucket(tmp_path, data_config, field, capsys):
  config = data_config("digits", tmp_path, **{field: "gs://bucket/x"})
  assert message(splits.open_splits, config).startswith(
    f"config.data.{field}=gs://bucket/x: only prepared data"
  )
  if field != "dir":
    arguments = ["digits", "--data_dir=gs://bucket/tfds"]
    assert command.main([*arguments, f"--{field}=gs://bucket/x"]) == 2
    assert f"{field}=gs://bucket/x: only" in capsys.readouterr().err


@pytest.mark.parametrize("address", ["s3://bucket/x", "gs://", "gs://b/../x"])
def test_addresses_that_are_none(address):
  line = message(gcs.local_root, address, None)
  assert line.startswith(f"data_dir={address}: ")
  assert "gs://BUCKET/FOLDER" in line


def test_a_builder_needs_a_folder():
  line = message(prepared.make_builder, "digits", "gs://bucket/x")
  assert line.startswith("data_dir=gs://bucket/x")


def test_a_bucket_that_does_not_answer(bucket, tmp_path, monkeypatch):
  answer = threading.Event()

  class Silent(bucket):
    def find(self, *_, **__):
      answer.wait()
      return {}

  fsspec.register_implementation("gs", Silent, clobber=True)
  monkeypatch.setattr(gcs, "_LISTING_SECONDS", 0.2)
  try:
    line = message(local_bucket.copy, tmp_path)
    assert line.startswith(f"{SHAPES}: no answer in 0.2 s; check the network")
  finally:
    answer.set()


def test_a_file_that_cannot_be_sent(bucket, digits_here, digits_cloud):
  class Full(bucket):
    def put_file(self, path1, path2, **kwargs):
      if path2.endswith("features.json"):
        raise OSError("quota")
      super().put_file(path1, path2, **kwargs)

  fsspec.register_implementation("gs", Full, clobber=True)
  line = message(gcs.upload, DIGITS, digits_here)
  assert line.startswith(f"cannot write {digits_here} to {DIGITS} (quota)")
  assert "whether this account may write" in line
  assert not (digits_cloud / INFO).exists()


def test_a_copy_that_is_not_whole_is_not_sent(
  bucket, digits_here, digits_cloud, tmp_path
):
  file = "scikit_digits-test.array_record-00000-of-00001"
  (digits_here / file).unlink()
  arguments = ("digits", "gs://bucket/tfds", None, tmp_path / "cache")
  line = message(prepare.prepare, *arguments)
  assert line.startswith(f"{digits_here} is a copy without {file}")
  assert not digits_cloud.exists()


def test_no_permission_to_write_here(shapes, bucket, tmp_path):
  (tmp_path / "cache").write_text("a file")
  line = message(local_bucket.copy, tmp_path / "cache")
  assert "Not a directory" in line
  assert "config.data.cache_dir" in line
  arguments = ("digits", "gs://bucket/tfds", None, tmp_path / "cache")
  assert "--cache_dir" in message(prepare.prepare, *arguments)


def test_archives_by_hand_name_the_bucket_again(bucket, tmp_path):
  cache = tmp_path / "cache"
  line = message(prepare.prepare, "imagenet", "gs://bucket/t", None, cache)
  manual = cache / "gs/bucket/t/downloads/manual"
  assert line.endswith(
    f"put what you fetched in {manual} and run: python -m etf_jax.prepare "
    f"imagenet --data_dir=gs://bucket/t --manual_dir={manual} "
    f"--cache_dir={cache}"
  )


@pytest.mark.slow
@pytest.mark.skipif(
  importlib.util.find_spec("gcsfs") is None, reason="gcsfs is not installed"
)
def test_the_real_library_against_a_server(tmp_path):
  for name in ("closed", "bucket"):
    (tmp_path / name).mkdir()
  program = (
    "import shutil, sys; from etf_jax import prepare\n"
    "for name in ('bucket', 'bucket', 'closed'):\n"
    "  prepare.main(['digits', f'--data_dir=gs://{name}/tfds', sys.argv[1]])\n"
    "assert 'tensorflow' not in sys.modules\n"
    "shutil.move(sys.argv[1].split('=')[1], sys.argv[1].split('=')[1] + '2')\n"
    "prepare.main(['digits', '--verify', '--data_dir=gs://bucket/tfds',\n"
    "  sys.argv[1]])\n"
  )
  with bucket_server.serve(tmp_path) as address:
    done = subprocess.run(
      [sys.executable, "-c", program, f"--cache_dir={tmp_path}/cache"],
      env=os.environ
      | {"STORAGE_EMULATOR_HOST": address, "NO_GCE_CHECK": "true"},
      capture_output=True,
      text=True,
      check=False,
    )
  local = tmp_path / "cache2/gs/bucket/tfds/scikit_digits/1.0.0"
  copied = tmp_path / "cache/gs/bucket/tfds/scikit_digits/1.0.0"
  place = tmp_path / "bucket/tfds/scikit_digits/1.0.0"
  assert contents(place) == contents(local), done.stderr
  assert contents(place).items() <= contents(copied).items(), done.stderr
  assert done.stdout.count(f"digits is ready in {DIGITS}\n") == 2
  assert "cannot read gs://closed/tfds/scikit_digits" in done.stderr
  assert done.stdout.splitlines()[-1] == "no problem was found"
