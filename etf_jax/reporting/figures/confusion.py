# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The confusion matrices of a report (`confusion`)."""

from collections.abc import Sequence

from matplotlib import colors
from matplotlib.axes import Axes
from matplotlib.figure import Figure
import numpy as np

from etf_jax.reporting.figures import style as figures

_HEAT = "#1f6fb4"
# Up to this many classes every tile has its number.
_VALUES = 12
# A large matrix is shown in about this many blocks of classes a side.
_TILES = 100


@figures.styled
def confusion(
  panels: Sequence[tuple[str, np.ndarray]],
  class_counts: Sequence[int],
  class_names: Sequence[str],
  *,
  narrow: bool = False,
) -> Figure:
  """Confusion matrices in percent of each true class, largest class first.

  Args:
    panels: (label, `[K, K]` counts with a row per true class) each.
    class_counts: `[K]` training images, for the order.
    class_names: `[K]`, shown for up to 30 classes; values up to 12.
    narrow: for a phone.

  Returns:
    The figure.
  """
  order = np.argsort(-np.asarray(class_counts), kind="stable")
  names = [class_names[c] for c in order]
  size, across, font = _layout(len(panels), narrow)
  down = -(-len(panels) // across)
  figure = Figure((size[0] * across, size[1] * down), layout="constrained")
  grid = figure.subplots(down, across, squeeze=False).ravel()
  image = None
  for index, (axes, (label, matrix)) in enumerate(
    zip(grid, panels, strict=False)
  ):
    percent = _percent(np.asarray(matrix, np.float64)[np.ix_(order, order)])
    axes.set_title(label)
    image = _heat(axes, percent, names, font)
    _name_axes(axes, names, font, outer=index % across == 0)
  for axes in grid[len(panels) :]:
    axes.set_visible(False)
  if len(names) > _VALUES:
    # A shared colour bar makes the layout engine forget part of its margin.
    figure.get_layout_engine().set(h_pad=0.12)
    bar = figure.colorbar(
      image,
      ax=list(grid[: len(panels)]),
      location="bottom" if narrow else "right",
      shrink=0.7,
      aspect=30,
      pad=0.02,
    )
    bar.outline.set_visible(False)
    bar.set_ticks([0, 1, 5, 20, 50, 100])
    bar.set_label("% of the true class")
  return figure


def block_size(num_classes: int) -> int:
  """How many neighbouring classes share a tile of a large matrix."""
  return -(-num_classes // _TILES) if num_classes > 2 * _TILES else 1


def _percent(matrix: np.ndarray) -> np.ndarray:
  """Percent of each row; for many classes, means over blocks of rows."""
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


def _layout(
  panels: int, narrow: bool
) -> tuple[tuple[float, float], int, float]:
  """Width and height of a panel, panels in a row, size of the numbers."""
  if narrow:
    return (4, 3.72), 1, 7
  if panels == 1:
    return (6.4, 5.6), 1, 8
  if panels in (2, 4):
    return (5, 4.65), 2, 8
  return (10 / 3, 3.2), 3, 6.5


def _heat(axes: Axes, percent: np.ndarray, names: Sequence[str], font: float):
  num_classes = len(names)
  # From clear to blue, not from white: it fits a page of any colour.
  ramp = [(*colors.to_rgb(_HEAT), alpha) for alpha in np.linspace(0, 1, 256)]
  shown = {"cmap": colors.ListedColormap(ramp)}
  # Mistakes are spread thin over many classes; the root makes them visible.
  shown["norm"] = colors.PowerNorm(
    0.5 if num_classes > _VALUES else 0.8, vmin=0, vmax=100
  )
  if num_classes > figures.NAMED:
    end = len(percent) * block_size(num_classes) - 0.5
    image = axes.imshow(
      percent,
      interpolation="none",
      extent=(-0.5, end, end, -0.5),
      **shown,
    )
  else:
    image = axes.pcolormesh(
      percent, edgecolor=figures.SURFACE, linewidth=0.8, **shown
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
          fontsize=font,
          color="#ffffff" if value > 45 else figures.INK,
        )
  return image


def _name_axes(
  axes: Axes, names: Sequence[str], font: float, outer: bool
) -> None:
  axes.grid(False)
  axes.set_xlabel("predicted class")
  if outer:
    axes.set_ylabel("true class")
  if len(names) > figures.NAMED:
    axes.spines[:].set_visible(True)
    axes.tick_params(labelleft=outer)
    return
  axes.spines[:].set_visible(False)
  shown = [figures.drawable(name, place) for place, name in enumerate(names)]
  size = min(font, 7 if len(names) > _VALUES else 8)
  ticks = np.arange(len(names)) + 0.5
  level = max(map(len, shown)) <= (2 if len(names) > _VALUES else 4)
  axes.set_xticks(
    ticks,
    shown,
    color=figures.INK,
    fontsize=size,
    rotation=0 if level else 45,
    ha="center" if level else "right",
    rotation_mode="anchor",
  )
  axes.set_yticks(
    ticks, shown if outer else [], color=figures.INK, fontsize=size
  )
