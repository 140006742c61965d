# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A run that is killed at a random step ends as one that is left alone."""

import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest
import run_results

ROOT = pathlib.Path(__file__).parents[2]


def start(workdir, data_dir, kill_at=None):
  environment = os.environ | {
    "JAX_NUM_CPU_DEVICES": "1",
    # Part of the run's command in both runs; it only kills when told to.
    "KILL_AT_STEP": str(kill_at or 1_000_000),
  }
  return subprocess.run(
    [
      sys.executable,
      "-m",
      "etf_jax.main",
      "--config=configs/digits_lt.py",
      "--config.total_epochs=6",
      "--config.augment.mixup_alpha=1.0",
      "--config.data.validation_fraction=0.1",
      "--config.checkpoint.every_steps=3",
      "--config.report.log_every_steps=1",
      "--config.report.tracker=tests._support.slow_rows:create",
      f"--config.data.data_dir={data_dir}",
      f"--workdir={workdir}",
    ],
    cwd=ROOT,
    env=environment,
    capture_output=True,
    text=True,
    check=False,
  )


@pytest.mark.slow
def test_killed_equals_left_alone(tmp_path, digits_dir):
  straight, killed = tmp_path / "straight", tmp_path / "killed"
  result = start(straight, digits_dir)
  assert result.returncode == 0, result.stderr
  expected = run_results.read(straight)
  total = expected.rows[-1]["step"]
  step = int(np.random.default_rng(0).integers(1, total + 1))
  result = start(killed, digits_dir, kill_at=step)
  assert result.returncode == -signal.SIGKILL, result.stderr
  result = start(killed, digits_dir)
  assert result.returncode == 0, result.stderr
  assert run_results.differences(run_results.read(killed), expected) == []
  # A finished run is reported, not run again.
  before = (killed / "metrics.jsonl").read_bytes()
  result = start(killed, digits_dir)
  assert result.returncode == 0, result.stderr
  assert (killed / "metrics.jsonl").read_bytes() == before
