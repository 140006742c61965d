# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The rows and checkpoints of one run, written into its directory.

recorder = RunRecorder(trainer, seed, workdir)
state, start = recorder.restore(fixed)    # unless recorder.final is set
recorder.open(start, feed, place=0)
"""

import functools
import math
from pathlib import Path
import time
from typing import Any

import numpy as np

from etf_jax.errors import InputError
from etf_jax.evaluation import metrics
from etf_jax.models import mlp
from etf_jax.runs import (
  console,
  directory,
  files,
  metrics_rows,
  trackers,
  writers,
)
from etf_jax.training.checkpoints import two_stage
from etf_jax.training.checkpoints.manager import Checkpoints
from etf_jax.training.feeds.device import TrainFeed
from etf_jax.training.parallel import distributed
from etf_jax.training.records import resuming
from etf_jax.training.records.metrics_window import MetricsWindow, saved_window
from etf_jax.training.setup import Trainer, create_state
from etf_jax.training.state import TrainState


class RunRecorder:
  """The records of one run in its directory, which no other run uses.

  Attributes:
    seed: of the run.
    workdir: directory of the run.
    final: final row of a run that has ended, else None; complete in process 0.
    best_metric: key of the metric that chooses the best evaluation.
    window: training metrics since the last row; made by `open`.
  """

  window: MetricsWindow

  def __init__(self, trainer: Trainer, seed: int, workdir: Path):
    """Make the directory that of this run, or check that it is.

    Args:
      trainer: see `setup.make_trainer`.
      seed: of the run.
      workdir: see `directory.only_run`.

    Raises:
      InputError: it is the directory of another run.
    """
    self.seed, self.workdir = seed, workdir
    self._trainer, self._setup = trainer, trainer.setup
    config, dataset = self._setup.config, trainer.dataset
    self._describe = functools.partial(
      directory.open_run,
      workdir,
      config,
      seed,
      dataset.class_counts,
      dataset.class_names,
      dataset.record,
    )
    if distributed.is_writer():
      self._describe()
    self.best_metric = distributed.from_writer(
      lambda: _best_metric(workdir / "config.json")
    )
    self._checkpoints = Checkpoints(workdir, config.checkpoint)
    self._extra_fields: dict[str, Any] = {}
    self._confusion: list | None = None
    self._test_images = 0
    self._history: list[dict] = []
    self._writer: Any = None
    self.final: dict | None = self._ended()

  def _ended(self):
    """Return the final row, if it and the state that belongs to it exist."""
    final = None
    if distributed.is_writer():
      rows = metrics_rows.read(self._rows_path)
      is_final = rows and rows[-1]["kind"] == "final"
      if is_final and self._checkpoints.latest == rows[-1]["step"]:
        final = rows[-1]
        if self._setup.config.checkpoint.best and "best" in final:
          best, kept = final["best"]["step"], self._checkpoints.best_steps()
          resuming.name_lost_best(self.workdir, best, kept, ended=True)
    step = distributed.from_writer(lambda: final and final["step"])
    return None if step is None else final or {"kind": "final", "step": step}

  @property
  def _rows_path(self):
    return self.workdir / "metrics.jsonl"

  @property
  def _window_path(self):
    return self.workdir / "window.json"

  def restore(self, fixed: dict) -> tuple[TrainState, int]:
    """Return the state to go on from, and the steps that it has completed.

    Precedence: the newest checkpoint; the model in `init_from`; a fresh state.

    Args:
      fixed: see `state.draw_classifier`.
    """
    setup = self._setup
    state = create_state(setup, self.seed, fixed)
    if (statistics := self._trainer.dataset.statistics) is not None:
      batch_stats = mlp.with_statistics(state.batch_stats, *statistics)
      state = state.begin_from(state.params, batch_stats)
    self._check_checkpoints_exist()
    state, start = self._checkpoints.restore(state, self._lacking)
    if not start and setup.config.init_from:
      state, self._extra_fields = two_stage.start(
        setup.config, state, self.seed, self._trainer.evaluate
      )
    return state, start

  def _check_checkpoints_exist(self):
    """Refuse to begin anew where a run has been: it would replace its rows."""
    problem, setup = None, self._setup
    fresh = distributed.is_writer() and self._checkpoints.latest is None
    if fresh and setup.total_steps:
      problem = resuming.lost_checkpoints(
        self.workdir,
        metrics_rows.read(self._rows_path),
        setup.intervals.save,
      )
    distributed.check_all(problem)

  def _lacking(self, step: int) -> str | None:
    """Name what metrics.jsonl lacks of the rows that led to a step, or None."""
    return resuming.lacking(
      metrics_rows.read(self._rows_path),
      step,
      every=self._setup.intervals.evaluate,
      total=self._setup.total_steps,
      splits=self._trainer.splits,
      window=saved_window(self._window_path, step),
    )

  def open(self, start: int, feed: TrainFeed, place: int) -> None:
    """Begin to write, behind the rows that led to a step.

    Args:
      start: steps completed.
      feed: its rates enter the rows.
      place: of this run among packed seeds, from 0.
    """
    self._started = time.perf_counter()
    if distributed.is_writer():
      rows = metrics_rows.read(self._rows_path)
      resuming.keep_ended(self._rows_path, rows, self._checkpoints.latest)
      writers.truncate_after(self._rows_path, start or -1)
    self._history = _history(self._rows_path, self.best_metric)
    if self._history and self._setup.config.checkpoint.best:
      best, kept = self._best_step(), self._checkpoints.best_steps()
      if distributed.is_writer():
        resuming.name_lost_best(self.workdir, best, kept)
    self._writer = _open_writers(self._setup, self.workdir, start)
    self.window = MetricsWindow(
      self._setup,
      feed,
      self._writer,
      self._checkpoints,
      start,
      seed=self.seed,
      place=place,
    )
    self.window.resume(self._window_path)

  def may_end(self, step: int) -> bool:
    """Return True if an evaluation without a new best ends the run."""
    patience = self._setup.config.eval.patience_epochs
    if patience is None or not self._history:
      return False
    return step - self._best_step() >= patience * self._setup.epoch.steps

  def ends_early(self, step: int) -> bool:
    """Return True if the evaluation at a step has ended the patience."""
    return self.may_end(step) and self._history[-1]["step"] == step

  def _row(self, kind, split, step):
    epoch = step / self._setup.epoch.steps
    return {"kind": kind, "split": split, "step": step, "epoch": epoch}

  def _best_step(self):
    return best_step(self._history, self._trainer.splits[0], self.best_metric)

  def measure(
    self, state: TrainState, step: int, *, matrices: bool = False
  ) -> dict[str, metrics.Sums]:
    """Write a row of neural collapse for each split.

    Args:
      state: after the step.
      step: completed.
      matrices: True to measure the cosines of all pairs, as after the last
        step.

    Returns:
      The sums of the splits, by name.
    """
    trainer, setup, known = self._trainer, self._setup, {}
    for split in setup.config.collapse.splits:
      started, row = time.perf_counter(), self._row("collapse", split, step)
      fields, known[split] = trainer.measure(
        state.eval_variables,
        split,
        matrices=matrices or step == setup.total_steps,
      )
      row |= fields
      row["seconds"] = time.perf_counter() - started
      self._writer.write(row)
    return known

  def evaluate(
    self, state: TrainState, step: int, known: dict[str, metrics.Sums]
  ) -> None:
    """Evaluate, write the rows and keep the best variables.

    Args:
      state: after the step.
      step: completed.
      known: sums of splits that have just been measured.
    """
    rows = self._evaluate(state, step, known)
    for row in rows:
      self._writer.write(row)
    self._history += rows
    if self._best_step() == step:
      self._writer.sync()
      self._checkpoints.save_best(state.eval_variables, step)

  def _evaluate(self, state, step, known):
    """Make a row for each split; keep the confusions of the test split."""
    trainer, rows = self._trainer, []
    for split in trainer.splits:
      started = time.perf_counter()
      sums = known.get(split)
      if sums is None:
        sums = trainer.evaluate(state.eval_variables, split)
      seconds = time.perf_counter() - started
      row = self._row("eval", split, step)
      row |= metrics.compute(sums, trainer.dataset.class_counts)
      if not math.isfinite(row["ece"]):
        raise InputError(
          f"evaluation of {split} at step {step}: the outputs of the model are"
          " not finite, so no metric means anything; lower"
          " config.optimizer.learning_rate"
        )
      if split not in known:
        row["images_per_second"] = float(np.sum(sums.true)) / seconds
      rows.append(row)
    self._test_images = int(np.sum(sums.true))
    confusion = sums.confusion
    self._confusion = None if confusion is None else confusion.tolist()
    return rows

  def save(self, state: TrainState, step: int) -> None:
    """Start saving the state to resume from, behind rows on the disk."""
    self._writer.sync()
    # Whoever cleans up while it trains loses nothing.
    if distributed.is_writer() and directory.lacks_description(self.workdir):
      self._describe()
    self._checkpoints.save(state, step)

  def wait(self) -> None:
    """Wait for what is being saved."""
    self._checkpoints.wait()

  def stop(self, state: TrainState, step: int) -> None:
    """Save a run that is stopped, with its open window."""
    self.window.save(self._window_path, step)
    self.save(state, step)
    self._checkpoints.wait()

  def end(self, state: TrainState, step: int) -> None:
    """Write the final row, behind the last checkpoint.

    Args:
      state: after the last step.
      step: completed.
    """
    self._checkpoints.wait()
    if not self._test_images:  # killed after its last step
      self._evaluate(state, step, {})
    test = {r["step"]: r for r in self._history if r["split"] == "test"}
    self.final = {
      "kind": "final",
      "step": step,
      "epoch": step / self._setup.epoch.steps,
      "last": test[step],
      "best": test[self._best_step()],
      "best_metric": self.best_metric,
      "best_selected_on": self._trainer.splits[0],
      "test_images": self._test_images,
      "confusion": self._confusion,
      **self._extra_fields,
      "seconds": time.perf_counter() - self._started,
    }
    self._writer.write(self.final)
    self._writer.sync()

  def close(self) -> None:
    """Wait for what is being saved, and close the writers."""
    try:
      if self._writer is not None:
        self._writer.close()
    finally:
      self._checkpoints.close()


def best_step(history: list[dict], split: str, metric: str) -> int:
  """Return the first step at which a metric of a split was highest."""
  rows = [r for r in history if r["split"] == split]
  return max(rows, key=lambda r: (r[metric], -r["step"]))["step"]


def _best_metric(path: Path) -> str:
  """Return the metric that chooses a run's best evaluation.

  Versions that had no choice took the accuracy.
  """
  config = files.read_json(path)["config"]
  return config.get("eval", {}).get("best_metric", "accuracy")


def _open_writers(setup, workdir, start):
  if not distributed.is_writer():
    return writers.Multi([])
  config = setup.config
  opened = [
    writers.Jsonl(workdir / "metrics.jsonl"),
    console.Console(setup.total_steps, initial_step=start),
  ]
  if config.report.tensorboard:
    opened.append(
      writers.TensorBoard(workdir / "tensorboard", restored_step=start or None)
    )
  if config.report.tracker:
    opened.append(
      trackers.tracker(config.report.tracker, config.to_dict(), workdir)
    )
  return writers.Multi(opened)


def _history(path, metric):
  """Read the evaluations so far; other processes get what chooses the best."""
  if distributed.is_writer():
    rows = [row for row in metrics_rows.read(path) if row["kind"] == "eval"]
    distributed.from_writer(
      lambda: [
        {name: row[name] for name in ("split", "step", metric)} for row in rows
      ]
    )
    return rows
  return distributed.from_writer(list)
