# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Makes a data set ready to be read: once, completely, by one process.

    prepare("cifar10", data_dir=None, manual_dir="/data/archives")
    prepare("cifar10", data_dir="gs://bucket/tfds")

TFDS does the work, in a folder of this machine, which is copied if data_dir is
in a bucket. What is added: archives that cannot be had are reported in
seconds instead of minutes, processes that want the same data set wait for the
one that makes it, and errors say what to do.
"""

from collections.abc import Callable, Iterator, Sequence
import contextlib
import functools
import importlib.util
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import threading
import time

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
_HEARTBEAT_SECONDS = 10.0
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
  again = functools.partial(command_line, name, data_dir, cache_dir=cache_dir)
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
    data_dir: The folder of all prepared data.
    manual_dir: See `prepare`.
    again: The user's command, of a manual_dir.
    option: That names data_dir in it.
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


def wait_until_prepared(
  name: str,
  data_dir: _PathLike | None = None,
  *,
  patience: float = 300.0,
) -> None:
  """Wait for another machine to prepare a data set.

  Of several machines that share data_dir, one calls `prepare_in_subprocess`
  and the others this, since locks do not hold from one machine to the next on
  every file system.

  Args:
    name: Name in the catalog.
    data_dir: See `prepare`; a directory that all machines see.
    patience: Seconds without a sign that another machine is at it.

  Raises:
    InputError: Nobody prepares the data set.
  """
  sign, since = None, time.monotonic()
  while True:
    # A builder knows what was on the disk when it was made.
    builder = prepared.make_builder(name, data_dir)
    if prepared.is_prepared(builder):
      return
    lock = _lock_file(builder)
    latest = lock.stat().st_mtime_ns if lock.exists() else None
    if latest != sign:
      sign, since = latest, time.monotonic()
    if time.monotonic() - since > patience:
      raise InputError(
        f"waited {patience:g} s, and no other machine prepares {name} in "
        f"{builder.data_dir}; is that a directory that all machines share? "
        "Prepare once, before the run: " + command_line(name, data_dir, None)
      )
    time.sleep(min(2.0, patience / 10))


def command_line(
  name: str,
  data_dir: _PathLike | None,
  manual_dir: _PathLike | None,
  cache_dir: _PathLike | None = None,
) -> str:
  """Return the shell command that prepares a data set."""
  arguments = _arguments(name, data_dir, manual_dir, cache_dir)
  return shlex.join(["python", *arguments])


def _arguments(
  name: str,
  data_dir: _PathLike | None,
  manual_dir: _PathLike | None,
  cache_dir: _PathLike | None,
) -> list[str]:
  arguments = ["-m", _COMMAND, name]
  if data_dir is not None:
    arguments.append(f"--data_dir={os.fspath(data_dir)}")
  if manual_dir is not None:
    arguments.append(f"--manual_dir={os.fspath(manual_dir)}")
  if cache_dir is not None:
    arguments.append(f"--cache_dir={os.fspath(cache_dir)}")
  return arguments


@contextlib.contextmanager
def _only_process(
  builder: tfds.core.DatasetBuilder, option: str
) -> Iterator[None]:
  """Wait until no other process of this machine prepares the data set."""
  path = _lock_file(builder)
  waiting = f"waiting for another process that prepares {builder.name}"
  try:
    lock = contextlib.ExitStack()
    lock.enter_context(files.lock(path, waiting))
  except OSError as error:
    raise InputError(
      f"cannot write to {option} {path.parent} ({error.strerror}); give "
      f"another one with --{option} (config.data.{option})"
    ) from error
  done = threading.Event()

  def beat() -> None:
    # For `wait_until_prepared` on other machines.
    while not done.wait(_HEARTBEAT_SECONDS):
      with contextlib.suppress(OSError):  # The work itself reports a full disk.
        os.utime(path)

  with lock:
    heart = threading.Thread(target=beat, daemon=True)
    heart.start()
    try:
      yield
    finally:
      done.set()
      heart.join()


def _lock_file(builder: tfds.core.DatasetBuilder) -> pathlib.Path:
  return pathlib.Path(builder.data_dir_root, f".{builder.name}.lock")


def _require_builder(name: str, info: catalog.DatasetInfo) -> None:
  if info.tfds_name is None:
    fetch = " and ".join(info.archives)
    raise InputError(
      f"{name} has no builder, and needs no preparing: fetch {fetch} (see "
      f"{info.homepage}), sort the images into DIR/{info.train_split}/CLASS "
      f"and DIR/{info.test_split}/CLASS, and give config.data.dir=DIR"
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
  """Let TFDS prepare, and words its failures for the user."""
  try:
    # TFDS names an unpacked archive by its file name and takes what is there:
    # MNIST's and Fashion-MNIST's archives would be mistaken for each other.
    with tempfile.TemporaryDirectory(
      prefix=f".{builder.name}-unpacked-", dir=builder.data_dir_root
    ) as unpacked:
      builder.download_and_prepare(
        file_format=prepared.FILE_FORMAT,
        download_config=tfds.download.DownloadConfig(
          manual_dir=archives.manual_dir(builder, manual_dir),
          extract_dir=unpacked,
          try_download_gcs=False,
        ),
      )
  except archives.WrongChecksumError as error:
    raise InputError(_wrong_checksum(name, str(error))) from error
  except (requests.RequestException, archives.DownloadError) as error:
    wanted = archives.of(catalog.lookup(name), builder)
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
