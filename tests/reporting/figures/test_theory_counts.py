# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Classes that collapse: printed, as CSV, in captions and drawn."""

import csv
import io
import re

from drawn import lines
import numpy as np

from etf_jax.reporting.figures import theory_counts
from etf_jax.theory.laboratory import CountsSweep

NAN = np.nan
# Counts out of order; class 1 has no vector in the last column.
COUNTS = np.array([50.0, 5, 500])
LAMBDA_Z = np.array([0.001, 0.002, 0.004])
COSINE = np.array([[0.1, 0.995, 0.3], [0.2, 0.995, NAN], [-0.3, -0.2, 0.3]])
NORM = np.array([[0.5, 0.4, 0.3], [0.2, 0.1, 0], [1, 1, 1]])
COLLAPSED = np.array([[0, 1, 0], [0, 1, 1], [0, 0, 0]], bool)
SWEEP = CountsSweep(
  COUNTS,
  LAMBDA_Z,
  None,
  3,
  False,
  COSINE,
  NORM,
  COLLAPSED,
  np.array([0.0019, NAN, 0.01]),
  2e-11,
  1.5,
)


def test_the_printed_table_says_what_is_undefined():
  said = theory_counts.as_text(SWEEP).splitlines()
  assert said[0] == (
    "3 classes of 500 to 5 samples (555 in all), 3 values of lambda_Z from"
    " 0.001 to 0.004, no bias, solved in 1.5 s."
  )
  assert said[1].startswith(
    "At lambda_Z = 0.002, the least at which a class collapses: 2 of 3"
  )
  table = [re.split(r"\s{2,}", line.strip()) for line in said[2:]]
  assert table == [
    ["class", *theory_counts.table(SWEEP)[0][1:]],
    ["0", "50", "> 0.004", "0.0019", "0.995", "0.400"],
    ["1", "5", "0.002", "none", "0.995", "0.100"],
    ["2", "500", "> 0.004", "0.01", "-0.200", "1.000"],
  ]
  last = SWEEP._replace(
    lambda_z=LAMBDA_Z[2:],
    largest_cosine=COSINE[:, 2:],
    relative_norm=NORM[:, 2:],
    collapsed=COLLAPSED[:, 2:],
  )
  table = theory_counts.table(last)[1]
  assert table[1] == ["1", "5", "yes", "none", "undefined", "0.000"]
  assert table[2][2] == "no"


def test_many_classes_are_listed_in_groups():
  many = SWEEP._replace(
    class_counts=np.arange(40.0, 0, -1),
    largest_cosine=np.tile(np.append(np.linspace(0, 0.9, 39), NAN), (3, 1)).T,
    relative_norm=np.ones((40, 3)),
    collapsed=np.repeat(np.arange(40) == 39, 3).reshape(40, 3),
    thresholds=np.full(40, NAN),
  )
  groups = theory_counts.table(many)[1]
  assert sum(int(row[0]) for row in groups) == 40
  assert len(groups) == 12
  assert groups[0][1:] == ["40 to 37", "> 0.004", "none", *groups[0][4:]]
  assert groups[0][4] == "0.000 to 0.071"
  assert groups[-1][4].endswith(", some undefined")
  assert "<= 0.001" in groups[-1][2]


def test_csv_has_a_row_for_each_class_and_lambda():
  rows = list(csv.DictReader(io.StringIO(theory_counts.as_csv(SWEEP))))
  assert len(rows) == 9
  assert rows[5] == {
    "class": "1",
    "samples": "5",
    "lambda_z": "0.004",
    "largest_cosine": "nan",
    "relative_length": "0",
    "collapsed": "1",
    "collapses_from_lambda_z": "0.002",
    "closed_form_lambda_z": "",
  }


def test_the_error_compares_with_the_closed_form():
  said = theory_counts.error(
    SWEEP._replace(thresholds=np.array([NAN, 0.0016, NAN]))
  )
  assert "within 2.0e-11 of the least" in said
  assert "at 1.25 to 1.25 times" in said
  assert "times" not in theory_counts.error(SWEEP)


def repeated(times):
  fields = ["class_counts", "largest_cosine", "relative_norm", "collapsed"]
  fields.append("thresholds")
  return SWEEP._replace(
    **{name: np.repeat(getattr(SWEEP, name), times, axis=0) for name in fields}
  )


def test_class_map_sorts_classes_and_marks_their_collapse():
  axes = theory_counts.class_map(SWEEP).axes[0]
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


def test_many_classes_are_mapped_and_drawn_in_part():
  many = repeated(20)
  axes = theory_counts.class_map(many).axes[0]
  assert axes.collections[0].get_array().shape == (60, 3)
  assert 4 <= len(axes.get_yticks()) <= 12
  assert "collapsed" not in axes.get_legend_handles_labels()[1]
  lower = theory_counts.class_profile(many).axes[1]
  assert lower.get_xlabel() == "classes, from most to fewest training samples"


def test_class_profile_tells_collapsed_and_undefined_apart():
  last = SWEEP._replace(
    lambda_z=LAMBDA_Z[2:],
    largest_cosine=COSINE[:, 2:],
    relative_norm=NORM[:, 2:],
    collapsed=COLLAPSED[:, 2:],
  )
  upper, lower = theory_counts.class_profile(last).axes
  shown = lines(upper)
  assert shown["not collapsed"] == [[0, 0.3], [1, 0.3]]
  assert shown["undefined: the vector is zero"] == [[2, 0.03]]
  assert lines(lower)["collapsed"] == [[2, 0]]
  names = [label.get_text() for label in lower.get_xticklabels()]
  assert names == ["500", "50", "5"]
