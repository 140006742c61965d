# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Finds the splits of a data set: prepared, in folders, or named in lists.

opened = open_splits(config.data)
opened.train.labels, opened.test.read(0)
"""

from collections.abc import Mapping
import dataclasses
import os
from typing import Any

import jax
import numpy as np
import tensorflow_datasets as tfds

from etf_jax.data import catalog, sources
from etf_jax.data.prepare import gcs, prepare
from etf_jax.data.sources import (
  annotated,
  duplicates,
  features,
  folders,
  lists,
  prepared,
  published,
)
from etf_jax.errors import InputError

# The data set that is no data set of the catalog: images of the user's own.
FOLDER = "folder"
# Feature vectors in files, with `config.dir`.
FEATURES = "features"
_SPLITS = ("train", "validation", "test")
# Of the photographs that networks are commonly trained on first, ImageNet's.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class Opened:
  """The splits of a data set, whole.

  Attributes:
    train: With every image there is.
    validation: The data set's own validation split, if it has one.
    test: The split that results are reported on.
    image_shape: Shape of every image; None for photographs of many sizes.
    mean: Mean per channel, of pixels in [0, 1].
    std: Standard deviation per channel, of pixels in [0, 1].
    train_parts: Number of images of each part of `train`, in its order.
  """

  train: sources.Source
  validation: sources.Source | None
  test: sources.Source
  image_shape: tuple[int, int, int] | None
  mean: tuple[float, ...]
  std: tuple[float, ...]
  train_parts: tuple[int, ...] = ()

  @property
  def by_name(self) -> dict[str, sources.Source | None]:
    """The splits, with None for a missing validation split."""
    return {name: getattr(self, name) for name in _SPLITS}


def open_splits(config: Any) -> Opened:
  """Open a data set; one of the catalog is prepared first if it is missing.

  With `config.coarse_classes` its labels are those of coarser classes.

  With `config.dir` images are read from files there: those that lists name, the
  user's or the data set's published ones, or else all of its folders. Without
  it they are prepared data, of which lists may choose some.

  Args:
    config: `data` of configs/base.py.

  Raises:
    InputError: The data are missing or not what they should be.
  """
  for field in ("dir", "manual_dir", "cache_dir"):
    gcs.require_path(f"config.data.{field}", getattr(config, field))
  known = appearance(config)
  return Opened(**_coarse(_open(config), config.coarse_classes), **known)


def _open(config) -> dict[str, Any]:
  """Return the splits, with the labels that they have."""
  if config.name == FOLDER:
    return _open_files(config, {})
  if config.name == FEATURES:
    opened = features.open_files(
      config.dir, test_fraction=config.test_fraction, seed=config.seed
    )
    return {**opened, "validation": None}
  info = catalog.lookup(config.name)
  if config.dir is not None or info.tfds_name is None:
    splits = _open_files(config, info.lists, info.annotations)
    number = len(splits["train"].class_names)
    if number != info.num_classes:
      raise InputError(
        f"config.data.dir={config.dir} has {number} classes and {config.name} "
        f"has {info.num_classes}; config.data.name='{FOLDER}' takes images of "
        "any classes"
      )
    return splits
  return _open_prepared(config, info)


def _coarse(splits: dict[str, Any], names) -> dict[str, Any]:
  """Return the splits with coarser classes, where there are names of some."""
  if not names:
    return splits
  fine = splits["train"].class_names
  if len(names) != len(fine):
    raise InputError(
      f"config.data.coarse_classes names {len(names)} classes and the data "
      f"have {len(fine)}: give a coarser class for each ({', '.join(fine[:8])}"
      f"{', ...' if len(fine) > 8 else ''})"
    )
  known = tuple(dict.fromkeys(names))
  if len(known) < 2:
    raise InputError(
      "config.data.coarse_classes has one class only; name two or more"
    )
  number = np.array([known.index(name) for name in names], np.int32)
  return splits | {
    role: sources.Subset(
      splits[role],
      np.arange(len(splits[role].labels)),
      number[splits[role].labels],
      known,
    )
    for role in _SPLITS
    if splits[role] is not None
  }


def appearance(config: Any) -> dict[str, Any]:
  """Return the known properties of the images before they are opened.

  Args:
    config: `data` of configs/base.py; `name` and `dir` are read.

  Returns:
    `image_shape`, `mean` and `std` of `Opened`.

  Raises:
    InputError: There is no data set of this name.
  """
  if config.name == FOLDER:
    return {"image_shape": None, "mean": _MEAN, "std": _STD}
  if config.name == FEATURES:  # The model normalizes them.
    shape = config.feature_dim and (1, 1, config.feature_dim)
    return {"image_shape": shape, "mean": (0.0,), "std": (1.0,)}
  info = catalog.lookup(config.name)
  in_files = config.dir is not None or info.tfds_name is None
  return {
    "image_shape": None if in_files else info.image_shape,
    "mean": info.mean,
    "std": info.std,
  }


def _open_files(config, published: Mapping[str, str], annotations=None):
  locations = _locations(config, published)
  # A published data set has a test split, and is often a folder of links.
  is_folder = config.name == FOLDER
  follow_links = config.follow_links or not is_folder
  if config.columns and not any(locations.values()):
    raise InputError(
      f"config.data.columns={tuple(config.columns)}: names the columns of"
      " lists, and none is given; give config.data.train_list, or leave it out"
    )
  if any(locations.values()):
    found = lists.open_listed(
      config.dir,
      locations,
      cache_dir=config.cache_dir,
      columns=tuple(config.columns),
      follow_links=follow_links,
    )
  elif config.dir is None:
    raise InputError(
      f"config.data.name={config.name!r} reads images from files: set "
      "config.data.dir to a folder with CLASS/IMAGE, or train/CLASS/IMAGE and "
      "test/CLASS/IMAGE, or config.data.train_list and config.data.test_list"
    )
  elif annotations is not None:
    found = annotated.scan(config.dir, annotations)
  else:
    found = folders.scan(
      config.dir,
      test_fraction=config.test_fraction if is_folder else None,
      seed=config.seed,
      follow_links=follow_links,
    )
  if is_folder:
    duplicates.check(found, action=config.duplicates)
  return {"validation": None, **found}


def _open_prepared(config, info: catalog.DatasetInfo):
  builder = _prepared_builder(config, info)
  names = info.split_names()
  opened = {
    split: prepared.open_prepared(builder, split, info)
    for split in dict.fromkeys(names.values())
  }
  splits: dict[str, Any] = {"validation": None}
  locations = _locations(config, info.lists)
  for role, split in names.items():
    splits[role] = opened[split]
    if (location := locations[role]) is not None:
      listing = lists.read(location, config.cache_dir)
      splits[role] = published.select(opened[split], listing, info)
  sizes = builder.info.splits
  splits["train_parts"] = tuple(
    sizes[part].num_examples for part in info.train_split.split("+")
  )
  return splits


def _locations(config, published: Mapping[str, str]) -> dict[str, str | None]:
  """Return the list of each split: the user's, or a published one."""
  return {
    split: config[f"{split}_list"] or published.get(split) for split in _SPLITS
  }


def _prepared_builder(config, info: catalog.DatasetInfo):
  data_dir = config.data_dir or os.getenv("TFDS_DATA_DIR")
  # Machines of a run cannot wait for each other: their files have no locks.
  may_prepare = config.prepare and jax.process_count() == 1
  if gcs.is_remote(data_dir):
    return copied_builder(
      config.name,
      data_dir,
      config.cache_dir,
      manual_dir=config.manual_dir,
      may_prepare=may_prepare,
    )
  where = (config.name, config.data_dir, config.manual_dir)
  builder = prepared.make_builder(config.name, config.data_dir)
  if prepared.is_prepared(builder):
    return builder
  if not may_prepare:
    raise InputError(
      f"{config.name} is not prepared in {builder.data_dir}; prepare it before "
      f"the run: {prepare.command_line(*where)}"
    )
  prepare.prepare_in_subprocess(*where)
  # A builder knows what was on the disk when it was made.
  return prepared.make_builder(config.name, config.data_dir)


def copied_builder(
  name: str,
  data_dir: str,
  cache_dir: str | os.PathLike | None,
  *,
  manual_dir: str | os.PathLike | None = None,
  may_prepare: bool = False,
) -> tfds.core.DatasetBuilder:
  """Return the builder of data in a bucket, which are copied here for it.

  Arguments are those of `prepare.prepare`; data that the bucket lacks are
  prepared with `may_prepare`.

  Raises:
    InputError: The bucket lacks the data or cannot be read, or the copy cannot
      be written.
  """
  info = catalog.lookup(name)
  root = gcs.local_root(data_dir, cache_dir)
  folder = prepared.folder(prepared.make_builder(name, root))
  names = {p for split in info.split_names().values() for p in split.split("+")}
  where = (name, data_dir, manual_dir, cache_dir)
  if gcs.download(data_dir, folder, names, cache_dir) is None:
    if not may_prepare:
      raise InputError(
        f"{name} is not prepared in {gcs.address_of(data_dir, folder)}; "
        f"prepare it before the run: {prepare.command_line(*where)}"
      )
    prepare.prepare_in_subprocess(*where)
    gcs.download(data_dir, folder, names, cache_dir)
  # A builder knows what was on the disk when it was made.
  builder = prepared.make_builder(name, root)
  prepared.is_prepared(builder)  # raises for another format
  return builder
