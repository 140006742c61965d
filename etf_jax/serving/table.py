# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The rows of `evaluate` as text for a terminal."""

from collections.abc import Sequence
import math
from typing import Any

import numpy as np

from etf_jax.evaluation import shots

# What is shown of an evaluation, and what it is called.
METRICS = {
  "accuracy": "accuracy",
  **{name: name for name in shots.NAMES},
  "balanced_accuracy": "balanced",
  "macro_f1": "macro F1",
  "ece": "ECE",
}
# From here on the fifth guess says something.
_TOP5_FROM = 100


def text(rows: Sequence[dict[str, Any]], class_counts: Sequence[int]) -> str:
  """Aligned tables, in percent: the splits, then the coverages of each.

  Args:
    rows: see `evaluate.row`, with `split`.
    class_counts: `[K]` training images of each class.
  """
  columns = dict(METRICS)
  if len(class_counts) >= _TOP5_FROM:
    columns["top5"] = "top 5"
  if any(row["temperature"] != 1 for row in rows):
    columns["ece_calibrated"] = "ECE calibrated"
  parts = [
    aligned(
      [
        ["split", "images", *columns.values()],
        *(
          [row["split"], f"{row['images']:,}"]
          + [percent(row[key]) for key in columns]
          for row in rows
        ),
      ]
    ),
    _groups(class_counts),
  ]
  for row in rows:
    parts += ["", _coverage(row)]
  return "\n".join(parts)


def _groups(class_counts):
  number = np.bincount(shots.of(class_counts), minlength=3)
  said = (f"{name} {n}" for name, n in zip(shots.NAMES, number, strict=True))
  return (
    f"percent; classes by training images (more than {shots.MANY_ABOVE},"
    f" {shots.FEW_BELOW} to {shots.MANY_ABOVE}, fewer):"
    f" {', '.join(said)}"
  )


def _coverage(row):
  lines = [
    ["answered", "surest by angle", "up to", "by probability", "down to"]
  ]
  lines += [
    [
      percent(entry["coverage"]),
      percent(entry["accuracy_by_angle"]),
      f"{math.degrees(entry['angle']):.1f} deg",
      percent(entry["accuracy_by_probability"]),
      percent(entry["probability"]),
    ]
    for entry in row["coverage"]
  ]
  areas = [
    [
      "area under risk",
      _area(row["aurc_angle"]),
      "",
      _area(row["aurc_probability"]),
      "",
    ]
  ]
  return f"{row['split']}: accuracy of the surest answers\n" + aligned(
    lines + areas
  )


def _area(value):
  return f"{100 * value:.2f}"


def percent(value: float | None) -> str:
  """A share with one decimal, or a dash."""
  return "-" if value is None else f"{100 * value:.1f}"


def aligned(lines: Sequence[Sequence[str]]) -> str:
  """Lines of as many cells each, in columns."""
  widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
  return "\n".join(
    "  ".join(
      cell.ljust(width) for cell, width in zip(line, widths, strict=True)
    ).rstrip()
    for line in lines
  )
