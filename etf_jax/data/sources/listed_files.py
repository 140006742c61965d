# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Finds the files that the lines of a list mean."""

from collections.abc import Sequence
import os

from etf_jax.data.sources import folders
from etf_jax.data.sources.list_formats import Listing
from etf_jax.errors import InputError


def find(
  root: str,
  listing: Listing,
  names: Sequence[str],
  *,
  follow_links: bool = True,
  remedy: str | None = None,
) -> list[str]:
  """Return the path of the file of each entry, from the root.

  Args:
    root: Absolute folder that relative paths start from.
    listing: N entries.
    names: The names of the classes. Where the list says `val/CLASS/IMAGE` and
      there is no such folder, `val/IMAGE` is taken; and where it says
      `val/IMAGE` and there is none, the `val/CLASS/IMAGE` of this name.
    follow_links: Whether links may lead out of the root.
    remedy: What to do where files are missing; None: what a user's list needs.

  Raises:
    InputError: An entry has no file, one outside of the root, or that of
      another entry.
  """
  inside = None if follow_links else os.path.realpath(root)
  disk = _Disk(root, names, inside)
  found: list[str] = []
  missing: list[int] = []
  for index, path in enumerate(listing.paths):
    inside = os.path.normpath(path)
    if os.path.isabs(inside):
      inside = os.path.relpath(inside, root)
    if inside.split(os.sep, 1)[0] == os.pardir:
      raise InputError(
        f"{listing.place(index)}: the path leads out of {root}; a list names "
        "files inside of it"
      )
    place = disk.find(inside)
    found.append(place or "")
    if place is None:
      missing.append(index)
  if missing:
    first = listing.place(missing[0])
    hint, wanted = "", "config.data.dir is the folder that the paths start from"
    headed = listing.lines[missing[0]] == 1 and isinstance(listing.labels, list)
    if headed and remedy is None:
      hint = " (if it is a header, name its two columns in config.data.columns)"
    raise InputError(
      f"{first}: there is no such file in {root}{hint}"
      + and_more(len(missing))
      + f"; {remedy or wanted}"
    )
  first_entry: dict[str, int] = {}
  for index, path in enumerate(found):
    if first_entry.setdefault(path, index) != index:
      raise same_image(listing, first_entry[path], index)
  return found


def same_image(listing: Listing, first: int, second: int) -> InputError:
  """Return the error for two entries that mean one image."""
  return InputError(
    f"{listing.place(second)}: this is the image of {listing.place(first)}; "
    "leave one of them"
  )


def and_more(count: int) -> str:
  """Return how many entries have the fault of the one that is named."""
  return f", and {count - 1} more like it" if count > 1 else ""


class _Disk:
  """Looks files up in folders that are read once: stat takes far longer."""

  def __init__(self, root: str, names: Sequence[str], inside: str | None):
    self._root = root
    self._inside = inside
    self._names = names
    self._known = frozenset(names)
    self._files: dict[str, frozenset[str] | None] = {}
    self._in_classes: dict[str, dict[str, str]] = {}

  def find(self, path: str) -> str | None:
    folder, name = os.path.split(path)
    files = self._read(folder)
    if files is None:
      above, last = os.path.split(folder)
      if last in self._known and name in (self._read(above) or ()):
        return os.path.join(above, name)
      return None
    if name in files:
      return path
    if folder not in self._in_classes:
      self._in_classes[folder] = {
        file: os.path.join(folder, known, file)
        for known in self._names
        for file in self._read(os.path.join(folder, known)) or ()
      }
    return self._in_classes[folder].get(name)

  def _read(self, folder: str) -> frozenset[str] | None:
    """Return the names of the files in a folder; None if it does not exist."""
    if folder not in self._files:
      try:
        path = os.path.join(self._root, folder)
        with os.scandir(path) as entries:
          found = [e for e in entries if not e.is_dir(follow_symlinks=False)]
        folders.check_inside(path, self._inside)
        for entry in found:
          if entry.is_symlink():
            folders.check_inside(entry.path, self._inside)
        self._files[folder] = frozenset(entry.name for entry in found)
      except (FileNotFoundError, NotADirectoryError):
        self._files[folder] = None
      except OSError as error:
        raise InputError(
          f"cannot read folder {os.path.join(self._root, folder)} "
          f"({error.strerror})"
        ) from error
    return self._files[folder]
