# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Faults that strike a run: each waits for a moment of a start, and strikes.

Each start must go on from the newest save that is intact.
"""

import contextlib
import json
import resource
import signal
import subprocess
import time

_PATIENCE = 300.0  # seconds, after which a run is stuck, on a loaded machine


def saved(workdir):
  """The steps whose saving was completed."""
  folders = (workdir / "checkpoints").glob("*")
  return {int(path.name) for path in folders if path.name.isdigit()}


class Attempt:
  """One start of a run, under way.

  Attributes:
    newest: the newest intact save before it.
    process: the run.
  """

  def __init__(self, command, workdir, damaged=()):
    self.workdir = workdir
    self._metrics, self._lock = workdir / "metrics.jsonl", workdir / ".lock"
    self._old = _lines(self._metrics)
    self._states = state_of(self._metrics), state_of(self._lock)
    self.newest = max(saved(workdir) - {*damaged}, default=0)
    self._log = workdir.with_suffix(".log")
    with self._log.open("wb") as log:
      self.process = subprocess.Popen(
        command, stdout=log, stderr=subprocess.STDOUT
      )

  @property
  def output(self):
    return self._log.read_text()

  def await_that(self, condition):
    """Wait for a moment of the run."""
    end = time.monotonic() + _PATIENCE
    while not condition():
      assert self.process.poll() is None, f"it has ended:\n{self.output}"
      if time.monotonic() > end:
        raise TimeoutError(f"stuck:\n{self.output}")
      time.sleep(0.002)

  def in_restore(self):
    """True once it has taken its directory, to look for what to restore."""
    return state_of(self._lock) != self._states[1]

  def resumed(self):
    """The step that it has gone on from; None: not known yet."""
    if state_of(self._metrics)[:1] == self._states[0][:1]:
      return None
    # Its file begins with the old one's rows up to that step. No row that it
    # writes is equal to one that it dropped: they tell of speeds.
    kept = 0
    for line, old in zip(_lines(self._metrics), self._old, strict=False):
      if line != old:
        break
      kept = json.loads(line)["step"]
    return kept

  def step(self):
    """The last step that it has told of; 0: of none of its own."""
    lines = _lines(self._metrics) if self.resumed() is not None else []
    return json.loads(lines[-1])["step"] if lines else 0

  def end(self):
    """Wait for its end; the exit code, -N after signal N."""
    return self.process.wait(_PATIENCE)


def state_of(path):
  """Differs when a file has been replaced or written to."""
  try:
    stat = path.stat()
  except FileNotFoundError:
    return 0, 0
  return stat.st_ino, stat.st_mtime_ns


def _lines(path):
  """Without a last line that is not complete."""
  with contextlib.suppress(FileNotFoundError):
    return path.read_bytes().split(b"\n")[:-1]
  return []


def _await_moment(attempt, draw):
  step = draw.randint(attempt.newest + 1, attempt.newest + 5)
  attempt.await_that(lambda: attempt.step() >= step)
  time.sleep(draw.uniform(0.0, 0.1))


def _kill(attempt, draw):
  """Kill -9, while it trains or saves."""
  _await_moment(attempt, draw)
  attempt.process.kill()
  return attempt.end()


def _term(attempt, draw):
  """SIGTERM; it says what it has saved."""
  _await_moment(attempt, draw)
  attempt.process.terminate()
  code = attempt.end()
  assert f"saved at step {max(saved(attempt.workdir))};" in attempt.output
  return code


def _limit(attempt, draw):
  """Files cannot grow any more (RLIMIT_FSIZE), as if the disk were full."""
  _await_moment(attempt, draw)
  size = int(10 ** draw.uniform(2.0, 4.0))
  resource.prlimit(attempt.process.pid, resource.RLIMIT_FSIZE, (size, size))
  return attempt.end()


def _restore(attempt, draw):
  """Kill -9, while or soon after it restores the state."""
  attempt.await_that(attempt.in_restore)
  time.sleep(draw.uniform(0.0, 0.5))
  attempt.process.kill()
  return attempt.end()


def _flip(attempt, draw):
  """Kill -9, and a flipped bit in a file of the newest save that counts."""
  # There is one before it to go on from.
  attempt.await_that(lambda: attempt.resumed() is not None)
  attempt.await_that(lambda: len(saved(attempt.workdir)) > 1)
  code = _kill(attempt, draw)
  folder = attempt.workdir / "checkpoints" / str(max(saved(attempt.workdir)))
  listed = (folder / "default" / "SHA256SUMS").read_text().splitlines()
  path = folder / "default" / draw.choice(listed).partition("  ")[2]
  content = bytearray(path.read_bytes())
  content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
  path.write_bytes(content)
  return code


# By name: called with a start and random numbers, it returns the exit code; and
# the code that is promised.
FAULTS = {
  "kill": (_kill, -signal.SIGKILL),
  "term": (_term, 75),
  "limit": (_limit, 2),
  "flip": (_flip, -signal.SIGKILL),
  "restore": (_restore, -signal.SIGKILL),
}
