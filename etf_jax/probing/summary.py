# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Tables of probed runs: means over seeds, and runs compared seed by seed.

    tables = summary.tables(rows)
    summary.markdown(tables), summary.text(tables), summary.as_csv(rows)

A row is what one run gave on one data set: `run` (a label that seeds share),
`seed`, `data`, `part` ("own" or "transfer"), and numbers; those of accuracies
are fractions.
"""

from collections.abc import Callable, Mapping, Sequence
import csv
import dataclasses
import io
from typing import Any

import numpy as np

from etf_jax.reporting import tables as result_tables

Row = Mapping[str, Any]
# The two ways to learn a classifier, and how they are called in tables.
EVALUATIONS = {"sgd": "linear, SGD", "regression": "regression, L2"}
_METRICS = {"top1": "top 1", "mean_per_class": "mean per class"}
_DIVERSITY = {"nc1": "NC1", "rank": "rank", "rank_centred": "centred rank"}


@dataclasses.dataclass(frozen=True)
class Table:
  """A table with a line above it.

  Attributes:
    title: what it shows.
    lines: cells; the first line has the headings.
  """

  title: str
  lines: Sequence[Sequence[str]]


def score(row: Row, evaluation: str) -> float:
  """The accuracy, by the metric of its data set, of one of `EVALUATIONS`."""
  return row[f"{evaluation}_{row['metric']}"]


def tables(rows: Sequence[Row]) -> list[Table]:
  """Everything there is to say of some rows.

  Args:
    rows: see above; the first run is what the others are compared with.

  Returns:
    The runs' own data, the other data sets, and, where a run has the seeds of
    the first one, the differences.
  """
  found = [_own(rows), _transfer(rows)]
  differences = _differences(rows)
  if len(differences) > 1:
    first = _labels(rows)[0]
    found.append(
      Table(
        f"Points ahead of {first}, paired by seed: mean ± standard error",
        differences,
      )
    )
  return found


def _own(rows):
  lines = [
    ["run", "trained on", "test accuracy", *_DIVERSITY.values(), "seeds"]
  ]
  for label in _labels(rows):
    chosen = [r for r in rows if r["run"] == label and r["part"] == "own"]
    lines.append(
      [
        label,
        chosen[0]["data"],
        str(result_tables.stat([r["accuracy"] for r in chosen])),
        *(_spread([r[key] for r in chosen]) for key in _DIVERSITY),
        _seeds(chosen),
      ]
    )
  return Table(
    "The runs: accuracy on their own test images in percent, and diversity of"
    " the features of their training images",
    lines,
  )


def _transfer(rows):
  headings = ["data", "run", "metric", *EVALUATIONS.values()]
  lines = [[*headings, *_DIVERSITY.values(), "seeds"]]
  for name in _data(rows):
    for label in _labels(rows):
      chosen = _select(rows, name, label)
      lines.append(
        [
          name,
          label,
          _METRICS[chosen[0]["metric"]],
          *(
            str(result_tables.stat([score(r, key) for r in chosen]))
            for key in EVALUATIONS
          ),
          *(_spread([r[key] for r in chosen]) for key in _DIVERSITY),
          _seeds(chosen),
        ]
      )
  return Table(
    "Classifiers learned on frozen features: test accuracy in percent, mean ±"
    " sample standard deviation, and diversity of their training images by"
    " their own classes",
    lines,
  )


def paired(
  rows: Sequence[Row], others: Sequence[Row], value: Callable[[Row], float]
) -> tuple[float, float | None, int]:
  """The mean difference of the seeds that both have.

  Args:
    rows: of one run, one a seed.
    others: of what is subtracted.
    value: of a row.

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


def _differences(rows):
  first, *others = _labels(rows)
  lines = [["data", "run", *EVALUATIONS.values(), "seeds"]]
  for name in _data(rows):
    for label in others:
      cells, number = [], 0
      for key in EVALUATIONS:
        mean, error, number = paired(
          _select(rows, name, label),
          _select(rows, name, first),
          lambda row, key=key: score(row, key),
        )
        shown = "-" if error is None else f"{100 * error:.2f}"
        cells.append(f"{100 * mean:+.2f} ± {shown}")
      if number:
        lines.append([name, label, *cells, str(number)])
  return lines


def text(found: Sequence[Table]) -> str:
  """Aligned, for a terminal."""
  parts = []
  for table in found:
    widths = [max(map(len, cells)) for cells in zip(*table.lines, strict=True)]
    parts.append(
      "\n".join(
        [
          table.title,
          *(
            "  ".join(
              cell.ljust(width)
              for cell, width in zip(line, widths, strict=True)
            ).rstrip()
            for line in table.lines
          ),
        ]
      )
    )
  return "\n\n".join(parts)


def markdown(found: Sequence[Table]) -> str:
  """The same as Markdown."""
  parts = []
  for table in found:
    header, *body = [
      "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |"
      for line in table.lines
    ]
    rule = "|" + "---|" * len(table.lines[0])
    parts.append("\n".join([f"{table.title}:", "", header, rule, *body]))
  return "\n\n".join(parts) + "\n"


def as_csv(rows: Sequence[Row]) -> str:
  """Every row with every number; what a row has not is left empty."""
  fields = list(dict.fromkeys(key for row in rows for key in row))
  buffer = io.StringIO()
  writer = csv.DictWriter(buffer, fields, lineterminator="\n")
  writer.writeheader()
  writer.writerows(rows)
  return buffer.getvalue()


def _labels(rows):
  return list(dict.fromkeys(row["run"] for row in rows))


def _data(rows):
  return list(
    dict.fromkeys(row["data"] for row in rows if row["part"] == "transfer")
  )


def _select(rows, name, label):
  return [
    row
    for row in rows
    if row["part"] == "transfer" and (row["data"], row["run"]) == (name, label)
  ]


def _spread(values: Sequence[float]) -> str:
  mean = f"{np.mean(values):.3g}"
  deviation = f"{np.std(values, ddof=1):.2g}" if len(values) > 1 else "-"
  return f"{mean} ± {deviation}"


def _seeds(rows) -> str:
  return f"{len(rows)} ({','.join(str(row['seed']) for row in rows)})"
