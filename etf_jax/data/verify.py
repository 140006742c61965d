# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Checks data that are ready for training, without changing them.

    report = verify.verify("cifar10", data_dir=None)
    print("\\n".join(report.lines))
    report.problems  # empty if all is well

Held against the catalog: the number of images of each split, the range of the
labels, that each class is there, and that a sample of the images can be decoded
and has the right shape.
"""

from collections.abc import Mapping
import dataclasses
import functools
import os

import numpy as np

from etf_jax.data import catalog, decode, sources
from etf_jax.data.prepare import gcs, prepare
from etf_jax.data.sources import (
  annotated,
  folders,
  lists,
  prepared,
  published,
  splits,
)
from etf_jax.errors import InputError, some


@dataclasses.dataclass(frozen=True)
class Report:
  """The findings of a check.

  Attributes:
    lines: For people to read.
    problems: What is wrong, each in a few words; empty if nothing is.
  """

  lines: tuple[str, ...]
  problems: tuple[str, ...]


def verify(
  name: str,
  data_dir: str | os.PathLike | None = None,
  *,
  cache_dir: str | os.PathLike | None = None,
  sample: int = 200,
  seed: int = 0,
) -> Report:
  """Check a data set that is prepared or lies in folders.

  Args:
    name: Name in the catalog.
    data_dir: Where prepared data live, None being TFDS's default; of those in
      a bucket the copy is checked, which is made if need be; the folder of the
      images for a set without a builder.
    cache_dir: Folder of copies, see `gcs.local_root`; for data in a bucket.
    sample: How many images of each split are decoded, at least 1.
    seed: Which ones, at least 0.

  Raises:
    InputError: There is nothing to check.
  """
  info = catalog.lookup(name)
  found, open_split, place = _find(name, info, data_dir, cache_dir)
  lines, problems = [f"{name} in {place}"], _sizes(found, info)
  checked = set()
  for role, split in info.split_names().items():
    if not set(split.split("+")) <= set(found):
      continue
    listing = None
    if role in info.lists:
      try:
        listing = lists.read(info.lists[role])
      except InputError as error:
        lines.append(f"{role} list: not checked ({error})")
    split_name = split if listing is None else f"{role} list"
    if split_name in checked:
      continue
    checked.add(split_name)
    try:
      source = open_split(split)
      if listing is not None:
        source = published.select(source, listing, info)
    except InputError as error:
      problems.append(str(error))
      continue
    found_lines, wrong = check(
      source, split_name, info, sample=sample, seed=seed
    )
    lines += found_lines
    problems += wrong
  lines.append(
    f"problems: {len(problems)}" if problems else "no problem was found"
  )
  return Report(tuple(lines), tuple(problems))


def _find(name, info, data_dir, cache_dir):
  """Return the images of each split, their opener, and their place."""
  if info.tfds_name is None:
    if data_dir is None:
      raise InputError(
        f"{name} has no builder: give the folder that holds "
        f"{info.train_split}/CLASS/IMAGE with --data_dir"
      )
    gcs.require_path("data_dir", data_dir)
    if info.annotations is None:
      opened = folders.scan(data_dir)
    else:
      opened = annotated.scan(data_dir, info.annotations)
    found = {split: len(source.labels) for split, source in opened.items()}
    return found, opened.__getitem__, os.fspath(data_dir)
  location = data_dir or os.getenv("TFDS_DATA_DIR")
  if gcs.is_remote(location):
    builder = splits.copied_builder(name, location, cache_dir)
  else:
    builder = prepared.make_builder(name, data_dir)
  if not prepared.is_prepared(builder):
    raise InputError(
      f"{name} is not prepared in {builder.data_dir}; run: "
      + prepare.command_line(name, data_dir, None)
    )
  found = {k: info.num_examples for k, info in builder.info.splits.items()}
  open_split = functools.partial(prepared.open_prepared, builder, info=info)
  return found, open_split, builder.data_dir


def _sizes(found: Mapping[str, int], info: catalog.DatasetInfo) -> list[str]:
  """Compare the numbers of images with the published ones."""
  problems = []
  for split, expected in info.splits.items():
    if split not in found:
      problems.append(f"split {split!r} is missing")
    elif found[split] != expected:
      problems.append(
        f"split {split!r} has {found[split]:,} images, and {expected:,} were "
        "published"
      )
  return problems


def check(
  source: sources.Source,
  split: str,
  info: catalog.DatasetInfo,
  *,
  sample: int = 200,
  seed: int = 0,
) -> tuple[list[str], list[str]]:
  """Check the images of one split.

  Args:
    source: The split.
    split: Name of the split.
    info: What it should be.
    sample: How many images are decoded, at least 1.
    seed: Which ones, at least 0.

  Returns:
    Lines of the report, and what is wrong.
  """
  problems = []
  labels, num_classes = source.labels, info.num_classes
  if len(source.class_names) != num_classes:
    problems.append(
      f"split {split!r} names {len(source.class_names)} classes, and there "
      f"are {num_classes}"
    )
  outside = np.flatnonzero((labels < 0) | (labels >= num_classes))
  if outside.size:
    problems.append(
      f"{source.describe(int(outside[0]))} has label {labels[outside[0]]}, "
      f"outside 0..{num_classes - 1}, as have {outside.size - 1:,} more"
    )
  counts = np.bincount(
    np.delete(labels, outside).astype(np.int64), minlength=num_classes
  )
  empty = np.flatnonzero(counts == 0)
  if empty.size:
    names = dict(enumerate(source.class_names))
    named = some([f"{k} {names.get(k, '')!r}" for k in empty.tolist()])
    problems.append(
      f"split {split!r} has no image of {empty.size:,} of its "
      f"{num_classes:,} classes ({named})"
    )
  few_below, many_above = info.shots
  ratio = f"{counts.min() / counts.max():.3g}" if counts.any() else "unknown"
  few, many = (counts < few_below).sum(), (counts > many_above).sum()
  lines = [
    f"{split}: {len(labels):,} images, {counts.min():,} to {counts.max():,} in "
    f"a class (imbalance {ratio}); classes with many, medium and few: "
    f"{many:,}, {num_classes - many - few:,}, {few:,}"
  ]
  line, corrupt = _decode_some(source, info, sample=sample, seed=seed)
  if corrupt:
    problems.append(
      f"{len(corrupt):,} of {min(sample, len(labels)):,} images of split "
      f"{split!r} that were tried cannot be used ({some(corrupt)})"
    )
  return lines + line, problems


def _decode_some(source, info, *, sample, seed) -> tuple[list[str], list[str]]:
  """Return a line on the shapes of some images, and which are corrupt."""
  total = len(source.labels)
  chosen = np.sort(
    np.random.default_rng(seed).choice(total, min(sample, total), replace=False)
  )
  options: decode.Options = {
    "channels": 3 if info.image_shape is None else info.image_shape[-1],
    "size": None,
    "fit": "shorter",
    "decoder": decode.choose(None),
  }
  corrupt, shapes = [], []
  for index in chosen.tolist():
    try:
      image, _ = decode.decode(source.read(index), **options)
      if info.image_shape not in (None, image.shape):
        raise decode.CorruptImage(
          f"its shape is {image.shape}, not {info.image_shape}"
        )
      shapes.append(image.shape)
    except decode.CorruptImage as error:
      corrupt.append(f"{source.describe(index)}: {error}")
  if not shapes:
    return [], corrupt
  sizes = "x".join(map(str, np.min(shapes, axis=0)))
  if len(set(shapes)) > 1:
    sizes += " to " + "x".join(map(str, np.max(shapes, axis=0)))
  return [f"  {len(shapes):,} decoded: {sizes}"], corrupt
