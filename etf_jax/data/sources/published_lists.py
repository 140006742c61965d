# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Long-tailed subsets that were published as lists, out of prepared data.

    info = catalog.lookup("imagenet_lt")
    source = sources.open_prepared(builder, info.train_split, info)
    train = select(source, lists.read(info.lists["train"]), info)

ImageNet-LT and Places-LT (Liu et al. 2019). The lists of Places-LT need a
translation. They write `train/field-wild/00000001.jpg` where the archive has
`data_256/f/field/wild/00000001.jpg`, so that file names alone are not unique,
and they number the classes in the order of their own spelling, which is another
one for 5 of the 365.
"""

from collections.abc import Sequence
import dataclasses

from etf_jax.data import sources
from etf_jax.data.catalog import DatasetInfo
from etf_jax.data.sources import lists, prepared
from etf_jax.errors import InputError


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
  """Place-LT's list with the builder's class names and unique file names."""
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
