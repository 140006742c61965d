# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""SIGTERM to a run of one process: it saves, ends, and goes on as if nothing
had been (of several processes: test_processes.py).
"""

import json
import shutil
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest
import tiny_process_config
import tiny_runs

from etf_jax import data, main
from etf_jax.errors import InputError
from etf_jax.training import loop
from etf_jax.training.parallel import distributed
from etf_jax.training.setup import make_trainer


@pytest.fixture(scope="module")
def trainer(digits_dir):
  config = tiny_runs.config(
    digits_dir,
    "etf_dr",
    {"report.log_every_steps": 5, "eval.every_steps": 4, "collapse.splits": ()},
  )
  return make_trainer(config, data.load(config.data))


@pytest.fixture(scope="module")
def straight(trainer, tmp_path_factory):
  """A run that is left alone."""
  workdir = tmp_path_factory.mktemp("straight") / "run"
  loop.train_seed(trainer, 0, workdir)
  return workdir


def test_stopped_three_times_equals_left_alone(trainer, straight, tmp_path):
  stopped = tmp_path / "stopped"
  before = signal.getsignal(signal.SIGTERM)
  # In the middle of a window of training metrics, after two more steps, and
  # in a step after which the run evaluates and saves anyway.
  for step in (1, 3, 7):
    with pytest.raises(distributed.Preempted) as told:
      loop.train_seed(tiny_runs.terminated(trainer, step), 0, stopped)
    assert str(told.value) == f"stopped and saved at step {step + 1}"
    assert signal.getsignal(signal.SIGTERM) is before
  loop.train_seed(trainer, 0, stopped)
  assert tiny_runs.rows(stopped) == tiny_runs.rows(straight)
  like = tiny_runs.begin(trainer)
  jax.tree.map(
    np.testing.assert_array_equal,
    *(tiny_runs.variables(place, like) for place in (stopped, straight)),
  )


@pytest.mark.slow
def test_in_the_last_step_it_ends_as_it_would(trainer, tmp_path):
  final = loop.train_seed(
    tiny_runs.terminated(trainer, tiny_runs.STEPS - 1), 0, tmp_path / "run"
  )
  assert final["kind"] == "final"


@pytest.mark.slow
def test_a_window_of_another_step_is_left(trainer, tmp_path):
  workdir = tmp_path / "run"
  with pytest.raises(distributed.Preempted):
    loop.train_seed(tiny_runs.terminated(trainer, 2), 0, workdir)
  kept = json.loads((workdir / "window.json").read_text())
  assert kept["step"] == 3
  assert kept["first"] == 0
  assert len(kept["metrics"]) == 3
  (workdir / "window.json").write_text(json.dumps(kept | {"step": 2}))
  with pytest.raises(InputError, match=r"window\.json.*put it back"):
    loop.train_seed(trainer, 0, workdir)


@pytest.mark.slow
def test_killed_while_it_stops_a_second_time(trainer, straight, tmp_path):
  """The window of step 6 is written, and its checkpoint not complete."""
  workdir = tmp_path / "run"
  with pytest.raises(distributed.Preempted):
    loop.train_seed(tiny_runs.terminated(trainer, 2), 0, workdir)
  first = tmp_path / "first"
  shutil.copytree(workdir / "checkpoints", first)
  with pytest.raises(distributed.Preempted):
    loop.train_seed(tiny_runs.terminated(trainer, 5), 0, workdir)
  shutil.rmtree(workdir / "checkpoints")
  first.rename(workdir / "checkpoints")
  loop.train_seed(trainer, 0, workdir)
  assert tiny_runs.rows(workdir) == tiny_runs.rows(straight)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [("TERM", 75), ("INT", 130)])
def test_the_command_ends_with_a_code(
  number, code, digits_dir, tmp_path, monkeypatch, capsys
):
  monkeypatch.setenv(f"{number}_AT_STEP", "1")
  before = signal.getsignal(signal.SIGINT)
  path = tiny_process_config.__file__
  ended = main.main(
    [
      "main",
      f"--config={path}",
      f"--config.data.data_dir={digits_dir}",
      "--config.devices=1",
      f"--workdir={tmp_path / 'run'}",
    ]
  )
  assert ended == code
  assert signal.getsignal(signal.SIGINT) is before
  line = capsys.readouterr().err.splitlines()[-1]
  assert line.startswith("stopped and saved at step ")
  assert line.endswith("; the same command continues")


def test_a_second_ctrl_c_ends_at_once():
  script = """
import signal
from etf_jax.training.parallel import distributed
with distributed.preemptible():
  signal.raise_signal(signal.SIGINT)
  print(distributed.stop_requested(), distributed.interrupted(), flush=True)
  signal.raise_signal(signal.SIGINT)
  print("still there", flush=True)
"""
  done = subprocess.run(
    [sys.executable, "-c", script], capture_output=True, text=True, check=False
  )
  assert done.stdout == "True True\n"
  assert done.returncode == -signal.SIGINT


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (
      ["--num_processes=2"],
      "--coordinator_address and --process_id must be given too, or"
      " --distributed to find them in the environment",
    ),
    (
      [
        "--coordinator_address=host",
        "--num_processes=2",
        "--process_id=0",
      ],
      "--coordinator_address=host: must be host:port",
    ),
    (
      [
        "--coordinator_address=host:1",
        "--num_processes=2",
        "--process_id=2",
      ],
      "--process_id=2: must be 0 or more, and less than --num_processes=2",
    ),
    (["--num_processes=0"], "--num_processes=0: must be at least 1"),
  ],
)
def test_flags_that_do_not_fit(capsys, arguments, message):
  config = f"--config={tiny_process_config.__file__}"
  assert main.main(["main", config, *arguments]) == 2
  line = capsys.readouterr().err
  assert line.startswith(f"error: {message}")
  assert line.count("\n") == 1
