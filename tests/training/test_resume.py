# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A run that is killed again and again ends as one that is left alone."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[2]
TIMES = {"seconds", "images_per_second"}


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
      "--config.report.tracker=tests._support.killer:create",
      f"--config.data.data_dir={data_dir}",
      f"--workdir={workdir}",
    ],
    cwd=ROOT,
    env=environment,
    capture_output=True,
    text=True,
    check=False,
  )


def rows(workdir):
  """The metrics, without what a clock measured."""

  def timeless(value):
    if isinstance(value, dict):
      return {k: timeless(v) for k, v in value.items() if k not in TIMES}
    return value

  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  return [timeless(json.loads(line)) for line in lines]


def arrays(folder):
  """The newest checkpoint of a folder, leaf by leaf, and its step."""
  with ocp.CheckpointManager(folder) as manager:
    step = manager.latest_step()
    restored = manager.restore(step, args=ocp.args.StandardRestore())
  return step, {
    jax.tree_util.keystr(path): np.asarray(leaf)
    for path, leaf in jax.tree_util.tree_leaves_with_path(restored)
  }


# Reading a checkpoint without its tree warns that the topology is unknown.
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_killed_three_times_equals_left_alone(tmp_path, digits_dir):
  straight, killed = tmp_path / "straight", tmp_path / "killed"
  result = start(straight, digits_dir)
  assert result.returncode == 0, result.stderr

  total = rows(straight)[-1]["step"]
  steps = sorted(np.random.default_rng(0).integers(1, total + 1, 3).tolist())
  for step in steps:
    result = start(killed, digits_dir, kill_at=step)
    assert result.returncode == -signal.SIGKILL, result.stderr
  result = start(killed, digits_dir)
  assert result.returncode == 0, result.stderr

  assert rows(killed) == rows(straight)
  for folder in ("checkpoints", "best"):
    step, expected = arrays(straight / folder)
    step_killed, actual = arrays(killed / folder)
    assert step_killed == step
    assert actual.keys() == expected.keys()
    for name, leaf in expected.items():
      np.testing.assert_array_equal(actual[name], leaf, err_msg=name)

  # A finished run is reported, not run again.
  before = (killed / "metrics.jsonl").read_bytes()
  result = start(killed, digits_dir)
  assert result.returncode == 0, result.stderr
  assert (killed / "metrics.jsonl").read_bytes() == before
