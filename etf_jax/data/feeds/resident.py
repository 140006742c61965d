# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The resident feed: the decoded data set lives on the devices as uint8.

data = resident.put(dataset.train, mesh)
batch = resident.take(data, order, start, size=128, padded_size=128)
feed = resident.in_batches(dataset.test, 1000, mesh)
"""

from collections.abc import Callable, Iterable, Sequence
import dataclasses
import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
import numpy as np

from etf_jax.data.batch import Batch
from etf_jax.data.dataset import Split

# A copy on every device makes gathering a batch cheapest; above so many bytes
# each device holds its share of the images instead.
REPLICATED_BYTES = 2**31
_LONGEST_ROW = 2**15


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=("images", "labels", "sizes"),
  meta_fields=("image_shape",),
)
@dataclasses.dataclass(frozen=True)
class Resident:
  """A split on the devices.

  Attributes:
    images: uint8 `[M * P, H * W * C / P]`, M >= N: the first N images count,
      each in P pieces, see `pieces`.
    labels: int32 `[N]`.
    sizes: int32 `[N, 2]` or None, see `Batch`.
    image_shape: `(H, W, C)`.
  """

  images: jax.Array
  labels: jax.Array
  sizes: jax.Array | None
  image_shape: tuple[int, int, int]

  @property
  def size(self) -> int:
    """N."""
    return self.labels.shape[0]


class EvalBatches(NamedTuple):
  """A split in batches, for evaluation.

  Attributes:
    parts: () -> pairs of a pytree of arrays and an index, one a batch.
    take: (arrays, index) -> `Batch`; it is traced.
    references: an image of each class, for class k the k-th; of any class
      where the split has none.
  """

  parts: Callable[[], Iterable[tuple[Any, int]]]
  take: Callable[[Any, jax.Array], Batch]
  references: Split


def place(array: np.ndarray, sharding: jax.sharding.Sharding) -> jax.Array:
  """Put what every process has where a sharding says.

  Each device is given its part. `jax.device_put` of the whole would first
  compare it between processes.
  """
  where = sharding.addressable_devices_indices_map(array.shape)
  parts = [np.asarray(array[index]) for index in where.values()]
  with jax.ensure_compile_time_eval():  # Also for whoever traces a step.
    parts = jax.device_put(parts, list(where))
  return jax.make_array_from_single_device_arrays(array.shape, sharding, parts)


def batch_spec(mesh: Mesh) -> PartitionSpec:
  """Spread the leading axis over all mesh axes but `seed` and `model`."""
  names = tuple(n for n in mesh.axis_names if n not in ("seed", "model"))
  return PartitionSpec(names)


def joined(splits: Sequence[Split]) -> Split:
  """Concatenate splits."""
  if len(splits) == 1:  # whose images may stay in a memory-mapped file
    return splits[0]
  images, labels, sizes = (
    [getattr(split, name) for split in splits]
    for name in ("images", "labels", "sizes")
  )
  return Split(
    np.concatenate(images),
    np.concatenate(labels),
    None if sizes[0] is None else np.concatenate(sizes),
  )


def put(
  split: Split, mesh: Mesh, replicated_bytes: int = REPLICATED_BYTES
) -> Resident:
  """Copy a split to the devices of the mesh.

  Args:
    split: uint8 images; they may lie in a memory-mapped file.
    mesh: the devices.
    replicated_bytes: images of more bytes are spread over the devices.
  """
  everywhere = NamedSharding(mesh, PartitionSpec())
  sizes = split.sizes
  return Resident(
    _put_images(split.images, mesh, replicated_bytes),
    place(np.asarray(split.labels, np.int32), everywhere),
    None if sizes is None else place(sizes, everywhere),
    tuple(split.images.shape[1:]),
  )


def shapes(
  split: Split, mesh: Mesh, replicated_bytes: int = REPLICATED_BYTES
) -> Resident:
  """Return the result of `put`, as `jax.ShapeDtypeStruct`s; nothing is copied.

  The images may be one as well, and the devices of the mesh need not be here.
  """
  count, *image_shape = split.images.shape
  count, spec = _spread(
    count, math.prod(split.images.shape), mesh, replicated_bytes
  )
  pixels = math.prod(image_shape)
  parts = pieces(pixels)
  images = NamedSharding(mesh, spec)
  everywhere = NamedSharding(mesh, PartitionSpec())

  def shape(sizes, dtype, sharding):
    return jax.ShapeDtypeStruct(sizes, dtype, sharding=sharding)

  examples = len(split.labels)
  return Resident(
    shape((count * parts, pixels // parts), split.images.dtype, images),
    shape((examples,), np.int32, everywhere),
    None if split.sizes is None else shape((examples, 2), np.int32, everywhere),
    tuple(image_shape),
  )


def pieces(pixels: int) -> int:
  """Return in how many rows of equal length the devices hold an image.

  Rows, as TPUs would otherwise keep the pixels of an image far apart, and copy
  all images in each step to gather some. From longer rows than these they
  gather piece by piece, for which they copy all images as well.
  """
  return next(
    number
    for number in range(1, pixels + 1)
    if pixels % number == 0 and pixels // number <= _LONGEST_ROW
  )


def _spread(count, size, mesh, replicated_bytes):
  """Images with those that fill up the shares, and where they lie."""
  # The runs along `seed` share them, and nothing else.
  names = tuple(name for name in mesh.axis_names if name != "seed")
  shares = math.prod(mesh.shape[name] for name in names)
  if size <= replicated_bytes or shares == 1:
    return count, PartitionSpec()
  return -(-count // shares) * shares, PartitionSpec(names)


def _put_images(images, mesh, replicated_bytes):
  pixels = math.prod(images.shape[1:])
  count, spec = _spread(len(images), images.nbytes, mesh, replicated_bytes)
  parts = pieces(pixels)

  def part(index):
    first, last, _ = index[0].indices(count * parts)
    chosen = np.asarray(images[first // parts : last // parts])
    rows = chosen.reshape(-1, pixels // parts)
    return np.pad(rows, ((0, last - first - len(rows)), (0, 0)))

  return jax.make_array_from_callback(
    (count * parts, pixels // parts), NamedSharding(mesh, spec), part
  )


def take(
  data: Resident,
  order: jax.Array,
  start: jax.Array,
  *,
  size: int,
  padded_size: int,
) -> Batch:
  """Gather `size` examples of `order` from `start` on, and pad the batch.

  Padding repeats examples, which `where` excludes.
  """
  indices = jax.lax.dynamic_slice_in_dim(order, start, size)
  where = None
  if padded_size > size:
    indices = jnp.pad(indices, (0, padded_size - size))
    where = jnp.arange(padded_size) < size
  return _gather(data, indices, where)


def _gather(data, indices, where):
  sizes = None if data.sizes is None else data.sizes[indices]
  parts = math.prod(data.image_shape) // data.images.shape[1]
  rows = indices[:, None] * parts + jnp.arange(parts, dtype=indices.dtype)[None]
  images = data.images[rows.reshape(-1)].reshape(-1, *data.image_shape)
  return Batch(images, data.labels[indices], where, sizes)


def references(split: Any, num_classes: int) -> Split:
  """Return the first image of each class; any for an absent class."""
  present, first = np.unique(split.labels, return_index=True)
  chosen = np.zeros(num_classes, np.int64)
  chosen[present] = first
  return split.choose(chosen)


def in_order(
  split: Split,
  data: Resident,
  batch_size: int,
  num_classes: int,
  mesh: Mesh,
  first: int = 0,
) -> EvalBatches:
  """Batch a training split, which is on the devices anyway, as it lies.

  Args:
    split: N images.
    data: those images, perhaps among others.
    batch_size: multiple of the number of devices.
    num_classes: K.
    mesh: the devices.
    first: index in `data` of the first image.
  """
  end = first + len(split.labels)

  def take_in_order(data, start):
    indices = start + jnp.arange(batch_size, dtype=jnp.int32)
    batch = _gather(data, jnp.minimum(indices, end - 1), indices < end)
    return jax.lax.with_sharding_constraint(
      batch, NamedSharding(mesh, batch_spec(mesh))
    )

  return EvalBatches(
    lambda: ((data, start) for start in range(first, end, batch_size)),
    take_in_order,
    references(split, num_classes),
  )


def in_batches(
  split: Split, batch_size: int, num_classes: int, mesh: Mesh
) -> EvalBatches:
  """Split the images into padded batches; arguments as of `in_order`."""
  total = len(split.labels)
  count = -(-total // batch_size)
  padding = count * batch_size - total
  spread = NamedSharding(mesh, PartitionSpec(None, *batch_spec(mesh)))

  def stacked(array):
    array = np.pad(array, [(0, padding)] + [(0, 0)] * (array.ndim - 1))
    array = array.reshape(count, batch_size, *array.shape[1:])
    return place(array, spread)

  batches = Batch(
    stacked(split.images),
    stacked(split.labels.astype(np.int32)),
    stacked(np.ones(total, bool)),
    None if split.sizes is None else stacked(split.sizes),
  )
  return EvalBatches(
    lambda: ((batches, index) for index in range(count)),
    lambda batches, index: jax.tree.map(lambda x: x[index], batches),
    references(split, num_classes),
  )
