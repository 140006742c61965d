# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Streamed images: read on the hosts, they go to the devices batch by batch.

feed = train(step, split, stream.Epochs(sampler, seed, ...), mesh, config, ...)
feed = once(split, batch_size, num_classes, mesh, config)    # for evaluation
"""

import collections
from collections.abc import Callable
import time

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict
import numpy as np

from etf_jax.data import Encoded, decode
from etf_jax.data.batch import Batch
from etf_jax.data.feeds import resident, stream
from etf_jax.errors import InputError
from etf_jax.training.parallel import distributed, sharding

# Steps that the host may be ahead of the devices; each holds a batch there.
_IN_FLIGHT = 2
# Under which processes tell of the images that they could not decode.
_CORRUPT = "corrupt"


def train(
  step: Callable,
  split: Encoded,
  plan: stream.Epochs,
  mesh: Mesh,
  config: ConfigDict,
  *,
  start: int,
  batch_size: int,
  rows: int,
) -> "_Streamed":
  """A `feeding.Feed` of the batches of a plan, which are augmented by the step.

  Args:
    step: jitted (state, batch, key) -> (state, metrics).
    split: the images.
    plan: their order.
    mesh: the devices.
    config: resolved; `data` is read.
    start: steps completed so far.
    batch_size: images of a step.
    rows: batches are padded to a multiple of them.
  """
  batches = _batches(split, plan, mesh, config, multiple_of=rows)
  size = sharding.padded(batch_size, rows)
  padded = size > batch_size
  return _Streamed(step, batches, mesh, config, start, size, padded)


def once(
  split: Encoded, size: int, num_classes: int, mesh: Mesh, config: ConfigDict
) -> resident.EvalBatches:
  """A split in padded batches, each spread over the devices.

  Args:
    split: the images.
    size: of a batch, a multiple of the number of devices.
    num_classes: K.
    mesh: the devices.
    config: resolved; `data` is read.
  """
  plan = stream.Once(len(split.labels), size)

  def parts():
    batches = _batches(
      split, plan, mesh, config, multiple_of=size, threads_only=True
    )
    with stream.Stream(batches) as local_batches:
      for local in local_batches:
        yield _to_device(local, mesh, always_masked=True), 0

  return resident.EvalBatches(
    parts, _whole, resident.references(split, num_classes)
  )


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
    threads=1 if workers else decode.cpu_threads(),
  )


def _to_device(local, mesh, always_masked):
  spread = sharding.batch_sharded(mesh)

  def put(array):
    return jax.make_array_from_process_local_data(
      spread, array, (local.size, *array.shape[1:])
    )

  masked = always_masked or local.padded
  return Batch(
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

  return Batch(
    shape((size, *pixels.shape), np.uint8),
    shape((size,), np.int32),
    shape((size,), np.bool_) if masked else None,
    shape((size, 2), np.int32) if pixels.has_sizes else None,
  )
