# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
r"""Runs the papers' tables and figures, and writes them beside what they say.

In use::

    python -m etf_jax.reproduce table1 --dry_run
    python -m etf_jax.reproduce table1 --imbalance=0.01 --methods=ce,etf_dr
    python -m etf_jax.reproduce table1 --dataset=fashion_mnist_lt:cpu
    python -m etf_jax.reproduce figure3 --config.dtype=bfloat16
    python -m etf_jax.reproduce table2 --shard=1/4 --variant=published_svhn

The same command goes on where it stopped; runs that are finished are not run
again, whichever table asked for them first. Exit codes: 0 done; 1 some runs
have failed, and the table names them; 2 the message says what to mend; 75
stopped by SIGTERM or Ctrl-C, all saved.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
import re
import sys

from etf_jax.errors import InputError
from etf_jax.training.parallel import distributed


def main(argv: Sequence[str] | None = None) -> int:
  """Run the command and returns its exit code."""
  try:
    options, overrides = _parse(sys.argv[1:] if argv is None else list(argv))
    index, number = _shard(options.shard)
    if options.processes < 1:
      raise InputError(f"--processes={options.processes} must be at least 1")
    # Imported late, so that a mistyped command is answered at once.
    from etf_jax.reproductions import planning

    plan = planning.plan(
      options.target,
      planning.Options(
        seeds=options.seeds,
        datasets=_words(options.dataset),
        methods=_words(options.methods),
        imbalance=_numbers("--imbalance", options.imbalance),
        mixup=_numbers("--mixup", options.mixup),
        overrides=tuple(overrides),
        variants=_words(options.variant),
      ),
    )
    if options.dry_run:
      from etf_jax.reproductions import dry_run

      print(dry_run.text(plan, Path(options.output), index, number))
      return 0
    return _run(plan, Path(options.output), options.processes, index, number)
  except InputError as error:
    print(f"error: {error}", file=sys.stderr)
    return 2


def _run(plan, output, processes, index, number) -> int:
  from etf_jax.reproductions import figures, pages, results, running

  try:
    output.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise InputError(
      f"cannot write to --output={output}: {error.strerror}; give another"
    ) from error

  def write(failed):
    rows = results.rows(plan, output, failed)
    return pages.write(plan, rows, figures.of(plan, rows), output)

  jobs = running.shard(plan.jobs, index, number)
  outcome = running.run(
    jobs, output, processes=processes, say=_say, after=write
  )
  page, *_ = write(outcome.failed)
  print(page.with_suffix(".md").read_text(encoding="utf-8"))
  print(f"table: {page}, and beside it .md and .csv")
  if outcome.stopped:
    print("stopped and saved; the same command continues", file=sys.stderr)
    return distributed.EXIT_PREEMPTED
  return 1 if outcome.failed else 0


def _say(line: str) -> None:
  print(line, file=sys.stderr, flush=True)


def _words(text: str | None) -> tuple[str, ...]:
  return (
    tuple(dict.fromkeys(w.strip() for w in text.split(","))) if text else ()
  )


def _numbers(flag: str, text: str | None) -> tuple[float, ...]:
  """Numbers with commas between."""
  found = []
  for word in _words(text):
    try:
      found.append(float(word))
    except ValueError as error:
      raise InputError(
        f"{flag}: {word!r} is no number; give some as in 0.01,0.02"
      ) from error
  return tuple(found)


def _shard(text: str) -> tuple[int, int]:
  match = re.fullmatch(r"(\d+)/(\d+)", text)
  index, number = map(int, match.groups()) if match else (0, 0)
  if not 1 <= index <= number:
    raise InputError(f"--shard={text} must be i/n with 1 <= i <= n, as in 1/4")
  return index, number


class _Parser(argparse.ArgumentParser):
  """Says what is wrong in one line."""

  def error(self, message: str):
    raise InputError(f"{message}; see {self.prog} --help")


def _parse(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
  """The options, and the fields of configs that the command line changes."""
  overrides = [word for word in argv if re.match(r"--config\.\w", word)]
  for word in overrides:
    if "=" not in word:
      raise InputError(f"{word} has no value: write {word}=VALUE")
  rest = [word for word in argv if word not in overrides]
  return _parser().parse_args(rest), overrides


def _parser() -> argparse.ArgumentParser:
  parser = _Parser(
    prog="python -m etf_jax.reproduce",
    description=__doc__.splitlines()[0],
    allow_abbrev=False,
  )
  parser.add_argument(
    "target",
    metavar="TARGET",
    help="table1 to table4, figure3 to figure6, leaderboard, hinge_table1 to"
    " hinge_table3, hinge_figure1, hinge_figure3 to hinge_figure6",
  )
  parser.add_argument(
    "--dataset",
    metavar="NAME[,NAME]",
    help="of the table's data these alone; or other files of configs/, whose"
    " data take the table's methods and have no published values",
  )
  parser.add_argument(
    "--seeds", type=int, default=3, help="how many, from 0 (default: 3)"
  )
  parser.add_argument(
    "--methods",
    metavar="NAME[,NAME]",
    help="`paper` for the paper's own (default: these and strong baselines)",
  )
  parser.add_argument("--imbalance", metavar="X[,X]", help="these alone")
  parser.add_argument("--mixup", metavar="A[,A]", help="these alphas alone")
  parser.add_argument(
    "--variant",
    metavar="NAME[,NAME]",
    help="published_baseline, published_svhn, paper_scaling,"
    " per_device_batch_norm, best_epoch: see configs/README.md",
  )
  parser.add_argument(
    "--output",
    metavar="DIR",
    default="reproduced",
    help="for runs, logs and tables (default: reproduced)",
  )
  parser.add_argument(
    "--processes", type=int, default=1, help="runs at a time (default: 1)"
  )
  parser.add_argument(
    "--shard",
    metavar="I/N",
    default="1/1",
    help="do the I-th of N parts; the others have the same command elsewhere",
  )
  parser.add_argument(
    "--dry_run", action="store_true", help="print the plan and its cost"
  )
  parser.epilog = "--config.FIELD=VALUE changes a field of every run."
  return parser


if __name__ == "__main__":
  sys.exit(main())
