# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The loop: one run of one seed, resumed if it had begun.

experiment = experiment.create(config, data.load(config.data))
final = train(experiment, seed=0, workdir=Path("runs/first"))
"""

from pathlib import Path
import time

import numpy as np

from etf_jax.evaluation import metrics
from etf_jax.reporting import writers
from etf_jax.training import distributed, durations, memory, two_stage
from etf_jax.training import state as train_state
from etf_jax.training import workdir as workdirs
from etf_jax.training.checkpoint import Checkpoints
from etf_jax.training.experiment import Experiment, lower_step
from etf_jax.training.window import Window


def train(experiment: Experiment, seed: int, workdir: Path) -> dict:
  """Trains one seed to the end, or returns the result that is there.

  Args:
    experiment: see `experiment.create`.
    seed: of the run.
    workdir: its directory; one that holds this run is continued.

  Returns:
    The run's final row (see etf_jax/reporting/README.md); of several processes
    the first one has all of it.

  Raises:
    InputError: a directory of another run, or a loss that is not finite.
    distributed.Preempted: asked to stop by SIGTERM; the state is saved.
  """
  config, image_shape = experiment.config, experiment.input_shape
  # First, since they refuse models that cannot serve and steps that do not
  # fit: a directory made for one would be in the way of the mended config.
  fixed = train_state.draw_classifier(experiment.model, image_shape, seed)
  if experiment.total_steps:
    told = memory.check(
      lambda: lower_step(experiment, experiment.open_feed),
      config,
      experiment.mesh,
    )
    if told and distributed.is_writer():
      print(told, flush=True)
  with workdirs.only_run(workdir):
    return _train(experiment, seed, workdir, fixed)


def _train(experiment, seed, workdir, fixed):
  config, dataset = experiment.config, experiment.dataset
  if distributed.is_writer():
    workdirs.open_run(
      workdir, config, seed, dataset.class_counts, dataset.class_names
    )
  distributed.barrier("directory")
  rows_path = workdir / "metrics.jsonl"
  checkpoints = Checkpoints(workdir, config.checkpoint)
  try:
    # 1. A finished run is not run again.
    final = None
    if distributed.is_writer():
      final = _finished(rows_path, checkpoints.latest, experiment.total_steps)
    if distributed.from_writer(lambda: final is not None):
      return final or {"kind": "final", "step": experiment.total_steps}
    # 2. Otherwise the newest checkpoint, and the rows that led to it,
    state = train_state.create(
      experiment.model,
      experiment.optimizer,
      experiment.input_shape,
      fixed,
      seed,
      experiment.state_sharding,
      average=bool(config.ema_decay),
    )
    facts = {}
    state, start = checkpoints.restore(state)
    # 3. or else the model of a run that this one is to start from,
    if not start and config.init_from:
      state, facts = two_stage.start(config, state, seed, experiment.evaluate)
    if distributed.is_writer():
      writers.truncate_after(rows_path, start or -1)
    history = _history(rows_path)
    writer = _open_writers(config, workdir, start, experiment.total_steps)
    feed = experiment.open_feed(seed, start)
    try:
      # 4. or else a fresh one.
      with distributed.preemptible():
        return _run(
          experiment,
          seed,
          state,
          feed,
          checkpoints,
          writer,
          history,
          facts,
          workdir / "window.json",
        )
    finally:
      feed.close()
      writer.close()
  finally:
    checkpoints.close()


def _run(
  experiment,
  seed,
  state,
  feed,
  checkpoints,
  writer,
  history,
  facts,
  window_path,
):
  config, epoch = experiment.config, experiment.epoch
  step = int(state.step)
  total = experiment.total_steps
  log_every, eval_every, measure_every, save_every = (
    max(1, durations.steps(node, name, epoch))
    for node, name in (
      (config.report, "log_every"),
      (config.eval, "every"),
      (config.collapse, "every"),
      (config.checkpoint, "every"),
    )
  )
  keys = train_state.keys(seed)
  window = Window(experiment, feed, writer, checkpoints, step)
  window.resume(window_path)
  started, confusion = time.perf_counter(), None
  while step < total:
    state, step_metrics = feed.advance(state, step, keys["augment"])
    step += 1
    log, evaluate, measure, save = (
      step % every == 0 or step == total
      for every in (log_every, eval_every, measure_every, save_every)
    )
    # The order of events after a step:
    # 1. its metrics join the window; a full one is written one window late,
    #    so that the device never waits for the host,
    window.add(step_metrics)
    if log or evaluate or measure or save:
      window.close(step)
    stop = distributed.stop_requested() and step < total
    if evaluate or measure or save or stop:
      window.flush()
    # 2. neural collapse, whose forward pass serves the evaluation as well,
    sums = _measure(experiment, state, step, writer) if measure else {}
    # 3. evaluation, and the best variables so far,
    if evaluate:
      confusion = _record(
        experiment, state, step, checkpoints, writer, history, sums
      )
    # 4. the state to resume from: everything up to here is on disk,
    if save or stop:
      if stop:
        window.keep(window_path, step)
      checkpoints.save(state, step)
    # 5. and the end, if a signal asks for it.
    if stop:
      checkpoints.wait()
      raise distributed.Preempted(f"stopped and saved at step {step}")
    if evaluate or measure or save:
      window.restart_clock()
  if not total:  # a model that is built, not trained
    sums = _measure(experiment, state, step, writer)
    confusion = _record(
      experiment, state, step, checkpoints, writer, history, sums
    )
    checkpoints.save(state, step)
  if confusion is None:  # killed after its last step
    _, confusion = _evaluate(experiment, state, step, {})
  final = _final_row(experiment, history, confusion) | facts
  final["seconds"] = time.perf_counter() - started
  writer.write(final)
  return final


def best_step(history: list[dict], split: str) -> int:
  """The first step at which the accuracy on a split was highest."""
  rows = [r for r in history if r["split"] == split]
  return max(rows, key=lambda r: (r["accuracy"], -r["step"]))["step"]


def _evaluate(experiment, state, step, known):
  """A row per split, and the confusion matrix of the test split.

  `known` holds the sums of splits that have just been measured.
  """
  rows = []
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
  return rows, sums.confusion.tolist()


def _record(experiment, state, step, checkpoints, writer, history, known):
  """Evaluates, writes the rows and keeps the best; the confusion matrix."""
  rows, confusion = _evaluate(experiment, state, step, known)
  for row in rows:
    writer.write(row)
  history += rows
  if best_step(history, experiment.splits[0]) == step:
    checkpoints.save_best(state.eval_variables, step)
  return confusion


def _measure(experiment, state, step, writer):
  """Writes a row of neural collapse for each split; their sums by name."""
  known = {}
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
    writer.write(row)
  return known


def _final_row(experiment, history, confusion):
  split = experiment.splits[0]
  best = best_step(history, split)
  test = {r["step"]: r for r in history if r["split"] == "test"}
  return {
    "kind": "final",
    "step": experiment.total_steps,
    "epoch": experiment.total_steps / experiment.epoch.steps,
    "last": test[experiment.total_steps],
    "best": test[best],
    "best_selected_on": split,
    "confusion": confusion,
  }


def _open_writers(config, workdir, start, total_steps):
  if not distributed.is_writer():
    return writers.multi([])
  opened = [
    writers.jsonl(workdir / "metrics.jsonl"),
    writers.console(total_steps, initial_step=start),
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


def _finished(path, step, total_steps):
  """The final row, if there is one and the state that belongs to it."""
  rows = _read(path)
  is_final = rows and rows[-1]["kind"] == "final" and step == total_steps
  return rows[-1] if is_final else None


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
