# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Brings batches to the train step and to evaluation, from either feed.

  open_feed = feeding.create(config, dataset, epoch, sampler, mesh, train_step)
  feed = open_feed(seed, step)    # or (seeds, step), for runs in one program
  state, metrics = feed.advance(state, step, key, steps=feed.most(step))

Both feeds make the same batches: those of the sampler's order.
"""

import collections
from collections.abc import Callable
import functools
import time
from typing import Any, Protocol

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict
import numpy as np

from etf_jax.data import Dataset, Encoded, cache, resident, sampling, stream
from etf_jax.errors import InputError
from etf_jax.training import calls, distributed, durations, packing, sharding

# Steps that the host may be ahead of the devices; each holds a batch there.
_IN_FLIGHT = 2
# Under which processes tell of the images that they could not decode.
_CORRUPT = "corrupt"


class Feed(Protocol):
  """The steps of one run, or of several in one program, in order."""

  def most(self, step: int) -> int:
    """How many steps `advance` can go in one call that begins after `step`."""

  def advance(
    self, state, step: int, key: jax.Array, steps: int = 1
  ) -> tuple[Any, Any]:
    """Trains on the batches of some steps, in one call of the devices.

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
  """Builds `open_feed(seed, first step)`; all feeds share compiled programs.

  Instead of a seed it takes a tuple of them, where the images are resident.

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
    most = calls.most_steps(asked, epoch, mesh)
    alone, together = (
      calls.create(
        train_step, epoch, most, mesh, rows, state_sharding, together=together
      )
      for together in (False, True)
    )
    return lambda seed, start: _Resident(
      together if isinstance(seed, tuple) else alone,
      most,
      data,
      epoch,
      total_steps,
      sampler,
      seed,
      mesh,
    )
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
    batches = _batches(dataset.train, plan, mesh, config, multiple_of=rows)
    size = sharding.padded(epoch.batch_size, rows)
    return _Streamed(
      streamed_step, batches, mesh, config, start, size, size > epoch.batch_size
    )

  return open_stream


class _Resident:
  """An epoch's order goes to the devices while they train the one before."""

  def __init__(
    self, programs, most, data, epoch, total_steps, sampler, seed, mesh
  ):
    self._programs, self._most = programs, most
    self._data, self._epoch, self._total = data, epoch, total_steps
    self._sampler, self._seed = sampler, seed
    self._everywhere = sharding.replicated(mesh)
    several = isinstance(seed, tuple)
    self._spread = packing.along_seed(mesh) if several else self._everywhere
    self._order = functools.lru_cache(2)(self._place_order)
    self._number = functools.lru_cache(most)(self._place_number)

  def _place_order(self, passed):
    if isinstance(self._seed, tuple):
      orders = [self._sampler.order(seed, passed) for seed in self._seed]
      return resident.place(np.stack(orders), self._spread)
    order = self._sampler.order(self._seed, passed)
    return resident.place(order, self._spread)

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
    shape = (self._sampler.size,)
    if isinstance(self._seed, tuple):
      shape = (len(self._seed), *shape)
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


class _Streamed:
  """Batches go to the devices a step ahead, while they train."""

  def __init__(self, step, batches, mesh, config, start, size, padded):
    self._step, self._total = step, len(batches)
    self._size, self._padded = size, padded
    self._mesh = mesh
    self._always_masked = config.data.corrupt == "skip"
    self._batches, self._workers = batches, config.data.workers
    self._stream, self._next = None, start
    self._ready, self._running = collections.deque(), collections.deque()
    self._waited_for_feed = self._waited_for_device = 0.0
    self._told = 0

  def most(self, step):
    del step
    return 1

  def advance(self, state, step, key, steps=1):
    del step, steps
    if not self._ready:
      self._read()
    state, metrics = self._step(state, self._ready.popleft(), key)
    self._running.append(metrics.loss)
    if self._next < self._total:
      self._read()
    if len(self._running) > _IN_FLIGHT:
      started = time.perf_counter()
      jax.block_until_ready(self._running.popleft())
      self._waited_for_device += time.perf_counter() - started
    return state, metrics

  def lower(self, state, key, *, single=False):
    del single
    batch = _shapes(
      self._batches.split.pixels,
      self._size,
      self._mesh,
      self._always_masked or self._padded,
    )
    return self._step.lower(state, batch, key)

  def _read(self):
    if self._stream is None:  # not before there is a step to train
      self._stream = stream.Stream(self._batches, self._next, self._workers)
    started = time.perf_counter()
    local = next(self._stream)
    self._waited_for_feed += time.perf_counter() - started
    self._next += 1
    self._tell_corrupt()
    self._ready.append(_to_device(local, self._mesh, self._always_masked))

  def _tell_corrupt(self):
    """Before the step is trained, so that its row cannot come too early."""
    found = self._batches.split.corrupt
    if len(found) > self._told:
      self._told = len(found)
      distributed.publish(_CORRUPT, sorted(found))

  def rates(self):
    feed_limits = self._waited_for_feed > self._waited_for_device
    self._waited_for_feed = self._waited_for_device = 0.0
    corrupt = set().union(
      self._batches.split.corrupt, *distributed.published(_CORRUPT)
    )
    return {
      "feed_images_per_second": self._stream.images_per_second,
      "corrupt_images": len(corrupt),
      "limited_by": "feed" if feed_limits else "device",
    }

  def close(self):
    if self._stream is not None:
      self._stream.close()


def evaluation(
  config: ConfigDict,
  dataset: Dataset,
  data: resident.Resident | None,
  mesh: Mesh,
) -> dict[str, resident.Feed]:
  """The splits in batches, by name; `train` is not augmented there.

  Args:
    config: resolved; `eval.batch_size` and `data` are read.
    dataset: see `data.load`.
    data: its training images on the devices; None if they are streamed.
    mesh: the devices.
  """
  feeds = {}
  for name in ("validation", "test", "train"):
    split = getattr(dataset, name)
    if split is None:
      continue
    size = sharding.padded(
      min(config.eval.batch_size, len(split.labels)),
      sharding.batch_shards(mesh),
    )
    if isinstance(split, Encoded):
      feeds[name] = _streamed_once(
        split, size, dataset.num_classes, mesh, config
      )
    elif name == "train":
      feeds[name] = resident.in_order(
        split, data, size, dataset.num_classes, mesh
      )
    else:
      feeds[name] = resident.in_batches(split, size, dataset.num_classes, mesh)
  return feeds


def _streamed_once(split, size, num_classes, mesh, config):
  plan = stream.Once(len(split.labels), size)

  def parts():
    batches = _batches(
      split, plan, mesh, config, multiple_of=size, threads_only=True
    )
    with stream.Stream(batches) as local_batches:
      for local in local_batches:
        yield _to_device(local, mesh, always_masked=True), 0

  return resident.Feed(
    parts,
    _whole,
    resident.references(split, num_classes),
  )


def _whole(batch, index):
  del index  # There is one batch in these arrays.
  return batch


def _batches(split, plan, mesh, config, *, multiple_of, threads_only=False):
  hosts = jax.process_count()
  if mesh.size % hosts:
    raise InputError(
      f"the {mesh.size} devices in use are not the same number on each of"
      f" {hosts} hosts: change config.devices"
    )
  workers = 0 if threads_only else config.data.workers
  return stream.Batches(
    split,
    plan,
    multiple_of=multiple_of,
    host=jax.process_index(),
    hosts=hosts,
    threads=1 if workers else cache.cpu_threads(),
  )


def _to_device(local, mesh, always_masked):
  spread = sharding.batch_sharded(mesh)

  def put(array):
    return jax.make_array_from_process_local_data(
      spread, array, (local.size, *array.shape[1:])
    )

  masked = always_masked or local.padded
  return resident.Batch(
    put(local.images),
    put(local.labels),
    put(local.where) if masked else None,
    None if local.sizes is None else put(local.sizes),
  )


def _shapes(pixels, size, mesh, masked):
  """What `_to_device` gives for so many images, without any."""
  spread = sharding.batch_sharded(mesh)

  def shape(sizes, dtype):
    return jax.ShapeDtypeStruct(sizes, dtype, sharding=spread)

  return resident.Batch(
    shape((size, *pixels.shape), np.uint8),
    shape((size,), np.int32),
    shape((size,), np.bool_) if masked else None,
    shape((size, 2), np.int32) if pixels.has_sizes else None,
  )
