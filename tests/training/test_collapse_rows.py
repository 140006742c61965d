# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Rows of collapse: their steps, and what is refused."""

import pytest
import tiny_runs

from etf_jax import data
from etf_jax.errors import InputError
from etf_jax.evaluation import geometry
from etf_jax.training import loop
from etf_jax.training.setup import make_trainer


def train(directory, workdir, method="etf_dr", fields=None):
  config = tiny_runs.config(directory, method, fields)
  run = make_trainer(config, data.load(config.data))
  loop.train_seed(run, 0, workdir)
  return tiny_runs.rows(workdir)


@pytest.fixture(scope="module")
def measured(digits_dir, tmp_path_factory):
  workdir = tmp_path_factory.mktemp("collapse") / "run"
  fields = {"collapse.every_steps": 5, "eval.every_steps": 4}
  return train(digits_dir, workdir, "etf_hinge", fields)


@pytest.mark.slow
def test_rows_come_at_the_interval_and_the_end(measured):
  found = [
    (row["step"], row["split"]) for row in measured if row["kind"] == "collapse"
  ]
  steps = (5, 10, 12)
  assert found == [(s, split) for s in steps for split in ("train", "test")]


@pytest.mark.slow
def test_only_the_last_has_matrices_and_hinge_has_cones(measured):
  rows = [row for row in measured if row["kind"] == "collapse"]
  for row in rows:
    assert ("classifier_cosines" in row) == (row["step"] == 12)
    assert 0 <= row["in_cone"] <= 1
    assert row["images"] == (488 if row["split"] == "train" else 355)


@pytest.mark.slow
def test_measuring_changes_no_result(digits_dir, tmp_path, measured):
  fields = {"collapse.splits": (), "eval.every_steps": 4}
  without = train(digits_dir, tmp_path / "run", "etf_hinge", fields)
  assert without == [row for row in measured if row["kind"] != "collapse"]


def test_a_validation_split_must_be_there(digits_dir):
  fields = {"collapse.splits": ("train", "validation")}
  config = tiny_runs.config(digits_dir, "etf_dr", fields)
  with pytest.raises(InputError, match="validation_fraction or leave it out"):
    make_trainer(config, data.load(config.data))


def test_pairs_of_too_many_classes_are_named(digits_dir, monkeypatch):
  monkeypatch.setattr(geometry, "MOST_CLASSES", 9)
  config = tiny_runs.config(digits_dir, "etf_dr", {"collapse.splits": ()})
  make_trainer(config, data.load(config.data))
  config.collapse.splits = ("test",)
  with pytest.raises(
    InputError, match=r"of 10 classes .* to 9; set it to \(\)"
  ):
    make_trainer(config, data.load(config.data))
