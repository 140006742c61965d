# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Calls that are struck: each in a process of its own, within limits."""

from collections.abc import Callable, Iterator
import contextlib
import io
import os
import resource
import signal
import sys
import time
import traceback
from typing import Any, NamedTuple


class Outcome(NamedTuple):
  """Outcome of a call.

  Attributes:
    code: exit code; -N: ended by signal N.
    seconds: until the end.
    megabytes: the most memory that the call added to the process.
    text: what was written to standard error.
  """

  code: int
  seconds: float
  megabytes: float
  text: str

  @property
  def well(self) -> bool:
    """Return True after an answer, or one line with code 2."""
    lines = self.text.splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    plain = "Traceback (most recent call last)" not in self.text
    return plain and (
      self.code == 0
      or (self.code == 2 and len(errors) == 1 and errors == lines[-1:])
    )


def strike(
  call: Callable[[], int | None], seconds: float = 60, megabytes: int = 2000
) -> Outcome:
  """Call in a forked process, which is killed beyond its limits.

  Args:
    call: returns an exit code; what it prints is held back.
    seconds: until SIGKILL.
    megabytes: of data that the process may add to what it has.
  """
  reading, writing = os.pipe()
  began = time.monotonic()
  child = os.fork()
  if not child:
    _run(call, writing, megabytes)
  os.close(writing)
  text = b""
  with contextlib.suppress(TimeoutError), _alarm(child, seconds):
    while part := os.read(reading, 1 << 16):
      text += part
  os.close(reading)
  _, status, usage = os.wait4(child, 0)
  return Outcome(
    os.waitstatus_to_exitcode(status),
    time.monotonic() - began,
    usage.ru_maxrss / 1024,
    text.decode(errors="replace"),
  )


def _run(call: Callable[[], Any], writing: int, megabytes: int) -> None:
  code = 1
  try:
    with open("/proc/self/statm") as file:
      pages = int(file.read().split()[5])
    limit = pages * resource.getpagesize() + (megabytes << 20)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.dup2(writing, 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.stdout, sys.stderr = io.StringIO(), os.fdopen(2, "w", closefd=False)
    code = call() or 0
  except BaseException:
    traceback.print_exc()
  finally:
    sys.stderr.flush()
    os._exit(code)


@contextlib.contextmanager
def _alarm(child: int, seconds: float) -> Iterator[None]:
  def expire(*_):
    os.kill(child, signal.SIGKILL)

  before = signal.signal(signal.SIGALRM, expire)
  signal.setitimer(signal.ITIMER_REAL, seconds)
  try:
    yield
  finally:
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
