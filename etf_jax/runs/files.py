# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Files that appear whole, JSON, locks, and the folder of caches.

files.write(out / "rows.json", text)
with files.replacing(path) as file:
  np.savez(file, labels=labels)
with files.lock(folder / ".lock", waiting=f"waiting for {folder}"):
  ...
description = files.read_json(workdir / "config.json")
place = files.cache_folder("lists")
"""

from collections.abc import Iterator
import contextlib
import errno
import fcntl
import json
import logging
import math
import os
from pathlib import Path
import re
import secrets
import socket
import stat
from typing import Any, BinaryIO

from etf_jax.errors import InputError

_log = logging.getLogger(__name__)
# The names of `replacing`, and those of earlier versions.
_TEMPORARY = re.compile(r".+\.([0-9a-f]{16}|\d+)\.tmp")

_JSON_BYTES = 2**30
_JSON_DEPTH = 32
# Numbers beyond these have no place in int64 or float64 arrays.
_MOST = 2**63


class LockedError(Exception):
  """The holder of a lock: "process N on HOST"."""


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[BinaryIO]:
  """Open a new file that takes the place of `path` once it is on the disk.

  Whoever reads `path` sees the old content or the new one. An exception, or a
  process that is killed, leaves the old one.

  Args:
    path: file to write; the folder is made if it is missing.

  Yields:
    The new file, open for writing bytes.
  """
  path = Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  # A name that nobody can foresee, of a file that was not there before: a link
  # that somebody laid for us is not followed.
  temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")
  try:
    with open(temporary, "xb", opener=_without_links) as file:
      yield file
      file.flush()
      os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)
  finally:
    temporary.unlink(missing_ok=True)


def _without_links(path: str, flags: int) -> int:
  return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def sync_folder(folder: Path) -> None:
  """Bring the names in a folder to the disk, where the system knows how."""
  with contextlib.suppress(OSError):
    number = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
      os.fsync(number)
    finally:
      os.close(number)


def remove_leftovers(folder: Path) -> None:
  """Remove what `replacing` has left in a folder when it was killed.

  Args:
    folder: one that no other process writes to.
  """
  for path in folder.glob("*.tmp"):
    if _TEMPORARY.fullmatch(path.name):
      path.unlink(missing_ok=True)


def write(path: str | os.PathLike, content: str | bytes) -> None:
  """Write a file of a user's, see `replacing`; text as UTF-8.

  Raises:
    InputError: the file cannot be written.
  """
  try:
    with replacing(path) as file:
      # Names of files are bytes, and so are those of classes after them.
      file.write(
        content.encode(errors="backslashreplace")
        if isinstance(content, str)
        else content
      )
  except OSError as error:
    raise InputError(
      f"cannot write {path}: {error.strerror}; make room, or give another path"
    ) from error


def read_json(path: Path) -> Any:
  """Read a JSON file that anybody may have written, see `parse_json`.

  Raises:
    OSError: the file cannot be read.
    ValueError: it is not what it should be.
  """
  return parse_json(read_bytes(path))


def read_bytes(path: Path) -> bytes:
  """Read a regular file of at most a gigabyte.

  Raises:
    OSError: the file cannot be read.
    ValueError: it is a pipe or a device, or larger.
  """
  found = path.stat()
  if not stat.S_ISREG(found.st_mode):
    raise ValueError("it is no regular file")
  if found.st_size > _JSON_BYTES:
    raise ValueError(f"it has {found.st_size:,} bytes")
  return path.read_bytes()


def parse_json(text: str | bytes) -> Any:
  """Parse JSON that anybody may have written.

  Raises:
    ValueError: it is no JSON, is nested more than 32 deep, or holds a number
      that is not finite or no 64 bits hold.
  """
  try:
    value = json.loads(text)
  except RecursionError as error:
    raise ValueError("it is nested too deeply") from error
  _check_json(value, _JSON_DEPTH)
  return value


def _check_json(value: Any, depth: int) -> None:
  if isinstance(value, (dict, list)):
    if not depth:
      raise ValueError("it is nested too deeply")
    for part in value.values() if isinstance(value, dict) else value:
      _check_json(part, depth - 1)
  elif isinstance(value, float) and not math.isfinite(value):
    raise ValueError(f"it holds {value}, which is no number")
  elif isinstance(value, int) and not -_MOST <= value < _MOST:
    raise ValueError("it holds an integer of more than 64 bits")


def out_folder(path: str | os.PathLike, flag: str = "--output") -> Path:
  """Make the folder of --output, before anything is computed for it.

  Raises:
    InputError: the folder cannot be made.
  """
  out = Path(path)
  try:
    out.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise InputError(
      f"{flag}={out}: cannot be written, {error.strerror}; give another folder"
    ) from error
  return out


@contextlib.contextmanager
def lock(path: str | os.PathLike, waiting: str | None = None) -> Iterator[None]:
  """Hold a lock file, which no two processes of a machine can.

  The system frees the lock when the process that holds it ends, however it
  ends. The file stays.

  Args:
    path: lock file; the folder is made if it is missing.
    waiting: line to log before waiting for the holder; None: do not wait.

  Raises:
    LockedError: another process holds it, and `waiting` is None.
    OSError: the file cannot be written.
  """
  path = Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
  with open(os.open(path, flags, 0o666), "r+", encoding="utf-8") as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      if waiting is None:
        file.seek(0)
        holder = file.read().strip() or "another process"
        raise LockedError(holder) from error
      _log.info(waiting)
      fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
      if error.errno not in (errno.ENOLCK, errno.ENOTSUP):
        raise
      _log.warning(
        "warning: %s lies on a file system without locks: see to it that no"
        " other process uses it",
        path.parent,
      )
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    file.flush()
    yield


def cache_folder(*parts: str) -> Path:
  """Return a folder below etf_jax in $XDG_CACHE_HOME, or in ~/.cache.

  Raises:
    InputError: there is neither that variable nor a home directory.
  """
  try:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
  except RuntimeError as error:
    raise InputError(
      "there is no home directory for caches; set XDG_CACHE_HOME to a folder"
    ) from error
  return Path(root, "etf_jax", *parts)
