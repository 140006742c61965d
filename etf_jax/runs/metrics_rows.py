# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Rows of metrics.jsonl: read from lines, and checked against their fields.

rows = metrics_rows.read(workdir / "metrics.jsonl", num_classes=10)
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from etf_jax.errors import InputError
from etf_jax.runs import files

# Without these a row cannot be shown; everything else may be missing.
_REQUIRED = {
  "train": ("epoch",),
  "eval": ("epoch", "split", "accuracy", "per_class_accuracy"),
  "final": ("last", "best", "best_selected_on"),
  "collapse": ("epoch", "split"),
}
# Fields that are no numbers: texts, rows, numbers by class (of matrices a list
# a class), and other lists of numbers.
_TEXTS = ("kind", "split", "limited_by", "best_metric", "best_selected_on")
_ROWS = ("last", "best", "sample_mean")
_BY_CLASS = (
  *("per_class_accuracy", "classifier_norms", "classifier_nearest"),
  *("feature_nearest", "classifier_pull", "classifier_push"),
)
_BY_PAIR = ("confusion", "classifier_cosines", "feature_cosines")
_LISTS = ("absent_classes", "tau_accuracies")


def read(path: Path, num_classes: int | None = None) -> list[dict[str, Any]]:
  """Read a metrics file; a torn last line is left out, and so is a lost file.

  Args:
    path: metrics.jsonl.
    num_classes: K, to check what is to be shown, see `check`; None: do not.

  Raises:
    InputError: it cannot be read, or holds other than rows.
  """
  try:
    lines = files.read_bytes(path).splitlines()
  except FileNotFoundError:
    # A run writes its configuration first: it has only just begun.
    return []
  except (OSError, ValueError) as error:
    raise InputError(f"cannot read {path}: {error}; copy it again") from error
  rows, _ = parse(lines, path)
  for number, row in enumerate(rows, 1):
    if row is not None and num_classes is not None:
      check(row, num_classes, f"{path}, line {number}")
  return [row for row in rows if row]


def parse(
  lines: Sequence[bytes], path: Path
) -> tuple[list[dict[str, Any] | None], bool]:
  """Read metrics lines; the last one may be torn, no other may.

  Args:
    lines: the file's lines, without their ends.
    path: named in errors.

  Returns:
    One row per line (None for an empty line), and whether a torn last line
    was left out.
  """
  rows: list[dict[str, Any] | None] = []
  for number, line in enumerate(lines, 1):
    if not line.strip():
      rows.append(None)
      continue
    row = _parse(line)
    if row is None:
      if number == len(lines):
        return rows, True
      raise InputError(
        f"cannot read {path}, line {number}: not a row of metrics (a JSON"
        " object with kind and step); remove that line"
      )
    rows.append(row)
  return rows, False


def _parse(line: bytes) -> dict[str, Any] | None:
  try:
    row = files.parse_json(line)
  except ValueError:
    return None
  # Everything that reads a row relies on these two.
  valid = isinstance(row, dict) and isinstance(row.get("kind"), str)
  return row if valid and isinstance(row.get("step"), int) else None


def check(row: Mapping[str, Any], num_classes: int, where: str) -> None:
  """Check that a row has what its kind needs, and of the right types.

  Args:
    row: see `parse`.
    num_classes: K.
    where: what errors call it.

  Raises:
    InputError: it has not.
  """
  kind = row.get("kind")
  lacking = [k for k in _REQUIRED.get(str(kind), ()) if row.get(k) is None]
  if lacking:
    raise InputError(
      f"cannot read {where}: {kind} row without {', '.join(lacking)}; copy the"
      " file again"
    )
  wrong = next((k for k, v in row.items() if not _fits(k, v, num_classes)), "")
  if wrong:
    raise InputError(
      f"cannot read {where}: {kind} row with another {wrong} than a run of"
      f" {num_classes} classes writes; copy the file again"
    )
  for part in ("last", "best") if kind == "final" else ():
    if row[part].get("kind") != "eval":
      raise InputError(f"cannot read {where}, {part}: no eval row; copy again")
    check(row[part], num_classes, f"{where}, {part}")


def _fits(key: str, value: Any, num_classes: int) -> bool:
  """Return True if a field has the type that its name says; None is any."""
  if value is None:
    return True
  if key in _TEXTS:
    return isinstance(value, str)
  if key in _ROWS:
    return isinstance(value, dict) and (
      key != "sample_mean" or all(map(_is_number, value.values()))
    )
  if key == "absent_classes":
    return isinstance(value, list) and all(
      isinstance(k, int) and 0 <= k < num_classes for k in value
    )
  if key in _BY_PAIR:
    kind = int if key == "confusion" else (int, float, type(None))
    return _is_list(value, num_classes) and all(
      _is_list(part, num_classes) and all(isinstance(x, kind) for x in part)
      for part in value
    )
  if key in (*_BY_CLASS, *_LISTS):
    length = num_classes if key in _BY_CLASS else None
    return _is_list(value, length) and all(map(_is_number, value))
  return _is_number(value)


def _is_list(value: Any, length: int | None) -> bool:
  return isinstance(value, list) and length in (None, len(value))


def _is_number(value: Any) -> bool:
  return value is None or isinstance(value, (int, float))
