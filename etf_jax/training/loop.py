# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The loop: runs of one seed each, resumed if they had begun.

trainer = setup.make_trainer(config, data.load(config.data))
final = train_seed(trainer, seed=0, workdir=Path("runs/first"))
finals = train_seeds(trainer, {0: Path("a"), 1: Path("b")})
"""

from collections.abc import Callable, Mapping, Sequence
import contextlib
import logging
from pathlib import Path

import jax

from etf_jax.errors import InputError
from etf_jax.runs import directory
from etf_jax.training.feeds.device import TrainFeed
from etf_jax.training.parallel import distributed, memory, packing, sharding
from etf_jax.training.records.profiler import Profiler
from etf_jax.training.records.recorder import RunRecorder
from etf_jax.training.setup import Setup, Trainer, lower_step
from etf_jax.training.state import TrainState, augment_key, draw_classifier

_log = logging.getLogger(__name__)


def train_seed(trainer: Trainer, seed: int, workdir: Path) -> dict:
  """Train one seed to the end, or return the result that is there.

  Args:
    trainer: see `setup.make_trainer`.
    seed: of the run.
    workdir: directory of the run; one that holds this run is continued.

  Returns:
    The run's final row (see etf_jax/reporting/README.md), complete in process
    0.

  Raises:
    InputError: a directory of another run, or a loss that is not finite.
    distributed.Preempted: asked to stop by SIGTERM; the state is saved.
  """
  return train_seeds(trainer, {seed: workdir})[seed]


def train_seeds(
  trainer: Trainer, workdirs: Mapping[int, Path]
) -> dict[int, dict]:
  """Train several seeds in one program; otherwise like `train_seed`.

  Runs that have come to different steps are trained in groups of equal ones.

  Args:
    trainer: see `setup.make_trainer`.
    workdirs: the directory of each seed.

  Returns:
    The final row of each seed.
  """
  setup = trainer.setup
  # First, since they refuse models that cannot serve and steps that do not
  # fit: a directory made for one would be in the way of the mended config.
  fixed = {
    seed: draw_classifier(setup.model, setup.input_shape, seed)
    for seed in workdirs
  }
  _check_memory(trainer, packing.size(len(workdirs), setup.mesh))
  finals: dict[int, dict] = {}
  with contextlib.ExitStack() as stack:
    recorders = []
    begun: dict[int, list[tuple[RunRecorder, TrainState]]] = {}
    for seed, workdir in workdirs.items():
      if distributed.is_writer():
        stack.enter_context(directory.only_run(workdir))
      distributed.check_same_folder(workdir)
      recorders.append(RunRecorder(trainer, seed, workdir))
      stack.callback(recorders[-1].close)
    for recorder in recorders:
      if recorder.final is None:
        state, start = recorder.restore(fixed[recorder.seed])
        begun.setdefault(start, []).append((recorder, state))
    for start in sorted(begun):
      _train_group(trainer, begun[start], start)
    for recorder in recorders:
      assert recorder.final is not None
      finals[recorder.seed] = recorder.final
  return finals


def _check_memory(trainer: Trainer, runs: int) -> None:
  setup = trainer.setup
  if not setup.total_steps:
    return
  try:
    line = memory.check(
      lambda: lower_step(setup, trainer.open_feed, single=False, runs=runs),
      setup.config.batch_size,
      setup.mesh,
    )
  except InputError as error:
    if runs == 1:
      raise
    raise InputError(f"{error}. Or lower config.pack_seeds") from error
  if line and distributed.is_writer():
    _log.info(line)


def _train_group(
  trainer: Trainer, begun: list[tuple[RunRecorder, TrainState]], start: int
) -> None:
  """Train runs from one step to the end; a single run is not packed.

  `begun` is emptied, so that nobody keeps states that are not needed any more.
  """
  mesh = trainer.setup.mesh
  recorders, states = map(list, zip(*begun, strict=True))
  begun.clear()
  # Where they do not make up a program, the last one is trained more than once.
  # The devices would have nothing else to do.
  missing = packing.size(len(recorders), mesh) - len(recorders)
  states += states[-1:] * missing
  seeds = tuple(recorder.seed for recorder in recorders)
  seeds += seeds[-1:] * missing
  packed = len(seeds) > 1
  seed = seeds if packed else seeds[0]
  with contextlib.ExitStack() as stack:
    feed = trainer.open_feed(seed, start)
    stack.callback(feed.close)
    for place, recorder in enumerate(recorders):
      recorder.open(start, feed, place)
    stack.enter_context(distributed.preemptible())
    profiler = stack.enter_context(
      Profiler(trainer.setup.config.profile_steps, recorders[0].workdir)
    )
    if packed:
      state = packing.stack(states, mesh)
      key = augment_key(seed, packing.along_seed(mesh))
    else:
      (state,) = states
      key = augment_key(seed, sharding.replicated(mesh))
    del states

    def state_of(state, place):
      return packing.take(state, place, mesh) if packed else state

    _run(trainer.setup, recorders, state, start, feed, key, profiler, state_of)


def _run(
  setup: Setup,
  recorders: Sequence[RunRecorder],
  state: TrainState,
  step: int,
  feed: TrainFeed,
  key: jax.Array,
  profiler: Profiler,
  state_of: Callable[[TrainState, int], TrainState],
) -> None:
  """Train from a step to the end, with all that happens in between."""
  total = setup.total_steps
  intervals = setup.intervals
  first = recorders[0]  # the only one, if runs may end early
  while step < total and not first.ends_early(step):
    ahead = [total - step, profiler.most(step)]
    ahead += [interval - step % interval for interval in intervals]
    steps = feed.steps(step)
    if steps > min(number for number in ahead if number):
      steps = 1
    profiler.begin(step)
    with jax.profiler.StepTraceAnnotation("train", step_num=step):
      state, metrics = feed.advance(state, step, key, steps)
    step += steps
    profiler.end(step, state)
    log, evaluate, measure, save = (
      step % interval == 0 or step == total for interval in intervals
    )
    may_end = evaluate and first.may_end(step)
    measure = measure or may_end
    # The order of events after a call:
    # 1. its metrics join the window; a full one is written one window late,
    #    so that the device never waits for the host,
    for recorder in recorders:
      recorder.window.add(metrics, steps)
      if log or evaluate or measure or save:
        recorder.window.close(step)
    stop = distributed.stop_requested() and step < total
    if not (evaluate or measure or save or stop):
      continue
    for recorder in recorders:
      recorder.window.flush()
    for place, recorder in enumerate(recorders):
      single = state_of(state, place)
      # 2. neural collapse, whose forward pass serves the evaluation as well,
      sums = recorder.measure(single, step, matrices=may_end) if measure else {}
      # 3. evaluation, and the best variables so far,
      if evaluate:
        recorder.evaluate(single, step, sums)
      # 4. the state to resume from: everything up to here is on disk,
      if stop:
        recorder.stop(single, step)
      elif save or recorder.ends_early(step):
        recorder.save(single, step)
      if len(recorders) > 1 and distributed.count() > 1:
        # Processes that save together meet at barriers named by the step, so
        # that no two runs may be saved at a time.
        recorder.wait()
    # 5. and the end, if a signal asks for it.
    if stop:
      raise distributed.Preempted(f"stopped and saved at step {step}")
    for recorder in recorders:
      recorder.window.restart_clock()
  if step < total:
    _log.info(
      f"ended at step {step} of {total}: {first.best_metric} has not risen for"
      f" config.eval.patience_epochs={setup.config.eval.patience_epochs:g}"
    )
  for place, recorder in enumerate(recorders):
    single = state_of(state, place)
    if not total:  # a model that is built, not trained
      recorder.evaluate(single, step, recorder.measure(single, step))
      recorder.save(single, step)
    recorder.end(single, step)
