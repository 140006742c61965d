# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Our runs beside the published values, and what may be said of them.

rows = results.rows(wanted, Path("reproduced"), failed={})
pairs = results.pairs(wanted, rows)

Accuracies are percentages. A mean of n seeds has the standard error s / sqrt(n)
with the sample deviation s. Nothing is claimed of fewer than three seeds, nor
of a difference below two standard errors.
"""

from collections.abc import Mapping, Sequence
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from etf_jax.reporting import tables
from etf_jax.reporting.tables import Stat
from etf_jax.reproductions import runner, variants
from etf_jax.reproductions.jobs import Cell, Reproduction
from etf_jax.reproductions.targets import Value
from etf_jax.runs import reader

FEWEST_SEEDS = 3
_ERRORS = 2.0  # standard errors that a claim takes


class Difference(NamedTuple):
  """Difference of two means in points, and what may be said of it.

  The standard error is None where it cannot be known.
  """

  mean: float
  error: float | None
  verdict: str

  def __str__(self) -> str:
    error = "-" if self.error is None else f"{self.error:.2f}"
    return f"{self.mean:+.2f} ({error})"


class Row(NamedTuple):
  """A line of the table: the finished runs of a cell, by seed.

  `last` and `best` are accuracies; `selected_on` is the split that chose the
  best epochs; `difference` is ours minus the published value.
  """

  cell: Cell
  runs: Mapping[int, reader.RunRecord]
  last: Stat
  best: Stat
  selected_on: str
  difference: Difference | None
  state: str

  def accuracies(self) -> dict[int, float]:
    """Return the accuracies of the last epoch by seed, in [0, 1]."""
    return {
      seed: run.final["last"]["accuracy"]
      for seed, run in self.runs.items()
      if run.final
    }


class Pair(NamedTuple):
  """The main method compared with another, seed by seed."""

  setting: str
  methods: str
  seeds: tuple[int, ...]
  difference: Difference
  published: float | None


def rows(
  wanted: Reproduction, output: Path, failed: Mapping[str, runner.Failure]
) -> list[Row]:
  """Read the finished runs of a reproduction from the output folder."""
  runs = {
    name: {
      seed: reader.load_run(runner.directory(output, job, seed))
      for seed in job.seeds
      if runner.finished(output, job, seed)
    }
    for name, job in wanted.jobs.items()
  }
  return [
    _row(cell, wanted, runs.get(cell.job or "", {}), output, failed)
    for cell in wanted.cells
  ]


def _row(cell, wanted, runs, output, failed) -> Row:
  finals = [run.final for run in runs.values()]
  last, best = (
    tables.stat([final[kind]["accuracy"] for final in finals])
    for kind in ("last", "best")
  )
  difference = None
  if finals and cell.published:
    of_best = variants.BEST_EPOCH in wanted.options.variants
    ours = best if of_best else last
    difference = from_published(ours, len(finals), cell.published)
  selected = sorted({final["best_selected_on"] for final in finals})
  state = _state(cell, wanted, runs, output, failed)
  return Row(cell, runs, last, best, " or ".join(selected), difference, state)


def _state(cell, wanted, runs, output, failed) -> str:
  if cell.job is None:
    return cell.waits
  if cell.job in failed:
    return f"failed: {failed[cell.job].line}"
  job = wanted.jobs[cell.job]
  if len(runs) == len(job.seeds):
    return "finished"
  done = sum(runner.fraction(output, job, seed) for seed in job.seeds)
  return f"{100 * done / len(job.seeds):.0f} % done" if done else "not begun"


def from_published(ours: Stat, seeds: int, published: Value) -> Difference:
  """Subtract a published mean from ours, the mean over `seeds` runs.

  Where the published deviation or seeds are not known, the standard error is
  that of ours, which is too small.
  """
  assert ours.mean is not None
  mean = ours.mean - published.mean
  if ours.deviation is None:
    return Difference(mean, None, "no claim: one seed")
  squared = ours.deviation**2 / seeds
  known = published.deviation is not None and published.seeds is not None
  if published.deviation is not None and published.seeds is not None:
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


def pairs(wanted: Reproduction, found: Sequence[Row]) -> list[Pair]:
  """Compare the main method with each other one, on equal seeds.

  Behind the settings stand the means over each family of settings, as the
  "average improvement" of Yang et al.: a seed counts that has all of them.
  """
  main = wanted.target.main
  families: dict[tuple[str, str], list] = {}
  listed: list[Pair] = []
  for row in found:
    if row.cell.method != main:
      continue
    for other in found:
      setting = row.cell.setting
      if other.cell.setting != setting or other.cell.method == main:
        continue
      one, two = row.accuracies(), other.accuracies()
      seeds = one.keys() & two.keys()
      gains = {seed: one[seed] - two[seed] for seed in sorted(seeds)}
      published = None
      if row.cell.published and other.cell.published:
        published = row.cell.published.mean - other.cell.published.mean
      methods = f"{row.cell.label} minus {other.cell.label}"
      if setting.family:
        key = (setting.family, methods)
        families.setdefault(key, []).append((gains, published))
      if gains:
        difference = paired(list(gains.values()))
        listed.append(
          Pair(setting.label, methods, tuple(gains), difference, published)
        )
  for (family, methods), members in families.items():
    common = set.intersection(*(set(gains) for gains, _ in members))
    if common and len(members) > 1:
      means = [np.mean([g[seed] for g, _ in members]) for seed in common]
      gaps = [gap for _, gap in members]
      average = None if None in gaps else float(np.mean(gaps))
      label = f"{family}, mean of {len(members)} settings"
      listed.append(
        Pair(label, methods, tuple(sorted(common)), paired(means), average)
      )
  return listed


def paired(differences: Sequence[float]) -> Difference:
  """Average differences seed by seed, given as fractions."""
  found = tables.stat(differences)
  assert found.mean is not None
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
