# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""What a run computes, decided before anything is on a device.

run = create(config, dataset)
lowered = lower_step(run, feed(run, dataset, data))
"""

from collections.abc import Callable, Sequence
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from ml_collections import ConfigDict
import numpy as np
import optax

from etf_jax import models
from etf_jax.data import Dataset, Encoded, augment, sampling
from etf_jax.data.feeds import resident
from etf_jax.errors import InputError
from etf_jax.training import durations, objectives, optimizer, state, step
from etf_jax.training.checkpoints import two_stage
from etf_jax.training.feeds import device
from etf_jax.training.parallel import packing, sharding


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
  """What a run computes, before anything is on a device.

  Attributes:
    config: resolved.
    mesh: the devices.
    epoch: what an epoch is made of.
    total_steps: of a run.
    model: the classifier.
    optimizer: its optimiser.
    learning_rate: of a step.
    sampler: the order of the training examples.
    input_shape: of the images that the model takes, `(H, W, C)`.
    state_sharding: of a training state, a tree or one for all of it.
    train_step: see `step.create`.
  """

  config: ConfigDict
  mesh: Mesh
  epoch: durations.Epoch
  total_steps: int
  model: models.Classifier
  optimizer: optax.GradientTransformation
  learning_rate: Callable
  sampler: sampling.Sampler
  input_shape: tuple[int, int, int]
  state_sharding: Any
  train_step: Callable


def create(
  config: ConfigDict,
  dataset: Dataset,
  devices: Sequence[jax.Device] | None = None,
) -> Plan:
  """Decides what is computed; only facts of the data set are needed.

  Args:
    config: as configs/base.py describes it.
    dataset: see `data.load`; its images are not looked at.
    devices: see `sharding.make_mesh`.

  Raises:
    InputError: a config that cannot be run, in one line.
  """
  config = objectives.resolve(config, dataset.num_classes)
  method = objectives.METHODS[config.method]
  if method.trains != "all" or config.init_from:
    config = two_stage.resolve(config, dataset, _input_shape(config, dataset))
  if config.dtype == "float64" and not jax.config.jax_enable_x64:
    raise InputError("config.dtype='float64' needs JAX_ENABLE_X64=1")
  mesh = sharding.make_mesh(
    config.devices, config.batch_size, **config.mesh, devices=devices
  )
  sharding.row_multiple(config, mesh)
  sharding.check_classes(mesh, config.model.num_classes)
  packing.check(
    config.pack_seeds,
    mesh,
    resident_images=not isinstance(dataset.train, Encoded),
  )
  order = sampler(config, dataset.train.labels)
  epoch = durations.Epoch(order.size, min(config.batch_size, order.size))
  total_steps = durations.steps(config, "total", epoch)
  order = dataclasses.replace(order, total_epochs=total_steps / epoch.steps)
  if total_steps < 1 and method.trains != "nothing":
    raise InputError("the run has no step: raise config.total_epochs")
  model = models.create_model(config)
  learning_rate = optimizer.create_schedule(config, epoch, total_steps)
  sgd = optimizer.create_optimizer(config, learning_rate)
  train_step = step.create(
    config,
    model,
    sgd,
    dataset.class_counts,
    augment.training(config.augment, *colours(config, dataset)),
    epoch.steps,
    total_steps,
    mesh,
  )
  input_shape = _input_shape(config, dataset)
  return Plan(
    config=config,
    mesh=mesh,
    epoch=epoch,
    total_steps=total_steps,
    model=model,
    optimizer=sgd,
    learning_rate=learning_rate,
    sampler=order,
    input_shape=input_shape,
    state_sharding=_state_sharding(config, model, sgd, input_shape, mesh),
    train_step=train_step,
  )


def feed(
  run: Plan, dataset: Dataset, data: resident.Resident | None
) -> Callable[[int, int], device.Feed]:
  """What trains a plan, see `feeding.create`.

  Args:
    run: what is computed.
    dataset: see `data.load`.
    data: its training images on the devices; None if they are streamed.
  """
  return device.create(
    run.config,
    dataset,
    data,
    run.epoch,
    run.total_steps,
    run.sampler,
    run.mesh,
    run.train_step,
    run.state_sharding,
  )


def lower_step(
  run: Plan,
  open_feed: Callable[[int, int], device.Feed],
  *,
  single: bool = True,
  runs: int = 1,
) -> jax.stages.Lowered:
  """The train step of a run, ready to be compiled, before there is a state.

  Args:
    run: what it computes.
    open_feed: see `feeding.create`.
    single: the step itself; False: the program that trains, which with
      `steps_per_call` > 1 is a loop around it.
    runs: of several of them in one program.
  """
  shapes = state.shapes(
    run.model,
    run.optimizer,
    run.input_shape,
    average=bool(run.config.ema_decay),
  )
  where = run.state_sharding
  if isinstance(where, jax.sharding.Sharding):
    where = jax.tree.map(lambda _: run.state_sharding, shapes)
  shapes = jax.tree.map(
    lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
    shapes,
    where,
  )
  key = jax.eval_shape(lambda: jax.random.key(0))
  seeds, of_key = 0, sharding.replicated(run.mesh)
  if runs > 1:
    seeds, of_key = tuple(range(runs)), packing.along_seed(run.mesh)
    shapes = packing.shapes(shapes, runs, run.mesh)
    key = key.update(shape=(runs,))
  key = jax.ShapeDtypeStruct(key.shape, key.dtype, sharding=of_key)
  key = _own(run.config, key)
  return open_feed(seeds, 0).lower(shapes, key, single=single)


def colours(config: ConfigDict, dataset: Dataset) -> tuple:
  """What the images of a data set are normalised by, and their dtype."""
  return dataset.mean, dataset.std, jnp.dtype(config.dtype)


def sampler(config: ConfigDict, labels: np.ndarray) -> sampling.Sampler:
  """The order of the examples of these classes, in runs of one epoch."""
  name = config.data.sampler
  if name is None:
    balanced = objectives.METHODS[config.method].class_balanced
    name = "class_balanced" if balanced else "instance"
  return sampling.make_sampler(
    name, labels, repeat_threshold=config.data.repeat_threshold
  )


def _own(config, key):
  """What the step of a sweep takes in place of its key."""

  def shape(*more):
    return jax.ShapeDtypeStruct(
      key.shape + more, jnp.result_type(float), sharding=key.sharding
    )

  if not config.learning_rates and not config.imbalances:
    return key
  return state.Own(
    key,
    shape() if config.learning_rates else None,
    shape(config.model.num_classes) if config.imbalances else None,
  )


def _state_sharding(config, model, sgd, input_shape, mesh):
  if not sharding.cuts_state(mesh):
    return sharding.replicated(mesh)
  shapes = state.shapes(model, sgd, input_shape, average=bool(config.ema_decay))
  return sharding.of_state(shapes, mesh)


def _input_shape(config, dataset):
  height, width, channels = dataset.image_shape
  side = config.augment.crop_size
  return (side or height, side or width, channels)
