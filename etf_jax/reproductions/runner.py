# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Trains the jobs of a reproduction, one process each.

outcome = runner.run(wanted.jobs, Path("reproduced"), processes=2)

A process is `python -m etf_jax.main` with a job's arguments: a crash takes no
other job with it, and the command can be repeated by hand. Finished runs are
left alone and begun ones go on.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
import contextlib
import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import time
from typing import NamedTuple

import tqdm

from etf_jax.reproductions.jobs import Job
from etf_jax.training.parallel import distributed

_POLL_SECONDS = 0.2
# Of a metrics file at first; the last row of a run of 1000 classes is longer.
_TAIL_BYTES = 1 << 18


class Failure(NamedTuple):
  """A job that failed: exit code, message and log file."""

  code: int
  line: str
  log: Path


class Outcome(NamedTuple):
  """Failures by job; `stopped`: a signal ended the work, and all is saved."""

  failed: dict[str, Failure]
  stopped: bool


def directory(output: Path, job: Job, seed: int) -> Path:
  """Return the directory of the run of a seed."""
  return output / "runs" / job.name / f"seed={seed}"


def finished(output: Path, job: Job, seed: int) -> bool:
  """Return True if the run of a seed has come to its end."""
  row = _last_row(directory(output, job, seed) / "metrics.jsonl")
  return row is not None and row["kind"] == "final"


def fraction(output: Path, job: Job, seed: int) -> float:
  """Return how much of the run of a seed is done, in [0, 1]."""
  row = _last_row(directory(output, job, seed) / "metrics.jsonl")
  if row is None:
    return 0.0
  if row["kind"] == "final":
    return 1.0
  config = job.config
  if config.total_steps:
    return min(1.0, row["step"] / config.total_steps)
  epochs = row["epoch"] / (config.total_epochs or 1)
  return min(1.0, epochs, row["step"] / (config.total_min_steps or 1))


def shard(jobs: Mapping[str, Job], index: int, number: int) -> dict[str, Job]:
  """Return the jobs of machine `index`, from 1, of `number` machines.

  These are each n-th first stage, and the jobs that start from it.
  """
  roots = [name for name, job in jobs.items() if job.first is None]
  chosen = set(roots[index - 1 :: number])
  return {n: job for n, job in jobs.items() if (job.first or n) in chosen}


def command(
  output: Path, jobs: Mapping[str, Job], job: Job, seeds: tuple[int, ...]
) -> list[str]:
  """Return the arguments of `etf_jax.main` for some seeds of a job."""
  place = output / "runs" / job.name
  arguments = [*job.arguments, f"--config.seeds={','.join(map(str, seeds))}"]
  if job.first is not None:
    first = output / "runs" / jobs[job.first].name
    arguments.append(f"--config.init_from={first}")
  # A run of one seed is in the directory that it is given.
  if len(seeds) == 1:
    place = directory(output, job, seeds[0])
  return [*arguments, f"--workdir={place}"]


def run(
  jobs: Mapping[str, Job],
  output: Path,
  *,
  processes: int = 1,
  log: Callable[[str], None] = print,
  after: Callable[[Mapping[str, Failure]], object] = lambda failed: None,
  every_seconds: float = 60.0,
) -> Outcome:
  """Train the runs that are not finished.

  SIGTERM and SIGINT are passed on; the runs save and end.

  Args:
    jobs: by name, a first stage before the jobs that start from it.
    output: folder of all runs.
    processes: jobs at a time.
    log: takes lines of progress.
    after: called with the failures whenever a job has ended.
    every_seconds: time between two lines of progress.
  """
  left = {n: seeds for n in jobs if (seeds := _unfinished(output, jobs[n]))}
  waiting, failed = list(left), dict[str, Failure]()
  running: dict[str, _Child] = {}
  progress = _Progress(jobs, output)
  spoken = time.monotonic()
  with _signals() as signals, _stopped_on_error(running):
    while True:
      for name in [] if signals else list(waiting):
        if len(running) < processes and jobs[name].first not in left:
          waiting.remove(name)
          log(f"start: {name}, seeds {','.join(map(str, left[name]))}")
          arguments = command(output, jobs, jobs[name], left[name])
          running[name] = _Child(arguments, output / "logs" / f"{name}.log")
      if signals:
        for child in running.values():
          child.stop()
      if not running:
        break
      time.sleep(_POLL_SECONDS)
      for name in [n for n, child in running.items() if child.ended]:
        code, child = running[name].code, running.pop(name)
        left[name] = _unfinished(output, jobs[name])
        if not left[name]:
          del left[name]
        if code in (distributed.EXIT_PREEMPTED, -signal.SIGTERM):
          signals.append(signal.SIGTERM)
        elif code:
          failed[name] = child.failure()
          log(f"failed: {name}: {failed[name].line} ({failed[name].log})")
        else:
          log(f"done: {name}; {progress.line(running)}")
        after(failed)
      if time.monotonic() - spoken > every_seconds:
        spoken = time.monotonic()
        log(progress.line(running))
  for name in left:
    first = jobs[name].first
    if first in failed:
      failed[name] = failed[first]._replace(line=f"starts from {first}")
  return Outcome(failed, bool(signals))


def _unfinished(output: Path, job: Job) -> tuple[int, ...]:
  return tuple(seed for seed in job.seeds if not finished(output, job, seed))


class _Progress:
  """Lines that say how much is done and how long the rest takes."""

  def __init__(self, jobs: Mapping[str, Job], output: Path):
    self._jobs, self._output = jobs, output
    self._start, self._before = time.monotonic(), sum(self._fractions())

  def _fractions(self, names: Iterable[str] | None = None) -> list[float]:
    chosen = [self._jobs[n] for n in (self._jobs if names is None else names)]
    return [fraction(self._output, job, s) for job in chosen for s in job.seeds]

  def line(self, running: Iterable[str]) -> str:
    parts = self._fractions()
    text = f"{parts.count(1.0)} of {len(parts)} runs finished"
    for name in running:
      some = self._fractions([name])
      text += f", {name} {100 * sum(some) / len(some):.0f} %"
    done = sum(parts) - self._before
    if done > 0:
      seconds = time.monotonic() - self._start
      rest = seconds * (len(parts) - sum(parts)) / done
      text += f"; about {tqdm.tqdm.format_interval(rest)} left"
    return text


class _Child:
  """A process that trains, with its output in a file."""

  def __init__(self, arguments: list[str], log: Path):
    log.parent.mkdir(parents=True, exist_ok=True)
    self._log = log
    self._start = log.stat().st_size if log.exists() else 0
    self._stopped = False
    with log.open("ab") as file:
      self._process = subprocess.Popen(
        [sys.executable, "-m", "etf_jax.main", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=file,
        stderr=subprocess.STDOUT,
        # A terminal's Ctrl-C reaches this process, which passes it on.
        process_group=0,
      )

  @property
  def ended(self) -> bool:
    return self._process.poll() is not None

  @property
  def code(self) -> int:
    return self._process.returncode

  def stop(self) -> None:
    if not self._stopped:
      self._stopped = True
      self._process.terminate()

  def failure(self) -> Failure:
    with self._log.open("rb") as file:
      file.seek(self._start)
      lines = file.read().decode(errors="replace").strip().splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    line = (errors or lines or ["no output"])[-1].removeprefix("error: ")
    return Failure(self.code, f"{line} (exit code {self.code})", self._log)


@contextlib.contextmanager
def _stopped_on_error(running: Mapping[str, _Child]) -> Iterator[None]:
  """Leave no process behind when this one cannot go on."""
  try:
    yield
  except BaseException:
    for child in running.values():
      child.stop()
    raise


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
  """Collect the signals that ask for an end in a list."""
  received: list[int] = []
  numbers = (signal.SIGTERM, signal.SIGINT)
  before = [
    signal.signal(number, lambda got, _: received.append(got))
    for number in numbers
  ]
  try:
    yield received
  finally:
    for number, handler in zip(numbers, before, strict=True):
      signal.signal(number, handler)


def _last_row(path: Path) -> dict | None:
  """Return the last whole row of a metrics file that says where a run is."""
  try:
    with path.open("rb") as file:
      end, size = file.seek(0, os.SEEK_END), _TAIL_BYTES
      while True:
        start = max(0, end - size)
        file.seek(start)
        # Before the first line break stands the end of a row.
        for line in reversed(file.read(end - start).splitlines()[start > 0 :]):
          with contextlib.suppress(json.JSONDecodeError):
            row = json.loads(line)
            if isinstance(row, dict) and {"kind", "step", "epoch"} <= set(row):
              return row
        if start == 0:
          return None
        size *= 8
  except FileNotFoundError:
    return None
