# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Preparing into a bucket: once, by one process, whatever happens meanwhile."""

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
import pytest

from etf_jax import prepare as command
from etf_jax.data import catalog
from etf_jax.data.prepare import prepare, remote, upload
from etf_jax.data.sources import splits
from etf_jax.errors import InputError

INFO = "dataset_info.json"
ADDRESS = "gs://bucket/tfds/scikit_digits/1.0.0"


@pytest.fixture
def place(tmp_path):
  """Where the digits are in the bucket."""
  return tmp_path / "cloud/bucket/tfds/scikit_digits/1.0.0"


@pytest.fixture
def here(tmp_path, digits_dir):
  """Digits that are prepared on this machine."""
  source = digits_dir / "scikit_digits/1.0.0"
  target = tmp_path / "cache/gs/bucket/tfds/scikit_digits/1.0.0"
  shutil.copytree(source, target)
  for path in target.iterdir():
    os.utime(path, (1e9, 1e9))  # Long before they come into the bucket.
  return target


def contents(folder: pathlib.Path) -> dict[str, bytes]:
  return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


def message(ask, *arguments, **fields) -> str:
  with pytest.raises(InputError) as caught:
    ask(*arguments, **fields)
  assert "\n" not in str(caught.value)
  return str(caught.value)


def run(tmp_path, *arguments) -> int:
  return command.main([*arguments, f"--cache_dir={tmp_path}/cache"])


def test_prepared_once_and_read_without_a_copy(
  bucket, here, place, tmp_path, data_config, capsys
):
  arguments = ["digits", "--data_dir=gs://bucket/tfds/"]
  assert run(tmp_path, *arguments) == 0
  captured = capsys.readouterr()
  assert captured.out.splitlines()[-1] == f"digits is ready in {ADDRESS}"
  assert f"copying {here} to {ADDRESS}: 0." in captured.err
  assert len(contents(place)) == 4
  assert contents(place) == contents(here)
  assert sorted(bucket.writes) == sorted(contents(here))
  assert bucket.writes[-1] == INFO
  bucket.writes.clear()
  # Of a cache that is empty, and with the data directory's other spelling.
  arguments = ["digits", "--data_dir=gs://bucket/tfds"]
  assert run(tmp_path / "other", *arguments) == 0
  captured = capsys.readouterr()
  assert (captured.out, captured.err) == (
    f"digits is ready in {ADDRESS}\n",
    "",
  )
  assert bucket.writes == []
  assert not (tmp_path / "other").exists()
  config = data_config(
    "digits", "gs://bucket/tfds", cache_dir=str(tmp_path / "cache")
  )
  assert len(splits.open_splits(config).test.labels) == 355
  assert bucket.reads == []
  # What a reader keeps beside the data stays here.
  (here / ".etf_jax-train.npz").write_bytes(b"labels")
  shutil.rmtree(place)
  assert run(tmp_path, *arguments) == 0
  assert set(contents(place)) == set(contents(here)) - {".etf_jax-train.npz"}


def test_an_upload_that_was_killed_goes_on(bucket, tmp_path):
  source = local_bucket.write(tmp_path / "elsewhere")
  place = tmp_path / "cloud/bucket/tfds" / local_bucket.FOLDER
  place.mkdir(parents=True)
  cut = f"shapes-train.array_record-00011-of-{local_bucket.SHARDS:05}"
  (place / cut).write_bytes(b"half")
  done = subprocess.run(
    [
      *(sys.executable, local_bucket.__file__, tmp_path / "cloud"),
      *(source, "10", "up"),
    ],
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == -signal.SIGKILL, done.stderr
  left, whole = contents(place), contents(source)
  # At the tenth file, with eight at once, two are complete at least.
  kept = {name for name in left if left[name] == whole[name]}
  assert 2 <= len(kept) < 10
  assert INFO not in left
  address = f"{local_bucket.DATA_DIR}/{local_bucket.FOLDER}"
  assert not remote.is_prepared(address)
  upload.upload(address, source)
  assert contents(place) == whole
  assert set(bucket.writes) == set(whole) - kept
  assert bucket.writes[-1] == INFO
  upload.upload(address, source)
  assert len(bucket.writes) == len(whole) - len(kept)


def test_a_run_prepares_and_other_machines_wait(
  bucket, place, tmp_path, data_config, monkeypatch, capfd
):
  # For the child, which finds gs:// as it would find gcsfs.
  plugin = tmp_path / "site/local_bucket-1.dist-info"
  plugin.mkdir(parents=True)
  (plugin / "METADATA").write_text("Name: local_bucket\nVersion: 1\n")
  (plugin / "entry_points.txt").write_text(
    "[fsspec.specs]\ngs = local_bucket:LocalBucket\n"
  )
  tests = pathlib.Path(__file__).parent
  monkeypatch.setenv("PYTHONPATH", f"{plugin.parent}{os.pathsep}{tests}")
  monkeypatch.setenv("LOCAL_BUCKET", str(tmp_path / "cloud"))
  monkeypatch.setattr(upload, "_POLL_SECONDS", 0.2)
  process = threading.local()
  monkeypatch.setattr(jax, "process_index", lambda: process.index)
  read = {}

  def open_as(index):
    process.index = index
    cache = str(tmp_path / f"cache {index}")
    config = data_config(
      "digits", "gs://bucket/tfds", cache_dir=cache, prepare=True
    )
    read[index] = splits.open_splits(config)

  other = threading.Thread(target=open_as, args=(1,))
  other.start()
  open_as(0)
  other.join()
  assert read[1].test.read(3) == read[0].test.read(3)
  assert len(contents(place)) == 4
  # The first has prepared them, and the second has copied two splits' files.
  assert sorted(bucket.reads) == sorted(contents(place))
  said = capfd.readouterr().err
  assert f"another machine that prepares digits in {ADDRESS}\n" in said
  assert f"copying {ADDRESS} to {tmp_path}/cache 1/gs/bucket/tfds/" in said


def test_verify_reads_the_copy(bucket, here, place, tmp_path, capsys):
  shutil.copytree(here, place)
  shutil.rmtree(here)
  arguments = ["digits", "--verify", "--data_dir=gs://bucket/tfds"]
  for copied in (True, False):
    bucket.reads.clear()
    assert run(tmp_path, *arguments) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[0] == f"digits in {here}"
    assert captured.out.splitlines()[-1] == "no problem was found"
    assert bool(captured.err) == bool(bucket.reads) == copied
  assert run(tmp_path, "digits", "--verify", "--data_dir=gs://empty/x") == 2
  assert capsys.readouterr().err == (
    "error: digits is not prepared in gs://empty/x/scikit_digits/"
    "1.0.0; run: python -m etf_jax.prepare digits --data_dir=gs://empty/x "
    f"--cache_dir={tmp_path}/cache\n"
  )
  assert run(tmp_path, "birdsnap", "--verify", "--data_dir=gs://empty/x") == 2
  assert capsys.readouterr().err.startswith(
    "error: data_dir=gs://empty/x: of the data, only those that are prepared"
  )


def listed(tmp_path, capsys, data_dir):
  assert run(tmp_path, "--list", f"--data_dir={data_dir}") == 0
  captured = capsys.readouterr()
  rows = captured.out.splitlines()[1:]
  assert len(rows) == len(catalog.DATASETS)
  return {r.split()[0]: r.split()[5] for r in rows}, captured.err


def test_list(bucket, here, place, tmp_path, capsys, monkeypatch):
  shutil.copytree(here, place)
  cifar10 = place.parents[1] / "cifar10/3.0.2"
  cifar10.mkdir(parents=True)
  (cifar10 / "cifar10-train.array_record-00000-of-00001").touch()
  state, said = listed(tmp_path, capsys, "gs://bucket/tfds/")
  expected = {"digits": "yes", "cifar10": "no", "birdsnap": "folders"}
  assert {name: state[name] for name in expected} == expected
  assert (set(state.values()), said) == ({"yes", "no", "folders"}, "")
  state, said = listed(tmp_path, capsys, "s3://bucket")
  assert set(state.values()) == {"unreadable", "folders"}
  assert said == (
    "warning: data_dir=s3://bucket is not read: give a folder or "
    "gs://BUCKET/FOLDER\n"
  )
  local_bucket.uninstall()
  monkeypatch.setitem(sys.modules, "gcsfs", None)
  state, said = listed(tmp_path, capsys, "gs://bucket/tfds")
  assert (state["digits"], state["cifar10"]) == ("unreadable", "unreadable")
  assert said == (
    "warning: reading gs://bucket/tfds needs pip install 'etf_jax[gcs]'\n"
  )


@pytest.mark.parametrize("field", ["manual_dir", "cache_dir"])
def test_what_cannot_be_in_a_bucket(bucket, field, capsys):
  arguments = ["digits", "--data_dir=gs://bucket/tfds"]
  assert command.main([*arguments, f"--{field}=gs://bucket/x"]) == 2
  assert capsys.readouterr().err.startswith(
    f"error: {field}=gs://bucket/x: of the data, only those that are "
    "prepared (data_dir) may be in a bucket; mount these (gcsfuse)"
  )


def test_a_bucket_that_may_not_be_written_to(bucket, here, tmp_path):
  class Closed(bucket):
    def pipe_file(self, path, value, **kwargs):
      raise PermissionError("not\nyours")

  fsspec.register_implementation("gs", Closed, clobber=True)
  cache = tmp_path / "empty"
  arguments = ("digits", "gs://bucket/tfds", None, cache)
  assert message(prepare.prepare, *arguments) == (
    f"cannot write {ADDRESS}/.being_prepared (not yours); check the address, "
    "the network and whether this account may write the bucket (gcloud auth "
    "application-default login)"
  )
  # It is known before anything is prepared.
  assert not cache.exists()


def test_a_file_that_cannot_be_sent(bucket, here, place):
  class Full(bucket):
    def put_file(self, path1, path2, **kwargs):
      if path2.endswith("features.json"):
        raise OSError("quota")
      super().put_file(path1, path2, **kwargs)

  fsspec.register_implementation("gs", Full, clobber=True)
  assert message(upload.upload, ADDRESS, here).startswith(
    f"cannot write {ADDRESS}/features.json (quota); check the address"
  )
  assert not (place / INFO).exists()


def test_a_file_that_is_not_what_was_sent(bucket, here, place):
  class Cutting(bucket):
    def put_file(self, path1, path2, **kwargs):
      super().put_file(path1, path2, **kwargs)
      if path2.endswith("features.json"):
        (place / "features.json").write_text("{")

  fsspec.register_implementation("gs", Cutting, clobber=True)
  assert message(upload.upload, ADDRESS, here) == (
    f"{ADDRESS}/features.json is not what was copied there; does another "
    "program write to it? Try again"
  )
  assert not (place / INFO).exists()


def test_files_of_other_data_in_the_bucket(bucket, here, place):
  place.mkdir(parents=True)
  (place / "scikit_digits-train.array_record-00001-of-00002").touch()
  assert message(upload.upload, ADDRESS, here) == (
    f"{ADDRESS} holds files that the data set has not, such as scikit_digits-"
    "train.array_record-00001-of-00002; remove them (gcloud storage rm "
    f"--recursive {ADDRESS}) and try again"
  )
  assert bucket.writes == []


def test_another_format_in_the_bucket(bucket, place, tmp_path):
  place.mkdir(parents=True)
  (place / "scikit_digits-train.tfrecord-00000-of-00001").touch()
  (place / INFO).touch()
  arguments = ("digits", "gs://bucket/tfds", None, tmp_path / "cache")
  assert message(prepare.prepare, *arguments) == (
    f"{ADDRESS} is prepared, and not as ArrayRecord, which etf_jax reads; give "
    "another data_dir, or remove it and prepare it again"
  )


def test_a_copy_that_is_not_whole_is_not_sent(bucket, here, place, tmp_path):
  file = "scikit_digits-test.array_record-00000-of-00001"
  (here / file).unlink()
  arguments = ("digits", "gs://bucket/tfds", None, tmp_path / "cache")
  assert message(prepare.prepare, *arguments) == (
    f"{here} is a copy without {file}; remove it and prepare again"
  )
  # Nothing tells others any more that it is being prepared.
  assert contents(place) == {}


def test_no_permission_to_write_here(bucket, tmp_path):
  (tmp_path / "cache").write_text("a file")
  arguments = ("digits", "gs://bucket/tfds", None, tmp_path / "cache")
  assert message(prepare.prepare, *arguments) == (
    f"cannot write to cache_dir {tmp_path}/cache/gs/bucket/tfds (Not a "
    "directory); give another one with --cache_dir (config.data.cache_dir)"
  )


def test_archives_by_hand_name_the_bucket_again(bucket, tmp_path):
  cache = tmp_path / "cache"
  line = message(prepare.prepare, "imagenet", "gs://bucket/t", None, cache)
  manual = cache / "gs/bucket/t/downloads/manual"
  assert line.endswith(
    f"put what you fetched in {manual} and run: python -m etf_jax.prepare "
    f"imagenet --data_dir=gs://bucket/t --manual_dir={manual} "
    f"--cache_dir={cache}"
  )


@pytest.mark.skipif(
  importlib.util.find_spec("gcsfs") is None, reason="gcsfs is not installed"
)
def test_the_real_library_against_a_server(tmp_path):
  (tmp_path / "closed").mkdir()
  (tmp_path / "bucket").mkdir()
  program = (
    "import sys; from etf_jax import prepare\n"
    "for name in ('bucket', 'bucket', 'closed'):\n"
    "  prepare.main(['digits', f'--data_dir=gs://{name}/tfds', *sys.argv[1:]])"
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
  local = tmp_path / "cache/gs/bucket/tfds/scikit_digits/1.0.0"
  place = tmp_path / "bucket/tfds/scikit_digits/1.0.0"
  assert contents(place) == contents(local), done.stderr
  assert done.stdout.count(f"digits is ready in {ADDRESS}\n") == 2
  assert done.stderr.count(f"copying {local} to {ADDRESS}") == 1
  assert "cannot read gs://closed/tfds/scikit_digits" in done.stderr
