# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The theory's figures about features and a fixed frame."""

from collections.abc import Sequence
from typing import Any

from matplotlib import colors
from matplotlib.axes import Axes
from matplotlib.figure import Figure
import numpy as np

from etf_jax.reporting.figures import style
from etf_jax.theory import laboratory

_ARROW: dict[str, Any] = {
  "angles": "xy",
  "scale_units": "xy",
  "units": "inches",
  "scale": 1,
}
_FIXED = [style.SERIES[place] for place in (1, 4, 3)]


@style.styled
def pull_push(found: laboratory.PullPushFields) -> Figure:
  """Draw negative gradients of one feature, and their directions over the disc.

  Arrows at the feature have half the gradients' length. Directions are colored
  by the angle between the field and the prototype of the feature's class.
  """
  figure = Figure((style.WIDTH, 3.7 * style.WIDTH), layout="constrained")
  grid = figure.subplots(4, 1)
  label, terms = found.label, found.terms
  pull = f"pull to $w_{label + 1}$"
  pushes = [
    (f"push from $w_{k + 1}$", terms[k], style.SERIES[2 + k])
    for k in range(len(terms))
    if k != label
  ]
  total = ("their sum", terms.sum(0), style.INK)
  _gradients(grid[0], found, [(pull, terms[label], ""), *pushes, total])
  _gradients(grid[1], found, [(pull, found.dot_regression, "")])
  target = found.prototypes[:, label]
  off = [_degrees_off(field, target) for field in found.fields]
  scale = colors.Normalize(0, max(10, 10 * np.ceil(max(map(max, off)) / 10)))
  names = ("Cross entropy", "Dot regression") * 2
  for axes, name in zip(grid, names, strict=True):
    axes.set_title(name)
  for axes, field, angles in zip(grid[2:], found.fields, off, strict=True):
    shown = _field(axes, found, field, angles, scale)
  bar = figure.colorbar(
    shown, ax=list(grid[2:]), location="bottom", shrink=0.5, aspect=40, pad=0.02
  )
  bar.outline.set_visible(False)
  bar.set_label(
    f"angle between the negative gradient and $w_{label + 1}$, degrees",
    parse_math=True,
  )
  return figure


@style.styled
def regularity(found: laboratory.RegularityNumbers) -> Figure:
  """Draw regularity numbers without and with projection, and a walk.

  Values above 1.3 leave the first panel at the top.
  """
  figure = Figure((style.WIDTH, 10), layout="constrained")
  upper, middle, lower = figure.subplots(3, 1)
  angles = found.angles
  dot: dict[str, Any] = {
    "color": style.SERIES[0],
    "lw": 2.6,
    "label": "dot regression",
  }
  cross: dict[str, Any] = {
    "color": style.INK,
    "ls": (0, (2, 2.4)),
    "label": "cross entropy",
  }
  for step, values, color in zip(
    found.fixed_steps, found.fixed, _FIXED, strict=False
  ):
    name = f"cross entropy, fixed step {step:.2f}"
    upper.plot(angles, values, label=name, lw=1.4, color=color)
  upper.plot(angles, found.dot_regression, **dot)
  upper.plot(angles, found.cross_entropy, **cross)
  values = np.interp(found.marked, angles, found.dot_regression)
  upper.plot(found.marked, values, "o", color=style.SERIES[0], ms=5)
  for angle, value in zip(found.marked, values, strict=True):
    upper.annotate(
      f"{value:.4f}",
      (angle, value),
      (0, -13),
      textcoords="offset points",
      ha="right" if angle > 0.3 else "left",
      color=style.SERIES[0],
    )
  upper.set_title("Not projected, best steps: equal")
  for values, line in zip(found.projected, (dot, cross), strict=True):
    middle.plot(angles, values, **line)
  middle.set_title("Projected, step 1: cross entropy leaves less near 0")
  for axes in (upper, middle):
    axes.axhline(1, color=style.MUTED, lw=0.9, ls=(0, (3, 3)))
    axes.set_ylim(0, 1.3)
    axes.set_xlabel("angle between feature and prototype, radians")
  for values, line in zip(found.walk, (dot, cross), strict=True):
    lower.plot(np.arange(len(values)), values, **line)
  lower.set_yscale("log")
  lower.yaxis.set_major_formatter(lambda value, _: f"{value:.0e}")
  lower.set_title(f"Radians left by projected steps of {found.walk_step:g}")
  lower.set_xlabel("steps")
  style.legend(figure, upper)
  return figure


@style.styled
def simplex(found: laboratory.Tetrahedron) -> Figure:
  """Draw features on their way to the vertices of a simplex in space.

  Spheres are the vertices, crosses the prototypes, plus signs where features
  started (small) and ended.
  """
  figure = Figure((style.WIDTH, style.WIDTH), layout="constrained")
  axes = figure.add_subplot(projection="3d")
  axes.set_axis_off()
  axes.view_init(elev=15, azim=130)
  axes.set_box_aspect((1, 1, 1), zoom=1.4)
  axes.set(xlim=(-1, 1), ylim=(-1, 1), zlim=(-1, 1))
  turn = np.linspace(0, 2 * np.pi, 73)
  thin = {"color": style.GRID, "lw": 0.7}
  for height in np.linspace(-0.75, 0.75, 5):
    radius = np.sqrt(1 - height**2)
    axes.plot(radius * np.cos(turn), radius * np.sin(turn), height, **thin)
  for angle in np.linspace(0, np.pi, 7)[:-1]:
    x, y = np.cos(turn) * np.cos(angle), np.cos(turn) * np.sin(angle)
    axes.plot(x, y, np.sin(turn), **thin)
  vertices = found.prototypes.T
  for k, vertex in enumerate(vertices):
    color = style.SERIES[k]
    for other in vertices[:k]:
      axes.plot(*np.stack([vertex, other]).T, color=style.BARS, lw=1.1)
    axes.plot(*vertex[:, None], "o", color=style.INK, ms=8, zorder=5)
    axes.plot(
      *1.002 * vertex[:, None], "x", color=color, ms=13, mew=2, zorder=6
    )
    axes.text(
      *1.28 * vertex,
      f"$w_{k + 1}$",
      parse_math=True,
      color=color,
      ha="center",
      va="center",
    )
  for path, label in zip(found.paths, found.labels, strict=True):
    line: dict[str, Any] = {"color": style.SERIES[label], "alpha": 0.75}
    axes.plot(*path.T, lw=1.2, **line)
    axes.plot(*path[:1].T, "+", ms=6, mew=1.2, **line)
    end = {"color": style.SERIES[label], "ms": 13, "mew": 2, "zorder": 7}
    axes.plot(*path[-1:].T, "+", **end)
  handles = [
    axes.plot([], [], [], marker, color=color, ms=7, mew=1.6, label=name)[0]
    for marker, color, name in (
      ("o", style.INK, "vertex"),
      ("x", style.MUTED, "classifier vector"),
      ("+", style.MUTED, "feature, start and end"),
    )
  ]
  figure.legend(
    handles=handles, loc="outside upper left", ncols=3, borderaxespad=0.2
  )
  return figure


@style.styled
def cones(found: laboratory.Cones) -> Figure:
  """Draw features after training, at three points and in three cones."""
  figure = Figure((style.WIDTH, 2 * style.WIDTH), layout="constrained")
  upper, lower = figure.subplots(2, 1)
  degrees = np.degrees(found.tau)
  upper.set_title("Cross entropy: every class at one point")
  lower.set_title(f"HingeCE: every class in its cone of {degrees:.3g}°")
  turn = np.linspace(-found.tau, found.tau, 41)
  for axes, features in ((upper, found.collapsed), (lower, found.separated)):
    _plane(axes, found.prototypes)
    for k, (x, y) in enumerate(found.prototypes.T):
      color = style.SERIES[k]
      if axes is lower:
        around = np.arctan2(y, x) + turn
        edge = np.stack([np.cos(around), np.sin(around)])
        axes.fill(*np.insert(edge, 0, 0, 1), color=color, alpha=0.14, lw=0)
      axes.plot(
        *features[found.labels == k].T,
        "o",
        color=color,
        mec=style.SURFACE,
        mew=0.5,
        ms=5 if axes is lower else 9,
      )
  return figure


def _gradients(
  axes: Axes,
  found: laboratory.PullPushFields,
  arrows: Sequence[tuple[str, np.ndarray, str]],
) -> None:
  """Draw (name, gradient, color) at half the length that the names state."""
  _plane(axes, found.prototypes)
  for name, arrow, given in arrows:
    color = given or style.SERIES[0]
    half = 0.5 * arrow
    axes.quiver(
      *found.feature, *half, color=color, width=0.028, zorder=3, **_ARROW
    )
    # A name stands where its arrow points; a short arrow has it below.
    short = np.linalg.norm(arrow) < 0.2
    aside = (-8, -16) if short else (6 * np.sign(arrow[0] - 0.01), 1)
    axes.annotate(
      f"{name}: {np.linalg.norm(arrow):.2f}",
      tuple(found.feature + half),
      aside,
      textcoords="offset points",
      ha="right" if aside[0] < 0 else "left",
      color=color,
      bbox={"facecolor": style.SURFACE, "edgecolor": "none", "pad": 0.5},
      parse_math=True,
    )
  axes.plot(*found.feature, "o", color=style.INK, ms=6)
  axes.annotate(
    "h",
    tuple(found.feature),
    (-12, 0),
    textcoords="offset points",
    color=style.INK,
  )


def _degrees_off(field: np.ndarray, direction: np.ndarray) -> np.ndarray:
  """Return angles `[P]` between field and a unit vector; 0 where it is zero."""
  length = np.linalg.norm(field, axis=1)
  cosine = np.divide(
    field @ direction, length, out=np.ones_like(length), where=length > 1e-12
  )
  return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def _field(
  axes: Axes,
  found: laboratory.PullPushFields,
  field: np.ndarray,
  angles: np.ndarray,
  scale: colors.Normalize,
):
  """Draw arrows of one length along the field, colored by their angles."""
  _plane(axes, found.prototypes)
  length = np.linalg.norm(field, axis=1, keepdims=True)
  along = np.divide(
    field, length, out=np.zeros_like(field), where=length > 1e-12
  )
  return axes.quiver(
    *found.positions.T,
    *(0.11 * along).T,
    angles,
    cmap=colors.LinearSegmentedColormap.from_list(
      "off", [style.SERIES[0], style.SERIES[6], style.SERIES[1]]
    ),
    norm=scale,
    pivot="mid",
    width=0.016,
    zorder=3,
    **_ARROW,
  )


def _plane(axes: Axes, prototypes: np.ndarray) -> None:
  """Draw the unit circle, and thin arrows to the named prototypes."""
  axes.set_aspect("equal")
  axes.set(xlim=(-1.3, 1.3), ylim=(-1.2, 1.3), xticks=[], yticks=[])
  axes.spines[:].set_visible(False)
  turn = np.linspace(0, 2 * np.pi, 181)
  axes.plot(np.cos(turn), np.sin(turn), color=style.GRID, lw=1)
  zero = np.zeros(prototypes.shape[1])
  thin: dict[str, Any] = {"color": style.BARS, "width": 0.02, "zorder": 1}
  axes.quiver(zero, zero, *prototypes, **thin, **_ARROW)
  for k, vector in enumerate(prototypes.T):
    axes.text(
      1.14 * vector[0],
      1.14 * vector[1],
      f"$w_{k + 1}$",
      parse_math=True,
      ha="center",
      va="center",
      color=style.INK,
    )
