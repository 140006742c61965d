# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Runs a command as several processes of one run, on this machine.

  python launch/local_processes.py --processes=2 --cpu_devices=2 -- \\
    python -m etf_jax.main --config=configs/digits_lt.py --workdir=runs/two

Each gets the command with --coordinator_address, --num_processes and
--process_id behind it (one alone as it is); its output comes with its number in
front. When one fails the others have --grace seconds to end, then they are
killed; the exit code is that of the first failure. SIGTERM and Ctrl-C are
passed on to all.

With --cpu_devices=N they compute on N virtual CPU devices each, to try out what
a cluster will do. Without it every process sees all accelerators of the
machine, which only CPUs can share: there one process is enough for one machine.
"""

import argparse
from collections.abc import Callable, Sequence
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TextIO


def _show(line: str) -> None:
  # In one piece: print would write the end of the line apart, and lines of two
  # processes would meet.
  sys.stdout.write(f"{line}\n")
  sys.stdout.flush()


class Running:
  """The processes of a run; also for tests, which end some of them."""

  def __init__(
    self,
    command: Sequence[str],
    processes: int,
    *,
    cpu_devices: int | None = None,
    grace: float = 60.0,
    show: Callable[[str], None] = _show,
    environment: dict[str, str] | None = None,
  ):
    """Start them.

    Args:
      command: of each, to which the flags that tell several apart are added.
      processes: how many.
      cpu_devices: virtual devices of each; None: what the machine has.
      grace: seconds that the others have to end after one has failed.
      show: is given each line of output, marked with its process.
      environment: variables beside those of this process.
    """
    self._grace = grace
    self._show = show
    address = f"localhost:{_free_port()}"
    variables = os.environ | (environment or {})
    shown = ""
    if cpu_devices:
      extra = {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(cpu_devices)}
      variables |= extra
      shown = " ".join(f"{k}={v}" for k, v in extra.items()) + " "
    self.processes, self._readers = [], []
    for number in range(processes):
      arguments = list(command)
      if processes > 1:
        arguments += [
          f"--coordinator_address={address}",
          f"--num_processes={processes}",
          f"--process_id={number}",
        ]
      show(f"[{number}] {shown}{shlex.join(arguments)}")
      process = subprocess.Popen(
        arguments,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        # Ctrl-C reaches this process alone, which passes it on.
        start_new_session=True,
      )
      self.processes.append(process)
      reader = threading.Thread(
        target=self._read, args=(number, process.stdout), daemon=True
      )
      reader.start()
      self._readers.append(reader)

  def _read(self, number: int, stream: TextIO) -> None:
    with stream:
      for line in stream:
        self._show(f"[{number}] {line.rstrip()}")

  def signal(self, number: int) -> None:
    """Send a signal to all that still run."""
    for process in self.processes:
      if process.poll() is None:
        process.send_signal(number)

  def wait(self) -> int:
    """Wait until all have ended.

    Returns:
      0, or the exit code of the first that failed; 128 + N for one that
      signal N killed.
    """
    while True:
      codes = [process.poll() for process in self.processes]
      first = next((code for code in codes if code), 0)
      if first or None not in codes:
        break
      time.sleep(0.05)
    if first:
      self._end_others()
    for reader in self._readers:
      reader.join(timeout=5)
    return 128 - first if first < 0 else first

  def _end_others(self) -> None:
    end = time.monotonic() + self._grace
    for number, process in enumerate(self.processes):
      try:
        process.wait(max(0.0, end - time.monotonic()))
      except subprocess.TimeoutExpired:
        self._show(f"[{number}] did not end in {self._grace:g} s: killed")
        process.kill()
        process.wait()


def _free_port() -> int:
  with socket.socket() as free:
    free.bind(("localhost", 0))
    return free.getsockname()[1]


def main(argv: Sequence[str]) -> int:
  """Run the command; returns its exit code."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--processes", type=int, default=2)
  parser.add_argument("--cpu_devices", type=int)
  parser.add_argument("--grace", type=float, default=60.0)
  parser.add_argument("command", nargs="+", help="behind --")
  options = parser.parse_args(argv)
  if options.processes < 1:
    parser.error("--processes must be at least 1")
  running = Running(
    options.command,
    options.processes,
    cpu_devices=options.cpu_devices,
    grace=options.grace,
  )
  for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: running.signal(signal.SIGTERM))
  return running.wait()


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
