# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The tables of neural collapse: the last measurement of every method.

What a row holds as null is undefined and shown so; what it lacks was not
measured and is a dash. A number that is undefined for one seed has no mean.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from etf_jax.evaluation import shots
from etf_jax.reporting import collapse, tables
from etf_jax.reporting.figures.collapse import ideal
from etf_jax.reporting.page import Cell, Row, Table, table
from etf_jax.runs import reader


class Measurement(NamedTuple):
  """A measurement's heading and the format of its values.

  `form` None is three significant digits; `factor` is 100 for percent.
  """

  heading: str
  form: str | None = None
  factor: float = 1


_COSINE = Measurement("", ".3f")
_KEYS = {
  "nc1": Measurement("NC1"),
  "nc2_deviation": Measurement("NC2, Frobenius deviation of the cosines"),
  "nc2_max": Measurement("NC2, largest deviation of a cosine", ".3f"),
  "equinorm_cv": Measurement("variation of the lengths of h", ".3f"),
  "cos_features_mean": Measurement("cos(h, h′), mean", ".3f"),
  "cos_features_std": Measurement("cos(h, h′), std", ".3f"),
  "cos_features_classifier_mean": Measurement("cos(h, w′), mean", ".3f"),
  "cos_features_classifier_std": Measurement("cos(h, w′), std", ".3f"),
  "nc3_alignment_mean": Measurement("cos(h, w), mean", ".3f"),
  "nc3_alignment_std": Measurement("cos(h, w), std", ".3f"),
  "nc3_distance": Measurement("|W̃ − H̃|²"),
  "cdnv": Measurement("CDNV"),
}
_FEATURES = {
  "nearest_mean_agreement": Measurement(
    "agreement with nearest mean, %", ".1f", 100
  ),
  "numerical_rank": Measurement("numerical rank of a class"),
  "numerical_rank_centred": Measurement("numerical rank, centered"),
  "cos_own_centre": Measurement("cosine to own center", ".3f"),
  "cos_other_centres": Measurement("cosine to other centers", ".3f"),
  "in_cone": Measurement("features in their cone, %", ".1f", 100),
}
_ALL = _KEYS | _FEATURES
# Matrices, of which means within the groups of classes are shown.
_MATRICES = {
  "classifier_cosines": "cos(w, w′), mean",
  "feature_cosines": "cos(h, h′), mean",
}
# So many absent classes have their names in a note.
_LISTED = 10


class Column(NamedTuple):
  """A column of the main table; by_sample: with the mean over images."""

  group: str
  heading: str
  key: str
  by_sample: bool = False


_COLUMNS = (
  Column("", "NC1", "nc1"),
  *(
    column
    for group, stem in (
      ("cos(h, h′)", "cos_features"),
      ("cos(h, w′)", "cos_features_classifier"),
    )
    for column in (
      Column(group, "mean", f"{stem}_mean"),
      Column(group, "by sample", f"{stem}_mean", by_sample=True),
      Column(group, "std", f"{stem}_std"),
    )
  ),
  Column("", "cos(h, w)", "nc3_alignment_mean"),
  Column("", "|W̃ − H̃|²", "nc3_distance"),
  Column("", "CDNV", "cdnv"),
  Column("", "nearest, %", "nearest_mean_agreement"),
  Column("", "rank", "numerical_rank"),
)


def values(
  rows: Sequence[collapse.Row], key: str, by_sample: bool = False
) -> list[float | None]:
  """Return a number for each seed, None where undefined.

  With `by_sample` they are around the mean over images. The list is empty where
  a row lacks the key.
  """
  parts = [(row.get("sample_mean") or {}) if by_sample else row for row in rows]
  if not all(key in part for part in parts):
    return []
  return [part[key] for part in parts]


def within(
  rows: Sequence[collapse.Row], key: str, members: np.ndarray
) -> list[float | None]:
  """Return the mean cosine over the pairs of some classes, for each seed.

  None where undefined. The list is empty where a row lacks the matrix or there
  are fewer than two classes.
  """
  if len(members) < 2 or not all(row.get(key) for row in rows):
    return []
  pairs = ~np.eye(len(members), dtype=bool)
  means = [
    np.array(row[key], np.float64)[np.ix_(members, members)][pairs].mean()
    for row in rows
  ]
  return [None if np.isnan(mean) else float(mean) for mean in means]


def summary(
  numbers: Sequence[float | None], seeds: Sequence[int], style: Measurement
) -> Cell:
  """Create a cell with the mean over seeds, or why there is none.

  Args:
    numbers: one for each seed, None where undefined; empty: not measured.
    seeds: as many.
    style: format and factor.
  """
  if not numbers:
    return Cell("-", style="none")
  known = [number for number in numbers if number is not None]
  if not known:
    return Cell("undefined", style="none")
  if len(known) < len(numbers):
    undefined = [
      str(seed)
      for seed, number in zip(seeds, numbers, strict=True)
      if number is None
    ]
    return Cell(f"undefined (seed {', '.join(undefined)})", style="none")
  scaled = style.factor * np.asarray(known, np.float64)
  deviation = "-"
  if scaled.size > 1:
    deviation = _number(scaled.std(ddof=1), style.form, 2)
  return Cell(_number(scaled.mean(), style.form, 3), note=f"± {deviation}")


def main(section: reader.Section) -> Table:
  """Create the table of the last measurement, a group of rows a split."""
  measured = collapse.methods(section)
  upper, lower = [Cell("method", rowspan=2)], []
  for index, column in enumerate(_COLUMNS):
    if not column.group:
      upper.append(Cell(column.heading, rowspan=2))
      continue
    lower.append(column.heading)
    if column.group != _COLUMNS[index - 1].group:
      span = sum(other.group == column.group for other in _COLUMNS)
      upper.append(Cell(column.group, colspan=span))
  groups = [_rows(section, measured, s) for s in collapse.splits(measured)]
  return Table([upper, lower], groups, style="results stacked")


def everything(section: reader.Section) -> Table:
  """Create the table of all measurements, a column a split and method."""
  columns = [
    (split, method)
    for split in collapse.splits(collapse.methods(section))
    for method in collapse.methods(section)
    if method.rows[split]
  ]
  groups = shots.of(section.class_counts)
  rows = [
    (
      style.heading + (" (by sample)" if by_sample else ""),
      [
        summary(
          values(method.last(split), key, by_sample),
          method.seeds[split],
          style,
        )
        for split, method in columns
      ],
    )
    for keys, by_sample in ((_ALL, False), (_KEYS, True))
    for key, style in keys.items()
  ] + [
    (
      f"{heading} (among {name})",
      [
        summary(
          within(method.last(split), key, np.flatnonzero(groups == index)),
          method.seeds[split],
          _COSINE,
        )
        for split, method in columns
      ],
    )
    for index, name in enumerate(shots.NAMES)
    for key, heading in _MATRICES.items()
  ]
  header = ["mean ± std over seeds"]
  header += [f"{split}, {method.label}" for split, method in columns]
  return table(
    header,
    [
      [heading, *cells]
      for heading, cells in rows
      if any(cell.text != "-" for cell in cells)
    ],
    is_tall=True,
  )


def notes(section: reader.Section) -> list[str]:
  """List what a reader must know to read the tables rightly."""
  measured = collapse.methods(section)
  lines = [
    "At the last measurement: mean ± sample standard deviation (ddof 1) over"
    " the finished seeds; '-' for one seed, or where nothing was measured;"
    " 'undefined' where a cosine is with a vector of length zero or a number"
    " has no meaning for some other reason.",
    "The global mean is the mean of the class means, but for the columns 'by"
    " sample': there it is the mean over images. With unequal classes the"
    " two differ, and only the first gives -1/(K-1) for collapsed features.",
    "h: mean feature of a class less the global mean; w: its classifier"
    " vector; h′, w′: those of another class; mean and std are over pairs of"
    " different classes. NC1: Tr(S_W S_B⁺)/K, S_W averaged over images and"
    " S_B over classes. CDNV: (v + v′) / (2 |h − h′|²), the mean over pairs,"
    " with v the variance of a class. Nearest: on how many images the"
    " classifier and the nearest class mean agree. Rank: |H|*² / |H|² (squared"
    " nuclear over squared Frobenius norm) of the features of a class, the mean"
    " over classes.",
  ]
  for split in collapse.splits(measured):
    if classes := collapse.absent(measured, split):
      names = [section.class_names[c] for c in classes[:_LISTED]]
      more = len(classes) - len(names)
      names += [f"{more} more"] if more else []
      lines.append(
        f"Without images in the {split} split, and so in none of its numbers:"
        f" {len(classes)} of {len(section.class_counts)} classes"
        f" ({', '.join(names)})."
      )
  return lines


def _rows(
  section: reader.Section, measured: Sequence[collapse.Method], split: str
) -> list[Row]:
  """Create the rows of a split: its title, the ideal, one for each method."""
  present = collapse.classes_present(section, measured, split)
  rows = [row for method in measured for row in method.last(split)]
  images = sorted({row["images"] for row in rows if row.get("images")})
  title = f"{split}: {present:,} classes"
  if images:
    title += f", {' or '.join(f'{number:,}' for number in images)} images"
  # The epoch stands in the title where it is the same for all.
  epochs = {_epoch(method.last(split)) for method in measured}
  if len(epochs) == 1:
    title += f", {epochs.pop()}"
  ideals = []
  for column in _COLUMNS:
    value = None if column.by_sample else ideal(column.key, present)
    scaled = value and value * _ALL[column.key].factor
    ideals.append("" if scaled is None else f"{scaled:.3g}")
  return [
    Row([Cell(title, colspan=len(_COLUMNS) + 1)]),
    Row(["at collapse", *ideals], style="best"),
    *(
      Row(
        [
          Cell(method.label, note=_epoch(method.last(split)) if epochs else ""),
          *(
            summary(
              values(method.last(split), column.key, column.by_sample),
              method.seeds[split],
              _ALL[column.key],
            )
            for column in _COLUMNS
          ),
        ]
      )
      for method in measured
    ),
  ]


def _epoch(rows: Sequence[collapse.Row]) -> str:
  if not rows:
    return "not measured"
  epochs = sorted(row["epoch"] for row in rows)
  ends = dict.fromkeys(f"{epoch:.4g}" for epoch in (epochs[0], epochs[-1]))
  seeds = f"{len(rows)} seed{'s' if len(rows) > 1 else ''}"
  return f"epoch {'-'.join(ends)}, {seeds}"


def _number(value: float, form: str | None, digits: int) -> str:
  return (
    tables.significant(value, digits) if form is None else f"{value:{form}}"
  )
