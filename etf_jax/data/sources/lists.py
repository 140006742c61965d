# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Lists that say which images belong to a split, and to which class.

    splits = open_listed("/data/imagenet", {"train": "train.txt", "test": ...})
    indices = join(read("train.txt"), file_names, labels, class_names)

`list_formats` says how they are written. Labels are the integers 0..K-1, or in
CSV class names, where not all of them are integers. Other integers are names.
Every line has to be right: an error names the first that is not.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import itertools
import logging
import os
import re

import numpy as np

from etf_jax.data.sources import folders, listed_files
from etf_jax.data.sources.list_formats import Listing, read
from etf_jax.errors import InputError, did_you_mean, some

_log = logging.getLogger(__name__)

__all__ = ["Listing", "class_names", "join", "labels", "open_listed", "read"]


def class_names(listing: Listing) -> tuple[str, ...]:
  """Return the K names of the classes of a training list.

  These are the categories of JSON, or the sorted names that a CSV has for
  labels. Integers get the names of the folders that the images lie in, if those
  and the labels belong together one to one, and else "class 0", "class 1", ...

  Raises:
    InputError: Integers leave one of 0..K-1 out.
  """
  if listing.categories is not None:
    return listing.categories
  if not isinstance(listing.labels, np.ndarray):
    given = set(listing.labels)
    numbers = all(re.fullmatch(r"-?\d+", name) for name in given)
    return tuple(sorted(given, key=int) if numbers else sorted(given))
  present = np.unique(listing.labels)
  wrong = np.flatnonzero(present != np.arange(len(present)))
  if wrong.size:
    first = int(np.flatnonzero(listing.labels == present[wrong[0]])[0])
    raise InputError(
      f"{listing.place(first)}: no line has label {wrong[0]}; integer labels "
      "are 0..K-1, all of them in the training list"
    )
  pairs = set(
    zip(map(_folder, listing.paths), listing.labels.tolist(), strict=True)
  )
  by_label = {label: folder for folder, label in pairs}
  ordered = [by_label[label] for label in range(len(present))]
  if len(pairs) == len(present) == len(set(ordered)):
    common = _common_folder(ordered)
    names = tuple(folder.removeprefix(common) for folder in ordered)
    if all(names):
      return names
  # These are no names of folders, which a label could contradict.
  return tuple(f"class {k}" for k in range(len(present)))


def labels(listing: Listing, names: Sequence[str]) -> np.ndarray:
  """Return the class of each entry of a list, `[N]` int64 in 0..K-1.

  Raises:
    InputError: A label is none of the K names, or is an integer of another
      class than that whose name the image's folder has.
  """
  if not isinstance(listing.labels, np.ndarray):
    places = {name: place for place, name in enumerate(names)}
    for index, label in enumerate(listing.labels):
      if label not in places:
        raise InputError(
          f"{listing.place(index)}: there is no training image of class "
          f"{label!r}{did_you_mean(label, names)}"
        )
    return np.array([places[label] for label in listing.labels], np.int64)
  wrong = np.flatnonzero((listing.labels < 0) | (listing.labels >= len(names)))
  if wrong.size:
    raise InputError(
      f"{listing.place(wrong[0])}: the label is outside 0..{len(names) - 1}"
    )
  _check_folders(listing, listing.paths, names)
  return listing.labels


def join(
  listing: Listing,
  file_names: Sequence[str],
  record_labels: np.ndarray,
  names: Sequence[str],
) -> np.ndarray:
  """Find the entries of a list among the records of a prepared data set.

  They belong together by file name, without the folders. Names of records that
  have no suffix are compared with the names of files without theirs.

  Args:
    listing: N entries.
    file_names: Names of the M records.
    record_labels: `[M]` classes of the records.
    names: The K names of the classes of the records.

  Returns:
    `[N]` int64, the record of each entry.

  Raises:
    InputError: An entry has no record, or one of another class; or two entries
      have the same record.
  """
  wanted = labels(listing, names)
  # NumPy would make an object of each string, one by one.
  if isinstance(file_names, np.ndarray):
    file_names = file_names.tolist()
  has_suffix = any("." in name for name in file_names[:1])
  entries: dict[str, int] = {}
  for index, path in enumerate(listing.paths):
    key = path.rpartition("/")[2]
    key = key if has_suffix else key.rpartition(".")[0]
    first = entries.setdefault(key, index)
    if first != index:
      raise listed_files.same_image(listing, first, index)
  records = np.full(len(listing.paths), -1, np.int64)
  for record, name in enumerate(file_names):
    key = name.rpartition("/")[2]
    if key not in entries:
      continue
    index = entries[key]
    if records[index] >= 0:
      raise InputError(
        f"{listing.place(index)}: records {records[index]} and {record} both "
        "have this name; prepare the data again"
      )
    records[index] = record
  missing = np.flatnonzero(records < 0)
  if missing.size:
    raise InputError(
      f"{listing.place(missing[0])}: no record has this name"
      + listed_files.and_more(missing.size)
      + "; the list belongs to other data, or to another split"
    )
  wrong = np.flatnonzero(np.asarray(record_labels)[records] != wanted)
  if wrong.size:
    index = wrong[0]
    actual = int(record_labels[records[index]])
    raise InputError(
      f"{listing.place(index)}: the image is of class {actual} "
      f"({names[actual]!r}), and not {wanted[index]} "
      f"({names[wanted[index]]!r})" + listed_files.and_more(wrong.size)
    )
  return records


def open_listed(
  directory: str | os.PathLike | None,
  locations: Mapping[str, str | None],
  *,
  names: Sequence[str] | None = None,
  cache_dir: str | os.PathLike | None = None,
  columns: Sequence[str] = (),
  follow_links: bool = True,
) -> dict[str, folders.FileSource]:
  """Open images in files that lists name.

  A listed `val/CLASS/IMAGE` is also found as `val/IMAGE` where there is no
  folder `val/CLASS`, and the other way round, since ImageNet's validation
  images are unpacked in both ways.

  Args:
    directory: Folder that relative paths start from; None is the folder of each
      list.
    locations: Lists of the splits "train", "test" and, if there is one,
      "validation": see `read`.
    names: The K names of the classes; None is those of the training list.
    cache_dir: Where downloaded lists are kept, see `fetch.fetch`.
    columns: Names of the columns of a CSV, see `read`.
    follow_links: Whether links may lead out of the folder.

  Returns:
    A source for each list.

  Raises:
    InputError: A line names no file in the folder, one outside of it, one that
      another line has, or a class that is not there or not the image's.
  """
  for split in ("train", "test"):
    if locations.get(split) is None:
      raise InputError(
        f"config.data.{split}_list is not set; lists of images need one for "
        "train and one for test"
      )
  listings = {
    split: read(location, cache_dir, columns)
    for split, location in locations.items()
    if location is not None
  }
  if names is None:
    listings = _integers_as_names(listings)
  train = listings["train"]
  if names is None:
    names = class_names(train)
    for listing in listings.values():
      if _kind(listing) != _kind(train):
        raise InputError(
          f"{listing.name} has {_kind(listing)} for labels and {train.name} "
          f"has {_kind(train)}; give both the same"
        )
  sources = {}
  for split, listing in listings.items():
    if listing.categories not in (None, train.categories):
      raise InputError(f"{listing.name} has other categories than {train.name}")
    classes = labels(listing, names)
    root = _root(directory, listing)
    paths = listed_files.find(root, listing, names, follow_links=follow_links)
    _check_folders(listing, paths, names)
    sources[split] = folders.file_source(root, paths, classes, names)
  return sources


def _integers_as_names(listings: dict[str, Listing]) -> dict[str, Listing]:
  """Take integers for names where the training list has others than 0..K-1.

  Names of years, or numbers that begin at 1, are in the order of the numbers.
  """
  labels = listings["train"].labels
  if _kind(listings["train"]) != "integers" or isinstance(labels, list):
    return listings
  present = np.unique(labels)
  if np.array_equal(present, np.arange(len(present))):
    return listings
  _log.info(
    f"{listings['train'].name}: labels are taken for names, since they are not "
    f"0..{len(present) - 1}: " + some([str(k) for k in present])
  )
  return {
    split: listing
    if isinstance(listing.labels, list)
    else dataclasses.replace(listing, labels=[str(k) for k in listing.labels])
    for split, listing in listings.items()
  }


def _kind(listing: Listing) -> str:
  if listing.categories is not None:
    return "categories"
  integers = isinstance(listing.labels, np.ndarray)
  return "integers" if integers else "class names"


def _folder(path: str) -> str:
  return path.rpartition("/")[0]


def _common_folder(some_folders: Sequence[str]) -> str:
  """Return the longest `a/b/` that all of them begin with."""
  first, last = (
    folder.split("/")[:-1] for folder in (min(some_folders), max(some_folders))
  )
  same = itertools.takewhile(
    lambda parts: parts[0] == parts[1], zip(first, last, strict=False)
  )
  return "".join(part + "/" for part, _ in same)


def _check_folders(
  listing: Listing, paths: Sequence[str], names: Sequence[str]
) -> None:
  """Check integer labels of images in folders that are called as classes."""
  if _kind(listing) != "integers" or isinstance(listing.labels, list):
    return
  places = {name: place for place, name in enumerate(names)}
  class_of: dict[str, int | None] = {}
  for index, (path, label) in enumerate(
    zip(paths, listing.labels.tolist(), strict=True)
  ):
    folder = _folder(path)
    if folder not in class_of:
      rest = folder.split("/")
      ends = ("/".join(rest[start:]) for start in range(len(rest)))
      class_of[folder] = next((places[e] for e in ends if e in places), None)
    known = class_of[folder]
    if known is not None and known != label:
      raise InputError(
        f"{listing.place(index)}: the image is in the folder of class "
        f"{known} ({names[known]!r}), and class {label} "
        f"is {names[label]!r}"
      )


def _root(directory: str | os.PathLike | None, listing: Listing) -> str:
  root = listing.folder if directory is None else os.path.expanduser(directory)
  if root is None:
    raise InputError(
      f"{listing.name} came from a URL: set config.data.dir to the folder that "
      "its paths start from"
    )
  root = os.path.abspath(root)
  if not os.path.isdir(root):
    raise InputError(
      f"config.data.dir={root} is not a folder; the paths of {listing.name} "
      "start from it"
    )
  return root
