# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Heat maps over pairs of classes: confusion, and cosines."""

from collections.abc import Sequence
import textwrap
from typing import Any

from matplotlib import cm, colors
from matplotlib.axes import Axes
from matplotlib.figure import Figure
import numpy as np

from etf_jax.reporting.figures import style

BLUE, _RED = "#1f6fb4", "#c2410c"
# Up to this many classes every tile of a confusion matrix has a number, and
# every row of a small matrix of cosines a name.
_FEW = 12
# A large matrix is shown in about this many blocks of classes a side.
_TILES = 100


@style.styled
def confusion(
  panels: Sequence[tuple[str, np.ndarray]],
  class_counts: Sequence[int],
  class_names: Sequence[str],
) -> Figure:
  """Draw confusion matrices in percent of each true class, by class size.

  Panels are (label, `[K, K]` counts with a row per true class); up to 30 names
  are shown, and values for up to 12 classes.
  """
  order = np.argsort(-np.asarray(class_counts), kind="stable")
  names = [class_names[c] for c in order]
  few, many = len(names) <= _FEW, len(names) > style.NAMED
  # Numbers and names need a row each; plain tiles are legible side by side.
  across = 2 if len(panels) > 1 and many else 1
  down = -(-len(panels) // across)
  side = style.WIDTH / across
  figure = Figure((style.WIDTH, 0.96 * side * down), layout="constrained")
  grid = figure.subplots(down, across, squeeze=False).ravel()
  scale: dict[str, Any] = {
    "cmap": colors.ListedColormap(ramp(BLUE, np.linspace(0, 1, 256))),
    # Mistakes are spread thin over many classes; the root makes them visible.
    "norm": colors.PowerNorm(0.8 if few else 0.5, vmin=0, vmax=100),
  }
  if many:
    end = block_size(len(names)) * -(-len(names) // block_size(len(names)))
    scale["extent"] = (-0.5, end - 0.5, end - 0.5, -0.5)
  image = cm.ScalarMappable()
  for index, (axes, (label, matrix)) in enumerate(
    zip(grid, panels, strict=False)
  ):
    percent = _percent(np.asarray(matrix, np.float64)[np.ix_(order, order)])
    axes.set_title(label)
    image = _tiles(axes, percent, many, 0.8, **scale)
    for (row, column), value in np.ndenumerate(percent) if few else ():
      if value >= 0.5:
        axes.text(
          column + 0.5,
          row + 0.5,
          f"{value:.0f}",
          ha="center",
          va="center",
          fontsize=8,
          color="#ffffff" if value > 45 else style.INK,
        )
    _name_both_axes(axes, names, outer=index % across == 0)
  for axes in grid[len(panels) :]:
    axes.set_visible(False)
  if not few:
    shown = list(grid[: len(panels)])
    _bar(figure, image, shown, [0, 1, 5, 20, 50, 100], "% of the true class")
  return figure


@style.styled
def cosines(
  panels: Sequence[tuple[str, np.ndarray, np.ndarray]],
  class_counts: Sequence[int],
  class_names: Sequence[str],
) -> Figure:
  """Draw cosines between classes, from -1 to 1, largest class first.

  Panels are (label, cosines between classifier vectors, cosines between
  centered class means), both `[K, K]`, NaN where undefined: gray cells. Up to
  12 classes have names.
  """
  order = np.argsort(-np.asarray(class_counts), kind="stable")
  names, _ = style.class_labels([class_names[c] for c in order])
  many = len(names) > style.NAMED
  height = (style.WIDTH / 2 + 0.2) * len(panels) + 0.6
  figure = Figure((style.WIDTH, height), layout="constrained")
  grid = figure.subplots(len(panels), 2, squeeze=False)
  # Less than linear: cosines near -1/(K - 1) shall not look like zero.
  alphas = np.linspace(1, 0, 512) ** 0.6
  shades = ramp(BLUE, alphas) + ramp(_RED, alphas[::-1])
  scale: dict[str, Any] = {"cmap": colors.ListedColormap(shades)}
  scale |= {"vmin": -1, "vmax": 1}
  gray = colors.ListedColormap([style.BARS])
  image = cm.ScalarMappable()
  for pair, (label, *matrices) in zip(grid, panels, strict=True):
    pair[0].set_title(textwrap.fill(label, 44))
    kinds = ("classifier vectors", "centred class means")
    for axes, kind, matrix in zip(pair, kinds, matrices, strict=True):
      sorted_ = np.asarray(matrix, np.float64)[np.ix_(order, order)]
      known = np.isfinite(sorted_)
      unknown = np.ma.masked_where(known, np.ones_like(sorted_))
      _tiles(axes, unknown, many, 0.5, cmap=gray)
      image = _tiles(axes, np.ma.masked_invalid(sorted_), many, 0.5, **scale)
      axes.grid(False)
      axes.spines[:].set_visible(many)
      axes.set_xticks([])
      axes.set_yticks([])
      axes.set_xlabel(kind)
    # The columns have the same order; their names would need as much room.
    if len(names) <= _FEW:
      ticks = np.arange(len(names)) + 0.5
      pair[0].set_yticks(ticks, names, color=style.INK, fontsize=7)
  _bar(figure, image, list(grid.ravel()), [-1, -0.5, 0, 0.5, 1], "cosine")
  return figure


def block_size(num_classes: int) -> int:
  """Return the neighboring classes a side that share a tile."""
  return -(-num_classes // _TILES) if num_classes > 2 * _TILES else 1


def _percent(matrix: np.ndarray) -> np.ndarray:
  """Return the percent of each row; for many classes, means over blocks."""
  totals = matrix.sum(1, keepdims=True)
  percent = 100 * np.divide(
    matrix, totals, out=np.zeros_like(matrix), where=totals > 0
  )
  size = block_size(len(matrix))
  if size == 1:
    return percent
  starts = np.arange(0, len(matrix), size)
  tested = np.add.reduceat(totals[:, 0] > 0, starts, dtype=int)
  blocks = np.add.reduceat(np.add.reduceat(percent, starts, 0), starts, 1)
  # A class without test images says nothing about its block.
  return blocks / np.maximum(tested, 1)[:, None]


def ramp(color: str, alphas: np.ndarray) -> list[tuple[float, ...]]:
  """Return a color from clear to full, which fits a page of any color."""
  return [(*colors.to_rgb(color), alpha) for alpha in alphas]


def _tiles(
  axes: Axes, values: np.ndarray, many: bool, edge: float, **scale: Any
) -> cm.ScalarMappable:
  """Draw an image of many classes, whose cells would make a page heavy."""
  if many:
    return axes.imshow(values, interpolation="none", **scale)
  edges: dict[str, Any] = {"edgecolor": style.SURFACE, "linewidth": edge}
  image = axes.pcolormesh(values, **edges, **scale)
  axes.set_aspect("equal")
  axes.set_ylim(len(values), 0)
  return image


def _bar(
  figure: Figure,
  image: cm.ScalarMappable,
  panels: Sequence[Axes],
  ticks: Sequence[float],
  label: str,
) -> None:
  """Draw a color bar below the panels."""
  # A shared color bar makes the layout engine forget part of its margin.
  figure.set_layout_engine("constrained", h_pad=0.12)
  bar = figure.colorbar(
    image, ax=panels, location="bottom", shrink=0.8, aspect=30, pad=0.02
  )
  bar.outline.set_visible(False)
  bar.set_ticks(ticks)
  bar.set_label(label)


def _name_both_axes(axes: Axes, names: Sequence[str], outer: bool) -> None:
  axes.grid(False)
  labels, key = style.class_labels(names)
  many = len(names) > style.NAMED
  axes.set_xlabel("predicted class" + ("" if many else key))
  if outer:
    axes.set_ylabel("true class")
  axes.spines[:].set_visible(many)
  if many:
    axes.tick_params(labelleft=outer)
    return
  small = len(names) > _FEW
  level = max(map(len, labels)) <= (2 if small else 4)
  ticks, size = np.arange(len(names)) + 0.5, 7 if small else 8
  axes.set_yticks(
    ticks, labels if outer else [], color=style.INK, fontsize=size
  )
  axes.set_xticks(
    ticks, labels, color=style.INK, fontsize=size, **style.turned(level)
  )
