# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Make a data set ready to be read: once, completely, by one process.

    prepare("cifar10", data_dir=None, manual_dir="/data/archives")
    prepare("cifar10", data_dir="gs://bucket/tfds")

TFDS does the work, in a folder of this machine, which is copied if data_dir is
in a bucket. What is added: archives that cannot be had are reported in
seconds instead of minutes, processes that want the same data set wait for the
one that makes it, and errors say what to do.
"""

from collections.abc import Callable, Sequence
import contextlib
import importlib.util
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

import requests
import tensorflow_datasets as tfds

from etf_jax.data import catalog
from etf_jax.data.prepare import archives, class_names, gcs
from etf_jax.data.sources import prepared
from etf_jax.errors import InputError
from etf_jax.runs import files

_COMMAND = "etf_jax.prepare"
# What preparing may have to import, and how people call it.
_MODULES = {"tensorflow": "TensorFlow", "cv2": "OpenCV", "scipy": "SciPy"}
_REGISTERED_SHA256 = re.compile(r"checksum='([0-9a-f]{64})'")

_PathLike = str | os.PathLike


def prepare(
  name: str,
  data_dir: _PathLike | None = None,
  manual_dir: _PathLike | None = None,
  cache_dir: _PathLike | None = None,
) -> str:
  """Prepare a data set unless that is done already.

  Most builders bring TensorFlow into the calling process; a training process
  calls `prepare_in_subprocess` instead.

  Args:
    name: Name in the catalog.
    data_dir: Where prepared data live, a folder or gs://BUCKET/FOLDER; None is
      TFDS's default.
    manual_dir: Where archives lie that were fetched by hand, under their
      registered names; None is `downloads/manual` in data_dir, or in
      `gcs.local_root` if that is in a bucket.
    cache_dir: Folder of copies, see `gcs.local_root`; for data in a bucket.

  Returns:
    The directory of the prepared data, or its address.

  Raises:
    InputError: A module or an archive is missing, an archive is not the
      registered one, the data cannot be written, or there is no builder.
  """
  _require_builder(name, catalog.lookup(name))
  gcs.require_path("manual_dir", manual_dir)
  location = data_dir or os.getenv("TFDS_DATA_DIR")

  def again(manual: _PathLike | None) -> str:
    return command_line(name, data_dir, manual, cache_dir)

  if not gcs.is_remote(location):
    return _prepare(name, data_dir, manual_dir, again, "data_dir").data_dir
  place = address(name, location, cache_dir)
  if not gcs.is_prepared(place):
    root = gcs.local_root(location, cache_dir)
    builder = _prepare(name, root, manual_dir, again, "cache_dir")
    _require_all_files(builder)
    gcs.upload(place, pathlib.Path(builder.data_dir))
  return place


def address(name: str, data_dir: str, cache_dir: _PathLike | None) -> str:
  """Return where a data set is in a bucket; arguments as of `prepare`."""
  root = gcs.local_root(data_dir, cache_dir)
  folder = prepared.folder(prepared.make_builder(name, root))
  return gcs.address_of(data_dir, folder)


def _prepare(
  name: str,
  data_dir: _PathLike | None,
  manual_dir: _PathLike | None,
  again: Callable[[_PathLike | None], str],
  option: str,
) -> tfds.core.DatasetBuilder:
  """Prepare in a folder.

  Args:
    name: Name in the catalog.
    data_dir: Folder of all prepared data.
    manual_dir: See `prepare`.
    again: Function of a manual_dir to the user's command.
    option: Option of that command that names `data_dir`.
  """
  info = catalog.lookup(name)
  builder = prepared.make_builder(name, data_dir)
  if prepared.is_prepared(builder) and class_names.are_there(builder, info):
    return builder
  with _only_process(builder, option):
    # Another process may have prepared the data while this one waited.
    builder = prepared.make_builder(name, data_dir)
    if not prepared.is_prepared(builder):
      _require_modules(name, info)
      _require_archives(name, builder, manual_dir, again)
      _download_and_prepare(name, builder, manual_dir, again)
    if not class_names.are_there(builder, info):
      class_names.write(builder, info)
  return builder


def _require_all_files(builder: tfds.core.DatasetBuilder) -> None:
  """Raise unless every split is here: a copy has those that were read."""
  for split in builder.info.splits.values():
    for file in split.filenames:
      if not (builder.data_path / file).exists():
        raise InputError(
          f"{builder.data_dir} is a copy without {file}; remove it and prepare "
          "again"
        )


def prepare_in_subprocess(
  name: str,
  data_dir: _PathLike | None = None,
  manual_dir: _PathLike | None = None,
  cache_dir: _PathLike | None = None,
) -> None:
  """Prepare in a process of its own, so that TensorFlow stays out of this one.

  Raises:
    InputError: As `prepare`; the child's message is passed on.
  """
  package_root = pathlib.Path(__file__).parents[3]
  search_path = [str(package_root), *filter(None, [os.getenv("PYTHONPATH")])]
  environment = os.environ | {"PYTHONPATH": os.pathsep.join(search_path)}
  with tempfile.TemporaryDirectory() as directory:
    # The child's own streams stay the terminal's, for its progress bars.
    error_file = pathlib.Path(directory, "error")
    arguments = _arguments(name, data_dir, manual_dir, cache_dir)
    command = [sys.executable, *arguments, f"--error_file={error_file}"]
    code = subprocess.run(command, env=environment, check=False).returncode
    if code and error_file.exists():
      raise InputError(error_file.read_text())
  if code:
    raise RuntimeError(f"{shlex.join(command)} ended with exit code {code}")


def command_line(name: str, *places: _PathLike | None) -> str:
  """Return the shell command that prepares a data set.

  Args:
    name: Name in the catalog.
    *places: As many of data_dir, manual_dir and cache_dir as there are.
  """
  return shlex.join(["python", *_arguments(name, *places)])


def _arguments(name: str, *places: _PathLike | None) -> list[str]:
  options = zip(("data_dir", "manual_dir", "cache_dir"), places, strict=False)
  given = [f"--{key}={os.fspath(v)}" for key, v in options if v is not None]
  return ["-m", _COMMAND, name, *given]


def _only_process(
  builder: tfds.core.DatasetBuilder, option: str
) -> contextlib.ExitStack:
  """Wait until no other process of this machine prepares the data set."""
  path = pathlib.Path(builder.data_dir_root, f".{builder.name}.lock")
  waiting = f"waiting for another process that prepares {builder.name}"
  lock = contextlib.ExitStack()
  try:
    lock.enter_context(files.lock(path, waiting))
  except OSError as error:
    raise InputError(
      f"cannot write to {option} {path.parent} ({error.strerror}); give "
      f"another one with --{option} (config.data.{option})"
    ) from error
  return lock


def _require_builder(name: str, info: catalog.DatasetInfo) -> None:
  if info.tfds_name is None:
    fetch = " and ".join(info.archives)
    work = "unpack it into DIR"
    if info.annotations is None:
      work = (
        f"sort the images into DIR/{info.train_split}/CLASS "
        f"and DIR/{info.test_split}/CLASS"
      )
    raise InputError(
      f"{name} has no builder, and needs no preparing: fetch {fetch} (see "
      f"{info.homepage}), {work}, and give config.data.dir=DIR"
    )


def _require_modules(name: str, info: catalog.DatasetInfo) -> None:
  for module in (*["tensorflow"] * info.needs_tensorflow, *info.needs):
    if importlib.util.find_spec(module) is None:
      raise InputError(
        f"preparing {name} needs {_MODULES[module]} (training does not): "
        "pip install 'etf_jax[prepare]'"
      )


def _require_archives(
  name: str,
  builder: tfds.core.DatasetBuilder,
  manual_dir: _PathLike | None,
  again: Callable[[_PathLike | None], str],
) -> None:
  """Raise unless every archive is here or its host answers."""
  info = catalog.lookup(name)
  folder = archives.manual_dir(builder, manual_dir)
  if manual_dir is not None and not os.path.isdir(folder):
    raise InputError(f"manual_dir {folder} is not a directory")
  wanted = archives.of(info, builder)
  archives.register(wanted, info)
  if info.by_hand:
    missing = [a for a in wanted if not pathlib.Path(folder, a.name).exists()]
    if missing:
      raise InputError(
        f"the archives of {name} must be fetched by hand, after registering "
        f"at {info.homepage}; "
        + _fetch_by_hand(builder, missing, manual_dir, again)
      )
    for archive in wanted:
      if problem := archives.difference(archive, folder):
        raise InputError(f"{name}: {problem}")
    return
  missing = [a for a in wanted if not archives.is_here(a, builder, folder)]
  if problems := archives.unreachable([a.url for a in missing]):
    raise InputError(
      f"{name} cannot be downloaded ({'; '.join(problems)}); "
      + _fetch_by_hand(builder, missing, manual_dir, again)
    )


def _fetch_by_hand(
  builder: tfds.core.DatasetBuilder,
  missing: Sequence[archives.Archive],
  manual_dir: _PathLike | None,
  again: Callable[[_PathLike | None], str],
) -> str:
  """Return what to fetch, where to put it and how to go on."""
  folder = archives.manual_dir(builder, manual_dir)
  return (
    f"fetch elsewhere {', '.join(map(str, missing))}; put what you fetched in "
    f"{folder} and run: " + again(folder)
  )


def _download_and_prepare(
  name: str,
  builder: tfds.core.DatasetBuilder,
  manual_dir: _PathLike | None,
  again: Callable[[_PathLike | None], str],
) -> None:
  """Let TFDS prepare, and word its failures for the user."""
  folder, info = archives.manual_dir(builder, manual_dir), catalog.lookup(name)
  wanted = archives.of(info, builder)
  try:
    # TFDS names an unpacked archive by its file name and takes what is there:
    # MNIST's and Fashion-MNIST's archives would be mistaken for each other.
    with (
      tempfile.TemporaryDirectory(
        prefix=f".{builder.name}-unpacked-", dir=builder.data_dir_root
      ) as unpacked,
      archives.accepted(wanted, info, builder, folder),
    ):
      builder.download_and_prepare(
        file_format=prepared.FILE_FORMAT,
        download_config=tfds.download.DownloadConfig(
          manual_dir=folder,
          extract_dir=unpacked,
          try_download_gcs=False,
        ),
      )
  except archives.WrongChecksumError as error:
    raise InputError(_wrong_checksum(name, str(error))) from error
  except (requests.RequestException, archives.DownloadError) as error:
    raise InputError(
      f"downloading {name} failed ({type(error).__name__}); try again, or "
      + _fetch_by_hand(builder, wanted, manual_dir, again)
    ) from error
  except OSError as error:
    raise InputError(
      f"cannot write {name} to {builder.data_dir}: {_one_line(error)}"
    ) from error
  if not prepared.is_prepared(builder):
    # TFDS leaves a directory alone that exists, whatever is in it.
    raise InputError(
      f"{builder.data_dir} exists but holds no complete data set; remove it "
      "and prepare again"
    )


def _wrong_checksum(name: str, message: str) -> str:
  """Turn TFDS's message into one line: file, expected and found sha256."""
  path = re.search(r"downloaded to (.+), has wrong checksum", message)
  checksums = _REGISTERED_SHA256.findall(message)
  if path is None or len(checksums) != 2:
    return f"{name}: {_one_line(message)}"
  expected, found = checksums
  return f"{name}: " + archives.wrong_sha256(path[1], found, expected)


def _one_line(message: object) -> str:
  return " ".join(str(message).split())
