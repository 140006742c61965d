# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The collapse rows of a section of runs, their figures and captions."""

from collections.abc import Iterable, Mapping, Sequence
import dataclasses
from typing import Any

import numpy as np

from etf_jax.reporting.accuracy import spread_caption
from etf_jax.reporting.figures import collapse, heatmaps, series
from etf_jax.reporting.page import ReportFigure
from etf_jax.runs import reader

Row = Mapping[str, Any]
SPLITS = ("train", "test")


@dataclasses.dataclass(frozen=True)
class Method:
  """The collapse rows of a group: per split those of each seed that has any."""

  label: str
  rows: Mapping[str, Sequence[Sequence[Row]]]
  seeds: Mapping[str, Sequence[int]]

  def last(self, split: str) -> list[Row]:
    """Return the last row of each seed."""
    return [rows[-1] for rows in self.rows[split]]


def methods(section: reader.Section) -> list[Method]:
  """Collect the collapse rows of a section, in the order of its groups.

  The list is empty when no run has such rows. The finished seeds count; a group
  without a finished seed is shown as far as it came.
  """
  collected = []
  for group in section.groups:
    members = group.finished or group.unfinished
    label = group.label if group.finished else f"{group.label} (unfinished)"
    if not group.finished and not any(r.tests or r.collapse for r in members):
      continue
    rows, seeds = {}, {}
    for split in SPLITS:
      by_seed = {
        run.seed: [row for row in run.collapse if row["split"] == split]
        for run in members
      }
      rows[split] = [rows for rows in by_seed.values() if rows]
      seeds[split] = [seed for seed, rows in by_seed.items() if rows]
    collected.append(Method(label, rows, seeds))
  return collected if splits(collected) else []


def splits(measured: Sequence[Method]) -> list[str]:
  """List the splits that were measured for some method."""
  return [s for s in SPLITS if any(method.rows[s] for method in measured)]


def classes_present(
  section: reader.Section, measured: Sequence[Method], split: str
) -> int:
  """Return the number of classes that have images in a split."""
  return len(section.class_counts) - len(absent(measured, split))


def absent(measured: Sequence[Method], split: str) -> list[int]:
  """List the classes without images in a split at the last measurement."""
  rows = [row for method in measured for row in method.last(split)]
  return sorted({c for row in rows for c in row.get("absent_classes") or ()})


def figures(section: reader.Section) -> list[ReportFigure]:
  """Create the figures of collapse for which there are measurements."""
  measured = methods(section)
  created = []
  keys = collapse.CONVERGENCE
  if any(
    key in row
    for method in measured
    for split in SPLITS
    for rows in method.rows[split]
    for row in rows
    for key in keys
  ):
    created.append(_convergence(section, measured))
  geometry = {method.label: _geometry(method) for method in measured}
  if any(geometry.values()):
    created.append(_by_class(section, geometry))
  panels = list(_panels(measured))
  if panels:
    created.append(_cosines(section, panels))
  return created


def _convergence(
  section: reader.Section, measured: Sequence[Method]
) -> ReportFigure:
  courses = {
    split: {
      method.label: {
        key: pairs
        for key in collapse.CONVERGENCE
        if (pairs := series.measured(method.rows[split], key))
      }
      for method in measured
    }
    for split in splits(measured)
  }
  present = {
    split: classes_present(section, measured, split) for split in courses
  }
  caption = (
    "h is the mean feature of a class less the global mean (the mean of the"
    " class means), w its classifier vector, h′ and w′ those of another"
    " class: mean and standard deviation over all pairs of different classes."
    " W̃ and H̃ hold all of them, scaled to Frobenius norm 1. Lines are means"
    " over seeds, bands one standard deviation (of NC1 the range of the"
    " seeds). The thin dashed lines are the values at collapse:"
    f" {_ideals(present)} between different classes, 1"
    " for a class's own vector, 0 for spread and distance; NC1 falls to 0."
  )
  gaps = [
    method.label
    for method in measured
    if any(_has_gap(methods[method.label]) for methods in courses.values())
  ]
  if gaps:
    caption += (
      f" Where a line is interrupted or missing ({', '.join(gaps)}), the"
      " number is undefined for a seed."
    )
  return ReportFigure(
    "collapse",
    "Collapse over epochs",
    caption,
    lambda: collapse.convergence(courses, present),
  )


def _ideals(present: Mapping[str, int]) -> str:
  """Format -1/(K - 1), once if the splits have equally many classes."""
  texts = {
    split: f"-1/{number - 1} = {-1 / (number - 1):.3g}"
    for split, number in present.items()
    if number > 1
  }
  if len(set(texts.values())) > 1:
    return " and ".join(f"{text} ({split})" for split, text in texts.items())
  return next(iter(texts.values()), "undefined")


def _has_gap(measurements: Mapping[str, series.Pairs]) -> bool:
  return any(
    np.isnan(values).any()
    for pairs in measurements.values()
    for _, values in pairs
  )


def _geometry(method: Method) -> dict[str, np.ndarray]:
  """Return `[seeds, K]` per key; class means are those of training images."""
  training = method.last("train")
  arrays = {}
  for key in collapse.GEOMETRY:
    rows = training
    if key != "feature_nearest":  # a classifier is that of every split
      rows = training or method.last("test")
    values = [row[key] for row in rows if row.get(key) is not None]
    if values:
      arrays[key] = np.array(values, np.float64)
  if "classifier_norms" in arrays:
    largest = arrays["classifier_norms"].max(1, keepdims=True)
    arrays["classifier_norms"] /= np.where(largest > 0, largest, np.nan)
  return arrays


def _by_class(
  section: reader.Section,
  geometry: Mapping[str, Mapping[str, np.ndarray]],
) -> ReportFigure:
  caption = (
    "At the last measurement, for each class from the largest to the"
    " smallest: the cosine of its classifier vector to the nearest one of"
    " another class, the same of its centered class mean on training images,"
    " and the length of its classifier vector relative to the longest. The"
    " dashed lines are -1/(K-1), where every pair lies at collapse, and 1,"
    " where two classes share a direction and cannot be told apart: minority"
    " collapse."
  ) + spread_caption(len(section.class_counts))
  if any(
    np.isnan(values).any()
    for arrays in geometry.values()
    for values in arrays.values()
  ):
    caption += (
      " A cross at the lower edge: undefined for a seed (a vector of length"
      " zero, or no images)."
    )
  return ReportFigure(
    "collapse_classes",
    "Geometry by class",
    caption,
    lambda: collapse.by_class(
      geometry, section.class_counts, section.class_names
    ),
  )


def _panels(
  measured: Sequence[Method],
) -> Iterable[tuple[str, np.ndarray, np.ndarray]]:
  kinds = ("classifier_cosines", "feature_cosines")
  for method in measured:
    rows = [
      row for row in method.last("train") if all(row.get(k) for k in kinds)
    ]
    if rows:
      # A mean over seeds that is undefined for one of them is undefined.
      classifier, features = (
        np.mean([np.array(row[kind], np.float64) for row in rows], axis=0)
        for kind in kinds
      )
      yield method.label, classifier, features


def _cosines(
  section: reader.Section,
  panels: Sequence[tuple[str, np.ndarray, np.ndarray]],
) -> ReportFigure:
  caption = (
    "Cosines between the classifier vectors of all pairs of classes, and"
    " between their centered class means on training images, at the last step;"
    " means over seeds; rows and columns are the classes from the largest to"
    " the smallest. At collapse everything off the diagonal is -1/(K-1)."
  )
  if any(np.isnan(matrix).any() for _, *both in panels for matrix in both):
    caption += (
      " Gray cells: undefined for a seed (a vector of length zero, or no"
      " images)."
    )
  return ReportFigure(
    "collapse_cosines",
    "Cosines between classes",
    caption,
    lambda: heatmaps.cosines(panels, section.class_counts, section.class_names),
  )
