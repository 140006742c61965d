# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Long-tailed data sets: `load` gives everything a run needs to know of one.

dataset = data.load(config.data)
dataset.train.images, dataset.class_counts
"""

import dataclasses
from typing import Any

import numpy as np

from etf_jax.data import catalog, long_tail, prepare, sources
from etf_jax.errors import InputError

__all__ = ["Dataset", "Split", "load"]


@dataclasses.dataclass(frozen=True)
class Split:
  """Decoded images with their labels.

  Attributes:
    images: uint8 `[N, H, W, C]`.
    labels: int32 `[N]`, in 0..K-1.
  """

  images: np.ndarray
  labels: np.ndarray


@dataclasses.dataclass(frozen=True)
class Dataset:
  """A data set, cut to its long tail.

  Attributes:
    name: Its name in the catalog.
    num_classes: K.
    class_names: The K names, in the order of the labels.
    train: The long-tailed training images.
    validation: Held-out images, as balanced as the original training split;
      None without a validation fraction.
    test: The whole test split.
    class_counts: int64 `[K]`, training images of each class.
    mean: Mean per channel, of pixels in [0, 1].
    std: Standard deviation per channel, of pixels in [0, 1].
  """

  name: str
  num_classes: int
  class_names: tuple[str, ...]
  train: Split
  validation: Split | None
  test: Split
  class_counts: np.ndarray
  mean: tuple[float, ...]
  std: tuple[float, ...]


def load(config: Any) -> Dataset:
  """Reads a prepared data set and cuts it to its long tail.

  Validation images are taken before the tail is cut.

  Args:
    config: Anything with the attributes `name`, `data_dir` and `manual_dir`
      (None for TFDS's defaults), `profile`, `imbalance`, `seed`,
      `validation_fraction` and `prepare` (whether missing data may be
      prepared here, in a process of their own).

  Returns:
    The data set, in memory.

  Raises:
    InputError: The data are missing, or a field is out of its range.
  """
  facts = catalog.lookup(config.name)
  builder = sources.make_builder(config.name, config.data_dir)
  if not sources.is_prepared(builder):
    if not config.prepare:
      raise InputError(
        f"{config.name} is not prepared in {builder.data_dir}; run: "
        + prepare.command_line(config.name, config.data_dir, config.manual_dir)
      )
    prepare.prepare_in_subprocess(
      config.name, config.data_dir, config.manual_dir
    )
    # A builder knows what was on the disk when it was made.
    builder = sources.make_builder(config.name, config.data_dir)
  names = sources.class_names(builder)
  records = sources.read(
    builder, facts.train_split, num_classes=facts.num_classes
  )

  training, validation = long_tail.hold_out(
    records.labels,
    names,
    fraction=config.validation_fraction,
    seed=config.seed,
  )
  counts = long_tail.realised_counts(
    records.labels[training],
    names,
    profile=config.profile,
    imbalance=config.imbalance,
  )
  kept = training[
    long_tail.select(records.labels[training], counts, config.seed)
  ]

  test = sources.read(builder, facts.test_split, num_classes=facts.num_classes)
  return Dataset(
    name=config.name,
    num_classes=facts.num_classes,
    class_names=names,
    train=_split(records, kept, facts),
    validation=_split(records, validation, facts) if validation.size else None,
    test=_split(test, np.arange(len(test.labels)), facts),
    class_counts=counts,
    mean=facts.mean,
    std=facts.std,
  )


def _split(
  records: sources.Records, indices: np.ndarray, facts: catalog.Facts
) -> Split:
  images = sources.decode(records, indices, shape=facts.image_shape)
  return Split(images, records.labels[indices])
