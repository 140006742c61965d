# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Several processes on one machine: what is passed on, and how they end."""

import pathlib
import signal
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "launch" / "local_processes.py"
# Prints what it was given; then what a test wants of this process.
CHILD = """
import os, sys, time
flags = dict(a[2:].split("=") for a in sys.argv[1:] if a.startswith("--"))
me = int(flags["process_id"])
print("given", sorted(flags.items()), os.environ.get("JAX_NUM_CPU_DEVICES"))
sys.stdout.flush()
"""


@pytest.fixture
def start(tmp_path):
  def run(code, *options):
    path = tmp_path / "child.py"
    path.write_text(CHILD + code)
    return subprocess.Popen(
      [sys.executable, str(SCRIPT), *options, "--", sys.executable, str(path)],
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
    )

  return run


def test_each_is_told_who_it_is(start):
  process = start("", "--processes=3", "--cpu_devices=2")
  said = process.communicate(timeout=60)[0].splitlines()
  assert process.returncode == 0
  for number in range(3):
    own = [s for s in said if s.startswith(f"[{number}] ")]
    assert own[0].startswith(
      f"[{number}] JAX_PLATFORMS=cpu JAX_NUM_CPU_DEVICES=2 {sys.executable} "
    )
    assert own[0].endswith(f"--num_processes=3 --process_id={number}")
    assert own[1].endswith(
      f"('num_processes', '3'), ('process_id', '{number}')] 2"
    )
  # One may speak before the next is started.
  shown = [s for s in said if " JAX_PLATFORMS=cpu " in s]
  addresses = {s.split("coordinator_address=")[1].split()[0] for s in shown}
  assert len(addresses) == 1
  assert addresses.pop().startswith("localhost:")


def test_the_first_failure_ends_the_others(start):
  process = start(
    "if me == 1: sys.exit(7)\ntime.sleep(60)", "--processes=2", "--grace=0.5"
  )
  said, _ = process.communicate(timeout=50)
  assert process.returncode == 7
  assert "[0] did not end in 0.5 s: killed" in said


def test_a_killed_process_is_128_and_its_signal(start):
  process = start(
    "if me == 1: os.kill(os.getpid(), 9)\ntime.sleep(60)", "--grace=0.5"
  )
  process.communicate(timeout=50)
  assert process.returncode == 128 + 9


def test_sigterm_is_passed_on(start):
  process = start(
    "import signal\n"
    "signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))\n"
    "print('ready', flush=True)\n"
    "time.sleep(60)"
  )
  ready = 0
  while ready < 2:
    ready += "ready" in process.stdout.readline()
  process.send_signal(signal.SIGTERM)
  process.communicate(timeout=50)
  assert process.returncode == 75
