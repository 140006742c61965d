# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Processes of one run: the same result as one process, whatever ends them."""

import signal
import subprocess

from process_results import assert_same_rows, assert_same_state, train
import process_runs
import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def one(digits_dir, tmp_path_factory):
  """A run of one process with four devices, from its beginning to its end."""
  workdir = tmp_path_factory.mktemp("one") / "run"
  train(digits_dir, workdir, 4)
  return workdir


@pytest.fixture(scope="module")
def unreachable(digits_dir, tmp_path_factory):
  """A process whose coordinator is not there; it waits while others run."""
  workdir = tmp_path_factory.mktemp("unreachable") / "run"
  with subprocess.Popen(
    [
      *process_runs.command(workdir, digits_dir),
      "--coordinator_address=localhost:9",
      "--num_processes=2",
      "--process_id=1",
    ],
    env=process_runs.environment(),
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  ) as process:
    yield process, workdir
    process.kill()


@pytest.fixture(scope="module")
def story(unreachable, digits_dir, tmp_path_factory):
  """Two processes of two devices, one of which is killed; then both again, of
  which one is told to stop."""
  workdir = tmp_path_factory.mktemp("two") / "run"
  command = process_runs.command(workdir, digits_dir)
  killed = process_runs.Run(workdir, command, 2, 2, ROW_SECONDS=0.4)
  killed.await_row(5)
  killed.running.processes[1].kill()
  killed.running.wait()
  stopped = process_runs.Run(workdir, command, 2, 2, ROW_SECONDS=0.4)
  stopped.await_row(5)
  stopped.running.processes[1].send_signal(signal.SIGTERM)
  stopped.code = stopped.running.wait()
  return workdir, killed, stopped


def test_a_process_that_is_killed_ends_the_others(story):
  _, killed, _ = story
  # Not the -SIGKILL of one that outlasts the grace of local_processes.py.
  assert killed.codes() == [76, -signal.SIGKILL], killed.output
  (line,) = killed.errors
  assert line.startswith("error: another process of the run, or the way to it")
  assert "the same command continues" in line


def test_sigterm_to_one_process_stops_all_at_one_step(story):
  workdir, _, stopped = story
  assert stopped.codes() == [75, 75], stopped.output
  assert stopped.code == 75
  (line,) = [s for s in stopped.said if "stopped and saved at step" in s]
  step = int(line.split("at step ")[1].split(";")[0])
  assert 5 < step < 12
  newest = max(int(p.name) for p in (workdir / "checkpoints").iterdir())
  assert newest == step
  # Process 0 alone tells what happens; JAX may have warnings of its own.
  told = [s for s in stopped.said if "step " in s or " seed 0 in " in s]
  assert len(told) >= 3
  assert {s[:3] for s in told} == {"[0]"}


# In four processes, and fed by a stream: test_elastic.py.
def test_it_goes_on_in_one_process(story, one, digits_dir):
  workdir, _, _ = story
  train(digits_dir, workdir, 4)
  assert_same_rows(workdir, one)
  assert_same_state(workdir, one)
  assert_same_state(workdir, one, "best")


def test_left_alone(one, digits_dir, tmp_path):
  workdir = tmp_path / "run"
  command = process_runs.command(workdir, digits_dir)
  run = process_runs.Run(workdir, command, 2, 2)
  assert run.running.wait() == 0, run.output
  assert_same_rows(workdir, one)
  assert_same_state(workdir, one)


def test_a_coordinator_that_is_not_there(story, unreachable):
  process, workdir = unreachable
  said, _ = process.communicate(timeout=90)
  assert process.returncode == 2, said
  assert said.count("\n") == 1
  assert "the coordinator localhost:9 cannot be reached" in said
  assert not workdir.exists()


@pytest.mark.parametrize(
  ("line", "problems"),
  [
    (
      # Another version of optax, as its metadata tell, and another field.
      "sys.path.insert(0, os.environ['FAKE_PACKAGES'])\n"
      "  sys.argv.append('--config.loss.scaling=paper')",
      (
        "processes of one run must be alike",
        'config.loss.scaling is "class_balanced" in process 0',
        '"paper" in process 1 of 2',
        '"0.0.1" in process 1 of 2',
      ),
    ),
    (
      "sys.argv[-1] += '-of-process-1'",
      ("is not the folder of process 0: give one folder that all",),
    ),
    (
      "os.environ['JAX_NUM_CPU_DEVICES'] = '2'",
      ("devices of a process is 1 in process 0, 2 in process 1 of 2",),
    ),
  ],
)
def test_processes_that_are_not_alike(digits_dir, tmp_path, line, problems):
  fake = tmp_path / "packages" / "optax-0.0.1.dist-info"
  fake.mkdir(parents=True)
  (fake / "METADATA").write_text(
    "Metadata-Version: 2.1\nName: optax\nVersion: 0.0.1\n"
  )
  script = tmp_path / "command.py"
  script.write_text(
    "import os, sys\n"
    "flags = [a for a in sys.argv if a.startswith('--workdir')]\n"
    "sys.argv = [a for a in sys.argv if a not in flags] + flags\n"
    "if '--process_id=1' in sys.argv:\n"
    f"  {line}\n"
    "from etf_jax import main\n"
    "sys.exit(main.main(sys.argv))\n"
  )
  workdir = tmp_path / "run"
  command = process_runs.command(workdir, digits_dir)
  run = process_runs.Run(
    workdir,
    [command[0], str(script), *command[3:]],
    2,
    1,
    grace=60,
    FAKE_PACKAGES=fake.parent,
  )
  run.running.wait()
  assert run.codes() == [2, 2], run.output
  assert len(run.errors) == 2
  for error in run.errors:
    assert all(problem in error for problem in problems), error
  assert not (workdir / "config.json").exists()
