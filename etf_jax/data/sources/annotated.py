# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Folders whose test images lie together, classified by a file.

splits = scan("tiny-imagenet-200", "val/val_annotations.txt")
splits["train"].class_names, splits["test"].read(0)

So is Tiny ImageNet: train/CLASS/images/IMAGE, val/images/IMAGE, and a line of
`val_annotations.txt` has IMAGE, CLASS and the corners of a box. The images of
`test` have no classes, and are not read.
"""

import os
import pathlib

import numpy as np

from etf_jax.data.sources import folders, list_formats, listed_files, lists
from etf_jax.data.sources.source import FileSource, file_source
from etf_jax.errors import InputError
from etf_jax.runs import files


def scan(
  directory: str | os.PathLike, annotations: str
) -> dict[str, FileSource]:
  """Find the images without opening them.

  Args:
    directory: Folder with `train`.
    annotations: File in it whose lines begin with IMAGE and CLASS, with a tab
      between them; the images lie beside it in `images`.

  Returns:
    Sources "train" and "test".

  Raises:
    InputError: A file is missing, or a class has no training image.
  """
  root = pathlib.Path(directory).expanduser().absolute()
  train = folders.scan_classes(root, "train")
  file = root / annotations
  try:
    lines = files.read_bytes(file).decode().splitlines()
  except (OSError, ValueError) as error:
    raise InputError(
      f"config.data.dir={directory}: {file} cannot be read ({error}); give the "
      "folder of the whole archive"
    ) from error
  rows = [line.split("\t") for line in lines]
  for number, row in enumerate(rows, 1):
    if len(row) < 2:
      raise InputError(
        f"{file}, line {number}: an image and a class are wanted, with a tab "
        "between them; unpack the archive again"
      )
  images = os.path.join(os.path.dirname(annotations), "images")
  listing = list_formats.Listing(
    name=str(file),
    folder=str(root),
    paths=[os.path.join(images, row[0]) for row in rows],
    labels=[row[1] for row in rows],
    lines=np.arange(1, len(rows) + 1),
  )
  names = train.class_names
  labels = lists.labels(listing, names)
  paths = listed_files.find(
    str(root), listing, names, remedy="unpack the archive again"
  )
  return {
    "train": train,
    "test": file_source(str(root), paths, labels, names),
  }
