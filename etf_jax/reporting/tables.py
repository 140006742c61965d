# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The table of results: one or two rows a method, mean and deviation of seeds.

    print(text(["runs/digits_lt-ce-1a2b", "runs/digits_lt-etf_dr-3c4d"]))

Everything is in percent. The deviation is the sample standard deviation
(ddof 1) over seeds, and '-' for one seed. A run that has not finished is
never averaged: it gets a row of its own.
"""

from collections.abc import Iterable, Mapping, Sequence
import dataclasses
import html as escaping
import os
from typing import Any

import numpy as np

from etf_jax.evaluation import shots
from etf_jax.runs import reader

_COLUMNS = {
  "accuracy": "accuracy",
  "many": "many",
  "medium": "medium",
  "few": "few",
  "balanced_accuracy": "balanced",
  "macro_f1": "macro F1",
  "ece": "ECE",
}
# From here on the fifth guess says something.
_TOP5_FROM = 100


@dataclasses.dataclass(frozen=True)
class Stat:
  """Mean and sample standard deviation, in percent; None where undefined."""

  mean: float | None
  deviation: float | None

  def __str__(self) -> str:
    if self.mean is None:
      return "-"
    deviation = "-" if self.deviation is None else f"{self.deviation:.1f}"
    return f"{self.mean:.1f} ± {deviation}"


@dataclasses.dataclass(frozen=True)
class TableRow:
  """One line of the table."""

  label: str
  kind: str  # "last", "best" or "unfinished".
  when: str
  stats: tuple[Stat, ...]
  seeds: str


def stat(values: Sequence[float | None]) -> Stat:
  """Average fractions over seeds.

  Args:
    values: one per seed, in [0, 1]; None where a seed has no such number.

  Returns:
    Percentages; no mean unless every seed has a number, no deviation for
    one seed.
  """
  if not values or any(value is None for value in values):
    return Stat(None, None)
  percent = 100 * np.asarray(values, np.float64)
  deviation = float(percent.std(ddof=1)) if len(values) > 1 else None
  return Stat(float(percent.mean()), deviation)


def columns(section: reader.Section) -> dict[str, str]:
  """The metrics shown for a section, and their headings."""
  shown = dict(_COLUMNS)
  if len(section.class_counts) >= _TOP5_FROM:
    shown["top5"] = "top 5"
  return shown


def rows(section: reader.Section) -> list[TableRow]:
  """The lines of one section's table.

  Args:
    section: groups with the same training set.

  Returns:
    For every group its last epoch and its best, over the finished seeds, and
    one line for every unfinished run.
  """
  keys = tuple(columns(section))
  table = []
  for group in section.groups:
    finished = group.finished
    for kind in ("last", "best") if finished else ():
      found = [run.final[kind] for run in finished]
      table.append(
        TableRow(
          group.label,
          kind,
          _when(kind, finished, found),
          tuple(stat([row.get(key) for row in found]) for key in keys),
          _seeds(group),
        )
      )
    table += [_unfinished(group, run, keys) for run in group.unfinished]
  return table


def notes(section: reader.Section) -> list[str]:
  """What a reader must know to read the table rightly."""
  finals = [run.final for group in section.groups for run in group.finished]
  said = [
    "Percent on the test set: mean ± sample standard deviation (ddof 1) over"
    " the finished seeds; the deviation is '-' for one seed.",
    _shots_note(section.class_counts),
  ]
  by = {final["best_selected_on"] for final in finals}
  if "validation" in by:
    said.append("best (by validation): the epoch best on validation images.")
  if "test" in by:
    said.append(
      "best (by test): the epoch best on the test set itself, so it"
      " flatters; the last epoch is the result."
    )
  left = sum(len(group.unfinished) for group in section.groups)
  if left:
    said.append(
      f"{left} unfinished {'runs' if left > 1 else 'run'}: shown as far as"
      f" {'they' if left > 1 else 'it'} came, in no mean."
    )
  return said


def text(run_dirs: Iterable[str | os.PathLike]) -> str:
  """One aligned table per training set, for a terminal.

  Args:
    run_dirs: run directories, or directories that hold some.

  Returns:
    The tables with their notes.

  Raises:
    InputError: no such directory, no run in it, or an unreadable one.
  """
  return "\n\n".join(text_of(section) for section in _sections(run_dirs))


def markdown(run_dirs: Iterable[str | os.PathLike]) -> str:
  """The same as Markdown; see `text`."""
  parts = []
  for section in _sections(run_dirs):
    lines = [f"**{section.title}**: {section.facts}", ""]
    lines += [markdown_table(_cells(section)), ""]
    lines += [f"* {note}" for note in notes(section)]
    parts.append("\n".join(lines))
  return "\n\n".join(parts)


def markdown_table(lines: Sequence[Sequence[str]]) -> str:
  """Return cells as a Markdown table; the first line is its header."""
  header, *body = [
    "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |"
    for line in lines
  ]
  return "\n".join([header, "|" + "---|" * len(lines[0]), *body])


def aligned(lines: Sequence[Sequence[str]]) -> str:
  """Return cells for a terminal, a rule below the first line."""
  widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
  rows = [
    "  ".join(
      cell.ljust(width) for cell, width in zip(line, widths, strict=True)
    ).rstrip()
    for line in lines
  ]
  rows.insert(1, "-" * (sum(widths) + 2 * (len(widths) - 1)))
  return "\n".join(rows)


def text_of(section: reader.Section) -> str:
  """One section's table for a terminal."""
  title = f"{section.title}: {section.facts}"
  return "\n".join([title, aligned(_cells(section)), *notes(section)])


def html(section: reader.Section) -> str:
  """One section's table as an HTML element, the best means in bold."""
  table = rows(section)
  best = _best_means(table, list(columns(section)))
  headings = "".join(f"<th>{name}</th>" for name in columns(section).values())
  lines = [
    "<table class='results'><thead><tr><th>method</th><th>epoch</th>"
    f"{headings}<th>seeds</th></tr></thead><tbody>"
  ]
  for row in table:
    # Long names may break after an underscore, which helps on a phone.
    label = escaping.escape(row.label).replace("_", "_<wbr>")
    label = "" if row.kind == "best" else label
    cells = "".join(
      _html_cell(value, row.kind == "last" and value.mean == mean)
      for value, mean in zip(row.stats, best, strict=True)
    )
    lines.append(
      f"<tr class='{row.kind}'><th scope='row'>{label}</th>"
      f"<td class='when'>{escaping.escape(row.when)}</td>{cells}"
      f"<td class='seeds'>{escaping.escape(row.seeds)}</td></tr>"
    )
  return "\n".join([*lines, "</tbody></table>"])


def _sections(run_dirs: Iterable[str | os.PathLike]):
  return reader.sections(reader.group(reader.load_all(run_dirs)))


def _cells(section: reader.Section) -> list[list[str]]:
  lines = [["method", "epoch", *columns(section).values(), "seeds"]]
  for row in rows(section):
    label = "" if row.kind == "best" else row.label
    lines.append([label, row.when, *map(str, row.stats), row.seeds])
  return lines


def _when(
  kind: str, finished: Sequence[reader.RunRecord], found: Sequence[Mapping]
) -> str:
  epochs = sorted({row["epoch"] for row in found})
  shown = f"{epochs[0]:g}"
  if len(epochs) > 1:
    shown += f"-{epochs[-1]:g}"
  if kind == "last":
    return f"last {shown}"
  by = sorted({run.final["best_selected_on"] for run in finished})
  return f"best {shown} (by {' or '.join(by)})"


def _seeds(group: reader.Group) -> str:
  seeds = [run.seed for run in group.finished]
  listed = ",".join(map(str, seeds))
  if len(seeds) > 3 and seeds == list(range(seeds[0], seeds[-1] + 1)):
    listed = f"{seeds[0]}-{seeds[-1]}"
  return f"{len(seeds)} ({listed})"


def _unfinished(
  group: reader.Group, run: reader.RunRecord, keys: Sequence[str]
) -> TableRow:
  row: Mapping[str, Any] = run.tests[-1] if run.tests else {}
  return TableRow(
    group.label,
    "unfinished",
    f"unfinished, at {run.epoch:.3g}",
    tuple(stat([row.get(key)]) for key in keys),
    f"1 ({run.seed})",
  )


def _shots_note(class_counts: Sequence[int]) -> str:
  number = np.bincount(shots.of(class_counts), minlength=3)
  return (
    f"many: more than {shots.MANY_ABOVE} training images"
    f" ({number[0]} classes); medium: {shots.FEW_BELOW} to"
    f" {shots.MANY_ABOVE} ({number[1]}); few: fewer than"
    f" {shots.FEW_BELOW} ({number[2]})."
  )


def _best_means(
  table: Sequence[TableRow], keys: Sequence[str]
) -> list[float | None]:
  last = [row for row in table if row.kind == "last"]
  best = []
  for column, key in enumerate(keys):
    means = [row.stats[column].mean for row in last]
    known = [mean for mean in means if mean is not None]
    choose = min if key == "ece" else max
    best.append(choose(known) if len(known) > 1 else None)
  return best


def _html_cell(value: Stat, bold: bool) -> str:
  if value.mean is None:
    return "<td class='none'>-</td>"
  mean = f"<b>{value.mean:.1f}</b>" if bold else f"{value.mean:.1f}"
  deviation = "-" if value.deviation is None else f"{value.deviation:.1f}"
  return f"<td>{mean}<span class='sd'> ± {deviation}</span></td>"
