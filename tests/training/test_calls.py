# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Several steps in a call of the devices: the same run, and no waiting."""

import dataclasses
import gzip
import json

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict, FrozenConfigDict
import pytest
import tiny_runs

from etf_jax import data
from etf_jax.benchmarks import launches
from etf_jax.benchmarks.run import Compilations
from etf_jax.errors import InputError
from etf_jax.training import durations, loop, train
from etf_jax.training.config import make_intervals
from etf_jax.training.feeds import multi_step
from etf_jax.training.parallel import distributed, sharding
from etf_jax.training.setup import lower_step, make_trainer

FIELDS = tiny_runs.WITH_REST | {"ema_decay": 0.9}
# Relative, in float32: XLA rounds otherwise where it compiles steps together.
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def build(digits_dir):
  """steps_per_call -> a trainer."""
  config = tiny_runs.config(digits_dir, "etf_dr", FIELDS)
  dataset, made = data.load(config.data), {}

  def get(steps):
    if steps not in made:
      config.steps_per_call = steps
      made[steps] = make_trainer(config, dataset)
    return made[steps]

  return get


@pytest.fixture(scope="module")
def single(build, tmp_path_factory):
  """The directory of a run, and what compiled after which of its steps."""
  directory = tmp_path_factory.mktemp("single") / "run"
  reached = [0]
  trainer = tiny_runs.watched(build(1), after=reached.append)
  with Compilations(lambda: reached[-1]) as compilations:
    loop.train_seed(trainer, 0, directory)
  return directory, [step for step, _ in compilations.found]


@pytest.mark.slow
def test_nothing_compiles_after_the_first_epoch(single):
  directory, compiled = single
  # Steps, evaluation and measurement of the first one did; there are three.
  assert set(compiled) == {0, 4, 5}
  rows = tiny_runs.rows(directory, "collapse")
  assert [row["step"] for row in rows] == [5, 10, 12]


@pytest.mark.slow
def test_several_steps_in_a_call_are_the_same_run(build, single, tmp_path):
  seen = []

  def before(current, step, steps):
    del step
    seen.append(steps)
    return current

  trainer = tiny_runs.watched(build(3), before)
  loop.train_seed(trainer, 0, tmp_path / "run")
  # Three, or one where that would pass the end of an epoch's whole batches at
  # 4 and 9, its rest, a row at 6, a checkpoint at 8, or the end of the run.
  assert seen == [3] + 9 * [1]
  tiny_runs.assert_same_run(tmp_path / "run", single[0], trainer, TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("seeds", [1, 2])
def test_no_program_makes_the_host_wait(digits_dir, steps, seeds):
  """No conditional, and no loop of a length that the compiler cannot know."""
  fields = {"augment.mixup_alpha": 0.2, "augment.cutmix_alpha": 1.0}
  config = tiny_runs.config(digits_dir, "etf_dr", fields)
  config.model.name, config.eval.train_accuracy_steps = "resnet8", 2
  config.steps_per_call = steps
  trainer = make_trainer(config, data.load(config.data))
  lowered = lower_step(
    trainer.setup, trainer.open_feed, single=steps == 1, runs=seeds
  )
  text = lowered.compile().as_text()
  assert launches.waits(text) == 0
  if steps > 1:
    assert f'"known_trip_count":{{"n":"{steps}"}}' in text


@pytest.mark.slow
def test_a_signal_is_answered_after_the_call(build, single, tmp_path):
  # In the second of three steps.
  with pytest.raises(distributed.Preempted, match=r"saved at step 3$"):
    loop.train_seed(tiny_runs.terminated(build(3), 1), 0, tmp_path / "run")
  kept = json.loads((tmp_path / "run" / "window.json").read_text())
  assert len(kept["metrics"]) == 3
  loop.train_seed(build(3), 0, tmp_path / "run")
  tiny_runs.assert_same_run(tmp_path / "run", single[0], build(3), TOLERANCE)


def with_config(trainer, **fields):
  config = ConfigDict(trainer.setup.config.to_dict())
  config.update_from_flattened_dict(fields)
  setup = dataclasses.replace(
    trainer.setup,
    config=FrozenConfigDict(config),
    intervals=make_intervals(config, trainer.setup.epoch),
  )
  return dataclasses.replace(trainer, setup=setup)


@jax.jit
def delayed(step):
  """A step number after a second, and what tells whether it is there."""
  busy = jax.lax.fori_loop(
    0, 100, lambda _, x: jnp.tanh(x @ x), jnp.full((700, 700), 1e-3)
  )
  return step + jnp.isnan(busy[0, 0]).astype(step.dtype), busy


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 3])
def test_the_host_neither_waits_nor_moves_data(build, steps, tmp_path):
  """In an epoch, that is: a row, an evaluation or a checkpoint ends it."""
  seen = {}

  def before(current, step, _):
    if step == 0:
      jax.block_until_ready(delayed(current.step))  # It is compiled.
    if step == 5:
      jax.block_until_ready(current)
      # The devices cannot begin the second epoch before this has ended.
      number, seen["busy"] = delayed(current.step)
      current = current.replace(step=number)
      seen["guard"] = jax.transfer_guard("disallow")
      seen["guard"].__enter__()
    return current

  def after(reached):
    if reached == 10:
      seen["guard"].__exit__(None, None, None)
      seen["waited"] = seen["busy"].is_ready()

  every = {"report.log_every_steps": 10, "checkpoint.every_steps": 10}
  trainer = with_config(tiny_runs.watched(build(steps), before, after), **every)
  loop.train_seed(trainer, 0, tmp_path / "run")
  assert seen["waited"] is False


@pytest.mark.parametrize(
  ("asked", "examples", "steps"),
  [(None, 488, 1), (100, 488, 4), (3, 488, 3), (5, 100, 1), (2, 30, 1)],
)
def test_the_steps_of_a_call(asked, examples, steps):
  epoch = durations.Epoch(examples, min(100, examples))
  mesh = sharding.make_mesh(1, 100)
  assert multi_step.steps_of_call(asked, epoch, mesh) == steps


@pytest.mark.slow
def test_a_profile_of_some_steps(build, tmp_path):
  trainer = with_config(build(3), profile_steps=(5, 3))
  loop.train_seed(trainer, 0, tmp_path / "run")
  folder = tmp_path / "run" / "profile"
  assert len(list(folder.rglob("*.xplane.pb"))) == 1
  (file,) = folder.rglob("*.trace.json.gz")
  events = json.loads(gzip.decompress(file.read_bytes()))["traceEvents"]
  numbers = [
    int(e["args"]["step_num"]) for e in events if e.get("name") == "train"
  ]
  # A row at 6 parts steps 5, 6 and 7.
  assert numbers == [5, 6, 7]
  names = {event.get("name") for event in events}
  # The call on the host, and the matrix products of the program.
  assert "PjitFunction(single)" in names
  assert any(str(name).startswith("dot") for name in names)


def test_steps_are_counted_in_32_bits(digits_dir, tmp_path):
  config = tiny_runs.config(digits_dir, "etf_dr", {"total_steps": 2**31})
  with pytest.raises(
    InputError, match="2,147,483,648 steps, and 2,147,483,647"
  ):
    train.train(config, tmp_path / "run")
  assert not (tmp_path / "run").exists()


def test_a_profile_ends_before_the_run(digits_dir, tmp_path):
  config = tiny_runs.config(digits_dir, "etf_dr", {"profile_steps": (10, 3)})
  with pytest.raises(InputError, match="at step 13, and the run at 12: pr"):
    train.train(config, tmp_path / "run")
  assert not (tmp_path / "run").exists()
