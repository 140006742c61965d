# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
r"""Learns other data sets on the frozen features of trained runs.

In use::

    python -m etf_jax.probe --workdir=runs/my_run --datasets=cifar10,food101
    python -m etf_jax.probe --workdir=runs/ce --workdir=runs/etf_hinge \
      --datasets=nine,aircraft=/data/aircraft --output=probed
    python -m etf_jax.probe --workdir=runs/my_run --dir=FOLDER
    python -m etf_jax.probe --workdir=runs --datasets=fashion_mnist --study
    python -m etf_jax.probe --workdir=runs --datasets=fashion_mnist \
      --view=tops,shoes,bags --view=fashion_mnist:0,1,2

A --workdir is a run, or holds several at any depth. Runs with one configuration
are one line of the tables, and the first line is compared with all others. Two
classifiers are learned: by HingeCE's linear evaluation (SGD, batches of 128, a
rate of 1 for 100 epochs) and by L2-regularized multinomial regression. Beside
them stand NC1 and the numerical rank of the features.

Writes probe.md, probe.csv and probe.json to --output; with --study, of runs of
etf_hinge with several config.loss.hinge_tau_major or _minor, study.png; for
each --view view-1.png, ...
"""

import argparse
from collections.abc import Sequence
import sys

from etf_jax.probing import command, downstream, features, linear
from etf_jax.runs import commands
from etf_jax.serving import run_directory
from etf_jax.training.checkpoints import restore


@commands.command
def main(argv: Sequence[str] | None = None) -> int:
  """Run the command and return its exit code."""
  return command.run(_parser().parse_args(argv))


def _parser() -> argparse.ArgumentParser:
  parser = commands.Parser("python -m etf_jax.probe", __doc__)
  add = parser.add_argument
  add(
    "--workdir",
    action="append",
    required=True,
    help="a run, or a folder of several at any depth; may be given again",
  )
  add(
    "--datasets",
    help="NAME[=FOLDER],..: prepared sets of the catalog or folders of images;"
    f" nine: {', '.join(downstream.NINE)}",
  )
  add("--dir", metavar="FOLDER", help="your images, as a further set")
  add("--data_dir", help="folder of prepared data (default: the run's)")
  add(
    "--features",
    choices=features.KINDS,
    default="backbone",
    help="before the head's projector and normalization (default), or behind",
  )
  add("--step", choices=restore.CHOICES, default="last", help="checkpoint")
  add(
    "--per_class", type=int, help="training images of each class (default: all)"
  )
  for flag, value in (
    ("epochs", linear.EPOCHS),
    ("batch_size", linear.BATCH_SIZE),
    ("learning_rate", linear.LEARNING_RATE),
  ):
    add(f"--{flag}", type=type(value), default=value, help=f"of SGD ({value})")
  add("--images_at_once", type=int, default=500, help="through the network")
  add("--study", action="store_true", help="a figure over tau_plus")
  add(
    "--view",
    metavar="[DATASET:]A,B,C",
    action="append",
    default=[],
    help="a picture of three classes, by name or number, of the runs or of a"
    " data set; may be given again",
  )
  add("--output", default="probe", help="the folder to write to")
  run_directory.add_trust(parser)
  return parser


if __name__ == "__main__":
  sys.exit(main())
