# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
r"""Evaluates a trained model: accuracy, calibration, and what abstaining gains.

In use::

    python -m etf_jax.evaluate --workdir=runs/my_run
    python -m etf_jax.evaluate --workdir=runs/my_run --step=best \
      --output=rows.json
    python -m etf_jax.evaluate --workdir=runs/my_run --images=FOLDER
    python -m etf_jax.evaluate --workdir=runs/my_run \
      --config.data.name=folder --config.data.dir=DIR
    python -m etf_jax.evaluate --workdir=runs/my_run --fit_temperature

Without more it takes the run's own validation and test images. --images names a
folder CLASS/IMAGE of others, --config.data.* another data set. Classes go by
their names; many, medium and few are those of the training images.

--fit_temperature fits the temperature of the softmax to the run's validation
images, or to those of --images, and keeps it in calibration.json. From then on
it is used wherever this checkpoint is loaded. The run's own test images show
what it does.
"""

import argparse
from collections.abc import Sequence
import json
import logging
from pathlib import Path
import sys
from typing import Any, NamedTuple

import jax
import numpy as np

from etf_jax.data import Encoded, decode
from etf_jax.data.feeds import stream
from etf_jax.errors import InputError
from etf_jax.evaluation import calibration, metrics, selective
from etf_jax.runs import commands, files
from etf_jax.serving import run_directory, splits, table
from etf_jax.serving.trained import Trained, load

_log = logging.getLogger(__name__)


class Seen(NamedTuple):
  """The outputs of a model for each image of a split; N can be decoded.

  Attributes:
    labels: int32 `[N]`.
    logits: floats `[N, K]`, before any temperature.
    angles: floats `[N]`, radians, see `Prediction.angles`.
    sums: of all of them.
  """

  labels: np.ndarray
  logits: np.ndarray
  angles: np.ndarray
  sums: metrics.Sums


_update = jax.jit(metrics.update)


def look(trained: Trained, split: Encoded, batch_size: int) -> Seen:
  """Classify a split, in batches as a run's own evaluation has them.

  Args:
    trained: see `trained.load`.
    split: of its classes.
    batch_size: images at once.

  Raises:
    InputError: an image that cannot be decoded, unless config.data.corrupt is
      "skip"; or none that can.
  """
  total = len(split.labels)
  size = min(batch_size, total)
  batches = stream.Batches(
    split,
    stream.Once(total, size),
    multiple_of=size,
    threads=decode.cpu_threads(),
  )
  sums, every = metrics.zeros(len(trained.class_names)), []
  with stream.Stream(batches) as reader:
    for local in reader:
      found = trained.scores(local.images, local.sizes)
      sums = _update(sums, found.logits, local.labels, where=local.where)
      every.append(
        (
          local.labels[local.where],
          *(np.asarray(x)[local.where] for x in found),
        )
      )
  labels, logits, angles = map(np.concatenate, zip(*every, strict=True))
  if not len(labels):
    raise InputError(f"none of the {total} images can be decoded")
  return Seen(labels, logits, angles, jax.device_get(sums))


def row(trained: Trained, seen: Seen) -> dict[str, Any]:
  """The metrics of a split.

  Returns:
    Those of an "eval" row (etf_jax/reporting/README.md), `confusion`, and
    `images`; `temperature`, 1 if none was fitted, and with it `nll` and
    `ece_calibrated`; `aurc_angle` and `aurc_probability`, areas under the
    risk-coverage curves; and `coverage`, a list of what answering the surest
    images only gives: `coverage`, and by either order the accuracy and where it
    stops, `angle` (radians) and `probability`.
  """
  numbers = metrics.compute(seen.sums, trained.class_counts)
  confidence = calibration.confidences(seen.logits, trained.temperature)
  correct = np.argmax(seen.logits, axis=1) == seen.labels
  by_angle, by_probability = (
    selective.table(score, correct) for score in (-seen.angles, confidence)
  )
  return {
    "images": len(seen.labels),
    **numbers,
    "temperature": trained.temperature,
    "nll": calibration.negative_log_likelihood(
      seen.logits, seen.labels, trained.temperature
    ),
    "ece_calibrated": calibration.expected_calibration_error(
      confidence, correct
    ),
    "aurc_angle": selective.aurc(-seen.angles, correct),
    "aurc_probability": selective.aurc(confidence, correct),
    "coverage": [
      {
        "coverage": angle["coverage"],
        "accuracy_by_angle": angle["accuracy"],
        "angle": -angle["threshold"],
        "accuracy_by_probability": probability["accuracy"],
        "probability": probability["threshold"],
      }
      for angle, probability in zip(by_angle, by_probability, strict=True)
    ],
    "confusion": np.asarray(seen.sums.confusion).tolist(),
  }


@commands.command
def main(argv: Sequence[str] | None = None) -> int:
  """Run the command and return its exit code."""
  options, overrides = _parser().parse_known_args(argv)
  trained = load(options.workdir, options.step)
  _log.info(trained.description)
  size = options.batch_size
  if size is None:
    size = trained.config.eval.batch_size
  if size < 1:
    raise InputError(f"--batch_size={size} must be at least 1")
  images = options.images
  if options.fit_temperature:
    # Those are for the fit, and the run's own show what it does.
    splits.require_own(overrides)
    images = None
  chosen = splits.choose(trained, overrides, images)
  seen = {name: look(trained, split, size) for name, split in chosen.items()}
  if options.fit_temperature:
    _fit(trained, seen, options.images, size)
  rows = _rows(trained, seen)
  print(table.text(rows, trained.class_counts))
  if options.output:
    files.write(options.output, json.dumps(rows, indent=1) + "\n")
  return 0


def _rows(trained, seen):
  return [
    {"split": name, "which": trained.which, "step": trained.step}
    | row(trained, found)
    for name, found in seen.items()
  ]


def _fit(trained, seen, images, size):
  """Fit the temperature, gives it to the model, and keeps it."""
  if images is not None:
    held_out = splits.of_folder(trained, images)
    name, held_out = images, look(trained, held_out, size)
  elif "validation" in seen:
    name, held_out = "validation", seen["validation"]
  else:
    raise InputError(
      f"{trained.run.directory} has no validation images to fit a temperature"
      " to: name others with --images=FOLDER (CLASS/IMAGE), or train with"
      " config.data.validation_fraction"
    )
  try:
    fitted = calibration.fit_temperature(held_out.logits, held_out.labels)
  except ValueError as error:
    raise InputError(f"--fit_temperature: {error}") from error
  trained.temperature, trained.calibrated = fitted, True
  before, after = (
    calibration.negative_log_likelihood(held_out.logits, held_out.labels, t)
    for t in (1.0, fitted)
  )
  record = {
    "temperature": fitted,
    "fitted_on": name,
    "images": len(held_out.labels),
    "nll_before": before,
    "nll_after": after,
    "ece": {
      found["split"]: [found["ece"], found["ece_calibrated"]]
      for found in _rows(trained, seen)
    },
  }
  path = run_directory.keep_calibration(trained.run, trained.step, record)
  print(
    f"temperature {fitted:.4g}, fitted on {len(held_out.labels)} images of"
    f" {name}, is kept in {path}"
  )


def _parser() -> argparse.ArgumentParser:
  parser = commands.Parser(
    "python -m etf_jax.evaluate",
    __doc__,
    epilog="--config.data.FIELD=VALUE names other data, as in training.",
  )
  run_directory.add_arguments(parser)
  parser.add_argument(
    "--images", metavar="FOLDER", help="other images, FOLDER/CLASS/IMAGE"
  )
  parser.add_argument(
    "--fit_temperature",
    action="store_true",
    help="fit the softmax to held-out images and keep it with the run",
  )
  parser.add_argument(
    "--batch_size", type=int, help="images at once (default: the run's)"
  )
  parser.add_argument(
    "--output", type=Path, metavar="FILE.json", help="write the rows"
  )
  return parser


if __name__ == "__main__":
  sys.exit(main())
