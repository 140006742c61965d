# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""What came out, beside what was published, and what may be said of it.

rows = results.rows(plan, Path("reproduced"), failed={})
pairs = results.pairs(plan, rows)

Accuracies are percentages. A mean of n seeds has the standard error s / sqrt(n)
with the sample deviation s. Nothing is claimed of fewer than three seeds, nor
of a difference below two standard errors.
"""

from collections.abc import Mapping, Sequence
import math
from pathlib import Path
from typing import NamedTuple

from etf_jax.reporting import tables
from etf_jax.reporting.tables import Stat
from etf_jax.reproductions import running, variants
from etf_jax.reproductions.facts import Value
from etf_jax.reproductions.planning import Cell, Plan
from etf_jax.runs import reader

FEWEST_SEEDS = 3
_ERRORS = 2.0  # that a claim takes


class Difference(NamedTuple):
  """Of two means, in points.

  Attributes:
    mean: ours, or the one's, minus the other.
    error: its standard error; None where it cannot be known.
    verdict: what may be said.
  """

  mean: float
  error: float | None
  verdict: str


class Row(NamedTuple):
  """A line of the table.

  Attributes:
    cell: what was planned.
    runs: the finished ones, by seed.
    last: of the last epochs.
    best: of the best epochs.
    selected_on: the split that chose those; empty without runs.
    difference: to the published value; None without either.
    state: how far the runs are, or what has happened to them.
  """

  cell: Cell
  runs: Mapping[int, reader.RunRecord]
  last: Stat
  best: Stat
  selected_on: str
  difference: Difference | None
  state: str

  def accuracies(self, kind: str = "last") -> dict[int, float]:
    """Fractions by seed."""
    return {
      seed: run.final[kind]["accuracy"] for seed, run in self.runs.items()
    }


class Pair(NamedTuple):
  """The main method minus another, seed by seed."""

  row: Row
  other: Row
  seeds: tuple[int, ...]
  difference: Difference


def rows(
  plan: Plan, output: Path, failed: Mapping[str, running.Failure]
) -> list[Row]:
  """Read the runs of a plan.

  Args:
    plan: of a target.
    output: the folder of all runs.
    failed: jobs that have failed, by name.

  Raises:
    InputError: a run cannot be read.
  """
  kind = "best" if variants.BEST_EPOCH in plan.options.variants else "last"
  held = {name: _finished(job, output) for name, job in plan.jobs.items()}
  return [_row(cell, plan, held, output, failed, kind) for cell in plan.cells]


def _finished(job, output) -> dict[int, reader.RunRecord]:
  return {
    seed: reader.load_run(running.directory(output, job, seed))
    for seed in job.seeds
    if running.finished(output, job, seed)
  }


def _row(cell, plan, held, output, failed, kind) -> Row:
  found = held[cell.job] if cell.job else {}
  finals = [run.final for run in found.values()]
  last = tables.stat([final["last"]["accuracy"] for final in finals])
  best = tables.stat([final["best"]["accuracy"] for final in finals])
  difference = None
  if finals and cell.published:
    ours = best if kind == "best" else last
    difference = from_published(ours, len(finals), cell.published)
  selected = sorted({final["best_selected_on"] for final in finals})
  return Row(
    cell,
    found,
    last,
    best,
    " or ".join(selected),
    difference,
    _state(cell, plan, found, output, failed),
  )


def _state(cell, plan, found, output, failed) -> str:
  if cell.job is None:
    return cell.waits
  if cell.job in failed:
    return f"failed: {failed[cell.job].line}"
  job = plan.jobs[cell.job]
  if len(found) == len(job.seeds):
    return "finished"
  done = sum(running.fraction(output, job, seed) for seed in job.seeds)
  return f"{100 * done / len(job.seeds):.0f} % done" if done else "not begun"


def from_published(ours: Stat, seeds: int, published: Value) -> Difference:
  """Our mean minus a published one.

  Args:
    ours: of `seeds` runs.
    seeds: how many.
    published: where its deviation or its seeds are not known, the standard
      error is that of ours alone, which is too small.
  """
  mean = ours.mean - published.mean
  if ours.deviation is None:
    return Difference(mean, None, "no claim: one seed")
  squared = ours.deviation**2 / seeds
  known = published.deviation is not None and published.seeds is not None
  if known:
    squared += published.deviation**2 / published.seeds
  error = math.sqrt(squared)
  if not known:
    verdict = "no claim: the published deviation is not known"
  elif seeds < FEWEST_SEEDS:
    verdict = f"no claim: {seeds} seeds"
  elif abs(mean) < _ERRORS * error:
    verdict = "agrees within two standard errors"
  else:
    verdict = "higher" if mean > 0 else "lower"
  return Difference(mean, error, verdict)


def pairs(plan: Plan, found: Sequence[Row]) -> list[Pair]:
  """The main method against each other one of its setting, on equal seeds."""
  held = []
  for row in found:
    if row.cell.method != plan.target.main:
      continue
    for other in found:
      alike = other.cell.setting == row.cell.setting
      if alike and other.cell.method != row.cell.method:
        pair = _pair(row, other)
        held += [pair] if pair else []
  return held


def _pair(row: Row, other: Row) -> Pair | None:
  one, two = row.accuracies(), other.accuracies()
  seeds = tuple(sorted(one.keys() & two.keys()))
  if not seeds:
    return None
  return Pair(row, other, seeds, paired([one[s] - two[s] for s in seeds]))


def paired(differences: Sequence[float]) -> Difference:
  """The mean of differences seed by seed, given as fractions."""
  found = tables.stat(differences)
  seeds = len(differences)
  if found.deviation is None:
    return Difference(found.mean, None, "no claim: one seed")
  error = found.deviation / math.sqrt(seeds)
  if seeds < FEWEST_SEEDS:
    verdict = f"no claim: {seeds} seeds"
  elif found.mean == 0 or abs(found.mean) < _ERRORS * error:
    verdict = "no claim: below two standard errors"
  else:
    verdict = "ahead" if found.mean > 0 else "behind"
  return Difference(found.mean, error, verdict)
