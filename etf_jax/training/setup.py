# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The parts of a run: a setup before anything is on a device, then a trainer.

setup = make_setup(config, dataset)
lowered = lower_step(setup, device.make_feed(setup, dataset, images))

trainer = make_trainer(config, dataset)    # with the images on the devices
final = loop.train_seed(trainer, seed=0, workdir=Path("runs/first"))
"""

from collections.abc import Callable, Sequence
import dataclasses
import functools
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
from etf_jax.training.config import Intervals, make_intervals, resolve_config
from etf_jax.training.feeds import device
from etf_jax.training.parallel import packing, sharding
from etf_jax.training.step import TrainStep, make_train_step

# Steps are counted on the devices, in 32 bits.
_MOST_STEPS = 2**31 - 1


@dataclasses.dataclass(frozen=True, eq=False)
class Setup:
  """All that a run computes, before anything is on a device.

  Attributes:
    config: resolved.
    mesh: the devices.
    rows: training batches are padded to a multiple of them.
    epoch: examples and batches of an epoch.
    total_steps: steps of a run.
    intervals: steps between the events of a run.
    model: the classifier.
    optimizer: see `optimizer.create_optimizer`.
    learning_rate: step -> learning rate.
    sampler: the order of the training examples.
    input_shape: of the images that the model takes, `(H, W, C)`.
    train_step: see `step.make_train_step`.
  """

  config: FrozenConfigDict
  mesh: Mesh
  rows: int
  epoch: durations.Epoch
  total_steps: int
  intervals: Intervals
  model: models.Classifier
  optimizer: optax.GradientTransformation
  learning_rate: Callable[[Any], jax.Array]
  sampler: sampling.Sampler
  input_shape: tuple[int, int, int]
  train_step: TrainStep

  @functools.cached_property
  def state_shapes(self) -> state.TrainState:
    """Return the `jax.ShapeDtypeStruct`s of a training state."""
    return state.train_state_shapes(
      self.model,
      self.optimizer,
      self.input_shape,
      average=bool(self.config.ema_decay),
    )

  @functools.cached_property
  def state_sharding(self) -> Any:
    """Return the sharding of a training state, a tree or one for all of it."""
    if sharding.cuts_state(self.mesh):
      return sharding.of_state(self.state_shapes, self.mesh)
    return sharding.replicated(self.mesh)


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
  method = methods.METHODS[config.method]
  height, width, channels = dataset.image_shape
  side = config.augment.crop_size
  input_shape = (side or height, side or width, channels)
  if method.trains != "all" or config.init_from:
    config = two_stage.resolve(config, dataset, input_shape)
  mesh = sharding.make_mesh(
    config.devices, config.batch_size, **config.mesh, devices=devices
  )
  rows = sharding.row_multiple(
    mesh, config.batch_size, config.accumulate_steps, config.bn_group_size
  )
  sharding.check_classes(mesh, config.model.num_classes)
  sampler = sampling.make_sampler(
    method.sampler if config.data.sampler is None else config.data.sampler,
    dataset.train.labels,
    repeat_threshold=config.data.repeat_threshold,
  )
  epoch = durations.Epoch(sampler.size, min(config.batch_size, sampler.size))
  total_steps = durations.steps(config, "total", epoch)
  _check_length(total_steps, method, config.profile_steps)
  model = models.create_model(config).clone(
    merged_batch_norm=sharding.on_gpus(mesh)
  )
  learning_rate = optimizer.create_schedule(
    config.schedule, config.optimizer.learning_rate, epoch, total_steps
  )
  freeze_steps = durations.steps(config, "freeze", epoch)
  if 0 < total_steps <= freeze_steps:
    raise InputError(
      f"config.freeze_epochs: {freeze_steps} steps of the head alone, and the"
      f" run has {total_steps}; lower it, or set"
      " config.optimizer.backbone_learning_rate_factor=0"
    )
  sgd = optimizer.create_optimizer(
    config.optimizer,
    learning_rate,
    method.trains,
    freeze_steps=freeze_steps,
    layers=models.layers(model, input_shape)
    if config.optimizer.layer_decay != 1
    else (),
  )
  return Setup(
    config=config,
    mesh=mesh,
    rows=rows,
    epoch=epoch,
    total_steps=total_steps,
    intervals=make_intervals(config, epoch),
    model=model,
    optimizer=sgd,
    learning_rate=learning_rate,
    sampler=dataclasses.replace(
      sampler, total_epochs=total_steps / epoch.steps
    ),
    input_shape=input_shape,
    train_step=make_train_step(
      config,
      model,
      sgd,
      dataset.class_counts,
      augment.training(
        config.augment, dataset.mean, dataset.std, jnp.dtype(config.dtype)
      ),
      epoch.steps,
      total_steps,
      mesh,
      freeze_steps=freeze_steps,
    ),
  )


def _check_length(
  total_steps: int, method: methods.Method, profile_steps: tuple[int, ...]
) -> None:
  """Refuse a run without a step, or that ends before its profile does."""
  if total_steps < 1 and method.trains != "nothing":
    raise InputError("the run has no step: raise config.total_epochs")
  if total_steps > _MOST_STEPS:
    raise InputError(
      f"config.total_epochs: the run has {total_steps:,} steps, and"
      f" {_MOST_STEPS:,} can be counted; lower it, or raise config.batch_size"
    )
  first, number = profile_steps or (0, 0)
  if first + number > total_steps:
    raise InputError(
      f"config.profile_steps={first, number} ends at step {first + number},"
      f" and the run at {total_steps}: profile earlier ones"
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
  if "validation" in config.collapse.splits and dataset.validation is None:
    raise InputError(
      "config.collapse.splits names validation, and there is none: set"
      " config.data.validation_fraction or leave it out"
    )
  images = None
  if not isinstance(dataset.train, Encoded):
    images = resident.put(dataset.train, mesh)
  inputs = augment.evaluation(
    config.augment, dataset.mean, dataset.std, jnp.dtype(config.dtype)
  )
  evaluate = evaluator.create(setup.model, inputs, dataset.num_classes)
  tau = methods.hinge_tau(config.loss, dataset.class_counts)
  if dataset.num_classes > geometry.MOST_CLASSES and config.collapse.splits:
    raise InputError(
      f"config.collapse.splits={tuple(config.collapse.splits)}: the cosines of"
      f" all pairs of {dataset.num_classes:,} classes are not measured, only up"
      f" to {geometry.MOST_CLASSES:,}; set it to ()"
    )
  measure = geometry.create(
    setup.model,
    inputs,
    dataset.num_classes,
    tau=np.asarray(tau) if config.method == "etf_hinge" else None,
    hold_features=config.collapse.hold_features,
    rank_images=config.collapse.rank_images,
  )
  gather = sharding.for_compute(mesh)
  if sharding.cuts_state(mesh):
    gather = jax.jit(gather)
  batches = device.make_eval_batches(
    dataset, images, config.eval.batch_size, sharding.one_run(mesh)
  )
  return Trainer(
    setup=setup,
    dataset=dataset,
    open_feed=device.make_feed(setup, dataset, images),
    evaluate=lambda variables, name: evaluate(gather(variables), batches[name]),
    measure=lambda variables, name, matrices=False: measure(
      gather(variables), batches[name], matrices=matrices
    ),
    splits=tuple(name for name in batches if name != "train"),
  )


def create_state(
  setup: Setup, seed: int, fixed: dict | None = None
) -> state.TrainState:
  """Create the fresh state of a run, on the devices.

  Args:
    setup: of the run.
    seed: of the run.
    fixed: see `state.draw_classifier`; None: it is drawn.
  """
  if fixed is None:
    fixed = state.draw_classifier(setup.model, setup.input_shape, seed)
  return state.create_train_state(
    setup.model,
    setup.optimizer,
    setup.input_shape,
    fixed,
    seed,
    setup.state_sharding,
    average=bool(setup.config.ema_decay),
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
    open_feed: see `device.make_feed`.
    single: True: the step itself; False: the program that trains, which with
      `steps_per_call` > 1 is a loop around it.
    runs: seeds in one program.
  """
  shapes = jax.tree.map(
    lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
    setup.state_shapes,
    jax.tree.broadcast(setup.state_sharding, setup.state_shapes),
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
