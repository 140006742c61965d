# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The theory figures that show vectors: gradients, the simplex, the cones."""

from collections.abc import Sequence

from matplotlib import colors
from matplotlib.axes import Axes
from matplotlib.figure import Figure
import numpy as np

from etf_jax.reporting.figures import style as figures

_ARROW = {"angles": "xy", "scale_units": "xy", "units": "inches"}


@figures.styled
def pull_push(
  prototypes: np.ndarray,
  feature: np.ndarray,
  label: int,
  terms: np.ndarray,
  dot_regression: np.ndarray,
  positions: np.ndarray,
  fields: Sequence[np.ndarray],
  *,
  narrow: bool = False,
) -> Figure:
  """Negative gradients at one feature, and over the disc around the origin.

  Args:
    prototypes: `[2, K]` unit columns.
    feature: `[2]`, in units of the largest feature length.
    label: the class of the feature and of every position.
    terms: `[K, 2]`, each class's part of the negative gradient of cross
      entropy; arrows are drawn at half their length.
    dot_regression: `[2]`, the negative gradient of dot regression.
    positions: `[P, 2]`, where the fields are.
    fields: two `[P, 2]`, the negative gradients of cross entropy and of dot
      regression; only their directions are drawn.
    narrow: for a phone.

  Returns:
    The figure: gradients at the feature above, fields below; positions are
    coloured by the angle between the field and the own prototype.
  """
  figure = Figure((4, 15) if narrow else (10, 9.6), layout="constrained")
  grid = np.ravel(figure.subplots(4, 1) if narrow else figure.subplots(2, 2))
  total = terms.sum(0)
  own = f"pull to $w_{label + 1}$"
  pushes = [
    (f"push from $w_{k + 1}$", terms[k], figures.SERIES[2 + k])
    for k in range(len(terms))
    if k != label
  ]
  _gradients(
    grid[0],
    prototypes,
    feature,
    [
      (own, terms[label], figures.SERIES[0]),
      *pushes,
      ("their sum", total, figures.INK),
    ],
    "Cross entropy: the gradient of one feature",
  )
  _gradients(
    grid[1],
    prototypes,
    feature,
    [(own, dot_regression, figures.SERIES[0])],
    "Dot regression: the same feature",
  )
  off = [_degrees_off(field, prototypes[:, label]) for field in fields]
  scale = colors.Normalize(0, max(10, 10 * np.ceil(max(map(max, off)) / 10)))
  shown = None
  for axes, field, angles, name in zip(
    grid[2:], fields, off, ("Cross entropy", "Dot regression"), strict=True
  ):
    shown = _field(axes, prototypes, positions, field, angles, scale)
    axes.set_title(f"{name}: directions over the disc")
  bar = figure.colorbar(
    shown, ax=list(grid[2:]), location="bottom", shrink=0.5, aspect=40, pad=0.02
  )
  bar.outline.set_visible(False)
  bar.set_label(
    f"angle between the negative gradient and $w_{label + 1}$, degrees",
    parse_math=True,
  )
  return figure


@figures.styled
def simplex(
  prototypes: np.ndarray,
  paths: np.ndarray,
  labels: Sequence[int],
  *,
  narrow: bool = False,
) -> Figure:
  """Features on their way to the vertices of a simplex in three dimensions.

  Args:
    prototypes: `[3, 4]` unit columns.
    paths: `[F, S, 3]`, S positions of each feature, of unit length.
    labels: `[F]`, the classes of the features.
    narrow: for a phone.

  Returns:
    The figure: spheres are the vertices, crosses the prototypes, plus signs
    where the features started (small) and ended.
  """
  figure = Figure((4, 4.3) if narrow else (7, 6.2), layout="constrained")
  axes = figure.add_subplot(projection="3d")
  axes.set_axis_off()
  axes.view_init(elev=15, azim=130)
  axes.set_box_aspect((1, 1, 1), zoom=1.45)
  axes.set(xlim=(-1, 1), ylim=(-1, 1), zlim=(-1, 1))
  turn = np.linspace(0, 2 * np.pi, 73)
  for height in np.linspace(-0.75, 0.75, 5):
    radius = np.sqrt(1 - height**2)
    x, y = radius * np.cos(turn), radius * np.sin(turn)
    axes.plot(x, y, height, color=figures.GRID, lw=0.7)
  for angle in np.linspace(0, np.pi, 7)[:-1]:
    x, y = np.cos(turn) * np.cos(angle), np.cos(turn) * np.sin(angle)
    axes.plot(x, y, np.sin(turn), color=figures.GRID, lw=0.7)
  vertices = prototypes.T
  for one in range(len(vertices)):
    for other in range(one):
      axes.plot(*vertices[[one, other]].T, color=figures.BARS, lw=1.1)
  for path, label in zip(paths, labels, strict=True):
    colour = figures.SERIES[label]
    axes.plot(*path.T, color=colour, lw=1.2, alpha=0.75)
    axes.plot(*path[:1].T, "+", color=colour, ms=6, mew=1.2, alpha=0.75)
  size = 7 if narrow else 9
  for label, vertex in enumerate(vertices):
    colour = figures.SERIES[label]
    axes.plot(*vertex[:, None], "o", color=figures.INK, ms=size, zorder=5)
    axes.plot(
      *(1.002 * vertex[:, None]),
      "x",
      color=colour,
      ms=1.6 * size,
      mew=2,
      zorder=6,
    )
    axes.text(
      *(1.28 * vertex),
      f"$w_{label + 1}$",
      parse_math=True,
      color=colour,
      ha="center",
      va="center",
    )
  ends = paths[:, -1]
  for end, label in zip(ends, labels, strict=True):
    axes.plot(
      *end[:, None],
      "+",
      color=figures.SERIES[label],
      ms=1.6 * size,
      mew=2,
      zorder=7,
    )
  handles = [
    axes.plot([], [], [], marker, color=colour, ms=7, mew=1.6, label=name)[0]
    for marker, colour, name in (
      ("o", figures.INK, "vertex"),
      ("x", figures.MUTED, "classifier vector"),
      ("+", figures.MUTED, "feature, start and end"),
    )
  ]
  figure.legend(
    handles=handles, loc="outside upper left", ncols=3, borderaxespad=0.2
  )
  return figure


@figures.styled
def cones(
  prototypes: np.ndarray,
  collapsed: np.ndarray,
  separated: np.ndarray,
  labels: np.ndarray,
  tau: float,
  *,
  narrow: bool = False,
) -> Figure:
  """Features after training, at three points and in three cones.

  Args:
    prototypes: `[2, 3]` unit columns, the axes of the cones.
    collapsed: `[F, 2]` features in the unit disc.
    separated: `[F, 2]`, the same.
    labels: `[F]`, the classes of the features.
    tau: angular radius of the cones, radians.
    narrow: for a phone.

  Returns:
    The figure, `collapsed` beside `separated`.
  """
  figure = Figure((4, 8) if narrow else (10, 4.9), layout="constrained")
  figure.get_layout_engine().set(h_pad=0.1)
  left, right = figure.subplots(2, 1) if narrow else figure.subplots(1, 2)
  left.set_title("Cross entropy: every class at one point")
  right.set_title(f"HingeCE: every class in its cone of {np.degrees(tau):.3g}°")
  turn = np.linspace(-tau, tau, 41)
  for axes, features in ((left, collapsed), (right, separated)):
    _plane(axes, prototypes)
    for k in range(prototypes.shape[1]):
      if axes is right:
        middle = np.arctan2(prototypes[1, k], prototypes[0, k])
        edge = np.stack([np.cos(middle + turn), np.sin(middle + turn)], 1)
        axes.fill(
          *np.concatenate([np.zeros((1, 2)), edge]).T,
          color=figures.SERIES[k],
          alpha=0.14,
          lw=0,
        )
      axes.plot(
        *features[labels == k].T,
        "o",
        color=figures.SERIES[k],
        mec=figures.SURFACE,
        mew=0.5,
        ms=5 if axes is right else 9,
      )
  return figure


def _gradients(axes: Axes, prototypes, feature, arrows, title: str) -> None:
  """Arrows at `feature`, at half their length, which stands at their tips."""
  axes.set_title(title)
  _plane(axes, prototypes)
  for name, arrow, colour in arrows:
    axes.quiver(
      *feature,
      *(0.5 * arrow),
      color=colour,
      width=0.028,
      scale=1,
      zorder=3,
      **_ARROW,
    )
    # A name stands where its arrow points; a short arrow has it below.
    short = np.linalg.norm(arrow) < 0.2
    aside = (-8, -16) if short else (6 * np.sign(arrow[0] - 0.01), 1)
    axes.annotate(
      f"{name}: {np.linalg.norm(arrow):.2f}",
      feature + 0.5 * arrow,
      aside,
      textcoords="offset points",
      ha="right" if aside[0] < 0 else "left",
      color=colour,
      bbox={"facecolor": figures.SURFACE, "edgecolor": "none", "pad": 0.5},
      parse_math=True,
    )
  axes.plot(*feature, "o", color=figures.INK, ms=6)
  axes.annotate(
    "h", feature, (-12, 0), textcoords="offset points", color=figures.INK
  )


def _degrees_off(field: np.ndarray, direction: np.ndarray) -> np.ndarray:
  """The angles `[P]` between a field and a unit vector; 0 where it is zero."""
  length = np.linalg.norm(field, axis=1)
  cosine = np.divide(
    field @ direction, length, out=np.ones_like(length), where=length > 1e-12
  )
  return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def _field(axes: Axes, prototypes, positions, field, angles, scale):
  """Arrows of one length along the field, coloured by their angles."""
  _plane(axes, prototypes)
  length = np.linalg.norm(field, axis=1, keepdims=True)
  along = np.divide(
    field, length, out=np.zeros_like(field), where=length > 1e-12
  )
  return axes.quiver(
    *positions.T,
    *(0.11 * along).T,
    angles,
    cmap=colors.LinearSegmentedColormap.from_list(
      "off", [figures.SERIES[0], figures.SERIES[6], figures.SERIES[1]]
    ),
    norm=scale,
    pivot="mid",
    width=0.016,
    scale=1,
    zorder=3,
    **_ARROW,
  )


def _plane(axes: Axes, prototypes: np.ndarray) -> None:
  """The unit circle, and thin arrows to the named prototypes."""
  axes.set_aspect("equal")
  axes.set(xlim=(-1.3, 1.3), ylim=(-1.2, 1.3), xticks=[], yticks=[])
  axes.spines[:].set_visible(False)
  turn = np.linspace(0, 2 * np.pi, 181)
  axes.plot(np.cos(turn), np.sin(turn), color=figures.GRID, lw=1)
  nothing = np.zeros(prototypes.shape[1])
  axes.quiver(
    nothing,
    nothing,
    *prototypes,
    color=figures.BARS,
    width=0.02,
    scale=1,
    zorder=1,
    **_ARROW,
  )
  for k, vector in enumerate(prototypes.T):
    axes.text(
      *(1.14 * vector),
      f"$w_{k + 1}$",
      parse_math=True,
      ha="center",
      va="center",
      color=figures.INK,
    )
