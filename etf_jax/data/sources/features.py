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

from etf_jax.data.sources import list_formats, unsplit
from etf_jax.errors import InputError

SUFFIXES = (".npz", ".npy", ".parquet")
_LABEL_COLUMNS = ("y", "label", "class")
_NO_LABELS = (
  "has no labels",
  "give y in .npz, a column y, label or class in .parquet, or in a .csv beside"
  " .npy",
)
_CHUNK = 2**14


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureSource:
  """Rows of features as a `sources.Source`.

  Attributes:
    features: numbers `[N, d]`; they may lie in a memory-mapped file.
    labels: int32 `[N]`, in 0..K-1.
    class_names: The K names.
    file: Name of the file, for messages.
  """

  features: np.ndarray
  labels: np.ndarray
  class_names: tuple[str, ...]
  file: str

  @property
  def dtype(self) -> type:
    """Return the type in which rows are read."""
    return np.float16 if self.features.dtype == np.float16 else np.float32

  def read(self, index: int) -> bytes:
    """Return the bytes of a row."""
    return self.features[index].astype(self.dtype).tobytes()

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
  try:
    return _open(Path(place), test_fraction, seed)
  except InputError as error:
    raise InputError(f"config.data.dir={error}") from error


def _open(path: Path, test_fraction: float, seed: int):
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
  for split in ("train", "test"):
    if f"{split}_x" not in parts:
      raise _error(path, f"has no {split}_x", "give x and y, or train_x,"
                   " train_y, test_x and test_y")  # fmt: skip
    _check_labels(path, parts, f"{split}_x", f"{split}_y")
  names = sorted({str(y) for y in parts["train_y"].tolist()}, key=_order)
  if len(names) < 2:
    raise _error(path, f"all labels are {names[0]!r}", "give two classes or"
                 " more")  # fmt: skip
  widths = {parts[f"{split}_x"].shape[1] for split in ("train", "test")}
  if len(widths) > 1:
    raise _error(path, f"rows of {sorted(widths)} features", "give one width")
  return {
    split: _source(path, parts[f"{split}_x"], parts[f"{split}_y"], names)
    for split in ("train", "test")
  }


def read(path: Path) -> dict[str, np.ndarray]:
  """Read the arrays of one file; .npy is mapped into memory.

  Returns:
    Arrays by name: `x` finite numbers `[N, d]`, `y` labels, `files` names of
    the rows; or those of splits. Labels may be absent.

  Raises:
    InputError: It cannot be read, or holds something else.
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
  except FileNotFoundError as error:
    raise _error(path, "there is no such file", "correct the path") from error
  # A damaged header can raise anything: it is Python text and a zip's.
  except Exception as error:
    reason = " ".join(str(error).split())
    raise _error(
      path, f"cannot be read ({reason})", "write it again"
    ) from error
  for name, array in found.items():
    match name.split("_")[-1]:
      case "x":
        _check_rows(path, name, array)
      case "y":
        found[name] = _labels(path, name, array)
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
  numbers = {name: number for number, name in enumerate(names)}
  unknown = {str(y) for y in labels.tolist()} - set(numbers)
  if unknown:
    raise _error(path, f"class {min(unknown)!r} has no training rows",
                 "add some, or remove it")  # fmt: skip
  found = np.array([numbers[str(y)] for y in labels.tolist()], np.int32)
  return FeatureSource(features, found, tuple(names), str(path))


def _check_rows(path, name: str, array: Any) -> None:
  """Refuse what is no finite numbers `[rows, features]` in float32's range."""
  kind: Any = getattr(array, "dtype", type(array).__name__)
  shape = getattr(array, "shape", ())
  if len(shape) != 2 or 0 in shape or kind.kind not in "fiub":
    raise _error(path, f"{name} is {kind} of shape {shape}",
                 "give numbers [rows, features]")  # fmt: skip
  for start in range(0, len(array), _CHUNK):
    with np.errstate(over="ignore"):
      part = array[start : start + _CHUNK].astype(np.float32, copy=False)
    finite = np.isfinite(part).all(axis=1)
    if not finite.all():
      row = start + int(np.argmin(finite))
      raise _error(path, f"row {row} of {name} has NaN, infinity or a number"
                   " beyond float32's", "mend or remove it")  # fmt: skip


def _labels(path, name: str, array: Any) -> np.ndarray:
  """Return `[N]` whole numbers, booleans or names."""
  kind: Any = getattr(array, "dtype", type(array).__name__)
  shape = getattr(array, "shape", ())
  if len(shape) != 1 or kind.kind not in "fiubUS":
    raise _error(path, f"{name} is {kind} of shape {shape}",
                 "give a number or a name for each row")  # fmt: skip
  if kind.kind == "S":
    array = np.char.decode(array, "utf-8", "replace")
  absent = array == "" if array.dtype.kind == "U" else np.isnan(array)
  if absent.any():
    raise _error(path, f"row {int(np.argmax(absent))} of {name} has no label",
                 "give one, or remove the row")  # fmt: skip
  if kind.kind == "f":
    if np.any(array != np.round(array)):
      raise _error(path, f"{name} has fractions", "give classes as whole"
                   " numbers or names")  # fmt: skip
    array = array.astype(np.int64)
  return array


def _check_labels(path, parts: Mapping[str, np.ndarray], x: str, y: str):
  if y not in parts:
    raise _error(path, *_NO_LABELS)
  if len(parts[x]) != len(parts[y]):
    raise _error(path, f"{len(parts[x])} rows and {len(parts[y])} labels",
                 "give a label for each row")  # fmt: skip


def _hold_back(path, parts: Mapping[str, np.ndarray], fraction, seed):
  """Split `x` and `y` into training and test rows, by class."""
  if "x" not in parts:
    raise _error(path, f"holds {', '.join(sorted(parts)) or 'nothing'}",
                 "give x and y, or train_x, train_y, test_x and test_y"
                 )  # fmt: skip
  _check_labels(path, parts, "x", "y")
  x, y = parts["x"], parts["y"]
  test = np.zeros(len(y), bool)
  for label in np.unique(y):
    rows = [str(row) for row in np.flatnonzero(y == label)]
    chosen = unsplit.held_back(rows, fraction=fraction, seed=seed)
    test[[int(row) for row in chosen]] = True
  found = {"train_x": x[~test], "train_y": y[~test]}
  return found | {"test_x": x[test], "test_y": y[test]}


def _csv_labels(path: Path) -> np.ndarray:
  lines = list_formats.text_of(str(path), path.read_bytes()).splitlines()
  rows = [row for row in csv.reader(lines) if row]
  header = [name.strip().lower() for name in rows[0]] if rows else []
  column = next((header.index(n) for n in _LABEL_COLUMNS if n in header), None)
  if column is None:
    raise _error(path, f"has no column {' or '.join(_LABEL_COLUMNS)}",
                 "name the column of labels")  # fmt: skip
  # A line that ends before has no label, which is found as an empty one.
  return np.array(
    [row[column] if column < len(row) else "" for row in rows[1:]]
  )


def _parquet(path: Path) -> dict[str, np.ndarray]:
  """Read labels, names, and a column `x` of lists or all other columns."""
  try:
    import pyarrow
    from pyarrow import parquet
  except ImportError as error:
    raise _error(path, "needs pyarrow", "pip install 'etf_jax[features]'"
                 ) from error  # fmt: skip
  table = parquet.read_table(path)
  names = table.column_names
  label = next((name for name in _LABEL_COLUMNS if name in names), None)
  found = {
    key: np.array(["" if v is None else v for v in table[name].to_pylist()])
    for key, name in (("y", label), ("files", "files"))
    if name in names
  }
  if "x" in names:
    return found | {"x": _lists(path, table["x"])}
  columns = [name for name in names if name not in (label, "files")]
  for name in columns or ["x"]:
    kind = table[name].type if columns else "absent"
    if not columns or not (
      pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind)
    ):
      raise _error(path, f"column {name} is {kind}", "give columns of numbers,"
                   " or a column x of lists")  # fmt: skip
  arrays = [table[name].to_numpy() for name in columns]
  return found | {"x": np.stack(arrays, axis=1).astype(np.float32)}


def _lists(path: Path, column: Any) -> np.ndarray:
  """Return a column of lists as an array `[rows, features]`."""
  from pyarrow import compute

  if "list<" not in str(column.type) and "list[" not in str(column.type):
    raise _error(path, f"x is {column.type}", "give lists of numbers")
  lengths = compute.list_value_length(column).to_numpy()
  other = np.flatnonzero(lengths != lengths[:1])
  if other.size:
    raise _error(path, f"rows of different lengths in x, as row {other[0]}",
                 "give one width")  # fmt: skip
  values = compute.list_flatten(column).to_numpy()
  if values.dtype.kind not in "fiu":
    raise _error(path, f"x is {column.type}", "give lists of numbers")
  kind = np.float16 if values.dtype == np.float16 else np.float32
  return values.astype(kind, copy=False).reshape(len(column), -1)


def _order(name: str) -> tuple[int, str]:
  """Sort numbers by their value, before words."""
  number = name.removeprefix("-").isdecimal()
  return (int(name), "") if number else (2**62, name)


def _error(path, wrong: str, remedy: str) -> InputError:
  return InputError(f"{path}: {wrong}; {remedy}")
