# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Tells data sets apart by their images, wherever those lie.

splits = fingerprint.describe({"train": source, "test": source})

See `runs.data_record` for what is described and how it is compared.
"""

from collections.abc import Mapping
import concurrent.futures
import hashlib
import os
from typing import Any

import numpy as np

from etf_jax.data import sources
from etf_jax.data.sources.features import FeatureSource
from etf_jax.data.sources.prepared import Prepared
from etf_jax.data.sources.source import FileSource

# Threads that ask for the sizes of files, which may lie on a slow disk.
_THREADS = 16
# Rows of features that are hashed at once.
_ROWS = 2**14


def describe(
  splits: Mapping[str, sources.Source | None],
) -> dict[str, dict[str, Any]]:
  """Describe the images of splits.

  Args:
    splits: sources by name; None for a split that is absent.
  """
  return {
    name: _describe(source)
    for name, source in splits.items()
    if source is not None
  }


def names(source: sources.Source) -> list[str]:
  """Return the names of the images of a source, which no folder enters."""
  base, indices = _base(source)
  if isinstance(base, FileSource):
    return [base.relative(index) for index in indices]
  return [f"record {index}" for index in indices]


def _base(source) -> tuple[sources.Source, np.ndarray]:
  """Return the source that holds the images, and the index of each in it."""
  indices = np.arange(len(source.labels))
  while isinstance(source, sources.Subset):
    source, indices = source.source, source.indices[indices]
  return source, indices


def _describe(source):
  base, indices = _base(source)
  order = hashlib.sha256(np.asarray(source.labels, np.int64).tobytes())
  if not isinstance(base, FileSource):
    order.update(np.asarray(indices, np.int64).tobytes())
    prepared = isinstance(base, Prepared)
    if isinstance(base, FeatureSource):
      for start in range(0, len(base.features), _ROWS):
        part = np.ascontiguousarray(base.features[start : start + _ROWS])
        order.update(part.tobytes())
    return {
      "prepared": base.version if prepared else type(base).__name__,
      "split": base.split if prepared else "",
      "images": len(indices),
      "order": order.hexdigest()[:16],
    }
  paths = [base.relative(index) for index in indices]
  with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
    sizes = list(
      pool.map(_size, (os.path.join(base.root, path) for path in paths))
    )
  files: dict[str, dict[str, int]] = {name: {} for name in source.class_names}
  for path, label, size in zip(paths, source.labels, sizes, strict=True):
    files[source.class_names[label]][path] = size
    order.update(path.encode(errors="surrogateescape") + b"\0")
  return {"files": files, "order": order.hexdigest()[:16]}


def _size(path: str) -> int:
  """Return the bytes of a file; -1 if it is gone."""
  try:
    return os.stat(path).st_size
  except OSError:
    return -1
