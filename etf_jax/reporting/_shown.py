# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""From the runs of a section to its figures and their captions."""

from collections.abc import Callable, Iterable, Sequence
import dataclasses
from typing import Any

from matplotlib.figure import Figure
import numpy as np

from etf_jax.evaluation import shots
from etf_jax.reporting.figures import accuracy as plots
from etf_jax.reporting.figures import confusion, style
from etf_jax.reporting.figures import series as _series
from etf_jax.runs import reader


@dataclasses.dataclass(frozen=True)
class Shown:
  """One figure of the report, drawn when asked for."""

  name: str
  title: str
  caption: str
  draw: Callable[..., Figure]


def figures(section: reader.Section) -> list[Shown]:
  """Those figures of a section for which there are measurements.

  Args:
    section: groups with the same training set.

  Returns:
    Class counts against accuracy, curves, shots, confusion, in this order.
  """
  measured = list(_measured(section))
  if not measured:
    return []
  shown = [_per_class(section, measured), _curves(section)]
  shown.append(_shots(section, measured))
  panels = list(_confusions(section))
  if panels:
    shown.append(_confusion(section, panels))
  return shown


def _measured(
  section: reader.Section,
) -> Iterable[tuple[str, list[dict[str, Any]]]]:
  """Label with the last test row of each finished seed.

  A group of which no seed has finished is shown as far as it came.
  """
  for group in section.groups:
    if group.finished:
      yield group.label, [run.final["last"] for run in group.finished]
    elif any(run.tests for run in group.unfinished):
      rows = [run.tests[-1] for run in group.unfinished if run.tests]
      yield f"{group.label} (unfinished)", rows


def _per_class(section, measured) -> Shown:
  series = {
    label: np.array([row["per_class_accuracy"] for row in rows], np.float64)
    for label, rows in measured
  }
  num_classes = len(section.class_counts)
  caption = (
    "Above, the training images of each class, from the largest class to the"
    " smallest; below, the accuracy on its test images at the last epoch."
  )
  if num_classes > style.NAMED:
    window = plots.smoothing_window(num_classes)
    caption += (
      " Each faint dot is the mean over seeds of one class; the lines average"
      f" {window} neighbouring classes, with bands of one standard deviation"
      " over seeds."
    )
  else:
    caption += (
      " Markers are means over seeds, vertical lines one standard deviation."
    )
  return Shown(
    "per_class",
    "Accuracy by class",
    caption,
    lambda narrow: plots.per_class(
      series, section.class_counts, section.class_names, narrow=narrow
    ),
  )


def _curves(section) -> Shown:
  loss, accuracy, unfinished = {}, {}, []
  for group in section.groups:
    if group.finished:
      loss[group.label] = [_series.loss(run.train) for run in group.finished]
      accuracy[group.label] = [
        _series.pairs(run.tests, "accuracy") for run in group.finished
      ]
    for run in group.unfinished:
      unfinished.append((group.label, *_series.pairs(run.tests, "accuracy")))
  caption = (
    "Means over seeds, with bands of one standard deviation. The losses of"
    " different methods are different functions: compare their shape, not"
    " their height."
  )
  if unfinished:
    caption += " Dotted: runs that have not finished, in no mean."
  return Shown(
    "curves",
    "Training",
    caption,
    lambda narrow: plots.curves(loss, accuracy, unfinished, narrow=narrow),
  )


def _shots(section, measured) -> Shown:
  series = {
    label: {
      "all": _known(rows, "accuracy"),
      **{name: _known(rows, name) for name in shots.NAMES},
    }
    for label, rows in measured
  }
  return Shown(
    "shots",
    "Many, medium and few",
    "Test accuracy at the last epoch over all classes and by how many"
    " training images a class has. Bars are means, lines one standard"
    " deviation, dots the single seeds.",
    lambda narrow: plots.shots(series, section.class_counts, narrow=narrow),
  )


def _confusion(section, panels) -> Shown:
  caption = (
    "Of the test images of each true class (rows), the percentage that was"
    " taken for each class (columns) at the last epoch, over all seeds;"
    " classes from the largest training class to the smallest."
  )
  size = confusion.block_size(len(section.class_counts))
  if size > 1:
    caption += f" Each tile is {size} by {size} classes."
  return Shown(
    "confusion",
    "Confusion",
    caption,
    lambda narrow: confusion.confusion(
      panels, section.class_counts, section.class_names, narrow=narrow
    ),
  )


def _confusions(section) -> Iterable[tuple[str, np.ndarray]]:
  for group in section.groups:
    held = [run.final.get("confusion") for run in group.finished]
    held = [np.asarray(matrix) for matrix in held if matrix is not None]
    if held:
      yield group.label, np.sum(held, axis=0)


def _known(rows: Sequence[dict[str, Any]], key: str) -> list[float]:
  return [row[key] for row in rows if row.get(key) is not None]
