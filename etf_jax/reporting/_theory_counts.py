# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Which classes of one training set collapse, as tables and figures.

A sweep holds, for K classes and L values of lambda_Z: ``class_counts [K]``,
``lambda_z [L]``, ``lambda_b`` or None, ``levels`` and ``merged``,
``largest_cosine``, ``relative_norm`` and ``collapsed``, all `[K, L]`,
``thresholds [K]``, ``starts [K]``, ``reference``, ``gap``, ``seconds``.
"""

from collections.abc import Iterable, Sequence
import csv
import io
from typing import Any

import numpy as np

from etf_jax.reporting import theory_plots
from etf_jax.reporting.figures import style
from etf_jax.reporting.theory_page import Table, TheoryFigure

# More classes than this are printed in groups, at most so many.
_LISTED, _GROUPS = style.NAMED, 12


def header(sweep: Any) -> list[str]:
  """Name of the columns of `rows` and `groups`."""
  when = "collapsed" if sweep.lambda_z.size == 1 else "collapses from"
  return ["samples", when, "closed form", "largest cosine", "relative length"]


def rows(sweep: Any) -> list[list[str]]:
  """One row a class, in the order given: its number, then `header`."""
  return [
    [str(k), *_cells(sweep, np.array([k]))]
    for k in range(sweep.class_counts.size)
  ]


def groups(sweep: Any) -> list[list[str]]:
  """Rows of neighbouring classes by count, largest first: how many, `header`.

  Classes of equal counts stay together where there are few different counts.
  """
  counts = sweep.class_counts
  order = np.argsort(-counts, kind="stable")
  values = np.unique(counts)
  if values.size <= _GROUPS:
    parts = [np.flatnonzero(counts == value) for value in values[::-1]]
  else:
    parts = np.array_split(order, _GROUPS)
  return [[str(part.size), *_cells(sweep, part)] for part in parts]


def text(sweep: Any) -> str:
  """What is printed: a sentence, and a table by class or by group."""
  listed = sweep.class_counts.size <= _LISTED
  table = rows(sweep) if listed else groups(sweep)
  lines = [["class" if listed else "classes", *header(sweep)], *table]
  widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
  return "\n".join(
    [
      f"{_about(sweep)}, solved in {sweep.seconds:.1f} s.",
      _which(sweep),
      *(
        "  ".join(
          cell.rjust(width) for cell, width in zip(line, widths, strict=True)
        )
        for line in lines
      ),
    ]
  )


def as_csv(sweep: Any) -> str:
  """A row for each class and lambda_Z at full precision.

  Cosines and lengths are nan where they are undefined; the two columns about a
  class are empty where there is no such lambda_Z.
  """
  out = io.StringIO()
  writer = csv.writer(out, lineterminator="\n")
  writer.writerow(
    (
      *("class", "samples", "lambda_z", "largest_cosine", "relative_length"),
      *("collapsed", "collapses_from_lambda_z", "closed_form_lambda_z"),
    )
  )
  for k, count in enumerate(sweep.class_counts):
    about = [sweep.starts[k], sweep.thresholds[k]]
    about = ["" if np.isnan(value) else f"{value:.9g}" for value in about]
    for at, value in enumerate(sweep.lambda_z):
      numbers = [value, sweep.largest_cosine[k, at], sweep.relative_norm[k, at]]
      line = [k, f"{count:.16g}", *(f"{number:.9g}" for number in numbers)]
      writer.writerow([*line, int(sweep.collapsed[k, at]), *about])
  return out.getvalue()


def figures(sweep: Any) -> Iterable[TheoryFigure]:
  """The map over lambda_Z, where there is a sweep, and one of its columns."""
  about = _greek(
    f"{_about(sweep)}. Collapsed is a class whose classifier vector is zero or"
    " has a cosine above 0.99 with another's."
  )
  listed = sweep.class_counts.size <= _LISTED
  table = Table(
    "Numbers by class" if listed else "Numbers by groups of classes",
    ["class" if listed else "classes", *header(sweep)],
    rows(sweep) if listed else groups(sweep),
  )
  swept = sweep.lambda_z.size > 1
  if swept:
    yield TheoryFigure(
      "my_counts",
      "Which of your classes a learned classifier merges",
      "Largest cosines over the regularisation",
      f"{about} Right of the line a class stays collapsed. Solved is the"
      " unconstrained-feature model with cross entropy (Hong and Ling, 2023).",
      _greek(error(sweep)),
      lambda narrow: theory_plots.class_map(
        sweep.lambda_z,
        sweep.class_counts,
        sweep.largest_cosine,
        sweep.collapsed,
        narrow=narrow,
      ),
    )
  at = sweep.reference
  yield TheoryFigure(
    "my_counts_profile",
    f"Your classes at λ_Z = {sweep.lambda_z[at]:.3g}",
    "Cosines and lengths",
    f"{_greek(_which(sweep))} {about}",
    "" if swept else _greek(error(sweep)),
    lambda narrow: theory_plots.class_profile(
      sweep.class_counts,
      sweep.largest_cosine[:, at],
      sweep.relative_norm[:, at],
      sweep.collapsed[:, at],
      narrow=narrow,
    ),
    table,
  )


def error(sweep: Any) -> str:
  """How exact the solutions are, and how well closed forms agree with them."""
  said = (
    "The objective of every solution is within"
    f" {sweep.gap:.1e} of the least, relatively."
  )
  known = np.isfinite(sweep.thresholds) & np.isfinite(sweep.starts)
  if sweep.lambda_z.size > 1 and known.any() and not sweep.merged:
    # A cosine of 0.99 comes a little before the closed form's cosine of 1.
    ratio = (sweep.starts / sweep.thresholds)[known]
    step = sweep.lambda_z[1] / sweep.lambda_z[0]
    said += (
      " Classes of equal counts collapse, on the grid, at"
      f" {ratio.min():.2f} to {ratio.max():.2f} times the lambda_Z of the"
      f" closed form; the grid's step is a factor of {step:.2f}."
    )
  return said


def _about(sweep: Any) -> str:
  counts, grid = sweep.class_counts, sweep.lambda_z
  bias = (
    "no bias" if sweep.lambda_b is None else f"lambda_b = {sweep.lambda_b:g}"
  )
  over = f"lambda_Z = {grid[0]:.3g}"
  if grid.size > 1:
    over = (
      f"{grid.size} values of lambda_Z from {grid[0]:.3g} to {grid[-1]:.3g}"
    )
  merged = (
    f", different counts merged into {sweep.levels}" if sweep.merged else ""
  )
  of = _span([f"{count:,.10g}" for count in (counts.max(), counts.min())])
  return (
    f"{counts.size:,} classes of {of} samples ({counts.sum():,.0f} in"
    f" all{merged}), {over}, {bias}"
  )


def _which(sweep: Any) -> str:
  at = sweep.reference
  number = int(sweep.collapsed[:, at].sum())
  said = f"At lambda_Z = {sweep.lambda_z[at]:.3g}"
  if sweep.lambda_z.size > 1:
    said += ", " + (
      "the least at which a class collapses"
      if number
      else "the largest tried, at which no class collapses"
    )
  said += f": {number:,} of {sweep.class_counts.size:,} collapsed."
  if np.isnan(sweep.thresholds).any():
    said += (
      " There is no closed form for a class that shares its count with no"
      " other."
    )
  return said


def _cells(sweep: Any, classes: np.ndarray) -> list[str]:
  at = sweep.reference
  if sweep.lambda_z.size == 1:
    number = int(sweep.collapsed[classes, at].sum())
    when = f"{number} of {classes.size}"
    if classes.size == 1:
      when = "yes" if number else "no"
  else:
    when = _span([_start(sweep, k) for k in classes])
  return [
    _span([f"{sweep.class_counts[k]:,.10g}" for k in classes]),
    when,
    _numbers(sweep.thresholds[classes], "none", ".3g"),
    _numbers(sweep.largest_cosine[classes, at], "undefined", ".3f"),
    _numbers(sweep.relative_norm[classes, at], "undefined", ".3f"),
  ]


def _start(sweep: Any, k: int) -> str:
  start, grid = sweep.starts[k], sweep.lambda_z
  if np.isnan(start):
    return f"> {grid[-1]:.3g}"
  return f"<= {grid[0]:.3g}" if start == grid[0] else f"{start:.3g}"


def _numbers(values: np.ndarray, missing: str, form: str) -> str:
  """From the least to the largest, and whether some are missing."""
  known = np.sort(values[np.isfinite(values)])
  if not known.size:
    return missing
  shown = _span(
    [f"{value:{form}}".replace("-0.000", "0.000") for value in known]
  )
  return shown + (f", some {missing}" if known.size < values.size else "")


def _span(shown: Sequence[str]) -> str:
  """First and last of a group's cells, where they differ."""
  return shown[0] if shown[0] == shown[-1] else f"{shown[0]} to {shown[-1]}"


def _greek(text: str) -> str:
  return text.replace("lambda_", "λ_")
