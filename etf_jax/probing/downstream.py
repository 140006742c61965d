# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Data sets for classifiers on frozen features.

opened = downstream.open_set("aircraft", "/data/aircraft", data_config)
opened.train.labels, opened.held_out, opened.test.labels

Nine of the catalog are those of Kornblith et al., Do Better ImageNet Models
Transfer Better?, 2019, that HingeCE reports; any other serves as well, and so
do folders.
"""

from collections.abc import Sequence
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from etf_jax.data import catalog, long_tail, sources
from etf_jax.data.sources import splits
from etf_jax.errors import InputError

NINE = (
  *("food101", "cifar10", "cifar100", "birdsnap", "sun397", "cars196"),
  *("aircraft", "oxford_iiit_pet", "oxford_flowers102"),
)
# Kornblith et al. report these by the mean of the classes' accuracies.
MEAN_PER_CLASS = ("aircraft", "oxford_iiit_pet", "oxford_flowers102")
# Of the training images of a set without validation images of its own.
_HELD_OUT = 0.2


@dataclasses.dataclass(frozen=True)
class Downstream:
  """A data set to learn a classifier on.

  Attributes:
    name: name in the catalog, or of a folder.
    train: training images; behind them validation images, if the set has some.
    held_out: booleans `[N]`, the images of `train` that choose a penalty.
    test: images that accuracies are measured on.
    metric: "top1", or "mean_per_class" where that is usual.
  """

  name: str
  train: sources.Source
  held_out: np.ndarray
  test: sources.Source
  metric: str

  @property
  def num_classes(self) -> int:
    """Return K."""
    return len(self.test.class_names)


@dataclasses.dataclass(frozen=True)
class _Joined:
  """One source behind another of the same classes; a `sources.Source`."""

  first: sources.Source
  second: sources.Source

  @property
  def class_names(self) -> tuple[str, ...]:
    return self.first.class_names

  @property
  def labels(self) -> np.ndarray:
    return np.concatenate([self.first.labels, self.second.labels])

  def read(self, index: int) -> bytes:
    return self._at(index, "read")

  def describe(self, index: int) -> str:
    return self._at(index, "describe")

  def _at(self, index, method):
    size = len(self.first.labels)
    source = self.first if index < size else self.second
    return getattr(source, method)(index if index < size else index - size)


def open_set(
  name: str, folder: str | None, config: Any, per_class: int | None = None
) -> Downstream:
  """Open a data set; nothing is prepared or decoded.

  Args:
    name: name in the catalog; or any name, of a folder.
    folder: FOLDER/train/CLASS/IMAGE and FOLDER/test/CLASS/IMAGE; None for
      prepared data of the catalog, or a folder NAME beside them.
    config: `data` of configs/base.py: where prepared data are.
    per_class: take so many training images of each class only; None: all.

  Raises:
    InputError: there is no such set, it is not prepared, or it has too few
      classes or images.
  """
  config = config.copy_and_resolve_references()
  if folder is None and catalog.lookup(name).tfds_name is None:
    folder = str(Path(config.data_dir or "", name))
    if not Path(folder, "train").is_dir():
      raise InputError(
        f"{name} has no builder: say where its images are with"
        f" --datasets={name}=FOLDER (FOLDER/train/CLASS/IMAGE and"
        f" FOLDER/test/CLASS/IMAGE), or put them into {folder}"
      )
  known = name in catalog.DATASETS
  with config.unlocked():
    config.update(name=name if known else splits.FOLDER, dir=folder)
    config.prepare = False
  opened = splits.open_splits(config)
  train, names = opened.train, opened.train.class_names
  if len(names) < 2:
    raise InputError(
      f"{folder or name} has {len(names)} class: a classifier needs two"
    )
  if per_class is not None:
    counts = np.full(len(names), per_class)
    train = sources.choose(train, long_tail.select(train.labels, counts, 0))
  if opened.validation is not None and per_class is None:
    held_out = np.zeros(len(train.labels), bool)
    train = _Joined(train, opened.validation)
    held_out = np.append(held_out, np.ones(len(opened.validation.labels), bool))
  else:
    held_out = _hold_out(name, train.labels, names)
  metric = "mean_per_class" if name in MEAN_PER_CLASS else "top1"
  return Downstream(name, train, held_out, opened.test, metric)


def _hold_out(name: str, labels: np.ndarray, names: Sequence[str]):
  """Choose a fifth of each class, at least one image."""
  number = np.bincount(labels, minlength=len(names))
  few = np.flatnonzero(number < 2)
  if few.size:
    raise InputError(
      f"{name}: class {names[few[0]]!r} has {number[few[0]]} training image:"
      " one to fit and one to choose the penalty are needed"
    )
  share = np.maximum(1, (_HELD_OUT * number).astype(np.int64))
  held_out = np.zeros(len(labels), bool)
  held_out[long_tail.select(labels, share, 1)] = True
  return held_out


def parse(text: str) -> dict[str, str | None]:
  """Read NAME[=FOLDER],NAME[=FOLDER],..; `nine` stands for the nine.

  Raises:
    InputError: a name is missing or given twice.
  """
  found: dict[str, str | None] = {}
  for part in text.split(","):
    name, has, folder = part.strip().partition("=")
    if not name or (has and not folder):
      raise InputError(
        f"--datasets={text}: each entry is NAME or NAME=FOLDER, got {part!r}"
      )
    for one in NINE if name == "nine" and not has else (name,):
      if one in found:
        raise InputError(f"--datasets={text} names {one} twice")
      found[one] = folder or None
  return found


def of_folder(folder: str) -> tuple[str, str]:
  """Return the name of a folder as a data set, and the folder."""
  return Path(folder).resolve().name, folder


def mean_per_class(labels: np.ndarray, predicted: np.ndarray) -> float:
  """Return the mean of the accuracies of the classes with images."""
  right = np.bincount(labels, weights=labels == predicted)
  number = np.bincount(labels)
  return float(np.mean(right[number > 0] / number[number > 0]))
