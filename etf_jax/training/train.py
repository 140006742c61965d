# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""All runs of an experiment: load the data, train every seed, report."""

import os
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from etf_jax import data
from etf_jax.errors import InputError
from etf_jax.reporting import report, results
from etf_jax.runs import directory
from etf_jax.training import experiment as experiments
from etf_jax.training import loop, objectives, sweeps
from etf_jax.training.parallel import compilation_cache, distributed
from etf_jax.training.records import recorder


def run(config: ConfigDict, workdir: str | None) -> list[Path]:
  """Train every run of a config and reports on them.

  Args:
    config: as configs/base.py describes it.
    workdir: see `directory.choose`.

  Returns:
    The directory of each run.

  Raises:
    InputError: what the user can mend, in one line.
  """
  objectives.check_choices(config)
  compilation_cache.use_cache(config)
  distributed.check_same(directory.shared_facts(config))
  seeds = tuple(config.seeds)
  distinct = len(set(seeds)) == len(seeds) > 0
  if not distinct or not all(type(seed) is int for seed in seeds):
    raise InputError(
      f"config.seeds={seeds} must be different whole numbers, as in 0,1,2"
    )
  datasets = _load(config)
  counts = [dataset.class_counts.tolist() for dataset in datasets]
  distributed.check_same({"images of each class of the data": counts})
  experiment = experiments.create(config, datasets[0], datasets[1:])
  chosen, said = {}, {}
  for name in sweeps.names(config):
    own, seed = experiments.of_run(experiment, name)
    values, _ = sweeps.values_of(config, name)
    chosen[name] = directory.choose(own.config, workdir, seed, values)
    said[name] = " ".join(
      f"{field.replace('_', ' ')} {value}"
      for field, value in (values | {"seed": seed}).items()
    )
  for group in _groups(chosen, config.pack_seeds):
    for name, place in group.items():
      if distributed.is_writer():
        print(
          f"{config.name} {config.method} {said[name]} in {place}", flush=True
        )
    loop.train_together(experiment, group)
    for place in group.values():
      if distributed.is_writer() and config.report.html:
        report.write([place], place / "report.html")
  places = list(chosen.values())
  if distributed.is_writer():
    if len(places) > 1 and config.report.html:
      report.write(places, Path(os.path.commonpath(places), "report.html"))
    print(results.text(places))
  return places


def _load(config):
  """The data set, or that of each imbalance."""
  datasets = []
  for imbalance in config.imbalances or (config.data.imbalance,):
    own = config.data.copy_and_resolve_references()
    own.imbalance = imbalance
    datasets.append(data.load(own))
  return datasets


def _groups(places: dict[Any, Path], size: int) -> list[dict[Any, Path]]:
  """Run to be trained together: at most `size` that stand at the same step.

  They keep their order as far as that goes.
  """
  standing = dict.fromkeys(places, 0)
  if size > 1:
    found = distributed.from_writer(
      lambda: [recorder.standing(place) for place in places.values()]
    )
    standing = dict(zip(places, found, strict=True))
  groups = []
  for step in sorted(set(standing.values())):
    names = [name for name in places if standing[name] == step]
    groups += [
      {name: places[name] for name in names[first : first + size]}
      for first in range(0, len(names), size)
    ]
  return groups
