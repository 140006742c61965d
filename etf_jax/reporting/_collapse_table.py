# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The tables of neural collapse: the last measurement of every method.

What a row holds as null is undefined and shown so; what it lacks was not
measured and is a dash. A number that is undefined for one seed has no mean.
"""

from collections.abc import Sequence

import numpy as np

from etf_jax.evaluation import shots
from etf_jax.reporting import _collapse, _page
from etf_jax.reporting.figures import collapse
from etf_jax.runs import reader

_SAMPLE = "sample_mean"
# Heading, format and factor of each measurement.
_COSINE = (".3f", 1)
_PLAIN = ("g", 1)
_PERCENT = (".1f", 100)
_KEYS = {
  "nc1": ("NC1", _PLAIN),
  "nc2_deviation": ("NC2, Frobenius deviation of the cosines", _PLAIN),
  "nc2_max": ("NC2, largest deviation of a cosine", _COSINE),
  "equinorm_cv": ("variation of the lengths of h", _COSINE),
  "cos_features_mean": ("cos(h, h′), mean", _COSINE),
  "cos_features_std": ("cos(h, h′), std", _COSINE),
  "cos_features_classifier_mean": ("cos(h, w′), mean", _COSINE),
  "cos_features_classifier_std": ("cos(h, w′), std", _COSINE),
  "nc3_alignment_mean": ("cos(h, w), mean", _COSINE),
  "nc3_alignment_std": ("cos(h, w), std", _COSINE),
  "nc3_distance": ("|W̃ − H̃|²", _PLAIN),
  "cdnv": ("CDNV", _PLAIN),
}
_FEATURES = {
  "nearest_mean_agreement": ("agreement with nearest mean, %", _PERCENT),
  "numerical_rank": ("numerical rank of a class", _PLAIN),
  "numerical_rank_centred": ("numerical rank, centred", _PLAIN),
  "cos_own_centre": ("cosine to own centre", _COSINE),
  "cos_other_centres": ("cosine to other centres", _COSINE),
  "in_cone": ("features in their cone, %", _PERCENT),
}
# Matrices, of which means within the groups of classes are shown.
_MATRICES = {
  "classifier_cosines": "cos(w, w′), mean",
  "feature_cosines": "cos(h, h′), mean",
}
_STYLES = {key: style for key, (_, style) in (_KEYS | _FEATURES).items()}
# So many absent classes have their names in a note.
_LISTED = 10
# The main table: a group's heading, then (heading, key, global mean).
_MAIN = (
  ("", (("NC1", "nc1", False),)),
  *(
    (
      heading,
      (
        ("mean", f"{stem}_mean", False),
        ("by sample", f"{stem}_mean", True),
        ("std", f"{stem}_std", False),
      ),
    )
    for heading, stem in (
      ("cos(h, h′)", "cos_features"),
      ("cos(h, w′)", "cos_features_classifier"),
    )
  ),
  (
    "",
    (
      ("cos(h, w)", "nc3_alignment_mean", False),
      ("|W̃ − H̃|²", "nc3_distance", False),
      ("CDNV", "cdnv", False),
      ("nearest, %", "nearest_mean_agreement", False),
      ("rank", "numerical_rank", False),
    ),
  ),
)


def values(
  rows: Sequence[_collapse.Row], key: str, sample: bool = False
) -> list[float | None]:
  """One number a seed, None where undefined; empty where not measured.

  Args:
    rows: one of each seed.
    key: of the measurement.
    sample: with the global mean over samples.

  Returns:
    As many numbers as rows, or none when a row lacks the key.
  """
  parts = [(row.get(_SAMPLE) or {}) if sample else row for row in rows]
  if not all(key in part for part in parts):
    return []
  return [part[key] for part in parts]


def within(
  rows: Sequence[_collapse.Row], key: str, members: np.ndarray
) -> list[float | None]:
  """The mean cosine over pairs of some classes.

  Args:
    rows: one of each seed.
    key: of a matrix of cosines.
    members: indices of the classes.

  Returns:
    As many numbers as rows, None where undefined; none when a row lacks the
    matrix or there are no two classes.
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
  found: Sequence[float | None], seeds: Sequence[int], style: tuple[str, float]
) -> tuple[str, str]:
  """What a cell says: the mean over seeds, and their deviation.

  Args:
    found: one number a seed, None where undefined; empty: not measured.
    seeds: as many.
    style: format and factor.

  Returns:
    Mean and sample standard deviation (ddof 1) as text, "-" for one seed;
    or why there is no mean, and "".
  """
  if not found:
    return "-", ""
  lost = [
    str(seed) for seed, value in zip(seeds, found, strict=True) if value is None
  ]
  if len(lost) == len(found):
    return "undefined", ""
  if lost:
    return f"undefined (seed {', '.join(lost)})", ""
  form, factor = style
  scaled = factor * np.asarray(found, np.float64)
  deviation = "-"
  if scaled.size > 1:
    deviation = _number(scaled.std(ddof=1), form, 2)
  return _number(scaled.mean(), form, 3), f"± {deviation}"


def main(section: reader.Section) -> str:
  """The table at the last measurement, a block a split, as HTML."""
  held = _collapse.methods(section)
  upper, lower = ["<th rowspan='2'>method</th>"], []
  for heading, columns in _MAIN:
    if heading:
      upper.append(f"<th colspan='{len(columns)}'>{_page.escape(heading)}</th>")
      lower += [_page.element("th", name) for name, _, _ in columns]
    else:
      upper += [
        _page.element("th", name, rowspan="2") for name, _, _ in columns
      ]
  # A row that another reaches into does not begin at the edge.
  lower[0] = _page.element("th", _MAIN[1][1][0][0], style="padding-left:8px")
  lines = [
    "<table class='results' style='font-size:13px'>"
    f"<thead><tr>{''.join(upper)}</tr>"
    f"<tr>{''.join(lower)}</tr></thead>"
  ]
  for split in _collapse.splits(held):
    lines += ["<tbody>", *_block(section, held, split), "</tbody>"]
  return "\n".join([*lines, "</table>"])


def everything(section: reader.Section) -> str:
  """All measurements as HTML: a row each, a column a split and method."""
  held = _collapse.methods(section)
  columns = [
    (split, one)
    for split in _collapse.splits(held)
    for one in held
    if one.rows[split]
  ]
  listed = [
    *((key, False, *shown) for key, shown in (_KEYS | _FEATURES).items()),
    *(
      (key, True, f"{heading} (by sample)", style)
      for key, (heading, style) in _KEYS.items()
    ),
  ]
  rows = []
  for key, sample, heading, style in listed:
    cells = [
      summary(values(one.last(split), key, sample), one.seeds[split], style)
      for split, one in columns
    ]
    rows.append([heading, *cells])
  groups = shots.of(section.class_counts)
  for index, name in enumerate(shots.NAMES):
    members = np.flatnonzero(groups == index)
    for key, heading in _MATRICES.items():
      cells = [
        summary(
          within(one.last(split), key, members), one.seeds[split], _COSINE
        )
        for split, one in columns
      ]
      rows.append([f"{heading} (among {name})", *cells])
  rows = [
    [heading, *(" ".join(cell).strip() for cell in cells)]
    for heading, *cells in rows
    if any(text != "-" for text, _ in cells)
  ]
  header = ["mean ± std over seeds"]
  header += [f"{split}, {one.label}" for split, one in columns]
  return _page.table(header, rows)


def notes(section: reader.Section) -> list[str]:
  """What a reader must know to read the tables rightly."""
  held = _collapse.methods(section)
  said = [
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
  for split in _collapse.splits(held):
    if lost := _collapse.absent(held, split):
      named = [section.class_names[c] for c in lost[:_LISTED]]
      more = len(lost) - len(named)
      named += [f"{more} more"] if more else []
      said.append(
        f"Without images in the {split} split, and so in none of its numbers:"
        f" {len(lost)} of {len(section.class_counts)} classes"
        f" ({', '.join(named)})."
      )
  return said


def _block(
  section: reader.Section, held: Sequence[_collapse.Method], split: str
) -> list[str]:
  """The lines of one split: what it is, the ideal, a line a method."""
  columns = [column for _, part in _MAIN for column in part]
  present = _collapse.classes_present(section, held, split)
  rows = [row for one in held for row in one.last(split)]
  images = sorted({row["images"] for row in rows if row.get("images")})
  said = f"{split}: {present:,} classes"
  if images:
    said += f", {' or '.join(f'{number:,}' for number in images)} images"
  # Said once where it is the same for all.
  when = {_when(one.last(split)) for one in held}
  if len(when) == 1:
    said += f", {when.pop()}"
  heading = _page.element(
    "th", said, scope="rowgroup", colspan=str(len(columns) + 1)
  )
  lines = [
    f"<tr>{heading}</tr>",
    "<tr class='best'><th scope='row'>at collapse</th>",
  ]
  for _, key, sample in columns:
    value = None if sample else collapse.ideal(key, present)
    _, factor = _STYLES[key]
    text = "" if value is None else f"{factor * value:.3g}"
    lines.append(_page.element("td", text))
  lines.append("</tr>")
  for one in held:
    own = _when(one.last(split)) if when else ""
    lines += _line(one, split, columns, own)
  return lines


def _line(
  one: _collapse.Method,
  split: str,
  columns: Sequence[tuple[str, str, bool]],
  when: str,
) -> list[str]:
  rows = one.last(split)
  # Long names may break after an underscore, which helps on a phone.
  label = _page.escape(one.label).replace("_", "_<wbr>")
  below = _below(f" {when}", "font-weight:normal") if when else ""
  lines = [f"<tr><th scope='row'>{label}{below}</th>"]
  for _, key, sample in columns:
    found = values(rows, key, sample)
    lines.append(_cell(*summary(found, one.seeds[split], _STYLES[key])))
  return [*lines, "</tr>"]


def _when(rows: Sequence[_collapse.Row]) -> str:
  if not rows:
    return "not measured"
  epochs = sorted(row["epoch"] for row in rows)
  ends = dict.fromkeys(f"{epoch:.4g}" for epoch in (epochs[0], epochs[-1]))
  seeds = f"{len(rows)} seed{'s' if len(rows) > 1 else ''}"
  return f"epoch {'-'.join(ends)}, {seeds}"


def _below(text: str, style: str = "") -> str:
  """A second, quiet line in a cell: many columns have to fit."""
  return _page.element(
    "span", text, **{"class": "sd"}, style=f"display:block;{style}"
  )


def _cell(mean: str, deviation: str) -> str:
  if not deviation:
    return _page.element("td", mean, **{"class": "none"})
  return f"<td>{_page.escape(mean)}{_below(f' {deviation}')}</td>"


def _number(value: float, form: str, digits: int) -> str:
  if form != "g":
    return format(value, form)
  if value and abs(value) < 1e-3:
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa}e{int(exponent)}"
  return format(value, ",.0f" if 1e3 <= abs(value) < 1e6 else f".{digits}g")
