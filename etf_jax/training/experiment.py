# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""What all runs of a config share: data on devices, compiled functions."""

from collections.abc import Callable
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from ml_collections import ConfigDict
import numpy as np
import optax

from etf_jax import models
from etf_jax.data import Dataset, augment, resident
from etf_jax.errors import InputError
from etf_jax.evaluation import evaluator, geometry
from etf_jax.training import (
  durations,
  methods,
  objectives,
  optimizer,
  sharding,
  step,
  two_stage,
)


class Experiment(NamedTuple):
  """Built once; every seed runs through the same compiled functions.

  Attributes:
    config: resolved.
    dataset: as loaded.
    mesh: the devices.
    epoch: what an epoch is made of.
    total_steps: of a run.
    model: the classifier.
    optimizer: its optimiser.
    learning_rate: of a step.
    epoch_order: (key, epoch) -> the order of the training set.
    train_step: (state, order, key, position) -> (state, metrics); position
      is a Python integer, the place of the step in its epoch.
    evaluate: (variables, split name) -> metrics.Sums.
    measure: (variables, split name, matrices=False) -> the fields of a
      collapse row, and metrics.Sums.
    splits: the splits that are evaluated, the one that selects `best/` first.
  """

  config: ConfigDict
  dataset: Dataset
  mesh: Mesh
  epoch: durations.Epoch
  total_steps: int
  model: models.Classifier
  optimizer: optax.GradientTransformation
  learning_rate: Callable
  epoch_order: Callable
  train_step: Callable
  evaluate: Callable
  measure: Callable
  splits: tuple[str, ...]


def create(config: ConfigDict, dataset: Dataset) -> Experiment:
  """Puts the data on the devices and builds the functions of the runs.

  Args:
    config: as configs/base.py describes it.
    dataset: see `data.load`.

  Raises:
    InputError: a config that cannot be run, in one line.
  """
  config = objectives.resolve(config, dataset.num_classes)
  method = objectives.METHODS[config.method]
  if method.trains != "all":
    config = two_stage.resolve(config, dataset)
  if config.dtype == "float64" and not jax.config.jax_enable_x64:
    raise InputError("config.dtype='float64' needs JAX_ENABLE_X64=1")
  mesh = sharding.make_mesh(config.devices, config.batch_size)
  examples = len(dataset.train.labels)
  epoch = durations.Epoch(examples, min(config.batch_size, examples))
  total_steps = durations.steps(config, "total", epoch)
  if total_steps < 1 and method.trains != "nothing":
    raise InputError("the run has no step: raise config.total_epochs")
  model = models.create_model(config)
  learning_rate = optimizer.create_schedule(config, epoch, total_steps)
  sgd = optimizer.create_optimizer(config, learning_rate)
  normalize = functools.partial(
    augment.normalize,
    mean=dataset.mean,
    std=dataset.std,
    dtype=jnp.dtype(config.dtype),
  )
  train_step = step.create(
    config,
    model,
    sgd,
    objectives.create_loss(config, dataset.class_counts),
    normalize,
    epoch.steps,
    total_steps,
  )
  evaluate = evaluator.create(model, normalize, config.model.num_classes)
  batches = _evaluation_batches(config, dataset, mesh)
  data = resident.put(dataset.train, mesh)
  return Experiment(
    config=config,
    dataset=dataset,
    mesh=mesh,
    epoch=epoch,
    total_steps=total_steps,
    model=model,
    optimizer=sgd,
    learning_rate=learning_rate,
    epoch_order=jax.jit(
      functools.partial(
        resident.class_balanced_order, labels=dataset.train.labels
      )
      if method.class_balanced
      else functools.partial(resident.epoch_order, size=examples),
      out_shardings=sharding.replicated(mesh),
    ),
    train_step=_fed(train_step, data, epoch, mesh),
    evaluate=lambda variables, name: evaluate(variables, batches[name]),
    measure=_measure(config, dataset, model, normalize, data, batches, mesh),
    splits=tuple(batches),
  )


def _fed(train_step, data, epoch, mesh):
  """The train step on the resident data: two programs, full and last batch."""

  @functools.partial(
    jax.jit,
    static_argnames="size",
    donate_argnames="state",
    out_shardings=sharding.replicated(mesh),
  )
  def fed_step(state, data, order, start, key, size):
    batch = resident.take(
      data, order, start, size=size, padded_size=sharding.padded(size, mesh)
    )
    batch = jax.lax.with_sharding_constraint(
      batch, sharding.batch_sharded(mesh)
    )
    return train_step(state, batch, key)

  def call(state, order, key, position):
    start = position * epoch.batch_size
    size = min(epoch.batch_size, epoch.examples - start)
    return fed_step(state, data, order, start, key, size=size)

  return call


def _evaluation_batches(config, dataset, mesh):
  splits = {"validation": dataset.validation, "test": dataset.test}
  return {
    name: resident.stack_batches(
      split,
      sharding.padded(min(config.eval.batch_size, len(split.labels)), mesh),
      mesh,
    )
    for name, split in splits.items()
    if split is not None
  }


def _measure(config, dataset, model, normalize, data, batches, mesh):
  """Neural collapse on any split; nothing compiles before the first call."""
  size = sharding.padded(
    min(config.eval.batch_size, len(dataset.train.labels)), mesh
  )

  def take_train(data, index):
    batch = resident.in_order(data, index, size)
    return jax.lax.with_sharding_constraint(batch, sharding.batch_sharded(mesh))

  def take_stacked(batches, index):
    return jax.tree.map(lambda x: x[index], batches)

  if "validation" in config.collapse.splits and dataset.validation is None:
    raise InputError(
      "config.collapse.splits names validation, and there is none: set"
      " config.data.validation_fraction or leave it out"
    )

  def feed(name):
    split = getattr(dataset, name)
    arrays, take, number = (
      (data, take_train, -(-len(split.labels) // size))
      if name == "train"
      else (batches[name], take_stacked, len(batches[name].labels))
    )
    shown = geometry.references(split, dataset.num_classes)
    return geometry.Feed(arrays, take, number, shown, np.asarray(split.labels))

  measure = geometry.create(
    model,
    normalize,
    dataset.num_classes,
    tau=methods.hinge_tau(config, dataset.class_counts)
    if config.method == "etf_hinge"
    else None,
    hold_features=config.collapse.hold_features,
    rank_images=config.collapse.rank_images,
  )
  return lambda variables, name, matrices=False: measure(
    variables, feed(name), matrices=matrices
  )
