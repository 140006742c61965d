# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The figures of the theory page, in the style of a report's.

Each function takes plain arrays and returns a matplotlib figure; ``narrow``
gives the layout for a phone::

    figure = regularity(angles, dot_regression, cross_entropy, {}, angles[:1])
    figure.savefig("regularity.png")
"""

from collections.abc import Mapping, Sequence

from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
import numpy as np

from etf_jax.reporting import _theory_classes
from etf_jax.reporting._theory_classes import class_map as class_map
from etf_jax.reporting._theory_classes import class_profile as class_profile
from etf_jax.reporting._theory_geometry import cones as cones
from etf_jax.reporting._theory_geometry import pull_push as pull_push
from etf_jax.reporting._theory_geometry import simplex as simplex
from etf_jax.reporting.figures import style as figures

PHASES = (
  "no class collapses",
  "minority classes share one vector",
  "minority vectors are zero",
  "all vectors are zero",
)
_PHASE_MARKERS = "osX."
_PHASE_COLOURS = (
  figures.SERIES[0],
  figures.SERIES[1],
  figures.SERIES[6],
  figures.SERIES[7],
)
_LINE_DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)))
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_STEPS = (figures.SERIES[1], figures.SERIES[4], figures.SERIES[3])


@figures.styled
def phase_diagram(
  lambda_z: np.ndarray,
  majority_counts: np.ndarray,
  phases: np.ndarray,
  line_counts: np.ndarray,
  lines: Mapping[str, np.ndarray],
  cut: Mapping[str, np.ndarray],
  cut_count: float,
  cut_lambda_z: np.ndarray,
  *,
  narrow: bool = False,
) -> Figure:
  """Which classes collapse, and how, with the closed-form lines.

  Args:
    lambda_z: `[L]`, where the programme was solved.
    majority_counts: `[M]`, samples of a majority class.
    phases: `[M, L]` indices into `PHASES`, of the solutions.
    line_counts: `[P]`, where the lines are known.
    lines: by name `[P]` lambda_Z, the closed forms.
    cut: by name `[C]`, parameters of the solution at `cut_count`.
    cut_count: samples of a majority class.
    cut_lambda_z: `[C]`.
    narrow: for a phone.

  Returns:
    The figure: the diagram, and a cut through it at `cut_count`.
  """
  size = (4, 7.6) if narrow else (10, 4.9)
  figure = Figure(size, layout="constrained")
  shape = {"height_ratios": (1.35, 1)} if narrow else {"width_ratios": (1.3, 1)}
  left, right = figure.subplots(
    *((2, 1) if narrow else (1, 2)), gridspec_kw=shape
  )
  at, count = np.meshgrid(lambda_z, majority_counts)
  for phase, name in enumerate(PHASES):
    chosen = phases == phase
    left.plot(
      at[chosen],
      count[chosen],
      _PHASE_MARKERS[phase],
      color=_PHASE_COLOURS[phase],
      ms=3 if narrow else 4,
      mew=0,
      label=name,
    )
  for index, (name, line) in enumerate(lines.items()):
    left.plot(
      line,
      line_counts,
      color=figures.INK,
      ls=_LINE_DASHES[index],
      lw=1.4,
      label=name,
    )
  left.axhline(cut_count, color=figures.MUTED, lw=0.8, ls=(0, (3, 3)))
  left.set_xlim(lambda_z[0] / 1.08, lambda_z[-1] * 1.08)
  left.set_yscale("log")
  left.set_title("Solutions, and where the theory puts the borders")
  left.set_ylabel("samples of a majority class")
  left.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
  left.yaxis.set_minor_formatter(ticker.NullFormatter())
  for index, (name, values) in enumerate(cut.items()):
    right.plot(cut_lambda_z, values, label=name, **figures.series_style(index))
    start = len(values) // 40
    right.annotate(
      name,
      (cut_lambda_z[start], values[start]),
      (3, 3),
      textcoords="offset points",
      color=figures.SERIES[index],
    )
  for index, line in enumerate(lines.values()):
    right.axvline(
      np.interp(cut_count, line_counts, line),
      color=figures.INK,
      lw=1.1,
      ls=_LINE_DASHES[index],
    )
  right.set_title(f"Gaps between logits at {cut_count:,.0f} samples")
  for axes in (left, right):
    axes.set_xscale("log")
    axes.set_xlabel(_theory_classes.LAMBDA_Z, parse_math=True)
    _theory_classes.plain_log(axes)
  figures.legend(figure, left, narrow)
  return figure


@figures.styled
def cosines(
  ratios: np.ndarray,
  learned: Mapping[str, np.ndarray],
  fixed_cosine: float,
  fixed_alignment: np.ndarray,
  critical_ratio: float,
  splits: Mapping[str, tuple[np.ndarray, np.ndarray, float]],
  *,
  narrow: bool = False,
) -> Figure:
  """Cosines between classifier vectors as the imbalance grows.

  Args:
    ratios: `[R]` samples of a majority class over those of a minority class.
    learned: by pair of clusters `[R]`, the mean cosines; NaN is left out.
    fixed_cosine: the cosine of any two vectors of the fixed frame.
    fixed_alignment: `[R]`, the cosine of the features with their own vector
      of the fixed frame.
    critical_ratio: where the minority vectors merge.
    splits: by name (`[S]` ratios, `[S]` minority cosines, critical ratio).
    narrow: for a phone.

  Returns:
    The figure: one pair of cluster sizes in full, then several.
  """
  figure = Figure((4, 7.2) if narrow else (10, 4.4), layout="constrained")
  left, right = figure.subplots(*((2, 1) if narrow else (1, 2)), sharey=True)
  for index, (name, values) in enumerate(learned.items()):
    shown = figures.series_style(index)
    left.plot(ratios, values, label=f"learned: {name}", **shown)
    _undefined(left, ratios, values, shown["color"])
  left.plot(
    ratios,
    np.full(ratios.shape, fixed_cosine),
    color=figures.INK,
    ls=(0, (5, 1.5)),
    label="fixed ETF: every pair",
  )
  left.plot(
    ratios,
    fixed_alignment,
    color=figures.MUTED,
    ls=(0, (1.2, 1.2)),
    label="fixed ETF: features with their own vector",
  )
  series = [*learned.values(), *(values for _, values, _ in splits.values())]
  if not np.isfinite(series).all():
    left.plot(
      [],
      [],
      "x",
      color=figures.INK,
      label="undefined from here on: vectors are zero",
    )
  _critical(left, critical_ratio)
  left.set_title("Cosine of classifier vectors")
  for index, (name, (at, values, critical)) in enumerate(splits.items()):
    # The first is the one on the left.
    shown = figures.series_style(index + 2 if index else 0)
    right.plot(at, values, **shown)
    _undefined(right, at, values, shown["color"])
    _critical(right, critical, shown["color"])
    right.annotate(
      name,
      (critical, 0.75),
      (-13, 0),
      textcoords="offset points",
      ha="right",
      color=shown["color"],
    )
  right.set_title("Minority with minority, for K_A + K_B classes")
  for axes in (left, right):
    axes.set_xscale("log")
    axes.set_xlabel("majority samples per minority sample, R")
    axes.set_ylim(-0.65, 1.06)
    _theory_classes.plain_log(axes)
  figures.legend(figure, left, narrow)
  return figure


@figures.styled
def regularity(
  angles: np.ndarray,
  dot_regression: np.ndarray,
  cross_entropy: np.ndarray,
  fixed_steps: Mapping[str, np.ndarray],
  marked: np.ndarray,
  *,
  narrow: bool = False,
) -> Figure:
  """Regularity numbers over the angle between a feature and its prototype.

  Args:
    angles: `[T]` radians.
    dot_regression: `[T]`, at the best step.
    cross_entropy: `[T]`, at the best step of each angle.
    fixed_steps: by name `[T]`, cross entropy at one step size.
    marked: angles that get a dot and the value of `dot_regression`.
    narrow: for a phone.

  Returns:
    The figure; values above 1.3 leave it at the top.
  """
  figure = Figure((4, 4.6) if narrow else (10, 4.6), layout="constrained")
  axes = figure.subplots()
  for index, (name, values) in enumerate(fixed_steps.items()):
    axes.plot(angles, values, label=name, lw=1.4, color=_STEPS[index])
  axes.plot(
    angles,
    dot_regression,
    color=figures.SERIES[0],
    lw=2.6,
    label="dot regression, step 1 at every angle",
  )
  axes.plot(
    angles,
    cross_entropy,
    color=figures.INK,
    ls=(0, (2, 2.4)),
    label="cross entropy, best step at every angle",
  )
  values = np.interp(marked, angles, dot_regression)
  axes.plot(marked, values, "o", color=figures.SERIES[0], ms=5)
  for angle, value in zip(marked, values, strict=True):
    axes.annotate(
      f"{value:.4f}",
      (angle, value),
      (0, -13),
      textcoords="offset points",
      ha="right" if angle > 0.3 else "left",
      color=figures.SERIES[0],
    )
  axes.axhline(1, color=figures.MUTED, lw=0.9, ls=(0, (3, 3)))
  axes.annotate(
    "above 1 a step moves away",
    (angles[-1], 1),
    (0, 3),
    textcoords="offset points",
    ha="right",
    color=figures.MUTED,
  )
  axes.set_ylim(0, 1.3)
  axes.set_xlim(-0.03, angles[-1])
  axes.set_title("Share of the squared distance that a step leaves")
  axes.set_xlabel("angle between the feature and its prototype, radians")
  figures.legend(figure, axes, narrow)
  return figure


@figures.styled
def large_sample(
  samples: np.ndarray,
  logits: Mapping[str, np.ndarray],
  logit_limit: float,
  classifier: Mapping[str, np.ndarray],
  classifier_limits: Mapping[str, float],
  solved_samples: np.ndarray,
  solved: Sequence[np.ndarray],
  *,
  narrow: bool = False,
) -> Figure:
  """Cosines of mean logits and of classifier vectors as samples grow.

  Args:
    samples: `[S]` samples of a minority class.
    logits: by pair of clusters `[S]` cosines of columns of mean logits.
    logit_limit: what they tend to.
    classifier: by pair of clusters `[S]` cosines of classifier vectors.
    classifier_limits: what they tend to, by pair where it is known.
    solved_samples: `[P]`, where the programme was solved.
    solved: two `[pairs, P]`, those cosines of the solutions: of mean logits,
      of classifier vectors.
    narrow: for a phone.

  Returns:
    The figure: mean logits, then classifier vectors.
  """
  figure = Figure((4, 6.8) if narrow else (10, 4.2), layout="constrained")
  left, right = figure.subplots(*((2, 1) if narrow else (1, 2)))
  for axes, series, found in zip(
    (left, right), (logits, classifier), solved, strict=True
  ):
    for index, (name, values) in enumerate(series.items()):
      shown = figures.series_style(index)
      axes.plot(samples, values, label=name, **shown)
      # Not on each other, however many there are.
      every = slice(None, None, max(1, len(solved_samples) // 8))
      axes.plot(
        solved_samples[every],
        found[index][every],
        figures.MARKERS[index],
        color=shown["color"],
        mec=figures.SURFACE,
        mew=0.6,
        ms=5,
      )
    axes.set_xscale("log")
    axes.set_xlabel("samples of a minority class")
    axes.xaxis.set_major_formatter(lambda value, _: _power(value))
  limit = {"color": figures.INK, "lw": 1.1, "ls": (0, (5, 1.5))}
  left.plot(
    [],
    [],
    "o",
    color=figures.MUTED,
    mec=figures.SURFACE,
    mew=0.6,
    ms=5,
    label="solved",
  )
  left.axhline(logit_limit, label="limit", **limit)
  names = list(classifier)
  for name, value in classifier_limits.items():
    right.axhline(value, **limit | {"color": figures.SERIES[names.index(name)]})
  left.set_title("Mean logits tend to the simplex")
  right.set_title("Learned classifier vectors do not")
  figures.legend(figure, left, narrow)
  return figure


def _undefined(
  axes: Axes, x: np.ndarray, values: np.ndarray, colour: str
) -> None:
  """Mark the last defined point of a line that ends early."""
  defined = np.flatnonzero(np.isfinite(values))
  if 0 < defined.size < len(values):
    last = defined[-1]
    axes.plot(x[last], values[last], "x", color=colour, ms=7, mew=2)


def _critical(axes: Axes, ratio: float, colour: str = figures.INK) -> None:
  axes.axvline(ratio, color=colour, lw=0.9, ls=(0, (3, 3)))
  axes.annotate(
    f"R = {ratio:.4g}",
    (ratio, -0.62),
    (3, 0),
    textcoords="offset points",
    color=colour,
  )


def _power(value: float) -> str:
  """A power of ten, without the markup that styled figures do not read."""
  return "10" + f"{round(np.log10(value))}".translate(_RAISED)
