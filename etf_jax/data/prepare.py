# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Makes a data set ready to be read: once, completely, by one process.

    prepare("cifar10", data_dir=None, manual_dir="/data/archives")

TFDS does the work. What is added: archives that cannot be had are reported in
seconds instead of minutes, processes that want the same data set wait for the
one that makes it, and errors say what to do.
"""

from collections.abc import Iterator, Sequence
import contextlib
import fcntl
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
import urllib.parse

import requests
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import download_manager
from tensorflow_datasets.core.download import resource as tfds_resource
from tensorflow_datasets.core.download import util as tfds_download_util

from etf_jax.data import catalog, sources
from etf_jax.errors import InputError

_COMMAND = "etf_jax.prepare"
_PROBE_SECONDS = 5.0
_REGISTERED_SHA256 = re.compile(r"checksum='([0-9a-f]{64})'")

_PathLike = str | os.PathLike


def prepare(
  name: str,
  data_dir: _PathLike | None = None,
  manual_dir: _PathLike | None = None,
) -> str:
  """Prepares a data set unless that is done already.

  Most builders bring TensorFlow into the calling process; a training process
  calls `prepare_in_subprocess` instead.

  Args:
    name: Name in the catalog.
    data_dir: Where prepared data live; None is TFDS's default.
    manual_dir: Where archives lie that were fetched by hand, under their
      registered names; None is `downloads/manual` in data_dir.

  Returns:
    The directory of the prepared data.

  Raises:
    InputError: TensorFlow or an archive is missing, an archive is not the
      registered one, or the data cannot be written.
  """
  facts = catalog.lookup(name)
  builder = sources.make_builder(name, data_dir)
  if sources.is_prepared(builder):
    return builder.data_dir
  with _only_process(builder):
    # Another process may have prepared the data while this one waited.
    builder = sources.make_builder(name, data_dir)
    if not sources.is_prepared(builder):
      if facts.needs_tensorflow:
        _require_tensorflow(name)
      _require_archives(name, builder, data_dir, manual_dir)
      _download_and_prepare(name, builder, data_dir, manual_dir)
  return builder.data_dir


def prepare_in_subprocess(
  name: str,
  data_dir: _PathLike | None = None,
  manual_dir: _PathLike | None = None,
) -> None:
  """Prepares in a process of its own, so that TensorFlow stays out of this one.

  Raises:
    InputError: As `prepare`; the child's message is passed on.
  """
  package_root = pathlib.Path(__file__).parents[2]
  search_path = [str(package_root), *filter(None, [os.getenv("PYTHONPATH")])]
  environment = os.environ | {"PYTHONPATH": os.pathsep.join(search_path)}
  with tempfile.TemporaryDirectory() as directory:
    # The child's own streams stay the terminal's, for its progress bars.
    error_file = pathlib.Path(directory, "error")
    arguments = _arguments(name, data_dir, manual_dir)
    command = [sys.executable, *arguments, f"--error_file={error_file}"]
    code = subprocess.run(command, env=environment, check=False).returncode
    if code and error_file.exists():
      raise InputError(error_file.read_text())
  if code:
    raise RuntimeError(f"{shlex.join(command)} ended with exit code {code}")


def command_line(
  name: str,
  data_dir: _PathLike | None,
  manual_dir: _PathLike | None,
) -> str:
  """Returns the shell command that prepares a data set."""
  return shlex.join(["python", *_arguments(name, data_dir, manual_dir)])


def _arguments(
  name: str, data_dir: _PathLike | None, manual_dir: _PathLike | None
) -> list[str]:
  arguments = ["-m", _COMMAND, name]
  if data_dir is not None:
    arguments.append(f"--data_dir={os.fspath(data_dir)}")
  if manual_dir is not None:
    arguments.append(f"--manual_dir={os.fspath(manual_dir)}")
  return arguments


@contextlib.contextmanager
def _only_process(builder: tfds.core.DatasetBuilder) -> Iterator[None]:
  """Waits until no other process of this machine prepares the data set.

  The system drops the lock when its holder dies, however it dies. Object
  stores have no locks: there one process should prepare before others start.
  """
  root = str(builder.data_dir_root)
  if "://" in root:
    yield
    return
  path = pathlib.Path(root, f".{builder.name}.lock")
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("w")
  except OSError as error:
    raise InputError(
      f"cannot write to data_dir {root} ({error.strerror}); give another one "
      "with --data_dir (config.data.data_dir)"
    ) from error
  with file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      print(
        f"waiting for another process that prepares {builder.name}",
        file=sys.stderr,
      )
      fcntl.flock(file, fcntl.LOCK_EX)
    yield


def _require_tensorflow(name: str) -> None:
  if importlib.util.find_spec("tensorflow") is None:
    raise InputError(
      f"preparing {name} needs TensorFlow (training does not): "
      "pip install 'etf_jax[prepare]'"
    )


def _require_archives(
  name: str,
  builder: tfds.core.DatasetBuilder,
  data_dir: _PathLike | None,
  manual_dir: _PathLike | None,
) -> None:
  """Raises unless every archive is here or its host answers."""
  if manual_dir is not None:
    folder = _manual_dir(builder, manual_dir)
    if not os.path.isdir(folder):
      raise InputError(f"manual_dir {folder} is not a directory")
  missing = [
    url
    for url in catalog.lookup(name).archives
    if not _is_here(url, builder, manual_dir)
  ]
  problems = _probe(missing)
  if problems:
    raise InputError(
      f"{name} cannot be downloaded ({'; '.join(problems)}); "
      + _fetch_by_hand(name, builder, missing, data_dir, manual_dir)
    )


def _is_here(
  url: str, builder: tfds.core.DatasetBuilder, manual_dir: _PathLike | None
) -> bool:
  registered = builder.url_infos[url]
  if pathlib.Path(
    _manual_dir(builder, manual_dir), registered.filename
  ).exists():
    return True
  downloads = builder.data_dir_root / "downloads"
  file_name = tfds_resource.get_dl_fname(url, registered.checksum)
  return any(
    tfds_resource.is_locally_cached(directory / file_name)
    for directory in (downloads / builder.name, downloads)
  )


def _manual_dir(
  builder: tfds.core.DatasetBuilder, manual_dir: _PathLike | None
) -> str:
  if manual_dir is None:
    return os.fspath(builder.data_dir_root / "downloads" / "manual")
  # Shells leave the tilde of --manual_dir=~/archives alone.
  return os.path.expanduser(manual_dir)


def _fetch_by_hand(
  name: str,
  builder: tfds.core.DatasetBuilder,
  urls: Sequence[str],
  data_dir: _PathLike | None,
  manual_dir: _PathLike | None,
) -> str:
  """Returns what to fetch, where to put it and how to go on."""
  folder = _manual_dir(builder, manual_dir)
  files = ", ".join(
    f"{builder.url_infos[url].filename} from {url} "
    f"(sha256 {builder.url_infos[url].checksum})"
    for url in urls
  )
  return (
    f"fetch elsewhere {files}; put what you fetched in {folder} and run: "
    + command_line(name, data_dir, folder)
  )


def _probe(urls: Sequence[str]) -> list[str]:
  """Returns what is wrong with the hosts, asking all of them at once.

  TFDS alone retries for minutes, without a word. A GET through requests is
  what it will do, proxies and redirections included; the threads are daemons
  because a stuck name look-up has no time limit of its own.
  """
  by_host = {urllib.parse.urlsplit(url).netloc: url for url in reversed(urls)}
  answers = {host: f"no answer in {_PROBE_SECONDS:g} s" for host in by_host}

  def ask(host: str, url: str) -> None:
    try:
      with requests.get(url, stream=True, timeout=_PROBE_SECONDS) as response:
        good = response.status_code < 400
        answers[host] = "" if good else f"HTTP {response.status_code}"
    except requests.Timeout:
      pass
    except requests.RequestException as error:
      answers[host] = f"no connection, {type(error).__name__}"

  threads = [
    threading.Thread(target=ask, args=item, daemon=True)
    for item in by_host.items()
  ]
  for thread in threads:
    thread.start()
  deadline = time.monotonic() + _PROBE_SECONDS
  for thread in threads:
    thread.join(max(0.0, deadline - time.monotonic()))
  return [f"{host}: {answer}" for host, answer in answers.items() if answer]


def _download_and_prepare(
  name: str,
  builder: tfds.core.DatasetBuilder,
  data_dir: _PathLike | None,
  manual_dir: _PathLike | None,
) -> None:
  """Lets TFDS prepare, and words its failures for the user."""
  try:
    # TFDS names an unpacked archive by its file name and takes what is there:
    # MNIST's and Fashion-MNIST's archives would be mistaken for each other.
    with tempfile.TemporaryDirectory(
      prefix=f".{builder.name}-unpacked-", dir=_local_root(builder)
    ) as unpacked:
      builder.download_and_prepare(
        file_format=sources.FILE_FORMAT,
        download_config=tfds.download.DownloadConfig(
          manual_dir=_manual_dir(builder, manual_dir),
          extract_dir=unpacked,
          try_download_gcs=False,
        ),
      )
  except download_manager.NonMatchingChecksumError as error:
    raise InputError(_wrong_checksum(name, str(error))) from error
  except (requests.RequestException, tfds_download_util.DownloadError) as error:
    urls = catalog.lookup(name).archives
    raise InputError(
      f"downloading {name} failed ({type(error).__name__}); try again, or "
      + _fetch_by_hand(name, builder, urls, data_dir, manual_dir)
    ) from error
  except OSError as error:
    raise InputError(
      f"cannot write {name} to {builder.data_dir}: {_one_line(error)}"
    ) from error
  if not sources.is_prepared(builder):
    # TFDS leaves a directory alone that exists, whatever is in it.
    raise InputError(
      f"{builder.data_dir} exists but holds no complete data set; remove it "
      "and prepare again"
    )


def _local_root(builder: tfds.core.DatasetBuilder) -> str | None:
  root = str(builder.data_dir_root)
  return None if "://" in root else root


def _wrong_checksum(name: str, message: str) -> str:
  """Turns TFDS's message into one line: file, expected and found sha256."""
  path = re.search(r"downloaded to (.+), has wrong checksum", message)
  checksums = _REGISTERED_SHA256.findall(message)
  if path is None or len(checksums) != 2:
    return f"{name}: {_one_line(message)}"
  expected, found = checksums
  return (
    f"{name}: {path[1]} has sha256 {found}, and {expected} was expected; "
    "remove the file and fetch it again"
  )


def _one_line(message: object) -> str:
  return " ".join(str(message).split())
