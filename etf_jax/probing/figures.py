# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The figures of probed runs, in the style of a report's.

figure = study({"fashion_mnist": {...}}, diversity, {})
reporting._figures.png(figure, "study.png")
"""

from collections.abc import Mapping, Sequence

from matplotlib import ticker
from matplotlib.figure import Figure
import numpy as np

from etf_jax.reporting.figures import style as figures

# tau in radians: one value a seed.
Curve = Mapping[float, Sequence[float]]


@figures.styled
def study(
  accuracy: Mapping[str, Curve],
  nc1: Curve,
  rank: Curve,
  others: Mapping[str, tuple[Sequence[float], float, float]],
) -> Figure:
  """Accuracy on other data, NC1 and rank over HingeCE's tau_plus.

  Args:
    accuracy: of each data set or evaluation, as fractions.
    nc1: of the features of the runs' own training images.
    rank: their numerical rank.
    others: of runs that have no tau_plus a line across: mean accuracies in the
      order of `accuracy`, NC1 and rank.

  Returns:
    The figure; error bars are one sample standard deviation over seeds. The
    paper has these in figures 3 (c) and 4.
  """
  figure = Figure((10, 3.6), layout="constrained")
  panels = figure.subplots(1, 3)
  for index, (label, curve) in enumerate(accuracy.items()):
    _curve(panels[0], curve, label, index, 100)
  _curve(panels[1], nc1, None, 0, 1)
  _curve(panels[2], rank, None, 0, 1)
  for place, (label, (means, *rest)) in enumerate(others.items()):
    index = len(accuracy) + place
    dashes = {"lw": 1.2, "color": figures.series_style(index)["color"]}
    for number, (name, mean) in enumerate(zip(accuracy, means, strict=True)):
      panels[0].axhline(
        100 * mean,
        label=f"{label}: {name}",
        ls=_LINES[number % len(_LINES)],
        **dashes,
      )
    for axes, value in zip(panels[1:], rest, strict=True):
      axes.axhline(value, ls="--", **dashes)
  panels[0].set_title("Test accuracy on other data, %")
  panels[1].set_title("NC1 of the training images")
  panels[2].set_title("Numerical rank of a class")
  for axes in panels:
    axes.set_xlabel("τ₊, degrees")
    axes.xaxis.set_major_locator(ticker.MaxNLocator(7, steps=[1, 2, 3, 5, 10]))
    axes.margins(y=0.12)
  figures.legend(figure, panels[0], narrow=False)
  return figure


_LINES = ("--", ":", "-.")


def _curve(axes, curve, label, index, scale):
  taus = sorted(curve)
  values = [scale * np.asarray(curve[tau], np.float64) for tau in taus]
  deviations = [v.std(ddof=1) if v.size > 1 else 0.0 for v in values]
  axes.errorbar(
    np.degrees(taus),
    [v.mean() for v in values],
    deviations,
    label=label,
    marker=figures.MARKERS[index % len(figures.MARKERS)],
    markersize=5,
    capsize=2.5,
    elinewidth=1.2,
    **figures.series_style(index),
  )


@figures.styled
def views(
  panels: Mapping[str, Mapping[str, np.ndarray]],
  corners: Mapping[str, np.ndarray],
  coarse: np.ndarray,
  coarse_names: Sequence[str],
  fine: np.ndarray,
  fine_names: Sequence[str],
) -> Figure:
  """Point of three classes: a column a run, a row a view.

  Args:
    panels: of each run, of each view, `[N, 2]` points; all have the same views.
    corners: of each run the three templates `[3, 2]` in its first view.
    coarse: `[N]` integers, which of the three each point is of: its marker.
    coarse_names: of the three.
    fine: `[N]` integers, its class among finer ones: its colour.
    fine_names: of those.
  """
  titles = list(next(iter(panels.values())))
  rows, columns = len(titles), len(panels)
  figure = Figure(
    (max(4.2, 3.2 * columns), 3.3 * rows + 0.6), layout="constrained"
  )
  grid = figure.subplots(rows, columns, squeeze=False)
  for column, (label, found) in enumerate(panels.items()):
    for row, title in enumerate(titles):
      axes, points = grid[row, column], found[title]
      for place, k in enumerate(np.unique(fine)):
        for c in np.unique(coarse[fine == k]):
          chosen = (fine == k) & (coarse == c)
          name = figures.drawable(fine_names[k], k)
          three = figures.drawable(coarse_names[c], c)
          axes.plot(
            *points[chosen].T,
            figures.MARKERS[c],
            color=figures.SERIES[place % len(figures.SERIES)],
            ms=3,
            mew=0,
            alpha=0.55,
            label=name if name == three else f"{three}: {name}",
          )
      if row == 0:
        axes.set_title(label)
        axes.plot(
          *corners[label].T,
          "+",
          color=figures.INK,
          ms=9,
          mew=1.4,
          label="classifier vectors",
        )
      axes.set_aspect("equal", adjustable="datalim")
      axes.set_xticks([])
      axes.set_yticks([])
      if column == 0:
        axes.set_ylabel(title)
  figures.legend(figure, grid[0, 0], narrow=False)
  return figure
