# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Strikes runs of one and of two processes at random moments, and counts.

  python tests/_support/chaos_rounds.py --faults=30 --processes=1,2

The same command is started again until its run has ended, whose bits have to be
those of a run that nobody struck. Every process must end by itself, with a code
that the README promises and without a traceback. Prints a table; exit code 1: a
fault ended otherwise, and what was said is in --folder.
"""

import argparse
from collections.abc import Callable, Sequence
import contextlib
import itertools
import json
import os
from pathlib import Path
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import jax
import local_processes
import process_runs
import run_results

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


class Start:
  """One start of the command, in one or several processes, under way."""

  def __init__(self, workdir: Path, processes: int, variables: dict[str, str]):
    self.workdir, self.metrics = workdir, workdir / "metrics.jsonl"
    self._before = _stat(self.metrics), _stat(workdir / ".lock")
    command = [sys.executable, "-m", "etf_jax.main", *_RUN]
    command += [f"--workdir={workdir}", f"--config.data.data_dir={_data()}"]
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
    return _stat(self.workdir / ".lock") != self._before[1]

  def rows(self) -> list[dict]:
    """Return the last row that this start has written, in a list."""
    if _stat(self.metrics)[:1] == self._before[0][:1]:
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


def _stat(path: Path) -> tuple[int, int]:
  with contextlib.suppress(OSError):
    stat = path.stat()
    return stat.st_ino, stat.st_mtime_ns
  return 0, 0


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
  """Return what is wrong with an end; None: nothing."""
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


def _data() -> Path:
  return Path(os.environ["CHAOS_DATA"])


def _rounds(processes: int, options, folder: Path, rows: dict) -> int:
  """Strike until `options.faults` faults have been; the number of bad ends."""
  draw, bad = random.Random(f"{options.seed}/{processes}"), 0
  clock = folder / "clock.so"
  (folder / "clock.c").write_text(_CLOCK)
  subprocess.run(
    ["gcc", "-shared", "-fPIC", "-o", clock, folder / "clock.c", "-ldl"],
    check=True,
  )
  variables = {
    "JAX_PLATFORMS": "cpu",
    "JAX_NUM_CPU_DEVICES": "1",
    "JAX_COMPILATION_CACHE_DIR": str(folder / "cache"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
  }
  straight, workdir = folder / f"straight-{processes}", folder / "struck"
  start = Start(straight, processes, variables)
  codes, texts = start.end()
  if codes != [0] * processes:
    raise RuntimeError("\n".join(texts))
  expected = run_results.read(straight)
  pairs = [
    (f, m) for f in options.kinds.split(",") for m in options.moments.split(",")
  ]
  if processes == 1:
    pairs = [pair for pair in pairs if pair[0] != "SIGKILL of a child"]
  draw.shuffle(pairs)
  faults = [pairs[k % len(pairs)] for k in range(options.faults)]
  for number, (fault, moment) in enumerate([*faults, (None, None)]):
    backup = folder / "backup"
    shutil.rmtree(backup, ignore_errors=True)
    if workdir.exists():
      shutil.copytree(workdir, backup, symlinks=True)
    saved = _saved(workdir)
    (folder / "clock").write_text("0")
    more = {"LD_PRELOAD": str(clock), "CLOCK_FILE": str(folder / "clock")}
    timed = variables | (more if fault == "clock steps back" else {})
    began = time.monotonic()
    start, problem = Start(workdir, processes, timed), None
    if fault == "two starts":
      time.sleep(draw.uniform(0, 0.3))
      second = Start(workdir, processes, variables)
      ends = [start.end(), second.end()]
      codes, texts = (
        list(itertools.chain(*part)) for part in zip(*ends, strict=True)
      )
      if sorted(map(str, codes)) != ["0"] * processes + ["2"] * processes:
        problem = f"codes {codes}"
    else:
      if fault:
        MOMENTS[moment](start, draw)
        FAULTS[fault](start, draw)
      codes, texts = start.end()
    problem = problem or _wrong(fault or "", moment, codes, texts)
    if fault is None and codes != [0] * processes:
      problem = problem or f"the last start ended with {codes}"
    removed = fault == "files removed"
    if _saved(workdir) < saved and not removed:
      problem = problem or f"step {saved} is lost"
    done = set(codes[:processes]) == {0} or fault == "two starts"
    if done and not problem:
      try:
        found = run_results.differences(run_results.read(workdir), expected)
      except Exception as error:
        found = [repr(error)]
      if found and not removed:
        problem = f"other bits: {found}"
      elif found:
        print(f"    the run lacks {found}")
    print(
      f"{processes} {number:3} {fault}, {moment}: {codes}"
      f" {time.monotonic() - began:.0f} s {problem or ''}",
      flush=True,
    )
    if fault:
      key = (fault, processes)
      tried, well = rows.get(key, (0, 0))
      rows[key] = tried + 1, well + (problem is None)
    if problem:
      bad += 1
      (folder / f"wrong-{processes}-{number}.txt").write_text(
        f"{fault}, {moment}: {problem}\n" + "\n=====\n".join(texts)
      )
    elif removed:
      place = folder / f"removed-{processes}-{number}.txt"
      place.write_text("\n=====\n".join(texts))
    if done or (problem and not removed):
      shutil.rmtree(workdir, ignore_errors=True)
    elif removed:  # what the user removed is put back
      shutil.rmtree(workdir, ignore_errors=True)
      if backup.exists():
        shutil.copytree(backup, workdir, symlinks=True)
  return bad


def _saved(workdir: Path) -> int:
  folders = (workdir / "checkpoints").glob("*")
  return max((int(p.name) for p in folders if p.name.isdigit()), default=0)


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
    "--data", type=Path, required=True, help="prepared digits"
  )
  options = parser.parse_args(argv)
  jax.config.update("jax_platforms", "cpu")
  os.environ["CHAOS_DATA"] = str(options.data.absolute())
  folder = options.folder or Path(tempfile.mkdtemp(prefix="chaos-"))
  folder.mkdir(parents=True, exist_ok=True)
  rows: dict[tuple[str, int], tuple[int, int]] = {}
  numbers = [int(text) for text in options.processes.split(",")]
  bad = sum(_rounds(n, options, folder, rows) for n in numbers)
  print("| fault | processes | tried | ended well |\n|---|---|---|---|")
  for (fault, processes), (tried, well) in sorted(rows.items()):
    print(f"| {fault} | {processes} | {tried} | {well} |")
  return int(bad > 0)


if __name__ == "__main__":
  sys.exit(run(sys.argv[1:]))
