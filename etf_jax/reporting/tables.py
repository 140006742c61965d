# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Numbers as text, and tables of text for a terminal and for Markdown.

lines = [["method", "accuracy"], ["ce", str(stat([0.80, 0.82, 0.87]))]]
print(aligned(lines))
print(markdown(lines))

`page.table` makes the same an HTML table.
"""

from collections.abc import Sequence
import dataclasses
import re

import numpy as np


@dataclasses.dataclass(frozen=True)
class Stat:
  """Mean and sample standard deviation, in percent; None where undefined."""

  mean: float | None
  deviation: float | None

  @property
  def note(self) -> str:
    """The deviation with its sign, as it stands after the mean."""
    if self.mean is None:
      return ""
    return f"± {'-' if self.deviation is None else f'{self.deviation:.1f}'}"

  def __str__(self) -> str:
    return "-" if self.mean is None else f"{self.mean:.1f} {self.note}"


def stat(values: Sequence[float | None]) -> Stat:
  """Average fractions in [0, 1] over seeds; None is a seed without one.

  The mean is None unless every seed has a number, the deviation (ddof 1) is
  None for one seed.
  """
  known = [value for value in values if value is not None]
  if not known or len(known) < len(values):
    return Stat(None, None)
  percentages = 100 * np.asarray(known, np.float64)
  deviation = float(percentages.std(ddof=1)) if len(known) > 1 else None
  return Stat(float(percentages.mean()), deviation)


def percent(value: float | None) -> str:
  """Format a fraction in percent with one decimal; None is a dash."""
  return "-" if value is None else f"{100 * value:.1f}"


def interval(ends: Sequence[float | None] | None) -> str:
  """Format two fractions in percent, as 41.0-55.2; none are a dash."""
  if ends is None or None in ends:
    return "-"
  return "-".join(map(percent, ends))


def significant(value: float, digits: int = 3) -> str:
  """Format a number of any size, such as 1.2e-5, 0.0123, 4.57 and 12,345."""
  if value and abs(value) < 1e-3:
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa}e{int(exponent)}"
  return format(value, ",.0f" if 1e3 <= abs(value) < 1e6 else f".{digits}g")


def duration(seconds: float) -> str:
  """Format seconds as hours and minutes, minutes and seconds, or seconds."""
  minutes, second = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  if hours:
    return f"{hours} h {minutes} min"
  return f"{minutes} min {second} s" if minutes else f"{second} s"


def aligned(lines: Sequence[Sequence[str]], *, rule: bool = False) -> str:
  """Align cells in columns two spaces apart, the header first.

  A rule is a line of dashes below the header, as wide as the table.
  """
  widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
  header, *body = [
    "  ".join(
      cell.ljust(width) for cell, width in zip(line, widths, strict=True)
    ).rstrip()
    for line in lines
  ]
  dashes = ["-" * (sum(widths) + 2 * (len(widths) - 1))] if rule else []
  return "\n".join([header, *dashes, *body])


def markdown(lines: Sequence[Sequence[str]]) -> str:
  """Format a Markdown table.

  Args:
    lines: as many cells each, the header first.
  """
  header, *body = map(markdown_row, lines)
  return "\n".join([header, "|" + "---|" * len(lines[0]), *body])


def markdown_row(cells: Sequence[str]) -> str:
  """Format a row of a Markdown table, see `markdown_text`."""
  return "| " + " | ".join(map(markdown_text, cells)) + " |"


def markdown_text(text: str) -> str:
  """Escape what would be markup, a link, or the end of a line in Markdown."""
  text = " ".join(text.split())
  text = re.sub(r"([\\`\[\]<>|]|&(?=\S))", r"\\\1", text)
  return re.sub(r"(?<=:)//", r"\/\/", text).replace("www.", r"www\.")
