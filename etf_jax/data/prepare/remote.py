# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Prepared data in a bucket: gs://BUCKET/tfds is copied to this machine once.

    root = local_root("gs://bucket/tfds", cache_dir=None)
    copy("cifar10", "gs://bucket/tfds", "cifar10/3.0.2", {"train"}, None)

and the data are then read in `root`. Reading each record from the bucket would
take a request per image, and ArrayRecord's reader tries for many minutes,
without a word, where a bucket does not answer.

fsspec does the transfer, not `etils.epath`, which loads TensorFlow into the
process for gs:// wherever TensorFlow is installed.
"""

from collections.abc import Collection, Iterator, Mapping
import contextlib
import fcntl
import os
import pathlib
import re
import shlex
import shutil

import fsspec

from etf_jax.data.prepare import bucket as _bucket
from etf_jax.errors import InputError

_SCHEME = "gs://"
# TFDS writes it last, and it is copied last: where it is, all is.
LAST = "dataset_info.json"
_SHARD = re.compile(r"(.+-(\w+)\.(\w+))-(\d{5,})-of-(\d{5,})")


def is_remote(location: str | os.PathLike | None) -> bool:
  """Return whether a location is not a path of this machine."""
  return location is not None and "://" in os.fspath(location)


def require_path(field: str, location: str | os.PathLike | None) -> None:
  """Raise unless a field of a config is a path, or is not given.

  Raises:
    InputError: It is in a bucket.
  """
  if is_remote(location):
    raise InputError(
      f"{field}={location}: of the data, only those that are prepared "
      "(data_dir) may be in a bucket; mount these (gcsfuse) or copy them "
      f"(gcloud storage cp --recursive {location} DIR), and give the folder"
    )


def local_root(
  data_dir: str, cache_dir: str | os.PathLike | None
) -> pathlib.Path:
  """Return the local data directory that a bucket's is copied to.

  Args:
    data_dir: Its address, gs://BUCKET/FOLDER.
    cache_dir: Where copies are kept; None is `etf_jax` in $XDG_CACHE_HOME or
      ~/.cache.

  Raises:
    InputError: The address is none of Google Cloud Storage, or cache_dir is no
      path.
  """
  require_path("cache_dir", cache_dir)
  parts = [p for p in data_dir.removeprefix(_SCHEME).split("/") if p]
  if not data_dir.startswith(_SCHEME) or not parts or ".." in parts:
    raise InputError(
      f"data_dir={data_dir} is not read: give a folder or gs://BUCKET/FOLDER"
    )
  if cache_dir is None:
    home = os.getenv("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    cache_dir = os.path.join(home, "etf_jax")
  return pathlib.Path(cache_dir).expanduser().absolute().joinpath("gs", *parts)


def address_of(data_dir: str, folder: str) -> str:
  """Return the address of a folder in a data directory in a bucket."""
  return f"{data_dir.rstrip('/')}/{folder}"


def is_prepared(address: str) -> bool:
  """Return whether a data set in a bucket can be read.

  Raises:
    InputError: The bucket cannot be read, or the data are in another format.
  """
  return is_complete(address, _bucket.files(address)[1])


def is_complete(address: str, there: Collection[str]) -> bool:
  """Return whether files of a data set in a bucket are all of it.

  Args:
    address: Of its folder, for messages.
    there: Their names in it.

  Raises:
    InputError: They are complete, but in another format than ArrayRecord.
  """
  if LAST not in there:
    return False
  shards = filter(None, map(_SHARD.fullmatch, there))
  if not any(shard[3] == "array_record" for shard in shards):
    raise InputError(
      f"{address} is prepared, and not as ArrayRecord, which etf_jax reads; "
      "give another data_dir, or remove it and prepare it again"
    )
  return True


def prepared_folders(data_dir: str) -> set[str]:
  """Return the folders of a data directory in a bucket that can be read.

  Raises:
    InputError: The bucket cannot be read, or the address is none.
  """
  local_root(data_dir, None)
  _, there = _bucket.files(data_dir.rstrip("/"))
  folders = {}
  for name in there:
    folder, _, file = name.rpartition("/")
    folders.setdefault(folder, set()).add(file)
  readable = set()
  for folder, names in folders.items():
    with contextlib.suppress(InputError):
      if is_complete(folder, names):
        readable.add(folder)
  return readable


def copy(
  name: str,
  data_dir: str,
  folder: str,
  splits: Collection[str],
  cache_dir: str | os.PathLike | None,
) -> pathlib.Path:
  """Copy a prepared data set to this machine, unless it is there.

  Of the processes of a machine one copies and the others wait. Files that are
  complete are not copied again, whoever left them; a file of another size or
  time than in the bucket is. The copy looks prepared when all of it is there.

  Args:
    name: In the catalog, for messages.
    data_dir: Address of the data directory.
    folder: That of the data set in it, NAME/VERSION.
    splits: Those that are read; the shards of others are not copied.
    cache_dir: As of `local_root`.

  Returns:
    The folder of the copy.

  Raises:
    InputError: gcsfs is not installed, the bucket cannot be read, the data set
      or a part of it is not there, or there is no room or no permission here.
  """
  target = local_root(data_dir, cache_dir) / folder
  address = address_of(data_dir, folder)
  bucket, there = _bucket.files(address)
  if LAST not in there:
    command = ["python", "-m", "etf_jax.prepare", name]
    command.append(f"--data_dir={data_dir}")
    if cache_dir is not None:
      command.append(f"--cache_dir={os.fspath(cache_dir)}")
    raise InputError(
      f"{name} is not prepared in {address}; run: {shlex.join(command)}"
    )
  wanted = _wanted(there, splits, address)
  try:
    if _missing(wanted, target):
      with only_process(target):
        # Another process may have copied them while this one waited.
        if _missing(wanted, target):
          _make(bucket, address, there, wanted, target)
  except OSError as error:
    raise InputError(
      f"cannot copy {address} to {target} ({error.strerror or error}); give "
      "another config.data.cache_dir"
    ) from error
  return target


def _wanted(
  there: Mapping[str, _bucket.Object], splits: Collection[str], address: str
) -> dict[str, _bucket.Object]:
  """All but the shards of other splits; no shard may be absent."""
  wanted, shards = {}, {split: {} for split in splits}
  for name, entry in there.items():
    shard = _SHARD.fullmatch(name)
    if shard is None:
      wanted[name] = entry
      continue
    stem, split, kind, number, count = shard.groups()
    if split in splits and kind == "array_record":
      wanted[name] = entry
      shards[split].setdefault((stem, count), set()).add(int(number))
  again = "; copy the data set there again, whole"
  for split, found in sorted(shards.items()):
    if not found:
      raise InputError(
        f"{address} holds no ArrayRecord file of split {split!r}{again}"
      )
    for (stem, count), numbers in found.items():
      absent = sorted(set(range(int(count))) - numbers)
      if absent:
        example = f"{stem}-{absent[0]:0{len(count)}}-of-{count}"
        raise InputError(
          f"{address} lacks {len(absent)} of the {int(count)} files of split "
          f"{split!r}, such as {example}{again}"
        )
  return wanted


def _missing(
  wanted: Mapping[str, _bucket.Object], target: pathlib.Path
) -> dict[str, _bucket.Object]:
  """The files that are not here as they are in the bucket."""
  missing = {}
  for name, entry in wanted.items():
    try:
      status = (target / name).stat()
    except (FileNotFoundError, NotADirectoryError):
      missing[name] = entry
      continue
    # Some file systems round times.
    same_time = entry.time is None or abs(status.st_mtime - entry.time) < 2
    if status.st_size != entry.size or not same_time:
      missing[name] = entry
  return missing


@contextlib.contextmanager
def only_process(target: pathlib.Path) -> Iterator[None]:
  """Wait until no other process of this machine copies to or from a folder.

  A lock ends with its holder.
  """
  target.parent.mkdir(parents=True, exist_ok=True)
  with target.with_name(f".{target.name}.lock").open("w") as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      _bucket.say(f"waiting for another process that copies {target}")
      fcntl.flock(file, fcntl.LOCK_EX)
    yield


def _make(
  bucket: fsspec.AbstractFileSystem,
  address: str,
  there: Mapping[str, _bucket.Object],
  wanted: Mapping[str, _bucket.Object],
  target: pathlib.Path,
) -> None:
  """Copy what is missing, and removes what is in the way."""
  target.mkdir(exist_ok=True)
  # From here on the copy does not look prepared. What the bucket does not hold
  # is unfinished, of older data, or was derived from them.
  (target / LAST).unlink(missing_ok=True)
  for path in list(target.rglob("*")):
    if path.is_file() and str(path.relative_to(target)) not in there:
      path.unlink()
  missing = _missing(wanted, target)
  needed = sum(entry.size for entry in missing.values())
  free = shutil.disk_usage(target).free
  if needed > free:
    raise InputError(
      f"copying {address} needs {_bucket.size(needed)} in {target}, and "
      f"{_bucket.size(free)} are free; give another config.data.cache_dir"
    )
  _bucket.say(f"copying {address} to {target}: {_bucket.size(needed)}")
  last = missing.pop(LAST)
  _bucket.download(bucket, address, missing, target)
  _bucket.download(bucket, address, {LAST: last}, target)
