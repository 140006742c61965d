# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Whether the train step fits on the devices, known before the first step.

told = memory.check(lambda: lower_step(plan, open_feed), config, mesh)

The step is compiled once: the program that is looked at here is the one that
the first step then runs.
"""

from collections.abc import Callable
import re
from typing import NamedTuple

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from etf_jax.errors import InputError
from etf_jax.training.parallel import sharding

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
    """What hardly depends on the size of a batch."""
    return self.arguments + self.outputs - self.aliased + self.code

  @property
  def total(self) -> int:
    """All of it at once."""
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


def verdict(
  need: Needed,
  limit: int,
  batch_size: int,
  *,
  multiple: int = 1,
  accumulate_steps: int = 1,
) -> str | None:
  """One line if a step does not fit, None if it does.

  What fits instead is an estimate: temporaries are taken to be proportional to
  the images of a part of the batch, and all else to stay as it is.

  Args:
    need: of each device.
    limit: bytes that each device has for it.
    batch_size: images per step over all devices.
    multiple: parts of a batch hold a multiple of so many images.
    accumulate_steps: parts of a batch.
  """
  if need.total <= limit:
    return None
  does_not = (
    f"a step needs {need.total / _GB:.2f} GB on each device and has"
    f" {limit / _GB:.2f} GB: config.batch_size={batch_size} does not fit"
  )
  part = batch_size // accumulate_steps
  fits = int(part * max(0, limit - need.fixed) / max(1, need.temporaries))
  fits = fits // multiple * multiple
  if not fits:
    return (
      f"{does_not}, and by an estimate no other does: {need.fixed / _GB:.2f} GB"
      " are there whatever its size. Spread the state (config.mesh.fsdp), use"
      " more devices, or keep images off them (config.data.feed='stream')"
    )
  told = (
    f"{does_not}. By an estimate config.batch_size={fits * accumulate_steps}"
    " does"
  )
  for steps in range(accumulate_steps + 1, batch_size // multiple + 1):
    if batch_size % (steps * multiple) == 0 and batch_size // steps <= fits:
      return f"{told}, or this one with config.accumulate_steps={steps}"
  return told


def available(device: jax.Device, arguments: int) -> int | None:
  """Bytes that a device has for a program; None where nobody knows.

  Args:
    device: one that is here.
    arguments: bytes of the program's arguments, which may be there already.
  """
  stats = device.memory_stats() or {}
  limit = stats.get("bytes_limit")
  if not limit:
    return None
  return limit - max(0, stats.get("bytes_in_use", 0) - arguments)


def exhausted(error: Exception) -> tuple[int, int] | None:
  """Bytes of temporaries wanted and to be had, if a compiler lacked them.

  Args:
    error: what compiling raised.
  """
  text = str(error)
  sizes = re.findall(r"\((\d+(?:\.\d+)?)([KMGT]?)\)", text)
  if "RESOURCE_EXHAUSTED" not in text or len(sizes) < 2:
    return None
  wanted, limit = (round(float(n) * _UNITS[unit]) for n, unit in sizes[:2])
  return wanted, limit


def check(
  lower: Callable[[], jax.stages.Lowered], config: ConfigDict, mesh: Mesh
) -> str | None:
  """Compile the train step and compares what it needs with what there is.

  Args:
    lower: the step, see `plan.lower_step`; called only where devices
      tell their size, which CPUs do not.
    config: resolved; `batch_size` and `accumulate_steps` are read.
    mesh: the devices.

  Returns:
    One line to be shown, or None where there is nothing to compare.

  Raises:
    InputError: the step does not fit; see `verdict`.
  """
  devices = mesh.local_devices
  if any(available(device, 0) is None for device in devices):
    return None
  try:
    need = needed(lower().compile())
  except jax.errors.JaxRuntimeError as error:
    raise_if_exhausted(error, config, mesh)
    raise
  if need is None:
    return None
  limit = min(available(device, need.arguments) or 0 for device in devices)
  _refuse(need, limit, config, mesh)
  return (
    f"a step needs {need.total / _GB:.2f} GB of the {limit / _GB:.2f} GB on"
    " each device"
  )


def raise_if_exhausted(
  error: Exception, config: ConfigDict, mesh: Mesh
) -> None:
  """Turn a compiler's complaint that memory does not do into one line.

  It tells of the temporaries only, so that the estimate is a high one.

  Raises:
    InputError: that was the complaint; see `verdict`.
  """
  sizes = exhausted(error)
  if sizes is None:
    return
  wanted, limit = sizes
  need = Needed(0, 0, 0, wanted, 0)
  try:
    _refuse(need, limit, config, mesh)
  except InputError as refused:
    raise refused from error


def _refuse(need, limit, config, mesh):
  told = verdict(
    need,
    limit,
    config.batch_size,
    multiple=sharding.row_multiple(config, mesh) // config.accumulate_steps,
    accumulate_steps=config.accumulate_steps,
  )
  if told:
    raise InputError(told)
