# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Runs the jobs of a plan, each in a process of its own, and says how far.

outcome = running.run(plan, Path("reproduced"), processes=2)

A process has `python -m etf_jax.main` with a job's arguments, so one that
crashes takes no other with it, gives all memory back, and can be repeated by
hand. What is finished is not started; what had begun goes on.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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

from etf_jax.reproductions.planning import Job
from etf_jax.training import durations
from etf_jax.training.parallel import distributed

_POLL_SECONDS = 0.2
# Of a metrics file at first; the last row of a run of 1000 classes has more.
_TAIL_BYTES = 1 << 18


class Failure(NamedTuple):
  """How a job ended that did not come to its end."""

  code: int
  line: str
  log: Path


class Outcome(NamedTuple):
  """What became of the jobs of this process.

  Attributes:
    failed: by name.
    stopped: a signal ended the work; all is saved.
  """

  failed: dict[str, Failure]
  stopped: bool


def directory(output: Path, job: Job, seed: int) -> Path:
  """Where the run of a seed lies."""
  return output / "runs" / job.name / f"seed={seed}"


def finished(output: Path, job: Job, seed: int) -> bool:
  """Whether the run of a seed has come to its end."""
  row = _last_row(directory(output, job, seed) / "metrics.jsonl")
  return row is not None and row["kind"] == "final"


def fraction(output: Path, job: Job, seed: int) -> float:
  """How much of the run of a seed is done, in [0, 1]."""
  row = _last_row(directory(output, job, seed) / "metrics.jsonl")
  if row is None:
    return 0.0
  if row["kind"] == "final":
    return 1.0
  total = job.cost.steps
  if not total:  # the user's own data: epochs tell as much
    total = durations.steps(job.config, "total", durations.Epoch(1, 1))
    return min(1.0, row["epoch"] / max(1, total))
  return min(1.0, row["step"] / total)


def shard(jobs: Mapping[str, Job], index: int, number: int) -> dict[str, Job]:
  """The jobs of one of several machines.

  Jobs that start from one another stay together. The dearest go first, each to
  the machine that has the least so far; so the same plan is cut alike
  everywhere, whatever is finished.

  Args:
    jobs: of the plan.
    index: of the machine, from 1.
    number: of machines.
  """
  roots: dict[str, list[Job]] = {}
  for job in jobs.values():
    roots.setdefault(_root(jobs, job), []).append(job)
  loads = [0.0] * number
  chosen: set[str] = set()
  for root, held in sorted(
    roots.items(), key=lambda item: (-sum(map(_weight, item[1])), item[0])
  ):
    place = loads.index(min(loads))
    loads[place] += sum(map(_weight, held))
    if place == index - 1:
      chosen |= {job.name for job in held} | {root}
  return {name: job for name, job in jobs.items() if name in chosen}


def command(
  output: Path, jobs: Mapping[str, Job], job: Job, seeds: tuple[int, ...]
) -> list[str]:
  """The arguments with which `etf_jax.main` trains some seeds of a job."""
  place = output / "runs" / job.name
  given = [*job.arguments, f"--config.seeds={','.join(map(str, seeds))}"]
  if job.first is not None:
    given.append(f"--config.init_from={output / 'runs' / jobs[job.first].name}")
  # A run of one seed is in the directory that it is given.
  if len(seeds) == 1:
    place = directory(output, job, seeds[0])
  return [*given, f"--workdir={place}"]


def run(
  jobs: Mapping[str, Job],
  output: Path,
  *,
  processes: int = 1,
  say: Callable[[str], None] = print,
  after: Callable[[Mapping[str, Failure]], None] = lambda failed: None,
  every_seconds: float = 60.0,
) -> Outcome:
  """Run what is not finished.

  SIGTERM and SIGINT are passed on; the runs save and end.

  Args:
    jobs: by name, a first stage before what starts from it.
    output: the folder of all runs.
    processes: jobs at a time.
    say: takes lines of progress.
    after: called with what has failed whenever a job has ended.
    every_seconds: between two lines of progress.
  """
  work = _Work(jobs, output, say)
  failed: dict[str, Failure] = {}
  running: dict[str, _Child] = {}
  said = time.monotonic()
  with _signals() as signalled, _stopped_on_error(running):
    while True:
      if not signalled:
        for name in work.ready(failed)[: max(0, processes - len(running))]:
          running[name] = work.start(name)
      if signalled:
        for child in running.values():
          child.stop()
      if not running:
        break
      time.sleep(_POLL_SECONDS)
      for name in [n for n, child in running.items() if child.ended]:
        child = running.pop(name)
        work.look(name)
        if child.code in (distributed.EXIT_PREEMPTED, -signal.SIGTERM):
          signalled.append(signal.SIGTERM)
        elif child.code:
          failed[name] = child.failure()
          say(f"failed: {name}: {failed[name].line} ({failed[name].log})")
        else:
          say(f"done: {name}; {work.progress(running)}")
        after(failed)
      if time.monotonic() - said > every_seconds:
        said = time.monotonic()
        say(work.progress(running))
  for name in work.left:
    first = jobs[name].first
    if first in failed:
      failed[name] = failed[first]._replace(line=f"starts from {first}")
  return Outcome(failed, bool(signalled))


class _Work:
  """What is to be done, and how much of it is."""

  def __init__(self, jobs, output, say):
    self._jobs, self._output, self._say = jobs, output, say
    self._tried: set[str] = set()
    self.left: dict[str, tuple[int, ...]] = {}  # unfinished seeds, by job
    for name in jobs:
      self.look(name)
    self._begun = time.monotonic()
    self._before = self._done()

  def _done(self) -> float:
    return sum(
      _weight(job) / len(job.seeds) * fraction(self._output, job, seed)
      for job in self._jobs.values()
      for seed in job.seeds
    )

  def look(self, name: str) -> None:
    """Note which runs of a job are not finished."""
    job = self._jobs[name]
    seeds = tuple(
      seed for seed in job.seeds if not finished(self._output, job, seed)
    )
    self.left[name] = seeds
    if not seeds:
      del self.left[name]

  def ready(self, failed: Mapping[str, Failure]) -> list[str]:
    """Jobs that have not been tried and need not wait for another."""
    return [
      name
      for name in self.left
      if name not in self._tried
      and self._jobs[name].first not in (*self.left, *failed)
    ]

  def start(self, name: str) -> "_Child":
    self._tried.add(name)
    job, seeds = self._jobs[name], self.left[name]
    log = self._output / "logs" / f"{name}.log"
    self._say(f"start: {name}, seeds {','.join(map(str, seeds))}")
    return _Child(command(self._output, self._jobs, job, seeds), log)

  def progress(self, running: Iterable[str]) -> str:
    runs = [(job, seed) for job in self._jobs.values() for seed in job.seeds]
    ended = sum(finished(self._output, job, seed) for job, seed in runs)
    line = f"{ended} of {len(runs)} runs finished"
    for name in running:
      job = self._jobs[name]
      parts = [fraction(self._output, job, seed) for seed in job.seeds]
      line += f", {name} {100 * sum(parts) / len(parts):.0f} %"
    done, total = self._done(), sum(map(_weight, self._jobs.values()))
    if done > self._before:
      elapsed = time.monotonic() - self._begun
      left = elapsed * (total - done) / (done - self._before)
      line += f"; about {tqdm.tqdm.format_interval(left)} left"
    return line


class _Child:
  """A process that trains, whose output goes to a file."""

  def __init__(self, arguments: list[str], log: Path):
    log.parent.mkdir(parents=True, exist_ok=True)
    self._log = log
    self._start = log.stat().st_size if log.exists() else 0
    with log.open("ab") as file:
      self._process = subprocess.Popen(
        [sys.executable, "-m", "etf_jax.main", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=file,
        stderr=subprocess.STDOUT,
        # A terminal's Ctrl-C reaches this process, which passes it on.
        process_group=0,
      )
    self._told = False

  @property
  def ended(self) -> bool:
    return self._process.poll() is not None

  @property
  def code(self) -> int:
    return self._process.returncode

  def stop(self) -> None:
    if not self._told:
      self._told = True
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
  """A list that fills with the signals that ask for an end."""
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


def _root(jobs: Mapping[str, Job], job: Job) -> str:
  return job.name if job.first is None else _root(jobs, jobs[job.first])


def _weight(job: Job) -> float:
  """What a job costs, as far as that can be compared."""
  cost = job.cost
  each = cost.gflop if cost.gflop is not None else float(cost.images or 0)
  return len(job.seeds) * each + 1e-6  # none is nothing


def _last_row(path: Path) -> dict | None:
  """The last whole row of a metrics file that says where a run is."""
  try:
    with path.open("rb") as file:
      end, size = file.seek(0, os.SEEK_END), _TAIL_BYTES
      while True:
        start = max(0, end - size)
        file.seek(start)
        # What stands before the first line break is the end of a row.
        lines = file.read(end - start).splitlines()[start > 0 :]
        row = _last_of(lines)
        if row is not None or start == 0:
          return row
        size *= 8
  except FileNotFoundError:
    return None


def _last_of(lines: Sequence[bytes]) -> dict | None:
  for line in reversed(lines):
    with contextlib.suppress(json.JSONDecodeError):
      row = json.loads(line)
      if isinstance(row, dict) and {"kind", "step", "epoch"} <= set(row):
        return row
  return None
