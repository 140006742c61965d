# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Measure speed and memory on this machine.

In use::

    python -m etf_jax.benchmark train --config=etf_jax:cifar10_lt
    python -m etf_jax.benchmark losses --num_classes=100,1000 --json=losses.json
    python -m etf_jax.benchmark feed --dir=~/photographs
    python -m etf_jax.benchmark compile --topology=v5e:2x4 \\
      --config=etf_jax:cifar10_lt
    python -m etf_jax.benchmark all --json=all.json

Arms are timed in turns, A B A B, so that a machine that slows down or speeds up
does so for all of them. Each block ends with one synchronisation; reported are
the median and the range over blocks. On a CPU trust the ratios only.
"""

import argparse
from collections.abc import Callable, Sequence
import json
import pathlib
import statistics
import sys
from typing import Any, NamedTuple

from etf_jax.benchmarks import compiled, feed, losses, timing, train
from etf_jax.errors import InputError


class Command(NamedTuple):
  """A kind of benchmark.

  Attributes:
    help: the measured quantity, in one line.
    add_arguments: adds options to a parser.
    run: maps options to results that JSON can hold.
    table: maps results to printed lines.
    quick: options in `all`.
    has_config: True if it takes --config and fields of it.
    environment: maps results to device and versions; None: of this process.
  """

  help: str
  add_arguments: Callable[[argparse.ArgumentParser], None]
  run: Callable[[argparse.Namespace], list[dict[str, Any]]]
  table: Callable[[list[dict[str, Any]]], list[str]]
  quick: tuple[str, ...]
  has_config: bool = False
  environment: Callable[[list[dict[str, Any]]], dict[str, Any]] | None = None


# In the order of `all`: runs of `train` want the devices for themselves, which
# this process takes once it computes something.
COMMANDS = {
  "train": Command(
    "time of a train step, and of runs around it",
    train.add_arguments,
    train.run,
    train.table,
    ("--blocks=5", "--seconds=0.5", "--warmup=5"),
    has_config=True,
  ),
  "compile": Command(
    "what the train step needs on TPUs or GPUs, compiled without one",
    compiled.add_arguments,
    compiled.run,
    compiled.table,
    ("--topology=v5e:1x1", "--quick"),
    has_config=True,
    environment=compiled.environment,
  ),
  "feed": Command(
    "images per second of decoding and of the stream feed, against tf.data",
    feed.add_arguments,
    feed.run,
    feed.table,
    ("--blocks=5", "--seconds=0.5", "--images=64", "--sizes=224"),
  ),
  "losses": Command(
    "time and memory of the DR head and a learnable CE head, by class count",
    losses.add_arguments,
    losses.run,
    losses.table,
    ("--blocks=5", "--seconds=0.2", "--num_classes=10,1000"),
  ),
}


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="python -m etf_jax.benchmark", description=__doc__.splitlines()[0]
  )
  subparsers = parser.add_subparsers(dest="command", required=True)
  for name, command in COMMANDS.items():
    sub = subparsers.add_parser(name, help=command.help)
    sub.add_argument(
      "--blocks", type=timing.size, default=7, help="timed blocks of each arm"
    )
    sub.add_argument(
      "--seconds", type=float, default=0.5, help="length of a block, about"
    )
    _add_json(sub)
    command.add_arguments(sub)
  every = subparsers.add_parser("all", help="all of these, quickly")
  timing.add_config(every)
  _add_json(every)
  return parser


def _add_json(parser):
  parser.add_argument(
    "--json", type=pathlib.Path, help="also write the results to this file"
  )


def _measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
  """Return the results of a command with device, versions and load."""
  command, before = COMMANDS[name], timing.load()
  results = command.run(options)
  around = (command.environment or (lambda _: timing.environment()))(results)
  load = statistics.mean((before, timing.load()))
  return {
    "command": name,
    "environment": around | {"load": round(load, 2)},
    "results": results,
  }


def _print(report: dict[str, Any]) -> None:
  around = report["environment"]
  print(" ".join(f"{key}={value}" for key, value in around.items()))
  if around["platform"] == "cpu":
    print("On a CPU only the ratios say something.")
  print("\n".join(COMMANDS[report["command"]].table(report["results"])))


def _all(options: argparse.Namespace, parser) -> dict[str, Any]:
  """Run every command with quick options; record why one cannot run."""
  report: dict[str, Any] = {"command": "all", "reports": [], "not_measured": {}}
  for name, command in COMMANDS.items():
    words = [name, *command.quick]
    if command.has_config:
      words.append(f"--config={options.config}")
    quick = parser.parse_args(words)
    quick.fields = options.fields if command.has_config else []
    print(f"\n## {' '.join([*words, *quick.fields])}\n", flush=True)
    try:
      one = _measure(name, quick)
    except InputError as error:
      report["not_measured"][name] = str(error)
      print(f"not measured: {error}")
      continue
    _print(one)
    report["reports"].append(one)
  return report


def main(argv: Sequence[str] | None = None) -> int:
  """Run the command and return its exit code."""
  parser = _parser()
  options, fields = parser.parse_known_args(argv)
  options.fields = fields
  every = options.command == "all"
  takes_fields = every or COMMANDS[options.command].has_config
  if options.fields and not takes_fields:
    parser.error(f"unrecognized arguments: {' '.join(options.fields)}")
  try:
    if options.json and not options.json.absolute().parent.is_dir():
      raise InputError(f"--json={options.json}: no such folder; make it first")
    if every:
      report = _all(options, parser)
    else:
      report = _measure(options.command, options)
      _print(report)
  except InputError as error:
    print(f"error: {error}", file=sys.stderr)
    return 2
  if options.json:
    options.json.write_text(json.dumps(report, indent=2) + "\n")
  return 0


if __name__ == "__main__":
  sys.exit(main())
