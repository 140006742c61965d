# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The figures of accuracy of a section of runs, with their captions."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from etf_jax.evaluation import shots
from etf_jax.reporting import results
from etf_jax.reporting.figures import accuracy, heatmaps, series, style
from etf_jax.reporting.page import ReportFigure
from etf_jax.runs import reader

# A label, and the last test row of each seed.
Measured = Sequence[tuple[str, Sequence[dict[str, Any]]]]


def figures(section: reader.Section) -> list[ReportFigure]:
  """Create the figures for which a section has measurements."""
  measured = list(_measured(section))
  if not measured:
    return []
  created = [
    _per_class(section, measured),
    _curves(section),
    _shots(section, measured),
  ]
  panels = list(_confusions(section))
  return [*created, _confusion(section, panels)] if panels else created


def spread_caption(num_classes: int) -> str:
  """Describe how a figure by class shows the seeds."""
  if num_classes <= style.NAMED:
    return (
      " Markers are means over seeds, vertical lines one standard deviation."
    )
  window = accuracy.smoothing_window(num_classes)
  return (
    " Each faint dot is the mean over seeds of one class; the lines average"
    f" {window} neighboring classes, with bands of one standard deviation over"
    " seeds."
  )


def _measured(
  section: reader.Section,
) -> Iterable[tuple[str, Sequence[dict[str, Any]]]]:
  """Yield the groups; one that has no finished seed as far as it came."""
  for group in section.groups:
    if group.finished:
      yield group.label, [run.result["last"] for run in group.finished]
    elif any(run.tests for run in group.unfinished):
      rows = [run.tests[-1] for run in group.unfinished if run.tests]
      yield f"{group.label} (unfinished)", rows


def _per_class(section: reader.Section, measured: Measured) -> ReportFigure:
  methods = {
    label: np.array([row["per_class_accuracy"] for row in rows], np.float64)
    for label, rows in measured
  }
  return ReportFigure(
    "per_class",
    "Accuracy by class",
    "Above, the training images of each class, from the largest class to the"
    " smallest; below, the accuracy on its test images at the last epoch."
    + spread_caption(len(section.class_counts)),
    lambda: accuracy.per_class(
      methods, section.class_counts, section.class_names
    ),
  )


def _curves(section: reader.Section) -> ReportFigure:
  loss, test, unfinished = {}, {}, []
  for group in section.groups:
    if group.finished:
      loss[group.label] = [series.loss(run.train) for run in group.finished]
      test[group.label] = [
        series.pairs(run.tests, "accuracy") for run in group.finished
      ]
    for run in group.unfinished:
      unfinished.append((group.label, *series.pairs(run.tests, "accuracy")))
  caption = (
    "Means over seeds, with bands of one standard deviation. The losses of"
    " different methods are different functions: compare their shape, not"
    " their height."
  )
  if unfinished:
    caption += " Dotted: runs that have not finished, in no mean."
  return ReportFigure(
    "curves",
    "Training",
    caption,
    lambda: accuracy.curves(loss, test, unfinished),
  )


def _shots(section: reader.Section, measured: Measured) -> ReportFigure:
  methods = {
    label: {
      "all": _known(rows, "accuracy"),
      **{name: _known(rows, name) for name in shots.NAMES},
    }
    for label, rows in measured
  }
  has_test = results.tested(section)
  return ReportFigure(
    "shots",
    "Many, medium and few",
    "Test accuracy at the last epoch over all classes and by how many"
    " training images a class has. Bars are means, lines one standard"
    " deviation, dots the single seeds.",
    lambda: accuracy.shots(methods, section.class_counts, has_test),
  )


def _confusion(
  section: reader.Section,
  panels: Sequence[tuple[str, np.ndarray]],
) -> ReportFigure:
  caption = (
    "Of the test images of each true class (rows), the percentage that was"
    " taken for each class (columns) at the last epoch, over all seeds;"
    " classes from the largest training class to the smallest."
  )
  size = heatmaps.block_size(len(section.class_counts))
  if size > 1:
    caption += f" Each tile is {size} by {size} classes."
  return ReportFigure(
    "confusion",
    "Confusion",
    caption,
    lambda: heatmaps.confusion(
      panels, section.class_counts, section.class_names
    ),
  )


def _confusions(
  section: reader.Section,
) -> Iterable[tuple[str, np.ndarray]]:
  for group in section.groups:
    matrices = [
      np.asarray(run.result["confusion"])
      for run in group.finished
      if run.result.get("confusion") is not None
    ]
    if matrices:
      yield group.label, np.sum(matrices, axis=0)


def _known(rows: Iterable[dict[str, Any]], key: str) -> list[float]:
  return [row[key] for row in rows if row.get(key) is not None]
