# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The theory page: figures with captions, in one self-contained file.

In use::

    shown = [TheoryFigure("cosines", finding, title, caption, error, draw)]
    write(shown, "theory_lab", title="Theory", lead="What it shows.")
"""

from collections.abc import Callable, Sequence
import os
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from etf_jax.errors import InputError
from etf_jax.reporting import _page
from etf_jax.reporting.figures import style


class Table(NamedTuple):
  """Rows of plain text to stand under a figure; `summary` names them."""

  summary: str
  header: Sequence[str]
  rows: Sequence[Sequence[str]]


class TheoryFigure(NamedTuple):
  """One figure of the page.

  Attributes:
    name: of the PNG file, without its ending.
    finding: what it shows, as a heading.
    title: what is drawn, a few words.
    caption: what is shown, with all parameters.
    error: how far solutions are from theory, in a sentence, or nothing.
    draw: called with ``narrow=True`` or ``False``.
    table: numbers to stand under the figure.
  """

  name: str
  finding: str
  title: str
  caption: str
  error: str
  draw: Callable[..., Figure]
  table: Table | None = None


def write(
  figures: Sequence[TheoryFigure],
  folder: str | os.PathLike,
  *,
  title: str,
  lead: str,
  facts: Sequence[tuple[str, str]] = (),
) -> list[Path]:
  """Write each figure as PNG, and all of them as ``index.html``.

  Args:
    figures: in the order of the page.
    folder: where to; it is made, and files that exist are replaced.
    title: of the page.
    lead: a sentence or two under the title.
    facts: (name, value) pairs under these.

  Returns:
    The files written, the page last.

  Raises:
    InputError: the folder cannot be written.
  """
  folder = Path(folder)
  try:
    return list(_write(figures, folder, title, lead, facts))
  except OSError as error:
    raise InputError(
      f"cannot write the figures to {folder}: {error.strerror or error}; give "
      "another folder with --out"
    ) from error


def _write(figures, folder, title, lead, facts):
  body = ["<header><p class='eyebrow'>etf_jax theory</p>"]
  body += [
    _page.element("h1", title),
    _page.element("p", lead, **{"class": "lead"}),
    _page.cards(facts) if facts else "",
    "</header>",
  ]
  for shown in figures:
    wide = shown.draw(narrow=False)
    path = folder / f"{shown.name}.png"
    style.png(wide, path)
    yield path
    body += [
      f"<section id='{shown.name}'>",
      _page.element("h2", shown.finding),
      _page.figure(
        style.svg(wide, f"w-{shown.name}"),
        style.svg(shown.draw(narrow=True), f"n-{shown.name}"),
        shown.title,
        f"{shown.caption} {shown.error}".rstrip(),
      ),
    ]
    if shown.table:
      table = _page.table(shown.table.header, shown.table.rows)
      body.append(
        _page.details(
          shown.table.summary,
          _page.panel(table, "tall"),
          is_open=len(shown.table.rows) <= 12,
        )
      )
    body.append("</section>")
  page = folder / "index.html"
  page.write_text(_page.document(title, body), encoding="utf-8")
  yield page
