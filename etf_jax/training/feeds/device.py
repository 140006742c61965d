# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Brings batches to the train step and to evaluation, from either feed.

  open_feed = feeding.create(config, dataset, epoch, sampler, mesh, train_step)
  feed = open_feed(seed, step)    # or (seeds, step), for runs in one program
  state, metrics = feed.advance(state, step, key, steps=feed.most(step))

Both feeds make the same batches: those of the sampler's order.
"""

from collections.abc import Callable, Sequence
import functools
from typing import Any, Protocol

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict
import numpy as np

from etf_jax.data import Dataset, Encoded, sampling
from etf_jax.data.feeds import resident, stream
from etf_jax.errors import InputError
from etf_jax.training import durations
from etf_jax.training.feeds import multi_step
from etf_jax.training.feeds import stream as streaming
from etf_jax.training.parallel import packing, sharding


class Feed(Protocol):
  """The steps of one run, or of several in one program, in order."""

  def most(self, step: int) -> int:
    """How many steps `advance` can go in one call that begins after `step`."""

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
    self, state, key: jax.Array, *, single: bool = False
  ) -> jax.stages.Lowered:
    """The program for whole batches, to be compiled; nothing is read or run.

    Its executable is the one that `advance` uses. The arguments may be
    `jax.ShapeDtypeStruct`s with their shardings.

    Args:
      state: as for `advance`.
      key: as for `advance`.
      single: one step instead, however many a call has.
    """

  def rates(self) -> dict[str, Any]:
    """Fields for a row of training metrics, since they were last asked for."""

  def close(self) -> None:
    """Releases what the feed holds."""


def create(
  config: ConfigDict,
  dataset: Dataset,
  data: resident.Resident | None,
  epoch: durations.Epoch,
  total_steps: int,
  sampler: sampling.Sampler,
  mesh: Mesh,
  train_step: Callable,
  state_sharding: Any,
) -> Callable[[int, int], Feed]:
  """Build `open_feed(seed, first step)`; all feeds share compiled programs.

  Where the images are resident it takes a tuple of seeds as well, and with
  `samplers` a tuple of what each run has instead of `sampler`.

  Args:
    config: resolved; `data` and `steps_per_call` are read.
    dataset: see `data.load`.
    data: its training images on the devices; None if they are streamed.
    epoch: what an epoch is made of.
    total_steps: of a run.
    sampler: the order of the examples.
    mesh: the devices.
    train_step: see `step.create`.
    state_sharding: of the state, a tree or one for all of it.

  Raises:
    InputError: several steps a call of images that are streamed.
  """
  rows, asked = sharding.row_multiple(config, mesh), config.steps_per_call
  if data is not None:
    most = multi_step.most_steps(asked, epoch, mesh)
    alone, together = (
      multi_step.create(
        train_step, epoch, most, mesh, rows, state_sharding, together=together
      )
      for together in (False, True)
    )

    def open_resident(seed, start, samplers=None):
      del start
      several = isinstance(seed, tuple)
      seeds = seed if several else (seed,)
      samplers = samplers or (sampler,) * len(seeds)
      orders = [
        functools.partial(own.order, one)
        for own, one in zip(samplers, seeds, strict=True)
      ]
      programs = together if several else alone
      return _Resident(
        programs, most, data, epoch, total_steps, orders, mesh, several
      )

    return open_resident
  if asked not in (None, 1):
    raise InputError(
      f"config.steps_per_call={asked} needs the images on the devices, and"
      " streamed batches go one a call: leave it out, or set"
      " config.data.feed='resident'"
    )

  @functools.partial(
    jax.jit,
    donate_argnames="state",
    out_shardings=(state_sharding, sharding.replicated(mesh)),
  )
  def streamed_step(state, batch, key):
    state, metrics = train_step(state, batch, key)
    return state, jax.tree.map(lambda x: x[None], metrics)

  def open_stream(seed, start):
    plan = stream.Epochs(sampler, seed, epoch.batch_size, total_steps)
    return streaming.train(
      streamed_step,
      dataset.train,
      plan,
      mesh,
      config,
      start=start,
      batch_size=epoch.batch_size,
      rows=rows,
    )

  return open_stream


class _Resident:
  """An epoch's order goes to the devices while they train the one before."""

  def __init__(
    self, programs, most, data, epoch, total_steps, orders, mesh, several
  ):
    self._programs, self._most = programs, most
    self._data, self._epoch, self._total = data, epoch, total_steps
    self._orders, self._several = orders, several
    self._everywhere = sharding.replicated(mesh)
    self._spread = packing.along_seed(mesh) if several else self._everywhere
    self._order = functools.lru_cache(2)(self._place_order)
    self._number = functools.lru_cache(most)(self._place_number)

  def _place_order(self, passed):
    orders = np.stack([order(passed) for order in self._orders])
    return resident.place(orders if self._several else orders[0], self._spread)

  def _place_number(self, steps):
    return resident.place(np.asarray(steps, np.int32), self._everywhere)

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
      for shape, where in ((shape, self._spread), ((), self._everywhere))
    )
    arguments = state, self._data, order, key
    if single or self._most == 1:
      return self._programs.single.lower(*arguments)
    return self._programs.several.lower(*arguments, number)

  def rates(self):
    return {}

  def close(self):
    pass


def evaluation(
  config: ConfigDict,
  dataset: Dataset,
  data: resident.Resident | None,
  mesh: Mesh,
  names: Sequence[str] = ("validation", "test", "train"),
  first: int = 0,
) -> dict[str, resident.EvalBatches]:
  """The splits in batches, by name; `train` is not augmented there.

  Args:
    config: resolved; `eval.batch_size` and `data` are read.
    dataset: see `data.load`.
    data: its training images on the devices; None if they are streamed.
    mesh: the devices.
    names: of the splits; those that the data set lacks are left out.
    first: the index in `data` of the first training image.
  """
  feeds = {}
  for name in names:
    split = getattr(dataset, name)
    if split is None:
      continue
    size = sharding.padded(
      min(config.eval.batch_size, len(split.labels)),
      sharding.batch_shards(mesh),
    )
    if isinstance(split, Encoded):
      feeds[name] = streaming.once(
        split, size, dataset.num_classes, mesh, config
      )
    elif name == "train":
      feeds[name] = resident.in_order(
        split, data, size, dataset.num_classes, mesh, first
      )
    else:
      feeds[name] = resident.in_batches(split, size, dataset.num_classes, mesh)
  return feeds
