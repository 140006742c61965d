# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""From the collapse rows of a section's runs to figures and captions."""

from collections.abc import Iterable, Mapping, Sequence
import dataclasses
from typing import Any

import numpy as np

from etf_jax.reporting import _shown
from etf_jax.reporting.figures import accuracy, collapse, style
from etf_jax.reporting.figures import series as _series
from etf_jax.runs import reader

Row = Mapping[str, Any]
SPLITS = ("train", "test")


@dataclasses.dataclass(frozen=True)
class Method:
  """One label of a section: per split, the rows of each seed that has any."""

  label: str
  rows: Mapping[str, Sequence[Sequence[Row]]]
  seeds: Mapping[str, Sequence[int]]

  def last(self, split: str) -> list[Row]:
    """The last row of each seed."""
    return [rows[-1] for rows in self.rows[split]]


def methods(section: reader.Section) -> list[Method]:
  """Collect the collapse rows of a section.

  Args:
    section: groups with the same training set.

  Returns:
    A method per group, in the order (and thus the colours) of the other
    figures; none at all when no run has such rows. The finished seeds count;
    a group of which no seed has finished is shown as far as it came.
  """
  held = []
  for group in section.groups:
    members = group.finished or group.unfinished
    label = group.label if group.finished else f"{group.label} (unfinished)"
    if not group.finished and not any(r.tests or r.collapse for r in members):
      continue
    rows, seeds = {}, {}
    for split in SPLITS:
      found = {
        run.seed: [row for row in run.collapse if row["split"] == split]
        for run in members
      }
      rows[split] = [own for own in found.values() if own]
      seeds[split] = [seed for seed, own in found.items() if own]
    held.append(Method(label, rows, seeds))
  return held if any(splits(held)) else []


def splits(held: Sequence[Method]) -> list[str]:
  """The splits that were measured for some method."""
  return [split for split in SPLITS if any(one.rows[split] for one in held)]


def classes_present(
  section: reader.Section, held: Sequence[Method], split: str
) -> int:
  """How many classes have images in a split."""
  return len(section.class_counts) - len(absent(held, split))


def absent(held: Sequence[Method], split: str) -> list[int]:
  """The classes without images in a split at the last measurement."""
  found = [row for one in held for row in one.last(split)]
  return sorted({c for row in found for c in row.get("absent_classes") or ()})


def figures(section: reader.Section) -> list[_shown.Shown]:
  """Those figures of collapse for which there are measurements.

  Args:
    section: groups with the same training set.

  Returns:
    Of collapse over epochs, geometry by class, cosines between classes.
  """
  held = methods(section)
  if not held:
    return []
  keys = collapse.CONVERGENCE
  rows = [
    row for one in held for s in SPLITS for own in one.rows[s] for row in own
  ]
  shown = []
  if any(key in row for row in rows for key in keys):
    shown.append(_convergence(section, held))
  geometry = {one.label: _geometry(one) for one in held}
  if any(geometry.values()):
    shown.append(_by_class(section, geometry))
  panels = list(_panels(held))
  if panels:
    shown.append(_cosines(section, panels))
  return shown


def _convergence(section, held) -> _shown.Shown:
  measured = splits(held)
  series = {
    split: {
      one.label: {
        key: pairs
        for key in collapse.CONVERGENCE
        if (pairs := _series.measured(one.rows[split], key))
      }
      for one in held
    }
    for split in measured
  }
  present = {split: classes_present(section, held, split) for split in measured}
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
    label
    for label in dict.fromkeys(one.label for one in held)
    if any(_has_gap(found[label]) for found in series.values())
  ]
  if gaps:
    caption += (
      f" Where a line is interrupted or missing ({', '.join(gaps)}), the"
      " number is undefined for a seed."
    )
  return _shown.Shown(
    "collapse",
    "Collapse over epochs",
    caption,
    lambda narrow: collapse.convergence(series, present, narrow=narrow),
  )


def _ideals(present: Mapping[str, int]) -> str:
  """-1/(K - 1), once if the splits have equally many classes."""
  said = {
    split: f"-1/{number - 1} = {-1 / (number - 1):.3g}"
    for split, number in present.items()
    if number > 1
  }
  if len(set(said.values())) > 1:
    return " and ".join(f"{text} ({split})" for split, text in said.items())
  return next(iter(said.values()), "undefined")


def _has_gap(found: Mapping[str, collapse.Pairs]) -> bool:
  return any(
    np.isnan(values).any() for pairs in found.values() for _, values in pairs
  )


def _geometry(one: Method) -> dict[str, np.ndarray]:
  """Per key `[seeds, K]`; the class means are those of training images."""
  training = one.last("train")
  held = {}
  for key in collapse.GEOMETRY:
    rows = training
    if key != "feature_nearest":  # a classifier is that of every split
      rows = training or one.last("test")
    found = [row[key] for row in rows if row.get(key) is not None]
    if found:
      held[key] = np.array(found, np.float64)
  if "classifier_norms" in held:
    largest = held["classifier_norms"].max(1, keepdims=True)
    held["classifier_norms"] /= np.where(largest > 0, largest, np.nan)
  return held


def _by_class(section, geometry) -> _shown.Shown:
  caption = (
    "At the last measurement, for each class from the largest to the"
    " smallest: the cosine of its classifier vector to the nearest one of"
    " another class, the same of its centred class mean on training images,"
    " and the length of its classifier vector relative to the longest. The"
    " dashed lines are -1/(K-1), where every pair lies at collapse, and 1,"
    " where two classes share a direction and cannot be told apart: minority"
    " collapse."
  )
  num_classes = len(section.class_counts)
  if num_classes > style.NAMED:
    caption += (
      " Each faint dot is the mean over seeds of one class; the lines average"
      f" {accuracy.smoothing_window(num_classes)} neighbouring classes, with"
      " bands of one standard deviation over seeds."
    )
  else:
    caption += (
      " Markers are means over seeds, vertical lines one standard deviation."
    )
  if any(
    np.isnan(values).any()
    for held in geometry.values()
    for values in held.values()
  ):
    caption += (
      " A cross at the lower edge: undefined for a seed (a vector of length"
      " zero, or no images)."
    )
  return _shown.Shown(
    "collapse_classes",
    "Geometry by class",
    caption,
    lambda narrow: collapse.by_class(
      geometry, section.class_counts, section.class_names, narrow=narrow
    ),
  )


def _panels(
  held: Sequence[Method],
) -> Iterable[tuple[str, np.ndarray, np.ndarray]]:
  for one in held:
    kinds = ("classifier_cosines", "feature_cosines")
    rows = [
      row for row in one.last("train") if all(row.get(kind) for kind in kinds)
    ]
    if rows:
      # A mean over seeds that is undefined for one of them is undefined.
      yield (
        one.label,
        *(
          np.mean([np.array(row[kind], np.float64) for row in rows], axis=0)
          for kind in kinds
        ),
      )


def _cosines(section, panels) -> _shown.Shown:
  caption = (
    "Cosines between the classifier vectors of all pairs of classes, and"
    " between their centred class means on training images, at the last step;"
    " means over seeds; rows and columns are the classes from the largest to"
    " the smallest. At collapse everything off the diagonal is -1/(K-1)."
  )
  if any(np.isnan(m).any() for _, *both in panels for m in both):
    caption += (
      " Grey cells: undefined for a seed (a vector of length zero, or no"
      " images)."
    )
  return _shown.Shown(
    "collapse_cosines",
    "Cosines between classes",
    caption,
    lambda narrow: collapse.cosines(
      panels, section.class_counts, section.class_names, narrow=narrow
    ),
  )
