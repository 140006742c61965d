# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Writers of a run's rows of metrics: file, TensorBoard, several of them.

A writer is anything with ``write(row)`` and ``close()``. A row is a flat
dictionary of numbers with a ``kind`` (see README.md in this folder)::

    writer = Multi([
        Jsonl(workdir / "metrics.jsonl"),
        TensorBoard(workdir / "tensorboard", restored_step=step),
        console.Console(total_steps, initial_step=step),
    ])
    writer.write({"kind": "train", "step": 120, "epoch": 1.2, "loss": 0.4})
    writer.close()
"""

from collections.abc import Mapping, Sequence
import contextlib
import io
import json
import logging
import math
import os
from pathlib import Path
import shutil
import socket
import struct
import time
from typing import Any, Protocol

import numpy as np

from etf_jax.errors import InputError
from etf_jax.runs import files, metrics_rows

_log = logging.getLogger(__name__)

Row = Mapping[str, Any]


class Writer(Protocol):
  """Receives the rows of one run, in the order of their steps."""

  def write(self, row: Row) -> None:
    """Record one row."""

  def close(self) -> None:
    """Flush and release everything; a second call does nothing."""


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
  found, torn = metrics_rows.parse(lines, path)
  kept = [
    line
    for line, row in zip(lines, found, strict=False)
    if row and row["kind"] != "final" and row["step"] <= step
  ]
  dropped = sum(row is not None for row in found) + torn - len(kept)
  with files.replacing(path) as file:
    file.writelines(line + b"\n" for line in kept)
  return dropped


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


def append_all(file: io.FileIO, data: bytes, path: Path) -> None:
  """Append bytes to a file without a buffer, so that a failure is met here.

  Raises:
    InputError: the disk is full, or fails otherwise.
  """
  view = memoryview(data)
  try:
    while view:
      view = view[file.write(view) :]
  except OSError as error:
    raise cannot_append(path, error) from error


def cannot_append(path: Path, error: OSError) -> InputError:
  """Create the error for a file of a run that cannot be written."""
  return InputError(
    f"cannot write {path}: {error.strerror}; make room, or mend the disk: the"
    " same command continues from the last checkpoint"
  )


class Jsonl:
  """Append one JSON object per line, without a buffer.

  NaN and infinities are written as ``null``, so that every line is JSON to
  every reader; NumPy and JAX scalars and arrays become numbers and lists.
  """

  def __init__(self, path: str | os.PathLike):
    """Open a local file, which `truncate_after` has freed of a torn line."""
    path = _local(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    self._path, self._file = path, path.open("ab+", buffering=0)
    if self._file.seek(0, os.SEEK_END):
      self._file.seek(-1, os.SEEK_END)
      if self._file.read(1) != b"\n":
        self._file.close()
        raise ValueError(f"{path} ends in a torn line: call truncate_after")
    files.sync_folder(path.parent)

  def write(self, row: Row) -> None:
    """Append one row."""
    line = json.dumps(_plain(row), allow_nan=False, separators=(",", ":"))
    append_all(self._file, line.encode() + b"\n", self._path)

  def sync(self) -> None:
    """Return when the rows are on the disk, in the file of this name."""
    try:
      if not self._is_in_place():
        self._put_back()
      os.fsync(self._file.fileno())
    except OSError as error:
      raise cannot_append(self._path, error) from error

  def _is_in_place(self) -> bool:
    with contextlib.suppress(FileNotFoundError):
      return os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())
    return False

  def _put_back(self) -> None:
    """Write the rows of a file again that somebody removed or replaced."""
    _log.warning(
      f"warning: {self._path} was removed or replaced while the run wrote to"
      " it; its rows are put back"
    )
    self._file.seek(0)
    with files.replacing(self._path) as file:
      shutil.copyfileobj(self._file, file)
    self._file.close()
    self._file = self._path.open("ab+", buffering=0)

  def close(self) -> None:
    """Close the file."""
    self._file.close()


class TensorBoard:
  """Write TensorBoard files, without TensorFlow.

  Numbers become scalars named ``train/loss``, ``test/accuracy`` and so on. The
  event file is written by the thread that calls, whom a full disk stops.
  tensorboardX's own writer hands events to a thread, and waits for ever when
  that thread has died.
  """

  def __init__(
    self, directory: str | os.PathLike, *, restored_step: int | None = None
  ):
    """Open a new event file.

    Args:
      directory: of the event files.
      restored_step: step that a run resumes from; TensorBoard then hides what
        the interrupted run wrote after it.
    """
    # Two seconds of imports that a run without TensorBoard need not wait for.
    from tensorboardX import record_writer, summary
    from tensorboardX.proto import event_pb2

    self._checksum, self._scalar = record_writer.masked_crc32c, summary.scalar
    self._event = event_pb2.Event
    directory = _local(directory)
    directory.mkdir(parents=True, exist_ok=True)
    name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}"
    self._path = directory / name
    self._file = self._path.open("xb", buffering=0)
    self._append(file_version="brain.Event:2")
    if restored_step is not None:
      start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
      self._append(session_log=start, step=restored_step + 1)

  def _append(self, **fields) -> None:
    event = self._event(wall_time=time.time(), **fields)
    data = event.SerializeToString()
    size = struct.pack("<Q", len(data))
    sums = [struct.pack("<I", self._checksum(part)) for part in (size, data)]
    record = size + sums[0] + data + sums[1]
    append_all(self._file, record, self._path)

  def write(self, row: Row) -> None:
    """Write the numbers of a row; a final row has none of its own."""
    if row["kind"] == "final":
      return
    section = row.get("split", row["kind"])
    if row["kind"] == "collapse":
      section = f"collapse_{section}"
    scalars = {key: _plain(value) for key, value in row.items()}
    values = [
      self._scalar(f"{section}/{key}", value).value[0]
      for key, value in scalars.items()
      if key != "step" and isinstance(value, (int, float))
    ]
    summary = type(self._event().summary)(value=values)
    self._append(summary=summary, step=int(row["step"]))

  def close(self) -> None:
    """Close the file."""
    self._file.close()


class Multi:
  """Give every row to every writer; all are closed even if one fails."""

  def __init__(self, writers: Sequence[Writer]):
    self._writers = tuple(writers)

  def write(self, row: Row) -> None:
    """Give a row to each."""
    for writer in self._writers:
      writer.write(row)

  def sync(self) -> None:
    """Return when the rows of `Jsonl` are on the disk."""
    for writer in self._writers:
      if isinstance(writer, Jsonl):
        writer.sync()

  def close(self) -> None:
    """Close all."""
    with contextlib.ExitStack() as stack:
      for writer in self._writers:
        stack.callback(writer.close)
