# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Durations in epochs, steps or examples, converted to steps in one place.

A duration NAME is three fields of a config node, NAME_epochs, NAME_steps and
NAME_examples; the finest unit that is set decides. A node may have a floor
under the other two, NAME_min_steps.
"""

import math
from typing import NamedTuple

from ml_collections import ConfigDict

from etf_jax.errors import InputError


class Epoch(NamedTuple):
  """The size of an epoch.

  Attributes:
    examples: training examples.
    batch_size: examples per step; the last step of an epoch takes what is left.
  """

  examples: int
  batch_size: int

  @property
  def steps(self) -> int:
    """Return the steps of an epoch."""
    return -(-self.examples // self.batch_size)


def steps(
  node: ConfigDict, name: str, epoch: Epoch, default: int | None = None
) -> int:
  """Convert the duration `name` of a config node to whole steps, rounded up.

  Args:
    node: of the config.
    name: NAME of the duration.
    epoch: size of an epoch.
    default: steps where no unit is set; None: one must be.

  Raises:
    InputError: none of its fields is set, or the one that decides, or the
      floor, is negative or not finite.
  """
  for unit, steps_per_unit in (
    ("steps", 1),
    ("examples", 1 / epoch.batch_size),
    ("epochs", epoch.steps),
  ):
    field = f"{name}_{unit}"
    value = node.get(field)
    if value is None:
      continue
    if not 0 <= value < math.inf:
      raise InputError(f"{field}={value} must not be negative, infinite or NaN")
    # 0.1 epochs of 230 steps are 23 steps, not the 24 of a rounding error.
    whole = math.ceil(value * steps_per_unit - 1e-6)
    floor = node.get(f"{name}_min_steps") or 0
    if floor < 0:
      raise InputError(f"{name}_min_steps={floor} must not be negative")
    return whole if unit == "steps" else max(whole, floor)
  if default is not None:
    return default
  raise InputError(
    f"{name} has no length: set {name}_epochs, {name}_steps or {name}_examples"
  )
