# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The theory figures that show every class of a training set."""

from collections.abc import Sequence

from matplotlib import colors, ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
import numpy as np

from etf_jax.reporting.figures import style as figures

LAMBDA_Z = "$\\lambda_Z$"
# Between the themes: a large map is an image, which a page cannot recolour.
_UNDEFINED = "#8b94a1"


@figures.styled
def class_map(
  lambda_z: np.ndarray,
  class_counts: np.ndarray,
  largest_cosine: np.ndarray,
  collapsed: np.ndarray,
  *,
  narrow: bool = False,
) -> Figure:
  """How close each class comes to another, over the regularisation.

  Args:
    lambda_z: `[L]`, increasing and evenly spaced in its logarithm.
    class_counts: `[K]` training samples.
    largest_cosine: `[K, L]`, of each classifier vector with another; NaN
      where it is undefined.
    collapsed: boolean `[K, L]`.
    narrow: for a phone.

  Returns:
    The figure; classes from the most samples to the fewest.
  """
  num_classes = len(class_counts)
  order = np.argsort(-np.asarray(class_counts), kind="stable")
  values, marked = largest_cosine[order], collapsed[order]
  named = num_classes <= figures.NAMED
  height = np.clip(1.6 + 0.24 * num_classes, 3.4, 6.4)
  figure = Figure(
    (4, min(height, 5)) if narrow else (10, height), layout="constrained"
  )
  axes = figure.subplots()
  ramp = [
    (*colors.to_rgb("#1f6fb4"), alpha) for alpha in np.linspace(0, 1, 256)
  ]
  step = np.sqrt(lambda_z[1] / lambda_z[0])
  edges = np.append(lambda_z / step, lambda_z[-1] * step)
  axes.set_xscale("log")
  rows = np.arange(num_classes + 1) - 0.5
  tiles = axes.pcolormesh(
    edges,
    rows,
    np.ma.masked_invalid(values),
    cmap=colors.ListedColormap(ramp),
    norm=colors.Normalize(0, 1),
    rasterized=not named,
  )
  undefined = np.ma.masked_where(np.isfinite(values), np.ones(values.shape))
  axes.pcolormesh(
    edges,
    rows,
    undefined,
    cmap=colors.ListedColormap([_UNDEFINED]),
    rasterized=not named,
  )
  dot = {"color": figures.SURFACE, "mec": figures.MUTED, "mew": 0.6, "ls": ""}
  if named:
    row, column = np.nonzero(marked)
    axes.plot(lambda_z[column], row, "o", ms=3.5, label="collapsed", **dot)
  axes.plot(
    [], [], "s", color=_UNDEFINED, ms=7, label="undefined: the vector is zero"
  )
  _border(axes, edges, marked)
  axes.grid(False)
  axes.set_ylim(num_classes - 0.5, -0.5)
  axes.set_xlim(edges[0], edges[-1])
  plain_log(axes)
  _class_ticks(axes, np.asarray(class_counts)[order])
  axes.set_xlabel(LAMBDA_Z, parse_math=True)
  axes.set_title("Largest cosine of each class's vector with another's")
  bar = figure.colorbar(
    tiles,
    ax=axes,
    location="bottom" if narrow else "right",
    shrink=0.7,
    aspect=30,
    pad=0.02,
    extend="min",
  )
  bar.outline.set_visible(False)
  figures.legend(figure, axes, narrow)
  return figure


@figures.styled
def class_profile(
  class_counts: np.ndarray,
  largest_cosine: np.ndarray,
  relative_norm: np.ndarray,
  collapsed: np.ndarray,
  *,
  narrow: bool = False,
) -> Figure:
  """Every class at one regularisation: its cosine and its length.

  Args:
    class_counts: `[K]` training samples.
    largest_cosine: `[K]`, of each classifier vector with another; NaN where
      it is undefined.
    relative_norm: `[K]`, length over the largest length.
    collapsed: boolean `[K]`.
    narrow: for a phone.

  Returns:
    The figure; classes from the most samples to the fewest.
  """
  order = np.argsort(-np.asarray(class_counts), kind="stable")
  place = np.arange(len(order))
  figure = Figure((4, 4.6) if narrow else (10, 4.8), layout="constrained")
  upper, lower = figure.subplots(2, 1, sharex=True)
  size = 5 if len(order) <= figures.NAMED else 3
  marked = np.asarray(collapsed)[order]
  for axes, values in ((upper, largest_cosine), (lower, relative_norm)):
    values = np.asarray(values)[order]
    for chosen, marker, colour, name in (
      (~marked, "o", figures.SERIES[0], "not collapsed"),
      (marked, "s", figures.SERIES[1], "collapsed"),
    ):
      axes.plot(
        place[chosen],
        values[chosen],
        marker,
        color=colour,
        ms=size,
        mew=0,
        label=name,
      )
  undefined = ~np.isfinite(np.asarray(largest_cosine)[order])
  if undefined.any():
    upper.plot(
      place[undefined],
      np.full(undefined.sum(), 0.03),
      "x",
      transform=upper.get_xaxis_transform(),
      color=figures.MUTED,
      ms=size,
      label="undefined: the vector is zero",
    )
  upper.set_title("Largest cosine with another class's vector")
  lower.set_title("Length of the vector over the largest")
  upper.set_ylim(min(0, *upper.get_ylim()), 1.06)
  lower.set_ylim(-0.06, 1.06)
  lower.set_xlim(-0.6, len(order) - 0.4)
  if len(order) <= figures.NAMED:
    names = [f"{count:,.10g}" for count in np.asarray(class_counts)[order]]
    level = max(map(len, names)) * len(names) <= (38 if narrow else 100)
    lower.set_xticks(
      place,
      names,
      rotation=0 if level else 45,
      ha="center" if level else "right",
      rotation_mode="anchor",
    )
    lower.set_xlabel("training samples of the class")
  else:
    lower.set_xlabel("classes, from most to fewest training samples")
  figures.legend(figure, upper, narrow)
  return figure


def plain_log(axes: Axes) -> None:
  """Few ticks, each a plain number, on a short logarithmic x axis."""
  low, high = axes.get_xlim()
  subs = (1, 2, 5) if high < 200 * low else (1,)
  axes.xaxis.set_major_locator(ticker.LogLocator(subs=subs, numticks=12))
  axes.xaxis.set_major_formatter(
    lambda value, _: f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
  )
  axes.xaxis.set_minor_locator(ticker.NullLocator())


def _border(axes: Axes, edges: np.ndarray, collapsed: np.ndarray) -> None:
  """A line where each class's collapse begins, for good."""
  first = collapse_starts(collapsed)
  x = np.append(edges, np.nan)[np.where(first < 0, edges.size, first)]
  rows = np.arange(len(x))
  axes.plot(
    np.repeat(x, 2),
    np.stack([rows - 0.5, rows + 0.5], axis=1).ravel(),
    color=figures.SERIES[1],
    lw=2,
    label="collapsed for good from here on",
  )


def collapse_starts(collapsed: np.ndarray) -> np.ndarray:
  """First column of each row from which on all are True; -1 without one."""
  lasting = np.logical_and.accumulate(collapsed[:, ::-1], axis=1)[:, ::-1]
  return np.where(lasting[:, -1], lasting.argmax(1), -1)


def _class_ticks(axes: Axes, counts: Sequence[float]) -> None:
  """Name the rows by their counts, or some of them where there are many."""
  shown = np.unique(
    np.linspace(0, len(counts) - 1, min(len(counts), figures.NAMED)).astype(int)
  )
  if len(counts) > figures.NAMED:
    shown = shown[:: max(1, len(shown) // 8)]
  axes.set_yticks(
    shown, [f"{counts[k]:,.10g}" for k in shown], color=figures.INK
  )
  axes.set_ylabel("training samples of the class")
