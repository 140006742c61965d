# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Classified photographs as rows: a row for every file, as it comes.

options = Options(top=3)
for row in predict(trained, paths, options):
  print(row["image"], row["class"], row["error"])
write(trained, paths, options, Path("found.csv"))
"""

from collections.abc import Callable, Iterator, Sequence
import concurrent.futures
import contextlib
import csv
import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from etf_jax.data import decode
from etf_jax.data.sources import features
from etf_jax.errors import InputError
from etf_jax.reporting import tables
from etf_jax.runs import console, files
from etf_jax.serving.trained import Prediction, Trained

FORMATS = (".csv", ".json")
NOT_CALIBRATED = "probability (not calibrated)"
# Batches that are decoded while one is classified.
_AHEAD = 2
# Path, decoded image or None, and its size or the reason why there is none.
Decoded = tuple[str, np.ndarray | None, Any]
_Write = Callable[[dict[str, Any]], None]


@dataclasses.dataclass(frozen=True)
class Options:
  """Choices of a prediction.

  Attributes:
    top: classes in a row, the most probable first.
    batch_size: images in a batch.
    corrupt: "skip" for a row with the reason for a file that cannot be read,
      or "error" to stop at one.
    abstain_angle: degrees; an image with a larger angle abstains. None: no
      image does.
  """

  top: int = 2
  batch_size: int = 64
  corrupt: str = "skip"
  abstain_angle: float | None = None

  def check(self, num_classes: int) -> None:
    """Refuse values that mean nothing for a model of so many classes.

    Raises:
      InputError: by the flag of the command.
    """
    if self.batch_size < 1:
      raise InputError(
        f"--batch_size={self.batch_size}: must be at least 1; name more"
      )
    if not 1 <= self.top <= num_classes:
      raise InputError(
        f"--top={self.top}: must lie in 1 to {num_classes}, the classes of the"
        " model; choose such a number"
      )
    angle = self.abstain_angle
    if angle is not None and not 0 <= angle <= 180:
      raise InputError(
        f"--abstain_angle={angle}: no such angle; must lie in [0, 180] degrees"
      )

  @property
  def columns(self) -> list[str]:
    """The keys of a row, in their order."""
    names = ["image", "class", "probability", "calibrated", "angle"]
    for place in range(2, self.top + 1):
      names += _keys(place)
    if self.abstain_angle is not None:
      names.append("abstained")
    return [*names, "error"]


def predict(
  trained: Trained, paths: Sequence[str], options: Options
) -> Iterator[dict[str, Any]]:
  """Classify the images in files, in their order.

  Args:
    trained: the model.
    paths: image files.
    options: see `Options`.

  Yields:
    A row a file: `image`; `class`, `probability`, and those that follow as
    `runner_up`, `runner_up_probability`, `class_3`, `probability_3`, ...;
    `calibrated`, True if a temperature was fitted; `angle` (degrees); with
    `abstain_angle` `abstained`; and `error`, the reason why the file cannot be
    read, of which all else but `image` is None then.

  Raises:
    InputError: a file cannot be read, and `corrupt` is "error".
  """
  for batch in read_batches(trained.decode, paths, options.batch_size):
    images = [(array, size) for _, array, size in batch if array is not None]
    found, place = None, 0
    if images:
      arrays, sizes = zip(*images, strict=True)
      found = trained(
        np.array(arrays), np.array(sizes) if trained.pixels.has_sizes else None
      )
    for path, array, reason in batch:
      row = dict.fromkeys(options.columns) | {"image": path}
      if array is None and options.corrupt == "error":
        raise InputError(f"{path}: {reason}; remove it, or use --corrupt=skip")
      if array is None or found is None:
        row["error"] = reason
      else:
        row |= _answer(trained, found, place, options)
        place += 1
      yield row


def predict_features(
  trained: Trained, paths: Sequence[str], options: Options
) -> Iterator[dict[str, Any]]:
  """Classify the rows of files of features, in their order.

  Args:
    trained: the model of a run on features.
    paths: files, see `data.sources.features.read`; `x`, or else `test_x`.
    options: see `Options`; `batch_size` and `corrupt` are not used.

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
    names: Any = arrays.get(part.replace("x", "files"))
    try:
      found = trained(arrays[part])
    except ValueError as error:
      raise InputError(f"{path}: {error}; give other rows") from error
    if names is None:
      names = [f"{path}:{row}" for row in range(len(arrays[part]))]
    for place, name in enumerate(names):
      row = dict.fromkeys(options.columns) | {"image": str(name)}
      yield row | _answer(trained, found, place, options)


def _answer(
  trained: Trained, found: Prediction, place: int, options: Options
) -> dict[str, Any]:
  row = describe(trained, found, place, options.top)
  if options.abstain_angle is not None:
    row["abstained"] = row["angle"] > options.abstain_angle
  return row


def describe(
  trained: Trained, found: Prediction, place: int, top: int
) -> dict[str, Any]:
  """Return the part of a row that an image of a prediction gives."""
  probabilities, first = found.probabilities[place], found.classes[place]
  # The winner is that of the logits, however the softmax rounds.
  order = np.argsort(-probabilities, kind="stable")
  classes = [first, *order[order != first]][:top]
  row: dict[str, Any] = {
    "calibrated": trained.calibrated,
    "angle": float(np.degrees(found.angles[place])),
  }
  for number, index in enumerate(classes, 1):
    name, probability = _keys(number)
    row[name] = trained.class_names[index]
    row[probability] = float(probabilities[index])
  return row


def write(
  trained: Trained,
  paths: Sequence[str],
  options: Options,
  output: Path | None,
) -> list[str]:
  """Classify files and write each row as it comes, with a bar.

  Args:
    trained: the model.
    paths: image files.
    options: see `Options`.
    output: a .csv or a .json, which appears when all rows are in it; None: a
      table on standard output.

  Returns:
    The files that cannot be read.

  Raises:
    InputError: see `predict`; or `output` cannot be written.
  """
  unread = []
  try:
    with contextlib.ExitStack() as stack:
      put = _writer(stack, trained, paths, options, output)
      progress = stack.enter_context(console.Progress("predict", len(paths)))
      answers = predict_features if trained.pixels.features else predict
      for row in answers(trained, paths, options):
        put(row)
        if row["error"] is not None:
          unread.append(row["image"])
        if output is not None:  # Rows on a terminal are their own progress.
          progress.update(1)
  except OSError as error:
    if output is None:
      raise
    raise InputError(
      f"--output={output}: cannot be written, {error.strerror}; make room, or"
      " give another path"
    ) from error
  return unread


def _writer(
  stack: contextlib.ExitStack,
  trained: Trained,
  paths: Sequence[str],
  options: Options,
  output: Path | None,
) -> _Write:
  if output is None:
    return _terminal(trained, paths, options)
  text = io.TextIOWrapper(
    stack.enter_context(files.replacing(output)),
    encoding="utf-8",
    errors="surrogateescape",  # names of files are bytes
    newline="",
  )
  if output.suffix == ".csv":
    writer = csv.DictWriter(text, options.columns, lineterminator="\n")
    writer.writeheader()
    stack.callback(text.detach)
    return writer.writerow

  separator = "[\n"

  def put(row: dict[str, Any]) -> None:
    nonlocal separator
    text.write(separator + json.dumps(row, indent=1))
    separator = ",\n"

  def close() -> None:
    text.write("\n]\n")
    text.detach()

  stack.callback(close)
  return put


def _terminal(
  trained: Trained, paths: Sequence[str], options: Options
) -> _Write:
  """Print aligned rows; the widths are known before the first image is."""
  image, name = (max(map(len, names)) for names in (paths, trained.class_names))
  chance = "probability" if trained.calibrated else NOT_CALIBRATED
  cells = ["image", "class", chance, "angle", "runner-up"]
  cells += [f"{place}." for place in range(3, options.top + 1)]
  widths = [image, name, len(chance), len("180.0 deg"), *[name + 9] * 99]

  def line(parts: Sequence[str]) -> str:
    padded = (
      # Names of files may hold what would steer a terminal.
      "".join(c if c.isprintable() else "?" for c in part).ljust(width)
      for part, width in zip(parts, widths, strict=False)
    )
    return "  ".join(padded).rstrip()

  def put(row: dict[str, Any]) -> None:
    if row["error"] is not None:
      print(line([row["image"], f"not read: {row['error']}"]), flush=True)
      return
    parts = [
      row["image"],
      row["class"],
      f"{tables.percent(row['probability'])} %",
      f"{row['angle']:.1f} deg",
    ]
    for place in range(2, options.top + 1):
      other, probability = map(row.get, _keys(place))
      parts.append(f"{other} {tables.percent(probability)} %")
    parts.append("abstained" if row.get("abstained") else "")
    print(line(parts), flush=True)

  print(line(cells[: 3 + options.top]), flush=True)
  return put


def _keys(place: int) -> tuple[str, str]:
  """Return the keys of the class and the probability of a place from 1."""
  if place == 1:
    return "class", "probability"
  if place == 2:
    return "runner_up", "runner_up_probability"
  return f"class_{place}", f"probability_{place}"


def read_batches(
  decode_file: Callable[[bytes], tuple[np.ndarray, Any]],
  paths: Sequence[str],
  batch_size: int,
) -> Iterator[list[Decoded]]:
  """Yield batches of images in files, decoded by threads some batches ahead.

  Args:
    decode_file: content of a file to an image and the size of it; raises
      `decode.CorruptImage`.
    paths: files.
    batch_size: images in a batch.
  """

  def read(path: str) -> Decoded:
    try:
      return path, *decode_file(Path(path).read_bytes())
    except OSError as error:
      return path, None, error.strerror or type(error).__name__
    except decode.CorruptImage as error:
      return path, None, str(error)

  with concurrent.futures.ThreadPoolExecutor(decode.cpu_threads()) as pool:
    pending: list[list[concurrent.futures.Future[Decoded]]] = []
    for start in range(0, len(paths), batch_size):
      part = paths[start : start + batch_size]
      pending.append([pool.submit(read, path) for path in part])
      if len(pending) > _AHEAD:
        yield [future.result() for future in pending.pop(0)]
    for futures in pending:
      yield [future.result() for future in futures]
