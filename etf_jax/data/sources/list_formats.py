# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Read lists of images and their classes.

listing = read("train.csv")
listing.paths[0], listing.labels[0], listing.place(0)

* CSV or TSV: `path,label`, or with semicolons or tabs; with a header that names
  these two, or those of `columns`, in any order and among others, or without
  one, and then they are the first two columns;
* TXT: `path label`, as the lists of ImageNet-LT and Places-LT are;
* JSON: `images`, `annotations` and `categories`, as iNaturalist's are.
"""

from collections.abc import Sequence
import contextlib
import csv
import dataclasses
import io
import logging
import os
import re

import numpy as np

from etf_jax.data.prepare import fetch
from etf_jax.errors import InputError
from etf_jax.runs import files

_log = logging.getLogger(__name__)

_SUFFIXES = (".csv", ".tsv", ".txt", ".json")
_SEPARATORS = ",;\t"
_INTEGER = re.compile(r"-?[0-9]{1,9}")


@dataclasses.dataclass(frozen=True, eq=False)
class Listing:
  """The lines of a list, by column.

  Attributes:
    name: The list, in messages.
    folder: Where it lies; None if it came from a URL.
    paths: N paths, as they are written.
    labels: `[N]` int64, or N class names.
    lines: `[N]` line numbers from 1; in JSON, places among the images from 0.
    categories: The names of the categories of JSON, in the order of their ids,
      which `labels` follow; otherwise None.
  """

  name: str
  folder: str | None
  paths: list[str]
  labels: np.ndarray | list[str]
  lines: np.ndarray
  categories: tuple[str, ...] | None = None

  def place(self, index: int) -> str:
    """Name an entry in messages, with its text."""
    unit = "line" if self.categories is None else "image"
    text = f"{self.paths[index]} {self.labels[index]}"
    return f"{self.name}, {unit} {self.lines[index]} ({text})"


def read(
  location: str,
  cache_dir: str | os.PathLike | None = None,
  columns: Sequence[str] = (),
) -> Listing:
  """Read a list.

  Args:
    location: PATH or URL of a `.csv`, `.tsv`, `.txt` or `.json`, see
      `fetch.fetch`. A URL without such an ending is JSON if its text begins
      with a brace, and TXT otherwise.
    cache_dir: Where downloads are kept.
    columns: Names of the columns of the paths and of the labels in the header
      of a CSV; (): `path` and `label`, or no header.

  Raises:
    InputError: The list cannot be had, or a line cannot be understood.
  """
  path = fetch.fetch(location, cache_dir)
  address, _ = fetch.split(location)
  name = f"list {address}"
  if len(columns) not in (0, 2):
    raise InputError(
      f"config.data.columns={tuple(columns)}: names two columns, that of the "
      "paths and that of the labels"
    )
  try:
    content = files.read_bytes(path)
  except (OSError, ValueError) as error:
    raise InputError(
      f"{name} cannot be read ({error}); give another"
    ) from error
  text = text_of(name, content)
  suffix = os.path.splitext(path.name)[1].lower()
  from_url = fetch.is_url(address)
  if from_url and suffix not in _SUFFIXES:
    suffix = ".json" if text.lstrip().startswith("{") else ".txt"
  if suffix not in _SUFFIXES:
    raise InputError(
      f"{name} must end in {', '.join(_SUFFIXES)}, which says how it is read"
    )
  categories = None
  if suffix == ".json":
    paths, labels, lines, categories = _read_json(name, text)
  elif suffix == ".txt":
    paths, labels, lines = _read_txt(name, text)
  else:
    paths, labels, lines = _read_table(name, text, columns)
  if not paths:
    raise InputError(f"{name} names no image")
  for image, line in zip(paths, lines, strict=True):
    if not image or "\0" in image:
      raise InputError(f"{name}, line {line}: there is no path in it")
  return Listing(
    name,
    None if from_url else os.path.dirname(os.path.abspath(path)),
    paths,
    labels,
    np.asarray(lines, np.int64),
    categories,
  )


def text_of(name: str, content: bytes) -> str:
  """Return the text of a list, in UTF-8 or, as older programs write, Latin-1.

  Raises:
    InputError: It is no text.
  """
  if b"\0" in content:
    raise InputError(f"{name} is no text in UTF-8; save it as one")
  try:
    return content.decode("utf-8-sig")
  except UnicodeDecodeError:
    _log.info(f"{name} is not in UTF-8, and is read as Latin-1")
    return content.decode("latin-1")


def _rows(text: str, wanted: Sequence[str]):
  """Return the reader of a table, with the separator of its first row."""
  first: dict[str, list[str]] = {}
  for separator in _SEPARATORS:
    lines = io.StringIO(text.lstrip(), newline="")
    rows = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    first[separator] = []
    with contextlib.suppress(csv.Error):  # met again by whoever reads on
      first[separator] = [cell.strip().lower() for cell in next(rows, [])]
  chosen = next(
    (s for s in _SEPARATORS if set(wanted) <= set(first[s])),
    next((s for s in _SEPARATORS if len(first[s]) > 1), ","),
  )
  return csv.reader(
    io.StringIO(text, newline=""), delimiter=chosen, skipinitialspace=True
  )


def _read_table(name: str, text: str, names: Sequence[str]):
  """Read paths and labels by a header, or from the first two columns."""
  wanted = [column.strip().lower() for column in names or ("path", "label")]
  rows = _rows(text, wanted)
  columns = None
  paths, labels, lines = [], [], []
  try:
    for row in rows:
      if not row:
        continue
      if columns is None:
        header = [cell.strip().lower() for cell in row]
        if set(wanted) <= set(header):
          columns = header.index(wanted[0]), header.index(wanted[1])
          continue
        if names:
          raise InputError(
            f"config.data.columns={','.join(names)}: {name} has the columns "
            f"{', '.join(cell.strip() for cell in row)}; name two of them"
          )
        columns = 0, 1
      if len(row) <= max(columns):
        raise InputError(
          f"{name}, line {rows.line_num} ({','.join(row)}): a path and a label "
          "are wanted, with a comma, a semicolon or a tab between them"
        )
      paths.append(row[columns[0]].strip())
      labels.append(row[columns[1]].strip())
      lines.append(rows.line_num)
  except csv.Error as error:
    raise InputError(f"{name}, line {rows.line_num}: {error}") from error
  if all(map(_INTEGER.fullmatch, labels)):
    return paths, np.array(labels, np.int64), lines
  for label, line in zip(labels, lines, strict=True):
    if not label:
      raise InputError(f"{name}, line {line}: there is no label in it")
  return paths, labels, lines


def _read_txt(name: str, text: str):
  """`path label` with an integer label; a path may have blanks in it."""
  paths, labels, lines = [], [], []
  for number, line in enumerate(text.split("\n"), 1):
    words = line.rsplit(None, 1)
    if not words:
      continue
    if len(words) < 2 or not _INTEGER.fullmatch(words[1]):
      raise InputError(
        f"{name}, line {number} ({line.strip()[:80]}): a path and an integer "
        "label are wanted, with a blank between them"
      )
    paths.append(words[0].strip())
    labels.append(int(words[1]))
    lines.append(number)
  return paths, np.array(labels, np.int64), lines


def _read_json(name: str, text: str):
  """Images, annotations and categories, tied together by ids."""
  try:
    content = files.parse_json(text)
  except ValueError as error:
    raise InputError(f"{name} is not JSON: {error}") from error
  parts = ("images", "annotations", "categories")
  if not isinstance(content, dict) or any(p not in content for p in parts):
    raise InputError(
      f"{name} must have images, annotations and categories, as iNaturalist's "
      "training and validation lists have"
    )
  try:
    return _join_ids(name, *(content[part] for part in parts))
  except (KeyError, TypeError, AttributeError) as error:
    raise InputError(
      f"{name}: an image needs id and file_name, an annotation image_id and "
      f"category_id, a category id ({type(error).__name__}: {error})"
    ) from error


def _join_ids(
  name: str,
  images: Sequence[dict],
  annotations: Sequence[dict],
  categories: Sequence[dict],
):
  names = {c["id"]: str(c.get("name", c["id"])) for c in categories}
  ids = sorted(names)
  places = {category: place for place, category in enumerate(ids)}
  category_of: dict[int, int] = {}
  for place, annotation in enumerate(annotations):
    image, category = annotation["image_id"], annotation["category_id"]
    if category_of.setdefault(image, category) != category:
      raise InputError(
        f"{name}, annotation {place}: image {image} has category {category}, "
        f"and {category_of[image]} before"
      )
    if category not in places:
      raise InputError(
        f"{name}, annotation {place}: there is no category {category}"
      )
  paths, labels = [], []
  for place, image in enumerate(images):
    if image["id"] not in category_of:
      raise InputError(
        f"{name}, image {place} ({image['file_name']}) has no annotation"
      )
    paths.append(str(image["file_name"]))
    labels.append(places[category_of[image["id"]]])
  return (
    paths,
    np.array(labels, np.int64),
    range(len(paths)),
    tuple(names[category] for category in ids),
  )
