# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The one place that knows devices: a mesh, and where things live on it.

Axes are Auto: the compiler derives the collectives from where the inputs and
outputs of a jitted function are put.
"""

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
import numpy as np

from etf_jax.errors import InputError


def make_mesh(num_devices: int | None, batch_size: int) -> Mesh:
  """A mesh with one axis, `data`, over which batches are spread.

  Args:
    num_devices: use the first ones; None: all.
    batch_size: examples per step, to be divided among the devices.

  Raises:
    InputError: more devices than there are, or a batch they cannot share.
  """
  devices = jax.devices()
  if num_devices is not None and not 1 <= num_devices <= len(devices):
    raise InputError(
      f"config.devices={num_devices} must lie in 1..{len(devices)}, the"
      f" {devices[0].platform} devices that are here"
    )
  devices = devices[:num_devices]
  if batch_size < 1 or batch_size % len(devices):
    raise InputError(
      f"config.batch_size={batch_size} must be a positive multiple of the"
      f" {len(devices)} devices; change it, or set config.devices"
    )
  return Mesh(np.asarray(devices), ("data",))


def replicated(mesh: Mesh) -> NamedSharding:
  """A whole copy on every device."""
  return NamedSharding(mesh, PartitionSpec())


def batch_sharded(mesh: Mesh) -> NamedSharding:
  """The leading axis spread over the devices."""
  return NamedSharding(mesh, PartitionSpec("data"))


def padded(size: int, mesh: Mesh) -> int:
  """The smallest multiple of the number of devices that holds `size`."""
  return -(-size // mesh.size) * mesh.size
