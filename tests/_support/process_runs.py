# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Runs of several processes, started as a user starts them on one machine."""

import json
import os
import pathlib
import sys
import time

import local_processes

ROOT = pathlib.Path(__file__).parents[2]

PATIENCE = 300  # seconds, of a loaded machine


def command(workdir, digits_dir, *arguments):
  return [
    sys.executable,
    "-m",
    "etf_jax.main",
    f"--config={ROOT / 'tests/_support/tiny_process_config.py'}",
    f"--config.data.data_dir={digits_dir}",
    f"--workdir={workdir}",
    *arguments,
  ]


def environment(**more):
  path = [str(ROOT), str(ROOT / "tests/_support")]
  extra = more.pop("PYTHONPATH", None)
  return os.environ | {
    "PYTHONPATH": os.pathsep.join([extra, *path] if extra else path),
    "ROW_SECONDS": "0",
    **{name: str(value) for name, value in more.items()},
  }


class Run:
  """A run under way, and what it has said so far."""

  def __init__(
    self, workdir, arguments, processes, devices, *, grace=90, **variables
  ):
    self.said = []
    self._metrics = workdir / "metrics.jsonl"
    self._old = self._metrics.stat().st_ino if self._metrics.exists() else None
    self.running = local_processes.Running(
      arguments,
      processes,
      cpu_devices=devices,
      grace=grace,
      show=self.said.append,
      environment=environment(**variables),
    )

  @property
  def output(self):
    return "\n".join(self.said)

  @property
  def errors(self):
    """The lines of error of each process, without its number."""
    return [
      line.partition("] ")[2] for line in self.said if "] error: " in line
    ]

  def codes(self):
    return [process.returncode for process in self.running.processes]

  def await_row(self, step):
    """Wait until this run has written a row of a step or of a later one."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
      done = [p.poll() for p in self.running.processes]
      assert all(code is None for code in done), f"{done}\n{self.output}"
      path = self._metrics
      # A run that continues replaces the file that it finds.
      new = path.exists() and path.stat().st_ino != self._old
      text = path.read_text() if new else ""
      lines = text.splitlines() if text.endswith("\n") else []
      if any(json.loads(line)["step"] >= step for line in lines):
        return
      time.sleep(0.02)
    raise AssertionError(f"no step {step} in {PATIENCE} s:\n{self.output}")
