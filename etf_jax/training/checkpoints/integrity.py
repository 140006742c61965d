# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A checkpoint's SHA256SUMS: what its files held when they were saved.

Orbax stores arrays without checksums, so that a flipped bit would be a wrong
weight. The file is what sha256sum writes, and `sha256sum --check SHA256SUMS`
in its folder checks it.
"""

import hashlib
from pathlib import Path

from etf_jax.errors import InputError

NAME = "SHA256SUMS"


def write(folder: Path) -> None:
  """Write down the digests of all files in a folder and below it."""
  lines = [
    f"{_digest(path)}  {path.relative_to(folder).as_posix()}\n"
    for path in sorted(folder.rglob("*"))
    if path.is_file() and path.name != NAME
  ]
  (folder / NAME).write_text("".join(lines))


def check(folder: Path) -> bool:
  """Compare a folder's files with its digests.

  Args:
    folder: of `write`; files that were added to it do not matter.

  Returns:
    False if it has no digests: a version that wrote none saved it.

  Raises:
    InputError: a file is missing or is not what it was.
  """
  listed = folder / NAME
  if not listed.exists():
    return False
  # Whatever bit is flipped in the list itself is a difference as well.
  for line in listed.read_text(errors="replace").splitlines():
    digest, _, name = line.partition("  ")
    path = folder / name
    if not path.is_file():
      raise InputError(f"{name} is missing")
    if _digest(path) != digest:
      raise InputError(f"{name} is not as it was saved, by its SHA-256")
  return True


def _digest(path: Path) -> str:
  with path.open("rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()
