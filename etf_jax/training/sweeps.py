# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The runs of a config: every seed at each value of what is swept.

names(config)    # [0, 1], or [(0.1, 0), (0.1, 1), (0.2, 0), (0.2, 1)]
own_config, seed = alone(config, (0.2, 0))

A run is named by its seed, and by its values before it where there are any. It
is the run that its own config gives, wherever it is trained.
"""

from collections.abc import Sequence
import dataclasses
import itertools

from ml_collections import ConfigDict

from etf_jax.data.sampling import Sampler
from etf_jax.errors import InputError

# What lists values, and the section and name of the field that has one of them.
_SWEPT = {
  "imbalances": ("data", "imbalance"),
  "learning_rates": ("optimizer", "learning_rate"),
}

Name = int | tuple[float | int, ...]


def names(config: ConfigDict) -> list[Name]:
  """All runs, those of one value after another.

  Args:
    config: as configs/base.py describes it.
  """
  values = [map(float, config[swept]) for swept in _SWEPT if config[swept]]
  if not values:
    return list(config.seeds)
  return list(itertools.product(*values, config.seeds))


def values_of(config: ConfigDict, name: Name) -> tuple[dict[str, float], int]:
  """A run's own values, by the names of their fields, and its seed.

  Args:
    config: of all runs.
    name: of one.
  """
  *values, seed = name if isinstance(name, tuple) else (name,)
  fields = [field for swept, (_, field) in _SWEPT.items() if config[swept]]
  return dict(zip(fields, values, strict=True)), seed


def alone(config: ConfigDict, name: Name) -> tuple[ConfigDict, int]:
  """The config that gives a run by itself, and the run's seed.

  Args:
    config: of all runs.
    name: of one.
  """
  values, seed = values_of(config, name)
  if not values:
    return config, seed
  config = config.copy_and_resolve_references()
  for swept, (section, field) in _SWEPT.items():
    config[swept] = ()
    if field in values:
      config[section][field] = values[field]
  return config, seed


def follow_each_other(
  samplers: Sequence[Sampler], imbalances: Sequence[float]
) -> list[Sampler]:
  """The samplers of data sets that lie on the devices one behind the other.

  Args:
    samplers: of each data set by itself.
    imbalances: of each.

  Raises:
    InputError: their epochs are not of one size, which a program needs.
  """
  sizes = [sampler.size for sampler in samplers]
  if len(set(sizes)) > 1:
    raise InputError(
      f"config.imbalances={tuple(imbalances)} give epochs of"
      f" {', '.join(map(str, sizes))} images, and runs of one program need"
      " equally many: set config.data.images, or give each a command of its own"
    )
  ends = itertools.accumulate(len(sampler.labels) for sampler in samplers)
  return [
    dataclasses.replace(sampler, first=end - len(sampler.labels))
    for sampler, end in zip(samplers, ends, strict=True)
  ]
