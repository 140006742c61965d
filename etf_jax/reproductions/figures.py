# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The papers' figures, drawn from the runs that have finished.

shown = figures.of(plan, rows)
"""

from collections.abc import Mapping, Sequence
import dataclasses
from typing import NamedTuple

from matplotlib.figure import Figure
import numpy as np

from etf_jax.reporting._shown import Shown
from etf_jax.reporting.figures import accuracy as plots
from etf_jax.reporting.figures import collapse
from etf_jax.reporting.figures import series as _series
from etf_jax.reporting.figures import style as _figures
from etf_jax.reproductions.planning import Plan
from etf_jax.reproductions.results import Row

# One per seed: epochs and values, NaN where undefined.
Pairs = Sequence[tuple[np.ndarray, np.ndarray]]

_NAMES = {
  "cos_own_centre": "Cosine to the own class centre",
  "cos_other_centres": "Cosine to the other class centres",
  "numerical_rank": "Numerical rank of a class's features",
  "nc1": "NC1",
  "accuracy": "Test accuracy, %",
}


class Point(NamedTuple):
  """One place of a sweep: where, mean and deviation over seeds."""

  place: float
  mean: float
  deviation: float


def of(plan: Plan, rows: Sequence[Row]) -> list[Shown]:
  """Those figures of a target for which runs have finished.

  Args:
    plan: of the target.
    rows: its rows.
  """
  parts = {
    "collapse": _collapse,
    "centres": _centres,
    "curves": _curves,
    "classes": _classes,
  }
  shown: list[Shown] = []
  for part in plan.target.shows:
    if part in parts:
      for place, held in enumerate(_by_setting(rows)):
        found = parts[part](held, plan.target.keys)
        if found:
          caption = found.caption
          if part in ("collapse", "centres"):
            caption += _seldom(plan, held)
          name = f"{part}-{place + 1}"
          shown.append(dataclasses.replace(found, name=name, caption=caption))
    elif part == "sweep":
      shown += _sweep(rows, plan.target.keys)
  return shown


def _by_setting(rows: Sequence[Row]) -> list[list[Row]]:
  """The rows that have runs, a list for each setting that is no point."""
  held: dict[str, list[Row]] = {}
  for row in rows:
    if row.runs and row.cell.setting.series is None:
      held.setdefault(row.cell.setting.label, []).append(row)
  return list(held.values())


def _seldom(plan: Plan, rows: Sequence[Row]) -> str:
  """Say so where runs of an earlier command measured less often."""
  seldom = {}
  for row in rows:
    asked = plan.jobs[row.cell.job].config.collapse.every_epochs
    for run in row.runs.values():
      every = run.config.get("collapse", {}).get("every_epochs")
      if asked and every and every > asked:
        seldom[row.cell.method] = every
  if not seldom:
    return ""
  found = ", ".join(f"{name}: {every:g}" for name, every in seldom.items())
  return (
    " Runs of an earlier command, which measured after so many epochs only:"
    f" {found}. Another --output makes them again."
  )


def _labels(rows: Sequence[Row]) -> str:
  return ", ".join(f"{row.cell.method}: {row.cell.label}" for row in rows)


def _caption(rows: Sequence[Row]) -> str:
  seeds = sorted({len(row.runs) for row in rows})
  shown = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
  return (
    f"{_labels(rows)}. Means of {shown} seeds, bands of one standard deviation."
  )


def _collapse(rows: Sequence[Row], keys: Sequence[str]) -> Shown | None:
  series, present = {}, {}
  for split in ("train", "test"):
    measured = {
      row.cell.method: {
        key: pairs for key in keys if (pairs := _pairs(row, split, key))
      }
      for row in rows
    }
    if any(measured.values()):
      series[split] = measured
      present[split] = _classes_present(rows, split)
  if not series:
    return None
  ideals = {
    f"-1/{number - 1} = {-1 / (number - 1):.3g}" for number in present.values()
  }
  caption = (
    f"{_caption(rows)} h is a class mean less the global mean, w a classifier"
    " vector, h′ and w′ those of another class. Thin dashed: the values of a"
    f" simplex, {' and '.join(sorted(ideals))} between classes, 1 for a class's"
    " own vector, 0 for spread and distance."
  )
  return Shown(
    "",
    f"Collapse over epochs: {rows[0].cell.setting.label}",
    caption,
    lambda narrow: collapse.convergence(series, present, narrow=narrow),
  )


def _classes_present(rows: Sequence[Row], split: str) -> int:
  run = next(iter(rows[0].runs.values()))
  absent = {
    index
    for row in run.collapse
    if row["split"] == split
    for index in row.get("absent_classes") or ()
  }
  return len(run.class_counts) - len(absent)


def _pairs(row: Row, split: str, key: str) -> Pairs:
  """Epochs and values of a measurement, of each seed that has it."""
  of_split = (
    [r for r in run.collapse if r["split"] == split]
    for run in row.runs.values()
  )
  return _series.measured(of_split, key)


def _centres(rows: Sequence[Row], keys: Sequence[str]) -> Shown | None:
  panels = {
    key: {
      row.cell.method: pairs
      for row in rows
      if (pairs := _pairs(row, "train", key))
    }
    for key in keys
  }
  if not any(panels.values()):
    return None
  return Shown(
    "",
    f"Cosines to class centres: {rows[0].cell.setting.label}",
    f"{_caption(rows)} Means over the training images.",
    lambda narrow: _over_epochs(panels, narrow=narrow),
  )


def _curves(rows: Sequence[Row], keys: Sequence[str]) -> Shown | None:
  del keys
  loss, accuracy = {}, {}
  for row in rows:
    found = row.runs.values()
    loss[row.cell.method] = [_series.loss(run.train) for run in found]
    accuracy[row.cell.method] = [
      _series.pairs(run.tests, "accuracy") for run in found
    ]
  return Shown(
    "",
    f"Training: {rows[0].cell.setting.label}",
    f"{_caption(rows)} Losses of different methods are different functions.",
    lambda narrow: plots.curves(loss, accuracy, narrow=narrow),
  )


def _classes(rows: Sequence[Row], keys: Sequence[str]) -> Shown | None:
  del keys
  series = {
    row.cell.method: np.array(
      [run.final["last"]["per_class_accuracy"] for run in row.runs.values()],
      np.float64,
    )
    for row in rows
  }
  run = next(iter(rows[0].runs.values()))
  return Shown(
    "",
    f"Accuracy by class: {rows[0].cell.setting.label}",
    f"{_labels(rows)}. Classes from the largest to the smallest; last epoch.",
    lambda narrow: plots.per_class(
      series, run.class_counts, run.class_names, narrow=narrow
    ),
  )


def _sweep(rows: Sequence[Row], keys: Sequence[str]) -> list[Shown]:
  """What a number is over the points of each series."""
  measures = keys or ("accuracy",)
  panels: dict[str, dict[str, list[Point]]] = {key: {} for key in measures}
  for row in rows:
    if not row.runs or row.cell.setting.series is None:
      continue
    name, place = row.cell.setting.series
    for key in measures:
      held = last(row, key)
      if held:
        spread = float(np.std(held, ddof=1)) if len(held) > 1 else np.nan
        point = Point(place, float(np.mean(held)), spread)
        panels[key].setdefault(name, []).append(point)
  if not any(panels.values()):
    return []
  return [
    Shown(
      "sweep",
      "Over the angle of the cones",
      "The angle tau+ in units of pi/36, at the last epoch: means over seeds,"
      " lines of one standard deviation.",
      lambda narrow: _over_places(panels, narrow=narrow),
    )
  ]


def last(row: Row, key: str) -> list[float]:
  """A number at the end of each run, by its key in rows or `accuracy`, in %.

  Of collapse, that on training images; nothing if it is undefined for a seed.
  """
  if key == "accuracy":
    return [100 * value for value in row.accuracies().values()]
  held = [values[-1] for _, values in _pairs(row, "train", key)]
  return [] if np.isnan(held).any() else held


@_figures.styled
def _over_epochs(
  panels: Mapping[str, Mapping[str, Pairs]], *, narrow: bool
) -> Figure:
  figure, grid = _panels(panels, narrow)
  for axes, (key, lines) in zip(grid, panels.items(), strict=True):
    for index, (label, pairs) in enumerate(lines.items()):
      epochs, seeds = collapse.over_seeds(pairs)
      mean = np.array([np.mean(at) for at in seeds])
      spread = np.array(
        [np.std(at, ddof=1) if len(at) > 1 else np.nan for at in seeds]
      )
      style = _figures.series_style(index)
      axes.plot(epochs, mean, label=label, **style)
      _figures.band(axes, epochs, mean, spread, style["color"])
    axes.set_title(_NAMES[key])
    axes.set_xlabel("epoch")
  _figures.legend(figure, grid[0], narrow)
  return figure


@_figures.styled
def _over_places(
  panels: Mapping[str, Mapping[str, Sequence[Point]]], *, narrow: bool
) -> Figure:
  figure, grid = _panels(panels, narrow)
  for axes, (key, lines) in zip(grid, panels.items(), strict=True):
    for index, (label, points) in enumerate(lines.items()):
      place, mean, spread = np.array(sorted(points)).T
      axes.errorbar(
        place,
        mean,
        np.nan_to_num(spread),
        label=label,
        marker=".",
        **_figures.series_style(index),
      )
    axes.set_title(_NAMES[key])
    axes.set_xlabel("tau+, pi/36")
  _figures.legend(figure, grid[0], narrow)
  return figure


def _panels(panels: Mapping[str, object], narrow: bool):
  number = len(panels)
  size = (4, 2.4 * number) if narrow else (5 * number, 3.2)
  figure = Figure(size, layout="constrained")
  shape = (number, 1) if narrow else (1, number)
  return figure, figure.subplots(*shape, squeeze=False).ravel()
