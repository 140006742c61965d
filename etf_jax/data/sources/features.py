# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Feature vectors in files: .npz, .npy with labels in .csv, or .parquet.

splits = open_files("features.npz", test_fraction=0.2, seed=0)
splits["train"].labels, splits["train"].read(0)

A file has all rows (`x`, `y`), of which a share is held back to test on, or
both splits (`train_x`, `train_y`, `test_x`, `test_y`). A folder has `train` and
`test` with one of the suffixes. Nothing is unpickled.
"""

from collections.abc import Mapping
import csv
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from etf_jax.data.sources import unsplit
from etf_jax.errors import InputError

SUFFIXES = (".npz", ".npy", ".parquet")
_LABEL_COLUMNS = ("y", "label", "class")
_CHUNK = 2**14


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureSource:
  """Rows of features as a `sources.Source`.

  Attributes:
    features: floats `[N, d]`; they may lie in a memory-mapped file.
    labels: int32 `[N]`, in 0..K-1.
    class_names: The K names.
    file: Name of the file, for messages.
  """

  features: np.ndarray
  labels: np.ndarray
  class_names: tuple[str, ...]
  file: str

  def read(self, index: int) -> bytes:
    """Return the bytes of a row, float32."""
    return self.features[index].astype(np.float32).tobytes()

  def describe(self, index: int) -> str:
    """Name a row in messages."""
    return f"row {index} of {self.file}"


def open_files(
  place: str | None, *, test_fraction: float, seed: int
) -> dict[str, FeatureSource]:
  """Open the splits `train` and `test` of a file or folder of features.

  Args:
    place: The file or folder.
    test_fraction: Share of each class to test on, in (0, 1), where a file has
      no test rows.
    seed: Seed of that choice.

  Raises:
    InputError: They are missing, or no finite numbers of one width, or lack
      labels of two classes.
  """
  if place is None:
    raise InputError(
      "config.data.dir=None: no features; set it to a .npz, .npy or .parquet"
    )
  path = Path(place)
  if path.is_dir():
    parts: dict[str, Any] = {}
    for split in ("train", "test"):
      found = [path / f"{split}{end}" for end in SUFFIXES]
      found = [file for file in found if file.exists()]
      if len(found) != 1:
        raise _error(path, f"holds {len(found)} files {split}.npz, .npy or"
                     " .parquet", "give one")  # fmt: skip
      parts |= {f"{split}_{k}": v for k, v in read(found[0]).items()}
  else:
    parts = read(path)
  if "train_x" not in parts:
    parts = _hold_back(path, parts, test_fraction, seed)
  missing = {"train_x", "train_y", "test_x", "test_y"} - set(parts)
  if missing:
    raise _error(path, f"has no {min(missing)}", "give x and y, or train_x,"
                 " train_y, test_x and test_y")  # fmt: skip
  names = sorted({str(y) for y in parts["train_y"].tolist()}, key=_order)
  if len(names) < 2:
    raise _error(path, f"all labels are {names}", "give two classes or more")
  widths = {parts[f"{split}_x"].shape[1] for split in ("train", "test")}
  if len(widths) > 1:
    raise _error(path, f"rows of {sorted(widths)} features", "give one width")
  return {
    split: _source(path, parts[f"{split}_x"], parts[f"{split}_y"], names)
    for split in ("train", "test")
  }


def read(path: Path) -> dict[str, np.ndarray]:
  """Read the arrays of one file; .npy is mapped into memory.

  Raises:
    InputError: It cannot be read.
  """
  try:
    match path.suffix:
      case ".npz":
        with (
          path.open("rb") as opened,
          np.load(opened, allow_pickle=False) as file,
        ):
          found = {name: file[name] for name in file.files}
      case ".npy":
        found = {"x": np.load(path, mmap_mode="r", allow_pickle=False)}
        if path.with_suffix(".csv").exists():
          found["y"] = _csv_labels(path.with_suffix(".csv"))
      case ".parquet":
        found = _parquet(path)
      case _:
        raise _error(path, "is no .npz, .npy or .parquet", "give one")
  except InputError:
    raise
  # A damaged header can raise anything: it is Python text and a zip's.
  except Exception as error:
    reason = " ".join(str(error).split())
    raise _error(
      path, f"cannot be read ({reason})", "write it again"
    ) from error
  for name, array in found.items():
    if name.split("_")[-1] == "x" and (
      array.ndim != 2 or not np.issubdtype(array.dtype, np.floating)
    ):
      raise _error(path, f"{name} is {array.dtype} of shape {array.shape}",
                   "give floats [rows, features]")  # fmt: skip
  return found


def statistics(source: Any, indices: np.ndarray) -> tuple[np.ndarray, ...]:
  """Return the mean and deviation of each feature over some rows, float64."""
  total: Any = 0.0
  squares: Any = 0.0
  for start in range(0, len(indices), _CHUNK):
    rows = np.asarray(source.features[indices[start : start + _CHUNK]], float)
    total, squares = total + rows.sum(axis=0), squares + (rows**2).sum(axis=0)
  mean = total / len(indices)
  return mean, np.sqrt(np.maximum(squares / len(indices) - mean**2, 0))


def _source(path, features, labels, names) -> FeatureSource:
  if len(features) != len(labels):
    raise _error(path, f"{len(features)} rows and {len(labels)} labels",
                 "give a label for each row")  # fmt: skip
  for start in range(0, len(features), _CHUNK):
    finite = np.isfinite(features[start : start + _CHUNK]).all(axis=1)
    if not finite.all():
      row = start + int(np.argmin(finite))
      raise _error(path, f"row {row} has NaN or infinity", "remove it")
  numbers = {name: number for number, name in enumerate(names)}
  unknown = {str(y) for y in labels.tolist()} - set(numbers)
  if unknown:
    raise _error(path, f"class {min(unknown)!r} has no training rows",
                 "add some, or remove it")  # fmt: skip
  found = np.array([numbers[str(y)] for y in labels.tolist()], np.int32)
  return FeatureSource(features, found, tuple(names), str(path))


def _hold_back(path, parts: Mapping[str, np.ndarray], fraction, seed):
  """Split `x` and `y` into training and test rows, by class."""
  if {"x", "y"} - set(parts):
    raise _error(path, f"holds {', '.join(sorted(parts)) or 'nothing'}",
                 "give x and y, or a .csv of labels beside .npy")  # fmt: skip
  x, y = parts["x"], parts["y"]
  if len(x) != len(y):
    raise _error(path, f"{len(x)} rows and {len(y)} labels",
                 "give a label for each row")  # fmt: skip
  test = np.zeros(len(y), bool)
  for label in np.unique(y):
    rows = [str(row) for row in np.flatnonzero(y == label)]
    chosen = unsplit.held_back(rows, fraction=fraction, seed=seed)
    test[[int(row) for row in chosen]] = True
  found = {"train_x": x[~test], "train_y": y[~test]}
  return found | {"test_x": x[test], "test_y": y[test]}


def _csv_labels(path: Path) -> np.ndarray:
  with path.open(newline="") as file:
    rows = list(csv.reader(file))
  header = [name.strip().lower() for name in rows[0]] if rows else []
  column = next((header.index(n) for n in _LABEL_COLUMNS if n in header), None)
  if column is None:
    raise _error(path, f"has no column {' or '.join(_LABEL_COLUMNS)}",
                 "name the column of labels")  # fmt: skip
  return np.array([row[column] for row in rows[1:]])


def _parquet(path: Path) -> dict[str, np.ndarray]:
  """Read a column of labels, and a column `x` of lists or all other columns."""
  try:
    from pyarrow import parquet
  except ImportError as error:
    raise _error(path, "needs pyarrow", "pip install 'etf_jax[features]'"
                 ) from error  # fmt: skip
  table = parquet.read_table(path)
  label = next((n for n in _LABEL_COLUMNS if n in table.column_names), None)
  if label is None:
    raise _error(path, f"has no column {' or '.join(_LABEL_COLUMNS)}",
                 "name the column of labels")  # fmt: skip
  if "x" in table.column_names:
    rows = table["x"].to_pylist()
    if len({len(row) for row in rows}) > 1:
      raise _error(path, "rows of different lengths in x", "give one width")
    features = np.array(rows, np.float32)
  else:
    columns = [n for n in table.column_names if n != label]
    features = np.stack([table[n].to_numpy() for n in columns], axis=1)
    features = features.astype(np.float32)
  return {"x": features, "y": np.array(table[label].to_pylist())}


def _order(name: str) -> tuple[int, str]:
  """Sort numbers by their value, before words."""
  return (int(name), "") if name.isdecimal() else (2**62, name)


def _error(path, wrong: str, remedy: str) -> InputError:
  return InputError(f"config.data.dir={path}: {wrong}; {remedy}")
