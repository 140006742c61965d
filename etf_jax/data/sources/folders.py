# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Photographs in folders, one per class.

    splits = scan("~/photographs", test_fraction=0.2)
    splits["train"].class_names, splits["test"].read(0)

Three layouts are read: DIR/SPLIT/CLASS/IMAGE, DIR/train/CLASS/IMAGE alone, and
DIR/CLASS/IMAGE. The last two are split by `unsplit`. A split folder is
`train`, `validation` (or `val`, `valid`) or `test`. What a user meets in a
folder of photographs is dealt with in one way each:

* Images are the files with a suffix of `SUFFIXES`, in capitals or not, at any
  depth below the class folder. What they really hold is seen when they are
  decoded: a PNG may be called `.jpg`.
* Hidden files, what operating systems leave behind, other suffixes, broken
  links and files outside class folders are left out and reported, a line for
  each kind with the number and an example.
* A class folder of `train` without an image is left out and reported: there is
  no class of that name. If there are test images of it, that is an error.
* Links are followed; those that lead out of the folder are an error, unless
  `follow_links`.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
import logging
import os

import numpy as np

from etf_jax.data import formats
from etf_jax.data.sources import unsplit
from etf_jax.data.sources.source import FileSource, file_source
from etf_jax.errors import InputError, did_you_mean, some

_log = logging.getLogger(__name__)

SUFFIXES = tuple(
  sorted(
    suffix
    for known in formats.FORMATS
    if formats.is_readable(known)
    for suffix in known.suffixes
  )
)
# Kinds of files that are images, if only what reads them were installed.
_UNREADABLE = {
  known.suffixes: f"{known.name} images, see pip install {known.package},"
  for known in formats.FORMATS
  if not formats.is_readable(known)
}

_FOLDERS = {
  "train": ("train",),
  "validation": ("validation", "val", "valid"),
  "test": ("test",),
}
# Folders that macOS, Windows and Synology leave in archives and on disks.
_SYSTEM = frozenset(
  ("__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information")
)
_OUTSIDE = "files outside a class folder"
_HIDDEN = "hidden files and folders"
_SUFFIX = "files without the suffix of an image"
_SPECIAL = "broken links and other things that are no files"


def scan(
  directory: str | os.PathLike,
  *,
  test_fraction: float | None = None,
  seed: int = 0,
  follow_links: bool = True,
) -> dict[str, FileSource]:
  """Find the images of a folder in one of the layouts, without opening them.

  Labels follow the sorted names of the class folders of `train`, as
  torchvision's ImageFolder has them, and images the sorted names of the files.

  Args:
    directory: Folder that holds the split folders or the class folders.
    test_fraction: Share of each class that is held back for testing where no
      folder has test images, see `unsplit`; None: such a folder is an error.
    seed: Seed of that choice.
    follow_links: Whether links may lead out of the folder.

  Returns:
    Sources "train" and "test", and "validation" where there are both. Without
    a folder `test`, the validation images are the test split.

  Raises:
    InputError: The layout is another one, a split has no image, or one has
      images of a class that `train` lacks.
  """
  root = os.path.abspath(os.path.expanduser(directory))
  folders = _split_folders(root, splits_itself=test_fraction is not None)
  left_out = _LeftOut()
  inside = None if follow_links else os.path.realpath(root)
  for folder in folders.values():
    check_inside(os.path.join(root, folder), inside)
  found = {
    split: _classes(root, folder, left_out, inside)
    for split, folder in folders.items()
  }
  for split, classes in found.items():
    if not any(classes.values()):
      raise _no_image(os.path.join(root, folders[split]).rstrip(os.sep))
  names = sorted(name for name, paths in found["train"].items() if paths)
  empty = sorted(set(found["train"]) - set(names))
  for split, classes in found.items():
    _check_known(root, folders[split], classes, names, empty)
  left_out.report(root)
  if empty:
    _log.info(
      f"{root}: classes without a training image are left out: "
      + some([os.path.join(folders["train"], name) for name in empty])
    )
  if "test" not in found and "validation" in found:
    found["test"] = found.pop("validation")
    _log.info(
      f"{root} has no folder 'test': results are those on the images of "
      f"{folders['validation']!r}"
    )
  elif "test" not in found and test_fraction is not None:
    _check_one_level(root, folders["train"], found["train"])
    found = unsplit.split(
      root, folders["train"], found["train"], fraction=test_fraction, seed=seed
    )
  return {
    split: _source(root, classes, names) for split, classes in found.items()
  }


def scan_classes(directory: str | os.PathLike, folder: str) -> FileSource:
  """Find the images of one folder of class folders; see `scan`.

  Raises:
    InputError: It is missing, or holds no image.
  """
  root = os.path.abspath(os.path.expanduser(directory))
  left_out = _LeftOut()
  classes = _classes(root, folder, left_out, None)
  names = sorted(name for name, paths in classes.items() if paths)
  if not names:
    raise _no_image(os.path.join(root, folder))
  left_out.report(root)
  return _source(root, classes, names)


def _no_image(place: str) -> InputError:
  return InputError(
    f"{place} holds no image: they lie in {os.path.join(place, 'CLASS')} and "
    f"end in {', '.join(SUFFIXES)}"
  )


def _check_one_level(
  root: str, folder: str, classes: Mapping[str, list[str]]
) -> None:
  """Refuse a folder whose only class holds the folders of the classes."""
  with_images = [name for name, paths in classes.items() if paths]
  if len(with_images) != 1:
    return
  inside = os.path.join(root, folder, with_images[0])
  below = [e.name for e in read_folder(inside) if _is(e.is_dir)]
  below = [name for name in below if not is_hidden(name)]
  hint = f"; give config.data.dir={inside}" if len(below) > 1 else ""
  raise InputError(
    f"{os.path.join(root, folder).rstrip(os.sep)} has images of one class, "
    f"{with_images[0]!r}; two are needed{hint}"
  )


class _LeftOut:
  """Counts what is no image, by kind, with the first example of each."""

  def __init__(self):
    self._counts = Counter()
    self._examples = {}

  def add(self, kind: str, path: str) -> None:
    self._counts[kind] += 1
    self._examples.setdefault(kind, path)

  def report(self, root: str) -> None:
    for kind, count in self._counts.items():
      _log.info(
        f"{root}: {kind} are left out: {count}, such as {self._examples[kind]}"
      )


def is_hidden(name: str) -> bool:
  """Return True for what is hidden, and for folders of operating systems."""
  return name.startswith(".") or name in _SYSTEM


def _split_folders(root: str, *, splits_itself: bool) -> dict[str, str]:
  """Return the folder of each split; "" is the root, which holds classes."""
  if not os.path.isdir(root):
    what = "is not a folder" if os.path.exists(root) else "does not exist"
    raise InputError(
      f"config.data.dir={root}: {what}; give the folder that holds train and "
      "test, or the folders of the classes"
    )
  present = [e.name for e in read_folder(root) if _is(e.is_dir)]
  present = [name for name in present if not is_hidden(name)]
  folders = {}
  for split, names in _FOLDERS.items():
    both = [name for name in names if name in present]
    if len(both) > 1:
      raise InputError(
        f"{root} has {' and '.join(map(repr, both))}, which both are its "
        f"{split} split; leave one"
      )
    if both:
      folders[split] = both[0]
  if "train" in folders and len(folders) > 1:
    return folders
  known = {name: split for split, names in _FOLDERS.items() for name in names}
  for name in present:
    if name not in known and name.lower() in known:
      raise InputError(
        f"{root} has no folder {name.lower()!r} and has {name!r}; rename it to "
        f"{name.lower()!r}"
      )
  if splits_itself:
    others = [name for name in present if name not in known]
    if "train" in folders and not (others and _is_class(root, "train")):
      return folders
    if (others and not folders) or "train" in folders:
      return {"train": ""}
  missing = "test" if "train" in folders else "train"
  raise InputError(
    f"{root} has no folder {missing!r}: images lie in "
    f"{os.path.join(root, 'train', 'CLASS')} and "
    f"{os.path.join(root, 'test', 'CLASS')}, or are named by "
    "config.data.train_list and test_list; its folders are "
    + (some(present) or "none")
  )


def _is_class(root: str, folder: str) -> bool:
  """Return True for a folder of images without folders, as of trains."""
  entries = read_folder(os.path.join(root, folder))
  return not any(_is(e.is_dir) and not is_hidden(e.name) for e in entries)


def _classes(
  root: str, folder: str, left_out: _LeftOut, inside: str | None
) -> dict[str, list[str]]:
  """Return the images of each class folder of a split, relative to the root."""
  classes = {}
  for entry in read_folder(os.path.join(root, folder), inside):
    path = os.path.join(folder, entry.name)
    if is_hidden(entry.name):
      left_out.add(_HIDDEN, path)
    elif _is(entry.is_dir):
      classes[entry.name] = _images(root, path, left_out, frozenset(), inside)
    else:
      left_out.add(_OUTSIDE, path)
  return classes


def _images(
  root: str,
  folder: str,
  left_out: _LeftOut,
  above: frozenset,
  inside: str | None,
) -> list[str]:
  """Return the images in a folder and below it."""
  absolute = os.path.join(root, folder)
  entries = read_folder(absolute, inside)
  status = os.stat(absolute)
  place = (status.st_dev, status.st_ino)
  if place in above:
    raise InputError(f"{absolute} is a link to a folder above it; remove it")
  images, below = [], []
  for entry in entries:
    name = entry.name
    path = f"{folder}{os.sep}{name}"
    if is_hidden(name):
      left_out.add(_HIDDEN, path)
    elif _is(entry.is_dir):
      below.append(path)
    elif not name.lower().endswith(SUFFIXES):
      left_out.add(_kind_without_suffix(name), path)
    elif _is(entry.is_file):
      images.append(path)
    else:
      left_out.add(_SPECIAL, path)
  for path in below:
    images += _images(root, path, left_out, above | {place}, inside)
  return images


def _kind_without_suffix(name: str) -> str:
  for suffixes, kind in _UNREADABLE.items():
    if name.lower().endswith(suffixes):
      return kind
  return _SUFFIX


def read_folder(path: str, inside: str | None = None) -> list[os.DirEntry]:
  """Return what is in a folder, sorted by name.

  Args:
    path: Folder.
    inside: Real path of the folder that no link may lead out of; None: any may.

  Raises:
    InputError: The folder cannot be read, or a link leads out.
  """
  try:
    with os.scandir(path) as entries:
      found = sorted(entries, key=lambda entry: entry.name)
  except OSError as error:
    raise InputError(f"cannot read folder {path} ({error.strerror})") from error
  for entry in found:
    if inside is not None and entry.is_symlink():
      check_inside(entry.path, inside)
  return found


def check_inside(path: str, inside: str | None) -> None:
  """Check that a link does not lead out of a folder; see `read_folder`.

  Raises:
    InputError: It does.
  """
  if inside is None:
    return
  target = os.path.realpath(path)
  if target != inside and not target.startswith(inside.rstrip(os.sep) + os.sep):
    raise InputError(
      f"{path} is a link that leads out of {inside}; put the images there, or "
      "set config.data.follow_links=True"
    )


def _is(check: Callable[[], bool]) -> bool:
  """Return True if an entry is of a kind, False if it cannot be looked up."""
  try:
    return check()
  except OSError:  # A link to itself.
    return False


def _check_known(
  root: str,
  folder: str,
  classes: Mapping[str, list[str]],
  names: Sequence[str],
  empty: Sequence[str],
) -> None:
  """Check that all classes with images are among those of `train`."""
  known = set(names)
  for name, paths in sorted(classes.items()):
    if not paths or name in known:
      continue
    hint = "" if name in empty else did_you_mean(name, names)
    raise InputError(
      f"{os.path.join(root, folder, name)} is a class without an image in "
      f"{os.path.join(root, 'train')}; add training images of it or "
      f"remove it{hint}"
    )


def _source(
  root: str, classes: Mapping[str, list[str]], names: Sequence[str]
) -> FileSource:
  paths = [classes.get(name, []) for name in names]
  labels = np.repeat(np.arange(len(names)), [len(p) for p in paths])
  return file_source(root, (p for some in paths for p in some), labels, names)
