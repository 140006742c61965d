# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Batches for the train step and for evaluation, resident or streamed.

  open_feed = device.make_feed(config, dataset, ...)
  feed = open_feed(seed, step)    # or (seeds, step), for runs in one program
  state, metrics = feed.advance(state, step, key, steps=feed.most(step))

Both feeds make the same batches: those of the sampler's order.
"""

from collections.abc import Callable
import functools
from typing import Any, Protocol, cast

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict
import numpy as np

from etf_jax.data import Dataset, Encoded, sampling
from etf_jax.data.feeds import resident
from etf_jax.training import durations
from etf_jax.training.feeds import multi_step, stream
from etf_jax.training.parallel import packing, sharding
from etf_jax.training.step import TrainStep


class TrainFeed(Protocol):
  """The steps of one run, or of several in one program, in order."""

  def most(self, step: int) -> int:
    """Return the most steps of one call that begins after `step`."""

  def advance(
    self, state, step: int, key: jax.Array, steps: int = 1
  ) -> tuple[Any, Any]:
    """Train on the batches of some steps, in one call of the devices.

    Args:
      state: donated.
      step: completed so far.
      key: of the run, see `state.augment_key`; of several `[S]`.
      steps: to go, at most `most(step)`.

    Returns:
      The state, and the metrics of the steps: arrays of `steps` numbers, with
      others behind them that mean nothing. Of several runs `[S, ...]`.
    """

  def lower(
    self, state, key: jax.Array | jax.ShapeDtypeStruct, *, single: bool = False
  ) -> jax.stages.Lowered:
    """Lower the program for whole batches; nothing is read or run.

    Its executable is the one that `advance` uses. The arguments may be
    `jax.ShapeDtypeStruct`s with their shardings.

    Args:
      state: as for `advance`.
      key: as for `advance`.
      single: one step instead, however many a call has.
    """

  def rates(self) -> dict[str, Any]:
    """Return fields for a row of training metrics, since the last call."""

  def close(self) -> None:
    """Release threads and files."""


def make_feed(
  config: ConfigDict,
  dataset: Dataset,
  images: resident.Resident | None,
  epoch: durations.Epoch,
  total_steps: int,
  sampler: sampling.Sampler,
  mesh: Mesh,
  train_step: TrainStep,
  state_sharding: Any,
) -> Callable[..., TrainFeed]:
  """Make `open_feed(seed, first step)`; all feeds share compiled programs.

  With resident images it takes a tuple of seeds as well.

  Args:
    config: resolved; `data` and `steps_per_call` are read.
    dataset: see `data.load`.
    images: training images on the devices; None: they are streamed.
    epoch: size of an epoch.
    total_steps: steps of a run.
    sampler: the order of the examples.
    mesh: the devices.
    train_step: see `step.make_train_step`.
    state_sharding: of the state, a tree or one for all of it.
  """
  rows = sharding.row_multiple(config, mesh)
  if images is None:
    assert isinstance(dataset.train, Encoded)
    return stream.make_feed(
      config,
      cast(Encoded, dataset.train),
      epoch,
      total_steps,
      sampler,
      mesh,
      rows,
      train_step,
      state_sharding,
    )
  most = multi_step.most_steps(config.steps_per_call, epoch, mesh)
  single, packed = (
    multi_step.make_programs(
      train_step, epoch, most, mesh, rows, state_sharding, packed=packed
    )
    for packed in (False, True)
  )

  def open_feed(seed, start):
    del start
    seeds = seed if isinstance(seed, tuple) else (seed,)
    orders = [functools.partial(sampler.order, one) for one in seeds]
    several = isinstance(seed, tuple)
    return _Resident(
      packed if several else single,
      most,
      images,
      epoch,
      total_steps,
      orders,
      mesh,
      several,
    )

  return open_feed


class _Resident:
  """An epoch's order goes to the devices while they train the one before."""

  def __init__(
    self, programs, most, data, epoch, total_steps, orders, mesh, several
  ):
    self._programs, self._most = programs, most
    self._data, self._epoch, self._total = data, epoch, total_steps
    self._orders, self._several = orders, several
    self._replicated = sharding.replicated(mesh)
    self._spread = packing.along_seed(mesh) if several else self._replicated
    self._order = functools.lru_cache(2)(self._place_order)
    self._number = functools.lru_cache(most)(self._place_number)

  def _place_order(self, passed):
    orders = np.stack([order(passed) for order in self._orders])
    return resident.place(orders if self._several else orders[0], self._spread)

  def _place_number(self, steps):
    return resident.place(np.asarray(steps, np.int32), self._replicated)

  def most(self, step):
    whole = self._epoch.examples // self._epoch.batch_size
    return max(1, min(self._most, whole - step % self._epoch.steps))

  def advance(self, state, step, key, steps=1):
    passed, position = divmod(step, self._epoch.steps)
    arguments = state, self._data, self._order(passed), key
    if position < self._epoch.examples // self._epoch.batch_size:
      result = self._train(*arguments, steps)
    else:
      result = self._programs.rest(*arguments)
    if (passed + 1) * self._epoch.steps < self._total:
      self._order(passed + 1)
    return result

  def _train(self, state, data, order, key, steps):
    if self._most == 1:
      return self._programs.single(state, data, order, key)
    return self._programs.several(state, data, order, key, self._number(steps))

  def lower(self, state, key, *, single=False):
    shape = (self._epoch.examples,)
    if self._several:
      shape = (len(self._orders), *shape)
    order, number = (
      jax.ShapeDtypeStruct(shape, np.int32, sharding=where)
      for shape, where in ((shape, self._spread), ((), self._replicated))
    )
    arguments = state, self._data, order, key
    if single or self._most == 1:
      return self._programs.single.lower(*arguments)
    return self._programs.several.lower(*arguments, number)

  def rates(self):
    return {}

  def close(self):
    pass


def make_eval_batches(
  config: ConfigDict,
  dataset: Dataset,
  images: resident.Resident | None,
  mesh: Mesh,
) -> dict[str, resident.EvalBatches]:
  """Cut the splits into batches, by name; `train` is not augmented.

  Args:
    config: resolved; `eval.batch_size` and `data` are read.
    dataset: see `data.load`.
    images: training images on the devices; None: they are streamed.
    mesh: the devices.

  Returns:
    Of `validation`, `test` and `train` those that the data set has.
  """
  batches = {}
  for name in ("validation", "test", "train"):
    split = getattr(dataset, name)
    if split is None:
      continue
    size = sharding.padded(
      min(config.eval.batch_size, len(split.labels)),
      sharding.batch_shards(mesh),
    )
    if isinstance(split, Encoded):
      batches[name] = stream.make_eval_batches(
        split, size, dataset.num_classes, mesh, config
      )
    elif name == "train" and images is not None:
      batches[name] = resident.in_order(
        split, images, size, dataset.num_classes, mesh
      )
    else:
      batches[name] = resident.in_batches(
        split, size, dataset.num_classes, mesh
      )
  return batches
