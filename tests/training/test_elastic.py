# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""One run in four processes, then in one, then in two, on the same batches."""

import pathlib
import signal

from jax._src import distributed as jax_distributed
import numpy as np
from process_results import assert_same_rows, assert_same_state, train
import process_runs
import pytest
import tiny_runs

from etf_jax.training.parallel import distributed

# Relative, of float32: the same images in another order of sums. Another batch
# changes the loss by some percent.
LOSS_TOLERANCE = 1e-5


@pytest.mark.slow
def test_four_processes_then_one_then_two(digits_dir, tmp_path, monkeypatch):
  straight, workdir = tmp_path / "straight", tmp_path / "run"
  train(digits_dir, straight, 1, feed="stream")
  command = process_runs.command(
    workdir, digits_dir, "--config.data.feed=stream"
  )
  # Four processes of one device, all of which are killed.
  four = process_runs.Run(workdir, command, 4, 1, ROW_SECONDS=0.4)
  four.await_row(5)
  four.running.signal(signal.SIGKILL)
  four.running.wait()
  assert four.codes() == 4 * [-signal.SIGKILL], four.output
  # One process of four devices, which goes on from step 4 and is told to stop.
  monkeypatch.setenv("TERM_AT_STEP", "7")
  with pytest.raises(distributed.Preempted) as stopped:
    train(digits_dir, workdir, 4, feed="stream")
  step = int(str(stopped.value).removeprefix("stopped and saved at step "))
  assert 7 <= step < 12
  # Two processes of two devices.
  monkeypatch.delenv("TERM_AT_STEP")
  two = process_runs.Run(workdir, command, 2, 2)
  assert two.running.wait() == 0, two.output

  assert_same_rows(workdir, straight)
  assert_same_state(workdir, straight)
  assert_same_state(workdir, straight, "best")
  losses, expected = (
    np.array([row["loss"] for row in tiny_runs.rows(place, "train")])
    for place in (workdir, straight)
  )
  assert len(expected) == tiny_runs.STEPS
  np.testing.assert_allclose(losses, expected, rtol=LOSS_TOLERANCE)
  # Steps are told apart by that.
  assert np.abs(np.diff(expected) / expected[1:]).min() > 10 * LOSS_TOLERANCE


def test_private_names_of_jax_are_in_one_file_and_exist():
  root = pathlib.Path(distributed.__file__).parents[2]
  using = [p.name for p in root.rglob("*.py") if "jax._src" in p.read_text()]
  assert using == ["distributed.py"]
  fields = ("process_id", "num_processes", "client")
  assert all(hasattr(jax_distributed.global_state, field) for field in fields)
