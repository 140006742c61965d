# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A check, before the first step, that the train step fits on the devices.

line = memory.check(lambda: lower_step(setup, open_feed), 256, mesh)

The step is compiled once: the program that is looked at here is the one that
the first step then runs.
"""

from collections.abc import Callable
import re
from typing import NamedTuple

import jax
from jax.sharding import Mesh

from etf_jax.errors import InputError

_GB = 1e9
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


class Needed(NamedTuple):
  """Bytes that a compiled program wants on each device.

  Attributes:
    arguments: what it is given: the state, and images that are resident.
    outputs: what it returns ...
    aliased: ... and how much of that is in the place of donated arguments.
    temporaries: the most that lives in between.
    code: the program itself.
  """

  arguments: int
  outputs: int
  aliased: int
  temporaries: int
  code: int

  @property
  def fixed(self) -> int:
    """Return the bytes that hardly depend on the size of a batch."""
    return self.arguments + self.outputs - self.aliased + self.code

  @property
  def total(self) -> int:
    """Return all bytes."""
    return self.fixed + self.temporaries


def needed(compiled: jax.stages.Compiled) -> Needed | None:
  """Return the bytes of a compiled program; None if nobody counts them."""
  stats = compiled.memory_analysis()
  if stats is None:
    return None
  return Needed(
    stats.argument_size_in_bytes,
    stats.output_size_in_bytes,
    stats.alias_size_in_bytes,
    stats.temp_size_in_bytes,
    stats.generated_code_size_in_bytes,
  )


def refuse_excess(need: Needed, limit: int, batch_size: int) -> None:
  """Refuse a step that does not fit.

  Args:
    need: bytes on each device.
    limit: bytes that each device has for the step.
    batch_size: of the run, for the message.

  Raises:
    InputError: it does not fit.
  """
  if need.total <= limit:
    return
  raise InputError(
    f"config.batch_size={batch_size} does not fit: a step needs"
    f" {need.total / _GB:.2f} GB on each device, {need.fixed / _GB:.2f} GB of"
    f" it whatever the batch, and has {limit / _GB:.2f} GB; lower it, raise"
    " config.accumulate_steps or config.mesh.fsdp, use more devices, or keep"
    " images off them (config.data.feed='stream')"
  )


def available(device: jax.Device, arguments: int) -> int | None:
  """Return the bytes that a device has for a program; None if unknown.

  Args:
    device: one that is here.
    arguments: bytes of the program's arguments, which may be there already.
  """
  stats = device.memory_stats() or {}
  limit = stats.get("bytes_limit")
  if not limit:
    return None
  return limit - max(0, stats.get("bytes_in_use", 0) - arguments)


def check(
  lower: Callable[[], jax.stages.Lowered], batch_size: int, mesh: Mesh
) -> str | None:
  """Compile the train step and compare its needs with the devices' memory.

  Args:
    lower: the step, see `setup.lower_step`; called only where devices
      tell their size, which CPUs do not.
    batch_size: of the run, for the message.
    mesh: the devices.

  Returns:
    One line to be shown, or None where there is nothing to compare.

  Raises:
    InputError: the step does not fit; see `refuse_excess`.
  """
  devices = mesh.local_devices
  if any(available(device, 0) is None for device in devices):
    return None
  try:
    need = needed(lower().compile())
  except jax.errors.JaxRuntimeError as error:
    raise_if_exhausted(error, batch_size)
    raise
  if need is None:
    return None
  limits = [available(device, need.arguments) for device in devices]
  limit = min(limit for limit in limits if limit is not None)
  refuse_excess(need, limit, batch_size)
  return (
    f"a step needs {need.total / _GB:.2f} GB of the {limit / _GB:.2f} GB on"
    " each device"
  )


def raise_if_exhausted(error: Exception, batch_size: int) -> None:
  """Turn a compiler's lack of memory for temporaries into one line.

  Raises:
    InputError: memory was lacking; see `refuse_excess`.
  """
  text = str(error)
  sizes = re.findall(r"\((\d+(?:\.\d+)?)([KMGT]?)\)", text)
  if "RESOURCE_EXHAUSTED" not in text or len(sizes) < 2:
    return
  wanted, limit = (round(float(n) * _UNITS[unit]) for n, unit in sizes[:2])
  try:
    refuse_excess(Needed(0, 0, 0, wanted, 0), limit, batch_size)
  except InputError as refused:
    raise refused from error
