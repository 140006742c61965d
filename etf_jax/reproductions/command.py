# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The work of `python -m etf_jax.reproduce`, once its options are read."""

import argparse
from collections.abc import Mapping, Sequence
import logging
from pathlib import Path
import re

from etf_jax.errors import InputError
from etf_jax.reproductions import comparison, figures, jobs, results, runner
from etf_jax.training.parallel import distributed

_log = logging.getLogger("etf_jax")


def run(options: argparse.Namespace, overrides: Sequence[str]) -> int:
  """Train the runs of a target, write what came out, return the exit code.

  `overrides` are `--config.field=value`, for every run.
  """
  index, number = _shard(options.shard)
  if options.processes < 1:
    raise InputError(f"--processes={options.processes}: must be at least 1")
  wanted = jobs.reproduction(
    options.target,
    jobs.Options(
      seeds=options.seeds,
      datasets=_words(options.dataset),
      methods=_words(options.methods),
      imbalance=_numbers("--imbalance", options.imbalance),
      mixup=_numbers("--mixup", options.mixup),
      overrides=tuple(overrides),
      variants=_words(options.variant),
    ),
  )
  output = Path(options.output)
  if options.dry_run:
    print(comparison.plan(wanted, output, index, number))
    for line in figures.lacking(wanted, results.rows(wanted, output, {})):
      print(f"warning: {line}")
    return 0
  try:
    output.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise InputError(
      f"--output={output}: cannot write there: {error.strerror}; give another"
    ) from error

  def write(failed: Mapping[str, runner.Failure]) -> list[results.Row]:
    rows = results.rows(wanted, output, failed)
    comparison.write(wanted, rows, figures.figures(wanted, rows), output)
    return rows

  outcome = runner.run(
    runner.shard(wanted.jobs, index, number),
    output,
    processes=options.processes,
    log=_log.info,
    after=write,
  )
  rows = write(outcome.failed)
  print((output / f"{wanted.name}.md").read_text(encoding="utf-8"))
  print(f"table: {output / wanted.name}.md, and beside it .csv and .html")
  if outcome.stopped:
    _log.info("stopped and saved; the same command continues")
    return distributed.EXIT_PREEMPTED
  lacking = figures.lacking(wanted, rows)
  for line in lacking:
    _log.error("error: %s", line)
  return 1 if outcome.failed or lacking else 0


def _words(text: str | None) -> tuple[str, ...]:
  words = text.split(",") if text else ()
  return tuple(dict.fromkeys(word.strip() for word in words))


def _numbers(flag: str, text: str | None) -> tuple[float, ...]:
  """Read numbers with commas between."""
  numbers = []
  for word in _words(text):
    try:
      numbers.append(float(word))
    except ValueError as error:
      raise InputError(
        f"{flag}: {word!r} is no number; give some as in 0.01,0.02"
      ) from error
  return tuple(numbers)


def _shard(text: str) -> tuple[int, int]:
  match = re.fullmatch(r"(\d+)/(\d+)", text)
  index, number = map(int, match.groups()) if match else (0, 0)
  if not 1 <= index <= number:
    raise InputError(f"--shard={text}: must be i/n with 1 <= i <= n, as in 1/4")
  return index, number
