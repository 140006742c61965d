# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""What one run has in its directory and writes there: rows and checkpoints.

run = Run(experiment, seed, workdir)
state, start = run.restore(fixed)    # unless run.final says that it has ended
run.open(start, feed, place=0)
"""

from pathlib import Path
import time
from typing import Any

import numpy as np

from etf_jax.evaluation import metrics
from etf_jax.runs import console, directory, writers
from etf_jax.training import state as train_state
from etf_jax.training.checkpoints import two_stage
from etf_jax.training.checkpoints.manager import Checkpoints
from etf_jax.training.experiment import Experiment
from etf_jax.training.parallel import distributed
from etf_jax.training.records.metrics_window import Window
from etf_jax.training.state import TrainState


class Run:
  """The run of one seed in its directory, which nobody else is in.

  Attributes:
    seed: its seed.
    learning_rate: its own, the highest of the schedule.
    class_counts: `[K]` of its training images.
    sampler: the order of them.
    workdir: its directory.
    final: its final row, if it has ended; of several processes the first one
      has all of it.
    window: of its training metrics, once it is open.
  """

  def __init__(self, experiment: Experiment, seed: int, workdir: Path):
    """Make the directory that of this run, or checks that it is.

    Args:
      experiment: see `experiment.create`.
      seed: of the run.
      workdir: see `workdir.only_run`.

    Raises:
      InputError: it is the directory of another run.
    """
    self.seed, self.workdir = seed, workdir
    self._experiment = experiment
    config, dataset = experiment.config, experiment.dataset
    self.learning_rate = config.optimizer.learning_rate
    self.class_counts = dataset.class_counts
    self.sampler = experiment.sampler
    if distributed.is_writer():
      directory.open_run(
        workdir, config, seed, dataset.class_counts, dataset.class_names
      )
    distributed.barrier("directory")
    self._checkpoints = Checkpoints(workdir, config.checkpoint)
    self._facts, self._confusion, self._history = {}, None, []
    self._writer, self.window = None, None
    self.final = self._ended()

  def _ended(self):
    """The final row, if there is one and the state that belongs to it."""
    final, total = None, self._experiment.total_steps
    if distributed.is_writer():
      rows = _read(self._rows_path)
      is_final = rows and rows[-1]["kind"] == "final"
      if is_final and self._checkpoints.latest == total:
        final = rows[-1]
    if distributed.from_writer(lambda: final is not None):
      return final or {"kind": "final", "step": total}
    return None

  @property
  def _rows_path(self):
    return self.workdir / "metrics.jsonl"

  @property
  def _window_path(self):
    return self.workdir / "window.json"

  def restore(self, fixed: dict) -> tuple[TrainState, int]:
    """The state to go on from, and its step.

    The newest checkpoint; or else the model of a run that this one is to start
    from; or else a fresh one.

    Args:
      fixed: see `state.draw_classifier`.
    """
    experiment = self._experiment
    state = train_state.create(
      experiment.model,
      experiment.optimizer,
      experiment.input_shape,
      fixed,
      self.seed,
      experiment.state_sharding,
      average=bool(experiment.config.ema_decay),
    )
    state, start = self._checkpoints.restore(state)
    if not start and experiment.config.init_from:
      state, self._facts = two_stage.start(
        experiment.config, state, self.seed, experiment.evaluate
      )
    return state, start

  def open(self, start: int, feed: Any, place: int) -> None:
    """Begin to write, behind the rows that led to a step.

    Args:
      start: the step.
      feed: its rates enter the rows.
      place: of this run among those that are trained together, from 0.
    """
    self._started = time.perf_counter()
    if distributed.is_writer():
      writers.truncate_after(self._rows_path, start or -1)
    self._history = _history(self._rows_path)
    self._writer = _open_writers(self._experiment, self.workdir, start)
    self.window = Window(
      self._experiment,
      feed,
      self._writer,
      self._checkpoints,
      start,
      seed=self.seed,
      place=place,
    )
    self.window.resume(self._window_path)

  def measure(self, state: TrainState, step: int) -> dict[str, metrics.Sums]:
    """Write a row of neural collapse for each split; their sums by name."""
    experiment, known = self._experiment, {}
    for split in experiment.config.collapse.splits:
      started = time.perf_counter()
      row = {
        "kind": "collapse",
        "split": split,
        "step": step,
        "epoch": step / experiment.epoch.steps,
      }
      fields, known[split] = experiment.measure(
        state.eval_variables, split, matrices=step == experiment.total_steps
      )
      row |= fields
      row["seconds"] = time.perf_counter() - started
      self._writer.write(row)
    return known

  def evaluate(
    self, state: TrainState, step: int, known: dict[str, metrics.Sums]
  ) -> None:
    """Evaluate, writes the rows and keeps the best.

    Args:
      state: after the step.
      step: completed.
      known: sums of splits that have just been measured.
    """
    rows = self._evaluate(state, step, known)
    for row in rows:
      self._writer.write(row)
    self._history += rows
    if best_step(self._history, self._experiment.splits[0]) == step:
      self._checkpoints.save_best(state.eval_variables, step)

  def _evaluate(self, state, step, known):
    """A row per split; keeps the confusion matrix of the test split."""
    experiment, rows = self._experiment, []
    for split in experiment.splits:
      started = time.perf_counter()
      sums = known.get(split)
      if sums is None:
        sums = experiment.evaluate(state.eval_variables, split)
      seconds = time.perf_counter() - started
      row = {
        "kind": "eval",
        "split": split,
        "step": step,
        "epoch": step / experiment.epoch.steps,
      }
      row |= metrics.compute(sums, experiment.dataset.class_counts)
      if split not in known:
        row["images_per_second"] = float(np.sum(sums.confusion)) / seconds
      rows.append(row)
    self._confusion = sums.confusion.tolist()
    return rows

  def save(self, state: TrainState, step: int) -> None:
    """Start saving the state to resume from."""
    self._checkpoints.save(state, step)

  def wait(self) -> None:
    """Wait for what is being saved."""
    self._checkpoints.wait()

  def stop(self, state: TrainState, step: int) -> None:
    """Save all that the same run needs to go on as if it had not stopped."""
    self.window.keep(self._window_path, step)
    self._checkpoints.save(state, step)
    self._checkpoints.wait()

  def end(self, state: TrainState) -> None:
    """Write the final row."""
    experiment, split = self._experiment, self._experiment.splits[0]
    total = experiment.total_steps
    if self._confusion is None:  # killed after its last step
      self._evaluate(state, total, {})
    best = best_step(self._history, split)
    test = {r["step"]: r for r in self._history if r["split"] == "test"}
    self.final = {
      "kind": "final",
      "step": total,
      "epoch": total / experiment.epoch.steps,
      "last": test[total],
      "best": test[best],
      "best_selected_on": split,
      "confusion": self._confusion,
      **self._facts,
      "seconds": time.perf_counter() - self._started,
    }
    self._writer.write(self.final)

  def close(self) -> None:
    """Wait for what is being saved, and releases what is held."""
    try:
      if self._writer is not None:
        self._writer.close()
    finally:
      self._checkpoints.close()


def standing(workdir: Path) -> int:
  """The newest step that a run has saved, without looking at it; 0: none."""
  folders = (workdir / "checkpoints").glob("*")
  return max((int(f.name) for f in folders if f.name.isdigit()), default=0)


def best_step(history: list[dict], split: str) -> int:
  """The first step at which the accuracy on a split was highest."""
  rows = [r for r in history if r["split"] == split]
  return max(rows, key=lambda r: (r["accuracy"], -r["step"]))["step"]


def _open_writers(experiment, workdir, start):
  if not distributed.is_writer():
    return writers.multi([])
  config = experiment.config
  opened = [
    writers.jsonl(workdir / "metrics.jsonl"),
    console.writer(experiment.total_steps, initial_step=start),
  ]
  if config.report.tensorboard:
    opened.append(
      writers.tensorboard(workdir / "tensorboard", restored_step=start or None)
    )
  if config.report.tracker:
    opened.append(
      writers.tracker(config.report.tracker, config.to_dict(), workdir)
    )
  return writers.multi(opened)


def _history(path):
  """The evaluations so far; of other processes, what chooses the best."""
  if distributed.is_writer():
    rows = [row for row in _read(path) if row["kind"] == "eval"]
    distributed.from_writer(
      lambda: [
        {name: row[name] for name in ("split", "step", "accuracy")}
        for row in rows
      ]
    )
    return rows
  return distributed.from_writer(list)


def _read(path: Path) -> list[dict]:
  """The rows of a metrics file; a torn last line is left out."""
  if not path.exists():
    return []
  rows, _ = writers.parse_lines(path.read_bytes().splitlines(), path)
  return [row for row in rows if row]
