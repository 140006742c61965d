# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Times of a whole run in a process, and the programs that it compiles.

  python -m etf_jax.benchmarks.run ANSWER.json 4 --config=... --workdir=...

It is `etf_jax.main` for some epochs, with a clock.
"""

from collections.abc import Callable
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any

from etf_jax.errors import InputError

_COMPILED = "/jax/core/compile/backend_compile_duration"
# As training.parallel.compilation_cache has it for its default folder.
_CACHED_SECONDS = "0.2"


class Compilations:
  """Counts programs that JAX compiles, or takes from its cache on disk.

  with Compilations() as compilations:
    ...
  """

  def __init__(self, clock: Callable[[], float] = time.time):
    """Take the clock that `between` refers to."""
    self._clock = clock
    self.found: list[tuple[float, str]] = []

  def __enter__(self):
    import jax

    jax.monitoring.register_event_duration_secs_listener(self._heard)
    return self

  def __exit__(self, *raised):
    import jax

    jax.monitoring.unregister_event_duration_listener(self._heard)

  def _heard(self, event, seconds, **facts):
    del seconds
    if event == _COMPILED:
      name = str(facts.get("fun_name", "?"))
      name = name.removeprefix("jit(").removesuffix(")")
      self.found.append((self._clock(), name))

  def between(self, first: float, last: float) -> list[str]:
    """Return the names of programs compiled in a span of the clock."""
    return [name for when, name in self.found if first < when <= last]


class Stamped:
  """A feed that notes when steps were done."""

  def __init__(
    self,
    feed: Any,
    epoch_steps: int,
    total_steps: int,
    marks: dict[str, float],
  ):
    self._feed, self._marks = feed, marks
    self._begins = {
      epoch_steps: "second_epoch",
      total_steps - epoch_steps: "last_epoch",
    }
    self._total = total_steps

  def __getattr__(self, name: str) -> Any:
    return getattr(self._feed, name)

  def advance(self, state, step, key, steps=1):
    """Advance the feed, and note the time of some steps."""
    import jax

    if step in self._begins:
      self._marks[self._begins[step]] = time.time()
    state, metrics = self._feed.advance(state, step, key, steps)
    if step == 0:
      jax.block_until_ready(metrics)
      self._marks["first_step"] = time.time()
    if step + steps == self._total:
      jax.block_until_ready(metrics)
      self._marks["last_step"] = time.time()
    return state, metrics


def main(argv: list[str]) -> int:
  """Run the command, write the times and return its exit code."""
  answer, epochs, *rest = argv
  from etf_jax import main as command

  # `runs` imports all that a run needs.
  from etf_jax.training import durations, train

  marks = {"imported": time.time()}
  create = train.make_trainer
  facts = {}

  def created(config, dataset):
    marks["data"] = time.time()
    whole = config.copy_and_resolve_references()
    config.total_epochs = float(epochs)
    config.total_steps = config.total_examples = None
    config.total_min_steps = None
    made = create(config, dataset)
    setup = made.setup
    facts["steps"], facts["epoch_steps"] = setup.total_steps, setup.epoch.steps
    facts["full_steps"] = durations.steps(whole, "total", setup.epoch)

    def open_feed(*given, **own):
      return Stamped(
        made.open_feed(*given, **own),
        setup.epoch.steps,
        setup.total_steps,
        marks,
      )

    return dataclasses.replace(made, open_feed=open_feed)

  train.make_trainer = created
  with Compilations() as compilations:
    code = command.main(["etf_jax.main", *rest])
  if code == 0:
    steady = compilations.between(marks["second_epoch"], marks["last_step"])
    facts |= {"marks": marks, "compiled": len(compilations.found)}
    pathlib.Path(answer).write_text(json.dumps(facts | {"again": steady}))
  return code


def timed(
  arguments: list[str], epochs: int, cache: pathlib.Path
) -> dict[str, Any]:
  """Time a run of one seed.

  Args:
    arguments: the config and its fields, as for etf_jax.main.
    epochs: of the run, at least 4.
    cache: where compiled programs are kept.

  Returns:
    "seconds" from the start of the process until it has "imported" packages,
    has the "data", made the "first_step", begun the "second_epoch" and the
    "last_epoch", made the "last_step" and "ended"; "steps", "epoch_steps" and
    "full_steps", those of the config's whole run; "compiled", the number of
    programs; "again", the names of those that were compiled between the
    beginning of the second epoch and the last step, where all had been.

  Raises:
    InputError: the run failed; its own line.
  """
  environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(cache)}
  environment.setdefault(
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", _CACHED_SECONDS
  )
  with tempfile.TemporaryDirectory() as folder:
    answer = pathlib.Path(folder) / "answer.json"
    started = time.time()
    done = subprocess.run(
      [
        *(sys.executable, "-m", __name__, str(answer), str(epochs)),
        *arguments,
        f"--workdir={folder}/run",
      ],
      env=environment,
      capture_output=True,
      text=True,
      check=False,
    )
    ended = time.time()
    if done.returncode:
      lines = done.stderr.strip().splitlines() or ["no message"]
      raise InputError(
        f"a run ended with exit code {done.returncode}:"
        f" {lines[-1].removeprefix('error: ')}"
      )
    facts = json.loads(answer.read_text())
  marks = facts.pop("marks") | {"ended": ended}
  return facts | {"seconds": {k: t - started for k, t in marks.items()}}


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
