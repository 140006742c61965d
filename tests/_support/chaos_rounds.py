# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Strikes runs of one and of two processes at random moments, and counts.

  python tests/_support/chaos_rounds.py --data=DIGITS --faults=30

The same command is started again until its run has ended, whose bits have to be
those of a run that nobody struck. Every process must end by itself, with a code
that the README promises and without a traceback. Prints a table; exit code 1: a
fault ended otherwise, and what was said is in --folder. DIGITS is a directory
with prepared digits.
"""

import argparse
from collections.abc import Sequence
import contextlib
import itertools
import os
from pathlib import Path
import random
import resource
import shutil
import signal
import sys
import tempfile
import time

import chaos
import chaos_starts
import jax
import run_results

# Moments. Each waits until it has come, or the run has ended.


def _importing(start, draw):
  time.sleep(draw.uniform(0, 4))


def _compiling(start, draw):
  start.wait_for(start.locked)
  time.sleep(draw.uniform(0, 1.5))


def _first_step(start, draw):
  start.wait_for(lambda: bool(start.rows()))


def _saving(start, draw):
  places = [start.workdir / "checkpoints", start.workdir / "best"]
  rest = draw.randrange(3)
  _first_step(start, draw)  # by when leftovers of a kill are removed

  def found():
    return any(any(p.glob("*.orbax-checkpoint-tmp*")) for p in places)

  for _ in range(1 + rest):
    start.wait_for(found)
    time.sleep(draw.uniform(0, 0.03))


def _evaluating(start, draw):
  start.wait_for(
    lambda: any(
      r["kind"] == "eval" or (r["kind"] == "train" and r["step"] % 4 == 0)
      for r in start.rows()
    )
  )
  time.sleep(draw.uniform(0, 0.02))


def _reporting(start, draw):
  start.wait_for(lambda: any(r["kind"] == "final" for r in start.rows()))
  time.sleep(draw.uniform(0, 1))


MOMENTS = {
  "import": _importing,
  "compilation": _compiling,
  "first step": _first_step,
  "save": _saving,
  "evaluation": _evaluating,
  "report": _reporting,
}


# Faults. Each strikes a start that has come to its moment.


def _signal(number):
  def strike(start, draw):
    draw.choice(start.processes).send_signal(number)

  return strike


def _kill_child(start, draw):
  process = draw.choice(start.processes)
  children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
  with contextlib.suppress(OSError):
    for child in children.read_text().split():
      with contextlib.suppress(ProcessLookupError):
        os.kill(int(child), signal.SIGKILL)


def _stop(start, draw):
  process = draw.choice(start.processes)
  with contextlib.suppress(ProcessLookupError):
    os.killpg(process.pid, signal.SIGSTOP)
    time.sleep(draw.uniform(0.5, 5))
    os.killpg(process.pid, signal.SIGCONT)


def _clock(start, draw):
  path = start.workdir.parent / "clock"
  path.write_text(str(-draw.choice((5, 3600, 10**8))))


_FILES = (
  *("metrics.jsonl", "config.json", "class_counts.json", "class_names.json"),
  *("data.json", ".lock", "tensorboard", "checkpoints", "best", "."),
)


def _remove(start, draw):
  name = draw.choice(_FILES)
  print(f"    removes {name}")
  path = start.workdir / name
  with contextlib.suppress(OSError):
    if path.is_dir():
      shutil.rmtree(path)
    else:
      path.unlink()


def _limit(kind):
  def strike(start, draw):
    process = draw.choice(start.processes).pid
    place = Path(f"/proc/{process}/task/{process}/children")
    with contextlib.suppress(OSError, ProcessLookupError, IndexError):
      process = int((place.read_text().split() or [process])[0])
      status = Path(f"/proc/{process}/status").read_text()
      held = int(status.partition("VmData:")[2].split()[0]) << 10
      files = len(list(Path(f"/proc/{process}/fd").iterdir()))
      size = {
        resource.RLIMIT_FSIZE: int(10 ** draw.uniform(2, 5)),
        resource.RLIMIT_NOFILE: files + draw.randrange(4),
        resource.RLIMIT_DATA: held + (draw.randrange(64) << 20),
      }[kind]
      print(f"    limit {size:,}")
      resource.prlimit(process, kind, (size, size))

  return strike


FAULTS = {
  "SIGKILL": _signal(signal.SIGKILL),
  "SIGTERM": _signal(signal.SIGTERM),
  "SIGINT": _signal(signal.SIGINT),
  "SIGHUP": _signal(signal.SIGHUP),
  "SIGABRT": _signal(signal.SIGABRT),
  "SIGKILL of a child": _kill_child,
  "SIGSTOP and SIGCONT": _stop,
  "clock steps back": _clock,
  "files removed": _remove,
  "ulimit -f": _limit(resource.RLIMIT_FSIZE),
  "ulimit -n": _limit(resource.RLIMIT_NOFILE),
  "ulimit -d": _limit(resource.RLIMIT_DATA),
  "two starts": None,
}
_PROMISED = {0, 2, 75, 76, 130}


def _wrong(fault: str, moment: str, codes, texts) -> str | None:
  """Return what is wrong with the codes and texts of an end; None: nothing."""
  number = getattr(signal, (fault or "none").split()[0], None)
  allowed = _PROMISED | ({-number, 128 + number} if number else set())
  if None in codes:
    return f"hung, or left a process behind: {codes}"
  if not set(codes) <= allowed:
    return f"codes {codes}"
  killed = number in (signal.SIGKILL, signal.SIGHUP, signal.SIGABRT)
  if killed and 2 in codes and moment != "import":
    return f"nothing is to be mended: codes {codes}"
  for code, text in zip(codes, texts, strict=False):
    if "Traceback (most" in text and not (
      fault == "SIGINT" and "KeyboardInterrupt" in text and moment == "import"
    ):
      return f"a traceback, codes {codes}"
    lines = text.splitlines()
    if code == 2 and not any(line.startswith("error: ") for line in lines[-1:]):
      return f"code 2 without a line, codes {codes}"
  return None


class Rounds:
  """Runs of so many processes that are struck, one fault a start."""

  def __init__(self, processes: int, options, folder: Path):
    self.processes, self.options, self.folder = processes, options, folder
    self.workdir, self.backup = folder / "struck", folder / "backup"
    self.draw = random.Random(f"{options.seed}/{processes}")
    self.clock = chaos_starts.build_clock(folder)
    self.variables = {
      "JAX_PLATFORMS": "cpu",
      "JAX_NUM_CPU_DEVICES": "1",
      "JAX_COMPILATION_CACHE_DIR": str(folder / "cache"),
      "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    straight = folder / f"straight-{processes}"
    codes, texts = self.start(straight).end()
    if codes != [0] * processes:
      raise RuntimeError("\n".join(texts))
    self.expected = run_results.read(straight)

  def start(self, workdir: Path, **more: str) -> chaos_starts.Start:
    """Start the command."""
    return chaos_starts.Start(
      workdir, self.options.data, self.processes, self.variables | more
    )

  def faults(self) -> list[tuple[str, str]]:
    """Draw faults and moments: all pairs once before one comes again."""
    kinds, moments = self.options.kinds, self.options.moments
    pairs = list(itertools.product(kinds.split(","), moments.split(",")))
    if self.processes == 1:
      pairs = [pair for pair in pairs if pair[0] != "SIGKILL of a child"]
    self.draw.shuffle(pairs)
    return [pairs[k % len(pairs)] for k in range(self.options.faults)]

  def strike(self, fault: str, moment: str):
    """Strike a start; its codes, its texts, and what is wrong with them."""
    (self.folder / "clock").write_text("0")
    more = self.clock if fault == "clock steps back" else {}
    start = self.start(self.workdir, **more)
    if fault == "two starts":
      time.sleep(self.draw.uniform(0, 0.3))
      second = self.start(self.workdir)
      ends = start.end(), second.end()
      codes, texts = (
        list(itertools.chain(*part)) for part in zip(*ends, strict=True)
      )
      promised = [0] * self.processes + [2] * self.processes
      if None in codes or sorted(codes) != promised:
        return codes, texts, f"codes {codes}"
    else:
      if fault:
        MOMENTS[moment](start, self.draw)
        FAULTS[fault](start, self.draw)
      codes, texts = start.end()
    problem = _wrong(fault, moment, codes, texts)
    if not fault and codes != [0] * self.processes:
      problem = problem or f"the last start ended with {codes}"
    return codes, texts, problem

  def other_bits(self) -> list[str]:
    """List where the run that has ended differs from the undisturbed one."""
    try:
      actual = run_results.read(self.workdir)
      return run_results.differences(actual, self.expected)
    except Exception as error:
      return [repr(error)]

  def round(self, number: int, fault: str, moment: str) -> str | None:
    """Strike once, prepare the next start; what was wrong."""
    shutil.rmtree(self.backup, ignore_errors=True)
    if self.workdir.exists():
      shutil.copytree(self.workdir, self.backup, symlinks=True)
    saved, began = self._saved(), time.monotonic()
    codes, texts, problem = self.strike(fault, moment)
    removed = fault == "files removed"
    if self._saved() < saved and not removed:
      problem = problem or f"step {saved} is lost"
    ended = set(codes[: self.processes]) == {0} or fault == "two starts"
    lacking = self.other_bits() if ended and not problem else []
    if lacking and removed:
      print(f"    the run lacks {lacking}")
    elif lacking:
      problem = f"other bits: {lacking}"
    print(
      f"{self.processes} {number:3} {fault or 'none'}, {moment}: {codes}"
      f" {time.monotonic() - began:.0f} s {problem or ''}",
      flush=True,
    )
    if problem or removed:
      kind = "wrong" if problem else "removed"
      (self.folder / f"{kind}-{self.processes}-{number}.txt").write_text(
        f"{fault}, {moment}: {problem}\n" + "\n=====\n".join(texts)
      )
    if ended or problem or removed:
      shutil.rmtree(self.workdir, ignore_errors=True)
    if removed and not ended and self.backup.exists():
      # What the user removed is put back.
      shutil.copytree(self.backup, self.workdir, symlinks=True)
    return problem

  def _saved(self) -> int:
    return max(chaos.saved(self.workdir), default=0)


def run(argv: Sequence[str]) -> int:
  """Run the command; returns its exit code."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--faults", type=int, default=30, help="of each number")
  parser.add_argument("--processes", default="1,2", help="numbers of processes")
  parser.add_argument("--kinds", default=",".join(FAULTS))
  parser.add_argument("--moments", default=",".join(MOMENTS))
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument("--folder", type=Path, help="default: a temporary one")
  parser.add_argument(
    "--data", type=lambda text: Path(text).absolute(), required=True
  )
  options = parser.parse_args(argv)
  jax.config.update("jax_platforms", "cpu")
  folder = options.folder or Path(tempfile.mkdtemp(prefix="chaos-"))
  folder.mkdir(parents=True, exist_ok=True)
  table: dict[tuple[str, int], list[bool]] = {}
  bad = 0
  for processes in map(int, options.processes.split(",")):
    rounds = Rounds(processes, options, folder)
    # In the end a run is left alone.
    for number, (fault, moment) in enumerate([*rounds.faults(), ("", "")]):
      problem = rounds.round(number, fault, moment)
      bad += problem is not None
      if fault:
        table.setdefault((fault, processes), []).append(problem is None)
  print("| fault | processes | tried | ended well |\n|---|---|---|---|")
  for (fault, processes), well in sorted(table.items()):
    print(f"| {fault} | {processes} | {len(well)} | {sum(well)} |")
  return int(bad > 0)


if __name__ == "__main__":
  sys.exit(run(sys.argv[1:]))
