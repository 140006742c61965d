# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Long-tailed subsets as they were published: by lists, or by a loader.

    info = catalog.lookup("imagenet_lt")
    source = sources.open_prepared(builder, info.train_split, info)
    train = select(source, lists.read(info.lists["train"]), info)
    train = cut_svhn("svhn", source, training, parts, imbalance=0.01, seed=0)

Liu et al. 2019 published the lists of ImageNet-LT and Places-LT. The latter
need a translation. They write `train/field-wild/00000001.jpg` where the archive
has `data_256/f/field/wild/00000001.jpg`, so that file names alone are not
unique, and they number the classes in the order of their own spelling, which is
another one for 5 of the 365.

SVHN-LT is here as the loader of Yang et al. (2022) makes it, wrong labels and
all. It cuts `train` and `extra` each by itself. It goes through the digits,
takes as many images as are wanted, or all that there are, and notes a label for
each one that is wanted. Digit 0 has fewer, so from there on every label belongs
to an image further on, and those that are left over at the end are dropped. At
imbalance 0.01 a third of the labels are wrong, and no image is labelled 6 to 9;
so this is for methods that ask for no counts of the classes.
"""

from collections.abc import Sequence
import dataclasses

import numpy as np

from etf_jax.data import long_tail, sources
from etf_jax.data.catalog import DatasetInfo
from etf_jax.data.sources import lists, prepared
from etf_jax.errors import InputError

SVHN_PROFILE = "published_svhn"


def select(
  source: prepared.Prepared, listing: lists.Listing, info: DatasetInfo
) -> sources.Subset:
  """Return the images of a prepared split that a list names.

  Args:
    source: The whole split.
    listing: The list, see `lists.read`.
    info: Facts of the data set: how its lists name images and classes.

  Returns:
    The images in the order of the list, with the labels of the prepared data.

  Raises:
    InputError: The records have no file names, or a line of the list has no
      record or one of another class.
  """
  if source.file_names is None:
    raise InputError(
      f"{listing.name} names files, and the records of {source.place} have no "
      "names; use a set that has them, or the images in folders"
    )
  names, file_names = source.class_names, list(source.file_names)
  if not info.list_labels:
    listing = _spelled_as_prepared(listing, names)
    file_names = [_flat(name) for name in file_names]
  indices = lists.join(listing, file_names, source.labels, names)
  return sources.choose(source, indices)


def _spelled_as_prepared(
  listing: lists.Listing, names: Sequence[str]
) -> lists.Listing:
  """Rewrite Places-LT's list with the builder's class names, files unique."""
  by_spelling = {name.replace("/", "-"): name for name in names}
  labels, numbers = list[str](), dict[int | str, str]()
  for index, path in enumerate(listing.paths):
    folder = path.rpartition("/")[0].rpartition("/")[2]
    number = listing.labels[index]
    if (
      folder not in by_spelling or numbers.setdefault(number, folder) != folder
    ):
      raise InputError(
        f"{listing.place(index)}: "
        + (
          f"label {number} is {numbers[number]!r} further up"
          if folder in by_spelling
          else f"{folder!r} is no class of the prepared data"
        )
      )
    labels.append(by_spelling[folder])
  return dataclasses.replace(
    listing, paths=[_flat(path) for path in listing.paths], labels=labels
  )


def _flat(path: str) -> str:
  """Give both spellings of a path one name: `field-wild-1.jpg`.

  Validation images are numbered through, so that their name is enough.
  """
  folder, _, name = path.rpartition("/")
  if name.startswith("Places365_val_"):
    return name
  parts = folder.split("/")
  parts = parts[2:] if parts[0] == "data_256" else parts[1:]
  return "-".join([*parts, name])


def cut_svhn(
  name: str,
  source: sources.Source,
  training: np.ndarray,
  parts: Sequence[int],
  *,
  imbalance: float,
  seed: int,
) -> sources.Subset:
  """Choose images of each part, and label them as the loader does.

  Args:
    name: Name of the data set.
    source: All training images, with their true labels.
    training: Sorted indices of those that may be taken.
    parts: Number of images of each part of the source, in its order.
    imbalance: Smallest over largest class, in (0, 1].
    seed: Decides which images of a digit are taken, where that is a choice.

  Returns:
    The images, part by part and digit by digit, with the labels given.

  Raises:
    InputError: It is another data set, or an argument is out of range.
  """
  if name != "svhn" or not parts:
    raise InputError(
      f"config.data.profile={SVHN_PROFILE!r} is for config.data.name='svhn'"
      " as `python -m etf_jax.prepare svhn` prepares it, not for other data"
    )
  num_classes = len(source.class_names)
  taken, given = [], []
  ends = np.searchsorted(training, np.cumsum(parts)[:-1])
  for members in np.split(training, ends):
    labels = source.labels[members]
    # Not rounded before it is multiplied, unlike our own tails.
    wanted = long_tail.exponential_counts(
      len(members) / num_classes, num_classes, imbalance
    )
    only = np.diag(wanted)  # row k: those of digit k, and none of the others
    chosen = [long_tail.select(labels, counts, seed) for counts in only]
    found = members[np.concatenate(chosen)]
    taken.append(found)
    given.append(np.repeat(np.arange(num_classes), wanted)[: len(found)])
  indices = np.concatenate(taken)
  labels = np.concatenate(given).astype(source.labels.dtype)
  return sources.Subset(source, indices, labels, source.class_names)
