# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Confusion matrices."""

from collections.abc import Sequence
from typing import Any

from matplotlib import cm, colors
from matplotlib.axes import Axes
from matplotlib.figure import Figure
import numpy as np

from etf_jax.reporting.figures import style

_HEAT = "#1f6fb4"
# Up to this many classes every tile has its number.
_VALUES = 12
# A large matrix is shown in about this many blocks of classes a side.
_TILES = 100


@style.styled
def confusion(
  panels: Sequence[tuple[str, np.ndarray]],
  class_counts: Sequence[int],
  class_names: Sequence[str],
) -> Figure:
  """Draw confusion matrices in percent of each true class, by class size.

  Args:
    panels: (label, `[K, K]` counts with a row per true class) each.
    class_counts: `[K]` training images, for the order.
    class_names: `[K]`, shown for up to 30 classes; values up to 12.

  Returns:
    The figure.
  """
  order = np.argsort(-np.asarray(class_counts), kind="stable")
  names = [class_names[c] for c in order]
  # Numbers and names need a row each; plain tiles are legible side by side.
  across = 2 if len(panels) > 1 and len(names) > style.NAMED else 1
  down = -(-len(panels) // across)
  side = style.WIDTH / across
  figure = Figure((style.WIDTH, 0.96 * side * down), layout="constrained")
  grid = figure.subplots(down, across, squeeze=False).ravel()
  image = cm.ScalarMappable()
  for index, (axes, (label, matrix)) in enumerate(
    zip(grid, panels, strict=False)
  ):
    percent = _percent(np.asarray(matrix, np.float64)[np.ix_(order, order)])
    axes.set_title(label)
    image = _heat(axes, percent, len(names))
    _name_axes(axes, names, outer=index % across == 0)
  for axes in grid[len(panels) :]:
    axes.set_visible(False)
  if len(names) > _VALUES:
    # A shared color bar makes the layout engine forget part of its margin.
    figure.set_layout_engine("constrained", h_pad=0.12)
    bar = figure.colorbar(
      image,
      ax=list(grid[: len(panels)]),
      location="bottom",
      shrink=0.8,
      aspect=30,
      pad=0.02,
    )
    bar.outline.set_visible(False)
    bar.set_ticks([0, 1, 5, 20, 50, 100])
    bar.set_label("% of the true class")
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


def _heat(
  axes: Axes, percent: np.ndarray, num_classes: int
) -> cm.ScalarMappable:
  # From clear to blue, not from white: it fits a page of any color.
  ramp = [(*colors.to_rgb(_HEAT), alpha) for alpha in np.linspace(0, 1, 256)]
  scale: dict[str, Any] = {"cmap": colors.ListedColormap(ramp)}
  # Mistakes are spread thin over many classes; the root makes them visible.
  scale["norm"] = colors.PowerNorm(
    0.5 if num_classes > _VALUES else 0.8, vmin=0, vmax=100
  )
  if num_classes > style.NAMED:
    end = len(percent) * block_size(num_classes) - 0.5
    image: cm.ScalarMappable = axes.imshow(
      percent,
      interpolation="none",
      extent=(-0.5, end, end, -0.5),
      **scale,
    )
  else:
    image = axes.pcolormesh(
      percent, edgecolor=style.SURFACE, linewidth=0.8, **scale
    )
    axes.set_aspect("equal")
    axes.invert_yaxis()
  if num_classes <= _VALUES:
    for (row, column), value in np.ndenumerate(percent):
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
  return image


def _name_axes(axes: Axes, names: Sequence[str], outer: bool) -> None:
  axes.grid(False)
  labels, key = style.class_labels(names)
  many = len(names) > style.NAMED
  axes.set_xlabel("predicted class" + ("" if many else key))
  if outer:
    axes.set_ylabel("true class")
  if many:
    axes.spines[:].set_visible(True)
    axes.tick_params(labelleft=outer)
    return
  axes.spines[:].set_visible(False)
  size = 7 if len(names) > _VALUES else 8
  ticks = np.arange(len(names)) + 0.5
  level = max(map(len, labels)) <= (2 if len(names) > _VALUES else 4)
  axes.set_xticks(
    ticks,
    labels,
    color=style.INK,
    fontsize=size,
    rotation=0 if level else 45,
    ha="center" if level else "right",
    rotation_mode="anchor",
  )
  axes.set_yticks(
    ticks, labels if outer else [], color=style.INK, fontsize=size
  )
