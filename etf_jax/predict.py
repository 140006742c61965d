# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Classifies photographs with a trained model.

In use::

    python -m etf_jax.predict --workdir=runs/my_run photograph.jpg
    python -m etf_jax.predict --workdir=runs/my_run FOLDER --output=found.csv

A folder stands for all images below it, in sorted order. Images are decoded and
cropped as in the run: to its channels (gray becomes color by three equal
channels, color gray by its luma), and to its size.

Of a run on features, files of features (.npz with `x` or `test_x`, .npy or
.parquet) take the place of images.

A row holds the image; its class and the probability; the angle in degrees
between the image's feature and the nearest classifier vector, of a fixed frame
the prototype of the class; the next classes and their probabilities (--top);
and with --abstain_angle whether the angle is larger, when the model should not
be asked. `evaluate` says what accuracy an angle gives. Probabilities are "not
calibrated" until `evaluate --fit_temperature` has fitted a temperature.

A file that cannot be read gets a row with the reason, and the last line says
how many there are; the exit code is 0, or 2 where none could be read. With
--corrupt=error the first one ends the command with exit code 2. Rows come as
images are classified; the file of --output appears when it is complete.
"""

from collections.abc import Sequence
import logging
from pathlib import Path
import sys

from etf_jax.errors import InputError
from etf_jax.runs import commands
from etf_jax.serving import image_files, prediction, run_directory, trained

_log = logging.getLogger("etf_jax")


@commands.command
def main(argv: Sequence[str] | None = None) -> None:
  """Run the command and return its exit code."""
  parser = commands.Parser("python -m etf_jax.predict", __doc__)
  parser.add_argument(
    "images", nargs="+", metavar="IMAGE_OR_FOLDER", help="images to classify"
  )
  run_directory.add_arguments(parser)
  parser.add_argument(
    "--output", type=Path, help="write a .csv or a .json, not the terminal"
  )
  parser.add_argument(
    "--top", type=int, default=2, help="classes in a row (default: 2)"
  )
  parser.add_argument(
    "--batch_size", type=int, default=64, help="images a batch (default: 64)"
  )
  parser.add_argument(
    "--corrupt",
    choices=("skip", "error"),
    default="skip",
    help="an image that cannot be read: a row with the reason, or the end"
    " (default: skip)",
  )
  parser.add_argument(
    "--abstain_angle",
    type=float,
    metavar="DEGREES",
    help="mark the images whose angle is larger",
  )
  arguments = parser.parse_args(argv)
  output = arguments.output
  if output and output.suffix not in prediction.FORMATS:
    raise InputError(
      f"--output={output}: unknown kind of file; must end in"
      f" {' or '.join(prediction.FORMATS)}"
    )
  options = prediction.Options(
    top=arguments.top,
    batch_size=arguments.batch_size,
    corrupt=arguments.corrupt,
    abstain_angle=arguments.abstain_angle,
  )
  model = trained.load(
    arguments.workdir, arguments.step, trust_code=arguments.trust_code
  )
  options.check(len(model.class_names))
  _log.info(model.description)
  paths = arguments.images
  if not model.pixels.features:
    paths = image_files.find(paths)
  unread = prediction.write(model, paths, options, output)
  if not model.calibrated:
    _log.info(
      "probabilities are not calibrated: python -m etf_jax.evaluate"
      " --workdir=%s --fit_temperature fits a temperature",
      arguments.workdir,
    )
  if len(unread) == len(paths):
    raise InputError(
      f"{unread[0]}: no file could be read, of {len(paths)}; the rows hold the"
      " reasons"
    )
  if unread:
    _log.warning(
      "%d of %d files could not be read, the first %s: their rows hold the"
      " reason",
      len(unread),
      len(paths),
      unread[0],
    )


if __name__ == "__main__":
  sys.exit(main())
