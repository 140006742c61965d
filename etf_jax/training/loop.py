# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The loop: runs of one seed each, resumed if they had begun.

experiment = experiment.create(config, data.load(config.data))
final = train(experiment, seed=0, workdir=Path("runs/first"))
finals = train_together(experiment, {0: Path("a"), 1: Path("b")})
# With config.learning_rates=(0.1, 0.2) a run is named by its rate as well.
finals = train_together(experiment, {(0.1, 0): Path("a"), (0.2, 0): Path("b")})
"""

from collections.abc import Mapping
import contextlib
import logging
from pathlib import Path

import jax

from etf_jax.errors import InputError
from etf_jax.runs import directory
from etf_jax.training import durations, sweeps
from etf_jax.training import state as train_state
from etf_jax.training.experiment import Experiment, of_run
from etf_jax.training.parallel import distributed, memory, packing, sharding
from etf_jax.training.plan import lower_step
from etf_jax.training.records.profiler import Profile
from etf_jax.training.records.recorder import Run

_log = logging.getLogger(__name__)


def train(experiment: Experiment, seed: int, workdir: Path) -> dict:
  """Train one seed to the end, or returns the result that is there.

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
  return train_together(experiment, {seed: workdir})[seed]


def train_together(
  experiment: Experiment, places: Mapping[sweeps.Name, Path]
) -> dict[sweeps.Name, dict]:
  """Train several runs in one program; otherwise like `train`.

  Runs that have come to different steps are trained in groups of equal ones.

  Args:
    experiment: see `experiment.create`.
    places: the directory of each run, by its name, see `sweeps`.

  Returns:
    The final row of each.
  """
  # First, since they refuse models that cannot serve and steps that do not
  # fit: a directory made for one would be in the way of the mended config.
  model, image_shape = experiment.model, experiment.input_shape
  own = {name: of_run(experiment, name) for name in places}
  fixed = {
    name: train_state.draw_classifier(model, image_shape, seed)
    for name, (_, seed) in own.items()
  }
  Profile(experiment, next(iter(places.values())))
  _check_memory(experiment, packing.size(len(places), experiment.mesh))
  with contextlib.ExitStack() as stack:
    runs, begun = [], {}
    for name, workdir in places.items():
      if distributed.is_writer():
        stack.enter_context(directory.only_run(workdir))
      runs.append(Run(*own[name], workdir))
      stack.callback(runs[-1].close)
    for name, run in zip(places, runs, strict=True):
      if run.final is None:
        state, start = run.restore(fixed[name])
        begun.setdefault(start, []).append((run, state))
    for start in sorted(begun):
      _train_group(experiment, begun[start], start)
    return {name: run.final for name, run in zip(places, runs, strict=True)}


def _check_memory(experiment, number):
  if not experiment.total_steps:
    return
  try:
    told = memory.check(
      lambda: lower_step(
        experiment, experiment.open_feed, single=False, runs=number
      ),
      experiment.config,
      experiment.mesh,
    )
  except InputError as error:
    if number == 1:
      raise
    raise InputError(f"{error}. Or lower config.pack_seeds") from error
  if told and distributed.is_writer():
    _log.info(told)


def _train_group(experiment, begun, start):
  """Train runs from one step to the end; one run alone is not packed.

  `begun`, pairs of a run and its state, is emptied, so that nobody keeps states
  that are not needed any more.
  """
  runs, states = map(list, zip(*begun, strict=True))
  begun.clear()
  # Where they do not make up a program, the last one is trained more than once.
  # The devices would have nothing else to do.
  missing = packing.size(len(runs), experiment.mesh) - len(runs)
  members = runs + runs[-1:] * missing
  seeds = tuple(run.seed for run in members)
  states += states[-1:] * missing
  packed = len(seeds) > 1
  if not packed:
    (seeds,) = seeds
  apart = {}
  if experiment.config.imbalances:
    apart["samplers"] = tuple(run.sampler for run in members)
  with contextlib.ExitStack() as stack:
    feed = experiment.open_feed(seeds, start, **apart)
    stack.callback(feed.close)
    for place, run in enumerate(runs):
      run.open(start, feed, place)
    stack.enter_context(distributed.preemptible())
    profile = stack.enter_context(Profile(experiment, runs[0].workdir))
    mesh = experiment.mesh
    if packed:
      state, where = packing.stack(states, mesh), packing.along_seed(mesh)
    else:
      (state,), where = states, sharding.replicated(mesh)
    del states
    key = train_state.augment_key(seeds, where)
    key = _own(experiment.config, members, key, where)

    def alone(state, place):
      return packing.take(state, place, mesh) if packed else state

    _run(experiment, runs, state, start, feed, key, profile, alone)


def _own(config, members, key, where):
  """The key of some runs, with what else they have of their own."""
  own = {}
  if config.learning_rates:
    rate = config.optimizer.learning_rate
    own["rate_factors"] = [run.learning_rate / rate for run in members]
  if config.imbalances:
    own["class_counts"] = [run.class_counts for run in members]
  return train_state.own(key, where, **own) if own else key


def _run(experiment, runs, state, step, feed, key, profile, alone):
  total = experiment.total_steps
  log_every, eval_every, measure_every, save_every = every = _every(experiment)
  while step < total:
    steps = [feed.most(step), total - step, profile.most(step)]
    steps += [number - step % number for number in every]
    steps = min(number for number in steps if number)
    profile.begin(step)
    with jax.profiler.StepTraceAnnotation("train", step_num=step):
      state, metrics = feed.advance(state, step, key, steps)
    step += steps
    profile.end(step, state)
    log, evaluate, measure, save = (
      step % number == 0 or step == total
      for number in (log_every, eval_every, measure_every, save_every)
    )
    # The order of events after a call:
    # 1. its metrics join the window; a full one is written one window late,
    #    so that the device never waits for the host,
    for run in runs:
      run.window.add(metrics, steps)
      if log or evaluate or measure or save:
        run.window.close(step)
    stop = distributed.stop_requested() and step < total
    if not (evaluate or measure or save or stop):
      continue
    for run in runs:
      run.window.flush()
    for place, run in enumerate(runs):
      own = alone(state, place)
      # 2. neural collapse, whose forward pass serves the evaluation as well,
      sums = run.measure(own, step) if measure else {}
      # 3. evaluation, and the best variables so far,
      if evaluate:
        run.evaluate(own, step, sums)
      # 4. the state to resume from: everything up to here is on disk,
      if stop:
        run.stop(own, step)
      elif save:
        run.save(own, step)
      if len(runs) > 1 and distributed.count() > 1:
        # Processes that save together meet at barriers named by the step, so
        # that no two runs may be saved at a time.
        run.wait()
    # 5. and the end, if a signal asks for it.
    if stop:
      raise distributed.Preempted(f"stopped and saved at step {step}")
    for run in runs:
      run.window.restart_clock()
  for place, run in enumerate(runs):
    own = alone(state, place)
    if not total:  # a model that is built, not trained
      run.evaluate(own, step, run.measure(own, step))
      run.save(own, step)
    run.end(own)


def _every(experiment):
  """Step between two rows, evaluations, measurements and checkpoints."""
  config, epoch = experiment.config, experiment.epoch
  return tuple(
    max(1, durations.steps(node, name, epoch))
    for node, name in (
      (config.report, "log_every"),
      (config.eval, "every"),
      (config.collapse, "every"),
      (config.checkpoint, "every"),
    )
  )
