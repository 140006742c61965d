# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
r"""Turn images into features, for classifiers that take features.

In use::

    python -m etf_jax.features --model=timm:resnet50 --dir=DIR --output=x.npz
    python -m etf_jax.main --config=configs/features.py --config.data.dir=x.npz
    python -m etf_jax.features --model=timm:resnet50 --dir=NEW --output=new.npz
    python -m etf_jax.predict --workdir=RUN_DIR new.npz

--model is one of

* the directory of a run;
* resnet18, 34, 50 or 101, with --weights=FILE.safetensors or hf:ORG/NAME;
* timm:NAME or torchvision:NAME, with their weights or a file in --weights;
* package.module:function, which takes uint8 [images, side, side, 3] and returns
  [images, features]: any encoder of yours.

DIR holds train/CLASS/IMAGE and test/CLASS/IMAGE, CLASS/IMAGE, or images. The
file has their features, their classes and their paths, by which predictions can
be traced. A command that was ended goes on where it was, by what lies in
OUTPUT.part.
"""

from collections.abc import Sequence
import logging
from pathlib import Path
import sys

from etf_jax.errors import InputError
from etf_jax.probing import encoders, extraction
from etf_jax.runs import commands
from etf_jax.serving import run_directory
from etf_jax.training.checkpoints import restore

_log = logging.getLogger("etf_jax")


@commands.command
def main(argv: Sequence[str] | None = None) -> None:
  """Run the command and return its exit code."""
  parser = commands.Parser("python -m etf_jax.features", __doc__)
  parser.add_argument("--model", required=True, help="see above")
  parser.add_argument("--dir", required=True, help="folder of images")
  parser.add_argument(
    "--output", type=Path, required=True, help="the .npz to write"
  )
  parser.add_argument("--weights", help="file, or hf:ORG/NAME")
  parser.add_argument(
    "--image_size",
    type=int,
    help="side of what the model sees, pixels (default: the model's, or 224)",
  )
  parser.add_argument(
    "--batch_size", type=int, default=64, help="images a batch (default: 64)"
  )
  parser.add_argument(
    "--corrupt",
    choices=("error", "skip"),
    default="error",
    help="an image that cannot be read (default: error)",
  )
  parser.add_argument(
    "--step",
    choices=restore.CHOICES,
    default="last",
    help="checkpoint of a run (default: last)",
  )
  run_directory.add_trust(parser)
  options = parser.parse_args(argv)
  if options.output.suffix != ".npz":
    raise InputError(f"--output={options.output}: must end in .npz; rename it")
  for flag in ("batch_size", "image_size"):
    value = getattr(options, flag)
    if value is not None and value < 1:
      raise InputError(f"--{flag}={value}: must be at least 1; name more")
  parts = extraction.find(options.dir)
  encoder = encoders.open_encoder(
    options.model,
    options.weights,
    options.image_size,
    step=options.step,
    trust_code=options.trust_code,
  )
  _log.info(encoder.name)
  rows, width = extraction.extract(
    encoder,
    parts,
    options.dir,
    options.output,
    batch_size=options.batch_size,
    corrupt=options.corrupt,
  )
  print(f"{rows:,} rows of {width:,} features in {options.output}")


if __name__ == "__main__":
  sys.exit(main())
