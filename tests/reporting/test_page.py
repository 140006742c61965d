# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The page is one escaped file, whatever its blocks hold."""

from matplotlib.figure import Figure
import pytest

from etf_jax.errors import InputError
from etf_jax.reporting import page
from etf_jax.reporting.figures import style

EVIL = "<b>&\"'"
ESCAPED = "&lt;b&gt;&amp;&#34;&#39;"


@style.styled
def draw():
  figure = Figure((style.WIDTH, 2), layout="constrained")
  figure.subplots().plot([0, 1], [1, 0], **style.series_style(0))
  return figure


def text_of(tmp_path, blocks, **options):
  path, *_ = page.write(tmp_path / "p.html", EVIL, blocks, **options)
  return path.read_text()


def test_every_text_of_every_block_is_escaped(tmp_path):
  text = text_of(
    tmp_path,
    [
      page.Heading(EVIL),
      page.Paragraph(EVIL),
      page.Notes([EVIL]),
      page.Preformatted(EVIL),
      page.table([EVIL], [[EVIL]]),
      page.table(
        [page.Cell(EVIL, note=EVIL, strong=True)],
        [[page.Cell(EVIL), page.Cell(EVIL, note=EVIL)]],
      ),
      page.Details(EVIL, [page.Heading(EVIL)]),
      page.Figures([page.ReportFigure("f", EVIL, EVIL, draw)]),
    ],
    eyebrow=EVIL,
    lead=EVIL,
    facts=[(EVIL, EVIL)],
  )
  assert EVIL not in text
  # Title twice; eyebrow, lead and facts; the blocks; the figure three times.
  assert text.count(ESCAPED) == 2 + 4 + 4 + 2 + 5 + 2 + 3


def test_a_long_name_may_break_after_an_underscore(tmp_path):
  table = page.table(["method"], [["etf_dr"], [page.Cell("a_b")]])
  text = text_of(tmp_path, [table])
  assert '<th scope="row">etf_<wbr>dr</th>' in text
  assert "<th>a_<wbr>b</th>" in text


def test_cells_span_rows_and_columns(tmp_path):
  header = [[page.Cell("a", rowspan=2), page.Cell("b", colspan=2)], ["c", "d"]]
  rows = [[page.Row(["x", page.Cell("1", note="± 2", style="none")], "last")]]
  text = text_of(tmp_path, [page.Table(header, rows, "results")])
  assert '<th rowspan="2">a</th><th colspan="2">b</th>' in text
  assert '<td class="none">1<span class="sd"> ± 2</span></td>' in text
  assert '<tr class="last">' in text


def test_a_figure_is_drawn_once_and_kept_as_png(tmp_path):
  drawn = []

  def counted():
    drawn.append(1)
    return draw()

  figure = page.ReportFigure("curve", "Curve", "A caption.", counted)
  html, png = page.write(
    tmp_path / "p.html",
    "Title",
    [page.Figures([figure])],
    figures_folder=tmp_path / "figures",
  )
  assert drawn == [1]
  assert html.read_text().count("<svg") == 1
  assert png == tmp_path / "figures" / "curve.png"
  assert png.read_bytes()[:4] == b"\x89PNG"


def test_both_themes_define_every_color(tmp_path):
  text = text_of(tmp_path, [])
  for name, (light, dark) in style.themes().items():
    assert f"--{name}: {light}; " in text
    assert f"--{name}: {dark}; " in text


def test_a_page_that_cannot_be_written_is_an_input_error(tmp_path):
  (tmp_path / "file").write_text("")
  with pytest.raises(InputError, match="cannot write"):
    page.write(tmp_path / "file" / "p.html", "Title", [])
