# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The papers' figures, drawn from the runs that have finished.

pictures = figures.figures(wanted, rows)
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
import functools

from matplotlib import ticker
from matplotlib.figure import Figure
import numpy as np

from etf_jax.reporting import page
from etf_jax.reporting.figures import accuracy, collapse, series, style
from etf_jax.reproductions.jobs import Reproduction
from etf_jax.reproductions.results import Row

# One per seed: epochs and values, NaN where undefined.
Pairs = Sequence[tuple[np.ndarray, np.ndarray]]
_TITLES = {
  "cos_own_vector": "To the vector of its class",
  "cos_other_vectors": "To the vectors of others",
  "cos_own_centre": "To the mean of its class",
  "cos_other_centres": "To the means of others",
  "numerical_rank": "Numerical rank of a class",
  "nc1": "NC1",
  "accuracy": "Test accuracy, %",
}
_ANGLES = "The angle tau+ in units of pi/36, at the last epoch"
_FORCES = 5  # classes whose forces are drawn
# Suffix of the name, title, caption, and what draws.
_Part = tuple[str, str, str, Callable[[], Figure]]


def figures(
  wanted: Reproduction, rows: Sequence[Row]
) -> list[page.ReportFigure]:
  """Return the figures of a target for which runs have finished."""
  settings: dict[str, list[Row]] = {}
  points = []
  for row in rows:
    if row.runs and row.cell.setting.series is None:
      settings.setdefault(row.cell.setting.label, []).append(row)
    elif row.runs:
      points.append(row)
  keys = wanted.target.keys
  pictures = []
  for name in wanted.target.figures:
    if name == "sweep":
      pictures += _sweep(f"{wanted.name}-{name}", points, keys)
      continue
    for number, (label, members) in enumerate(settings.items(), 1):
      less = _less_often(wanted, members) if keys else ""
      for suffix, title, caption, function in DRAW[name](members, keys):
        pictures.append(
          page.ReportFigure(
            f"{wanted.name}-{name}-{number}{suffix}",
            f"{title}: {label}",
            f"{_seeds(members)}{caption}{less}",
            function,
          )
        )
  return pictures


def lacking(wanted: Reproduction, rows: Sequence[Row]) -> list[str]:
  """Return a sentence for every finished job without what a figure shows.

  A measurement that is undefined in all rows of a run is lacking too.
  """
  found = {}
  for row in rows:
    rows_of_all = [c for run in row.runs.values() for c in run.collapse]
    measured = {k for c in rows_of_all for k, v in c.items() if v is not None}
    missing = [key for key in wanted.target.keys if key not in measured]
    if row.runs and missing:
      found[row.cell.job] = (
        f"runs/{row.cell.job} has not measured {', '.join(missing)}, which this"
        " figure shows, or they are undefined: if it is of a command with other"
        " config.collapse fields, another --output makes it again"
      )
  return list(found.values())


def last(row: Row, key: str) -> list[float]:
  """Return a number at the end of each run; none if one is undefined.

  The key is of collapse rows of training images; or `accuracy`, in percent.
  """
  if key == "accuracy":
    return [100 * value for value in row.accuracies().values()]
  numbers = [values[-1] for _, values in _pairs(row, "train", key)]
  return [] if np.isnan(numbers).any() else numbers


def _seeds(rows: Sequence[Row]) -> str:
  labels = ", ".join(f"{row.cell.method}: {row.cell.label}" for row in rows)
  numbers = sorted({len(row.runs) for row in rows})
  ends = " to ".join(map(str, dict.fromkeys((numbers[0], numbers[-1]))))
  return f"{labels}. Means of {ends} seeds, bands of one standard deviation. "


def _less_often(wanted: Reproduction, rows: Sequence[Row]) -> str:
  """Name the runs of an earlier command that measured less often."""
  found = {}
  for row in rows:
    asked = wanted.jobs[row.cell.job or ""].config.collapse.every_epochs
    for run in row.runs.values():
      every = run.config.get("collapse", {}).get("every_epochs")
      if asked and every and every > asked:
        found[row.cell.method] = every
  if not found:
    return ""
  listed = ", ".join(f"{name}: {every:g}" for name, every in found.items())
  return (
    " Runs of an earlier command, which measured after so many epochs only:"
    f" {listed}. Another --output makes them again."
  )


def _pairs(row: Row, split: str, key: str, sample: bool = False) -> Pairs:
  """Return epochs and values of a measurement, of each seed that has it."""
  seeds = []
  for run in row.runs.values():
    rows = [r for r in run.collapse if r["split"] == split]
    if sample:
      rows = [
        {"epoch": r["epoch"]} | r["sample_mean"]
        for r in rows
        if "sample_mean" in r
      ]
    seeds.append(rows)
  return series.measured(seeds, key)


def _collapse(rows: Sequence[Row], keys: Sequence[str]) -> Iterator[_Part]:
  """Draw the papers' figure, and the same around the other global mean."""
  for sample, suffix, mean in (
    (
      True,
      "",
      "the mean over all images, as the paper defines it (collapsed features of"
      " unequal classes do not have the values of a simplex around it)",
    ),
    (False, "-class_mean", "the mean of the class means"),
  ):
    lines: dict[str, dict[str, dict[str, Pairs]]] = {}
    present = {}
    for split in ("train", "test"):
      measured = {
        row.cell.method: {
          key: pairs
          for key in keys
          if (pairs := _pairs(row, split, key, sample))
        }
        for row in rows
      }
      if any(measured.values()):
        lines[split] = measured
        present[split] = _classes_present(rows, split)
    if lines:
      between = " and ".join(
        f"-1/{n - 1} = {-1 / (n - 1):.3g}"
        for n in sorted(set(present.values()))
      )
      caption = (
        f"h is a class mean less the global mean, which is {mean}; w a"
        " classifier vector, h′ and w′ those of another class. Thin dashed: the"
        f" values of a simplex, {between} between classes, 1 for the vector of"
        " the same class, 0 for spread and distance."
      )
      function = functools.partial(collapse.convergence, lines, present)
      yield suffix, "Collapse over epochs", caption, function


def _classes_present(rows: Sequence[Row], split: str) -> int:
  run = next(iter(rows[0].runs.values()))
  absent = {
    index
    for row in run.collapse
    if row["split"] == split
    for index in row.get("absent_classes") or ()
  }
  return len(run.class_counts) - len(absent)


def _epochs(rows: Sequence[Row], keys: Sequence[str]) -> Iterator[_Part]:
  panels = {
    _TITLES[key]: lines
    for key in keys
    if (
      lines := {
        row.cell.method: pairs
        for row in rows
        if (pairs := _pairs(row, "train", key))
      }
    )
  }
  if panels:
    caption = "Means over the training images, to classifier vectors and means."
    function = functools.partial(_over_epochs, panels)
    yield "", "Cosines of features", caption, function


def _forces(rows: Sequence[Row], keys: Sequence[str]) -> Iterator[_Part]:
  counts = next(iter(rows[0].runs.values())).class_counts
  order = np.argsort(-np.asarray(counts), kind="stable")
  places = np.linspace(0, len(order) - 1, min(_FORCES, len(order)))
  panels: dict[str, dict[str, Pairs]] = {}
  for row in rows:
    for index in order[np.unique(places.round().astype(int))]:
      pairs = []
      for run in row.runs.values():
        known = [
          r for r in run.collapse if r["split"] == "train" and keys[0] in r
        ]
        pull, push = (
          np.array([r[key][index] for r in known], np.float64) for key in keys
        )
        if known:
          epochs = np.array([r["epoch"] for r in known])
          ratio = np.full(len(known), np.nan)
          np.divide(push, pull, out=ratio, where=pull > 0)
          pairs.append((epochs, ratio))
      if pairs:
        label = f"class {index}, {counts[index]:,} images"
        panels.setdefault(f"|push| / |pull|, {row.cell.method}", {})[label] = (
          pairs
        )
  if panels:
    caption = (
      "Length of the push over that of the pull of cross-entropy on a class's"
      " classifier vector (equations 10 and 11), over all training images."
    )
    function = functools.partial(_over_epochs, panels, log=True)
    yield "", "Push against pull by class", caption, function


def _curves(rows: Sequence[Row], _: Sequence[str]) -> Iterator[_Part]:
  loss, test = {}, {}
  for row in rows:
    runs = row.runs.values()
    loss[row.cell.method] = [series.loss(run.train) for run in runs]
    test[row.cell.method] = [
      series.pairs(run.tests, "accuracy") for run in runs
    ]
  caption = "Losses of different methods are different functions."
  yield "", "Training", caption, lambda: accuracy.curves(loss, test)


def _by_class(row: Row) -> np.ndarray:
  """Return accuracies `[seeds, K]` at the last epoch."""
  finals = [run.final for run in row.runs.values() if run.final]
  return np.array([f["last"]["per_class_accuracy"] for f in finals], np.float64)


def _classes(rows: Sequence[Row], _: Sequence[str]) -> Iterator[_Part]:
  run = next(iter(rows[0].runs.values()))
  lines = {row.cell.method: _by_class(row) for row in rows}
  function = functools.partial(
    accuracy.per_class, lines, run.class_counts, run.class_names
  )
  caption = "Classes from the largest to the smallest; last epoch."
  yield "", "Accuracy by class", caption, function


@style.styled
def _gains_figure(label: str, gains: np.ndarray) -> Figure:
  figure = Figure((style.WIDTH, 3), layout="constrained")
  axes = figure.subplots()
  color = style.series_style(0)["color"]
  axes.bar(np.arange(len(gains)), gains, label=label, color=color)
  axes.set_title("Gain in test accuracy, points")
  axes.set_xlabel("class, from the largest to the smallest")
  style.legend(figure, axes)
  return figure


def _gains(rows: Sequence[Row], _: Sequence[str]) -> Iterator[_Part]:
  """Draw the gain of the last method over the first, class by class."""
  if len(rows) < 2:
    return
  first, main = rows[0], rows[-1]
  counts = next(iter(main.runs.values())).class_counts
  order = np.argsort(-np.asarray(counts), kind="stable")
  gain = 100 * (_by_class(main).mean(axis=0) - _by_class(first).mean(axis=0))
  label = f"{main.cell.method} minus {first.cell.method}"
  caption = "Differences of the means over seeds at the last epoch, in points."
  yield "", "Gain by class", caption, lambda: _gains_figure(label, gain[order])


def _sweep(
  name: str, rows: Sequence[Row], keys: Sequence[str]
) -> list[page.ReportFigure]:
  """Draw what a number is over the points of each series."""
  panels: dict[str, dict[str, dict[float, list[float]]]] = {}
  for row in rows:
    line, place = row.cell.setting.series or ("", 0.0)
    for key in keys or ("accuracy",):
      if numbers := last(row, key):
        lines = panels.setdefault(_TITLES[key], {}).setdefault(line, {})
        lines[place] = numbers
  if not panels:
    return []
  caption = f"{_ANGLES}: means over seeds, lines of one standard deviation."
  function = functools.partial(_over_places, panels)
  return [
    page.ReportFigure(name, "Over the angle of the cones", caption, function)
  ]


@style.styled
def _over_epochs(
  panels: Mapping[str, Mapping[str, Pairs]], log: bool = False
) -> Figure:
  figure, grid = _grid(panels)
  for axes, (title, lines) in zip(grid, panels.items(), strict=False):
    for index, (label, pairs) in enumerate(lines.items()):
      epochs, seeds = series.by_epoch(pairs)
      mean = np.array([np.mean(values) for values in seeds])
      spread = [np.std(v, ddof=1) if len(v) > 1 else np.nan for v in seeds]
      line = style.series_style(index)
      axes.plot(epochs, mean, label=label, marker=".", **line)
      style.band(axes, epochs, mean, np.array(spread), line["color"])
    if log:
      axes.set_yscale("log")
      axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
      axes.yaxis.set_minor_formatter(ticker.NullFormatter())
    axes.set_title(title)
    axes.set_xlabel("epoch")
  style.legend(figure, grid[0])
  return figure


@style.styled
def _over_places(
  panels: Mapping[str, Mapping[str, Mapping[float, Sequence[float]]]],
) -> Figure:
  figure, grid = _grid(panels)
  for axes, (title, lines) in zip(grid, panels.items(), strict=False):
    for index, (label, points) in enumerate(lines.items()):
      style.error_bars(axes, points, label, index)
    axes.set_title(title)
    axes.set_xlabel("tau+, pi/36")
  style.legend(figure, grid[0])
  return figure


def _grid(panels: Mapping[str, Mapping[str, object]]):
  """Return a figure and its axes, two in a row below the legend."""
  rows, columns = -(-len(panels) // 2), min(2, len(panels))
  legend = 0.25 * max(len(lines) for lines in panels.values())
  figure = Figure((style.WIDTH, 2.3 * rows + legend), layout="constrained")
  grid = figure.subplots(rows, columns, squeeze=False).ravel()
  for axes in grid[len(panels) :]:
    axes.set_visible(False)
  return figure, grid


DRAW: Mapping[
  str, Callable[[Sequence[Row], Sequence[str]], Iterator[_Part]]
] = {
  "collapse": _collapse,
  "epochs": _epochs,
  "forces": _forces,
  "curves": _curves,
  "classes": _classes,
  "gains": _gains,
}
