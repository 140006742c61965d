# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Heat maps of cosines between classes."""

from collections.abc import Sequence
import textwrap
from typing import Any

from matplotlib import cm, colors
from matplotlib.axes import Axes
from matplotlib.figure import Figure
import numpy as np

from etf_jax.reporting.figures import style

_NEGATIVE = "#1f6fb4"
_POSITIVE = "#c2410c"
# The names of more classes would not fit beside a small matrix.
_NAMED = 12


@style.styled
def cosines(
  panels: Sequence[tuple[str, np.ndarray, np.ndarray]],
  class_counts: Sequence[int],
  class_names: Sequence[str],
) -> Figure:
  """Draw cosines between classes, from -1 to 1, largest class first.

  Args:
    panels: (label, cosines between classifier vectors, cosines between
      centred class means), both `[K, K]`, NaN where undefined.
    class_counts: `[K]` training images, for the order.
    class_names: `[K]`, shown for up to 12 classes.

  Returns:
    The figure: two panels a label; undefined cells are gray.
  """
  order = np.argsort(-np.asarray(class_counts), kind="stable")
  names, _ = style.class_labels([class_names[c] for c in order])
  side = style.WIDTH / 2
  figure = Figure(
    (style.WIDTH, (side + 0.2) * len(panels) + 0.6), layout="constrained"
  )
  grid = figure.subplots(len(panels), 2, squeeze=False)
  image = cm.ScalarMappable()
  for pair, (label, classifier, features) in zip(grid, panels, strict=True):
    pair[0].set_title(textwrap.fill(label, 44))
    for axes, kind, matrix in (
      (pair[0], "classifier vectors", classifier),
      (pair[1], "centred class means", features),
    ):
      image = _heat(axes, np.asarray(matrix, np.float64)[np.ix_(order, order)])
      _name_axes(axes, names, outer=axes is pair[0])
      axes.set_xlabel(kind)
  # A shared color bar makes the layout engine forget part of its margin.
  figure.set_layout_engine("constrained", h_pad=0.12)
  bar = figure.colorbar(
    image,
    ax=list(grid.ravel()),
    location="bottom",
    shrink=0.8,
    aspect=30,
    pad=0.02,
  )
  bar.outline.set_visible(False)
  bar.set_ticks([-1, -0.5, 0, 0.5, 1])
  bar.set_label("cosine")
  return figure


def _heat(axes: Axes, matrix: np.ndarray) -> cm.ScalarMappable:
  # From clear to a color, not from white: it fits a page of any color. Less
  # than linear: cosines near -1/(K - 1) shall not look like zero.
  alphas = np.linspace(1, 0, 512) ** 0.6
  ramp = [(*colors.to_rgb(_NEGATIVE), alpha) for alpha in alphas]
  ramp += [(*colors.to_rgb(_POSITIVE), alpha) for alpha in alphas[::-1]]
  known = np.ma.masked_invalid(matrix)
  unknown = np.ma.masked_where(np.isfinite(matrix), np.ones_like(matrix))
  scale: dict[str, Any] = {
    "cmap": colors.ListedColormap(ramp),
    "vmin": -1,
    "vmax": 1,
  }
  gray: dict[str, Any] = {"cmap": colors.ListedColormap([style.BARS])}
  if len(matrix) > style.NAMED:
    # A file for each of many cells would make the page heavy.
    axes.imshow(unknown, interpolation="none", **gray)
    return axes.imshow(known, interpolation="none", **scale)
  edge: dict[str, Any] = {"edgecolor": style.SURFACE, "linewidth": 0.5}
  axes.pcolormesh(unknown, **edge, **gray)
  image = axes.pcolormesh(known, **edge, **scale)
  axes.set_aspect("equal")
  axes.invert_yaxis()
  return image


def _name_axes(axes: Axes, names: Sequence[str], outer: bool) -> None:
  """Name the rows; the columns, in the same order, would need as much room."""
  axes.grid(False)
  axes.spines[:].set_visible(len(names) > style.NAMED)
  axes.set_xticks([])
  if len(names) > _NAMED or not outer:
    axes.set_yticks([])
    return
  axes.set_yticks(
    np.arange(len(names)) + 0.5,
    names,
    color=style.INK,
    fontsize=7,
  )
