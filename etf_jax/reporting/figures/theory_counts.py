# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Classes of one training set that collapse: figures, table and CSV."""

from collections.abc import Sequence
import csv
import io
from typing import Any

from matplotlib import colors
from matplotlib.figure import Figure
import numpy as np

from etf_jax.reporting import tables
from etf_jax.reporting.figures import heatmaps, style
from etf_jax.reporting.figures.theory_clusters import plain_log
from etf_jax.theory import laboratory

# More classes than this are printed in groups, at most so many.
_LISTED, _GROUPS = style.NAMED, 12
# Between the themes: a large map is an image, which a page cannot recolor.
_UNDEFINED = "#8b94a1"
_NO_COSINE = "undefined: the vector is zero"


@style.styled
def class_map(sweep: laboratory.CountsSweep) -> Figure:
  """Draw how close each class comes to another, over the regularization.

  Classes run from the most samples to the fewest.
  """
  counts = sweep.class_counts
  order = np.argsort(-counts, kind="stable")
  values, grid = sweep.largest_cosine[order], sweep.lambda_z
  named = counts.size <= style.NAMED
  height = float(np.clip(2.2 + 0.24 * counts.size, 3.6, 7))
  figure = Figure((style.WIDTH, height), layout="constrained")
  axes = figure.subplots()
  ramp = heatmaps.ramp(heatmaps.BLUE, np.linspace(0, 1, 256))
  step = np.sqrt(grid[1] / grid[0])
  edges = np.append(grid / step, grid[-1] * step)
  rows = np.arange(counts.size + 1) - 0.5
  axes.set_xscale("log")
  tiles = axes.pcolormesh(
    edges,
    rows,
    np.ma.masked_invalid(values),
    cmap=colors.ListedColormap(ramp),
    norm=colors.Normalize(0, 1),
    rasterized=not named,
  )
  axes.pcolormesh(
    edges,
    rows,
    np.ma.masked_where(np.isfinite(values), np.ones(values.shape)),
    cmap=colors.ListedColormap([_UNDEFINED]),
    rasterized=not named,
  )
  if named:
    dot: dict[str, Any] = {"ls": "", "color": style.SURFACE}
    dot |= {"mec": style.MUTED, "mew": 0.6}
    row, column = np.nonzero(sweep.collapsed[order])
    axes.plot(grid[column], row, "o", ms=3.5, label="collapsed", **dot)
  axes.plot([], [], "s", color=_UNDEFINED, ms=7, label=_NO_COSINE)
  starts = sweep.starts[order]
  axes.plot(
    np.repeat(starts / step, 2),
    np.stack([rows[:-1], rows[1:]], axis=1).ravel(),
    color=style.SERIES[1],
    lw=2,
    label="collapsed for good from here on",
  )
  axes.grid(False)
  axes.set_ylim(rows[-1], rows[0])
  axes.set_xlim(edges[0], edges[-1])
  plain_log(axes)
  shown = np.arange(counts.size)
  if not named:
    shown = np.linspace(0, counts.size - 1, 10).astype(int)
  ticks = [f"{counts[order[k]]:,.10g}" for k in shown]
  axes.set_yticks(shown, ticks, color=style.INK)
  axes.set_ylabel("training samples of the class")
  axes.set_xlabel("$\\lambda_Z$", parse_math=True)
  axes.set_title("Largest cosine of each class's vector with another's")
  bar = figure.colorbar(
    tiles, ax=axes, location="bottom", shrink=0.7, aspect=30, extend="min"
  )
  bar.outline.set_visible(False)
  style.legend(figure, axes)
  return figure


@style.styled
def class_profile(sweep: laboratory.CountsSweep) -> Figure:
  """Draw the cosine and the length of each class at the reference lambda_Z."""
  order = np.argsort(-sweep.class_counts, kind="stable")
  place = np.arange(len(order))
  figure = Figure((style.WIDTH, 5), layout="constrained")
  upper, lower = figure.subplots(2, 1, sharex=True)
  size = 5 if len(order) <= style.NAMED else 3
  cosine, norm, marked = (
    values[order, sweep.reference]
    for values in (sweep.largest_cosine, sweep.relative_norm, sweep.collapsed)
  )
  for chosen, marker, color, name in (
    (~marked, "o", style.SERIES[0], "not collapsed"),
    (marked, "s", style.SERIES[1], "collapsed"),
  ):
    shown: dict[str, Any] = {"color": color, "ms": size, "label": name}
    upper.plot(place[chosen], cosine[chosen], marker, **shown)
    lower.plot(place[chosen], norm[chosen], marker, **shown)
  undefined = place[~np.isfinite(cosine)]
  if undefined.size:
    low = np.full(undefined.size, 0.03)
    shown = {"color": style.MUTED, "ms": size, "label": _NO_COSINE}
    edge = {"transform": upper.get_xaxis_transform()}
    upper.plot(undefined, low, "x", **edge, **shown)
  upper.set_title("Largest cosine with another class's vector")
  lower.set_title("Length of the vector over the largest")
  upper.set_ylim(min(0, *upper.get_ylim()), 1.06)
  lower.set_ylim(-0.06, 1.06)
  lower.set_xlim(-0.6, len(order) - 0.4)
  lower.set_xlabel("classes, from most to fewest training samples")
  if len(order) <= style.NAMED:
    names = [f"{count:,.10g}" for count in sweep.class_counts[order]]
    level = max(map(len, names)) * len(names) <= 45
    lower.set_xticks(place, names, **style.turned(level))
    lower.set_xlabel("training samples of the class")
  style.legend(figure, upper)
  return figure


def table(sweep: laboratory.CountsSweep) -> tuple[list[str], list[list[str]]]:
  """Return header and rows: a class each, or neighboring classes by count.

  Classes of equal counts stay together where there are few different counts.
  """
  when = "collapsed" if sweep.lambda_z.size == 1 else "collapses from"
  header = ["samples", when, "closed form", "largest cosine", "relative length"]
  counts = sweep.class_counts
  if counts.size <= _LISTED:
    rows = [[str(k), *_cells(sweep, np.array([k]))] for k in range(counts.size)]
    return ["class", *header], rows
  values = np.unique(counts)[::-1]
  if values.size <= _GROUPS:
    parts = [np.flatnonzero(counts == value) for value in values]
  else:
    parts = np.array_split(np.argsort(-counts, kind="stable"), _GROUPS)
  rows = [[str(part.size), *_cells(sweep, part)] for part in parts]
  return ["classes", *header], rows


def as_text(sweep: laboratory.CountsSweep) -> str:
  """Format the printed answer: two sentences and the table."""
  header, rows = table(sweep)
  solved = f"{about(sweep)}, solved in {sweep.seconds:.1f} s."
  return "\n".join([solved, finding(sweep), tables.aligned([header, *rows])])


def as_csv(sweep: laboratory.CountsSweep) -> str:
  """Format a row for each class and lambda_Z at full precision.

  Cosines and lengths are nan where they are undefined; the two columns about a
  class are empty where there is no such lambda_Z.
  """
  out = io.StringIO()
  writer = csv.writer(out, lineterminator="\n")
  header = ["class", "samples", "lambda_z", "largest_cosine", "relative_length"]
  header += ["collapsed", "collapses_from_lambda_z", "closed_form_lambda_z"]
  writer.writerow(header)
  for k, count in enumerate(sweep.class_counts):
    of_class = [sweep.starts[k], sweep.thresholds[k]]
    ends = ["" if np.isnan(value) else f"{value:.9g}" for value in of_class]
    for at, value in enumerate(sweep.lambda_z):
      numbers = [value, sweep.largest_cosine[k, at], sweep.relative_norm[k, at]]
      line = [k, f"{count:.16g}", *(f"{number:.9g}" for number in numbers)]
      writer.writerow([*line, int(sweep.collapsed[k, at]), *ends])
  return out.getvalue()


def about(sweep: laboratory.CountsSweep) -> str:
  """Describe what was solved: classes, samples, penalties."""
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
  span = _span([f"{count:,.10g}" for count in (counts.max(), counts.min())])
  return (
    f"{counts.size:,} classes of {span} samples ({counts.sum():,.0f} in"
    f" all{merged}), {over}, {bias}"
  )


def finding(sweep: laboratory.CountsSweep) -> str:
  """Count the collapsed classes at the reference lambda_Z."""
  at = sweep.reference
  number = int(sweep.collapsed[:, at].sum())
  text = f"At lambda_Z = {sweep.lambda_z[at]:.3g}"
  if sweep.lambda_z.size > 1:
    text += ", " + (
      "the least at which a class collapses"
      if number
      else "the largest tried, at which no class collapses"
    )
  text += f": {number:,} of {sweep.class_counts.size:,} collapsed."
  if np.isnan(sweep.thresholds).any():
    text += (
      " There is no closed form for a class that shares its count with no"
      " other."
    )
  return text


def error(sweep: laboratory.CountsSweep) -> str:
  """State the certified gap, and how well closed forms agree."""
  text = (
    "The objective of every solution is within"
    f" {sweep.gap:.1e} of the least, relatively."
  )
  known = np.isfinite(sweep.thresholds) & np.isfinite(sweep.starts)
  if sweep.lambda_z.size > 1 and known.any() and not sweep.merged:
    # A cosine of 0.99 comes a little before the closed form's cosine of 1.
    ratio = (sweep.starts / sweep.thresholds)[known]
    step = sweep.lambda_z[1] / sweep.lambda_z[0]
    text += (
      " Classes of equal counts collapse, on the grid, at"
      f" {ratio.min():.2f} to {ratio.max():.2f} times the lambda_Z of the"
      f" closed form; the grid's step is a factor of {step:.2f}."
    )
  return text


def _cells(sweep: laboratory.CountsSweep, classes: np.ndarray) -> list[str]:
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


def _start(sweep: laboratory.CountsSweep, k: int) -> str:
  start, grid = sweep.starts[k], sweep.lambda_z
  if np.isnan(start):
    return f"> {grid[-1]:.3g}"
  return f"<= {grid[0]:.3g}" if start == grid[0] else f"{start:.3g}"


def _numbers(values: np.ndarray, missing: str, form: str) -> str:
  """Format the least and the largest, and note where some are missing."""
  known = np.sort(values[np.isfinite(values)])
  if not known.size:
    return missing
  cells = [f"{value:{form}}".replace("-0.000", "0.000") for value in known]
  return _span(cells) + (
    f", some {missing}" if known.size < values.size else ""
  )


def _span(cells: Sequence[str]) -> str:
  """Join first and last of a group's cells, where they differ."""
  return cells[0] if cells[0] == cells[-1] else f"{cells[0]} to {cells[-1]}"
