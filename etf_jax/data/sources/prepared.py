# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Prepared data as sources of encoded images, read without TensorFlow.

builder = make_builder("cifar10", data_dir=None)
source = open_prepared(builder, "train", catalog.lookup("cifar10"))
source.labels, source.read(7), source.describe(7)
"""

from collections.abc import Sequence
import dataclasses
import logging
import os
import pathlib
from typing import Any
import zipfile

import numpy as np
import tensorflow_datasets as tfds

from etf_jax.data import catalog
from etf_jax.data.prepare import digits, gcs
from etf_jax.errors import InputError
from etf_jax.runs import files
from etf_jax.runs.console import Progress

_log = logging.getLogger(__name__)

FILE_FORMAT = "array_record"

# Builders that are ours; all others are looked up in TFDS by name.
_OWN_BUILDERS: dict[str | None, Any] = {"scikit_digits": digits.ScikitDigits}

# Photographs of 100 kB, and images of 1 kB.
_READ_AT_ONCE = 256
_SMALL_READ_AT_ONCE = 4096


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
  """A split that TFDS has prepared, in the order of its files.

  Attributes:
    records: TFDS's random access to it.
    place: Where it is, in words.
    labels: int32 `[N]`.
    class_names: The K names.
    file_names: `[N]` strings, what each image was called in its archive; None
      where the data set has no such field.
    encoded_images: The encoded images; None where they are read when asked for.
    version: Name and version of the data set, such as "cifar10/3.0.2".
    split: Name of the split.
  """

  records: Sequence[dict]
  place: str
  labels: np.ndarray
  class_names: tuple[str, ...]
  file_names: np.ndarray | None
  encoded_images: list[bytes] | None
  version: str = ""
  split: str = ""

  def read(self, index: int) -> bytes:
    """See `Source`."""
    if self.encoded_images is not None:
      return self.encoded_images[index]
    return self.records[int(index)]["image"]

  def describe(self, index: int) -> str:
    """See `Source`."""
    name = "" if self.file_names is None else f" ({self.file_names[index]})"
    return f"record {index}{name} of {self.place}"


def make_builder(
  name: str, data_dir: str | os.PathLike | None
) -> tfds.core.DatasetBuilder:
  """Return the TFDS builder of a data set in the catalog.

  Without a data_dir TFDS takes $TFDS_DATA_DIR or else ~/tensorflow_datasets.

  Raises:
    InputError: The name is unknown, or data_dir is in a bucket: `splits` and
      `prepare` give the folder of the copy.
  """
  info = catalog.lookup(name)
  location = data_dir or os.getenv("TFDS_DATA_DIR")
  if gcs.is_remote(location):
    raise InputError(
      f"data_dir={location} is in a bucket, and a builder of {name} needs a "
      "folder"
    )
  builder_class = _OWN_BUILDERS.get(info.tfds_name) or tfds.builder_cls(
    info.tfds_name
  )
  return builder_class(data_dir=data_dir, config=info.tfds_config)


def folder(builder: tfds.core.DatasetBuilder) -> str:
  """Return what the folder of a data set is called in any data directory."""
  return str(builder.data_path.relative_to(builder.data_dir_root))


def is_prepared(builder: tfds.core.DatasetBuilder) -> bool:
  """Return whether the data can be read.

  Raises:
    InputError: They are prepared, but in a format without random access.
  """
  # TFDS writes to a temporary directory and renames it when all is done, so
  # the information file is there if and only if everything is.
  if not (builder.data_path / "dataset_info.json").exists():
    return False
  formats = {f.value for f in builder.info.available_file_formats()}
  if FILE_FORMAT not in formats:
    raise InputError(
      f"{builder.data_dir} is prepared as {', '.join(sorted(formats))}, and "
      f"etf_jax reads {FILE_FORMAT}; give another data_dir, or remove it and "
      "prepare it again"
    )
  return True


def open_prepared(
  builder: tfds.core.DatasetBuilder, split: str, info: catalog.DatasetInfo
) -> Prepared:
  """Open a prepared split, or several as "train+extra".

  Small images of one shape are held in memory, encoded (60,000 of
  Fashion-MNIST are read in 2 s). Of photographs only labels and file names are
  read; they are kept in a file beside the data, since that takes a minute or
  two for a million.

  Raises:
    InputError: A label is not one of 0..K-1.
  """
  # Not the images, nor the masks that some sets have beside them.
  encoded = {
    key: tfds.decode.SkipDecoding()
    for key, feature in builder.info.features.items()
    if isinstance(feature, tfds.features.Image)
  }
  records = builder.as_data_source(split, decoders=encoded)
  place = f"split {split!r} in {builder.data_dir}"
  encoded_images = None
  if info.image_shape is not None:
    labels, file_names, encoded_images = _scan(records, info, hold=True)
  else:
    index = pathlib.Path(builder.data_dir, f".etf_jax-{split}.npz")
    known = _read_index(index, len(records), info)
    if known is None:
      labels, file_names, _ = _scan(records, info, hold=False)
      _write_index(index, labels, file_names)
    else:
      labels, file_names = known
  wrong = np.flatnonzero((labels < 0) | (labels >= info.num_classes))
  if wrong.size:
    raise InputError(
      f"record {wrong[0]} of {place} has label {labels[wrong[0]]}, outside "
      f"0..{info.num_classes - 1}; the data and the number of classes do not "
      "belong together"
    )
  return Prepared(
    records,
    place,
    labels.astype(np.int32),
    tuple(builder.info.features[info.label_key].names),
    file_names,
    encoded_images,
    builder.info.full_name,
    split,
  )


def _scan(records, info, *, hold):
  """Label, file names and, if they are to be held, encoded images."""
  labels = np.empty(len(records), np.int64)
  names, encoded_images = [], []
  at_once = _SMALL_READ_AT_ONCE if hold else _READ_AT_ONCE
  progress = Progress("reading labels", len(records))
  for start in range(0, len(records), at_once):
    stop = min(start + at_once, len(records))
    progress.update(stop - start)
    # One call per record would take several times as long.
    for place, record in enumerate(
      records.__getitems__(list(range(start, stop))), start
    ):
      labels[place] = record[info.label_key]
      if info.file_key is not None:
        names.append(_text(record[info.file_key]))
      if hold:
        encoded_images.append(record["image"])
  progress.close()
  file_names = None if info.file_key is None else np.asarray(names)
  return labels, file_names, encoded_images if hold else None


def _text(value: bytes | str) -> str:
  return value.decode() if isinstance(value, bytes) else str(value)


def _read_index(path: pathlib.Path, size: int, info: catalog.DatasetInfo):
  """Read the file of `_write_index`; None if absent or of other data."""
  try:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as index:
      labels, file_names = index["labels"], index["file_names"]
  except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
    return None
  has_names = info.file_key is not None
  if len(labels) != size or len(file_names) != (size if has_names else 0):
    return None
  return labels, file_names if has_names else None


def _write_index(path, labels, file_names) -> None:
  try:
    with files.replacing(path) as file:
      np.savez(
        file,
        labels=labels,
        file_names=np.empty(0, "U1") if file_names is None else file_names,
      )
  except OSError as error:
    _log.warning(
      f"cannot keep the labels in {path} ({error.strerror}): they will be read "
      "again next time"
    )
