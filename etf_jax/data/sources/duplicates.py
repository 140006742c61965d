# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Images that are there twice: in training and in testing, or in two classes.

duplicates.check({"train": train, "test": test}, action="warn")

Two files are duplicates where their bytes are the same. Only files of one size
are read, first their last bytes, and whole where those are the same. Digests
are kept in the cache folder, by path, size and time of change.
"""

from collections import defaultdict
from collections.abc import Mapping
import contextlib
import hashlib
import json
import logging
import os

from etf_jax.data.sources.source import FileSource
from etf_jax.errors import InputError, some, unknown_name
from etf_jax.runs import files

_log = logging.getLogger(__name__)

ACTIONS = ("warn", "error", "allow")
_NAMED = 5
# Headers of one camera are alike; what ends a file is coded data.
_TAIL_BYTES = 4096
# From so many files on, digests are kept.
_KEPT_FROM = 1000


def check(splits: Mapping[str, FileSource], *, action: str) -> None:
  """Look for duplicates across splits and across classes, and name them.

  Args:
    splits: Sources by "train", "validation" and "test".
    action: "warn" logs a line for each kind, "error" raises the first, "allow"
      does not look.

  Raises:
    InputError: `action` is unknown, or is "error" and there are duplicates.
  """
  if action not in ACTIONS:
    raise unknown_name("config.data.duplicates", action, ACTIONS)
  if action == "allow":
    return
  for line in find(splits):
    if action == "error":
      raise InputError(
        f"config.data.duplicates='error': {line}; remove them, or set 'warn'"
      )
    _log.warning(f"warning: {line}")


def find(splits: Mapping[str, FileSource]) -> list[str]:
  """Return a line for each kind of duplicates."""
  images = [
    (split, index)
    for split, source in splits.items()
    for index in range(len(source.labels))
  ]
  found: dict[str, list[str]] = defaultdict(list)
  number: dict[str, int] = defaultdict(int)
  for group in _same([splits[split].describe(i) for split, i in images]):
    members = [images[place] for place in group]
    names = [splits[split].relative(index) for split, index in members]
    sides = [split for split, _ in members]
    for split in ("test", "validation"):
      if "train" in sides and split in sides:
        first = names[sides.index("train")]
        both = zip(names, sides, strict=True)
        found[split] += [f"{name} ({first})" for name, s in both if s == split]
        number[split] += sides.count(split)
    if len({splits[split].labels[index] for split, index in members}) > 1:
      found["classes"].append(" = ".join(names[:_NAMED]))
      number["classes"] += len(members)
  total = {split: len(source.labels) for split, source in splits.items()}
  total["classes"] = len(images)
  texts = {
    "test": "test images that are duplicates of training images",
    "validation": "validation images that are duplicates of training images",
    "classes": "images that are duplicates of an image of another class",
  }
  return [
    f"{text}: {number[kind]:,} of {total[kind]:,}, such as {some(found[kind])}"
    for kind, text in texts.items()
    if found[kind]
  ]


def _same(paths: list[str]) -> list[list[int]]:
  """Return the places of files of the same bytes, two or more in a group."""
  by_size: dict[int, set[str]] = defaultdict(set)
  keys = {}
  for path in paths:
    with contextlib.suppress(OSError):  # Whoever decodes it says so.
      status = os.stat(path)
      by_size[status.st_size].add(path)
      keys[path] = (path, status.st_size, status.st_mtime_ns)
  # A path in two lists is the same file as well.
  alike = [group for group in by_size.values() if len(group) > 1]
  digests = {path: path for path in keys} | _digests(keys, alike)
  same: dict[str, list[int]] = defaultdict(list)
  for place, path in enumerate(paths):
    if path in digests:
      same[digests[path]].append(place)
  return [group for group in same.values() if len(group) > 1]


def _digests(keys: dict[str, tuple], alike: list[set[str]]) -> dict[str, str]:
  """Return digests of the files that may have a duplicate, by path."""
  wanted = sorted(keys[path] for group in alike for path in group)
  if len(wanted) < _KEPT_FROM:
    return _read_digests(alike)
  name = hashlib.sha256(repr(wanted).encode()).hexdigest()[:32]
  try:
    kept = files.cache_folder("duplicates") / f"{name}.json"
  except InputError:  # no home directory
    return _read_digests(alike)
  try:
    return dict(files.read_json(kept))
  except (OSError, ValueError, TypeError):
    digests = _read_digests(alike)
  with contextlib.suppress(InputError):  # no room
    files.write(kept, json.dumps(digests))
  return digests


def _read_digests(alike: list[set[str]]) -> dict[str, str]:
  digests: dict[str, str] = {}
  for group in alike:
    by_tail: dict[str, list[str]] = defaultdict(list)
    for path in group:
      by_tail[_digest(path, _TAIL_BYTES)].append(path)
    for paths in by_tail.values():
      if len(paths) > 1:
        digests |= {path: _digest(path) for path in paths}
  return digests


def _digest(path: str, last: int | None = None) -> str:
  """Return the digest of a file, or of that many bytes at the end."""
  try:
    with open(path, "rb") as file:
      if last is not None:
        file.seek(max(0, os.fstat(file.fileno()).st_size - last))
      return hashlib.file_digest(file, "sha256").hexdigest()
  except OSError:
    return path
