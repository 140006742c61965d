# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The resident feed: what an epoch visits, and what a batch holds."""

import functools
import math

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
import numpy as np
import pytest

from etf_jax.data import Split, sampling
from etf_jax.data.feeds import resident

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
  return sampling.make_sampler("instance", np.zeros(SIZE)).order(seed, epoch)


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
  for array in (data.images, data.labels):
    assert len(array.sharding.device_set) == 8
    assert array.sharding.is_fully_replicated
  assert data.images.dtype == jnp.uint8
  assert data.image_shape == (2, 3, 1)
  np.testing.assert_array_equal(data.images, split.images.reshape(SIZE, 6))


def test_images_of_many_bytes_are_spread_over_the_devices(split):
  everywhere, spread = (
    resident.put(split, mesh(8), limit) for limit in (2**31, SIZE)
  )
  assert spread.images.shape == (24, 6)  # a multiple of 8
  assert spread.size == SIZE
  assert {s.data.shape for s in spread.images.addressable_shards} == {(3, 6)}
  take = jax.jit(functools.partial(resident.take, size=7, padded_size=8))
  first, second = (
    take(data, jnp.asarray(order(0, 0)), 16) for data in (everywhere, spread)
  )
  for one, other in zip(first[:3], second[:3], strict=True):
    np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_an_array_of_more_than_2_to_the_31_elements():
  rows, width = 2**15 + 9, 2**16
  images = np.zeros((rows, 1, width, 1), np.uint8)  # untouched pages are free
  images[-1, 0, -1, 0], images[2**15, 0, 7, 0] = 200, 100
  split = Split(images, np.arange(rows, dtype=np.int32))
  assert images.size > 2**31
  data = resident.put(split, mesh(1), 2**33)
  batch = jax.jit(functools.partial(resident.take, size=2, padded_size=2))(
    data, jnp.asarray([5, rows - 1, 2**15, 0], jnp.int32), 1
  )
  np.testing.assert_array_equal(batch.labels, [rows - 1, 2**15])
  assert batch.images[0, 0, -1, 0] == 200
  assert batch.images[1, 0, 7, 0] == 100
  assert int(batch.images.astype(jnp.int32).sum()) == 300


@pytest.mark.parametrize(
  ("shape", "pieces"),
  [
    ((32, 32, 3), 1),
    ((128, 256, 1), 1),
    ((256, 256, 3), 6),
    ((224, 224, 3), 6),
    ((1, 32_771, 1), 32_771),  # a prime number of pixels
  ],
)
def test_large_images_lie_in_pieces(shape, pieces):
  assert resident.pieces(math.prod(shape)) == pieces


def test_pieces_of_spread_images_come_together_again():
  images = np.arange(5 * 192 * 256 * 1, dtype=np.uint32) * 2654435761 >> 24
  images = images.astype(np.uint8).reshape(5, 192, 256, 1)
  split = Split(images, np.arange(5, dtype=np.int32))
  data = resident.put(split, mesh(2), 1)
  assert data.images.shape == (6 * 2, 192 * 128)
  # That is what is said of them without any.
  said = resident.shapes(split, mesh(2), 1)
  assert jax.tree.map(lambda x: (x.shape, x.dtype, x.sharding), data) == (
    jax.tree.map(lambda x: (x.shape, x.dtype, x.sharding), said)
  )
  wanted = jnp.asarray([4, 0, 3], jnp.int32)
  batch = resident.take(data, wanted, 0, size=3, padded_size=3)
  np.testing.assert_array_equal(batch.images, images[np.asarray(wanted)])


@pytest.mark.slow
def test_sizes_go_with_their_images(split):
  sizes = np.stack([np.arange(SIZE), np.arange(SIZE) + 50], 1).astype(np.int32)
  split = Split(split.images, split.labels, sizes)
  data = resident.put(split, mesh(8), SIZE)
  batch = resident.take(
    data, jnp.asarray(order(0, 0)), 3, size=5, padded_size=8
  )
  index = np.asarray(batch.images)[:, 0, 0, 0].astype(int)
  np.testing.assert_array_equal(batch.sizes[:, 1], index + 50)
  for feed in (
    resident.in_order(split, data, 8, 5, mesh(8)),
    resident.in_batches(split, 8, 5, mesh(8)),
  ):
    seen = []
    for arrays, place in feed.parts():
      batch = feed.take(arrays, place)
      where = np.asarray(batch.where)
      seen += np.asarray(batch.sizes)[where][:, 0].tolist()
    assert seen == list(range(SIZE))
    np.testing.assert_array_equal(feed.references.sizes[:, 0], np.arange(5))


@pytest.mark.parametrize("batch_size", [8, 24])
def test_stacked_batches_hold_each_example_once(split, batch_size):
  feed = resident.in_batches(split, batch_size, 5, mesh(8))
  parts = list(feed.parts())
  assert len(parts) == -(-SIZE // batch_size)
  images, labels = [], []
  for arrays, index in parts:
    batch = feed.take(arrays, index)
    assert batch.images.shape == (batch_size, 2, 3, 1)
    where = np.asarray(batch.where)
    images += np.asarray(batch.images)[where][:, 0, 0, 0].tolist()
    labels += np.asarray(batch.labels)[where].tolist()
  assert images == list(range(SIZE))
  np.testing.assert_array_equal(labels, split.labels)
  # Every device has its share of each batch.
  shard = parts[0][0].images.addressable_shards[0].data
  assert shard.shape == (len(parts), batch_size // 8, 2, 3, 1)
