# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The one place that knows devices: a mesh, and where things live on it.

Batches are spread over `data` x `fsdp`; parameters and what belongs to them
(the optimiser's state, averages, prototypes) are cut along `fsdp`, and a
classifier's classes along `model`. Runs that are trained in one program are
spread along `seed`.

Axes are Auto: the compiler derives the collectives from where the inputs and
outputs of a jitted function are put.

  mesh = make_mesh(None, batch_size=256, fsdp=4)
  where = of_state(jax.eval_shape(init, key), mesh)
  state = jax.jit(init, out_shardings=where)(key)
"""

from collections.abc import Callable, Sequence
import math
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
import numpy as np

from etf_jax.data.feeds import resident
from etf_jax.errors import InputError

# Smaller arrays are copied: to gather them would cost more than it saves.
SMALLEST_CUT = 1024
# What has a column or an entry for each class.
_BY_CLASS = frozenset({"kernel", "bias", "prototypes"})


def make_mesh(
  num_devices: int | None,
  batch_size: int,
  *,
  seed: int = 1,
  data: int | None = None,
  fsdp: int = 1,
  model: int = 1,
  devices: Sequence[jax.Device] | None = None,
) -> Mesh:
  """Make a mesh with the axes `seed`, `data`, `fsdp` and `model`.

  Args:
    num_devices: use the first ones; None: all.
    batch_size: examples per step of a run, to be divided among `data` x `fsdp`.
    seed: devices along this axis.
    data: devices along this axis; None: as many as remain.
    fsdp: devices along this axis.
    model: devices along this axis.
    devices: to choose from; None: those that are here.

  Raises:
    InputError: more devices than there are, axes that do not make up the
      devices in use, or a batch they cannot share.
  """
  devices = jax.devices() if devices is None else list(devices)
  if num_devices is not None and num_devices > len(devices):
    raise InputError(
      f"config.devices={num_devices} must lie in 1..{len(devices)}, the"
      f" {devices[0].platform} devices that are here"
    )
  devices = devices[:num_devices]
  axes = {"seed": seed, "data": data, "fsdp": fsdp, "model": model}
  given = {name: size for name, size in axes.items() if size is not None}
  if seed == 1:
    del given["seed"]
  product = math.prod(given.values())
  if len(devices) % product or (data is not None and product != len(devices)):
    sizes = " x ".join(f"{name}={size}" for name, size in given.items())
    must = "divide" if data is None else "be"
    raise InputError(
      f"config.mesh: {sizes} makes {product}, which must {must} the"
      f" {len(devices)} devices in use; change it, or set config.devices"
    )
  flat = np.empty(len(devices), object)
  flat[:] = devices
  grid = flat.reshape(seed, -1, fsdp, model)
  hosts = np.vectorize(lambda device: device.process_index)(grid)
  if (hosts != hosts[..., :1]).any():
    raise InputError(
      f"config.mesh.model={model} must divide the devices of each host, as the"
      " devices of that axis are fed the same examples"
    )
  mesh = Mesh(grid, tuple(axes))
  shards = batch_shards(mesh)
  if batch_size % shards:
    whole = shards == mesh.size
    spread = "devices" if whole else "devices of the axes data x fsdp"
    raise InputError(
      f"config.batch_size={batch_size} must be a positive multiple of the"
      f" {shards} {spread}; change it, or set config.devices"
    )
  return mesh


def replicated(mesh: Mesh) -> NamedSharding:
  """Return the sharding of a whole copy on every device."""
  return NamedSharding(mesh, PartitionSpec())


def batch_sharded(mesh: Mesh) -> NamedSharding:
  """Return the sharding that spreads the leading axis over the devices."""
  return NamedSharding(mesh, resident.batch_spec(mesh))


def batch_shards(mesh: Mesh) -> int:
  """Return the number of parts that a batch is spread over."""
  return mesh.shape["data"] * mesh.shape["fsdp"]


def one_run(mesh: Mesh) -> Mesh:
  """Make a mesh of the same devices for one run.

  Their axis `seed` has joined `data`.
  """
  grid = mesh.devices.reshape(1, -1, *mesh.devices.shape[2:])
  return Mesh(grid, mesh.axis_names)


def padded(size: int, multiple: int) -> int:
  """Return the smallest multiple that holds `size`."""
  return -(-size // multiple) * multiple


def row_multiple(
  mesh: Mesh, size: int, steps: int = 1, group: int | None = None
) -> int:
  """Return the rows that training batches are padded to a multiple of.

  Args:
    mesh: the devices, which each part of a batch is spread over.
    size: `config.batch_size`.
    steps: `config.accumulate_steps`, parts of a batch.
    group: `config.bn_group_size`; a part consists of whole groups.

  Raises:
    InputError: `size` is not such a multiple.
  """
  shards, group = batch_shards(mesh), group or 1
  if size % (steps * shards):
    raise InputError(
      f"config.batch_size={size} must be a multiple of {steps * shards}, which"
      f" is accumulate_steps={steps} times the {shards} devices it is spread"
      " over"
    )
  if size // steps % group:
    part = f"its part of a step, {size // steps}," if steps > 1 else "it"
    raise InputError(
      f"config.batch_size={size}: {part} must be a multiple of"
      f" config.bn_group_size={group}"
    )
  return steps * math.lcm(shards, group)


def check_classes(mesh: Mesh, num_classes: int) -> None:
  """Refuse an axis `model` that would cut the classes unequally.

  Raises:
    InputError: it does.
  """
  if num_classes % mesh.shape["model"]:
    raise InputError(
      f"config.mesh.model={mesh.shape['model']} must divide the {num_classes}"
      " classes, which are cut along it"
    )


def cuts_state(mesh: Mesh) -> bool:
  """Return True if the state of a run is spread over the mesh."""
  return mesh.shape["fsdp"] * mesh.shape["model"] > 1


def of_state(tree: Any, mesh: Mesh) -> Any:
  """Return the sharding of each array of a training state, or of a part.

  Args:
    tree: of arrays or their shapes. The names in it tell a classifier's
      arrays, whose last axis, the classes', is cut along `model`. Of the other
      axes the longest that `fsdp` divides is cut along that.
    mesh: see `make_mesh`.

  Returns:
    The same tree of shardings.
  """
  return _shardings(tree, mesh, "fsdp")


def spreads_batch(mesh: Mesh | None) -> Callable[[Any], Any]:
  """Build what spreads a batch over the devices, inside a jitted function."""
  if mesh is None:
    return lambda batch: batch

  def spread(batch):
    where = batch_sharded(mesh)
    # Where `seed` has been taken out of the mesh, arrays live on what is left.
    if not jax.sharding.get_abstract_mesh().empty:
      where = where.spec
    return jax.lax.with_sharding_constraint(batch, where)

  return spread


def unrolls(mesh: Mesh | None) -> bool:
  """Return True if loops over steps or parts of them are to be unrolled.

  XLA's CPU backend runs convolutions some twenty times slower inside a loop.
  """
  if mesh is None:
    return jax.default_backend() == "cpu"
  return mesh.devices.flat[0].platform == "cpu"


def on_gpus(mesh: Mesh) -> bool:
  """Return True if the devices are GPUs, or a program is compiled for them."""
  return mesh.devices.flat[0].platform in ("cuda", "gpu")


def for_compute(mesh: Mesh | None) -> Callable[[Any], Any]:
  """Build what brings variables to where a step computes with them.

  Whole, but for the classes' axis: so a layer's weights are gathered where
  they are needed, the examples stay where they are, and gradients go back to
  where `of_state` keeps their parameters.
  """
  if mesh is None or not cuts_state(mesh):
    return lambda variables: variables

  def place(tree, axis):
    where = _shardings(tree, mesh, axis)
    return jax.lax.with_sharding_constraint(tree, where)

  @jax.custom_vjp
  def gather(variables):
    return place(variables, None)

  def scatter(_, gradients):
    # Summed as a whole first. Asked for the parts at once, the compiler cuts
    # each layer's gradient too, and goes over its activations for every part.
    return (place(place(gradients, None), "fsdp"),)

  gather.defvjp(lambda variables: (gather(variables), None), scatter)
  return gather


def _shardings(tree, mesh, axis):
  """Cut along `model` and, where `axis` is "fsdp", along that too."""

  def of_leaf(path, leaf):
    shape, spec = leaf.shape, [None] * leaf.ndim
    names = [getattr(key, "key", None) for key in path[-2:]]
    by_class = names[:1] == ["head"] and names[-1] in _BY_CLASS
    if mesh.shape["model"] > 1 and by_class:
      spec[-1] = "model"
    parts = mesh.shape[axis] if axis else 1
    if parts > 1 and math.prod(shape) >= SMALLEST_CUT:
      free = [
        (length, place)
        for place, length in enumerate(shape)
        if spec[place] is None and length % parts == 0
      ]
      if free:
        spec[max(free)[1]] = axis
    return NamedSharding(mesh, PartitionSpec(*spec))

  return jax.tree_util.tree_map_with_path(of_leaf, tree)
