# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
r"""Describe a data set before training, and say what to begin with.

In use::

    python -m etf_jax.advise --dir=PHOTOGRAPHS
    python -m etf_jax.advise --dir=FEATURES.npz --output=advice.json
    python -m etf_jax.advise --config=configs/cifar10_lt.py
    python -m etf_jax.advise --config=configs/folder.py:cpu \
      --config.data.dir=PHOTOGRAPHS --config.data.test_fraction=0.3

It counts the training images of each class, looks for duplicates and at the
sizes of some images, solves the theory for these counts, and shows what was
measured here on the data that are most like these. The commands that it prints
run as they are. Nothing is trained.
"""

from collections.abc import Mapping, Sequence
import json
from pathlib import Path
import shlex
import sys
from typing import Any

import jax
from ml_collections import ConfigDict

from etf_jax.data.sources import features, splits
from etf_jax.errors import InputError
from etf_jax.reporting import advice
from etf_jax.runs import command_line, commands, files

# Decoded images of more bytes than this are streamed.
_HELD = 4e9
_FEATURES_FIRST = (
  "features of a network that was trained on many images were far better here"
  " than training from a few hundred: python -m etf_jax.features makes a file"
  " of them; give that as --dir"
)


@commands.command
def main(argv: Sequence[str] | None = None) -> None:
  """Run the command and return its exit code."""
  parser = commands.Parser("python -m etf_jax.advise", __doc__)
  add = parser.add_argument
  add("--dir", type=Path, help="folder of images, or file of features")
  add("--config", metavar="FILE.py", help="experiment, or etf_jax:NAME")
  add("--output", type=Path, metavar="FILE.json", help="write all as JSON")
  options, fields = parser.parse_known_args(argv)
  if options.output and options.output.suffix != ".json":
    raise InputError(f"--output={options.output}: must end in .json")
  if (options.dir is None) == (options.config is None):
    raise InputError("--dir, --config: give one of them; see --help")
  if options.dir is not None:
    options.config = _experiment(options.dir)
    fields = [f"--config.data.dir={options.dir}", *fields]
  config, workdir = command_line.parse(
    ["advise", f"--config={options.config}", *fields]
  )
  if workdir is not None:
    raise InputError(f"--workdir={workdir}: nothing is trained; leave it out")
  survey = advice.survey(
    config.data, weight_decay=config.optimizer.weight_decay
  )
  print("\n".join(advice.lines(survey)))
  table = advice.nearest_table(survey)
  print("", *advice.table_lines(table), sep="\n")
  method, beside = advice.best_methods(table)
  print(f"\nbegin with {method}; not told from it: {', '.join(beside) or '-'}")
  if survey["sides"]:
    print(_FEATURES_FIRST)
  flags = [f"--config={options.config}", *fields, *_sizes(config, survey)]
  listed = _commands(flags, config, method, table)
  print("", *listed, sep="\n")
  if options.output:
    survey |= {"table": table._asdict(), "method": method, "beside": beside}
    survey["commands"] = listed
    files.write(options.output, json.dumps(survey, indent=1) + "\n")


def _experiment(place: Path) -> str:
  """Return the experiment for a folder of images or a file of features."""
  inside = any((place / f"train{end}").exists() for end in features.SUFFIXES)
  if inside or place.suffix in features.SUFFIXES:
    return "etf_jax:features"
  size = ":cpu" if jax.default_backend() == "cpu" else ""
  return f"etf_jax:folder{size}"


def _sizes(config: ConfigDict, survey: Mapping[str, Any]) -> list[str]:
  """Return flags for images smaller than the recipe's, and for many."""
  flags: list[str] = []
  side, sides = config.data.image_size, survey["sides"]
  if not (sides and side):
    return flags
  if sides["median"] and sides["median"] < side:
    side = max(8, sides["median"] // 8 * 8)
    flags += [
      f"--config.data.image_size={side}",
      f"--config.augment.crop_size={side * 7 // 8}",
    ]
  if sum(survey["totals"].values()) * 3 * side**2 > _HELD:
    flags.append("--config.data.feed=stream")
  return flags


def _commands(
  flags: Sequence[str], config: ConfigDict, method: str, table: advice.Table
) -> list[str]:
  """Return commands that train, use and compare."""
  run = f"runs/{Path(config.data.dir or config.data.name).stem}"
  other = next(name for name in ("ce", *table.rows) if name != method)
  trained = [
    ["main", *flags, f"--config.method={name}", f"--workdir={place}"]
    for name, place in ((method, run), (other, f"{run}_{other}"))
  ]
  use = "evaluate" if config.data.name == splits.FEATURES else "serve"
  listed = [
    trained[0],
    [use, f"--workdir={run}"],
    trained[1],
    ["reporting", run, f"{run}_{other}", f"--output={run}.html"],
  ]
  return [shlex.join(["python", "-m", f"etf_jax.{a}", *b]) for a, *b in listed]


if __name__ == "__main__":
  sys.exit(main())
