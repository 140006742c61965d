# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Files named by a path or a URL, with their checksum if that matters.

    fetch("~/lists/train.txt")
    fetch("https://host/train.txt#sha256=9af7ba68...")
    fetch("https://host/train.txt#git=a063f095...")     # id of a git blob

What comes from a URL is kept, and taken from there the next time.
"""

import hashlib
import os
import pathlib
import re
import tempfile
import urllib.parse

import requests

from etf_jax.errors import InputError

_SECONDS = (5, 30)  # to connect, and between two parts of an answer
_CHUNK = 1 << 20
_DIGITS = {"sha256": 64, "git": 40}


def fetch(
  location: str, cache_dir: str | os.PathLike | None = None
) -> pathlib.Path:
  """Return the path of a file, which is downloaded if it has a URL.

  Args:
    location: PATH or URL (http, https), and behind it `#sha256=` or `#git=`
      with a checksum if the content is to be checked.
    cache_dir: Where downloads are kept; None is `etf_jax` in $XDG_CACHE_HOME or
      ~/.cache.

  Raises:
    InputError: The file cannot be had, or is another one than the checksum's.
  """
  address, checksum = split(location)
  if not is_url(address):
    path = pathlib.Path(address).expanduser()
    if not path.is_file():
      what = "is not a file" if path.exists() else "does not exist"
      where = "" if os.path.isabs(path) else f" in {os.getcwd()}"
      raise InputError(f"list {address} {what}{where}")
    _check(path, address, checksum)
    return path
  target = _target(address, cache_dir)
  if not target.is_file() or (
    checksum is not None and digest(target, checksum[0]) != checksum[1]
  ):
    _download(address, checksum, target)
  return target


def is_url(location: str) -> bool:
  """Return whether a location is not a path."""
  return "://" in location


def digest(path: str | os.PathLike, kind: str) -> str:
  """Return a file's checksum as hexadecimal digits.

  Args:
    path: Of the file.
    kind: "sha256", or "git" for the id that git gives a blob of this content.
  """
  with open(path, "rb") as file:
    if kind == "sha256":
      return hashlib.file_digest(file, "sha256").hexdigest()
    header = b"blob %d\0" % os.fstat(file.fileno()).st_size
    blob = hashlib.sha1(header, usedforsecurity=False)
    return hashlib.file_digest(file, lambda: blob).hexdigest()


def split(location: str) -> tuple[str, tuple[str, str] | None]:
  """Split a location.

  Returns:
    The address, and the kind and the digits of its checksum or None.

  Raises:
    InputError: The checksum has not the right digits.
  """
  found = re.fullmatch(r"(.*)#(sha256|git)=(.*)", location, re.DOTALL)
  if found is None:
    return location, None
  address, kind, digits = found.groups()
  if not re.fullmatch(f"[0-9a-fA-F]{{{_DIGITS[kind]}}}", digits):
    raise InputError(
      f"list {address}: #{kind}={digits} must have {_DIGITS[kind]} "
      "hexadecimal digits"
    )
  return address, (kind, digits.lower())


def _check(
  path: pathlib.Path, address: str, checksum: tuple[str, str] | None
) -> None:
  if checksum is None:
    return
  kind, expected = checksum
  found = digest(path, kind)
  if found != expected:
    raise InputError(
      f"list {address} has {kind} {found}, and {expected} was expected; fetch "
      "it again, or mend the checksum if another list is meant"
    )


def _target(address: str, cache_dir: str | os.PathLike | None) -> pathlib.Path:
  if cache_dir is None:
    home = os.getenv("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    cache_dir = os.path.join(home, "etf_jax")
  parts = urllib.parse.urlsplit(address)
  if parts.scheme not in ("http", "https"):
    raise InputError(
      f"list {address}: {parts.scheme}:// is not read; give a path or an "
      "https:// URL"
    )
  # The digest tells addresses apart, the name tells people what it is.
  name = re.sub(r"[^\w.-]", "_", parts.path.rpartition("/")[2])[-80:]
  folder = pathlib.Path(cache_dir).expanduser() / "lists"
  return folder / f"{hashlib.sha256(address.encode()).hexdigest()[:16]}-{name}"


def _download(
  address: str, checksum: tuple[str, str] | None, target: pathlib.Path
) -> None:
  """Download into a file that appears under its name when it is complete."""
  partial = None
  try:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
      partial = pathlib.Path(file.name)
      with requests.get(address, stream=True, timeout=_SECONDS) as response:
        response.raise_for_status()
        for chunk in response.iter_content(_CHUNK):
          file.write(chunk)
    _check(partial, address, checksum)
    os.replace(partial, target)
  except requests.RequestException as error:
    answer = error.response
    what = (
      type(error).__name__ if answer is None else f"HTTP {answer.status_code}"
    )
    raise InputError(
      f"list {address} cannot be downloaded ({what}); fetch it elsewhere and "
      "give its path in place of the URL"
    ) from error
  except OSError as error:
    raise InputError(
      f"cannot keep list {address} in {target.parent} ({error.strerror}); set "
      "config.data.cache_dir"
    ) from error
  finally:
    if partial is not None:
      partial.unlink(missing_ok=True)
