# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""What a bucket holds, and copying it: fsspec, with an end to waiting.

bucket, there = files("gs://bucket/folder")
download(bucket, "gs://bucket/folder", there, pathlib.Path("/data/folder"))
upload(bucket, "gs://bucket/folder", {"a": 7}, pathlib.Path("/data/folder"))
"""

from collections.abc import Callable, Iterable, Mapping
from concurrent import futures
import logging
import os
import pathlib
import queue
import sys
import threading
import time
from typing import Any, NamedTuple

import fsspec

from etf_jax.errors import InputError

_LISTING_SECONDS = 30.0  # until a bucket has said what it holds
_REQUEST_SECONDS = 120.0  # for one chunk
_LINE_SECONDS = 10.0  # between two lines of progress
_CHUNK = 8 << 20
_AT_ONCE = 8


class Object(NamedTuple):
  """What a bucket says of a file: bytes, and seconds since 1970 or None."""

  size: int
  time: float | None


def files(
  address: str, *, hidden: bool = False
) -> tuple[fsspec.AbstractFileSystem, dict[str, Object]]:
  """Return what is in a folder of a bucket, and the file system that it is in.

  Args:
    address: gs://BUCKET/FOLDER.
    hidden: Whether hidden files are among them.

  Returns:
    The file system; and what is in the folder and below it, by its name from
    there, nothing if there is no such folder.

  Raises:
    InputError: gcsfs is not installed, or the bucket does not answer or does
      not allow it.
  """
  return _answer(address, lambda: _list(address, hidden))


def write(
  bucket: fsspec.AbstractFileSystem, address: str, content: bytes
) -> None:
  """Write a small file, in the place of one that is there.

  Raises:
    InputError: The bucket does not answer or does not allow it.
  """
  _answer(address, lambda: bucket.pipe_file(address, content), "write")


def remove(bucket: fsspec.AbstractFileSystem, address: str) -> None:
  """Remove a file.

  Raises:
    InputError: It is not there, or the bucket does not answer or allow it.
  """
  _answer(address, lambda: bucket.rm_file(address), "write")


def _answer(address: str, ask: Callable[[], Any], doing: str = "read") -> Any:
  """What a bucket answers, within a time.

  The libraries below try again and again, which cannot be interrupted: the
  thread that waits for them is left behind.
  """
  outcome = queue.SimpleQueue()

  def run() -> None:
    try:
      outcome.put((ask(), None))
    except Exception as error:  # Of half a dozen libraries, with no base class.
      outcome.put((None, error))

  threading.Thread(target=run, daemon=True).start()
  try:
    answer, error = outcome.get(timeout=_LISTING_SECONDS)
  except queue.Empty:
    raise InputError(
      f"{address} did not answer in {_LISTING_SECONDS:g} s; check the network, "
      "or bring the data here and give their folder as config.data.data_dir"
    ) from None
  if error is not None:
    raise _worded(address, error, doing) from error
  return answer


def _worded(address: str, error: Exception, doing: str = "read") -> InputError:
  if isinstance(error, ImportError):
    return InputError(f"reading {address} needs pip install 'etf_jax[gcs]'")
  what = " ".join(str(error).split())[:200] or type(error).__name__
  return InputError(
    f"cannot {doing} {address} ({what}); check the address, the network and "
    f"whether this account may {doing} the bucket (gcloud auth "
    "application-default login)"
  )


def _list(address: str, hidden: bool):
  """See `files`."""
  # What it says of each attempt is said here once, when all have failed.
  logger = logging.getLogger("gcsfs")
  if logger.level == logging.NOTSET:
    logger.setLevel(logging.CRITICAL)
  # Neither the instance nor its listings are reused: both may be out of date.
  bucket = fsspec.filesystem(
    "gs",
    requests_timeout=_REQUEST_SECONDS,
    use_listings_cache=False,
    skip_instance_cache=True,
  )
  try:
    found = bucket.find(address, detail=True)
  except FileNotFoundError:
    found = {}
  prefix = bucket._strip_protocol(address).rstrip("/") + "/"
  there = {}
  for path, details in found.items():
    name = path.removeprefix(prefix)
    # Labels that a reader has kept (`sources`) are that reader's; a name that
    # ends in a slash is what some tools leave for a folder.
    visible = not any(part.startswith(".") for part in name.split("/"))
    known = name and path.startswith(prefix) and name[-1] != "/"
    if known and (visible or hidden):
      there[name] = Object(int(details["size"]), _time(details.get("mtime")))
  return bucket, there


def _time(value: Any) -> float | None:
  """Seconds since 1970 of a time as file systems give it."""
  value = value.timestamp() if hasattr(value, "timestamp") else value
  return float(value) if isinstance(value, int | float) else None


def download(
  bucket: fsspec.AbstractFileSystem,
  address: str,
  wanted: Mapping[str, Object],
  target: pathlib.Path,
) -> None:
  """Copy several files at once, and says how far it has come.

  Each appears under its name when it is complete, with the time that it has in
  the bucket.

  Args:
    bucket: See `files`.
    address: Of the folder in the bucket.
    wanted: The files, by their names in it.
    target: Folder of this machine.

  Raises:
    InputError: One cannot be read, or has changed meanwhile.
    OSError: One cannot be written.
  """
  progress = _Progress(sum(entry.size for entry in wanted.values()))
  stop = threading.Event()

  def copy(name: str) -> None:
    _copy_file(bucket, address, name, wanted[name], target, progress, stop)

  _together(copy, wanted, stop)


def upload(
  bucket: fsspec.AbstractFileSystem,
  address: str,
  wanted: Mapping[str, int],
  source: pathlib.Path,
) -> None:
  """Copy several files into a bucket, as `download` out of it.

  Args:
    bucket: See `files`.
    address: Of the folder in the bucket.
    wanted: The sizes of the files in bytes, by their names in it.
    source: Folder of this machine.

  Raises:
    InputError: One cannot be written.
  """
  progress = _Progress(sum(wanted.values()))
  stop = threading.Event()

  def copy(name: str) -> None:
    if stop.is_set():
      return
    place, watch = f"{address}/{name}", _Watch(progress, stop)
    try:
      # A bucket shows a file when all of it has come.
      bucket.put_file(
        str(source / name), place, callback=watch, chunksize=_CHUNK
      )
    except Exception as error:  # As above.
      raise _worded(place, error, "write") from error
    progress.add(wanted[name] - watch.value)

  _together(copy, wanted, stop)


class _Watch(fsspec.Callback):
  """Told by gcsfs how much of a file it has sent; may stop it."""

  def __init__(self, progress: "_Progress", stop: threading.Event):
    super().__init__()
    self._progress, self._stop = progress, stop

  def absolute_update(self, value: int) -> None:
    if self._stop.is_set():
      raise InterruptedError("another file could not be sent")
    self._progress.add(value - self.value)
    super().absolute_update(value)


def _together(
  work: Callable[[str], None], names: Iterable[str], stop: threading.Event
) -> None:
  """Do the work for several files at once; the first failure ends it."""
  with futures.ThreadPoolExecutor(_AT_ONCE) as executor:
    tasks = [executor.submit(work, name) for name in names]
    try:
      for task in futures.as_completed(tasks):
        task.result()
    finally:
      stop.set()
      executor.shutdown(wait=False, cancel_futures=True)


def _copy_file(bucket, address, name, entry, target, progress, stop) -> None:
  """See `download`."""
  path = target / name
  path.parent.mkdir(parents=True, exist_ok=True)
  partial = path.with_name(f"{path.name}.partial")
  with partial.open("wb") as file:
    for start in range(0, entry.size, _CHUNK):
      if stop.is_set():
        return
      end = min(start + _CHUNK, entry.size)
      try:
        chunk = bucket.cat_file(f"{address}/{name}", start=start, end=end)
      except Exception as error:  # As above.
        raise _worded(f"{address}/{name}", error) from error
      if len(chunk) != end - start:
        raise InputError(
          f"{address}/{name} has changed while it was copied; try again"
        )
      file.write(chunk)
      progress.add(len(chunk))
    file.flush()
    os.fsync(file.fileno())
  if entry.time is not None:
    os.utime(partial, (entry.time, entry.time))
  os.replace(partial, path)


class _Progress:
  """Counts bytes; says nothing of a copy that takes a few seconds."""

  def __init__(self, total: int):
    self._total, self._finished = total, 0
    self._started = self._said = time.monotonic()
    self._lock = threading.Lock()

  def add(self, count: int) -> None:
    with self._lock:
      self._finished += count
      now = time.monotonic()
      # An empty file tells nothing of the rate.
      if count == 0 or now - self._said < _LINE_SECONDS:
        return
      self._said = now
      rate = self._finished / (now - self._started)
      left = (self._total - self._finished) / rate
      say(
        f"copied {size(self._finished)} of {size(self._total)}, "
        f"{size(rate)}/s, {left:,.0f} s left"
      )


def size(count: float) -> str:
  """Return a number of bytes for people to read."""
  return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


def say(line: str) -> None:
  """Write a line for people, where logs go."""
  print(line, file=sys.stderr, flush=True)
