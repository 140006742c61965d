# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Starts of a run in one or several processes, for `chaos_rounds`."""

from collections.abc import Callable
import contextlib
import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import threading
import time

import chaos
import local_processes
import process_runs

_RUN = (
  *("--config=etf_jax:digits_lt", "--config.total_epochs=6"),
  *("--config.augment.crop_padding=0", "--config.batch_size=122"),
  *("--config.model.name=tiny_runs:Tiny", "--config.ema_decay=0.9"),
  *("--config.eval.every_epochs=1", "--config.collapse.every_epochs=2"),
  *("--config.checkpoint.every_steps=2", "--config.checkpoint.keep=3"),
  "--config.report.log_every_steps=1",
)
_PATIENCE = 240.0  # seconds, after which a start hangs
# A clock that jumps by the seconds in $CLOCK_FILE.
_CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
static long offset(void) {
  long seconds = 0;
  const char *path = getenv("CLOCK_FILE");
  FILE *file = path ? fopen(path, "r") : NULL;
  if (file && fscanf(file, "%ld", &seconds) != 1) seconds = 0;
  if (file) fclose(file);
  return seconds;
}
int clock_gettime(clockid_t id, struct timespec *t) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
  int code = real(id, t);
  if (id == CLOCK_REALTIME) t->tv_sec += offset();
  return code;
}
int gettimeofday(struct timeval *restrict t, void *restrict zone) {
  static int (*real)(struct timeval *, void *);
  if (!real) real = dlsym(RTLD_NEXT, "gettimeofday");
  int code = real(t, zone);
  t->tv_sec += offset();
  return code;
}
time_t time(time_t *t) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (t) *t = now.tv_sec;
  return now.tv_sec;
}
"""


def build_clock(folder: Path) -> dict[str, str]:
  """Build a clock that jumps; the environment of processes that read it."""
  library, source = folder / "clock.so", folder / "clock.c"
  source.write_text(_CLOCK)
  subprocess.run(
    ["gcc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True
  )
  return {"LD_PRELOAD": str(library), "CLOCK_FILE": str(folder / "clock")}


class Start:
  """One start of the command, in one or several processes, under way."""

  def __init__(
    self,
    workdir: Path,
    data: Path,
    processes: int,
    variables: dict[str, str],
  ):
    self.workdir, self.metrics = workdir, workdir / "metrics.jsonl"
    self._before = (
      chaos.state_of(self.metrics),
      chaos.state_of(workdir / ".lock"),
    )
    command = [sys.executable, "-m", "etf_jax.main", *_RUN]
    command += [f"--workdir={workdir}", f"--config.data.data_dir={data}"]
    port = local_processes._free_port()
    self.processes, self._texts, self._readers = [], [], []
    for number in range(processes):
      more = [
        f"--coordinator_address=localhost:{port}",
        f"--num_processes={processes}",
        f"--process_id={number}",
      ]
      process = subprocess.Popen(
        command + (more if processes > 1 else []),
        stdout=subprocess.PIPE,  # which no limit of files' sizes meets
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env=process_runs.environment(**variables),
      )
      lines: list[bytes] = []
      reader = threading.Thread(target=lines.extend, args=(process.stdout,))
      reader.start()
      self.processes.append(process)
      self._texts.append(lines)
      self._readers.append(reader)

  def over(self) -> bool:
    """Return True once a process has ended."""
    return any(process.poll() is not None for process in self.processes)

  def wait_for(self, condition: Callable[[], bool]) -> None:
    """Wait for a moment, or the end."""
    end = time.monotonic() + _PATIENCE
    while not (self.over() or condition() or time.monotonic() > end):
      time.sleep(0.001)

  def locked(self) -> bool:
    """Return True once the directory is taken."""
    return chaos.state_of(self.workdir / ".lock") != self._before[1]

  def rows(self) -> list[dict]:
    """Return the last row that this start has written, in a list."""
    if chaos.state_of(self.metrics)[:1] == self._before[0][:1]:
      return []
    with contextlib.suppress(OSError, ValueError):
      lines = self.metrics.read_bytes().split(b"\n")[:-1]
      return [json.loads(lines[-1])] if len(lines) else []
    return []

  def end(self) -> tuple[list[int | None], list[str]]:
    """Wait; the codes (None: hung) and what was said."""
    end = time.monotonic() + _PATIENCE
    codes: list[int | None] = []
    for process in self.processes:
      try:
        codes.append(process.wait(max(0.1, end - time.monotonic())))
      except subprocess.TimeoutExpired:
        codes.append(None)
    time.sleep(0.2)
    for process in self.processes:
      with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, 0)
        if _alive(process.pid):
          codes.append(None)  # a child that was left behind
        os.killpg(process.pid, signal.SIGKILL)
      process.wait()
    for reader in self._readers:
      reader.join()
    texts = [b"".join(t).decode(errors="replace") for t in self._texts]
    return codes, texts


def _alive(group: int) -> bool:
  """Return True if a process of a group does not end within seconds."""
  end = time.monotonic() + 10
  while time.monotonic() < end:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
      with contextlib.suppress(OSError):
        fields = stat.read_text().rpartition(")")[2].split()
        found.append(int(fields[2]) == group and fields[0] != "Z")
    if not any(found):
      return False
    time.sleep(0.2)
  return True
