# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A run on features to the end: feeds, resuming, predicting, exporting.

Covers main, evaluate, predict and export with config.data.name=features.
"""

import csv
import shutil

from jax import export as jax_export
import numpy as np
import pytest
import tiny_runs

import etf_jax
from etf_jax import evaluate, export, main, predict

pytestmark = pytest.mark.slow

FLOORS = ("total", "schedule.warmup", "eval.every", "collapse.every",
          "checkpoint.every")  # fmt: skip
NAMES = ("ant", "bee", "cat", "dog")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
  """A folder with features of four classes that overlap."""
  folder = tmp_path_factory.mktemp("features")
  random = np.random.default_rng(0)
  centers = 1.2 * random.normal(size=(4, 6))
  labels = np.repeat(np.arange(4), (80, 40, 20, 20))
  rows = centers[labels] + random.normal(size=(160, 6))
  np.savez(
    folder / "x.npz",
    x=rows.astype(np.float32),
    y=np.array(NAMES)[labels],
    files=np.array([f"photograph{i}" for i in range(160)]),
  )
  np.savez(folder / "wide.npz", x=rows[:, :5].astype(np.float32))
  return folder


def train(place, run, *arguments):
  argv = ["main", "--config=etf_jax:features:mlp", "--config.method=etf_dr"]
  argv += [f"--config.data.dir={place / 'x.npz'}", "--config.total_epochs=6"]
  argv += ["--config.augment.mixup_alpha=0.2", "--config.batch_size=16"]
  argv += ["--config.data.validation_fraction=0.2", "--config.devices=1"]
  argv += ["--config.collapse.every_epochs=3", f"--workdir={place / run}"]
  argv += ["--config.checkpoint.every_epochs=2"]
  argv += [f"--config.{name}_min_steps=None" for name in FLOORS]
  argv += ["--config.report.tensorboard=False", "--config.steps_per_call=1"]
  assert main.main([*argv, *arguments]) == 0
  return place / run


@pytest.fixture(scope="module")
def run(place):
  return train(place, "run")


def test_it_measures_collapse_and_learns(run):
  (final,) = tiny_runs.rows(run, "final")
  assert final["last"]["balanced_accuracy"] > 0.5
  splits = {row["split"] for row in tiny_runs.rows(run, "collapse")}
  assert splits == {"train", "test"}


def test_a_stream_is_the_same_run(place, run):
  streamed = train(place, "streamed", "--config.data.feed=stream")
  assert tiny_runs.rows(streamed) == tiny_runs.rows(run)


def test_it_resumes_to_the_bit(place, run):
  steps = sorted(int(p.name) for p in (run / "checkpoints").iterdir())
  resumed = tiny_runs.interrupted(run, place / "resumed", step=steps[0])
  train(place, "resumed")
  assert tiny_runs.rows(resumed) == tiny_runs.rows(run)


def test_calibrated_answers_have_the_names_of_their_rows(place, run, capsys):
  copy = shutil.copytree(run, place / "calibrated")
  assert evaluate.main([f"--workdir={copy}", "--fit_temperature"]) == 0
  found = place / "found.csv"
  rows = [f"--workdir={copy}", str(place / "x.npz"), f"--output={found}"]
  assert predict.main(rows) == 0
  answers = list(csv.DictReader(found.open()))
  assert [row["image"] for row in answers[:2]] == ["photograph0", "photograph1"]
  assert {row["calibrated"] for row in answers} == {"True"}
  capsys.readouterr()
  assert predict.main([f"--workdir={copy}", str(place / "wide.npz")]) == 2
  error = capsys.readouterr().err
  assert "features must be [B, 6], got [160, 5]; give other rows" in error


def test_an_exported_program_gives_the_same_answers(place, run):
  folder = place / "exported"
  argv = [f"--workdir={run}", "--format=stablehlo", f"--output={folder}"]
  assert export.main(argv) == 0
  program = jax_export.deserialize(
    bytearray((folder / "model.stablehlo").read_bytes())
  )
  with np.load(place / "x.npz") as file:
    rows = file["x"][:8]
  wanted = etf_jax.load(run)(rows).probabilities
  (like, *_) = program.in_avals
  found = program.call(rows.reshape(-1, *like.shape[1:]))["probabilities"]
  np.testing.assert_allclose(found, wanted, atol=1e-6)
