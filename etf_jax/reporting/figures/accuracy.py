# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The figures of a report, in one quiet style.

Each function takes plain arrays and returns a matplotlib figure; ``narrow``
gives the layout for a phone::

    figure = per_class({"ce": accuracy_SK}, class_counts, class_names)
    figure.savefig("per_class.png")
"""

from collections.abc import Mapping, Sequence

from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
import numpy as np

from etf_jax.evaluation import shots as shot_groups
from etf_jax.reporting.figures import style as figures


@figures.styled
def per_class(
  series: Mapping[str, np.ndarray],
  class_counts: Sequence[int],
  class_names: Sequence[str],
  *,
  narrow: bool = False,
) -> Figure:
  """Training images of each class above its test accuracy, largest first.

  Args:
    series: per label an array `[seeds, K]` of fractions, NaN for a class
      without test images.
    class_counts: `[K]` training images.
    class_names: `[K]`, shown for up to 30 classes.
    narrow: for a phone.

  Returns:
    The figure. Up to 30 classes each has markers with error bars; beyond,
    lines are running means over `smoothing_window(K)` classes with bands, and
    every class is a faint dot.
  """
  counts = np.asarray(class_counts)
  order = np.argsort(-counts, kind="stable")
  num_classes = len(counts)
  figure = Figure((4, 4.7) if narrow else (10, 5.6), layout="constrained")
  upper, lower = figure.subplots(
    2, 1, sharex=True, gridspec_kw={"height_ratios": (1, 2.3)}
  )
  _bars(upper, counts[order])
  draw = _named_classes if num_classes <= figures.NAMED else _many_classes
  for index, (label, values) in enumerate(series.items()):
    draw(lower, 100 * values[:, order], label, index, len(series))
  # Accuracies need no zero line; the methods need the room.
  bottom = 20 * np.floor((lower.dataLim.y0 - 2) / 20)
  lower.set_ylim(max(-2, bottom), 102)
  lower.set_title("Test accuracy, %")
  lower.set_xlim(-0.6, num_classes - 0.4)
  _class_axis(lower, [class_names[c] for c in order], narrow)
  _mark_shots(upper, counts[order])
  _mark_shots(lower, counts[order], labels=False)
  figures.legend(figure, lower, narrow)
  return figure


@figures.styled
def curves(
  loss: Mapping[str, Sequence[tuple[np.ndarray, np.ndarray]]],
  accuracy: Mapping[str, Sequence[tuple[np.ndarray, np.ndarray]]],
  unfinished: Sequence[tuple[str, np.ndarray, np.ndarray]] = (),
  *,
  narrow: bool = False,
) -> Figure:
  """Training loss and test accuracy over epochs, mean and band of the seeds.

  Args:
    loss: per label one pair (epochs, values) for each finished seed; NaN is
      left out.
    accuracy: the same, as fractions.
    unfinished: (label, epochs, accuracy) of runs without an end, drawn thin
      and dotted, in no mean.
    narrow: for a phone.

  Returns:
    The figure; the loss has a logarithmic axis where it spans a factor of 20.
  """
  figure = Figure((4, 5.6) if narrow else (10, 3.8), layout="constrained")
  left, right = figure.subplots(2, 1) if narrow else figure.subplots(1, 2)
  labels = list(dict.fromkeys([*accuracy, *(u[0] for u in unfinished)]))
  for index, label in enumerate(labels):
    shown = figures.series_style(index)
    for axes, pairs, scale in (
      (left, loss.get(label, ()), 1),
      (right, accuracy.get(label, ()), 100),
    ):
      if not pairs:
        continue
      epochs, mean, deviation = _over_seeds(pairs)
      axes.plot(epochs, scale * mean, label=label, **shown)
      figures.band(
        axes, epochs, scale * mean, scale * deviation, shown["color"]
      )
    for name, epochs, values in unfinished:
      if name == label:
        dots = {"color": shown["color"], "linestyle": ":", "linewidth": 1.3}
        right.plot(epochs, 100 * values, label=f"{label} (unfinished)", **dots)
  positive = np.concatenate(
    [line.get_ydata()[np.asarray(line.get_ydata()) > 0] for line in left.lines]
    or [np.ones(1)]
  )
  if positive.size and positive.max() > 20 * positive.min():
    left.set_yscale("log")
    left.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    left.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    left.yaxis.set_minor_formatter(ticker.NullFormatter())
  left.set_title("Training loss")
  right.set_title("Test accuracy, %")
  for axes in (left, right):
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(ticker.MaxNLocator(8, steps=[1, 2, 5, 10]))
    axes.margins(x=0.02)
  figures.legend(figure, right, narrow)
  return figure


@figures.styled
def shots(
  series: Mapping[str, Mapping[str, Sequence[float]]],
  class_counts: Sequence[int],
  *,
  narrow: bool = False,
) -> Figure:
  """Accuracy over all, many, medium and few classes, a bar per method.

  Args:
    series: per label and group ("all", "many", "medium", "few") one fraction
      a seed; groups without classes are left out.
    class_counts: `[K]` training images, to say what the groups hold.
    narrow: for a phone.

  Returns:
    The figure: bars are means, lines one standard deviation, dots the seeds.
  """
  members = np.bincount(shot_groups.of(class_counts), minlength=3)
  held = dict(zip(shot_groups.NAMES, members, strict=True))
  groups = ["all", *(name for name in shot_groups.NAMES if held[name])]
  figure = Figure((4, 3.8) if narrow else (10, 4), layout="constrained")
  axes = figure.subplots()
  width = 0.8 / max(2, len(series))
  written = len(series) * len(groups) <= (12 if narrow else 28)
  for index, (label, values) in enumerate(series.items()):
    colour = figures.SERIES[index % len(figures.SERIES)]
    hatch = ("", "//", "..")[index // len(figures.SERIES) % 3]
    for place, name in enumerate(groups):
      seeds = 100 * np.asarray(values.get(name, ()), np.float64)
      if not seeds.size:
        continue
      x = place + (index - (len(series) - 1) / 2) * width
      deviation = seeds.std(ddof=1) if seeds.size > 1 else 0.0
      axes.bar(
        x,
        seeds.mean(),
        0.88 * width,
        color=colour,
        hatch=hatch,
        edgecolor=figures.SURFACE,
        linewidth=0,
        label=label if place == 0 else None,
      )
      if seeds.size > 1:
        axes.errorbar(
          x, seeds.mean(), deviation, color=figures.INK, lw=1.2, capsize=2.5
        )
        spread = np.linspace(-0.2, 0.2, seeds.size) * width
        axes.plot(
          x + spread,
          seeds,
          "o",
          color=figures.SURFACE,
          mec=figures.INK,
          mew=0.7,
          ms=3,
        )
      if written:
        top = max(seeds.max(), seeds.mean() + deviation)
        axes.annotate(
          f"{seeds.mean():.1f}",
          (x, top),
          (0, 3),
          textcoords="offset points",
          ha="center",
          fontsize=7 if narrow else 8.5,
        )
  axes.set_xticks(
    range(len(groups)), _shot_names(groups, held), color=figures.INK
  )
  axes.set_ylim(0, 108)
  axes.set_yticks(range(0, 101, 20))
  axes.set_title("Test accuracy, %")
  figures.legend(figure, axes, narrow)
  return figure


def smoothing_window(num_classes: int) -> int:
  """Over how many classes the per-class lines of a large set are averaged."""
  return max(5, num_classes // 20) | 1


def _bars(axes: Axes, counts: np.ndarray) -> None:
  edges = np.arange(len(counts) + 1) - 0.5
  if len(counts) > 60:
    axes.stairs(counts, edges, fill=True, color=figures.BARS)
  else:
    axes.bar(range(len(counts)), counts, 0.8, color=figures.BARS)
  title = "Training images"
  if counts.max() > 10 * counts.min():
    axes.set_yscale("log")
    # Room above the bars for the names of the shots.
    axes.set_ylim(max(counts.min(), 1) / 2, counts.max() * 4)
    title += " (log scale)"
  else:
    axes.set_ylim(0, counts.max() * 1.35)
  axes.set_title(title)
  axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
  axes.tick_params(labelbottom=False)


def _named_classes(
  axes: Axes, percent: np.ndarray, label: str, index: int, series: int
) -> None:
  """Markers with error bars, side by side, joined by a thin line."""
  mean, deviation = _mean_and_deviation(percent)
  aside = (index - (series - 1) / 2) * min(0.16, 0.6 / series)
  shown = figures.series_style(index) | {"linewidth": 1}
  axes.errorbar(
    np.arange(mean.size) + aside,
    mean,
    deviation,
    label=label,
    elinewidth=1.3,
    marker=figures.MARKERS[index % len(figures.MARKERS)],
    markersize=5,
    **shown,
  )


def _many_classes(
  axes: Axes, percent: np.ndarray, label: str, index: int, series: int
) -> None:
  """A dot a class, and a running mean with its band."""
  del series  # Lines may lie on each other; markers may not.
  shown = figures.series_style(index)
  position = np.arange(percent.shape[1])
  dots, _ = _mean_and_deviation(percent)
  axes.plot(position, dots, ".", color=shown["color"], alpha=0.3, ms=3, mew=0)
  # Smoothed before the deviation: the band is that of the line shown.
  window = smoothing_window(position.size)
  smooth = np.stack([_smooth(seed, window) for seed in percent])
  mean, deviation = _mean_and_deviation(smooth)
  axes.plot(position, mean, label=label, **shown)
  figures.band(axes, position, mean, deviation, shown["color"])


def _mark_shots(axes: Axes, counts: np.ndarray, labels: bool = True) -> None:
  shots = shot_groups.of(counts)
  per_class = axes.figure.get_figwidth() * 0.85 / len(counts)
  for shot, name in enumerate(shot_groups.NAMES):
    members = np.flatnonzero(shots == shot)
    if not members.size:
      continue
    start, stop = members[0] - 0.5, members[-1] + 0.5
    if stop < len(counts) - 1:
      axes.axvline(stop, color=figures.MUTED, lw=0.8, ls=(0, (3, 3)))
    if labels and (stop - start) * per_class > 0.42:
      axes.text(
        (start + stop) / 2,
        0.95,
        name,
        transform=axes.get_xaxis_transform(),
        ha="center",
        va="top",
        color=figures.MUTED,
      )


def _class_axis(axes: Axes, names: Sequence[str], narrow: bool) -> None:
  if len(names) > figures.NAMED:
    axes.set_xlabel("classes, from most to fewest training images")
    return
  shown = [figures.drawable(name, place) for place, name in enumerate(names)]
  # What fits side by side stays level: it reads more easily.
  room = (38 if narrow else 100) / len(names)
  level = max(map(len, shown)) <= room
  axes.set_xticks(
    range(len(names)),
    shown,
    color=figures.INK,
    rotation=0 if level else 45,
    ha="center" if level else "right",
    rotation_mode="anchor",
  )
  axes.set_xlabel("class")


def _shot_names(groups: Sequence[str], held: Mapping[str, int]) -> list[str]:
  bounds = {
    "many": f"> {shot_groups.MANY_ABOVE}",
    "medium": f"{shot_groups.FEW_BELOW}-{shot_groups.MANY_ABOVE}",
    "few": f"< {shot_groups.FEW_BELOW}",
  }
  named = [
    f"{name}\n{bounds[name]} images\n{held[name]:,} classes"
    for name in groups[1:]
  ]
  return [f"all\n{sum(held.values()):,} classes", *named]


def _mean_and_deviation(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Over the first axis, leaving out NaN; NaN where there are too few."""
  known = np.isfinite(values)
  number = known.sum(0)
  nothing = np.full(values.shape[1:], np.nan)
  total = np.where(known, values, 0).sum(0)
  mean = np.divide(total, number, out=nothing.copy(), where=number > 0)
  squares = np.where(known, values - mean, 0) ** 2
  variance = np.divide(
    squares.sum(0), number - 1, out=nothing, where=number > 1
  )
  return mean, np.sqrt(variance)


def _over_seeds(
  pairs: Sequence[tuple[np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  epochs = np.unique(np.concatenate([epochs for epochs, _ in pairs]))
  table = np.full((len(pairs), epochs.size), np.nan)
  for row, (at, values) in zip(table, pairs, strict=True):
    row[np.searchsorted(epochs, at)] = values
  return epochs, *_mean_and_deviation(table)


def _smooth(values: np.ndarray, window: int) -> np.ndarray:
  """A centred running mean that leaves out NaN and shrinks at the ends."""
  known = np.isfinite(values)
  kernel = np.ones(window)
  total = np.convolve(np.where(known, values, 0), kernel, "same")
  number = np.convolve(known, kernel, "same")
  nothing = np.full(values.shape, np.nan)
  return np.divide(total, number, out=nothing, where=number > 0.5)
