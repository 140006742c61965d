# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The resident feed: the decoded data set lives on the devices as uint8.

The batch of a step is a function of (key, step) alone: each epoch visits a
fresh permutation of the examples, and its last batch is what remains. So the
step number is the whole state of the feed.

  data = resident.put(dataset.train, mesh)
  order = resident.epoch_order(key, epoch, data.size)
  batch = resident.take(data, order, start, size=128, padded_size=128)
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
import numpy as np

from etf_jax.data import Split


class Resident(NamedTuple):
  """`images` uint8 `[N, H, W, C]` and `labels` int32 `[N]`, on every device."""

  images: jax.Array
  labels: jax.Array

  @property
  def size(self) -> int:
    """N."""
    return self.labels.shape[0]


class Batch(NamedTuple):
  """One step's examples; `where` `[B]` is False for padding, None for none."""

  images: jax.Array
  labels: jax.Array
  where: jax.Array | None


def put(split: Split, mesh: Mesh) -> Resident:
  """Copies a split to every device of the mesh."""
  everywhere = NamedSharding(mesh, PartitionSpec())
  return Resident(
    jax.device_put(np.asarray(split.images), everywhere),
    jax.device_put(np.asarray(split.labels, np.int32), everywhere),
  )


def epoch_order(key: jax.Array, epoch: jax.Array, size: int) -> jax.Array:
  """The order of an epoch, a permutation of range(size), int32."""
  return jax.random.permutation(
    jax.random.fold_in(key, epoch), jnp.arange(size, dtype=jnp.int32)
  )


def class_balanced_order(
  key: jax.Array, epoch: jax.Array, labels: np.ndarray
) -> jax.Array:
  """An epoch in which every class is as likely: `[N]` indices, int32.

  Each draw takes a class uniformly and then one of its examples, with
  replacement. Classes without an example are left out.

  Args:
    key: of the run.
    epoch: which epoch.
    labels: `[N]`, of the split.
  """
  by_class = jnp.asarray(np.argsort(labels, kind="stable"), jnp.int32)
  _, first, counts = np.unique(
    np.sort(labels), return_index=True, return_counts=True
  )
  first, counts = (jnp.asarray(x, jnp.int32) for x in (first, counts))
  class_key, example_key = jax.random.split(jax.random.fold_in(key, epoch))
  shape = (len(labels),)
  drawn = jax.random.randint(class_key, shape, 0, len(counts), jnp.int32)
  place = jax.random.randint(example_key, shape, 0, counts[drawn], jnp.int32)
  return by_class[first[drawn] + place]


def take(
  data: Resident,
  order: jax.Array,
  start: jax.Array,
  *,
  size: int,
  padded_size: int,
) -> Batch:
  """The `size` examples of `order` from `start` on, padded to `padded_size`.

  Padding repeats examples, which `where` excludes.
  """
  indices = jax.lax.dynamic_slice_in_dim(order, start, size)
  where = None
  if padded_size > size:
    indices = jnp.pad(indices, (0, padded_size - size))
    where = jnp.arange(padded_size) < size
  return Batch(data.images[indices], data.labels[indices], where)


def in_order(data: Resident, index: jax.Array, batch_size: int) -> Batch:
  """Batch number `index` of the split as it lies, for measuring on it."""
  indices = index * batch_size + jnp.arange(batch_size, dtype=jnp.int32)
  where = indices < data.size
  indices = jnp.minimum(indices, data.size - 1)
  return Batch(data.images[indices], data.labels[indices], where)


def stack_batches(
  split: Split, batch_size: int, mesh: Mesh, axis: str = "data"
) -> Batch:
  """A split as padded batches for evaluation, spread over a mesh axis.

  Returns:
    A `Batch` whose arrays have a leading axis: `[n, batch_size, ...]`.
  """
  total = len(split.labels)
  count = -(-total // batch_size)
  padding = count * batch_size - total
  spread = NamedSharding(mesh, PartitionSpec(None, axis))

  def stacked(array):
    array = np.pad(array, [(0, padding)] + [(0, 0)] * (array.ndim - 1))
    array = array.reshape(count, batch_size, *array.shape[1:])
    return jax.device_put(array, spread)

  return Batch(
    stacked(split.images),
    stacked(split.labels.astype(np.int32)),
    stacked(np.ones(total, bool)),
  )
