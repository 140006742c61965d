# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Trains a short run, disturbs it again and again, and checks the result.

  PYTHONPATH=launch python tests/_support/chaos.py --kills=30 --seed=0
  PYTHONPATH=launch python tests/_support/chaos.py --kills=30 --processes=2 \\
    --folder=/shared/chaos -- \\
    --config.data.data_dir=/shared/data

The run (digits, ResNet-8, 24 steps, float32, on CPUs) is trained once without
disturbance. Then it is struck by faults drawn at random, at random moments, and
the same command continues it; after every few faults it is left alone until it
ends, and the next begins in a directory of its own. Whatever it ends with must
be that of the undisturbed run, bit for bit: the state of the last step, best/,
and the rows of metrics but for times. Each start must go on from the newest
save that is intact. --faults takes some of the faults only; what is behind --
is added to the command of the run.

Needs Linux; the fault `disk` also the right to mount a tmpfs, and is left out
without it. Prints a table; exit code 1: something was lost or differs.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
import contextlib
import logging
import os
from pathlib import Path
import random
import shutil
import signal
import subprocess
import sys
import tempfile

from chaos_faults import FAULTS, Attempt, Missed, saved
import chaos_results

# Faults of one run, before it is left alone to end.
_FAULTS_A_RUN = 6
_RUN = (
  "--config=etf_jax:digits_lt",
  "--config.total_epochs=6",
  "--config.augment.mixup_alpha=1.0",
  "--config.ema_decay=0.9",
  "--config.eval.every_epochs=1",
  "--config.collapse.every_epochs=2",
  "--config.checkpoint.every_steps=2",
  "--config.checkpoint.keep=3",
  "--config.report.log_every_steps=1",
  "--config.report.html=False",
)


def _options(argv):
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--kills", type=int, default=30, help="faults in all")
  parser.add_argument("--seed", type=int, default=0, help="of the faults")
  parser.add_argument("--processes", type=int, default=1)
  parser.add_argument("--cpu_devices", type=int, default=1, help="of each")
  parser.add_argument(
    "--folder", type=Path, help="of the runs, kept; default: a temporary one"
  )
  parser.add_argument(
    "--faults", default=",".join(FAULTS), help="default: %(default)s"
  )
  parser.add_argument("arguments", nargs="*", help="behind --")
  options = parser.parse_args(argv)
  options.faults = options.faults.split(",")
  unknown = set(options.faults) - set(FAULTS)
  if unknown:
    parser.error(f"no fault is named {unknown.pop()}; known: {list(FAULTS)}")
  if options.kills < 1 or options.processes < 1:
    parser.error("--kills and --processes must be at least 1")
  return options


class _Run:
  """A run that is struck, and what came of it."""

  def __init__(self, workdir: Path, options):
    self.workdir, self._options = workdir, options
    self.strikes, self.wrong = [], []

  def _start(self) -> Attempt:
    command = [sys.executable, "-m", "etf_jax.main", *_RUN]
    return Attempt(
      [*command, f"--workdir={self.workdir}", *self._options.arguments],
      self.workdir,
      self._options.processes,
      self._options.cpu_devices,
      {strike.damaged for strike in self.strikes},
    )

  def strike(self, name: str, draw: random.Random, total: int) -> bool:
    """Start it and lets a fault strike; False: it ended before."""
    attempt = self._start()
    try:
      strike = FAULTS[name](attempt, draw, total)
    except Missed as missed:
      if any(missed.args[0]):
        self.wrong.append(f"{name}: {missed}:\n{attempt.tail()}")
      self._look_at(attempt)
      return False
    finally:
      attempt.kill()
    strike.name = name
    self._look_at(attempt)
    self.strikes.append(strike)
    print(strike, flush=True)
    return True

  def finish(self) -> None:
    """Let it run to its end."""
    attempt = self._start()
    try:
      codes, _ = attempt.end()
    finally:
      attempt.kill()
    self._look_at(attempt)
    if any(codes):
      self.wrong.append(f"exit codes {codes}:\n{attempt.tail()}")

  def _look_at(self, attempt):
    """Has it gone on from the newest intact save?"""
    resumed = attempt.resumed()
    if resumed is None:
      return
    if resumed != attempt.newest:
      self.wrong.append(f"went on from {resumed}, not from {attempt.newest}")
    for strike in self.strikes:
      if strike.again is None:
        told = strike.where if isinstance(strike.where, int) else 0
        strike.again = max(0, told - resumed)
        # A damaged save is put aside; one of that step may follow.
        strike.damaged = None


class _Bag:
  """Draws faults at random; each comes before any comes again."""

  def __init__(self, names: Sequence[str], draw: random.Random):
    self._names, self._draw, self._bag = names, draw, []

  def take(self, fits: Callable[[str], bool]) -> str | None:
    """One that fits a run, if any does."""
    for _ in range(2):
      name = next((name for name in self._bag if fits(name)), None)
      if name:
        self._bag.remove(name)
        return name
      self._bag += self._draw.sample(self._names, len(self._names))
    return None

  def put_back(self, name: str) -> None:
    """Take back one that did not strike."""
    self._bag.append(name)


@contextlib.contextmanager
def _small_disk(path: Path) -> Iterator[Path | None]:
  """A tmpfs that can be filled; None: there is no right to mount one."""
  path.mkdir(parents=True, exist_ok=True)
  mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "chaos", str(path)]
  done = subprocess.run(mount, capture_output=True, text=True, check=False)
  if done.returncode:
    print(f"without the fault disk: {done.stderr.strip()}", flush=True)
    yield None
    return
  try:
    yield path
  finally:
    subprocess.run(["umount", "--lazy", str(path)], check=True)


def _torment(options, folder: Path, disk: Path | None) -> int:
  """Strikes runs until there were faults enough; the exit code."""
  draw = random.Random(options.seed)
  bag = _Bag(
    [
      name
      for name in options.faults
      if (disk or name != "disk") and (options.processes > 1 or name != "peer")
    ],
    draw,
  )
  undisturbed = _Run(folder / "undisturbed", options)
  undisturbed.finish()
  if undisturbed.wrong:
    print("\n".join(undisturbed.wrong), file=sys.stderr)
    return 1
  expected = chaos_results.read(undisturbed.workdir)
  total = expected.rows[-1]["step"]
  runs, left = [], options.kills
  while left:
    # Every other run lies where the disk can be filled.
    base = disk if disk and len(runs) % 2 == 0 else folder
    run = _Run(base / f"run-{len(runs)}", options)
    runs.append(run)
    while left and len(run.strikes) < _FAULTS_A_RUN:
      name = bag.take(
        lambda name, run=run, base=base: {
          "disk": base == disk,
          "restore": saved(run.workdir) or options.faults == ["restore"],
        }.get(name, True)
      )
      if name is None:
        break
      if not run.strike(name, draw, total):
        bag.put_back(name)
        break
      left -= 1
    run.finish()
    if not run.wrong:
      run.wrong = chaos_results.differences(
        chaos_results.read(run.workdir), expected
      )
    print(
      f"{run.workdir}: {'; '.join(run.wrong) or 'the same bits'}", flush=True
    )
    for strike in run.strikes:
      strike.wrong += run.wrong
    if not run.wrong:
      shutil.rmtree(run.workdir)
    elif base == disk:  # which is unmounted at the end
      shutil.copytree(run.workdir, folder / run.workdir.name)
  strikes = [strike for run in runs for strike in run.strikes]
  wrong = any(run.wrong for run in runs) or any(s.wrong for s in strikes)
  print(
    f"{len(strikes)} faults in {len(runs)} runs of {total} steps,"
    f" {options.processes} processes of {options.cpu_devices} devices,"
    f" seed {options.seed}: {'SOMETHING IS WRONG' if wrong else 'nothing lost'}"
  )
  print(chaos_results.table(strikes))
  return int(wrong)


def main(argv: Sequence[str]) -> int:
  """Run the command; returns its exit code."""
  options = _options(argv)
  # This process only reads what the runs leave.
  os.environ["JAX_PLATFORMS"] = "cpu"
  logging.getLogger("absl").setLevel(logging.ERROR)
  with contextlib.ExitStack() as stack:
    folder = options.folder
    if folder is None:
      place = tempfile.TemporaryDirectory(prefix="chaos-")
      folder = Path(stack.enter_context(place))
    folder = folder.absolute()
    if any(folder.glob("*")):
      print(f"error: {folder} must be empty", file=sys.stderr)
      return 2
    folder.mkdir(parents=True, exist_ok=True)
    # Programs are compiled once, so that starts are short.
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder / "cache"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    disk = None
    if "disk" in options.faults:
      disk = stack.enter_context(_small_disk(folder / "disk"))
    return _torment(options, folder, disk)


if __name__ == "__main__":
  # So that what was started and mounted is cleared away.
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
  sys.exit(main(sys.argv[1:]))
