# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The record of a run's images, `data.json`: which they are, not where.

  {"splits": {"train": {"files": {CLASS: {PATH: BYTES}}, "order": HASH}, ...},
   "left_out": {"train": [PATH, ...], ...}}

Paths are relative to the folder of the images. A prepared split is
`{"prepared": "cifar10/3.0.2", "split": "train", "images": N, "order": HASH}`.
`left_out` names the images that cannot be decoded; null where nobody looked.
"""

from collections.abc import Iterable, Mapping
import hashlib
import json
from pathlib import Path
from typing import Any

from etf_jax.errors import InputError
from etf_jax.runs import files

NAME = "data.json"
_NAMED_AT_MOST = 3


def read(workdir: Path) -> dict[str, Any] | None:
  """Return the record of a run; None if a run of an older version has none.

  Raises:
    InputError: the file cannot be read.
  """
  path = workdir / NAME
  try:
    record = files.read_json(path)
    left_out = record["left_out"] or {}
    if not (
      all(map(_is_split, record["splits"].values()))
      and all(_is_texts(names) for names in left_out.values())
    ):
      raise ValueError("it holds no splits")
  except FileNotFoundError:
    return None
  except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
    raise InputError(
      f"{path}: cannot be read ({error}); restore it or choose another"
      " --workdir"
    ) from error
  return record


def _is_split(split: Mapping[str, Any]) -> bool:
  if "files" not in split:
    return {"prepared", "split", "images", "order"} <= split.keys()
  return all(
    isinstance(size, int)
    for images in split["files"].values()
    for size in images.values()
  )


def _is_texts(value: Any) -> bool:
  return isinstance(value, list) and all(isinstance(x, str) for x in value)


def find(
  places: Iterable[str | None], seeds: Iterable[int]
) -> dict[str, Any] | None:
  """Return the `summary` of the first run at, or right below, directories."""
  seeds = tuple(seeds)
  for place in places:
    if place is not None and Path(place).is_dir():
      for below in ("", *(f"seed={seed}" for seed in seeds)):
        record = read(Path(place, below))
        if record is not None:
          return summary(record)
  return None


def summary(record: Mapping[str, Any]) -> dict[str, Any]:
  """Return a record with a hash, `digest`, in place of its images."""
  return {"digest": digest(record), "left_out": record["left_out"]}


def digest(record: Mapping[str, Any]) -> str:
  """Return a hash of the images, their labels and their order."""
  text = json.dumps(record["splits"], sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


def in_files(record: Mapping[str, Any]) -> bool:
  """Return True if some images lie in files of the user's."""
  return any("files" in split for split in record["splits"].values())


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
  """List how images differ from those of a record, a line for each split.

  Where they are the same, list what is left out of one of them only.
  """
  lines = []
  for name in sorted(before["splits"] | now["splits"]):
    old, new = (record["splits"].get(name) for record in (before, now))
    if old != new:
      lines.append(f"{name}: {_difference(old, new)}")
  if lines:
    return lines
  old, new = map(_left_out, (before, now))
  return [
    f"{len(found)} {words} ({_some(name for _, name in found)})"
    for words, found in (
      ("that cannot be decoded were not left out", new - old),
      ("that were left out are not", old - new),
    )
    if found
  ]


def _left_out(record) -> set[tuple[str, str]]:
  """Return the split and the name of each image that is left out."""
  return {
    (split, image)
    for split, images in (record["left_out"] or {}).items()
    for image in images
  }


def _some(names: Iterable[str]) -> str:
  """Return the first names of some, with the number of the others."""
  ordered = sorted(names)
  text = ", ".join(ordered[:_NAMED_AT_MOST])
  more = len(ordered) - _NAMED_AT_MOST
  return f"{text} and {more} more" if more > 0 else text


def _difference(old, new) -> str:
  if old is None or new is None:
    return "images were added" if old is None else "images were removed"
  if "files" not in old or "files" not in new:
    return f"{_words(new)}, was {_words(old)}"
  before, now = _by_path(old), _by_path(new)
  groups = {
    "added": now.keys() - before.keys(),
    "removed": before.keys() - now.keys(),
    "changed": {p for p in before.keys() & now.keys() if before[p] != now[p]},
  }
  parts = [
    f"{len(paths)} {what} ({_some(paths)})"
    for what, paths in groups.items()
    if paths
  ]
  return ", ".join(parts) or "the same images in another order"


def _by_path(split):
  """Return the class and the number of bytes of each file."""
  return {
    path: (name, size)
    for name, images in split["files"].items()
    for path, size in images.items()
  }


def _words(split) -> str:
  if "files" in split:
    return f"{len(_by_path(split))} files"
  return (
    f"{split['images']} images of {split['prepared']}, split"
    f" {split['split']!r}, {split['order']}"
  )
