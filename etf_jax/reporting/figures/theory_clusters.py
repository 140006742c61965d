# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The theory's figures about two clusters of classes, A larger than B."""

from typing import Any

import matplotlib
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
import numpy as np

from etf_jax.reporting.figures import style
from etf_jax.theory import laboratory

_PAIRS = (
  "minority with minority",
  "minority with majority",
  "majority with majority",
)
PHASES = (
  "no class collapses",
  "minority classes share one vector",
  "minority vectors are zero",
  "all vectors are zero",
)
_BORDERS = ("minority merges", "minority vanishes", "everything vanishes")
_GAPS = ("minority classes", "clusters", "majority classes")
_COLORS = [style.SERIES[place] for place in (0, 1, 6, 7)]
_DASHED, _DOTTED = (0, (5, 1.5)), (0, (1.2, 1.2))
_DASHES = ("-", _DASHED, _DOTTED)
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@style.styled
def phase_diagram(found: laboratory.PhaseDiagram) -> Figure:
  """Draw which classes collapse, and the gaps between logits along a cut."""
  figure, (upper, lower) = _two_panels(7.4)
  upper.set_yscale("log")
  at, count = np.meshgrid(found.lambda_z, found.majority_counts)
  for phase, name in enumerate(PHASES):
    chosen = found.phases == phase
    marks: dict[str, Any] = {"color": _COLORS[phase], "ms": 3.4, "mew": 0}
    upper.plot(at[chosen], count[chosen], "osX."[phase], label=name, **marks)
  for name, line, dashes in zip(_BORDERS, found.borders, _DASHES, strict=True):
    shown: dict[str, Any] = {"color": style.INK, "ls": dashes, "lw": 1.3}
    upper.plot(line, found.line_counts, label=f"theory: {name}", **shown)
    lower.axvline(np.interp(found.cut_count, found.line_counts, line), **shown)
  upper.axhline(found.cut_count, color=style.MUTED, lw=0.8, ls=(0, (3, 3)))
  for index, (name, values) in enumerate(zip(_GAPS, found.cut, strict=True)):
    lower.plot(found.cut_lambda_z, values, **style.series_style(index))
    start = len(values) // 40
    _note(lower, name, found.cut_lambda_z[start], values[start], index)
  upper.set_title("Solutions, and where the theory puts the borders")
  upper.set_ylabel("samples of a majority class")
  upper.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
  upper.yaxis.set_minor_formatter(ticker.NullFormatter())
  lower.set_title(f"Gaps between logits at {found.cut_count:,.0f} samples")
  for axes in (upper, lower):
    axes.set_xscale("log")
    axes.set_xlabel("$\\lambda_Z$", parse_math=True)
    axes.set_xlim(found.lambda_z[0] / 1.08, found.lambda_z[-1] * 1.08)
    plain_log(axes)
  style.legend(figure, upper)
  return figure


@style.styled
def cosines(found: laboratory.ClassifierCosines) -> Figure:
  """Draw cosines between classifier vectors as the imbalance grows."""
  figure, (upper, lower) = _two_panels(7.4)
  ratios = found.ratios
  for index, (name, values) in enumerate(zip(_PAIRS, found.pairs, strict=True)):
    shown = style.series_style(index)
    upper.plot(ratios, values, label=f"learned: {name}", **shown)
    _undefined(upper, ratios, values, shown["color"])
  for name, values, color, dashes in (
    (f"a budget each: {_PAIRS[0]}", found.per_vector, style.SERIES[0], _DASHED),
    ("fixed ETF: every pair", np.full(ratios.shape, found.fixed), "", _DASHED),
    ("fixed ETF: features with their vector", found.alignment, "", _DOTTED),
  ):
    upper.plot(ratios, values, color=color or style.INK, ls=dashes, label=name)
  _critical(upper, found.critical, style.INK)
  for index, (sizes, (values, critical)) in enumerate(found.splits.items()):
    # The first is that of the upper panel.
    color = style.SERIES[index + 2 if index else 0]
    lower.plot(ratios, values, color=color)
    _undefined(lower, ratios, values, color)
    _critical(lower, critical, color)
    lower.annotate(
      f"{sizes[0]} + {sizes[1]}",
      (critical, 0.75),
      (-9, 0),
      textcoords="offset points",
      ha="right",
      color=color,
    )
  upper.set_title("Cosine of classifier vectors")
  lower.set_title("Minority with minority, for K_A + K_B classes")
  for axes in (upper, lower):
    axes.set_xscale("log")
    axes.set_xlabel("majority samples per minority sample, R")
    axes.set_ylim(-0.65, 1.06)
    plain_log(axes)
  style.legend(figure, upper)
  return figure


@style.styled
def large_sample(found: laboratory.LargeSample) -> Figure:
  """Draw cosines of mean logits and classifier vectors as samples grow."""
  figure, (upper, lower) = _two_panels(6.6)
  # Not on each other, however many there are.
  every = slice(None, None, max(1, len(found.solved_samples) // 8))
  for axes, theory, solved in (
    (upper, found.logits, found.solved_logits),
    (lower, found.classifier, found.solved_classifier),
  ):
    for index, name in enumerate(_PAIRS):
      shown = style.series_style(index)
      axes.plot(found.samples, theory[index], label=name, **shown)
      axes.plot(
        found.solved_samples[every],
        solved[index][every],
        style.MARKERS[index],
        color=shown["color"],
        mec=style.SURFACE,
        mew=0.6,
        ms=5,
      )
    axes.set_xscale("log")
    axes.set_xlabel("samples of a minority class")
    axes.xaxis.set_major_formatter(lambda value, _: _power(value))
  upper.plot([], [], "o", color=style.MUTED, ms=5, label="solved")
  limit: dict[str, Any] = {"lw": 1.1, "ls": _DASHED}
  upper.axhline(found.logit_limit, label="limit", color=style.INK, **limit)
  lower.axhline(found.minority_limit, color=style.SERIES[0], **limit)
  upper.set_title("Mean logits tend to the simplex")
  lower.set_title("Learned classifier vectors do not")
  style.legend(figure, upper)
  return figure


def plain_log(axes: Axes) -> None:
  """Set few ticks, each a plain number, on a short logarithmic x axis."""
  low, high = axes.get_xlim()
  subs = (1, 2, 5) if high < 200 * low else (1,)
  axes.xaxis.set_major_locator(ticker.LogLocator(subs=subs, numticks=12))
  axes.xaxis.set_major_formatter(
    lambda value, _: f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
  )
  axes.xaxis.set_minor_locator(ticker.NullLocator())


def _two_panels(height: float) -> tuple[Figure, tuple[Axes, Axes]]:
  figure = Figure((style.WIDTH, height), layout="constrained")
  upper, lower = figure.subplots(2, 1)
  return figure, (upper, lower)


def _note(axes: Axes, text: str, x: float, y: float, index: int) -> None:
  axes.annotate(
    text,
    (x, y),
    (3, 3),
    textcoords="offset points",
    color=style.SERIES[index],
  )


def _undefined(
  axes: Axes, x: np.ndarray, values: np.ndarray, color: str
) -> None:
  """Mark the last defined point of a line that ends early."""
  defined = np.flatnonzero(np.isfinite(values))
  if 0 < defined.size < len(values):
    last = defined[-1]
    axes.plot(x[last], values[last], "x", color=color, ms=7, mew=2)


def _critical(axes: Axes, ratio: float, color: str) -> None:
  axes.axvline(ratio, color=color, lw=0.9, ls=(0, (3, 3)))
  axes.annotate(
    f"R = {ratio:.4g}",
    (ratio, -0.62),
    (3, 0),
    textcoords="offset points",
    color=color,
    fontsize=0.85 * matplotlib.rcParams["font.size"],
  )


def _power(value: float) -> str:
  """Format a power of ten without markup."""
  return "10" + f"{round(np.log10(value))}".translate(_RAISED)
