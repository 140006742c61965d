# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Neural collapse over epochs and by class.

Each function takes arrays and returns a matplotlib figure::

    figure = by_class({"ce": {"classifier_norms": norms_SK}}, counts, names)
    style.png(figure, "collapse_classes.png")

The heat maps are in `cosines`.
"""

from collections.abc import Mapping, Sequence
import textwrap

from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
import numpy as np

from etf_jax.reporting.figures import accuracy, style
from etf_jax.reporting.figures import series as series_lib
from etf_jax.reporting.figures.series import Pairs

# h is a class mean less the global mean, w a classifier vector, and a prime
# marks another class; captions say so.
_PANELS = {
  "cos_features_mean": "cos(h, h′), mean",
  "cos_features_std": "cos(h, h′), std",
  "cos_features_classifier_mean": "cos(h, w′), mean",
  "cos_features_classifier_std": "cos(h, w′), std",
  "nc3_alignment_mean": "cos(h, w), mean",
  "nc3_distance": "|W̃ − H̃|²",
  "nc1": "NC1 (log)",
  "nearest_mean_agreement": "Nearest mean, %",
}
CONVERGENCE = tuple(_PANELS)
_GEOMETRY = {
  "classifier_nearest": "Classifier vectors: largest cosine to another",
  "feature_nearest": "Class means, centred: largest cosine to another",
  "classifier_norms": "Classifier vectors: relative length",
}
GEOMETRY = tuple(_GEOMETRY)


def ideal(key: str, num_classes: int) -> float | None:
  """Return the value of a measurement when all classes have collapsed.

  A simplex equiangular tight frame gives -1/(K - 1) for cosines between
  different classes, 1 for those of one class, 0 for spreads and distances; None
  stands where there is no such value.
  """
  if key in ("cos_features_mean", "cos_features_classifier_mean"):
    return -1 / (num_classes - 1) if num_classes > 1 else None
  ones = ("nc3_alignment_mean", "nearest_mean_agreement", "numerical_rank")
  return 1.0 if key in ones else 0.0


@style.styled
def convergence(
  series: Mapping[str, Mapping[str, Mapping[str, Pairs]]],
  num_classes: Mapping[str, int],
) -> Figure:
  """Draw collapse over epochs: a row a measurement, a column a split.

  Figures 3 to 5 of Yang et al. (2022), and NC1: means over seeds with bands of
  one standard deviation (for NC1 from the smallest to the largest seed, which a
  logarithmic axis can show), gaps where a seed's number is undefined, and the
  ideal value as a thin line. One split alone has two columns.

  Args:
    series: per split, label and key of `CONVERGENCE` one pair (epochs,
      values) for each seed, NaN where undefined; a key may be absent.
    num_classes: per split the classes with images, for the ideal values.
  """
  keys = [
    key
    for key in CONVERGENCE
    if any(
      key in measured
      for methods in series.values()
      for measured in methods.values()
    )
  ]
  panels = [(key, split) for key in keys for split in series]
  across = min(2, len(panels))
  down = -(-len(panels) // across)
  figure = Figure((style.WIDTH, 1.3 * down + 0.7), layout="constrained")
  grid = figure.subplots(down, across, squeeze=False).ravel()
  first: dict[str, Axes] = {}
  for place, (axes, (key, split)) in enumerate(zip(grid, panels, strict=False)):
    if key in first:
      axes.sharey(first[key])
      axes.sharex(first[key])
    first.setdefault(key, axes)
    title = f"{_PANELS[key]}, {split}" if len(series) > 1 else _PANELS[key]
    _over_epochs(axes, key, series[split], title)
    _reference(axes, ideal(key, num_classes[split]), key)
    if place + across < len(panels):
      axes.tick_params(labelbottom=False)
    else:
      axes.set_xlabel("epoch")
  for axes in grid[len(panels) :]:
    axes.set_visible(False)
  if "nc1" in first:
    _logarithmic(first["nc1"])
  style.legend(figure, grid[0])
  return figure


@style.styled
def by_class(
  series: Mapping[str, Mapping[str, np.ndarray]],
  class_counts: Sequence[int],
  class_names: Sequence[str],
) -> Figure:
  """Draw where the vectors of each class lie, as `accuracy.per_class`.

  Minority collapse (Fang et al., 2021) shows as cosines that rise to 1 from
  some class on; after it the vectors' lengths fall to 0. A cross at the lower
  edge marks a class whose number is undefined for a seed.

  Args:
    series: per label and key of `GEOMETRY` an array `[seeds, K]`, NaN where
      undefined; a key may be absent.
    class_counts: `[K]` training images.
    class_names: `[K]`, shown for up to 30 classes.
  """
  counts = np.asarray(class_counts)
  order = np.argsort(-counts, kind="stable")
  num_classes = len(counts)
  keys = [
    key for key in GEOMETRY if any(key in found for found in series.values())
  ]
  figure = Figure((style.WIDTH, 0.8 + 1.8 * len(keys)), layout="constrained")
  grid = figure.subplots(len(keys), 1, sharex=True, squeeze=False)[:, 0]
  many = num_classes > style.NAMED
  draw = accuracy.many_classes if many else accuracy.named_classes
  for axes, key in zip(grid, keys, strict=True):
    for index, (label, found) in enumerate(series.items()):
      values = found.get(key, np.full((1, num_classes), np.nan))[:, order]
      # One rule for all figures and tables: undefined for a seed, undefined.
      undefined = np.isnan(values).any(0)
      values = np.where(undefined, np.nan, values)
      draw(axes, values, label, index, len(series))
      places = np.flatnonzero(undefined & (key in found))
      _crosses(axes, places, index, len(series))
    axes.set_title(_GEOMETRY[key])
    _reference(axes, 1.0)
    lowest = 0.0
    if key != "classifier_norms":
      simplex = -1 / max(1, int((counts > 0).sum()) - 1)
      _reference(axes, simplex)
      lowest = min(simplex, axes.dataLim.y0)
    axes.set_ylim(lowest - 0.09, 1.08)
    axes.set_yticks((0, 0.25, 0.5, 0.75, 1))
    accuracy.mark_shots(axes, counts[order], labels=False)
    axes.tick_params(labelbottom=False)
  low, high = grid[0].get_ylim()
  grid[0].set_ylim(low, high + 0.2 * (high - low))
  accuracy.mark_shots(grid[0], counts[order])
  grid[-1].tick_params(labelbottom=True)
  grid[-1].set_xlim(-0.6, num_classes - 0.4)
  accuracy.class_axis(grid[-1], [class_names[c] for c in order])
  style.legend(figure, grid[0])
  return figure


def _over_epochs(
  axes: Axes, key: str, methods: Mapping[str, Mapping[str, Pairs]], title: str
) -> None:
  lacking: dict[str, list[str]] = {}
  scale = 100 if key == "nearest_mean_agreement" else 1
  for index, (label, measured) in enumerate(methods.items()):
    epochs, seeds = series_lib.by_epoch(measured.get(key, ()))
    mean = np.array([scale * np.mean(values) for values in seeds])
    line = style.series_style(index)
    axes.plot(
      epochs,
      mean,
      label=label,
      # A point between gaps would have no line.
      marker="." if epochs.size <= 20 or np.isnan(mean).any() else None,
      markersize=4,
      **line | {"linewidth": 1.3},
    )
    if max(map(len, seeds), default=0) > 1:
      low, high = scale * np.array([_bounds(key, at) for at in seeds]).T
      axes.fill_between(
        epochs, low, high, color=line["color"], alpha=0.16, lw=0
      )
    if not np.isfinite(mean).any():
      state = "undefined" if epochs.size else "not measured"
      lacking.setdefault(state, []).append(label)
  lines = [title]
  for state, names in lacking.items():
    lines += textwrap.wrap(f"{state}: {', '.join(names)}", 34)
  axes.set_title("\n".join(lines), fontweight="normal")
  axes.xaxis.set_major_locator(
    ticker.MaxNLocator(4, steps=[1, 2, 5, 10], integer=True)
  )
  axes.yaxis.set_major_locator(ticker.MaxNLocator(4, steps=[1, 2, 5, 10]))
  axes.margins(x=0.03)


def _bounds(key: str, values: Sequence[float]) -> tuple[float, float]:
  """Return the lower and upper end of a band at one epoch."""
  if key == "nc1":  # a mean less its deviation may be below zero
    return min(values), max(values)
  mean = float(np.mean(values))
  half = float(np.std(values, ddof=1)) if len(values) > 1 else np.nan
  return mean - half, mean + half


def _reference(axes: Axes, value: float | None, key: str = "") -> None:
  if value is None or key == "nc1":  # a logarithmic axis has no zero
    return
  if key == "nearest_mean_agreement":
    value *= 100
  axes.axhline(value, color=style.MUTED, lw=0.9, ls=(0, (4, 3)), zorder=1)


def _logarithmic(axes: Axes) -> None:
  """Scale the axes to the lines: a band may reach below zero."""
  siblings = axes.get_shared_y_axes().get_siblings(axes)
  values = np.concatenate(
    [line.get_ydata() for one in siblings for line in one.lines]
    or [np.empty(0)]
  )
  values = values[values > 0]
  if not values.size:
    return
  low, high = values.min(), values.max()
  # The axes share their scale, and with it one locator.
  if high > 30 * low:
    ticks: ticker.Locator = ticker.LogLocator(numticks=5)
  elif high > 5 * low:
    ticks = ticker.LogLocator(subs=(1, 2, 5))
  else:
    ticks = ticker.MaxNLocator(3)
  for one in siblings:
    one.set_yscale("log")
    one.yaxis.set_major_locator(ticks)
    one.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    one.yaxis.set_minor_formatter(ticker.NullFormatter())
  axes.set_ylim(low / 1.5, high * 1.5)


def _crosses(axes: Axes, places: np.ndarray, index: int, series: int) -> None:
  if not places.size:
    return
  aside = (index - (series - 1) / 2) * min(0.16, 0.6 / series)
  axes.plot(
    places + aside,
    np.full(places.size, 0.03),
    "x",
    color=style.series_style(index)["color"],
    markersize=5,
    transform=axes.get_xaxis_transform(),
  )
