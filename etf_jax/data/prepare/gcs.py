# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Prepared data in a bucket: gs://BUCKET/tfds is copied to this machine once.

root = gcs.local_root("gs://bucket/tfds", cache_dir=None)
gcs.download("gs://bucket/tfds", "cifar10/3.0.2", {"train"}, cache_dir=None)
gcs.upload("gs://bucket/tfds/cifar10/3.0.2", folder)

The data are read from the copy: a bucket takes a request per image. fsspec
does the transfer; `etils.epath` would load TensorFlow.
"""

from collections.abc import Collection, Iterator
import contextlib
import logging
import os
import pathlib
import queue
import re
import threading
from typing import TypeGuard

import fsspec
from fsspec.callbacks import TqdmCallback

from etf_jax.errors import InputError
from etf_jax.runs import files

_log = logging.getLogger(__name__)
# TFDS writes it last, and it is copied last: where it is, all is.
INFO = "dataset_info.json"
_SHARD = re.compile(r".+-(\w+)\.\w+-\d{5,}-of-\d{5,}")
_LISTING_SECONDS = 30.0  # the libraries would try for many minutes


def is_remote(location: str | os.PathLike | None) -> TypeGuard[str]:
  """Return whether a location is not a path of this machine."""
  return location is not None and "://" in os.fspath(location)


def require_path(field: str, location: str | os.PathLike | None) -> None:
  """Raise unless a field of a config is a path, or is not given."""
  if is_remote(location):
    raise InputError(
      f"{field}={location}: only prepared data (data_dir) may be in a bucket; "
      "mount it (gcsfuse) or copy it (gcloud storage cp --recursive "
      f"{location} DIR), and give the folder"
    )


def local_root(
  data_dir: str, cache_dir: str | os.PathLike | None
) -> pathlib.Path:
  """Return the local data directory that gs://BUCKET/FOLDER is copied to.

  It is in `cache_dir`; None: `etf_jax` in $XDG_CACHE_HOME or ~/.cache.

  Raises:
    InputError: data_dir is no address of Google Cloud Storage, or cache_dir no
      path.
  """
  require_path("cache_dir", cache_dir)
  parts = [part for part in data_dir.removeprefix("gs://").split("/") if part]
  if not data_dir.startswith("gs://") or not parts or ".." in parts:
    raise InputError(
      f"data_dir={data_dir}: not an address of data; give a folder or "
      "gs://BUCKET/FOLDER"
    )
  root = files.cache_folder() if cache_dir is None else pathlib.Path(cache_dir)
  return root.expanduser().absolute().joinpath("gs", *parts)


def address_of(data_dir: str, folder: str) -> str:
  """Return the address of a folder in a data directory in a bucket."""
  return f"{data_dir.rstrip('/')}/{folder}"


def is_prepared(address: str) -> bool:
  """Return True if a data set is in a bucket, which must be readable."""
  return INFO in _list(address)[1]


def prepared_folders(data_dir: str) -> set[str]:
  """Return the folders of data sets in a data directory in a bucket."""
  local_root(data_dir, None)
  names = _list(data_dir.rstrip("/"))[1]
  suffix = f"/{INFO}"
  return {n.removesuffix(suffix) for n in names if n.endswith(suffix)}


def download(
  data_dir: str,
  folder: str,
  splits: Collection[str],
  cache_dir: str | os.PathLike | None,
) -> pathlib.Path | None:
  """Copy a prepared data set to this machine.

  One process of a machine copies, the others wait. A file that is here with
  the size that it has in the bucket is not copied again.

  Args:
    data_dir: gs://BUCKET/FOLDER, the data directory.
    folder: NAME/VERSION, the data set in it.
    splits: splits to copy.
    cache_dir: see `local_root`.

  Returns:
    The folder of the copy; None if the bucket does not have the data set.

  Raises:
    InputError: the bucket cannot be read, or the copy cannot be written.
  """
  target = local_root(data_dir, cache_dir) / folder
  address = address_of(data_dir, folder)
  bucket, found = _list(address)
  if INFO not in found:
    return None
  wanted = {
    name: size
    for name, size in found.items()
    if (shard := _SHARD.fullmatch(name)) is None or shard[1] in splits
  }
  if _differing(wanted, _local(target)):
    with _transfer(f"copying {address} to {target}", "read", target) as bar:
      # From here on the copy does not look prepared.
      (target / INFO).unlink(missing_ok=True)
      missing = _differing(wanted, _local(target))
      for names in ([n for n in missing if n != INFO], [INFO]):
        here = [str(target / name) for name in names]
        bucket.get([f"{address}/{name}" for name in names], here, callback=bar)
  return target


def upload(address: str, folder: pathlib.Path) -> None:
  """Copy a complete prepared data set into a bucket; see `download`."""
  with _transfer(f"copying {folder} to {address}", "write", folder) as bar:
    bucket, found = _list(address)
    missing = _differing(_local(folder), found)
    for names in ([n for n in missing if n != INFO], [INFO]):
      here = [str(folder / name) for name in names]
      bucket.put(here, [f"{address}/{name}" for name in names], callback=bar)


def _local(folder: pathlib.Path) -> dict[str, int]:
  """Return the size of each file of a data set on this machine."""
  return {
    path.relative_to(folder).as_posix(): path.stat().st_size
    for path in folder.rglob("*")
    if path.is_file() and not path.name.startswith(".")
  }


def _differing(wanted: dict[str, int], found: dict[str, int]) -> list[str]:
  return [name for name, size in wanted.items() if found.get(name) != size]


def _list(address: str) -> tuple[fsspec.AbstractFileSystem, dict[str, int]]:
  """Return the bucket of a folder, and the size of each file in the folder."""
  answer: queue.SimpleQueue = queue.SimpleQueue()
  # They report every attempt; `_one_line` reports the last.
  for library in ("gcsfs", "google.auth"):
    logging.getLogger(library).setLevel(logging.CRITICAL)

  def find() -> None:
    try:
      # Neither the instance nor its listings are reused: both may be old.
      bucket = fsspec.filesystem(
        "gs", use_listings_cache=False, skip_instance_cache=True
      )
      answer.put((bucket, bucket.find(address, detail=True)))
    except FileNotFoundError:
      answer.put((bucket, {}))
    except Exception as error:  # Of half a dozen libraries, with no base class.
      answer.put(error)

  # A thread, since nothing interrupts the libraries.
  threading.Thread(target=find, daemon=True).start()
  with _one_line("read", address):
    listing = answer.get(timeout=_LISTING_SECONDS)
    if isinstance(listing, Exception):
      raise listing
  bucket, listing = listing
  prefix = bucket._strip_protocol(address).rstrip("/") + "/"
  names = {path: path.removeprefix(prefix) for path in listing}
  return bucket, {
    name: int(listing[path]["size"])
    for path, name in names.items()
    # Some tools leave a name that ends in a slash for a folder.
    if path.startswith(prefix)
    and name[-1:] not in ("", "/")
    and not name.rpartition("/")[2].startswith(".")
  }


@contextlib.contextmanager
def _transfer(
  work: str, verb: str, folder: pathlib.Path
) -> Iterator[TqdmCallback]:
  """Copy to or from a folder, as the only process; yield the progress bar."""
  lock = folder.with_name(f".{folder.name}.lock")
  with (
    _one_line(verb, work.removeprefix("copying ")),
    files.lock(lock, f"waiting for another process that copies {folder}"),
  ):
    folder.mkdir(exist_ok=True)
    _log.info(work)
    # None: no bar where there is no terminal.
    yield TqdmCallback(tqdm_kwargs={"unit": " files", "disable": None})


@contextlib.contextmanager
def _one_line(verb: str, place: str) -> Iterator[None]:
  """Turn what the libraries raise into one line for the user."""
  try:
    yield
  except InputError:
    raise
  except ImportError as error:
    raise InputError(
      f"{place}: gcsfs is not installed; pip install 'etf_jax[gcs]'"
    ) from error
  except queue.Empty:
    raise InputError(
      f"{place}: no answer in {_LISTING_SECONDS:g} s; check the network, or "
      "copy the data here and give their folder as config.data.data_dir"
    ) from None
  except Exception as error:
    message = " ".join(str(error).split())[:200] or type(error).__name__
    raise InputError(
      f"cannot {verb} {place} ({message}); check the address, the room in "
      f"config.data.cache_dir, the network, and whether this account may {verb}"
      " the bucket (gcloud auth application-default login)"
    ) from error
