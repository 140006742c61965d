# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Classified photographs as rows, and rows as text, CSV and JSON.

rows = list(predict(trained, ["photograph.jpg"]))
print(text(rows))
"""

from collections.abc import Iterator, Sequence
import concurrent.futures
import csv
import io
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np

from etf_jax.data import decode
from etf_jax.data.sources import features
from etf_jax.errors import InputError
from etf_jax.reporting import tables
from etf_jax.serving.trained import Prediction, Trained

_log = logging.getLogger(__name__)
# Batches that are decoded while one is classified.
_AHEAD = 2
# Path, decoded image or None, and its size or the reason why there is none.
_Decoded = tuple[str, np.ndarray | None, Any]


def predict(
  trained: Trained,
  paths: Sequence[str],
  *,
  batch_size: int = 64,
  corrupt: str = "error",
  abstain_angle: float | None = None,
) -> Iterator[dict[str, Any]]:
  """Classify the images in files, in their order.

  Args:
    trained: the model.
    paths: image files.
    batch_size: images in a batch.
    corrupt: "error" for an image that cannot be read, or "skip" to name it in
      the log and go on.
    abstain_angle: degrees; an image with a larger angle abstains.

  Yields:
    A row an image: `image`, `class`, `probability`, `angle` (degrees),
    `runner_up`, `runner_up_probability`, and with `abstain_angle` `abstained`.

  Raises:
    InputError: an image cannot be read.
  """
  for batch in _decoded(trained, paths, batch_size):
    images = [part for part in batch if part[1] is not None]
    for path, image, reason in batch:
      if image is None and corrupt == "skip":
        _log.warning("skipped %s: %s", path, reason)
      elif image is None:
        raise InputError(
          f"{path}: {reason}; remove it, or go on without it by --corrupt=skip"
        )
    if not images:
      continue
    names, arrays, sizes = zip(*images, strict=True)
    found = trained(
      np.array(arrays), np.array(sizes) if trained.pixels.has_sizes else None
    )
    yield from _rows(found, names, trained.class_names, abstain_angle)


def predict_features(
  trained: Trained,
  paths: Sequence[str],
  *,
  abstain_angle: float | None = None,
) -> Iterator[dict[str, Any]]:
  """Classify the rows of files of features, in their order.

  Args:
    trained: the model of a run on features.
    paths: files, see `data.sources.features.read`; `x`, or else `test_x`.
    abstain_angle: degrees; a row with a larger angle abstains.

  Yields:
    A row as `predict` has it; `image` is the file's `files`, or FILE:ROW.

  Raises:
    InputError: a file cannot be read, or has rows of another width.
  """
  for path in paths:
    arrays = features.read(Path(path))
    part = "x" if "x" in arrays else "test_x"
    if part not in arrays:
      raise InputError(f"{path}: has no x; give the rows to classify that name")
    names = arrays.get(part.replace("x", "files"))
    try:
      found = trained(arrays[part])
    except ValueError as error:
      raise InputError(f"{path}: {error}; give other rows") from error
    if names is None:
      names = [f"{path}:{row}" for row in range(len(arrays[part]))]
    named = [str(name) for name in names]
    yield from _rows(found, named, trained.class_names, abstain_angle)


def text(rows: Sequence[dict[str, Any]]) -> str:
  """Format rows as a table for a terminal."""
  lines = [
    [
      row["image"],
      row["class"],
      f"{tables.percent(row['probability'])} %",
      f"{row['angle']:.1f} deg",
      row["runner_up"],
      f"{tables.percent(row['runner_up_probability'])} %",
      "abstained" if row.get("abstained") else "",
    ]
    for row in rows
  ]
  header = ["image", "class", "probability", "angle", "runner-up", "", ""]
  return tables.aligned([header, *lines])


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
  """Format rows as CSV with a header."""
  buffer = io.StringIO()
  writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
  writer.writeheader()
  writer.writerows(rows)
  return buffer.getvalue()


def as_json(rows: Sequence[dict[str, Any]]) -> str:
  """Format rows as a JSON list."""
  return json.dumps(rows, indent=1) + "\n"


FORMATS = {".csv": as_csv, ".json": as_json}


def _decoded(
  trained: Trained, paths: Sequence[str], batch_size: int
) -> Iterator[list[_Decoded]]:
  """Yield batches, decoded by threads a few batches ahead."""

  def read(path: str) -> _Decoded:
    try:
      return path, *trained.decode(Path(path).read_bytes())
    except OSError as error:
      return path, None, error.strerror
    except decode.CorruptImage as error:
      return path, None, str(error)

  with concurrent.futures.ThreadPoolExecutor(decode.cpu_threads()) as pool:
    pending: list[list[concurrent.futures.Future[_Decoded]]] = []
    for start in range(0, len(paths), batch_size):
      part = paths[start : start + batch_size]
      pending.append([pool.submit(read, path) for path in part])
      if len(pending) > _AHEAD:
        yield [future.result() for future in pending.pop(0)]
    for futures in pending:
      yield [future.result() for future in futures]


def _rows(found, names, class_names, abstain_angle):
  """Yield a row for each image or row of features of a batch."""
  for place, name in enumerate(names):
    row = {"image": name} | _row(found, class_names, place)
    if abstain_angle is not None:
      row["abstained"] = row["angle"] > abstain_angle
    yield row


def _row(found: Prediction, names: Sequence[str], place: int) -> dict[str, Any]:
  first, second = found.classes[place], found.runners_up[place]
  return {
    "class": names[first],
    "probability": float(found.probabilities[place, first]),
    "angle": float(np.degrees(found.angles[place])),
    "runner_up": names[second],
    "runner_up_probability": float(found.probabilities[place, second]),
  }
