# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Heat maps of cosines between classes (`cosines`)."""

from collections.abc import Sequence
import textwrap

from matplotlib import colors
from matplotlib.axes import Axes
from matplotlib.figure import Figure
import numpy as np

from etf_jax.reporting.figures import style as figures

_NEGATIVE = "#1f6fb4"
_POSITIVE = "#c2410c"
# The names of more classes would not fit beside a small matrix.
_NAMED = 12


@figures.styled
def cosines(
  panels: Sequence[tuple[str, np.ndarray, np.ndarray]],
  class_counts: Sequence[int],
  class_names: Sequence[str],
  *,
  narrow: bool = False,
) -> Figure:
  """Cosines between classes, from -1 to 1, largest class first.

  Args:
    panels: (label, cosines between classifier vectors, cosines between
      centred class means), both `[K, K]`, NaN where undefined.
    class_counts: `[K]` training images, for the order.
    class_names: `[K]`, shown for up to 12 classes.
    narrow: for a phone.

  Returns:
    The figure: two panels a label; undefined cells are grey.
  """
  order = np.argsort(-np.asarray(class_counts), kind="stable")
  names = [
    figures.drawable(class_names[c], place) for place, c in enumerate(order)
  ]
  figure, pairs, letters = _layout(len(panels), narrow)
  image = None
  for pair, (label, classifier, features) in zip(pairs, panels, strict=True):
    pair[0].set_title(textwrap.fill(label, letters))
    for axes, kind, matrix in (
      (pair[0], "classifier vectors", classifier),
      (pair[1], "centred class means", features),
    ):
      image = _heat(axes, np.asarray(matrix, np.float64)[np.ix_(order, order)])
      outer = axes.get_subplotspec().is_first_col()
      _name_axes(axes, names, narrow, outer)
      axes.set_xlabel(kind)
  # A shared colour bar makes the layout engine forget part of its margin.
  figure.get_layout_engine().set(h_pad=0.12)
  bar = figure.colorbar(
    image,
    ax=[axes for pair in pairs for axes in pair],
    location="bottom",
    shrink=0.8 if narrow else 0.4,
    aspect=30,
    pad=0.02,
  )
  bar.outline.set_visible(False)
  bar.set_ticks([-1, -0.5, 0, 0.5, 1])
  bar.set_label("cosine")
  return figure


def _layout(
  panels: int, narrow: bool
) -> tuple[Figure, list[tuple[Axes, Axes]], int]:
  """A figure, the two axes of each label, and the letters above the first.

  The two are side by side where the figure is narrow or holds one label, else
  above each other.
  """
  if narrow or panels == 1:
    side = 2 if narrow else 3.6
    figure = Figure(
      (2 * side, (side + 0.2) * panels + 0.6), layout="constrained"
    )
    pairs = list(figure.subplots(panels, 2, squeeze=False))
    return figure, pairs, 40 if narrow else 60
  across = 3 if panels in (3, 5, 6, 9) else min(panels, 4)
  down = -(-panels // across)
  side = min(10 / across, 3.6)
  figure = Figure(
    (side * across, (side + 0.2) * 2 * down + 0.6), layout="constrained"
  )
  grid = figure.subplots(2 * down, across, squeeze=False)
  for axes in grid[-2:, panels - across * (down - 1) :].ravel():
    axes.set_visible(False)
  places = [divmod(index, across) for index in range(panels)]
  pairs = [
    (grid[2 * row, column], grid[2 * row + 1, column]) for row, column in places
  ]
  return figure, pairs, int(8 * side)


def _heat(axes: Axes, matrix: np.ndarray):
  # From clear to a colour, not from white: it fits a page of any colour. Less
  # than linear: cosines near -1/(K - 1) shall not look like zero.
  alphas = np.linspace(1, 0, 512) ** 0.6
  ramp = [(*colors.to_rgb(_NEGATIVE), alpha) for alpha in alphas]
  ramp += [(*colors.to_rgb(_POSITIVE), alpha) for alpha in alphas[::-1]]
  known = np.ma.masked_invalid(matrix)
  unknown = np.ma.masked_where(np.isfinite(matrix), np.ones_like(matrix))
  shown = {"cmap": colors.ListedColormap(ramp), "vmin": -1, "vmax": 1}
  grey = {"cmap": colors.ListedColormap([figures.BARS])}
  if len(matrix) > figures.NAMED:
    # A file for each of many cells would make the page heavy.
    axes.imshow(unknown, interpolation="none", **grey)
    return axes.imshow(known, interpolation="none", **shown)
  edge = {"edgecolor": figures.SURFACE, "linewidth": 0.5}
  axes.pcolormesh(unknown, **edge, **grey)
  image = axes.pcolormesh(known, **edge, **shown)
  axes.set_aspect("equal")
  axes.invert_yaxis()
  return image


def _name_axes(
  axes: Axes, names: Sequence[str], narrow: bool, outer: bool
) -> None:
  """Name the rows; the columns, in the same order, would need as much room."""
  axes.grid(False)
  axes.spines[:].set_visible(len(names) > figures.NAMED)
  axes.set_xticks([])
  if len(names) > _NAMED or not outer:
    axes.set_yticks([])
    return
  axes.set_yticks(
    np.arange(len(names)) + 0.5,
    names,
    color=figures.INK,
    fontsize=6 if narrow else 7,
  )
