# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The faults of chaos.py: each waits for a moment of a run, and strikes it."""

from collections.abc import Callable, Sequence
import contextlib
import dataclasses
import json
import os
from pathlib import Path
import random
import resource
import signal
import time

from local_processes import Running

# The codes that the README promises.
_MEND, _PREEMPTED, _LOST = 2, 75, 76
_PATIENCE = 300.0  # seconds, after which a run is stuck, on a loaded machine
_GRACE = 60.0  # seconds in which a process ends after another one has died


class Missed(Exception):
  """The run ended before it was struck; holds the exit codes."""


@dataclasses.dataclass
class Strike:
  """A fault that has struck.

  Attributes:
    where: the last step that the run had told of, or "start" or "restore".
    codes: the exit codes of its processes; -N: killed by signal N.
    seconds: until all had ended.
    name: of the fault.
    damaged: the save that was damaged, if one was.
    again: steps that the run had told of and had to compute again; None: not
      known yet.
    wrong: what was not as promised.
  """

  where: int | str
  codes: list[int]
  seconds: float
  name: str = ""
  damaged: int | None = None
  again: int | None = None
  wrong: list[str] = dataclasses.field(default_factory=list)

  def __str__(self):
    return (
      f"{self.name} at {self.where}: exit codes {self.codes} after"
      f" {self.seconds:.1f} s{''.join(f'; {w}' for w in self.wrong)}"
    )


def saved(workdir: Path) -> set[int]:
  """The steps whose saving was completed."""
  folders = (workdir / "checkpoints").glob("*")
  return {int(path.name) for path in folders if path.name.isdigit()}


class Attempt:
  """One start of a run, under way."""

  def __init__(
    self,
    command: Sequence[str],
    workdir: Path,
    processes: int,
    cpu_devices: int,
    damaged: set[int],
  ):
    """Start it.

    Args:
      command: of each process.
      workdir: of the run.
      processes: how many.
      cpu_devices: of each.
      damaged: steps that the run cannot go on from.
    """
    self.workdir, self.said = workdir, []
    self._metrics, self._lock = workdir / "metrics.jsonl", workdir / ".lock"
    self._old = _lines(self._metrics)
    self._states = _state(self._metrics), _state(self._lock)
    self.newest = max(saved(workdir) - damaged, default=0)
    self.running = Running(
      command,
      processes,
      cpu_devices=cpu_devices,
      grace=_GRACE,
      show=self.said.append,
    )
    self.processes = self.running.processes

  def await_that(self, condition: Callable[[], bool]) -> None:
    """Wait for a moment.

    Raises:
      Missed: the run ended before.
    """
    end = time.monotonic() + _PATIENCE
    while not condition():
      if any(p.poll() is not None for p in self.processes):
        raise Missed(*self.end()[:1])
      if time.monotonic() > end:
        raise Missed(f"stuck for {_PATIENCE:g} s")
      time.sleep(0.002)

  def in_restore(self) -> bool:
    """Whether it has taken its directory, and so looks for what to restore."""
    return _state(self._lock) != self._states[1]

  def resumed(self) -> int | None:
    """The step that it has gone on from; None: not known yet."""
    if _state(self._metrics)[:1] == self._states[0][:1]:
      return None
    # Its file begins with the old one's rows up to that step. No row that it
    # writes is equal to one that it dropped: they tell of speeds.
    kept = 0
    for line, old in zip(_lines(self._metrics), self._old, strict=False):
      if line != old:
        break
      kept = json.loads(line)["step"]
    return kept

  def step(self) -> int:
    """The last step that it has told of; 0: of none of its own."""
    lines = _lines(self._metrics) if self.resumed() is not None else []
    return json.loads(lines[-1])["step"] if lines else 0

  def kill(self) -> None:
    """Kills what is left of it."""
    self.running.signal(signal.SIGKILL)
    self.running.wait()

  def end(self) -> tuple[list[int], float]:
    """Wait for its end; the exit codes, and after how many seconds."""
    began = time.monotonic()
    while time.monotonic() < began + _PATIENCE:
      codes = [process.poll() for process in self.processes]
      if any(codes) or None not in codes:
        break
      time.sleep(0.02)
    else:
      self.running.signal(signal.SIGKILL)
    self.running.wait()
    codes = [process.returncode for process in self.processes]
    return codes, time.monotonic() - began

  def struck(self, promised: Callable[[list[int]], bool], where=None) -> Strike:
    """What came of a fault.

    Args:
      promised: whether exit codes are what they should be.
      where: see `Strike`; default: the last step.

    Raises:
      Missed: the run has ended as if nothing had been.
    """
    where = self.step() if where is None else where
    codes, seconds = self.end()
    if not any(codes):
      raise Missed(codes)
    strike = Strike(where, codes, seconds)
    if not promised(codes):
      strike.wrong.append(f"unexpected exit codes:\n{self.tail()}")
    return strike

  def tail(self) -> str:
    """The end of what it said."""
    return "\n".join(self.said[-200:])


def _state(path: Path) -> tuple[int, int]:
  """Differs when a file has been replaced or written to."""
  try:
    stat = path.stat()
  except FileNotFoundError:
    return 0, 0
  return stat.st_ino, stat.st_mtime_ns


def _lines(path: Path) -> list[bytes]:
  """Without a last line that is not complete."""
  try:
    return path.read_bytes().split(b"\n")[:-1]
  except FileNotFoundError:
    return []


def _await_moment(attempt: Attempt, draw: random.Random, total: int) -> None:
  first = attempt.newest + 1
  step = draw.randint(first, first + total // 4)
  after = draw.uniform(0.0, 0.1)
  attempt.await_that(lambda: attempt.step() >= step)
  time.sleep(after)


def _all_killed(codes):
  return set(codes) == {-signal.SIGKILL}


def _some_must_mend(codes):
  return _MEND in codes and set(codes) <= {_MEND, _LOST}


def _kill(attempt, draw, total):
  """Kill -9 of all processes, now and then while they start."""
  where = None
  if draw.random() < 0.2:
    time.sleep(draw.uniform(0.0, 4.0))
    where = "start" if attempt.resumed() is None else None
  else:
    _await_moment(attempt, draw, total)
  attempt.running.signal(signal.SIGKILL)
  return attempt.struck(_all_killed, where)


def _restore(attempt, draw, total):
  """Kill -9 of all processes, while or soon after they restore the state."""
  del total
  attempt.await_that(attempt.in_restore)
  time.sleep(draw.uniform(0.0, 0.5))
  attempt.running.signal(signal.SIGKILL)
  where = "restore" if attempt.resumed() is None else None
  return attempt.struck(_all_killed, where)


def _peer(attempt, draw, total):
  """Kill -9 of one of several processes."""
  _await_moment(attempt, draw, total)
  dead = draw.randrange(len(attempt.processes))
  attempt.processes[dead].kill()
  expected = [_LOST] * len(attempt.processes)
  expected[dead] = -signal.SIGKILL
  return attempt.struck(lambda codes: codes == expected)


def _term(attempt, draw, total):
  """SIGTERM to one process."""
  _await_moment(attempt, draw, total)
  draw.choice(attempt.processes).send_signal(signal.SIGTERM)
  strike = attempt.struck(lambda codes: set(codes) == {_PREEMPTED})
  stopped = [s for s in attempt.said if "stopped and saved at step " in s]
  step = max(saved(attempt.workdir), default=0)
  if not any(f"saved at step {step};" in s for s in stopped):
    strike.wrong.append(f"{stopped}, but the newest save is {step}")
  return strike


def _limit(attempt, draw, total):
  """Files cannot grow any more (RLIMIT_FSIZE), as if the disk were full."""
  size = int(10 ** draw.uniform(2.0, 4.0))
  _await_moment(attempt, draw, total)
  for process in attempt.processes:
    for pid in (process.pid, *_children(process.pid)):
      with contextlib.suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, size))
  return attempt.struck(_some_must_mend)


def _children(pid: int) -> list[int]:
  try:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
  except FileNotFoundError:
    return []
  return [int(child) for child in text.split()]


def _disk(attempt, draw, total):
  """The disk of the run is full, until it has ended."""
  _await_moment(attempt, draw, total)
  where, began = attempt.step(), time.monotonic()
  filler = attempt.workdir.parent / "filler"
  try:
    with filler.open("ab", buffering=0) as file:
      while all(process.poll() is None for process in attempt.processes):
        _fill(file)  # again, for old checkpoints are deleted
        if time.monotonic() > began + _PATIENCE:
          attempt.kill()
    strike = attempt.struck(_some_must_mend, where)
  finally:
    filler.unlink()
  strike.seconds = time.monotonic() - began
  return strike


def _fill(file):
  size = 1 << 20
  while size:
    try:
      file.write(bytes(size))
    except OSError:
      size //= 2
  time.sleep(0.01)


def _damage(how):
  """Kill -9 of all processes, then damage to a file of the newest save."""

  def strike(attempt, draw, total):
    # There is one before it to go on from. What was damaged before is put
    # aside when the run has resumed.
    attempt.await_that(lambda: attempt.resumed() is not None)
    attempt.await_that(lambda: len(saved(attempt.workdir)) > 1)
    _await_moment(attempt, draw, total)
    attempt.running.signal(signal.SIGKILL)
    struck = attempt.struck(_all_killed)
    struck.damaged = max(saved(attempt.workdir))
    folder = attempt.workdir / "checkpoints" / str(struck.damaged) / "default"
    # Those that count: the others say what is known without them.
    listed = (folder / "SHA256SUMS").read_text().splitlines()
    how(folder / draw.choice(listed).partition("  ")[2], draw)
    return struck

  return strike


def _truncate(path, draw):
  os.truncate(path, draw.randrange(path.stat().st_size))


def _remove(path, draw):
  del draw
  path.unlink()


def _flip(path, draw):
  content = bytearray(path.read_bytes())
  content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
  path.write_bytes(content)


# By name: called with a start of a run, random numbers and the run's steps.
FAULTS = {
  "kill": _kill,
  "peer": _peer,
  "term": _term,
  "limit": _limit,
  "disk": _disk,
  "truncate": _damage(_truncate),
  "remove": _damage(_remove),
  "flip": _damage(_flip),
  "restore": _restore,
}
