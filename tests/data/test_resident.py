# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The resident feed: what an epoch visits, and what a batch holds."""

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
import numpy as np
import pytest

from etf_jax.data import Split, resident

SIZE, BATCH = 23, 8


@pytest.fixture(scope="module")
def split():
  """Images that carry their own index, and labels that follow it."""
  indices = np.arange(SIZE)
  images = np.zeros((SIZE, 2, 3, 1), np.uint8)
  images[:] = indices[:, None, None, None]
  return Split(images, indices.astype(np.int32) % 5)


def mesh(count):
  return Mesh(np.asarray(jax.devices()[:count]), ("data",))


def order(seed, epoch):
  return np.asarray(
    resident.epoch_order(jax.random.key(seed), jnp.int32(epoch), SIZE)
  )


def visited(split, devices, epoch=0):
  """The examples of one epoch, batch by batch, as their indices."""
  here = mesh(devices)
  data = resident.put(split, here)
  assert data.size == SIZE
  batches = []
  for start in range(0, SIZE, BATCH):
    size = min(BATCH, SIZE - start)
    batch = resident.take(
      data,
      jnp.asarray(order(0, epoch)),
      jnp.int32(start),
      size=size,
      padded_size=-(-size // devices) * devices,
    )
    images, labels = (np.asarray(x) for x in (batch.images, batch.labels))
    indices = images[:, 0, 0, 0].astype(int)
    # Images and labels belong together, in the padding too.
    np.testing.assert_array_equal(labels, indices % 5)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int32
    where = batch.where
    batches.append(indices if where is None else indices[np.asarray(where)])
  return batches


@pytest.mark.parametrize("devices", [1, 2])
def test_an_epoch_visits_each_example_once(split, devices):
  batches = visited(split, devices)
  assert [len(b) for b in batches] == [8, 8, 7]
  np.testing.assert_array_equal(
    np.sort(np.concatenate(batches)), np.arange(SIZE)
  )


def test_the_order_is_the_same_on_any_number_of_devices(split):
  for one, eight in zip(visited(split, 1), visited(split, 8), strict=True):
    np.testing.assert_array_equal(one, eight)


def test_the_order_follows_from_seed_and_epoch_alone():
  # Asked for in any sequence, as after a resume.
  orders = {(s, e): order(s, e) for s in (1, 0) for e in (7, 0, 3)}
  np.testing.assert_array_equal(orders[0, 3], order(0, 3))
  distinct = {o.tobytes() for o in orders.values()}
  assert len(distinct) == 6
  for permutation in orders.values():
    assert permutation.dtype == np.int32
    np.testing.assert_array_equal(np.sort(permutation), np.arange(SIZE))


def test_the_order_is_the_same_compiled_for_eight_devices():
  everywhere = jax.sharding.NamedSharding(mesh(8), jax.sharding.PartitionSpec())
  compiled = jax.jit(
    lambda key, epoch: resident.epoch_order(key, epoch, SIZE),
    out_shardings=everywhere,
  )
  np.testing.assert_array_equal(compiled(jax.random.key(0), 3), order(0, 3))


def test_a_partial_batch_has_its_real_size_unless_padded(split):
  data = resident.put(split, mesh(1))
  last = jnp.asarray(order(0, 0))
  batch = resident.take(data, last, jnp.int32(16), size=7, padded_size=7)
  assert batch.where is None
  assert batch.images.shape == (7, 2, 3, 1)
  padded = resident.take(data, last, jnp.int32(16), size=7, padded_size=8)
  assert padded.images.shape == (8, 2, 3, 1)
  np.testing.assert_array_equal(padded.where, [True] * 7 + [False])
  np.testing.assert_array_equal(padded.labels[:7], batch.labels)


def test_data_lie_on_every_device(split):
  data = resident.put(split, mesh(8))
  for array in data:
    assert len(array.sharding.device_set) == 8
    assert array.sharding.is_fully_replicated
  assert data.images.dtype == jnp.uint8
  np.testing.assert_array_equal(data.images, split.images)


@pytest.mark.parametrize("batch_size", [8, 24])
def test_stacked_batches_hold_each_example_once(split, batch_size):
  batches = resident.stack_batches(split, batch_size, mesh(8))
  count = -(-SIZE // batch_size)
  assert batches.images.shape == (count, batch_size, 2, 3, 1)
  where = np.asarray(batches.where)
  assert where.sum() == SIZE
  np.testing.assert_array_equal(
    np.asarray(batches.images)[where][:, 0, 0, 0], np.arange(SIZE)
  )
  np.testing.assert_array_equal(np.asarray(batches.labels)[where], split.labels)
  # Every device has its share of each batch.
  shard = batches.images.addressable_shards[0].data
  assert shard.shape == (count, batch_size // 8, 2, 3, 1)
