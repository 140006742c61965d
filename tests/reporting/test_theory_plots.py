# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The theory figures show the numbers they are given, and so does the page."""

import re

from matplotlib import quiver
from matplotlib.backends.backend_agg import FigureCanvasAgg
import numpy as np
import pytest

from etf_jax.errors import InputError
from etf_jax.reporting import theory_page, theory_plots
from etf_jax.reporting._theory_classes import collapse_starts

NAN = np.nan
TURN = np.radians([210, 330, 90])
PLANE = np.stack([np.cos(TURN), np.sin(TURN)])
CORNERS = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / 3**0.5


def phase_diagram(narrow=False):
  return theory_plots.phase_diagram(
    np.array([0.001, 0.002, 0.004, 0.008]),
    np.array([200.0, 2000.0]),
    np.array([[0, 0, 1, 3], [0, 1, 2, 3]]),
    np.array([200.0, 2000.0]),
    {"merges": np.array([0.003, 0.0015]), "vanishes": np.array([0.005, 0.003])},
    {"apart": np.linspace(4, 0, 80)},
    1000.0,
    np.geomspace(0.001, 0.008, 80),
    narrow=narrow,
  )


def cosines(narrow=False, end=NAN):
  ratios = np.array([1.0, 10, 100, 1000])
  learned = {
    "minority with minority": np.array([-0.1, 0.2, 1, end]),
    "majority with majority": np.array([-0.1, -0.15, -0.2, -0.25]),
  }
  split = {"7 + 3": (ratios, np.array([-0.1, 1, end, end]), 8.0)}
  return theory_plots.cosines(
    ratios, learned, -0.125, np.ones(4), 60.0, split, narrow=narrow
  )


def regularity(narrow=False):
  angles = np.array([0.1, 0.5, 1.0, 1.5, 2.5])
  values = (1 + np.cos(angles)) / 2
  return theory_plots.regularity(
    angles,
    values,
    values,
    {"fixed step 0.1": values + 0.1},
    angles[:4],
    narrow=narrow,
  )


def large_sample(narrow=False):
  samples = np.geomspace(10, 1e8, 8)
  series = {
    name: np.linspace(top, -0.1, 8) for name, top in (("one", 0.3), ("two", 0))
  }
  solved = np.stack([values[:3] for values in series.values()])
  return theory_plots.large_sample(
    samples,
    series,
    -0.125,
    series,
    {"two": 0.07},
    samples[:3],
    (solved, solved + 0.01),
    narrow=narrow,
  )


def pull_push(narrow=False):
  feature = np.array([-0.98, -0.17])
  terms = np.array([[0.8, 0.4], [0.001, 0.002], [0.0, 0.9]])
  positions = np.array([[0.0, 0.0], [0.5, 0.0]])
  up = np.array([[0.0, 1.0], [0.0, 2.0]])
  slanted = np.array([[1.0, 1.0], [0.0, 0.0]])
  return theory_plots.pull_push(
    PLANE,
    feature,
    2,
    terms,
    np.array([0, 1.2]),
    positions,
    [slanted, up],
    narrow=narrow,
  )


def simplex(narrow=False):
  start = np.array([[0.0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 0, -1]])
  paths = np.stack([start, CORNERS], axis=1)
  return theory_plots.simplex(CORNERS.T, paths, range(4), narrow=narrow)


def cones(narrow=False):
  labels = np.array([0, 1, 2, 2])
  return theory_plots.cones(
    PLANE, PLANE.T[labels], 0.5 * PLANE.T[labels], labels, 0.5, narrow=narrow
  )


# Counts out of order; class 1 has no vector in the last column.
COUNTS = np.array([50.0, 5, 500])
LAMBDA_Z = np.array([0.001, 0.002, 0.004])
COSINE = np.array([[0.1, 0.995, 0.3], [0.2, 0.995, NAN], [-0.3, -0.2, 0.3]])
NORM = np.array([[0.5, 0.4, 0.3], [0.2, 0.1, 0], [1, 1, 1]])
COLLAPSED = np.array([[0, 1, 0], [0, 1, 1], [0, 0, 0]], bool)


def class_map(narrow=False, repeat=1):
  return theory_plots.class_map(
    LAMBDA_Z,
    np.repeat(COUNTS, repeat),
    np.repeat(COSINE, repeat, axis=0),
    np.repeat(COLLAPSED, repeat, axis=0),
    narrow=narrow,
  )


def class_profile(narrow=False, repeat=1):
  return theory_plots.class_profile(
    np.repeat(COUNTS, repeat),
    np.repeat(COSINE[:, 2], repeat),
    np.repeat(NORM[:, 2], repeat),
    np.repeat(COLLAPSED[:, 2], repeat),
    narrow=narrow,
  )


DRAWN = [phase_diagram, cosines, regularity, large_sample, pull_push, simplex]
DRAWN += [cones, class_map, class_profile]


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("draw", DRAWN, ids=lambda draw: draw.__name__)
def test_no_text_leaves_the_figure(draw, narrow):
  figure = draw(narrow=narrow)
  canvas = FigureCanvasAgg(figure)
  canvas.draw()
  renderer = canvas.get_renderer()
  # In three dimensions a text does not say where it is drawn.
  texts = [t for a in figure.axes if a.name != "3d" for t in a.texts]
  for axes in figure.axes:
    texts += [axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label]
  texts += [text for legend in figure.legends for text in legend.get_texts()]
  shown = [text for text in texts if text.get_text()]
  assert shown
  for text in shown:
    box = text.get_window_extent(renderer)
    assert box.x0 >= -0.5, text
    assert box.y0 >= -0.5, text
    assert box.x1 <= figure.bbox.x1 + 0.5, text
    assert box.y1 <= figure.bbox.y1 + 0.5, text


def lines(axes):
  """By label the points of the lines that have one."""
  return {
    line.get_label(): np.column_stack(line.get_data()).tolist()
    for line in axes.lines
    if not line.get_label().startswith("_")
  }


def test_phase_diagram_marks_each_solution():
  figure = phase_diagram()
  left, right = figure.axes
  shown = lines(left)
  assert shown[theory_plots.PHASES[0]] == [
    [0.001, 200],
    [0.002, 200],
    [0.001, 2000],
  ]
  assert shown[theory_plots.PHASES[1]] == [[0.004, 200], [0.002, 2000]]
  assert shown[theory_plots.PHASES[2]] == [[0.004, 2000]]
  assert shown[theory_plots.PHASES[3]] == [[0.008, 200], [0.008, 2000]]
  assert shown["merges"] == [[0.003, 200], [0.0015, 2000]]
  # Where the cut at 1000 crosses the lines: 4/9 and 5/9 of their ends.
  border = [line.get_xdata()[0] for line in right.lines[1:]]
  np.testing.assert_allclose(
    border, [0.003 - 0.0015 * 8 / 18 - 0, 0.005 - 0.002 * 8 / 18]
  )


def test_undefined_cosines_end_at_a_named_cross():
  left, right = cosines().axes
  names = left.get_legend_handles_labels()[1]
  assert names[-1] == "undefined from here on: vectors are zero"
  crosses = [
    [line.get_xydata().tolist() for line in axes.lines if line.get_ms() == 7]
    for axes in (left, right)
  ]
  assert crosses == [[[[100, 1]]], [[[10, 1]]]]
  # And there is none where everything is defined.
  left, right = cosines(end=0.5).axes
  assert "undefined" not in " ".join(left.get_legend_handles_labels()[1])
  assert [line for line in right.lines if line.get_ms() == 7] == []


def test_cosines_name_the_critical_ratios():
  left, right = cosines().axes
  assert [text.get_text() for text in left.texts] == ["R = 60"]
  assert [text.get_text() for text in right.texts] == ["R = 8", "7 + 3"]
  fixed = lines(left)["fixed ETF: every pair"]
  assert [value for _, value in fixed] == [-0.125] * 4


def test_regularity_shows_its_values():
  (axes,) = regularity().axes
  said = [text.get_text() for text in axes.texts]
  assert said[:4] == ["0.9975", "0.9388", "0.7702", "0.5354"]


def test_large_sample_has_solutions_on_their_lines():
  left, right = large_sample().axes
  marks = [line for line in right.lines if line.get_marker() in ("o", "s")]
  np.testing.assert_allclose(
    marks[0].get_ydata(), np.linspace(0.3, -0.1, 8)[:3] + 0.01
  )
  (limit,) = [line for line in left.lines if line.get_label() == "limit"]
  assert limit.get_ydata()[0] == -0.125
  (limit,) = [line for line in right.lines if len(line.get_xdata()) == 2]
  assert limit.get_ydata()[0] == 0.07
  assert limit.get_color() == right.lines[2].get_color()  # of "two"


def test_arrows_are_half_as_long_as_the_gradients():
  first, second, ce_field, dr_field = pull_push().axes[:4]
  arrows = [
    (arrow.U[0], arrow.V[0])
    for arrow in first.collections
    if isinstance(arrow, quiver.Quiver) and len(arrow.U) == 1
  ]
  np.testing.assert_allclose(
    arrows, [(0, 0.45), (0.4, 0.2), (0.0005, 0.001), (0.4005, 0.651)]
  )
  said = [text.get_text() for text in first.texts]
  assert "pull to $w_3$: 0.90" in said
  assert "push from $w_1$: 0.89" in said
  assert "push from $w_2$: 0.00" in said
  assert "pull to $w_3$: 1.20" in [text.get_text() for text in second.texts]
  # Degrees away from w_3, 0 where there is no gradient.
  for axes, expected in ((ce_field, [45, 0]), (dr_field, [0, 0])):
    np.testing.assert_allclose(
      axes.collections[-1].get_array(), expected, atol=1e-6
    )


def test_cones_open_by_their_angle():
  left, right = cones().axes
  assert len(left.patches) == 0
  for patch, turn in zip(right.patches, TURN, strict=True):
    edge = patch.get_xy()[1:-1]
    away = np.angle(np.exp(1j * (np.arctan2(*edge.T[::-1]) - turn)))
    assert (away.min(), away.max()) == pytest.approx((-0.5, 0.5))
  points = [line.get_xydata() for line in right.lines if line.get_ms() == 5]
  np.testing.assert_allclose(
    np.concatenate(points), 0.5 * PLANE.T[[0, 1, 2, 2]]
  )


def test_simplex_paths_start_and_end_where_features_do():
  (axes,) = simplex().axes
  ends = [
    np.ravel(line.get_data_3d())
    for line in axes.lines
    if line.get_marker() == "+" and line.get_ms() > 10
  ]
  np.testing.assert_allclose(ends, CORNERS)


def test_class_map_sorts_classes_and_marks_their_collapse():
  figure = class_map()
  axes = figure.axes[0]
  assert [t.get_text() for t in axes.get_yticklabels()] == ["500", "50", "5"]
  tiles, undefined = axes.collections[:2]
  np.testing.assert_array_equal(
    tiles.get_array().filled(NAN), COSINE[[2, 0, 1]]
  )
  assert (~undefined.get_array().mask).nonzero()[1].tolist() == [2]
  dots, grey, border = axes.lines
  assert grey.get_label() == "undefined: the vector is zero"
  assert dots.get_xydata().tolist() == [[0.002, 1], [0.002, 2], [0.004, 2]]
  # Only the smallest class stays collapsed, from between .001 and .002 on.
  x = border.get_xdata()[::2]
  np.testing.assert_allclose(x, [NAN, NAN, 0.002 / 2**0.5])


def test_many_classes_are_mapped_and_listed_in_part():
  figure = class_map(repeat=20)
  axes = figure.axes[0]
  assert axes.collections[0].get_array().shape == (60, 3)
  assert 4 <= len(axes.get_yticks()) <= 12
  assert "collapsed" not in axes.get_legend_handles_labels()[1]
  lower = class_profile(repeat=20).axes[1]
  assert lower.get_xlabel() == "classes, from most to fewest training samples"


def test_class_profile_tells_collapsed_and_undefined_apart():
  upper, lower = class_profile().axes
  shown = lines(upper)
  assert shown["not collapsed"] == [[0, 0.3], [1, 0.3]]
  assert shown["undefined: the vector is zero"] == [[2, 0.03]]
  assert lines(lower)["collapsed"] == [[2, 0]]
  names = [label.get_text() for label in lower.get_xticklabels()]
  assert names == ["500", "50", "5"]


def test_collapse_starts_where_it_lasts():
  rows = np.array([[1, 1], [0, 1], [1, 0], [0, 0]], bool)
  assert collapse_starts(rows).tolist() == [0, 1, -1, -1]


def test_the_page_holds_figures_captions_and_tables(tmp_path):
  table = theory_page.Table("All", ["a<b", "c"], [["1", "undefined"]])
  shown = [
    theory_page.TheoryFigure(
      "profile", "Found", "Title & co", "K = 3.", "Error 1e-9.", draw, table_
    )
    for draw, table_ in ((class_profile, table), (cosines, None))
  ]
  shown[1] = shown[1]._replace(name="cosines", error="")
  *pictures, page = theory_page.write(
    shown, tmp_path / "new", title="T", lead="L", facts=[("figures", "2")]
  )
  assert [path.name for path in pictures] == ["profile.png", "cosines.png"]
  assert all(path.read_bytes()[:4] == b"\x89PNG" for path in pictures)
  text = page.read_text()
  assert text.count("<svg") == 4
  assert "<b>Title &amp; co.</b> K = 3. Error 1e-9.</figcaption>" in text
  assert "<b>Title &amp; co.</b> K = 3.</figcaption>" in text
  assert "<th>a&lt;b</th>" in text
  assert "<td>undefined</td>" in text
  assert "http" not in text
  ids = re.findall(r' id="([^"]+)"', text)
  assert len(ids) == len(set(ids))


def test_a_folder_that_is_a_file_is_refused(tmp_path):
  path = tmp_path / "file"
  path.write_text("")
  shown = theory_page.TheoryFigure("a", "b", "c", "d", "", class_profile)
  with pytest.raises(InputError, match="give another folder with --out"):
    theory_page.write([shown], path, title="T", lead="L")
