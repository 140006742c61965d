# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The table of results: one or two rows a method, means over seeds.

    print(text(["runs/digits_lt-ce-1a2b", "runs/digits_lt-etf_dr-3c4d"]))

Everything is in percent. The deviation is the sample standard deviation
(ddof 1) over seeds, and '-' for one seed. A run that has not finished enters
no mean: it gets a row of its own.
"""

from collections.abc import Iterable, Mapping, Sequence
import dataclasses
import json
import os
from typing import Any

import numpy as np

from etf_jax.evaluation import shots
from etf_jax.reporting import classes, page, tables
from etf_jax.reporting.tables import Stat, stat
from etf_jax.runs import reader

_SHOTS = {name: name for name in shots.NAMES}
_METRICS = {
  "accuracy": "accuracy",
  **_SHOTS,
  "balanced_accuracy": "balanced",
  "macro_f1": "macro F1",
}
# In words, the metrics that may head a table or choose the best evaluation.
WORDS = {
  "accuracy": "accuracy",
  "balanced_accuracy": "balanced accuracy",
  "macro_f1": "macro F1",
}
# A test set whose largest class has at most so many times the images of its
# smallest one is balanced.
_BALANCED = 1.25
# From this number of classes on the fifth guess is informative.
_TOP5_FROM = 100


@dataclasses.dataclass(frozen=True)
class ResultRow:
  """A row of the table: "last", "best" or "unfinished" of a method.

  `when` names the epochs, and for "best" what chose them; there is one of
  `stats` for each metric.
  """

  label: str
  kind: str
  when: str
  stats: tuple[Stat, ...]
  seeds: str


def metrics(
  class_counts: Sequence[int], heading: str = "accuracy"
) -> dict[str, str]:
  """Return the metrics of a training set by key, `heading` first."""
  top5 = {"top5": "top 5"} if len(class_counts) >= _TOP5_FROM else {}
  return {heading: _METRICS[heading]} | _SHOTS | _METRICS | top5


def heading_metric(test_counts: Sequence[int] | np.ndarray) -> str:
  """Return the metric that heads tables: accuracy if the test set is balanced.

  Args:
    test_counts: `[K]` test images of each class; 0 for a class without any.
  """
  present = np.asarray(test_counts)
  present = present[present > 0]
  balanced = not present.size or present.max() <= _BALANCED * present.min()
  return "accuracy" if balanced else "balanced_accuracy"


def heading_of(section: reader.Section) -> str:
  """Return the metric that heads the tables and pages of a section."""
  for group in section.groups:
    for run in group.finished:
      if run.result.get("confusion"):
        return heading_metric(np.sum(run.result["confusion"], axis=1))
  return "accuracy"


def chosen_metric(final: Mapping[str, Any]) -> str:
  """Return what chose the best evaluation of a final row, in words."""
  # Versions that had no choice took the accuracy.
  return WORDS[final.get("best_metric", "accuracy")]


def rows(section: reader.Section) -> list[ResultRow]:
  """Collect the rows of a section's table.

  For every group its last and its best epoch, over the finished seeds, and a
  row for every unfinished run.
  """
  keys = tuple(metrics(section.class_counts, heading_of(section)))
  table = []
  for group in section.groups:
    for kind in ("last", "best") if group.finished else ():
      evaluations = [run.result[kind] for run in group.finished]
      table.append(
        ResultRow(
          group.label,
          kind,
          _when(kind, group.finished, evaluations),
          tuple(stat([row.get(key) for row in evaluations]) for key in keys),
          _seeds(group),
        )
      )
    table += [_unfinished(group, run, keys) for run in group.unfinished]
  return table


def notes(section: reader.Section) -> list[str]:
  """List what a reader must know to read the table rightly."""
  finals = [run.result for group in section.groups for run in group.finished]
  lines = [
    "Percent on the test set: mean ± sample standard deviation (ddof 1) over"
    " the finished seeds; the deviation is '-' for one seed.",
    shots_note(section.class_counts, tested(section)),
  ]
  for chosen_by in sorted({_chosen_by(final) for final in finals}):
    if chosen_by.endswith("validation"):
      lines.append(
        f"best (by {chosen_by}): the epoch best on validation images."
      )
    else:
      lines.append(
        f"best (by {chosen_by}): the epoch best on the test set itself, so it"
        " flatters; the last epoch is the result."
      )
  same = _same_runs(section)
  if same:
    lines.append(
      f"{' and '.join(same)} are the same runs by two names (balanced softmax"
      " is logit adjustment at temperature 1): their difference means nothing."
    )
  if any(len(group.finished) == 1 for group in section.groups):
    lines.append(
      "A single seed is not ranked within the 95 % intervals that the number of"
      " test images gives"
      + "".join(
        f"; {group.label}: accuracy {tables.interval(ends)}"
        for group in section.groups
        if len(group.finished) == 1
        and (ends := classes.interval(group, "accuracy")) is not None
      )
      + "."
    )
  unfinished = sum(len(group.unfinished) for group in section.groups)
  if unfinished:
    lines.append(
      f"{unfinished} unfinished {'runs' if unfinished > 1 else 'run'}: shown as"
      f" far as {'they' if unfinished > 1 else 'it'} came, in no mean."
    )
  return lines


def _same_runs(section: reader.Section) -> list[str]:
  """Return the labels of groups that differ in the name of their loss only."""
  found: dict[str, list[str]] = {}
  for group in section.groups:
    config = group.first.config
    loss = config.get("loss") or {}
    at_1 = loss.get("temperature", 1) == 1
    if config["method"] == "balanced_softmax" or (
      config["method"] == "logit_adjusted" and at_1
    ):
      rest = {
        k: v
        for k, v in config.items()
        if k not in ("method", "seeds", "report", "checkpoint", "loss")
      }
      key = json.dumps(rest, sort_keys=True, default=str)
      found.setdefault(key, []).append(group.label)
  return next((labels for labels in found.values() if len(labels) > 1), [])


def tested(section: reader.Section) -> np.ndarray:
  """Return `[K]` booleans: True for a class with test images in some run."""
  evaluations = [
    run.tests[-1] for group in section.groups for run in group.runs if run.tests
  ]
  if not evaluations:
    return np.ones(len(section.class_counts), bool)
  return np.any(
    [
      [value is not None for value in row["per_class_accuracy"]]
      for row in evaluations
    ],
    axis=0,
  )


def shots_note(class_counts: Sequence[int], has_test: np.ndarray) -> str:
  """Describe the groups many, medium and few, with their numbers of classes.

  `has_test` is True for a class with test images.
  """
  group = shots.of(class_counts)
  number, known = (
    np.bincount(part, minlength=3) for part in (group, group[has_test])
  )
  many, medium, few = (
    f"{n} classes" if n == k else f"{n} classes, {k} with test images"
    for n, k in zip(number, known, strict=True)
  )
  return (
    f"many: more than {shots.MANY_ABOVE} training images ({many}); medium:"
    f" {shots.FEW_BELOW} to {shots.MANY_ABOVE} ({medium}); few: fewer than"
    f" {shots.FEW_BELOW} ({few})."
  )


def text(run_dirs: Iterable[str | os.PathLike]) -> str:
  """Format one table for each training set with its notes, for a terminal.

  Raises:
    InputError: no such directory, no run in it, or an unreadable one.
  """
  return "\n\n".join(
    "\n".join(
      [
        f"{section.title}: {section.facts}",
        tables.aligned(_cells(section), rule=True),
        *notes(section),
      ]
    )
    for section in _sections(run_dirs)
  )


def markdown(run_dirs: Iterable[str | os.PathLike]) -> str:
  """Format the same tables as Markdown; see `text`."""
  return "\n\n".join(
    "\n".join(
      [
        f"**{section.title}**: {section.facts}",
        "",
        tables.markdown(_cells(section)),
        "",
        *(f"* {note}" for note in notes(section)),
      ]
    )
    for section in _sections(run_dirs)
  )


def html(section: reader.Section) -> page.Table:
  """Create the table of a section for a page, the best means in bold."""
  table = rows(section)
  headings = metrics(section.class_counts, heading_of(section))
  best = _best_means(section, table, list(headings))
  lines = []
  for row in table:
    cells = [
      page.Cell(
        "-" if value.mean is None else f"{value.mean:.1f}",
        note=value.note,
        style="" if value.note else "none",
        strong=row.kind == "last"
        and value.mean is not None
        and value.mean == mean,
      )
      for value, mean in zip(row.stats, best, strict=True)
    ]
    lines.append(
      page.Row(
        [
          "" if row.kind == "best" else row.label,
          page.Cell(row.when, style="when"),
          *cells,
          page.Cell(row.seeds, style="seeds"),
        ],
        style=row.kind,
      )
    )
  header = ["method", "epoch", *headings.values(), "seeds"]
  return page.Table([header], [lines], style="results")


def _sections(run_dirs: Iterable[str | os.PathLike]) -> list[reader.Section]:
  return reader.sections(reader.group(reader.load_all(run_dirs)))


def _cells(section: reader.Section) -> list[list[str]]:
  headings = metrics(section.class_counts, heading_of(section)).values()
  lines = [["method", "epoch", *headings, "seeds"]]
  for row in rows(section):
    label = "" if row.kind == "best" else row.label
    lines.append([label, row.when, *map(str, row.stats), row.seeds])
  return lines


def _when(
  kind: str,
  finished: Sequence[reader.RunRecord],
  evaluations: Sequence[Mapping[str, Any]],
) -> str:
  epochs = sorted({row["epoch"] for row in evaluations})
  text = f"{kind} {epochs[0]:g}"
  if len(epochs) > 1:
    text += f"-{epochs[-1]:g}"
  if kind == "last":
    return text
  chosen_by = sorted({_chosen_by(run.result) for run in finished})
  return f"{text} (by {' or '.join(chosen_by)})"


def _chosen_by(final: Mapping[str, Any]) -> str:
  return f"{chosen_metric(final)} on {final['best_selected_on']}"


def _seeds(group: reader.Group) -> str:
  seeds = [run.seed for run in group.finished]
  listed = ",".join(map(str, seeds))
  if len(seeds) > 3 and seeds == list(range(seeds[0], seeds[-1] + 1)):
    listed = f"{seeds[0]}-{seeds[-1]}"
  return f"{len(seeds)} ({listed})"


def _unfinished(
  group: reader.Group, run: reader.RunRecord, keys: Sequence[str]
) -> ResultRow:
  row: Mapping[str, Any] = run.tests[-1] if run.tests else {}
  return ResultRow(
    group.label,
    "unfinished",
    f"unfinished, at {run.epoch:.3g}",
    tuple(stat([row.get(key)]) for key in keys),
    f"1 ({run.seed})",
  )


def _best_means(
  section: reader.Section, table: Sequence[ResultRow], keys: Sequence[str]
) -> list[float | None]:
  """Return the mean to print in bold by metric; None if none stands out."""
  groups = [group for group in section.groups if group.finished]
  last = [row for row in table if row.kind == "last"]
  best: list[float | None] = []
  for column, key in enumerate(keys):
    means = [row.stats[column].mean for row in last]
    order = sorted(
      (k for k, mean in enumerate(means) if mean is not None),
      key=lambda k: -(means[k] or 0),
    )
    stands_out = len(order) > 1 and classes.separated(
      groups[order[0]], groups[order[1]], key
    )
    best.append(means[order[0]] if stands_out else None)
  return best
