# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Advice before training: the tables are the guides', and the choice of one."""

import pathlib

import numpy as np
import pytest

from etf_jax.reporting import advice
from etf_jax.training import methods

ROOT = pathlib.Path(__file__).parents[2]
TABLES = {table.data: table for table in advice.TABLES}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_that_of_its_guide(name):
  table = TABLES[name]
  text = (ROOT / table.guide).read_text()
  assert set(table.rows) <= set(methods.METHODS)
  assert table.images >= table.largest > table.smallest > 0
  for method, (mean, deviation) in table.rows.items():
    assert f"{mean} ± {deviation}" in text, method
    assert f"`{method}`" in text, method


def survey(images, smallest, side):
  sides = side and {"median": side}
  return {"totals": {"train": images}, "smallest": smallest, "sides": sides}


@pytest.mark.parametrize(
  ("images", "smallest", "side", "name"),
  [
    (500, 8, 8, "digits"),
    (20_000, 40, 28, "Fashion-MNIST at imbalance 0.01"),
    (800, 1, 300, "740 photographs"),
    (2_000, 10, 300, "740 photographs"),
    (100_000, 500, 300, "Fashion-MNIST at imbalance 0.01"),
    (500, 5, None, "features of 740 photographs"),
    (100_000, 500, None, "features of CIFAR-10 at imbalance 0.01"),
    (30_000, 4, None, "features of Tiny ImageNet at imbalance 0.01"),
  ],
)
def test_the_nearest_table(images, smallest, side, name):
  assert advice.nearest_table(survey(images, smallest, side)).data == name


def test_the_best_and_those_not_told_from_it():
  rows = {
    "crt": (90.0, 0.3),  # needs a finished run: beside, and never first
    "etf_dr": (88.0, 0.3),
    "ce": (87.6, 0.3),  # two standard errors are 0.49
    "focal": (87.4, 0.3),
  }
  table = advice.Table("these", 100, 50, 2, 8, rows, "README.md")
  assert advice.best_methods(table) == ("etf_dr", ["crt", "ce"])
  lines = advice.table_lines(table)
  assert "50 to 2 a class" in lines[0]
  assert lines[1].splitlines()[1].split() == ["crt", "90.0", "±", "0.3"]


@pytest.mark.slow
def test_the_theory_of_two_sizes_is_the_closed_form():
  counts, names = np.array([20, 20, 5, 5, 5]), tuple("abcde")
  found = advice.theory_of(counts, names, 0.05)
  # The threshold of the small is sqrt(5) / 55 = 0.0407.
  assert found["threshold"] == pytest.approx(5**0.5 / 55)
  assert found["merged"] == found["first"] == ["c", "d", "e"]
  assert found["threshold"] <= found["start"] <= 0.06
  assert advice.theory_of(counts, names, 1e-6)["merged"] == []
