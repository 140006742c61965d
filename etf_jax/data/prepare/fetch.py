# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Files named by a path or a URL, with their checksum if that matters.

    fetch("~/lists/train.txt")
    fetch("https://host/train.txt#sha256=9af7ba68...")
    fetch("https://host/train.txt#git=a063f095...")     # id of a git blob

Downloads are kept.
"""

import hashlib
import os
import pathlib
import re
import urllib.parse

import requests

from etf_jax.errors import InputError
from etf_jax.runs import files

_SECONDS = (5, 30)  # to connect, and between two parts of an answer
_DIGITS = {"sha256": 64, "git": 40}
# iNaturalist's longest list has a third of it.
_MOST_BYTES = 2**30


def fetch(
  location: str, cache_dir: str | os.PathLike | None = None
) -> pathlib.Path:
  """Return the path of a file, which is downloaded if it has a URL.

  Args:
    location: PATH or URL (http, https), and behind it `#sha256=` or `#git=`
      with a checksum if the content is to be checked.
    cache_dir: folder of downloads; None: `etf_jax` in $XDG_CACHE_HOME or
      ~/.cache.

  Raises:
    InputError: the file cannot be had, or has another checksum.
  """
  address, checksum = split(location)
  if not is_url(address):
    path = pathlib.Path(address).expanduser()
    if not path.is_file():
      problem = "is not a file" if path.exists() else "does not exist"
      where = "" if os.path.isabs(path) else f" in {os.getcwd()}"
      raise InputError(f"list {address} {problem}{where}; give another path")
    _check(path, address, checksum)
    return path
  parts = urllib.parse.urlsplit(address)
  if parts.scheme not in ("http", "https"):
    raise InputError(
      f"list {address}: {parts.scheme}:// is not read; give a path or an "
      "https:// URL"
    )
  root = files.cache_folder() if cache_dir is None else pathlib.Path(cache_dir)
  # The digest tells addresses apart, the name tells people what it is.
  name = re.sub(r"[^\w.-]", "_", parts.path.rpartition("/")[2])[-80:]
  digits = hashlib.sha256(address.encode()).hexdigest()[:16]
  target = root.expanduser() / "lists" / f"{digits}-{name}"
  if not target.is_file() or (
    checksum is not None and digest(target, checksum[0]) != checksum[1]
  ):
    _download(address, checksum, target)
  return target


def is_url(location: str) -> bool:
  """Return True if a location is no path."""
  return "://" in location


def digest(path: str | os.PathLike, kind: str) -> str:
  """Return a digest of a file: sha256, or the id that git gives a blob."""
  with open(path, "rb") as file:
    if kind == "sha256":
      return hashlib.file_digest(file, "sha256").hexdigest()
    header = b"blob %d\0" % os.fstat(file.fileno()).st_size
    blob = hashlib.sha1(header, usedforsecurity=False)
    return hashlib.file_digest(file, lambda: blob).hexdigest()


def split(location: str) -> tuple[str, tuple[str, str] | None]:
  """Split a location into its address, and kind and digits of its checksum.

  Raises:
    InputError: the checksum has not the right digits.
  """
  found = re.fullmatch(r"(.*)#(\w+)=(.*)", location, re.DOTALL)
  if found is None:
    return location, None
  address, kind, digits = found.groups()
  if kind not in _DIGITS:
    raise InputError(
      f"list {address}: #{kind}= is no checksum that is known, so nothing would"
      " be checked; give #sha256= or #git="
    )
  if not re.fullmatch(f"[0-9a-fA-F]{{{_DIGITS[kind]}}}", digits):
    raise InputError(
      f"list {address}: #{kind}={digits} must have {_DIGITS[kind]} "
      "hexadecimal digits"
    )
  return address, (kind, digits.lower())


def _check(
  path: pathlib.Path, address: str, checksum: tuple[str, str] | None
) -> None:
  if checksum is not None and digest(path, checksum[0]) != checksum[1]:
    kind, expected = checksum
    raise InputError(
      f"list {address} has {kind} {digest(path, kind)}, and {expected} was "
      "expected; fetch it again, or mend the checksum if another list is meant"
    )


def _download(
  address: str, checksum: tuple[str, str] | None, target: pathlib.Path
) -> None:
  try:
    with (
      files.replacing(target) as file,
      requests.get(address, stream=True, timeout=_SECONDS) as response,
    ):
      response.raise_for_status()
      for chunk in response.iter_content(1 << 20):
        file.write(chunk)
        if file.tell() > _MOST_BYTES:
          raise InputError(
            f"list {address} has more than {_MOST_BYTES >> 20:,} MiB; fetch it"
            " elsewhere, and give the path of a shorter one"
          )
      file.flush()
      _check(pathlib.Path(file.name), address, checksum)
  except requests.RequestException as error:
    reason = type(error).__name__
    if error.response is not None:
      reason = f"HTTP {error.response.status_code}"
    raise InputError(
      f"list {address} cannot be downloaded ({reason}); fetch it elsewhere and "
      "give its path in place of the URL"
    ) from error
  except OSError as error:
    raise InputError(
      f"cannot keep list {address} in {target.parent} ({error.strerror}); set "
      "config.data.cache_dir"
    ) from error
