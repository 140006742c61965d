# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The parts of a run: a setup before anything is on a device, then a trainer.

setup = make_setup(config, dataset)
lowered = lower_step(setup, make_feed(setup, dataset, images))

trainer = make_trainer(config, dataset)    # with the images on the devices
final = loop.train_seed(trainer, seed=0, workdir=Path("runs/first"))
"""

from collections.abc import Callable, Sequence
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from ml_collections import ConfigDict, FrozenConfigDict
import numpy as np
import optax

from etf_jax import models
from etf_jax.data import Dataset, Encoded, augment, sampling
from etf_jax.data.feeds import resident
from etf_jax.errors import InputError
from etf_jax.evaluation import evaluator, geometry
from etf_jax.training import durations, methods, optimizer, state
from etf_jax.training.checkpoints import two_stage
from etf_jax.training.config import resolve_config
from etf_jax.training.feeds import device
from etf_jax.training.parallel import packing, sharding
from etf_jax.training.step import TrainStep, make_train_step


@dataclasses.dataclass(frozen=True, eq=False)
class Setup:
  """All that a run computes, before anything is on a device.

  Attributes:
    config: resolved.
    mesh: the devices.
    epoch: examples and batches of an epoch.
    total_steps: steps of a run.
    model: the classifier.
    optimizer: see `optimizer.create_optimizer`.
    learning_rate: step -> learning rate.
    sampler: the order of the training examples.
    input_shape: of the images that the model takes, `(H, W, C)`.
    state_sharding: of a training state, a tree or one for all of it.
    train_step: see `step.make_train_step`.
  """

  config: FrozenConfigDict
  mesh: Mesh
  epoch: durations.Epoch
  total_steps: int
  model: models.Classifier
  optimizer: optax.GradientTransformation
  learning_rate: Callable[[Any], jax.Array]
  sampler: sampling.Sampler
  input_shape: tuple[int, int, int]
  state_sharding: Any
  train_step: TrainStep


@dataclasses.dataclass(frozen=True, eq=False)
class Trainer:
  """A setup with its data; all runs go through the same compiled functions.

  Attributes:
    setup: see `Setup`.
    dataset: as loaded.
    open_feed: (seed or seeds, first step) -> `device.TrainFeed`.
    evaluate: (variables, split name) -> metrics.Sums.
    measure: (variables, split name, matrices=False) -> the fields of a
      collapse row, and metrics.Sums.
    splits: names of the splits that are evaluated, the one that selects `best/`
      first.
  """

  setup: Setup
  dataset: Dataset
  open_feed: Callable[..., device.TrainFeed]
  evaluate: Callable
  measure: Callable
  splits: tuple[str, ...]


def make_setup(
  config: ConfigDict,
  dataset: Dataset,
  devices: Sequence[jax.Device] | None = None,
) -> Setup:
  """Resolve a config and decide what is computed.

  Args:
    config: as configs/base.py describes it.
    dataset: see `data.load`; its images are not looked at.
    devices: see `sharding.make_mesh`.

  Raises:
    InputError: a config that cannot be run, in one line.
  """
  if dataset.statistics is not None:
    config = ConfigDict(config)
    config.data.feature_dim = dataset.image_shape[2]
  config = resolve_config(config, dataset.num_classes)
  input_shape = _input_shape(config, dataset)
  if methods.METHODS[config.method].trains != "all" or config.init_from:
    config = two_stage.resolve(config, dataset, input_shape)
  mesh = sharding.make_mesh(
    config.devices, config.batch_size, **config.mesh, devices=devices
  )
  sharding.row_multiple(config, mesh)
  sharding.check_classes(mesh, config.model.num_classes)
  sampler = _sampler(config, dataset.train.labels)
  epoch = durations.Epoch(sampler.size, min(config.batch_size, sampler.size))
  total_steps = _total_steps(config, epoch)
  model = models.create_model(config)
  learning_rate = optimizer.create_schedule(config, epoch, total_steps)
  sgd = optimizer.create_optimizer(config, learning_rate)
  return Setup(
    config=config,
    mesh=mesh,
    epoch=epoch,
    total_steps=total_steps,
    model=model,
    optimizer=sgd,
    learning_rate=learning_rate,
    sampler=dataclasses.replace(
      sampler, total_epochs=total_steps / epoch.steps
    ),
    input_shape=input_shape,
    state_sharding=_state_sharding(config, model, sgd, input_shape, mesh),
    train_step=make_train_step(
      config,
      model,
      sgd,
      dataset.class_counts,
      augment.training(config.augment, *_normalization(config, dataset)),
      epoch.steps,
      total_steps,
      mesh,
    ),
  )


def make_feed(
  setup: Setup, dataset: Dataset, images: resident.Resident | None
) -> Callable[..., device.TrainFeed]:
  """Make `open_feed(seed or seeds, first step)`; see `device.make_feed`.

  Args:
    setup: of the run.
    dataset: see `data.load`.
    images: training images on the devices; None: they are streamed.
  """
  return device.make_feed(
    setup.config,
    dataset,
    images,
    setup.epoch,
    setup.total_steps,
    setup.sampler,
    setup.mesh,
    setup.train_step,
    setup.state_sharding,
  )


def make_trainer(config: ConfigDict, dataset: Dataset) -> Trainer:
  """Put the data on the devices and build the functions of the runs.

  Args:
    config: as configs/base.py describes it.
    dataset: see `data.load`.

  Raises:
    InputError: a config that cannot be run, in one line.
  """
  setup = make_setup(config, dataset)
  config, mesh = setup.config, setup.mesh
  images = None
  if not isinstance(dataset.train, Encoded):
    images = resident.put(dataset.train, mesh)
  inputs = augment.evaluation(config.augment, *_normalization(config, dataset))
  evaluate = evaluator.create(setup.model, inputs, config.model.num_classes)
  measure = _measure(config, dataset, setup.model, inputs)
  gather = sharding.for_compute(mesh)
  if sharding.cuts_state(mesh):
    gather = jax.jit(gather)
  batches = device.make_eval_batches(
    config, dataset, images, sharding.one_run(mesh)
  )
  return Trainer(
    setup=setup,
    dataset=dataset,
    open_feed=make_feed(setup, dataset, images),
    evaluate=lambda variables, name: evaluate(gather(variables), batches[name]),
    measure=lambda variables, name, matrices=False: measure(
      gather(variables), batches[name], matrices=matrices
    ),
    splits=tuple(name for name in batches if name != "train"),
  )


def lower_step(
  setup: Setup,
  open_feed: Callable[..., device.TrainFeed],
  *,
  single: bool = True,
  runs: int = 1,
) -> jax.stages.Lowered:
  """Lower the train step of a run, before there is a state.

  Args:
    setup: of the run.
    open_feed: see `make_feed`.
    single: True: the step itself; False: the program that trains, which with
      `steps_per_call` > 1 is a loop around it.
    runs: seeds in one program.
  """
  shapes = state.train_state_shapes(
    setup.model,
    setup.optimizer,
    setup.input_shape,
    average=bool(setup.config.ema_decay),
  )
  where = setup.state_sharding
  if isinstance(where, jax.sharding.Sharding):
    where = jax.tree.map(lambda _: setup.state_sharding, shapes)
  shapes = jax.tree.map(
    lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
    shapes,
    where,
  )
  key: Any = jax.eval_shape(lambda: jax.random.key(0))
  seeds: int | tuple[int, ...] = 0
  key_sharding = sharding.replicated(setup.mesh)
  if runs > 1:
    seeds, key_sharding = tuple(range(runs)), packing.along_seed(setup.mesh)
    shapes = packing.shapes(shapes, runs, setup.mesh)
    key = key.update(shape=(runs,))
  key = jax.ShapeDtypeStruct(key.shape, key.dtype, sharding=key_sharding)
  return open_feed(seeds, 0).lower(shapes, key, single=single)


def _total_steps(config: ConfigDict, epoch: durations.Epoch) -> int:
  """Return the steps of a run, which must hold the steps to be profiled."""
  steps = durations.steps(config, "total", epoch)
  if steps < 1 and methods.METHODS[config.method].trains != "nothing":
    raise InputError("the run has no step: raise config.total_epochs")
  first, number = config.profile_steps or (0, 0)
  if first + number > steps:
    raise InputError(
      f"config.profile_steps={first, number} ends at step {first + number},"
      f" and the run at {steps}: profile earlier ones"
    )
  return steps


def _normalization(config, dataset):
  """Return the mean and deviation of a data set's images, and their dtype."""
  return dataset.mean, dataset.std, jnp.dtype(config.dtype)


def _sampler(config: ConfigDict, labels: np.ndarray) -> sampling.Sampler:
  """Order the examples with these labels, in runs of one epoch."""
  name = config.data.sampler
  if name is None:
    balanced = methods.METHODS[config.method].class_balanced
    name = "class_balanced" if balanced else "instance"
  return sampling.make_sampler(
    name, labels, repeat_threshold=config.data.repeat_threshold
  )


def _state_sharding(config, model, sgd, input_shape, mesh):
  if not sharding.cuts_state(mesh):
    return sharding.replicated(mesh)
  shapes = state.train_state_shapes(
    model, sgd, input_shape, average=bool(config.ema_decay)
  )
  return sharding.of_state(shapes, mesh)


def _input_shape(config, dataset):
  height, width, channels = dataset.image_shape
  side = config.augment.crop_size
  return (side or height, side or width, channels)


def _measure(config, dataset, model, inputs):
  """Measure neural collapse on a split; compiles at the first call."""
  if "validation" in config.collapse.splits and dataset.validation is None:
    raise InputError(
      "config.collapse.splits names validation, and there is none: set"
      " config.data.validation_fraction or leave it out"
    )
  return geometry.create(
    model,
    inputs,
    dataset.num_classes,
    tau=methods.hinge_tau(config, dataset.class_counts)
    if config.method == "etf_hinge"
    else None,
    hold_features=config.collapse.hold_features,
    rank_images=config.collapse.rank_images,
  )
