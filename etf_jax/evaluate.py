# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
r"""Evaluates a trained model: accuracy, calibration, and what abstaining gains.

In use::

    python -m etf_jax.evaluate --workdir=runs/my_run
    python -m etf_jax.evaluate --workdir=runs/my_run --step=best \
      --output=rows.json
    python -m etf_jax.evaluate --workdir=runs/my_run --output=images.csv
    python -m etf_jax.evaluate --workdir=runs/my_run --output=mistakes.html
    python -m etf_jax.evaluate --workdir=runs/my_run --images=FOLDER
    python -m etf_jax.evaluate --workdir=runs/my_run \
      --config.data.name=folder --config.data.dir=DIR
    python -m etf_jax.evaluate --workdir=runs/my_run --fit_temperature

By default it takes the run's own validation and test images. --images names a
folder CLASS/IMAGE of others; --config.data.FIELD=VALUE names another data set,
as in training. Classes go by their names; many, medium and few are those of the
training images.

--output writes the numbers as .json; the images as .csv (path, label,
prediction, probability, margin); or the surest mistakes as a page, .html, that
holds its pictures.

--fit_temperature fits the temperature of the softmax to the run's validation
images, or to those of --images. If it makes images more likely to which it was
not fitted (five folds), it is kept in calibration.json, and from then on it is
used wherever this checkpoint is loaded. The run's own test images show
the effect.
"""

from collections.abc import Sequence
import json
import logging
from pathlib import Path
import sys

from etf_jax.errors import InputError
from etf_jax.runs import commands, files
from etf_jax.serving import (
  evaluation,
  gallery,
  run_directory,
  splits,
  trained,
)

_log = logging.getLogger("etf_jax")


@commands.command
def main(argv: Sequence[str] | None = None) -> None:
  """Run the command and return its exit code."""
  parser = commands.Parser("python -m etf_jax.evaluate", __doc__)
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
    "--batch_size", type=int, help="images in a batch (default: the run's)"
  )
  parser.add_argument(
    "--output",
    type=Path,
    metavar="FILE",
    help="write rows (.json), images (.csv) or the surest mistakes (.html)",
  )
  options, overrides = parser.parse_known_args(argv)
  output = options.output
  if output and output.suffix not in (".json", ".csv", ".html"):
    raise InputError(
      f"--output={output}: unknown kind of file; must end in .json (rows), .csv"
      " (images) or .html (mistakes)"
    )
  model = trained.load(
    options.workdir, options.step, trust_code=options.trust_code
  )
  _log.info(model.description)
  size = options.batch_size
  if size is None:
    size = model.config.eval.batch_size
  if size < 1:
    raise InputError(f"--batch_size={size}: must be at least 1; name more")
  images = options.images
  if options.fit_temperature:
    # --images is for the fit, and the run's own images show its effect.
    splits.require_own(overrides)
    images = None
  chosen = splits.choose(model, overrides, images)
  outputs = {
    name: evaluation.classify(model, split, size)
    for name, split in chosen.items()
  }
  if options.fit_temperature:
    _fit(model, outputs, options.images, size)
  rows = evaluation.metric_rows(model, outputs)
  print(evaluation.text(rows, model.class_counts, model.class_names))
  if output and output.suffix == ".json":
    files.write(output, json.dumps(rows, indent=1) + "\n")
  elif output and output.suffix == ".csv":
    files.write(output, evaluation.images(model, chosen, outputs))
  elif output:
    gallery.write(output, model, chosen, outputs)


def _fit(
  model: trained.Trained,
  outputs: dict[str, evaluation.Outputs],
  images: str | None,
  batch_size: int,
) -> None:
  """Fit the temperature to held-out images and keep it with the run."""
  if images is not None:
    split = splits.of_folder(model, images)
    name, held_out = images, evaluation.classify(model, split, batch_size)
  elif "validation" in outputs:
    name, held_out = "validation", outputs["validation"]
  else:
    raise InputError(
      f"--fit_temperature: {model.run.directory} has no validation images; name"
      " others with --images=FOLDER (CLASS/IMAGE), or train with"
      " config.data.validation_fraction"
    )
  record = evaluation.fit_temperature(model, held_out, name, outputs)
  if "ece" not in record:
    print(
      f"temperature {record['temperature']:.4g} is not kept: folds of"
      f" {record['images']} images of {name} are not more likely with it"
      f" (negative log-likelihood {record['nll_before']:.4f} without,"
      f" {record['nll_after']:.4f} with); give more images"
    )
    return
  path = run_directory.keep_calibration(model.run, model.step, record)
  print(
    f"temperature {record['temperature']:.4g}, fitted on {record['images']}"
    f" images of {name}, is kept in {path}"
  )


if __name__ == "__main__":
  sys.exit(main())
