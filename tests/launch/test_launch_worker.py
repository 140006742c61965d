# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The worker of a TPU pod, in a home of the test."""

import os
import shutil
import signal
import subprocess
import time

from launch_scripts import (
  KWARGS,
  LAUNCH,
  RUN,
  commands,
  make_checkout,
  path_with,
  program,
  revision_of,
  worker_command,
)
import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path):
  """A worker's home, where the package is installed."""
  shutil.copy(LAUNCH / "tpu_worker.sh", tmp_path / "etf_jax_worker.sh")
  program(
    tmp_path / "etf_jax-0123/.venv/bin/python",
    'printf "<%s>" "$@"; echo\n'
    'case "$*" in\n'
    "  *wait*) trap 'echo saved; exit 75' TERM\n"
    "    while :; do sleep 0.1; done ;;\n"
    "esac\n"
    "exit 3",
  )
  return tmp_path


def worker(home, *words, **kwargs):
  """Start what gcloud would start on a worker."""
  return subprocess.Popen(
    ["bash", "-c", worker_command(*words)],
    env=os.environ | {"HOME": str(home)},
    cwd=home,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
    **kwargs,
  )


def outcome(process):
  text, _ = process.communicate(timeout=30)
  return process.returncode, text


def test_a_worker_runs_the_arguments_as_they_were_given(home):
  code, text = outcome(worker(home, "run", "pod-1", "0123", *RUN, KWARGS))
  assert code == 3
  printed, words = text.splitlines()
  expected = ["-m", "etf_jax.main", "--distributed", *RUN, KWARGS]
  assert words == "".join(f"<{word}>" for word in expected)
  (command,) = commands(printed)
  assert command == [str(home / "etf_jax-0123/.venv/bin/python"), *expected]
  # Once more, though the log of the first is there.
  assert outcome(worker(home, "run", "pod-1", "0123", *RUN, KWARGS))[1] == text


def test_a_run_outlives_its_connection_and_is_found_again(home):
  words = ("run", "pod-1", "0123", "--config=wait")
  first = worker(home, *words, start_new_session=True)
  log = home / "etf_jax-runs/pod-1/log"
  until(lambda: log.exists() and "wait" in log.read_text())
  os.killpg(first.pid, signal.SIGKILL)
  first.communicate()
  second = worker(home, *words)
  until(lambda: "found again" in second.stdout.readline())

  code, text = outcome(worker(home, "run", "pod-1", "0123", "--config=other"))
  assert code == 2
  assert "another command runs here" in text
  assert "--stop" in text

  code, text = outcome(worker(home, "stop", "pod-1"))
  assert code == 0
  assert text.startswith("+ kill -TERM ")
  assert outcome(second) == (130, "saved\n")
  assert "nothing to stop" in outcome(worker(home, "stop", "pod-1"))[1]
  # It was started once.
  assert log.read_text().count("wait") == 1


def test_a_preempted_run_tells_so(home):
  process = worker(home, "run", "pod-1", "0123", "--config=wait")
  folder = home / "etf_jax-runs/pod-1"
  until(
    lambda: (folder / "log").exists() and "wait" in (folder / "log").read_text()
  )
  os.kill(int((folder / "pid").read_text()), signal.SIGTERM)
  code, text = outcome(process)
  assert code == 75
  assert text.endswith("saved\n")


def until(condition):
  for _ in range(600):
    if condition():
      return
    time.sleep(0.05)
  pytest.fail("waited in vain")


def test_a_worker_installs_each_revision_once(tmp_path):
  checkout = make_checkout(tmp_path / "checkout")
  revision = revision_of(checkout)
  bundle = tmp_path / f"etf_jax-{revision}.bundle"
  subprocess.run(
    ["git", "bundle", "create", "--quiet", bundle, "HEAD"],
    check=True,
    cwd=checkout,
  )
  shutil.copy(LAUNCH / "tpu_worker.sh", tmp_path / "etf_jax_worker.sh")
  program(
    tmp_path / "bin/python3",
    'echo "$@" >>"$HOME/calls"\n'
    'if [ "$2" = uv ]; then\n'
    '  mkdir -p "${!#}/bin"; cp "$0" "${!#}/bin/python"\n'
    "fi",
  )
  home = tmp_path / f"etf_jax-{revision}"
  for _ in range(2):
    done = subprocess.run(
      ["bash", "etf_jax_worker.sh", "install", revision],
      cwd=tmp_path,
      env=path_with(tmp_path / "bin") | {"HOME": str(tmp_path)},
      check=True,
      capture_output=True,
      text=True,
    )
    assert (tmp_path / "calls").read_text().splitlines() == [
      "-m pip install --quiet --user uv",
      f"-m uv venv --quiet --python=3.12 --seed {home}/.venv",
      f"-m pip install --quiet --editable {home}[tpu]",
    ]
  assert not done.stdout
  here = subprocess.run(
    ["git", "-C", home, "rev-parse", "--short=12", "HEAD"],
    capture_output=True,
    text=True,
    check=True,
  )
  assert here.stdout.strip() == revision
