# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Which classes collapse, as printed, as CSV and in captions."""

import csv
import io
import re

import numpy as np

from etf_jax.reporting import _theory_counts
from etf_jax.theory._laboratory_counts import CountsSweep

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
  said = _theory_counts.text(SWEEP).splitlines()
  assert said[0] == (
    "3 classes of 500 to 5 samples (555 in all), 3 values of lambda_Z from"
    " 0.001 to 0.004, no bias, solved in 1.5 s."
  )
  assert said[1].startswith(
    "At lambda_Z = 0.002, the least at which a class collapses: 2 of 3"
  )
  table = [re.split(r"\s{2,}", line.strip()) for line in said[2:]]
  assert table == [
    ["class", *_theory_counts.header(SWEEP)],
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
  table = _theory_counts.rows(last)
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
  groups = _theory_counts.groups(many)
  assert sum(int(row[0]) for row in groups) == 40
  assert len(groups) == 12
  assert groups[0][1:] == ["40 to 37", "> 0.004", "none", *groups[0][4:]]
  assert groups[0][4] == "0.000 to 0.071"
  assert groups[-1][4].endswith(", some undefined")
  assert "<= 0.001" in groups[-1][2]


def test_csv_has_a_row_for_each_class_and_lambda():
  rows = list(csv.DictReader(io.StringIO(_theory_counts.as_csv(SWEEP))))
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
  said = _theory_counts.error(
    SWEEP._replace(thresholds=np.array([NAN, 0.0016, NAN]))
  )
  assert "within 2.0e-11 of the least" in said
  assert "at 1.25 to 1.25 times" in said
  assert "times" not in _theory_counts.error(SWEEP)
