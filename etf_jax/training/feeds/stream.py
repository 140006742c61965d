# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Streamed images: read on the hosts, they go to the devices batch by batch."""

import collections
from collections.abc import Callable
import functools
import time
from typing import TYPE_CHECKING

import jax
from jax.sharding import Mesh
import numpy as np

from etf_jax.data import Encoded, decode
from etf_jax.data.batch import Batch
from etf_jax.data.feeds import resident, stream
from etf_jax.errors import InputError
from etf_jax.training.parallel import sharding

if TYPE_CHECKING:
  from etf_jax.training.setup import Setup

# Steps that the host may be ahead of the devices; each holds a batch there.
_IN_FLIGHT = 2


def make_feed(
  setup: "Setup", split: Encoded
) -> Callable[[int, int], "_Streamed"]:
  """Make `open_feed(seed, first step)` of a split; see `device.make_feed`.

  Args:
    setup: of the run.
    split: training images.
  """
  epoch, mesh, rows = setup.epoch, setup.mesh, setup.rows

  @functools.partial(
    jax.jit,
    donate_argnames="state",
    out_shardings=(setup.state_sharding, sharding.replicated(mesh)),
  )
  def step(state, batch, key):
    state, metrics = setup.train_step(state, batch, key)
    return state, jax.tree.map(lambda x: x[None], metrics)

  size = sharding.padded(epoch.batch_size, rows)
  workers = setup.config.data.workers

  def open_feed(seed, start):
    plan = stream.Epochs(
      setup.sampler, seed, epoch.batch_size, setup.total_steps
    )
    batches = _batches(split, plan, mesh, rows, workers)
    padded = size > epoch.batch_size
    return _Streamed(step, batches, mesh, workers, start, size, padded)

  return open_feed


def make_eval_batches(
  split: Encoded, size: int, num_classes: int, mesh: Mesh
) -> resident.EvalBatches:
  """Cut a split into padded batches, each spread over the devices.

  Args:
    split: the images.
    size: of a batch, a multiple of the number of devices.
    num_classes: K.
    mesh: the devices.
  """
  plan = stream.Once(len(split.labels), size)

  def parts():
    batches = _batches(split, plan, mesh, size)
    with stream.Stream(batches) as local_batches:
      for local in local_batches:
        yield _to_device(local, mesh, always_masked=True), 0

  return resident.EvalBatches(
    parts, lambda batch, _: batch, resident.references(split, num_classes)
  )


class _Streamed:
  """Batches go to the devices a step ahead, while they train."""

  def __init__(self, step, batches, mesh, workers, start, size, padded):
    self._step, self._total = step, len(batches)
    self._size, self._padded = size, padded
    self._mesh = mesh
    self._batches, self._workers = batches, workers
    self._stream, self._next = None, start
    self._ready, self._running = collections.deque(), collections.deque()
    self._waited_for_feed = self._waited_for_device = 0.0

  def steps(self, step):
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
      self._batches.split.pixels, self._size, self._mesh, self._padded
    )
    return self._step.lower(state, batch, key)

  def _read(self):
    if self._stream is None:  # not before there is a step to train
      self._stream = stream.Stream(self._batches, self._next, self._workers)
    started = time.perf_counter()
    local = next(self._stream)
    self._waited_for_feed += time.perf_counter() - started
    self._next += 1
    self._ready.append(_to_device(local, self._mesh))

  def rates(self):
    feed_limits = self._waited_for_feed > self._waited_for_device
    self._waited_for_feed = self._waited_for_device = 0.0
    return {
      "feed_images_per_second": self._stream.images_per_second,
      "limited_by": "feed" if feed_limits else "device",
    }

  def close(self):
    if self._stream is not None:
      self._stream.close()


def _batches(split, plan, mesh, rows, workers=0):
  """Plan this host's batches, of a multiple of rows; no workers: threads."""
  hosts = jax.process_count()
  if mesh.size % hosts:
    raise InputError(
      f"the {mesh.size} devices in use are not the same number on each of"
      f" {hosts} hosts: change config.devices"
    )
  return stream.Batches(
    split,
    plan,
    multiple_of=rows,
    host=jax.process_index(),
    hosts=hosts,
    threads=1 if workers else decode.cpu_threads(),
  )


def _to_device(local, mesh, always_masked=False):
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
  """Return the shapes of `_to_device` for so many images."""
  spread = sharding.batch_sharded(mesh)

  def shape(sizes, dtype):
    return jax.ShapeDtypeStruct(sizes, dtype, sharding=spread)

  return Batch(
    shape((size, *pixels.shape), pixels.dtype),
    shape((size,), np.int32),
    shape((size,), np.bool_) if masked else None,
    shape((size, 2), np.int32) if pixels.has_sizes else None,
  )
