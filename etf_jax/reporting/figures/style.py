# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The look of every figure, and figures as SVG and PNG.

@styled
def plot(...) -> Figure:
  figure = Figure((WIDTH, 3), layout="constrained")

page += svg(plot(...), "curves")
png(plot(...), "figures/curves.png")

A figure is drawn once, `WIDTH` wide. In a page it is between 350 and 590 pixels
wide, so its text has 9 to 15 pixels.
"""

from collections.abc import Callable, Mapping, Sequence
import functools
import io
import os
from pathlib import Path
import re
import textwrap
from typing import Any, ParamSpec

import matplotlib
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
import numpy as np

# Inches, of every figure.
WIDTH = 4.8
INK = "#23272e"
MUTED = "#6b7380"
GRID = "#dfe3e8"
BARS = "#b9c1cb"
SURFACE = "#fefefe"
# After Okabe and Ito, without their yellow, which vanishes on white.
SERIES = (
  *("#0072b2", "#d55e00", "#009e73", "#c7629c"),
  *("#dc9600", "#4aa5dc", "#7a5195", "#5f6670"),
)
# The same colors where the page is dark.
_DARK_SERIES = (
  *("#4fa9e0", "#f0883e", "#2fc297", "#e392c0"),
  *("#f0b63a", "#9bd3f5", "#b890d6", "#a8adb3"),
)
_DARK = {
  INK: "#e6e9ee",
  MUTED: "#97a1af",
  GRID: "#2d333c",
  BARS: "#4a5462",
  SURFACE: "#171a1f",
  **dict(zip(SERIES, _DARK_SERIES, strict=True)),
}
MARKERS = "os^DvPX*"
_DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)))
_VARIABLES = {
  INK: "ink",
  MUTED: "muted",
  GRID: "grid",
  BARS: "bars",
  SURFACE: "surface",
  **{color: f"s{index}" for index, color in enumerate(SERIES)},
}
# Up to this many classes each has its name in a figure.
NAMED = 30

# Any: matplotlib types the keys as literals.
_STYLE: Any = {
  "font.family": "DejaVu Sans",
  "font.size": 9,
  "text.color": INK,
  "text.parse_math": False,  # a class may well be called "$5 bill"
  "axes.labelcolor": MUTED,
  "axes.edgecolor": GRID,
  "axes.facecolor": "none",
  "axes.titlesize": 9.5,
  "axes.titleweight": "bold",
  "axes.titlelocation": "left",
  "axes.titlecolor": INK,
  "axes.spines.top": False,
  "axes.spines.right": False,
  "axes.spines.left": False,
  "axes.grid": True,
  "axes.grid.axis": "y",
  "axes.axisbelow": True,
  "axes.formatter.useoffset": False,
  "grid.color": GRID,
  "grid.linewidth": 0.8,
  "xtick.color": MUTED,
  "ytick.color": MUTED,
  "xtick.major.size": 0,
  "xtick.minor.size": 0,
  "ytick.major.size": 0,
  "ytick.minor.size": 0,
  "figure.facecolor": "none",
  "legend.frameon": False,
  "legend.handlelength": 1.8,
  "lines.linewidth": 1.8,
  "lines.solid_capstyle": "round",
  "svg.fonttype": "path",
  "svg.hashsalt": "etf_jax",
}


P = ParamSpec("P")


def styled(function: Callable[P, Figure]) -> Callable[P, Figure]:
  """Apply the style without touching the caller's settings."""

  @functools.wraps(function)
  def wrapper(*args: P.args, **kwargs: P.kwargs) -> Figure:
    with matplotlib.rc_context(_STYLE):
      return function(*args, **kwargs)

  return wrapper


def themes() -> Mapping[str, tuple[str, str]]:
  """Return the light and the dark color of each CSS variable of `svg`."""
  return {name: (color, _DARK[color]) for color, name in _VARIABLES.items()}


def svg(figure: Figure, prefix: str) -> str:
  """Render a figure as an SVG element to stand inside an HTML page.

  Every id begins with `prefix`, so that two figures of a page do not meet.
  Colors are the CSS variables of `themes`, with the light ones as defaults; the
  element names no address.
  """
  buffer = io.StringIO()
  with matplotlib.rc_context(_STYLE):
    figure.savefig(
      buffer,
      format="svg",
      transparent=True,
      metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
    )
  text = buffer.getvalue()
  text = text[text.index("<svg") :]
  text = re.sub(
    r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL
  )
  text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text)
  text = re.sub(r'width="[\d.]+pt" height="[\d.]+pt" ?', "", text, count=1)
  text = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{prefix}-", text)
  return re.sub(
    "|".join(_VARIABLES),
    lambda found: f"var(--{_VARIABLES[found.group()]}, {found.group()})",
    text,
  )


def png(figure: Figure, path: str | os.PathLike) -> None:
  """Save a figure on white."""
  path = Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  with matplotlib.rc_context(_STYLE):
    figure.savefig(path, format="png", dpi=220, facecolor="white")


def series_style(index: int) -> dict[str, Any]:
  """Return the color and dashes of the line number `index` of a figure."""
  return {
    "color": SERIES[index % len(SERIES)],
    "linestyle": _DASHES[index // len(SERIES) % len(_DASHES)],
  }


def error_bars(
  axes: Axes,
  points: Mapping[float, Sequence[float]],
  label: str | None,
  index: int,
) -> None:
  """Draw the means at some places, with one deviation over the values."""
  places = sorted(points)
  values = [points[place] for place in places]
  axes.errorbar(
    places,
    [np.mean(v) for v in values],
    [float(np.std(v, ddof=1)) if len(v) > 1 else 0.0 for v in values],
    label=label,
    marker=".",
    **series_style(index),
  )


def band(
  axes: Axes,
  x: np.ndarray,
  mean: np.ndarray,
  deviation: np.ndarray,
  color: str,
) -> None:
  """Shade one deviation around a mean; nothing where it is undefined."""
  if np.isfinite(deviation).any():
    axes.fill_between(
      x, mean - deviation, mean + deviation, color=color, alpha=0.16, lw=0
    )


def legend(figure: Figure, axes: Axes) -> None:
  """Name the lines or bars of `axes` above the figure, from the left."""
  handles, labels = axes.get_legend_handles_labels()
  if not labels:
    return
  wrapped = [textwrap.fill(label, 48) for label in labels]
  longest = max(len(line) for text in wrapped for line in text.split("\n"))
  inches = 0.45 + longest * matplotlib.rcParams["font.size"] * 0.0086
  columns = min(max(1, int(figure.get_figwidth() / inches)), len(labels))
  # matplotlib fills column by column; people read line by line.
  order = [
    place
    for column in range(columns)
    for place in range(column, len(labels), columns)
  ]
  figure.legend(
    [handles[place] for place in order],
    [wrapped[place] for place in order],
    loc="outside upper left",
    ncols=columns,
    borderaxespad=0.2,
  )


def turned(level: bool) -> dict[str, Any]:
  """Return how names below an axis stand: level, or turned where too long."""
  return {
    "rotation": 0 if level else 45,
    "ha": "center" if level else "right",
    "rotation_mode": "anchor",
  }


@functools.cache
def _glyphs() -> frozenset[int]:
  path = font_manager.findfont("DejaVu Sans")
  return frozenset(font_manager.get_font(path).get_charmap())


def drawable(name: str, place: int) -> str:
  """Shorten a name; one that the font cannot draw becomes `#place + 1`."""
  if not all(ord(letter) in _glyphs() for letter in name):
    return f"#{place + 1}"
  return name if len(name) <= 18 else name[:17] + "…"


def class_labels(names: Sequence[str]) -> tuple[list[str], str]:
  """Return names that can be drawn, and a key to append to the axis label.

  Args:
    names: of all classes in their order in the figure, largest class first.
  """
  labels = [drawable(name, place) for place, name in enumerate(names)]
  replaced = any(
    label.startswith("#") and label != name
    for label, name in zip(labels, names, strict=True)
  )
  return labels, " (#N: row N of the table Classes)" if replaced else ""
