# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The figures of neural collapse, in the style of a report's.

Each function takes plain arrays and returns a matplotlib figure; ``narrow``
gives the layout for a phone::

    figure = by_class({"ce": {"classifier_norms": norms_SK}}, counts, names)
    figure.savefig("collapse_classes.png")

The heat maps of cosines are in ``_cosines``.
"""

from collections.abc import Mapping, Sequence
import textwrap

from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
import numpy as np

from etf_jax.reporting.figures import accuracy
from etf_jax.reporting.figures import style as figures
from etf_jax.reporting.figures.cosines import cosines as cosines

# One per seed: epochs and values, NaN where undefined.
Pairs = Sequence[tuple[np.ndarray, np.ndarray]]

# h is a class mean less the global mean, w a classifier vector, and a prime
# marks another class; captions say so.
_PANELS = {
  "cos_features_mean": "cos(h, h′), mean",
  "cos_features_std": "cos(h, h′), std",
  "cos_features_classifier_mean": "cos(h, w′), mean",
  "cos_features_classifier_std": "cos(h, w′), std",
  "nc3_alignment_mean": "cos(h, w), mean",
  "nc3_distance": "|W̃ − H̃|²",
  "nc1": "NC1 (log scale)",
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
  """The value of a measurement when the classes have collapsed.

  Args:
    key: of a row of kind ``collapse``.
    num_classes: K, the classes with images.

  Returns:
    What a simplex equiangular tight frame gives: -1/(K - 1) for cosines
    between different classes, 1 for those of one class, 0 for spreads and
    distances; None where there is no such value.
  """
  if key in ("cos_features_mean", "cos_features_classifier_mean"):
    return -1 / (num_classes - 1) if num_classes > 1 else None
  ones = ("nc3_alignment_mean", "nearest_mean_agreement", "numerical_rank")
  return 1.0 if key in ones else 0.0


@figures.styled
def convergence(
  series: Mapping[str, Mapping[str, Mapping[str, Pairs]]],
  num_classes: Mapping[str, int],
  *,
  narrow: bool = False,
) -> Figure:
  """Collapse over epochs, a block a split and a panel a measurement.

  Shows what figures 3 to 5 of Yang et al. (2022) show, and NC1.

  Args:
    series: per split, label and key of `CONVERGENCE` one pair (epochs,
      values) for each seed, NaN where undefined; a key may be absent.
    num_classes: per split the classes with images, for the ideal values.
    narrow: for a phone.

  Returns:
    The figure: means over seeds with bands of one standard deviation (for NC1
    from the smallest to the largest seed, which a logarithmic axis can show),
    gaps where a seed's number is undefined, and the ideal value as a thin
    line. The splits share their axes; few panels stand in one row.
  """
  keys = [
    key
    for key in CONVERGENCE
    if any(key in found for held in series.values() for found in held.values())
  ]
  limit = 2 if narrow else 4
  across = min(limit, len(keys))
  down = -(-len(keys) // across)
  shape = (len(series), 1)
  if across * len(series) <= limit:
    shape = (1, len(series))
  size = (4, 1.3) if narrow else (10, 1.62)
  figure = Figure(
    (size[0], (down * size[1] + 0.35) * shape[0] + 0.3),
    layout="constrained",
  )
  figure.get_layout_engine().set(h_pad=0.05)
  blocks = figure.subfigures(*shape, squeeze=False).ravel()
  first: dict[str, Axes] = {}
  for block, (split, held) in zip(blocks, series.items(), strict=True):
    block.suptitle(
      split.capitalize(),
      x=0.012,
      ha="left",
      fontweight="bold",
      fontsize=12 if not narrow else 10,
    )
    grid = block.subplots(down, across, squeeze=False).ravel()
    for place, (axes, key) in enumerate(zip(grid, keys, strict=False)):
      if key in first:
        axes.sharey(first[key])
        axes.sharex(first[key])
      first.setdefault(key, axes)
      _over_epochs(axes, key, held, narrow)
      _reference(axes, ideal(key, num_classes[split]), key)
      if place + across < len(keys):
        axes.tick_params(labelbottom=False)
      else:
        axes.set_xlabel("epoch")
    for axes in grid[len(keys) :]:
      axes.set_visible(False)
  if "nc1" in first:
    _logarithmic(first["nc1"])
  figures.legend(figure, next(iter(first.values())), narrow)
  return figure


@figures.styled
def by_class(
  series: Mapping[str, Mapping[str, np.ndarray]],
  class_counts: Sequence[int],
  class_names: Sequence[str],
  *,
  narrow: bool = False,
) -> Figure:
  """Where the vectors of each class lie, largest class first.

  Minority collapse (Fang et al., 2021) shows as cosines that rise to 1 from
  some class on; after it the vectors' lengths fall to 0.

  Args:
    series: per label and key of `GEOMETRY` an array `[seeds, K]`, NaN where
      undefined; a key may be absent.
    class_counts: `[K]` training images.
    class_names: `[K]`, shown for up to 30 classes.
    narrow: for a phone.

  Returns:
    The figure, drawn as `plots.per_class`; a cross at the lower edge marks a
    class whose number is undefined for a seed.
  """
  counts = np.asarray(class_counts)
  order = np.argsort(-counts, kind="stable")
  num_classes = len(counts)
  keys = [
    key for key in GEOMETRY if any(key in held for held in series.values())
  ]
  figure = Figure(
    (4, 0.8 + 1.75 * len(keys)) if narrow else (10, 0.8 + 2.1 * len(keys)),
    layout="constrained",
  )
  grid = figure.subplots(len(keys), 1, sharex=True, squeeze=False)[:, 0]
  many = num_classes > figures.NAMED
  draw = accuracy._many_classes if many else accuracy._named_classes
  for axes, key in zip(grid, keys, strict=True):
    for index, (label, held) in enumerate(series.items()):
      values = held.get(key, np.full((1, num_classes), np.nan))[:, order]
      # One rule for all figures and tables: undefined for a seed, undefined.
      lost = np.isnan(values).any(0)
      draw(axes, np.where(lost, np.nan, values), label, index, len(series))
      _crosses(axes, np.flatnonzero(lost & (key in held)), index, len(series))
    cosines_shown = key != "classifier_norms"
    axes.set_title(_GEOMETRY[key])
    present = int((counts > 0).sum())
    cosine = -1 / max(1, present - 1)
    _reference(axes, 1.0)
    if cosines_shown:
      _reference(axes, cosine)
    lowest = min(cosine, axes.dataLim.y0) if cosines_shown else 0
    axes.set_ylim(lowest - 0.09, 1.08)
    axes.set_yticks((0, 0.25, 0.5, 0.75, 1))
    accuracy._mark_shots(axes, counts[order], labels=False)
    axes.tick_params(labelbottom=False)
  top = grid[0].get_ylim()
  grid[0].set_ylim(top[0], top[1] + 0.2 * (top[1] - top[0]))
  accuracy._mark_shots(grid[0], counts[order])
  grid[-1].tick_params(labelbottom=True)
  grid[-1].set_xlim(-0.6, num_classes - 0.4)
  accuracy._class_axis(grid[-1], [class_names[c] for c in order], narrow)
  figures.legend(figure, grid[0], narrow)
  return figure


def _over_epochs(
  axes: Axes, key: str, held: Mapping[str, Mapping[str, Pairs]], narrow: bool
) -> None:
  unknown: dict[str, list[str]] = {}
  scale = 100 if key == "nearest_mean_agreement" else 1
  for index, (label, found) in enumerate(held.items()):
    epochs, seeds = over_seeds(found.get(key, ()))
    mean = np.array([scale * np.mean(values) for values in seeds])
    shown = figures.series_style(index)
    axes.plot(
      epochs,
      mean,
      label=label,
      # Alone or between gaps, a point would have no line.
      marker="." if epochs.size <= 20 or np.isnan(mean).any() else None,
      markersize=4 if narrow else 5,
      **shown | {"linewidth": 1.2 if narrow else 1.5},
    )
    if max(map(len, seeds), default=0) > 1:
      low, high = scale * np.array([_bounds(key, at) for at in seeds]).T
      axes.fill_between(
        epochs, low, high, color=shown["color"], alpha=0.16, lw=0
      )
    if not np.isfinite(mean).any():
      state = "undefined" if epochs.size else "not measured"
      unknown.setdefault(state, []).append(label)
  title = [_PANELS[key]]
  for state, names in unknown.items():
    title += textwrap.wrap(f"{state}: {', '.join(names)}", 30)
  axes.set_title("\n".join(title), fontweight="normal")
  axes.xaxis.set_major_locator(
    ticker.MaxNLocator(4, steps=[1, 2, 5, 10], integer=True)
  )
  axes.yaxis.set_major_locator(ticker.MaxNLocator(4, steps=[1, 2, 5, 10]))
  axes.margins(x=0.03)


def _bounds(key: str, values: Sequence[float]) -> tuple[float, float]:
  """The lower and upper end of a band at one epoch."""
  if key == "nc1":  # a mean less its deviation may be below zero
    return np.min(values), np.max(values)
  half = np.std(values, ddof=1) if len(values) > 1 else np.nan
  return np.mean(values) - half, np.mean(values) + half


def over_seeds(pairs: Pairs) -> tuple[np.ndarray, list[list[float]]]:
  """Join the seeds by epoch.

  Args:
    pairs: (epochs, values) of each seed.

  Returns:
    The epochs in order, and for each the values of the seeds that have one.
  """
  held: dict[float, list[float]] = {}
  for epochs, values in pairs:
    for epoch, value in zip(epochs, values, strict=True):
      held.setdefault(float(epoch), []).append(float(value))
  return np.array(sorted(held)), [held[epoch] for epoch in sorted(held)]


def _reference(axes: Axes, value: float | None, key: str = "") -> None:
  if value is None or key == "nc1":  # a logarithmic axis has no zero
    return
  if key == "nearest_mean_agreement":
    value *= 100
  axes.axhline(value, color=figures.MUTED, lw=0.9, ls=(0, (4, 3)), zorder=1)


def _logarithmic(axes: Axes) -> None:
  """A scale for the lines: a band may reach below zero."""
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
    ticks = ticker.LogLocator(numticks=5)
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
    color=figures.series_style(index)["color"],
    markersize=5,
    transform=axes.get_xaxis_transform(),
  )
