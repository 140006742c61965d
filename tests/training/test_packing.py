# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Several seeds in one program: each is the run that it would be alone."""

import contextlib
import dataclasses
import functools
import re

import flax.linen as nn
import jax
import numpy as np
import pytest
import tiny_runs

from etf_jax import data
from etf_jax.benchmarks.run import Compilations
from etf_jax.training import loop, state
from etf_jax.training.parallel import distributed, packing, sharding
from etf_jax.training.setup import lower_step, make_trainer

pytestmark = pytest.mark.slow

# In float32, relative, after twelve steps: XLA rounds sums otherwise.
TOLERANCE = 1e-5


def config(digits_dir, method="etf_dr", **fields):
  fields = {name.replace("__", "."): value for name, value in fields.items()}
  return tiny_runs.config(digits_dir, method, tiny_runs.WITH_REST | fields)


@pytest.fixture(scope="module")
def trainer(digits_dir):
  """Step one by one alone, and up to three at once together."""
  made = config(digits_dir, ema_decay=0.9)
  return make_trainer(made, data.load(made.data))


@pytest.fixture(scope="module")
def alone(trainer, tmp_path_factory):
  """The directory of each seed, trained by itself."""
  directory = tmp_path_factory.mktemp("alone")
  places = {seed: directory / f"seed={seed}" for seed in (0, 1)}
  for seed, place in places.items():
    loop.train_seed(trainer, seed, place)
  return places


@pytest.fixture(scope="module")
def packed(digits_dir, trainer):
  """The trainer with three steps a call."""
  made = config(digits_dir, ema_decay=0.9, pack_seeds=2, steps_per_call=3)
  return make_trainer(made, trainer.dataset)


def assert_same_runs(actual, expected, trainer):
  for seed, place in expected.items():
    tiny_runs.assert_same_run(actual[seed], place, trainer, TOLERANCE)


def below(directory):
  return {seed: directory / f"seed={seed}" for seed in (0, 1)}


def test_each_seed_is_the_run_that_it_would_be_alone(packed, alone, tmp_path):
  places = below(tmp_path)
  finals = loop.train_seeds(packed, places)
  assert_same_runs(places, alone, packed)
  for seed, place in places.items():
    assert tiny_runs.rows(place)[-1]["kind"] == "final"
    assert finals[seed]["last"]["step"] == tiny_runs.STEPS
  first, second = (
    tiny_runs.rows(p, "train")[0]["loss"] for p in alone.values()
  )
  assert abs(first - second) > 100 * TOLERANCE
  # A finished run is not run again.
  assert loop.train_seeds(packed, places) == finals


def test_a_packed_run_goes_on_alone(packed, trainer, alone, tmp_path):
  places = below(tmp_path)
  with pytest.raises(distributed.Preempted, match=r"saved at step 3$"):
    loop.train_seeds(tiny_runs.terminated(packed, 1), places)
  for seed, place in places.items():
    loop.train_seed(trainer, seed, place)
  assert_same_runs(places, alone, trainer)


def test_runs_go_on_together_from_where_they_are(
  packed, trainer, alone, tmp_path
):
  places = below(tmp_path)
  for seed, place in places.items():
    with pytest.raises(distributed.Preempted, match=r"saved at step 7$"):
      loop.train_seed(tiny_runs.terminated(trainer, 6), seed, place)
  loop.train_seeds(packed, places)
  assert_same_runs(places, alone, packed)


def test_runs_at_different_steps_are_not_one_program(
  packed, trainer, alone, tmp_path
):
  places = below(tmp_path)
  tiny_runs.interrupted(alone[0], places[0], step=8)
  opened = []
  spy = dataclasses.replace(
    trainer,
    setup=packed.setup,
    open_feed=lambda seed, start: (
      opened.append((seed, start)),
      trainer.open_feed(seed, start),
    )[1],
  )
  loop.train_seeds(spy, places)
  assert opened == [(1, 0), (0, 8)]
  assert_same_runs(places, alone, trainer)


def steps_of(trainer, seeds, number):
  """States and losses after some steps, of seeds alone or together."""
  mesh, together = trainer.setup.mesh, isinstance(seeds, tuple)
  if together:
    begun = [tiny_runs.begin(trainer, seed) for seed in seeds]
    current, where = packing.stack(begun, mesh), packing.along_seed(mesh)
  else:
    current, where = (
      tiny_runs.begin(trainer, seeds),
      sharding.replicated(mesh),
    )
  key, losses = state.augment_key(seeds, where), []
  feed = trainer.open_feed(seeds, 0)
  for step in range(number):
    current, metrics = feed.advance(current, step, key)
    losses.append(metrics.loss[..., 0])
  if not together:
    return jax.device_get((current, losses))
  kernel = jax.tree.leaves(current.params)[0]
  assert kernel.sharding.is_equivalent_to(where, kernel.ndim)
  return [
    (packing.take(current, place, mesh), [loss[place] for loss in losses])
    for place in range(len(seeds))
  ]


class Wide(nn.Module):
  """A backbone with parameters as wide as its inputs."""

  features: int = 16

  @nn.compact
  def __call__(self, images, *, train=False, mask=None):
    del train, mask
    flat = images.reshape(images.shape[0], -1)
    return nn.relu(nn.Dense(self.features, param_dtype=images.dtype)(flat))


def test_float64_tells_rounding_from_mistakes(digits_dir, trainer):
  with contextlib.ExitStack() as stack:
    stack.enter_context(jax.enable_x64(True))
    # linen's normalisation promotes float64 with float32 itself.
    stack.enter_context(jax.numpy_dtype_promotion("standard"))
    # An epoch is one batch, so that there is one program to compile. Mixup's
    # share is drawn in float32, whatever the rest is.
    fields = {"dtype": "float64", "batch_size": 488, "augment.mixup_alpha": 0.0}
    made = config(digits_dir, model__name="test_packing:Wide", **fields)
    built = make_trainer(made, trainer.dataset)
    together = steps_of(built, (0, 3), 6)
    alone = [steps_of(built, seed, 6) for seed in (0, 3)]
  assert jax.tree.leaves(alone[0][0].params)[0].dtype == np.float64
  assert tiny_runs.error(together, alone) < 1e-12
  # Prototypes are the seed's own.
  prototypes = [one.etf["head"]["prototypes"] for one, _ in together]
  assert np.abs(prototypes[0] - prototypes[1]).max() > 0.1


@pytest.fixture(scope="module")
def short(digits_dir, trainer):
  """(method, fields) -> a trainer of six steps, cheap to compile."""
  dataset = trainer.dataset
  # 487 images, of which two devices do not get the same number.
  split = data.Split(dataset.train.images[1:], dataset.train.labels[1:])
  dataset = dataclasses.replace(dataset, train=split)

  def build(method, **fields):
    # An epoch is one batch, so that there is one program to compile.
    fields |= {"batch_size": 488, "augment__mixup_alpha": 0.0}
    made = config(digits_dir, method, total_steps=6, **fields)
    return make_trainer(made, dataset)

  return build


@pytest.fixture(scope="module")
def expected(short):
  """method -> what each of four seeds comes to alone, on one device."""

  @functools.cache
  def get(method):
    built = short(method)
    return [steps_of(built, seed, 6) for seed in range(4)]

  return get


@pytest.mark.parametrize(("method", "devices"), [("ce", 4), ("etf_dr", 8)])
def test_seeds_are_spread_over_devices(short, expected, method, devices):
  built = short(method, devices=devices, mesh__seed=4, pack_seeds=4)
  assert built.setup.mesh.shape == dict(
    seed=4, data=devices // 4, fsdp=1, model=1
  )
  together = steps_of(built, tuple(range(4)), 6)
  # Relative to a leaf's norm: BatchNorm magnifies the rounding of sums.
  assert tiny_runs.error(together, expected(method)) < 1e-4
  with Compilations() as compilations:
    program = lower_step(built.setup, built.open_feed, runs=4).compile()
  assert compilations.found == []  # It is the one that has trained.
  groups = re.findall(
    r" (?:all-\w+|collective-\w+|reduce-scatter)\(.*?replica_groups=(\S+),",
    program.as_text(),
  )
  # Nothing but a loss and an accuracy passes from one seed to another.
  if devices == 4:
    assert 0 < len(groups) <= 2
  else:
    pairs = {"[4,2]<=[8]", "{{0,1},{2,3},{4,5},{6,7}}"}
    assert len(set(groups) & pairs) == 1
    assert sum(group not in pairs for group in groups) <= 2


def test_a_seed_left_over_is_trained_by_all(short, expected, tmp_path):
  built = short("ce", devices=4, mesh__seed=4, pack_seeds=4)
  loop.train_seeds(built, {2: tmp_path / "run"})
  found = tiny_runs.variables(tmp_path / "run", tiny_runs.begin(built))
  last = expected("ce")[2][0]
  assert tiny_runs.error(found, (last.params, last.batch_stats)) < 1e-4
