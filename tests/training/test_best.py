# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The best evaluation, the metric that chooses it, and an end by patience."""

import json

import pytest
import tiny_runs

from etf_jax import data
from etf_jax.runs import reader
from etf_jax.training import loop
from etf_jax.training.records import recorder
from etf_jax.training.setup import make_trainer


def history(*values, split="test"):
  return [
    {"split": split, "step": step} | row for step, row in enumerate(values, 1)
  ]


def test_each_metric_chooses_by_itself():
  rows = history(
    {"accuracy": 0.9, "balanced_accuracy": 0.1},
    {"accuracy": 0.5, "balanced_accuracy": 0.4},
    {"accuracy": 0.9, "balanced_accuracy": 0.4},
  )
  assert recorder.best_step(rows, "test", "accuracy") == 1
  assert recorder.best_step(rows, "test", "balanced_accuracy") == 2


# An epoch has four steps; what is learned at this rate shows nowhere.
FIELDS = {
  "eval.every_steps": 1,
  "eval.patience_epochs": 0.5,
  "optimizer.learning_rate": 1e-30,
  "collapse.every_epochs": 100.0,
  "collapse.splits": ("test",),
  "checkpoint.best": True,
  "head.batch_norm": False,
}


@pytest.mark.slow
def test_a_run_ends_when_its_patience_does(digits_dir, tmp_path):
  config = tiny_runs.config(digits_dir, "ce", FIELDS)
  trainer = make_trainer(config, data.load(config.data))
  workdir = tmp_path / "run"
  final = loop.train_seed(trainer, 0, workdir)
  best = final["best"]["step"]
  assert final["step"] == final["last"]["step"] == best + 2 < tiny_runs.STEPS
  assert final["best_metric"] == "balanced_accuracy"
  rows = tiny_runs.rows(workdir)
  evaluations = [row for row in rows if row["kind"] == "eval"]
  assert len(evaluations) == final["step"]
  assert final["best"]["balanced_accuracy"] == max(
    row["balanced_accuracy"] for row in evaluations
  )
  # Its end is measured as any other.
  (*_, collapse) = [row for row in rows if row["kind"] == "collapse"]
  assert collapse["step"] == final["step"]
  assert collapse["feature_cosines"] is not None
  # It has ended, and so it has where the process died before it said so.
  assert loop.train_seed(trainer, 0, workdir)["step"] == final["step"]
  path = workdir / "metrics.jsonl"
  lines = path.read_text().splitlines()
  path.write_text("".join(f"{line}\n" for line in lines[:-1]))
  loop.train_seed(trainer, 0, workdir)
  assert tiny_runs.rows(workdir) == rows


@pytest.mark.slow
def test_a_run_of_a_version_without_a_choice_keeps_its_best(
  digits_dir, tmp_path
):
  fields = {"checkpoint.best": True, "collapse.splits": ()}
  config = tiny_runs.config(digits_dir, "ce", fields)
  trainer = make_trainer(config, data.load(config.data))
  workdir = tmp_path / "run"
  loop.train_seed(trainer, 0, workdir)
  (workdir / "metrics.jsonl").unlink()
  path = workdir / "config.json"
  description = json.loads(path.read_text())
  assert description["config"]["eval"].pop("best_metric")
  path.write_text(json.dumps(description))
  for folder in ("checkpoints", "best"):
    for step in (workdir / folder).glob("[0-9]*"):
      step.rename(workdir / f"{folder}-{step.name}")
  final = loop.train_seed(trainer, 0, workdir)
  assert final["best_metric"] == "accuracy"
  rows = [row for row in tiny_runs.rows(workdir) if row["kind"] == "eval"]
  assert final["best"]["accuracy"] == max(row["accuracy"] for row in rows)
  assert reader.load_run(workdir).result["best_metric"] == "accuracy"
