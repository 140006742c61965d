# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Writers of a run's rows of metrics: file, TensorBoard, other trackers.

A writer is anything with ``write(row)`` and ``close()``. A row is a flat
dictionary of numbers with a ``kind`` (see README.md in this folder)::

    writer = multi([
        jsonl(workdir / "metrics.jsonl"),
        tensorboard(workdir / "tensorboard", restored_step=step),
        console.writer(total_steps, initial_step=step),
    ])
    writer.write({"kind": "train", "step": 120, "epoch": 1.2, "loss": 0.4})
    writer.close()
"""

from collections.abc import Callable, Mapping, Sequence
import contextlib
import importlib
import json
import math
import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from etf_jax.errors import InputError, did_you_mean
from etf_jax.runs import files

Row = Mapping[str, Any]


class Writer(Protocol):
  """Receives the rows of one run, in the order of their steps."""

  def write(self, row: Row) -> None:
    """Record one row."""

  def close(self) -> None:
    """Flush and release everything; a second call does nothing."""


def jsonl(path: str | os.PathLike) -> Writer:
  """Append one JSON object per line, flushed line by line.

  NaN and infinities are written as ``null``, so that every line is JSON to
  every reader; NumPy and JAX scalars and arrays become numbers and lists.

  Args:
    path: a local file; its folder is made. When it exists, call
      `truncate_after` first: a run that was killed may have left a torn line.

  Returns:
    The writer.
  """
  return _Jsonl(_local(path))


def truncate_after(path: str | os.PathLike, step: int) -> int:
  """Drop what an interrupted run wrote after the step it resumes from.

  Rows of a later step, every ``final`` row and a torn last line go; the file
  is replaced in one operation, so being killed here loses nothing.

  Args:
    path: the metrics file; it need not exist.
    step: the restored step; its own rows are kept. -1 drops everything.

  Returns:
    How many lines were dropped.
  """
  path = _local(path)
  if not path.exists():
    return 0
  lines = path.read_bytes().splitlines()
  rows, torn = parse_lines(lines, path)
  kept = [
    line
    for line, row in zip(lines, rows, strict=False)
    if row and row["kind"] != "final" and row["step"] <= step
  ]
  dropped = sum(row is not None for row in rows) + torn - len(kept)
  with files.replacing(path) as file:
    file.writelines(line + b"\n" for line in kept)
  return dropped


def parse_lines(
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
    row = json.loads(line)
  except ValueError:
    return None
  # Everything that reads a row relies on these two.
  valid = isinstance(row, dict) and "kind" in row
  return row if valid and isinstance(row.get("step"), int) else None


def tensorboard(
  directory: str | os.PathLike, *, restored_step: int | None = None
) -> Writer:
  """Write TensorBoard files, without TensorFlow.

  Numbers become scalars named ``train/loss``, ``test/accuracy`` and so on.

  Args:
    directory: where the event files go.
    restored_step: when a run resumes, its step; TensorBoard then hides what
      the interrupted run wrote after it.

  Returns:
    The writer.
  """
  return _TensorBoard(_local(directory), restored_step)


def multi(writers: Sequence[Writer]) -> Writer:
  """Give every row to every writer; all are closed even if one fails."""
  return _Multi(writers)


def tracker(
  spec: str, config: Mapping[str, Any], workdir: str | os.PathLike
) -> Writer:
  """Call somebody else's ``function(config, workdir)`` for a writer.

  Args:
    spec: "package.module:function"; the module must be importable (installed,
      or in the current directory with ``python -m``).
    config: the resolved configuration, as plain dictionaries.
    workdir: the run's directory.

  Returns:
    What the function returned.

  Raises:
    InputError: the function cannot be found, or did not return a writer.
  """
  writer = _import_function(spec)(dict(config), str(workdir))
  lacking = [
    method
    for method in ("write", "close")
    if not callable(getattr(writer, method, None))
  ]
  if lacking:
    raise InputError(
      f"tracker {spec!r} returned a {type(writer).__name__} without"
      f" {' and '.join(lacking)}; return an object with write(row) and"
      " close()"
    )
  return writer


def _import_function(spec: str) -> Callable[..., Any]:
  module_name, colon, function_name = spec.partition(":")
  if not (module_name and colon and function_name):
    raise InputError(
      f"tracker {spec!r} is not of the form 'package.module:function'"
    )
  try:
    module = importlib.import_module(module_name)
  except ImportError as error:
    raise InputError(
      f"tracker {spec!r}: cannot import {module_name} ({error}); install it"
      " or start from the directory that holds it"
    ) from error
  function = getattr(module, function_name, None)
  if function is None:
    hint = did_you_mean(function_name, dir(module))
    raise InputError(
      f"tracker {spec!r}: {module_name} has no {function_name!r}{hint}"
    )
  if not callable(function):
    raise InputError(f"tracker {spec!r} is not a function")
  return function


def _local(path: str | os.PathLike) -> Path:
  # Path("gs://bucket/run") would quietly become a local folder named "gs:".
  if "://" in os.fspath(path):
    raise InputError(
      f"cannot write metrics to {os.fspath(path)}: not a local path; mount"
      " the bucket, or give a local one"
    )
  return Path(path)


def _plain(value: Any) -> Any:
  """Turn numbers and arrays of any library into what JSON knows."""
  if isinstance(value, Mapping):
    return {str(key): _plain(entry) for key, entry in value.items()}
  if isinstance(value, (list, tuple)):
    return [_plain(entry) for entry in value]
  if isinstance(value, float):
    return float(value) if math.isfinite(value) else None
  if isinstance(value, (str, int)) or value is None:
    return value
  array = np.asarray(value)
  # bfloat16 and its kin are no floats to NumPy; float64 holds them exactly.
  if array.dtype.kind not in "biufU":
    array = array.astype(np.float64)
  return _plain(array.tolist())


class _Jsonl:
  """See `jsonl`."""

  def __init__(self, path: Path):
    path.parent.mkdir(parents=True, exist_ok=True)
    self._file = path.open("ab+")
    if self._file.tell():
      self._file.seek(-1, os.SEEK_END)
      if self._file.read(1) != b"\n":
        self._file.close()
        raise ValueError(f"{path} ends in a torn line: call truncate_after")

  def write(self, row: Row) -> None:
    line = json.dumps(_plain(row), allow_nan=False, separators=(",", ":"))
    self._file.write(line.encode() + b"\n")
    self._file.flush()

  def close(self) -> None:
    self._file.close()


class _TensorBoard:
  """See `tensorboard`."""

  def __init__(self, directory, restored_step):
    # Two seconds of imports that a run without TensorBoard need not wait for.
    import tensorboardX

    self._writer = tensorboardX.SummaryWriter(
      logdir=str(directory),
      purge_step=None if restored_step is None else restored_step + 1,
    )

  def write(self, row: Row) -> None:
    step = int(row["step"])
    if row["kind"] == "final":
      self._writer.flush()
      return
    section = row.get("split", row["kind"])
    if row["kind"] == "collapse":
      section = f"collapse_{section}"
    for key, value in row.items():
      value = _plain(value)
      if key != "step" and isinstance(value, (int, float)):
        self._writer.add_scalar(f"{section}/{key}", value, step)

  def close(self) -> None:
    self._writer.close()


class _Multi:
  """See `multi`."""

  def __init__(self, writers: Sequence[Writer]):
    self._writers = tuple(writers)

  def write(self, row: Row) -> None:
    for writer in self._writers:
      writer.write(row)

  def close(self) -> None:
    with contextlib.ExitStack() as stack:
      for writer in self._writers:
        stack.callback(writer.close)
