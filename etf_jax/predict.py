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

A line holds the image; its class and the probability; the angle in degrees
between the image's feature and the nearest classifier vector, of a fixed frame
the prototype of the class; the second class and its probability; and with
--abstain_angle whether the angle is larger, when the model should not be asked.
`evaluate` says what accuracy an angle gives.
"""

from collections.abc import Sequence
import logging
from pathlib import Path
import sys

from etf_jax.errors import InputError
from etf_jax.runs import commands, files
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
    "--batch_size", type=int, default=64, help="images a batch (default: 64)"
  )
  parser.add_argument(
    "--corrupt",
    choices=("error", "skip"),
    default="error",
    help="an image that cannot be read is this (default: error)",
  )
  parser.add_argument(
    "--abstain_angle",
    type=float,
    metavar="DEGREES",
    help="mark the images whose angle is larger",
  )
  options = parser.parse_args(argv)
  if options.batch_size < 1:
    raise InputError(
      f"--batch_size={options.batch_size}: must be at least 1; name more"
    )
  angle, output = options.abstain_angle, options.output
  if output and output.suffix not in prediction.FORMATS:
    raise InputError(
      f"--output={output}: unknown kind of file; must end in"
      f" {' or '.join(prediction.FORMATS)}"
    )
  if angle is not None and not 0 <= angle <= 180:
    raise InputError(
      f"--abstain_angle={angle}: no such angle; must lie in [0, 180] degrees"
    )
  model = trained.load(options.workdir, options.step)
  _log.info(model.description)
  if model.pixels.features:
    paths = options.images
    found = prediction.predict_features(model, paths, abstain_angle=angle)
  else:
    paths = image_files.find(options.images)
    found = prediction.predict(
      model,
      paths,
      batch_size=options.batch_size,
      corrupt=options.corrupt,
      abstain_angle=angle,
    )
  rows = list(found)
  if not rows:
    raise InputError(
      f"none of the {len(paths)} images can be read; name others"
    )
  if output is None:
    print(prediction.text(rows))
  else:
    files.write(output, prediction.FORMATS[output.suffix](rows))


if __name__ == "__main__":
  sys.exit(main())
