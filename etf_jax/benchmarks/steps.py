# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Runs in memory that go on by as many steps as a benchmark asks for.

run = start(plan, open_feed, seed=0)
metrics = run.go(20)
"""

import argparse
from collections.abc import Callable
import dataclasses
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from etf_jax import data
from etf_jax.data import augment
from etf_jax.data.feeds import resident
from etf_jax.runs import command_line
from etf_jax.training import state as states
from etf_jax.training.config import check_config
from etf_jax.training.feeds import device
from etf_jax.training.parallel import packing, sharding
from etf_jax.training.setup import Setup, create_state
from etf_jax.training.step import make_train_step


class Run(NamedTuple):
  """A run that goes on.

  Attributes:
    go: trains for so many steps, at least one; the metrics of the last call,
      which may not be computed yet.
    state: after the steps so far.
    steps: of a call.
  """

  go: Callable[[int], Any]
  state: Callable[[], states.TrainState]
  steps: int


def parse(options: argparse.Namespace) -> Any:
  """Return the config of a command line after checks of its choices."""
  config, _ = command_line.parse(
    ["benchmark", f"--config={options.config}", *options.fields]
  )
  check_config(config)
  return config


def whole_batches(dataset: data.Dataset, batch_size: int) -> data.Dataset:
  """Drop images of the largest class until all batches are whole.

  Steps of two sizes would blur what one takes. Streamed images stay as they
  are, and so does a set that is smaller than a batch.
  """
  train = dataset.train
  left = len(train.labels) % batch_size
  small = left == len(train.labels)
  if isinstance(train, data.Encoded) or small or not left:
    return dataset
  largest = np.flatnonzero(train.labels == np.argmax(dataset.class_counts))
  kept = np.delete(np.arange(len(train.labels)), largest[:left])
  train = train.choose(kept)
  counts = np.bincount(train.labels, minlength=dataset.num_classes)
  return dataclasses.replace(dataset, train=train, class_counts=counts)


def start(
  plan: Setup,
  open_feed: Callable[..., device.TrainFeed],
  seed: int | tuple[int, ...],
) -> Run:
  """Begin a run, or several in one program; nothing is compiled yet.

  Args:
    plan: what it computes.
    open_feed: see `device.make_feed`.
    seed: of the run; a tuple: of runs that are packed.
  """
  if isinstance(seed, tuple):
    each = [create_state(plan, one) for one in seed]
    current = packing.stack(each, plan.mesh)
    where = packing.along_seed(plan.mesh)
  else:
    current = create_state(plan, seed)
    where = sharding.replicated(plan.mesh)
  key = states.augment_key(seed, where)
  feed, done = open_feed(seed, 0), 0

  def go(steps):
    nonlocal current, done
    end = done + steps
    metrics = None
    while done < end:
      number = feed.steps(done)
      if number > end - done:
        number = 1
      current, metrics = feed.advance(current, done, key, number)
      done += number
    return metrics

  return Run(go, lambda: current, feed.steps(0))


def turn(run: Run) -> Callable[[int], float]:
  """Return the steps of a run as a `timing.Turn`."""

  def steps(number):
    started = time.perf_counter()
    jax.block_until_ready(run.go(number))
    return time.perf_counter() - started

  return steps


def frozen(
  plan: Setup,
  dataset: data.Dataset,
  images: resident.Resident,
  steps: int,
  seed: int,
) -> Run:
  """Begin a run whose steps all take the first batch, augmented once.

  Args:
    plan: of the run.
    dataset: what it trains on.
    images: its training images on the devices.
    steps: of a call; the run goes on by multiples of them.
    seed: of the run.
  """
  config, epoch = plan.config, plan.epoch
  everywhere = sharding.replicated(plan.mesh)
  key = states.augment_key(seed, everywhere)
  augmented = augment.training(
    config.augment, dataset.mean, dataset.std, jnp.dtype(config.dtype)
  )

  @jax.jit
  def first(images, order, key):
    padded = sharding.padded(epoch.batch_size, plan.rows)
    batch = resident.take(
      images, order, 0, size=epoch.batch_size, padded_size=padded
    )
    batch = jax.lax.with_sharding_constraint(
      batch, sharding.batch_sharded(plan.mesh)
    )
    return batch, augmented(batch, key)

  order = resident.place(plan.sampler.order(seed, 0), everywhere)
  batch, (inputs, partners, lam) = first(images, order, key)
  batch = batch._replace(images=inputs, sizes=None)
  train_step = make_train_step(
    config,
    plan.model,
    plan.optimizer,
    dataset.class_counts,
    lambda batch, key: (batch.images, partners, lam),
    epoch.steps,
    plan.total_steps,
    plan.mesh,
  )

  def several(state, batch, key):
    if steps == 1:
      return train_step(state, batch, key)
    state, metrics = jax.lax.scan(
      lambda state, _: train_step(state, batch, key), state, length=steps
    )
    return state, jax.tree.map(lambda x: x[-1], metrics)

  program = jax.jit(
    several,
    donate_argnames="state",
    out_shardings=(plan.state_sharding, everywhere),
  )
  current = create_state(plan, seed)

  def go(number):
    nonlocal current
    metrics = None
    for _ in range(0, number, steps):
      current, metrics = program(current, batch, key)
    return metrics

  return Run(go, lambda: current, steps)
