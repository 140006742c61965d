# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Damaged and hostile files of every kind: an answer, or one line.

Covers: tests/_support/attacks.py, whose long form is its command with more
cases. $ETF_JAX_ATTACKS is the number of versions of each file here.
"""

import os
import pathlib
import subprocess
import sys

import pytest
import strikes

pytestmark = pytest.mark.slow
SCRIPT = pathlib.Path(__file__).parents[1] / "_support" / "attacks.py"


@pytest.mark.parametrize(
  ("kinds", "number", "least"),
  [("images,lists,weights,archives", 12, 300), ("loads", 4, 150)],
)
def test_each_file_ends_in_an_answer_or_one_line(
  tmp_path, kinds, number, least
):
  number = os.environ.get("ETF_JAX_ATTACKS", number)
  done = subprocess.run(
    [
      *(sys.executable, str(SCRIPT), f"--kinds={kinds}", f"--number={number}"),
      f"--folder={tmp_path}",
    ],
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stdout + done.stderr
  rows = done.stdout.splitlines()[-kinds.count(",") - 1 :]
  cells = [[cell.strip() for cell in row.split("|")[1:4]] for row in rows]
  assert [cell[0] for cell in cells] == kinds.split(",")
  assert all(cases == well for _, cases, well in cells)
  assert sum(int(cases.replace(",", "")) for _, cases, _ in cells) >= least


@pytest.mark.parametrize(
  ("text", "code", "well"),
  [
    ("", 0, True),
    ("log\nerror: a=1: wrong; mend it\n", 2, True),
    ("error: a=1: wrong\nmend it\n", 2, False),
    ("error: a=1\n", 1, False),
    ("Traceback (most recent call last)\nerror: a\n", 2, False),
    ("", 2, False),
    ("", -9, False),
  ],
)
def test_what_ends_well(text, code, well):
  assert strikes.Outcome(code, 1.0, 1.0, text).well is well
