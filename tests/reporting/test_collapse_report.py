# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Neural collapse in a report: right numbers, and nothing undefined hidden."""

import json
import re

import numpy as np
import pytest
import synthetic_collapse
import synthetic_runs
from synthetic_runs import one_section

from etf_jax.errors import InputError
from etf_jax.reporting import collapse, collapse_table, report
from etf_jax.reporting.figures import style
from etf_jax.runs import reader

COUNTS = (50, 4, 200)  # the order of the figures is 2, 0, 1
NAMES = ["middling", "rare", "common"]


def row(nc1=0.5, **more):
  """A row of three classes with round numbers."""
  return {
    "images": 254,
    "absent_classes": [],
    "nc1": nc1,
    "cos_features_mean": -0.4,
    "cos_features_std": 0.1,
    "sample_mean": {"cos_features_mean": 0.25},
    "classifier_norms": [1.0, 2.0, 4.0],
    "classifier_nearest": [-0.5, 0.75, 0.75],
  } | more


def write(directory, method, seed, rows, **more):
  return synthetic_runs.write_run(
    directory / method / str(seed),
    method,
    seed,
    0.5,
    counts=COUNTS,
    names=NAMES,
    hash_=method,
    epochs=2,
    collapse=rows,
    **more,
  )


def cells(table):
  """The text of each cell, by row."""
  rows = [*table.header, *(row.cells for part in table.groups for row in part)]
  return [
    [
      cell if isinstance(cell, str) else f"{cell.text} {cell.note}".strip()
      for cell in row
    ]
    for row in rows
  ]


def test_the_table_has_mean_and_deviation_of_the_last_measurement(tmp_path):
  for seed, nc1 in enumerate((0.1, 0.2, 0.3)):
    # The epoch before the last, and the test split, are other numbers.
    write(
      tmp_path,
      "ce",
      seed,
      lambda split, epoch, n=nc1: row(
        n + 7 * (split == "test") + 9 * (2 - epoch)
      ),
    )
  write(tmp_path, "etf_dr", 0, lambda split, epoch: row(2e-5, cdnv=1234.5))
  section = one_section(tmp_path)
  table = cells(collapse_table.main(section))
  assert table[1] == ["mean", "by sample", "std"] * 2
  assert table[2] == ["train: 3 classes, 254 images"]
  assert table[3][:5] == ["at collapse", "0", "-0.5", "", "0"]
  assert table[4][:5] == [
    "ce epoch 2, 3 seeds",
    "0.2 ± 0.1",
    "-0.400 ± 0.000",
    "0.250 ± 0.000",
    "0.100 ± 0.000",
  ]
  assert table[5][:2] == ["etf_dr epoch 2, 1 seed", "2.00e-5 ± -"]
  assert table[5][-3] == "1,234 ± -"
  # Not measured is a dash.
  assert table[4][-1] == "-"
  assert table[6] == ["test: 3 classes, 254 images"]
  assert table[8][1] == "7.2 ± 0.1"
  notes = collapse_table.notes(section)
  assert "The global mean is the mean of the class means" in notes[1]
  assert not any("Without images" in note for note in notes)


@pytest.mark.parametrize(
  ("numbers", "form", "text"),
  [
    ([], ".3f", ("-", "")),
    ([None, None], ".3f", ("undefined", "")),
    ([0.5, None], ".3f", ("undefined (seed 4)", "")),
    ([0.5], ".3f", ("0.500", "± -")),
    ([0.5, 0.7], ".3f", ("0.600", "± 0.141")),
    # The mean is 3e-4, the deviation sqrt(2)e-4.
    ([2e-4, 4e-4], None, ("3.00e-4", "± 1.4e-4")),
    ([2000.0, 4000.0], None, ("3,000", "± 1,414")),
  ],
)
def test_a_cell_says_what_is_known(numbers, form, text):
  seeds = (0, 4)[: len(numbers)]
  style = collapse_table.Measurement("", form)
  cell = collapse_table.summary(numbers, seeds, style)
  assert (cell.text, cell.note) == text


def test_undefined_is_shown_in_every_table_and_figure(tmp_path):
  lost = [[1.0, None, 0.3], [None, None, None], [0.3, None, 1.0]]
  matrices = {"classifier_cosines": lost, "feature_cosines": np.eye(3)}
  for seed in (0, 1):
    write(
      tmp_path,
      "ce",
      seed,
      lambda split, epoch, s=seed: row(
        np.nan if s or epoch == 1 else 0.5,
        cos_features_mean=np.nan,
        sample_mean={"nc1": np.nan},
        classifier_nearest=[0.0, None if s else 0.5, 0.0],
        absent_classes=[1] * (split == "test"),
        **matrices,
      ),
    )
  section = one_section(tmp_path)
  table = cells(collapse_table.main(section))
  assert table[4][1:4] == ["undefined (seed 1)", "undefined", "-"]
  # With one class absent two are left, whose cosine is -1 at collapse.
  assert table[5] == ["test: 2 classes, 254 images, epoch 2, 2 seeds"]
  assert table[6][2] == "-1"
  assert (
    "test split, and so in none of its numbers: 1 of 3 classes (rare)"
    in (collapse_table.notes(section)[-1])
  )
  every = {
    line[0]: line[1:] for line in cells(collapse_table.everything(section))
  }
  assert every["NC1"] == ["undefined (seed 1)"] * 2
  assert every["NC1 (by sample)"] == ["undefined"] * 2
  assert every["cos(h, h′), std"] == ["0.100 ± 0.000"] * 2
  assert "in_cone" not in every
  figures = {figure.name: figure for figure in collapse.figures(section)}
  course = figures["collapse"]
  assert "-1/2 = -0.5 (train) and -1/1 = -1 (test)" in course.caption
  assert "interrupted or missing (ce)" in course.caption
  titles = [axes.get_title(loc="left") for axes in course.draw().axes]
  assert "cos(h, h′), mean, train\nundefined: ce" in titles
  assert "cos(h, h′), std, train" in titles
  by_class = figures["collapse_classes"]
  assert "A cross at the lower edge: undefined for a seed" in by_class.caption
  axes = by_class.draw().axes[0]
  (cross,) = (line for line in axes.lines if line.get_marker() == "x")
  assert cross.get_xdata().tolist() == [2]  # the smallest class
  assert np.isnan(axes.lines[0].get_ydata()).tolist() == [False, False, True]
  heat = figures["collapse_cosines"]
  assert "Gray cells: undefined for a seed" in heat.caption
  gray, mesh = heat.draw().axes[0].collections
  known = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 0]], bool)
  np.testing.assert_array_equal(mesh.get_array().mask, ~known)
  np.testing.assert_array_equal(gray.get_array().mask, known)


def test_cosines_among_large_and_among_small_classes(tmp_path):
  for seed, (large, small) in enumerate([(-0.5, 0.9), (-0.3, 0.7)]):
    matrix = np.full((5, 5), 0.25)
    matrix[:2, :2], matrix[3:, 3:] = large, small
    np.fill_diagonal(matrix, 1)
    synthetic_runs.write_run(
      tmp_path / str(seed),
      "ce",
      seed,
      0.5,
      counts=(300, 200, 50, 5, 4),
      names=list("abcde"),
      hash_="ce",
      epochs=2,
      collapse=lambda split, epoch, m=matrix: row(
        classifier_cosines=m.tolist(),
        classifier_norms=[1.0] * 5,
        classifier_nearest=[0.5] * 5,
      ),
    )
  table = cells(collapse_table.everything(one_section(tmp_path)))
  found = {line[0]: line[1] for line in table if "among" in line[0]}
  # Medium has one class only, and features were not measured.
  assert found == {
    "cos(w, w′), mean (among many)": "-0.400 ± 0.141",
    "cos(w, w′), mean (among few)": "0.800 ± 0.141",
  }


def test_a_method_without_rows_keeps_its_place_and_color(tmp_path):
  write(tmp_path, "ce", 0, None)
  write(tmp_path, "etf_dr", 0, lambda split, epoch: row())
  section = one_section(tmp_path)
  table = cells(collapse_table.main(section))
  assert set(table[4][1:]) == {"-"}
  assert table[4][0] == "ce not measured"
  course, geometry = collapse.figures(section)
  axes = course.draw().axes[0]
  assert (
    axes.get_title(loc="left") == "cos(h, h′), mean, train\nnot measured: ce"
  )
  drawn = {line.get_label(): line for line in axes.lines}
  assert drawn["etf_dr"].get_color() == style.SERIES[1]
  np.testing.assert_array_equal(drawn["etf_dr"].get_ydata(), [-0.4, -0.4])
  lines = geometry.draw().axes[0].lines
  assert len(lines[0].get_ydata()) == 3


def test_unfinished_seeds_count_only_where_none_has_finished(tmp_path):
  for seed, done in enumerate((True, False)):
    write(
      tmp_path,
      "ce",
      seed,
      lambda split, epoch, s=seed: row(1.0 + s),
      finished=done,
    )
  write(tmp_path, "dr", 0, lambda split, epoch: row(4.0), finished=False)
  table = cells(
    collapse_table.main(one_section(tmp_path / "ce", tmp_path / "dr"))
  )
  assert table[4][:2] == ["ce epoch 2, 1 seed", "1 ± -"]
  assert table[5][:2] == ["dr (unfinished) epoch 1, 1 seed", "4 ± -"]


def test_geometry_is_ordered_by_count_and_lengths_are_relative(tmp_path):
  write(tmp_path, "ce", 0, lambda split, epoch: row(feature_nearest=[0, 1, 0]))
  zero = [0.0, 0.0, 0.0]
  write(tmp_path, "dr", 0, lambda split, epoch: row(classifier_norms=zero))
  _, geometry = collapse.figures(one_section(tmp_path))
  nearest, features, lengths = geometry.draw().axes
  np.testing.assert_allclose(nearest.lines[0].get_ydata(), [0.75, -0.5, 0.75])
  assert {-0.5, 1.0} <= {line.get_ydata()[0] for line in nearest.lines}
  np.testing.assert_allclose(features.lines[0].get_ydata(), [0, 0, 1])
  np.testing.assert_allclose(lengths.lines[0].get_ydata(), [1, 0.25, 0.5])
  labels = [label.get_text() for label in lengths.get_xticklabels()]
  assert labels == ["common", "middling", "rare"]
  # Vectors that are all zero have no relative length.
  (crosses,) = (line for line in lengths.lines if line.get_marker() == "x")
  assert len(crosses.get_xdata()) == 3


def test_heat_maps_are_means_over_seeds_ordered_by_count(tmp_path):
  for seed, cosine in enumerate((0.2, 0.4)):
    matrix = np.array([[1, 0.9, 0], [0.9, 1, cosine], [0, cosine, 1]])
    both = {"classifier_cosines": matrix, "feature_cosines": -matrix}
    write(tmp_path, "ce", seed, lambda split, epoch, b=both: row(**b))
  heat = collapse.figures(one_section(tmp_path))[-1]
  left, right = heat.draw().axes[:2]
  mesh = left.collections[1]
  expected = np.array([[1, 0, 0.3], [0, 1, 0.9], [0.3, 0.9, 1]])
  np.testing.assert_allclose(mesh.get_array(), expected)
  np.testing.assert_allclose(right.collections[1].get_array(), -expected)
  assert mesh.get_clim() == (-1, 1)
  assert [text.get_text() for text in left.get_yticklabels()] == [
    "common",
    "middling",
    "rare",
  ]


@pytest.mark.slow
def test_the_report_has_the_section_where_runs_have_rows(tmp_path):
  rng = np.random.default_rng(0)
  counts = synthetic_runs.COUNTS_10
  course = synthetic_collapse.course(rng, counts, 0.1, 4, 2)
  synthetic_runs.write_run(
    tmp_path / "a", "ce", 0, 0.5, epochs=2, collapse=course
  )
  # Without figures, which take their time.
  begun = write(tmp_path, "older", 0, None)
  (begun / "metrics.jsonl").unlink()
  older = one_section(tmp_path / "older")
  assert collapse.methods(older) == collapse.figures(older) == []
  page = report.write([tmp_path], tmp_path / "out" / "r.html").read_text()
  one, other = page.split("<h2>")[1:]
  for expected in (
    "Neural collapse",
    "All measurements of collapse",
    "Collapse over epochs",
    "Geometry by class",
    "Cosines between classes",
  ):
    assert expected in one
    assert expected not in other
  ids = re.findall(r'\bid="([^"]*)"', page)
  assert len(ids) == len(set(ids))
  found = {path.name for path in (tmp_path / "out" / "figures").iterdir()}
  names = ("collapse", "collapse_classes", "collapse_cosines")
  assert {f"1_digits_{name}.png" for name in names} <= found


@pytest.mark.parametrize(
  ("wrong", "message"),
  [
    ({"split": None}, "line 1: collapse row without split;"),
    (
      {"classifier_norms": [1.0]},
      "line 1: collapse row with another classifier_norms than .* 3 classes",
    ),
    (
      {"feature_cosines": [[1.0, 0.5, 0.5], [0.5, 1.0], [0.5, 0.5, 1.0]]},
      "line 1: collapse row with another feature_cosines than .* 3 classes",
    ),
    (
      {"absent_classes": [3]},
      "line 1: collapse row with another absent_classes than .* 3 classes",
    ),
  ],
)
def test_rows_that_cannot_be_shown_are_named(tmp_path, wrong, message):
  run = write(tmp_path, "ce", 0, None)
  path = run / "metrics.jsonl"
  line = {"kind": "collapse", "split": "train", "step": 1, "epoch": 1.0}
  path.write_text(json.dumps(line | wrong) + "\n" + path.read_text())
  with pytest.raises(InputError, match=message):
    reader.load_run(run)


def test_a_row_with_nothing_but_its_place_is_no_error(tmp_path):
  write(tmp_path, "ce", 0, lambda split, epoch: {})
  section = one_section(tmp_path)
  assert collapse.figures(section) == []
  assert set(cells(collapse_table.main(section))[4][1:]) == {"-"}
