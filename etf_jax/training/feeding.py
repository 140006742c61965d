# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Brings batches to the train step and to evaluation, from either feed.

  open_feed = feeding.create(config, dataset, epoch, sampler, mesh, train_step)
  feed = open_feed(seed, step)
  state, metrics = feed.advance(state, step, key)

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
from etf_jax.training import durations, sharding

# Steps that the host may be ahead of the devices; each holds a batch there.
_IN_FLIGHT = 2


class Feed(Protocol):
  """The steps of one run, in order."""

  def advance(self, state, step: int, key: jax.Array) -> tuple[Any, Any]:
    """Trains on the batch of a step: (state, metrics). The state is donated."""

  def lower(self, state, key: jax.Array) -> jax.stages.Lowered:
    """The step of a whole batch, to be compiled; nothing is read or run.

    Its executable is the one that `advance` uses. The arguments may be
    `jax.ShapeDtypeStruct`s with their shardings.
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

  Args:
    config: resolved; `data` is read.
    dataset: see `data.load`.
    data: its training images on the devices; None if they are streamed.
    epoch: what an epoch is made of.
    total_steps: of a run.
    sampler: the order of the examples.
    mesh: the devices.
    train_step: see `step.create`.
    state_sharding: of the state, a tree or one for all of it.
  """
  compiled = functools.partial(
    jax.jit,
    donate_argnames="state",
    out_shardings=(state_sharding, sharding.replicated(mesh)),
  )
  rows = sharding.row_multiple(config, mesh)
  if data is not None:

    @functools.partial(compiled, static_argnames="size")
    def resident_step(state, data, order, start, key, size):
      batch = resident.take(
        data, order, start, size=size, padded_size=sharding.padded(size, rows)
      )
      batch = jax.lax.with_sharding_constraint(
        batch, sharding.batch_sharded(mesh)
      )
      return train_step(state, batch, key)

    return lambda seed, start: _Resident(
      resident_step, data, epoch, sampler, seed, mesh
    )
  streamed_step = compiled(train_step)

  def open_stream(seed, start):
    plan = stream.Epochs(sampler, seed, epoch.batch_size, total_steps)
    batches = _batches(dataset.train, plan, mesh, config, multiple_of=rows)
    size = sharding.padded(epoch.batch_size, rows)
    return _Streamed(
      streamed_step, batches, mesh, config, start, size, size > epoch.batch_size
    )

  return open_stream


class _Resident:
  def __init__(self, step, data, epoch, sampler, seed, mesh):
    self._step, self._data, self._epoch = step, data, epoch
    self._sampler, self._seed = sampler, seed
    self._everywhere = sharding.replicated(mesh)
    self._order, self._order_of = None, None

  def advance(self, state, step, key):
    passed, position = divmod(step, self._epoch.steps)
    if self._order_of != passed:
      order = self._sampler.order(self._seed, passed)
      self._order = resident.place(order, self._everywhere)
      self._order_of = passed
    start = position * self._epoch.batch_size
    size = min(self._epoch.batch_size, self._epoch.examples - start)
    return self._step(state, self._data, self._order, start, key, size=size)

  def lower(self, state, key):
    size = min(self._epoch.batch_size, self._epoch.examples)
    order = jax.ShapeDtypeStruct(
      (self._sampler.size,), np.int32, sharding=self._everywhere
    )
    return self._step.lower(state, self._data, order, 0, key, size=size)

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

  def advance(self, state, step, key):
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

  def lower(self, state, key):
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
    self._ready.append(_to_device(local, self._mesh, self._always_masked))

  def rates(self):
    feed_limits = self._waited_for_feed > self._waited_for_device
    self._waited_for_feed = self._waited_for_device = 0.0
    return {
      "feed_images_per_second": self._stream.images_per_second,
      "corrupt_images": len(self._batches.split.corrupt),
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
