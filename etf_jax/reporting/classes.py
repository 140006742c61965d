# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The tables of a report that have a row for each class."""

from collections.abc import Iterator

import numpy as np

from etf_jax.evaluation import by_class, shots
from etf_jax.reporting import page, tables
from etf_jax.runs import reader

# Up to this many classes the tables are open.
_OPEN = 30


def scores(section: reader.Section) -> Iterator[page.Block]:
  """Yield the test scores by class of each method that has finished runs."""
  groups = [group for group in section.groups if _confusions(group)]
  if not groups:
    return
  yield page.Heading("By class")
  for place, group in enumerate(groups):
    is_open = place == 0 and len(section.class_counts) <= _OPEN
    yield page.Details(
      f"{group.label}: precision, recall and F1",
      [_scores(section, group)],
      is_open,
    )
  yield page.Notes(
    [
      "Percent on the test images at the last epoch, means over seeds. Recall"
      " is the accuracy of a class. 95 %: Wilson's interval of the recall from"
      " the number of test images of the class; another seed is not in it."
    ]
  )


def recalls(section: reader.Section) -> page.Table:
  """Create the table of training images and test accuracy of all methods."""
  counts = np.asarray(section.class_counts)
  groups = shots.of(counts)
  finished = [group for group in section.groups if group.finished]
  fractions = [
    [run.result["last"]["per_class_accuracy"] for run in group.finished]
    for group in finished
  ]
  return page.table(
    [
      "class",
      "training images",
      "group",
      *(f"{group.label}, %" for group in finished),
    ],
    [
      [
        section.class_names[c],
        f"{counts[c]:,}",
        shots.NAMES[groups[c]],
        *(str(tables.stat([seed[c] for seed in seeds])) for seeds in fractions),
      ]
      for c in np.argsort(-counts, kind="stable")
    ],
    is_tall=True,
  )


def separated(one: reader.Group, other: reader.Group, key: str) -> bool:
  """Return True if a metric of two methods can be ranked.

  Means over several seeds can, by their deviations. Of single seeds the 95 %
  intervals from the number of test images must lie apart; a metric without
  such intervals is not ranked.
  """
  groups = (one, other)
  if all(len(group.finished) > 1 for group in groups):
    return True
  first, second = (interval(group, key) for group in groups)
  if first is None or second is None:
    return False
  (low, high), (least, most) = first, second
  return high < least or most < low


def interval(group: reader.Group, key: str) -> list[float] | None:
  """Return the 95 % interval of a metric of the first seed, or None."""
  run = group.finished[0]
  confusion = run.result.get("confusion")
  if confusion is None:
    return None
  confusion = np.asarray(confusion)
  ends = by_class.intervals(
    confusion.diagonal(), confusion.sum(axis=1), run.class_counts
  )
  return ends.get(key)


def _confusions(group: reader.Group) -> list[np.ndarray]:
  found = [run.result.get("confusion") for run in group.finished]
  return [np.asarray(matrix) for matrix in found if matrix is not None]


def _scores(section: reader.Section, group: reader.Group) -> page.Table:
  matrices = _confusions(group)
  seeds = [by_class.scores(matrix) for matrix in matrices]
  support = np.rint(np.mean([seed.support for seed in seeds], axis=0))
  right = np.mean([matrix.diagonal() for matrix in matrices], axis=0)
  ends = by_class.wilson(right, support).T
  counts = np.asarray(section.class_counts)

  def mean(values: list[float]) -> str:
    return str(tables.stat([None if v != v else v for v in values]))

  return page.table(
    [
      *("class", "training images", "test images"),
      *("precision", "recall", "95 %", "F1"),
    ],
    [
      [
        section.class_names[c],
        f"{counts[c]:,}",
        f"{support[c]:,.0f}",
        mean([float(seed.precision[c]) for seed in seeds]),
        mean([float(seed.recall[c]) for seed in seeds]),
        tables.interval(None if not support[c] else ends[c].tolist()),
        mean([float(seed.f1[c]) for seed in seeds]),
      ]
      for c in np.argsort(-counts, kind="stable")
    ],
    is_tall=True,
  )
