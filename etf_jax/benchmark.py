# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Measures speed and memory on this machine.

In use::

    python -m etf_jax.benchmark train --config=etf_jax:cifar10_lt
    python -m etf_jax.benchmark losses --num_classes=100,1000 --json=losses.json
    python -m etf_jax.benchmark collapse --config=configs/cifar10_lt.py
    python -m etf_jax.benchmark feed --dir=~/photographs
    python -m etf_jax.benchmark compile --topology=v5e:2x4 \\
      --config=etf_jax:cifar10_lt
    python -m etf_jax.benchmark peer --peer_dir=~/ImbalancedLearning
    python -m etf_jax.benchmark all --json=all.json

Arms are timed in turns, A B A B, so that a machine that slows down or speeds up
does so for all of them. Each block ends with one synchronisation; reported are
the median and the range over blocks. On a CPU trust the ratios only.
"""

import argparse
from collections.abc import Callable, Sequence
import pathlib
import statistics
import sys
from typing import Any, NamedTuple

from etf_jax.benchmarks import collapse, compiled, feed, losses, peer, train
from etf_jax.benchmarks import report as reports
from etf_jax.errors import InputError


class Command(NamedTuple):
  """A kind of benchmark.

  Attributes:
    help: what it measures, in one line.
    add_arguments: adds its own options to a parser.
    run: options to results that JSON can hold.
    table: results to the lines that are printed.
    quick: options under which `all` runs it; None: it does not.
    has_config: whether it takes --config and fields of it.
    environment: results to what they depend on; None: this process knows.
  """

  help: str
  add_arguments: Callable[[argparse.ArgumentParser], None]
  run: Callable[[argparse.Namespace], list[dict[str, Any]]]
  table: Callable[[list[dict[str, Any]]], list[str]]
  quick: tuple[str, ...] | None
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
  "collapse": Command(
    "time of measuring neural collapse against that of training",
    collapse.add_arguments,
    collapse.run,
    collapse.table,
    ("--blocks=5", "--seconds=0.2"),
    has_config=True,
  ),
  "compile": Command(
    "what the train step needs on TPUs, compiled for them without one",
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
  "peer": Command(
    "training with the PyTorch code of Yang et al. (2022), and with ours",
    peer.add_arguments,
    peer.run,
    peer.table,
    None,
    has_config=True,
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
      "--blocks", type=reports.size, default=7, help="timed blocks of each arm"
    )
    sub.add_argument(
      "--seconds", type=float, default=0.5, help="length of a block, about"
    )
    _add_json(sub)
    command.add_arguments(sub)
  every = subparsers.add_parser("all", help="all of these but peer, quickly")
  reports.add_config(every)
  _add_json(every)
  return parser


def _add_json(parser):
  parser.add_argument(
    "--json", type=pathlib.Path, help="also write the results to this file"
  )


def _measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
  """The results of a command, and what they depend on."""
  command, before = COMMANDS[name], reports.load()
  results = command.run(options)
  around = (command.environment or (lambda _: reports.environment()))(results)
  load = statistics.mean((before, reports.load()))
  return {
    "command": name,
    "environment": around | {"load": round(load, 2)},
    "results": results,
  }


def _print(report: dict[str, Any]) -> None:
  print("\n".join(reports.header(report["environment"])))
  print("\n".join(COMMANDS[report["command"]].table(report["results"])))


def _all(options: argparse.Namespace, parser) -> dict[str, Any]:
  """Every command under its quick options; what cannot run says why."""
  report: dict[str, Any] = {"command": "all", "reports": [], "not_measured": {}}
  for name, command in COMMANDS.items():
    if command.quick is None:
      continue
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
  """Run the command and returns its exit code."""
  parser = _parser()
  options, options.fields = parser.parse_known_args(argv)
  every = options.command == "all"
  takes_fields = every or COMMANDS[options.command].has_config
  if options.fields and not takes_fields:
    parser.error(f"unrecognized arguments: {' '.join(options.fields)}")
  try:
    reports.check_place(options.json)
    if every:
      report = _all(options, parser)
    else:
      report = _measure(options.command, options)
      _print(report)
  except InputError as error:
    print(f"error: {error}", file=sys.stderr)
    return 2
  reports.write(options.json, report)
  return 0


if __name__ == "__main__":
  sys.exit(main())
