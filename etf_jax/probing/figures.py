# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The study over tau_plus, and features on a plane through three classes.

figure = figures.study(rows)
points = figures.project(features, templates)  # [N, 2]
"""

from collections.abc import Mapping, Sequence
import math
from typing import Any, NamedTuple

from matplotlib.figure import Figure
import numpy as np

from etf_jax.probing import results
from etf_jax.reporting.figures import style

_LINES = ("--", ":", "-.")


@style.styled
def study(rows: Sequence[results.Row]) -> Figure:
  """Draw accuracy on other data, NC1 and rank over HingeCE's tau_plus.

  As figures 3 c and 4 of the paper, with one sample deviation over seeds as
  error bars. Runs without a `tau_plus` are lines across.
  """
  figure = Figure((style.WIDTH, 7.2), layout="constrained")
  panels = figure.subplots(3, 1, sharex=True)
  transfers = [row for row in rows if row["part"] == "transfer"]
  sources = [row for row in rows if row["part"] == "source"]
  index = 0
  for name in dict.fromkeys(row["data"] for row in transfers):
    chosen = [row for row in transfers if row["data"] == name]
    for key, evaluation in results.EVALUATIONS.items():
      values = [100 * results.score(row, key) for row in chosen]
      _curve(panels[0], chosen, values, f"{name}, {evaluation}", index)
      index += 1
  for axes, key in zip(panels[1:], ("nc1", "rank"), strict=True):
    _curve(axes, sources, [row[key] for row in sources], "", 0)
  panels[0].set_title("Test accuracy on other data, %")
  panels[1].set_title("NC1 of the training images")
  panels[2].set_title("Numerical rank of a class")
  panels[2].set_xlabel("τ₊, degrees")
  for axes in panels:
    axes.margins(y=0.12)
  style.legend(figure, panels[0])
  return figure


def _curve(
  axes: Any,
  rows: Sequence[results.Row],
  values: Sequence[float],
  label: str,
  index: int,
) -> None:
  """Draw values over the angle, and lines across for runs without one."""
  points: dict[float, list[float]] = {}
  across: dict[str, list[float]] = {}
  for row, value in zip(rows, values, strict=True):
    if row["tau_plus"] is None:
      across.setdefault(row["run"], []).append(value)
    else:
      points.setdefault(math.degrees(row["tau_plus"]), []).append(value)
  style.error_bars(axes, points, label or None, index)
  for number, (run, found) in enumerate(across.items()):
    axes.axhline(
      np.mean(found),
      label=f"{run}: {label}" if label else None,
      color=style.series_style(index)["color"],
      ls=_LINES[number % len(_LINES)],
      lw=1.2,
    )


def project(features: np.ndarray, templates: np.ndarray) -> np.ndarray:
  """Project onto the plane through the templates of three classes.

  Args:
    features: floats `[N, d]`.
    templates: floats `[d, 3]`: the classifier vectors of the classes.

  Returns:
    Float64 `[N, 2]`: coordinates around the middle of the three templates, in
    an orthonormal basis whose first axis points from the first to the second
    (Müller et al., 2019, arxiv.org/abs/1906.02629, section 2).

  Raises:
    ValueError: the templates lie on one line, or are not three.
  """
  corners = np.asarray(templates, np.float64).T
  if len(corners) != 3:
    raise ValueError(f"a plane goes through 3 templates, got {len(corners)}")
  sides = corners[1:] - corners[0]
  first = np.linalg.norm(sides[0])
  axis = sides[0] / (first or 1)
  rest = sides[1] - axis * (axis @ sides[1])
  second = np.linalg.norm(rest)
  if not min(first, second) > 1e-6 * np.abs(sides).max():
    raise ValueError("the three templates lie on one line: there is no plane")
  basis = np.stack([axis, rest / second], axis=1)
  return (np.asarray(features, np.float64) - corners.mean(axis=0)) @ basis


class View(NamedTuple):
  """Points `[N, 2]` of three classes on the plane of their templates `[3, 2]`.

  `places` `[N]` is the class among the three, a marker; `colors` `[N]` the
  class, perhaps a finer one, with its name in `names`.
  """

  points: np.ndarray
  corners: np.ndarray
  places: np.ndarray
  colors: np.ndarray
  names: Sequence[str]


@style.styled
def views(panels: Mapping[str, View]) -> Figure:
  """Draw the views of some runs, two in a row."""
  rows = -(-len(panels) // 2)
  shape = (rows, min(2, len(panels)))
  figure = Figure((style.WIDTH, 2.5 * rows + 1), layout="constrained")
  grid = figure.subplots(*shape, squeeze=False).ravel()
  for axes in grid:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_visible(False)
  for axes, (label, view) in zip(grid, panels.items(), strict=False):
    axes.set_visible(True)
    for index, k in enumerate(np.unique(view.colors)):
      chosen = view.colors == k
      axes.plot(
        *view.points[chosen].T,
        style.MARKERS[view.places[chosen][0]],
        color=style.SERIES[index % len(style.SERIES)],
        ms=3,
        mew=0,
        alpha=0.55,
        label=style.drawable(view.names[k], k),
      )
    axes.plot(*view.corners.T, "+", color=style.INK, ms=9, label="templates")
    axes.set_title(label)
    axes.set_aspect("equal", adjustable="datalim")
  style.legend(figure, grid[0])
  return figure
