# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
r"""Runs the papers' tables and figures, and writes them beside what they say.

In use::

    python -m etf_jax.reproduce table1 --dry_run
    python -m etf_jax.reproduce table1 --imbalance=0.01 --methods=ce,etf_dr
    python -m etf_jax.reproduce table1 --dataset=fashion_mnist_lt:cpu
    python -m etf_jax.reproduce figure3 --config.dtype=bfloat16
    python -m etf_jax.reproduce table2 --shard=1/4 --variant=published_svhn

The same command goes on where it stopped. Finished runs are not run again,
whichever table asked for them first. Exit codes: 0 done; 1 some runs have
failed, or a figure lacks a measurement; 2 wrong input; 75 stopped by SIGTERM or
Ctrl-C, everything saved.
"""

import argparse
from collections.abc import Sequence
import re
import sys

from etf_jax.errors import InputError
from etf_jax.runs import commands


@commands.command
def main(argv: Sequence[str] | None = None) -> int:
  """Run the command and return its exit code."""
  argv = sys.argv[1:] if argv is None else list(argv)
  overrides = [word for word in argv if re.match(r"--config\.\w", word)]
  for word in overrides:
    if "=" not in word:
      raise InputError(f"{word} has no value: write {word}=VALUE")
  options = _parser().parse_args([w for w in argv if w not in overrides])
  # Imported late, so that a mistyped command is answered at once.
  from etf_jax.reproductions import command

  return command.run(options, overrides)


def _parser() -> argparse.ArgumentParser:
  parser = commands.Parser(
    "python -m etf_jax.reproduce",
    __doc__,
    epilog="--config.FIELD=VALUE changes a field of every run.",
  )
  add = parser.add_argument
  add(
    "target",
    metavar="TARGET",
    help="table1 to table4, figure3 to figure6, remark2, leaderboard,"
    " hinge_table1 to hinge_table3, hinge_figure1, hinge_figure3 to"
    " hinge_figure6",
  )
  add(
    "--dataset",
    metavar="NAME[,NAME]",
    help="some of the table's data; or other files of configs/, whose data take"
    " the table's methods and have no published values",
  )
  add("--seeds", type=int, default=3, help="how many, from 0 (default: 3)")
  add(
    "--methods",
    metavar="NAME[,NAME]",
    help="`paper` for the paper's (default: these and strong baselines)",
  )
  add("--imbalance", metavar="X[,X]", help="some of the table's")
  add("--mixup", metavar="A[,A]", help="some of the table's alphas")
  add(
    "--variant",
    metavar="NAME[,NAME]",
    help="published_baseline, published_svhn, paper_scaling, uniform_qr,"
    " per_device_batch_norm, best_epoch: see configs/README.md",
  )
  add(
    "--output",
    metavar="DIR",
    default="reproduced",
    help="for runs, logs and tables (default: reproduced)",
  )
  add("--processes", type=int, default=1, help="runs at a time (default: 1)")
  add(
    "--shard",
    metavar="I/N",
    default="1/1",
    help="do the I-th of N parts; the others have the same command elsewhere",
  )
  add("--dry_run", action="store_true", help="list the runs")
  return parser


if __name__ == "__main__":
  sys.exit(main())
