# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Write a trained model for use elsewhere, with a card that describes it.

In use::

    python -m etf_jax.export --workdir=runs/my_run --format=stablehlo
    python -m etf_jax.export --workdir=runs/my_run --format=safetensors
    python -m etf_jax.export --workdir=runs/my_run --format=card

`stablehlo` makes one program for CPUs, CUDA GPUs and TPUs. It takes uint8
images of any height and width, scales and crops them as the run does, and needs
jax and flatbuffers alone::

    from jax import export

    program = export.deserialize(open("model.stablehlo", "rb").read())
    program.call(images)["probabilities"]    # images [B, H, W, C]

`safetensors` makes named tensors: in torchvision's layout for resnet18, 34, 50
and 101, otherwise under the names of the variables here. Beside each lies a
JSON file with the class names, the shapes, and how images are prepared. The
files are read again and compared with the model.
"""

from collections.abc import Sequence
import logging
from pathlib import Path
import sys

from etf_jax.runs import commands
from etf_jax.serving import exported, run_directory, trained

_log = logging.getLogger("etf_jax")


@commands.command
def main(argv: Sequence[str] | None = None) -> None:
  """Run the command and return its exit code."""
  parser = commands.Parser("python -m etf_jax.export", __doc__)
  run_directory.add_arguments(parser)
  parser.add_argument("--format", required=True, choices=exported.FORMATS)
  parser.add_argument(
    "--output",
    type=Path,
    metavar="FOLDER",
    help="(default: export, in the run's directory)",
  )
  options = parser.parse_args(argv)
  model = trained.load(
    options.workdir, options.step, trust_code=options.trust_code
  )
  _log.info(model.description)
  folder = options.output or model.run.directory / "export"
  for path in exported.write(model, options.format, folder):
    print(path)


if __name__ == "__main__":
  sys.exit(main())
