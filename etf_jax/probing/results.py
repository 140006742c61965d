# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Tables of probed runs: means over seeds, and runs compared seed by seed.

    tables = results.tables(rows)
    results.markdown(tables), results.text(tables), results.as_csv(rows)

A row is the result of one run on one data set: `run` (a label that the seeds of
one configuration share), `seed`, `data`, `part` ("source" or "transfer"), and
numbers; accuracies are fractions.
"""

from collections.abc import Callable, Mapping, Sequence
import csv
import functools
import io
import operator
from typing import Any, NamedTuple

import numpy as np

from etf_jax.reporting import tables as reporting_tables

Row = Mapping[str, Any]
# The two ways to learn a classifier, and their names in tables.
EVALUATIONS = {"sgd": "linear, SGD", "regression": "regression, L2"}
_METRICS = {"top1": "top 1", "mean_per_class": "mean per class"}
_DIVERSITY = {"nc1": "NC1", "rank": "rank", "rank_centred": "centred rank"}


class Table(NamedTuple):
  """A table with a line above it; the first line of cells is its header."""

  title: str
  lines: list[list[str]]


def score(row: Row, evaluation: str) -> float:
  """Return an accuracy, by the metric of the data set, in [0, 1]."""
  return row[f"{evaluation}_{row['metric']}"]


def tables(rows: Sequence[Row]) -> list[Table]:
  """Return the tables of some rows, the first run as the one compared with.

  The runs' training data, the other data sets with the mean over them, and,
  where a run has the seeds of the first one, the differences.
  """
  found = [_sources(rows), _transfers(rows)]
  differences = _differences(rows)
  if len(differences) > 1:
    title = "paired by seed: mean ± standard error"
    first = _labels(rows)[0]
    found.append(Table(f"Points ahead of {first}, {title}", differences))
  return found


def means(rows: Sequence[Row], label: str) -> list[dict[str, Any]]:
  """Average over several data sets, a row for each seed of a run."""
  names = _data(rows)
  by_seed: dict[int, list[Row]] = {}
  for name in names:
    for row in _select(rows, name, label):
      by_seed.setdefault(row["seed"], []).append(row)
  return [
    {"seed": seed}
    | {
      key: float(np.mean([score(r, key) for r in chosen]))
      for key in EVALUATIONS
    }
    for seed, chosen in by_seed.items()
    if len(chosen) == len(names) > 1
  ]


def _sources(rows: Sequence[Row]) -> Table:
  header = ["run", "trained on", "test accuracy", *_DIVERSITY.values(), "seeds"]
  lines = [header]
  for label in _labels(rows):
    chosen = [r for r in rows if r["run"] == label and r["part"] == "source"]
    accuracy = reporting_tables.stat([r["accuracy"] for r in chosen])
    lines.append([label, chosen[0]["data"], str(accuracy), *_rest(chosen)])
  return Table(
    "The runs: accuracy on the test images of their data in percent, and"
    " diversity of the features of their training images",
    lines,
  )


def _transfers(rows: Sequence[Row]) -> Table:
  header = ["data", "run", "metric", *EVALUATIONS.values()]
  lines = [[*header, *_DIVERSITY.values(), "seeds"]]
  for name in _data(rows):
    for label in _labels(rows):
      chosen = _select(rows, name, label)
      scores = [
        str(reporting_tables.stat([score(r, key) for r in chosen]))
        for key in EVALUATIONS
      ]
      metric = _METRICS[chosen[0]["metric"]]
      lines.append([name, label, metric, *scores, *_rest(chosen)])
  for label in _labels(rows):
    if average := means(rows, label):
      scores = [
        str(reporting_tables.stat([row[key] for row in average]))
        for key in EVALUATIONS
      ]
      blank = ["-"] * len(_DIVERSITY)
      name = f"mean of {len(_data(rows))}"
      lines.append([name, label, "", *scores, *blank, _seeds(average)])
  return Table(
    "Classifiers learned on frozen features: test accuracy in percent, mean ±"
    " sample standard deviation, and diversity of the training images by their"
    " classes",
    lines,
  )


def paired(
  rows: Sequence[Row], others: Sequence[Row], value: Callable[[Row], float]
) -> tuple[float, float | None, int]:
  """Average the differences of the seeds that two runs have in common.

  Returns:
    The mean, its standard error (None for one seed), and the number of seeds;
    NaN, None and 0 if they share none.
  """
  before = {row["seed"]: value(row) for row in others}
  found = np.array(
    [value(row) - before[row["seed"]] for row in rows if row["seed"] in before]
  )
  if not found.size:
    return float("nan"), None, 0
  error = None
  if found.size > 1:
    error = float(found.std(ddof=1) / np.sqrt(found.size))
  return float(found.mean()), error, int(found.size)


def _differences(rows: Sequence[Row]) -> list[list[str]]:
  first, *others = _labels(rows)
  names = _data(rows)
  lines = [["data", "run", *EVALUATIONS.values(), "seeds"]]
  for name in [*names, ""] if len(names) > 1 else names:
    for label in others:
      cells, number = [], 0
      for key in EVALUATIONS:
        if name:
          one, two = (_select(rows, name, run) for run in (label, first))
          mean, error, number = paired(
            one, two, functools.partial(score, evaluation=key)
          )
        else:
          averages = means(rows, label), means(rows, first)
          mean, error, number = paired(*averages, operator.itemgetter(key))
        shown = "-" if error is None else f"{100 * error:.2f}"
        cells.append(f"{100 * mean:+.2f} ± {shown}")
      if number:
        title = name or f"mean of {len(names)}"
        lines.append([title, label, *cells, str(number)])
  return lines


def text(found: Sequence[Table]) -> str:
  """Return aligned tables for a terminal."""
  return "\n\n".join(
    f"{t.title}\n{reporting_tables.aligned(t.lines, rule=True)}" for t in found
  )


def markdown(found: Sequence[Table]) -> str:
  """Return the tables as Markdown."""
  parts = [f"{t.title}:\n\n{reporting_tables.markdown(t.lines)}" for t in found]
  return "\n\n".join(parts) + "\n"


def as_csv(rows: Sequence[Row]) -> str:
  """Return every row with every number; a missing one is empty."""
  fields = list(dict.fromkeys(key for row in rows for key in row))
  buffer = io.StringIO()
  writer = csv.DictWriter(buffer, fields, lineterminator="\n")
  writer.writeheader()
  writer.writerows(rows)
  return buffer.getvalue()


def _labels(rows: Sequence[Row]) -> list[str]:
  return list(dict.fromkeys(row["run"] for row in rows))


def _data(rows: Sequence[Row]) -> list[str]:
  transfers = [row for row in rows if row["part"] == "transfer"]
  return list(dict.fromkeys(row["data"] for row in transfers))


def _select(rows: Sequence[Row], name: str, label: str) -> list[Row]:
  return [
    row
    for row in rows
    if row["part"] == "transfer" and (row["data"], row["run"]) == (name, label)
  ]


def _rest(rows: Sequence[Row]) -> list[str]:
  """Return the cells of diversity and seeds."""
  cells = []
  for key in _DIVERSITY:
    numbers = [row[key] for row in rows]
    spread = f"{np.std(numbers, ddof=1):.2g}" if len(numbers) > 1 else "-"
    cells.append(f"{np.mean(numbers):.3g} ± {spread}")
  return [*cells, _seeds(rows)]


def _seeds(rows: Sequence[Row]) -> str:
  return f"{len(rows)} ({','.join(str(row['seed']) for row in rows)})"
