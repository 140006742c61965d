# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""One self-contained HTML page of headings, tables and figures.

page.write(
  "report.html",
  "Two methods",
  [
    page.Heading("Results"),
    page.table(["method", "accuracy, %"], [["ce", "83.0"]]),
    page.Figures([page.ReportFigure("curves", "Training", caption, draw)]),
  ],
)

The page names no other file or address. Every text is escaped by the template,
page.html.j2. Each figure is drawn once, `style.WIDTH` wide: it fits a phone,
and stands beside its caption on a desktop.
"""

from collections.abc import Callable, Iterable, Sequence
import functools
import os
from pathlib import Path
from typing import NamedTuple

import jinja2
import markupsafe
from matplotlib.figure import Figure

from etf_jax.errors import InputError
from etf_jax.reporting.figures import style
from etf_jax.runs import files


class ReportFigure(NamedTuple):
  """A figure with a title of a few words and a caption.

  `name` is the file name without suffix, and the prefix of the SVG's ids;
  `draw` returns a figure `style.WIDTH` inches wide.
  """

  name: str
  title: str
  caption: str
  draw: Callable[[], Figure]


class Heading(NamedTuple):
  """A heading of level 2, 3, ..."""

  text: str
  level: int = 3


class Paragraph(NamedTuple):
  """A paragraph; `style` is a class of the template's CSS."""

  text: str
  style: str = ""


class Notes(NamedTuple):
  """A list of sentences in small print."""

  items: Sequence[str]


class Preformatted(NamedTuple):
  """Text in a fixed-width font, as it stands."""

  text: str


class Details(NamedTuple):
  """Blocks folded away under a summary."""

  summary: str
  blocks: Sequence["Block"]
  is_open: bool = False


class Cell(NamedTuple):
  """A cell of a table with more than text.

  `note` is small print after the text, `style` a class of the template's CSS.
  """

  text: str
  note: str = ""
  style: str = ""
  strong: bool = False
  header: bool = False
  colspan: int = 1
  rowspan: int = 1


class Row(NamedTuple):
  """A row of a table; the first cell names it."""

  cells: Sequence[str | Cell]
  style: str = ""


class Table(NamedTuple):
  """A table in a box that scrolls sideways where it is wide.

  `header` are rows of cells, `groups` lists of rows, one for each `<tbody>`;
  `style` names classes of the template's CSS; a tall box scrolls downward too.
  """

  header: Sequence[Sequence[str | Cell]]
  groups: Sequence[Sequence[Row]]
  style: str = ""
  is_tall: bool = False


class Figures(NamedTuple):
  """Figures below each other."""

  figures: Sequence[ReportFigure]


class Picture(NamedTuple):
  """A picture: a data URI or "", a title that stands for it, a caption."""

  source: str
  title: str
  caption: str


class Gallery(NamedTuple):
  """Pictures side by side."""

  pictures: Sequence[Picture]


_Panel = Details | Table | Figures | Gallery
Block = Heading | Paragraph | Notes | Preformatted | _Panel


def table(
  header: Sequence[str],
  rows: Iterable[Sequence[str | Cell]],
  style: str = "",
  is_tall: bool = False,
) -> Table:
  """Create a table with one header row and one group of rows."""
  return Table([header], [[Row(cells) for cells in rows]], style, is_tall)


def write(
  path: str | os.PathLike,
  title: str,
  blocks: Sequence[Block],
  *,
  eyebrow: str = "etf_jax",
  lead: str = "",
  facts: Sequence[tuple[str, str]] = (),
  figures_folder: str | os.PathLike | None = None,
) -> list[Path]:
  """Write a page, and its figures as PNG files; return their paths.

  Args:
    path: HTML file; one that exists is replaced.
    title: plain text.
    blocks: in their order.
    eyebrow: a line above the title.
    lead: a sentence or two under it.
    facts: (name, value) pairs under the lead.
    figures_folder: where the PNG files go; None writes none.

  Raises:
    InputError: a file cannot be written.
  """
  written = [Path(path)]

  def svg(figure: ReportFigure) -> markupsafe.Markup:
    drawn = figure.draw()
    if figures_folder is not None:
      written.append(Path(figures_folder) / f"{figure.name}.png")
      try:
        style.png(drawn, written[-1])
      except OSError as error:
        raise InputError(
          f"cannot write {written[-1]}: {error.strerror or error}; name"
          " another file or folder"
        ) from error
    return markupsafe.Markup(style.svg(drawn, figure.name))

  text = _template().render(
    title=title,
    blocks=blocks,
    eyebrow=eyebrow,
    lead=lead,
    facts=facts,
    colors=style.themes(),
    svg=svg,
  )
  files.write(written[0], text)
  return written


@functools.cache
def _template() -> jinja2.Template:
  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
  )
  environment.filters["breakable"] = _breakable
  environment.filters["kind"] = lambda block: type(block).__name__
  return environment.get_template("page.html.j2")


def _breakable(text: object) -> markupsafe.Markup:
  """Let a long name break after an underscore, as a phone needs it."""
  return markupsafe.escape(text).replace("_", markupsafe.Markup("_<wbr>"))
