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
from etf_jax.errors import InputError, unknown_name
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
    f"{text}: {number[kind]:,} of {total[kind]:,}, such as {_some(found[kind])}"
    for kind, text in texts.items()
    if found[kind]
  ]


def _same(paths: list[str]) -> list[list[int]]:
  """Return the places of files of the same bytes, two or more in a group."""
  by_size: dict[int, list[int]] = defaultdict(list)
  status = {}
  for place, path in enumerate(paths):
    try:
      status[place] = os.stat(path)
    except OSError:
      continue  # Whoever decodes it says so.
    by_size[status[place].st_size].append(place)
  candidates = [group for group in by_size.values() if len(group) > 1]
  keys = {
    place: (paths[place], status[place].st_size, status[place].st_mtime_ns)
    for group in candidates
    for place in group
  }
  digests = _digests(keys, candidates)
  same: dict[str, list[int]] = defaultdict(list)
  for place in sorted(digests):
    same[digests[place]].append(place)
  return [group for group in same.values() if len(group) > 1]


def _digests(
  keys: dict[int, tuple], candidates: list[list[int]]
) -> dict[int, str]:
  """Return digests of the files that may have a duplicate, by their places."""
  if len(keys) < _KEPT_FROM:
    return _read_digests(keys, candidates)
  name = hashlib.sha256(repr(sorted(keys.values())).encode()).hexdigest()[:32]
  try:
    kept = files.cache_folder("duplicates") / f"{name}.json"
  except InputError:  # no home directory
    return _read_digests(keys, candidates)
  try:
    found = dict(files.read_json(kept))
    return {p: found[key[0]] for p, key in keys.items() if key[0] in found}
  except (OSError, ValueError, TypeError):
    digests = _read_digests(keys, candidates)
  with contextlib.suppress(InputError):  # no room
    files.write(kept, json.dumps({keys[p][0]: d for p, d in digests.items()}))
  return digests


def _read_digests(
  keys: dict[int, tuple], candidates: list[list[int]]
) -> dict[int, str]:
  digests: dict[int, str] = {}
  # A path in two lists is read once.
  known: dict[str, str] = {}
  for group in candidates:
    by_tail: dict[bytes, list[int]] = defaultdict(list)
    for place in group:
      by_tail[_tail(keys[place][0], keys[place][1])].append(place)
    for places in by_tail.values():
      for place in places if len(places) > 1 else ():
        path = keys[place][0]
        if path not in known:
          known[path] = _digest(path)
        digests[place] = known[path]
  return digests


def _tail(path: str, size: int) -> bytes:
  try:
    with open(path, "rb") as file:
      file.seek(max(0, size - _TAIL_BYTES))
      return hashlib.sha256(file.read(_TAIL_BYTES)).digest()
  except OSError:
    return os.fsencode(path)


def _digest(path: str) -> str:
  try:
    with open(path, "rb") as file:
      return hashlib.file_digest(file, "sha256").hexdigest()
  except OSError:
    return path


def _some(names: list[str]) -> str:
  more = len(names) - _NAMED
  return ", ".join(names[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")
