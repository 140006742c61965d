# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Classifies photographs with a trained model.

In use::

    python -m etf_jax.predict --workdir=runs/my_run photograph.jpg
    python -m etf_jax.predict --workdir=runs/my_run FOLDER --output=found.csv

A folder stands for all images below it, in sorted order. Images are decoded and
cropped as in the run: to its channels (grey becomes colour by three equal
channels, colour grey by its luma), and to its size.

A line holds the image; its class and the probability; the angle in degrees
between the image's feature and the nearest classifier vector, of a fixed frame
the prototype of the class; the second class and its probability; and with
--abstain_angle whether the angle is larger, when the model should not be asked.
`evaluate` says what accuracy an angle gives.
"""

import argparse
from collections.abc import Iterator, Sequence
import concurrent.futures
import csv
import io
import json
import logging
from pathlib import Path
import sys
from typing import Any

import numpy as np

from etf_jax.data import decode
from etf_jax.errors import InputError
from etf_jax.runs import commands, files
from etf_jax.serving import image_files, run_directory, table
from etf_jax.serving.trained import Prediction, Trained, load

_log = logging.getLogger(__name__)

# Some batches are decoded while one is classified.
_AHEAD = 2


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
    trained: see `trained.load`.
    paths: of the images.
    batch_size: images at once.
    corrupt: an image that cannot be read is an "error", or named on standard
      error and left out: "skip".
    abstain_angle: degrees, see the head of this module.

  Yields:
    A row an image: `image`, `class`, `probability`, `angle` (degrees),
    `runner_up`, `runner_up_probability`, and with `abstain_angle` `abstained`.

  Raises:
    InputError: an image cannot be read.
  """
  for names, arrays, sizes in _batches(trained, paths, batch_size, corrupt):
    if not names:
      continue
    found = trained(arrays, sizes if trained.pixels.has_sizes else None)
    for place, name in enumerate(names):
      row = {"image": name} | _row(found, trained.class_names, place)
      if abstain_angle is not None:
        row["abstained"] = row["angle"] > abstain_angle
      yield row


@commands.command
def main(argv: Sequence[str] | None = None) -> int:
  """Run the command and return its exit code."""
  options = _parser().parse_args(argv)
  _check(options)
  paths = image_files.find(options.images)
  trained = load(options.workdir, options.step)
  _log.info(trained.description)
  rows = list(
    predict(
      trained,
      paths,
      batch_size=options.batch_size,
      corrupt=options.corrupt,
      abstain_angle=options.abstain_angle,
    )
  )
  if not rows:
    raise InputError(f"none of the {len(paths)} images can be read")
  if options.output is None:
    print(_shown(rows))
  else:
    files.write(options.output, _FORMATS[options.output.suffix](rows))
  return 0


def _check(options):
  if options.batch_size < 1:
    raise InputError(f"--batch_size={options.batch_size} must be at least 1")
  if options.output and options.output.suffix not in _FORMATS:
    raise InputError(
      f"--output={options.output} must end in {' or '.join(_FORMATS)}"
    )
  angle = options.abstain_angle
  if angle is not None and not 0 <= angle <= 180:
    raise InputError(f"--abstain_angle={angle} must lie in [0, 180] degrees")


def _batches(trained, paths, batch_size, corrupt):
  """Name, arrays and sizes; decoded by threads, a few batches ahead."""

  def read(path):
    try:
      return path, *trained.decode(Path(path).read_bytes())
    except OSError as error:
      return path, None, error.strerror
    except decode.CorruptImage as error:
      return path, None, str(error)

  with concurrent.futures.ThreadPoolExecutor(decode.cpu_threads()) as pool:
    pending = []
    for start in range(0, len(paths), batch_size):
      part = paths[start : start + batch_size]
      pending.append([pool.submit(read, path) for path in part])
      if len(pending) > _AHEAD:
        yield _collected(pending.pop(0), corrupt)
    for part in pending:
      yield _collected(part, corrupt)


def _collected(futures, corrupt):
  names, arrays, sizes = [], [], []
  for path, image, size in (future.result() for future in futures):
    if image is not None:
      names.append(path)
      arrays.append(image)
      sizes.append(size)
    elif corrupt == "skip":
      _log.warning(f"skipped {path}: {size}")
    else:
      raise InputError(
        f"{path}: {size}; remove it, or go on without it by --corrupt=skip"
      )
  return names, np.array(arrays), np.array(sizes)


def _row(found: Prediction, names, place):
  first, second = found.classes[place], found.runners_up[place]
  return {
    "class": names[first],
    "probability": float(found.probabilities[place, first]),
    "angle": float(np.degrees(found.angles[place])),
    "runner_up": names[second],
    "runner_up_probability": float(found.probabilities[place, second]),
  }


def _csv(rows):
  text = io.StringIO()
  writer = csv.DictWriter(text, rows[0], lineterminator="\n")
  writer.writeheader()
  writer.writerows(rows)
  return text.getvalue()


def _json(rows):
  return json.dumps(rows, indent=1) + "\n"


_FORMATS = {".csv": _csv, ".json": _json}


def _shown(rows):
  lines = [
    [
      row["image"],
      row["class"],
      f"{100 * row['probability']:.1f} %",
      f"{row['angle']:.1f} deg",
      row["runner_up"],
      f"{100 * row['runner_up_probability']:.1f} %",
      "abstained" if row.get("abstained") else "",
    ]
    for row in rows
  ]
  heading = ["image", "class", "probability", "angle", "runner-up", "", ""]
  return table.aligned([heading, *lines])


def _parser() -> argparse.ArgumentParser:
  parser = commands.Parser("python -m etf_jax.predict", __doc__)
  parser.add_argument(
    "images", nargs="+", metavar="IMAGE_OR_FOLDER", help="what to classify"
  )
  run_directory.add_arguments(parser)
  parser.add_argument(
    "--output", type=Path, help="write a .csv or a .json, not the terminal"
  )
  parser.add_argument(
    "--batch_size", type=int, default=64, help="images at once (default: 64)"
  )
  parser.add_argument(
    "--corrupt",
    choices=("error", "skip"),
    default="error",
    help="what an image is that cannot be read (default: error)",
  )
  parser.add_argument(
    "--abstain_angle",
    type=float,
    metavar="DEGREES",
    help="mark the images whose angle is larger",
  )
  return parser


if __name__ == "__main__":
  sys.exit(main())
