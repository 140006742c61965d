# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Writes a trained model for use elsewhere, with a card that describes it.

In use::

    python -m etf_jax.export --workdir=runs/my_run --format=stablehlo
    python -m etf_jax.export --workdir=runs/my_run --format=safetensors
    python -m etf_jax.export --workdir=runs/my_run --format=card

`stablehlo` makes one program for CPUs, CUDA GPUs and TPUs that takes uint8
images, any number of them, and needs jax alone::

    from jax import export

    program = export.deserialize(open("model.stablehlo", "rb").read())
    program.call(images)["probabilities"]

`safetensors` makes named tensors: in torchvision's layout for resnet18, 34, 50
and 101, otherwise under the names of the variables here. Beside each lies a
JSON file with the class names, the shapes, and how images are prepared. What
was written is read again and compared with the model.
"""

import argparse
from collections.abc import Sequence
import copy
import json
import logging
from pathlib import Path
import sys
from typing import Any

import jax
from jax import export

from etf_jax.runs import commands, files
from etf_jax.serving import exported, model_card, run_directory
from etf_jax.serving.trained import Trained, load

_log = logging.getLogger(__name__)

FORMATS = ("stablehlo", "safetensors", "card")


def write(trained: Trained, format: str, folder: Path) -> list[Path]:
  """Write a trained model; returns the files.

  Args:
    trained: see `trained.load`.
    format: "stablehlo", "safetensors" or "card".
    folder: of the files, made if it is missing.

  Raises:
    InputError: they cannot be written.
  """
  card = folder / "model_card.md"
  files.write(card, model_card.text(trained))
  if format == "card":
    return [card]
  path = folder / f"model.{format}"
  if format == "stablehlo":
    content = exported.stablehlo(trained).serialize()
    program = export.deserialize(content)
    difference = exported.check(trained, program.call)
    files.write(path, bytes(content))
    particular = _program_facts(trained, program)
  else:
    layout = exported.write_tensors(trained, path)
    difference = _check_tensors(trained, path)
    particular = {"layout": layout}
  facts = particular | _facts(trained) | {"largest_difference": difference}
  described = folder / f"model.{format}.json"
  files.write(described, json.dumps(facts, indent=1) + "\n")
  return [path, described, card]


def _program_facts(trained, program):
  def described(shapes):
    shape = [n if isinstance(n, int) else str(n) for n in shapes.shape]
    return {"dtype": str(shapes.dtype), "shape": shape}

  names = ("images", "sizes")[: len(program.in_avals)]
  outputs = program.out_tree.unflatten(program.out_avals)
  return {
    "call": "jax.export.deserialize(content of model.stablehlo).call("
    + ", ".join(names)
    + ")",
    "inputs": {
      name: described(aval)
      for name, aval in zip(names, program.in_avals, strict=True)
    },
    "outputs": {name: described(aval) for name, aval in outputs.items()},
    "platforms": list(program.platforms),
    "inside": ["centre crop", "normalisation", "softmax at the temperature"],
  }


def _facts(trained) -> dict[str, Any]:
  config, pixels = trained.config, trained.pixels
  return {
    "class_names": list(trained.class_names),
    "image_shape": list(trained.image_shape),
    "image_fit": pixels.fit,
    "centre_crop": config.augment.crop_size
    and {
      "size": config.augment.crop_size,
      "share_of_shorter_side": config.augment.eval_crop,
    },
    "mean": list(trained.mean),
    "std": list(trained.std),
    "temperature": trained.temperature,
    "run": {
      "name": trained.run.name,
      "method": trained.run.method,
      "hash": trained.run.hash,
      "seed": trained.run.seed,
      "checkpoint": trained.which,
      "step": trained.step,
    },
    "jax": jax.__version__,
  }


def _check_tensors(trained, path) -> float:
  again = copy.copy(trained)
  again.variables = exported.read_tensors(trained, path)
  return exported.check(
    trained, lambda *arguments: again.scores(*arguments)._asdict()
  )


@commands.command
def main(argv: Sequence[str] | None = None) -> int:
  """Run the command and return its exit code."""
  options = _parser().parse_args(argv)
  trained = load(options.workdir, options.step)
  _log.info(trained.description)
  folder = options.output or trained.run.directory / "export"
  for path in write(trained, options.format, folder):
    print(path)
  return 0


def _parser() -> argparse.ArgumentParser:
  parser = commands.Parser("python -m etf_jax.export", __doc__)
  run_directory.add_arguments(parser)
  parser.add_argument("--format", required=True, choices=FORMATS)
  parser.add_argument(
    "--output",
    type=Path,
    metavar="FOLDER",
    help="(default: export, in the run's directory)",
  )
  return parser


if __name__ == "__main__":
  sys.exit(main())
