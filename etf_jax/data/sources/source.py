# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""One split of encoded images with random access, and a choice of its images.

subset = choose(source, indices)
subset.labels, subset.read(7), subset.describe(7)
"""

from collections.abc import Iterable, Sequence
import dataclasses
import os
from typing import Protocol

import numpy as np

from etf_jax.errors import InputError


class Source(Protocol):
  """One split of encoded images; it can be pickled, and reopens its files.

  Attributes:
    labels: int32 `[N]`, in 0..K-1.
    class_names: The K names.
  """

  @property
  def labels(self) -> np.ndarray:
    """See `Source`."""

  @property
  def class_names(self) -> tuple[str, ...]:
    """See `Source`."""

  def read(self, index: int) -> bytes:
    """Return an encoded image: JPEG, PNG, ..."""

  def describe(self, index: int) -> str:
    """Name an image in messages."""


@dataclasses.dataclass(frozen=True, eq=False)
class Subset:
  """Chosen images of a source, in the order of `indices`.

  Attributes:
    source: Where they are.
    indices: int64 `[N]` into it.
    labels: int32 `[N]`.
    class_names: The K names.
  """

  source: Source
  indices: np.ndarray
  labels: np.ndarray
  class_names: tuple[str, ...]

  def read(self, index: int) -> bytes:
    """See `Source`."""
    return self.source.read(self.indices[index])

  def describe(self, index: int) -> str:
    """See `Source`."""
    return self.source.describe(self.indices[index])


def choose(source: Source, indices: np.ndarray) -> Subset:
  """Return the images of a source that `indices` name."""
  return Subset(source, indices, source.labels[indices], source.class_names)


@dataclasses.dataclass(frozen=True, eq=False)
class FileSource:
  """Images in files; a `sources.Source`.

  The paths are held in one string of bytes, so that a million of them take
  some 40 MB and are sent to another process at once.

  Attributes:
    root: Folder that all paths start from, absolute.
    paths: The encoded relative paths, one after the other.
    ends: int64 `[N + 1]`, path i is `paths[ends[i] : ends[i + 1]]`.
    labels: int32 `[N]`, in 0..K-1.
    class_names: The K names.
  """

  root: str
  paths: bytes
  ends: np.ndarray
  labels: np.ndarray
  class_names: tuple[str, ...]

  def read(self, index: int) -> bytes:
    """Return the content of file `index`.

    Raises:
      InputError: It cannot be read.
    """
    path = self.describe(index)
    try:
      with open(path, "rb") as file:
        return file.read()
    except OSError as error:
      raise InputError(
        f"cannot read {path} ({error.strerror}); restore it or make it "
        "readable, or begin again without it"
      ) from error

  def describe(self, index: int) -> str:
    """Return the path of file `index`."""
    return os.path.join(self.root, self.relative(index))

  def relative(self, index: int) -> str:
    """Return the path of file `index` from the root."""
    return os.fsdecode(self.paths[self.ends[index] : self.ends[index + 1]])


def file_source(
  root: str,
  paths: Iterable[str],
  labels: Sequence[int] | np.ndarray,
  class_names: Sequence[str],
) -> FileSource:
  """Make a source of files.

  Args:
    root: Folder that the paths start from.
    paths: N relative paths.
    labels: `[N]` integers in 0..K-1.
    class_names: The K names.
  """
  encoded = [os.fsencode(path) for path in paths]
  ends = np.zeros(len(encoded) + 1, np.int64)
  np.cumsum([len(path) for path in encoded], out=ends[1:])
  return FileSource(
    os.path.abspath(root),
    b"".join(encoded),
    ends,
    np.asarray(labels, np.int32),
    tuple(class_names),
  )
