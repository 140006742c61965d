# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""One split of encoded images with random access, and a choice of its images.

subset = choose(source, indices)
subset.labels, subset.read(7), subset.describe(7)
"""

import dataclasses
from typing import Protocol

import numpy as np


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
