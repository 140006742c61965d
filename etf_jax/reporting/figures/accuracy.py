# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Accuracy by class, over epochs, and by many, medium and few.

Each function takes arrays and returns a matplotlib figure::

    figure = per_class({"ce": accuracy_SK}, class_counts, class_names)
    style.png(figure, "per_class.png")

`named_classes` and `many_classes` draw any number of each class.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
import numpy as np

from etf_jax.evaluation import shots as shot_groups
from etf_jax.reporting.figures import series, style


@style.styled
def per_class(
  methods: Mapping[str, np.ndarray],
  class_counts: Sequence[int],
  class_names: Sequence[str],
) -> Figure:
  """Draw training images of each class above its test accuracy, largest first.

  Up to 30 classes each has its name and markers with error bars; beyond, lines
  are running means over `smoothing_window(K)` classes with bands, and every
  class is a faint dot.

  Args:
    methods: per label an array `[seeds, K]` of fractions, NaN for a class
      without test images.
    class_counts: `[K]` training images.
    class_names: `[K]`.
  """
  counts = np.asarray(class_counts)
  order = np.argsort(-counts, kind="stable")
  num_classes = len(counts)
  figure = Figure((style.WIDTH, 4.8), layout="constrained")
  upper, lower = figure.subplots(
    2, 1, sharex=True, gridspec_kw={"height_ratios": (1, 2.3)}
  )
  _bars(upper, counts[order])
  draw = named_classes if num_classes <= style.NAMED else many_classes
  for index, (label, values) in enumerate(methods.items()):
    draw(lower, 100 * values[:, order], label, index, len(methods))
  # Accuracies need no zero line; the methods need the room.
  bottom = 20 * np.floor((lower.dataLim.y0 - 2) / 20)
  lower.set_ylim(max(-2, bottom), 102)
  lower.set_title("Test accuracy, %")
  lower.set_xlim(-0.6, num_classes - 0.4)
  class_axis(lower, [class_names[c] for c in order])
  mark_shots(upper, counts[order])
  mark_shots(lower, counts[order], labels=False)
  style.legend(figure, lower)
  return figure


@style.styled
def curves(
  loss: Mapping[str, Sequence[tuple[np.ndarray, np.ndarray]]],
  accuracy: Mapping[str, Sequence[tuple[np.ndarray, np.ndarray]]],
  unfinished: Sequence[tuple[str, np.ndarray, np.ndarray]] = (),
) -> Figure:
  """Draw training loss and test accuracy over epochs, with bands over seeds.

  The loss has a logarithmic axis where it spans a factor of 20.

  Args:
    loss: per label one pair (epochs, values) for each finished seed; NaN is
      left out.
    accuracy: the same, as fractions.
    unfinished: (label, epochs, accuracy) of runs without an end, drawn thin
      and dotted, in no mean.
  """
  figure = Figure((style.WIDTH, 5.4), layout="constrained")
  upper, lower = figure.subplots(2, 1, sharex=True)
  labels = list(dict.fromkeys([*accuracy, *(u[0] for u in unfinished)]))
  for index, label in enumerate(labels):
    line = style.series_style(index)
    for axes, pairs, scale in (
      (upper, loss.get(label, ()), 1),
      (lower, accuracy.get(label, ()), 100),
    ):
      if not pairs:
        continue
      epochs, mean, deviation = series.over_seeds(pairs)
      axes.plot(epochs, scale * mean, label=label, **line)
      style.band(axes, epochs, scale * mean, scale * deviation, line["color"])
    for name, epochs, values in unfinished:
      if name == label:
        dots = {"color": line["color"], "linestyle": ":", "linewidth": 1.3}
        lower.plot(epochs, 100 * values, label=f"{label} (unfinished)", **dots)
  positive = np.concatenate(
    [line.get_ydata()[np.asarray(line.get_ydata()) > 0] for line in upper.lines]
    or [np.ones(1)]
  )
  if positive.size and positive.max() > 20 * positive.min():
    upper.set_yscale("log")
    upper.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    upper.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    upper.yaxis.set_minor_formatter(ticker.NullFormatter())
  upper.set_title("Training loss")
  lower.set_title("Test accuracy, %")
  lower.set_xlabel("epoch")
  lower.xaxis.set_major_locator(ticker.MaxNLocator(8, steps=[1, 2, 5, 10]))
  lower.margins(x=0.02)
  style.legend(figure, lower)
  return figure


@style.styled
def shots(
  methods: Mapping[str, Mapping[str, Sequence[float]]],
  class_counts: Sequence[int],
  has_test: np.ndarray | None = None,
) -> Figure:
  """Draw the accuracy over all, many, medium and few classes, a bar a method.

  Bars are means, lines one standard deviation, dots the seeds.

  Args:
    methods: per label and group ("all", "many", "medium", "few") one fraction
      a seed; groups without classes are left out.
    class_counts: `[K]` training images, for the sizes of the groups.
    has_test: `[K]` booleans, True for a class with test images; None for all.
  """
  sizes = _group_sizes(np.asarray(class_counts), has_test)
  groups = [name for name, (number, _) in sizes.items() if number]
  figure = Figure((style.WIDTH, 3.8), layout="constrained")
  axes = figure.subplots()
  width = 0.8 / max(2, len(methods))
  written = len(methods) * len(groups) <= 12
  dots: dict[str, Any] = {"marker": "o", "ls": "", "ms": 3, "mew": 0.7}
  dots |= {"color": style.SURFACE, "mec": style.INK}
  for index, (label, values) in enumerate(methods.items()):
    bar: dict[str, Any] = {
      "color": style.SERIES[index % len(style.SERIES)],
      "hatch": ("", "//", "..")[index // len(style.SERIES) % 3],
      "edgecolor": style.SURFACE,
      "linewidth": 0,
    }
    for place, name in enumerate(groups):
      seeds = 100 * np.asarray(values.get(name, ()), np.float64)
      if not seeds.size:
        continue
      x = place + (index - (len(methods) - 1) / 2) * width
      deviation = seeds.std(ddof=1) if seeds.size > 1 else 0.0
      named: dict[str, Any] = {"label": label} if place == 0 else {}
      axes.bar(x, seeds.mean(), 0.88 * width, **bar, **named)
      if seeds.size > 1:
        axes.errorbar(
          x, seeds.mean(), deviation, color=style.INK, lw=1.2, capsize=2.5
        )
        spread = np.linspace(-0.2, 0.2, seeds.size) * width
        axes.plot(x + spread, seeds, **dots)
      if written:
        top = max(seeds.max(), seeds.mean() + deviation)
        axes.annotate(
          f"{seeds.mean():.1f}",
          (x, top),
          (0, 3),
          textcoords="offset points",
          ha="center",
          fontsize=8,
        )
  names = [_group_name(name, *sizes[name]) for name in groups]
  axes.set_xticks(range(len(groups)), names, color=style.INK)
  axes.set_ylim(0, 108)
  axes.set_yticks(range(0, 101, 20))
  axes.set_title("Test accuracy, %")
  style.legend(figure, axes)
  return figure


def smoothing_window(num_classes: int) -> int:
  """Return the number of classes that a line averages over in a large set."""
  return max(5, num_classes // 20) | 1


def _bars(axes: Axes, counts: np.ndarray) -> None:
  edges = np.arange(len(counts) + 1) - 0.5
  if len(counts) > 60:
    axes.stairs(counts, edges, fill=True, color=style.BARS)
  else:
    axes.bar(range(len(counts)), counts, 0.8, color=style.BARS)
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


def named_classes(
  axes: Axes, percent: np.ndarray, label: str, index: int, methods: int
) -> None:
  """Draw markers with error bars, side by side, joined by a thin line.

  `percent` is `[seeds, K]`, NaN where undefined; the method is number `index`
  of `methods`, for its color and place.
  """
  mean, deviation = series.mean_and_deviation(percent)
  aside = (index - (methods - 1) / 2) * min(0.16, 0.6 / methods)
  line = style.series_style(index) | {"linewidth": 1}
  axes.errorbar(
    np.arange(mean.size) + aside,
    mean,
    deviation,
    label=label,
    elinewidth=1.3,
    marker=style.MARKERS[index % len(style.MARKERS)],
    markersize=5,
    **line,
  )


def many_classes(
  axes: Axes, percent: np.ndarray, label: str, index: int, methods: int
) -> None:
  """Draw a dot a class and a running mean; arguments as `named_classes`."""
  del methods  # Lines may lie on each other; markers may not.
  line = style.series_style(index)
  position = np.arange(percent.shape[1])
  dots, _ = series.mean_and_deviation(percent)
  axes.plot(position, dots, ".", color=line["color"], alpha=0.3, ms=3, mew=0)
  # Smoothed before the deviation: the band is that of the line shown.
  window = smoothing_window(position.size)
  smooth = np.stack([series.running_mean(seed, window) for seed in percent])
  mean, deviation = series.mean_and_deviation(smooth)
  axes.plot(position, mean, label=label, **line)
  style.band(axes, position, mean, deviation, line["color"])


def mark_shots(axes: Axes, counts: np.ndarray, labels: bool = True) -> None:
  """Draw lines between many, medium and few, for counts in falling order."""
  shots = shot_groups.of(counts)
  per_class = style.WIDTH * 0.85 / len(counts)
  for shot, name in enumerate(shot_groups.NAMES):
    members = np.flatnonzero(shots == shot)
    if not members.size:
      continue
    start, stop = members[0] - 0.5, members[-1] + 0.5
    if stop < len(counts) - 1:
      axes.axvline(stop, color=style.MUTED, lw=0.8, ls=(0, (3, 3)))
    if labels and (stop - start) * per_class > 0.42:
      axes.text(
        (start + stop) / 2,
        0.95,
        name,
        transform=axes.get_xaxis_transform(),
        ha="center",
        va="top",
        color=style.MUTED,
      )


def class_axis(axes: Axes, names: Sequence[str]) -> None:
  """Name the classes below the axes where they are few."""
  if len(names) > style.NAMED:
    axes.set_xlabel("classes, from most to fewest training images")
    return
  labels, key = style.class_labels(names)
  # What fits side by side stays level: it reads more easily.
  level = max(map(len, labels)) <= 44 / len(names)
  axes.set_xticks(
    range(len(names)), labels, color=style.INK, **style.turned(level)
  )
  axes.set_xlabel(f"class{key}")


def _group_sizes(
  class_counts: np.ndarray, has_test: np.ndarray | None
) -> dict[str, tuple[int, int]]:
  """Return the classes, and those with test images, of each group."""
  if has_test is None:
    has_test = np.ones(class_counts.shape, bool)
  group = shot_groups.of(class_counts)
  sizes = {"all": (len(group), int(has_test.sum()))}
  for index, name in enumerate(shot_groups.NAMES):
    members = group == index
    sizes[name] = (int(members.sum()), int((members & has_test).sum()))
  return sizes


def _group_name(name: str, number: int, tested: int) -> str:
  bounds = {
    "many": f"> {shot_groups.MANY_ABOVE} images\n",
    "medium": f"{shot_groups.FEW_BELOW}-{shot_groups.MANY_ABOVE} images\n",
    "few": f"< {shot_groups.FEW_BELOW} images\n",
  }.get(name, "")
  classes = f"{number:,}" if tested == number else f"{tested:,} of {number:,}"
  return f"{name}\n{bounds}{classes} classes"
