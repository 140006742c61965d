# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""All runs of an experiment: load the data, train every seed, report."""

import itertools
import os
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from etf_jax import data
from etf_jax.errors import InputError
from etf_jax.reporting import report, tables
from etf_jax.training import (
  compilation,
  distributed,
  loop,
  objectives,
  records,
  workdir,
)
from etf_jax.training import experiment as experiments


def run(config: ConfigDict, directory: str | None) -> list[Path]:
  """Trains the seeds of a config, at each learning rate, and reports on them.

  Args:
    config: as configs/base.py describes it.
    directory: see `workdir.choose`.

  Returns:
    The directory of each run.

  Raises:
    InputError: what the user can mend, in one line.
  """
  objectives.check_choices(config)
  compilation.use_cache(config)
  distributed.check_same(workdir.shared_facts(config))
  seeds = tuple(config.seeds)
  distinct = len(set(seeds)) == len(seeds) > 0
  if not distinct or not all(type(seed) is int for seed in seeds):
    raise InputError(
      f"config.seeds={seeds} must be different whole numbers, as in 0,1,2"
    )
  dataset = data.load(config.data)
  counts = dataset.class_counts.tolist()
  distributed.check_same({"images of each class of the data": counts})
  experiment = experiments.create(config, dataset)
  names, rates = seeds, config.learning_rates
  if rates:
    names = itertools.product(map(float, rates), seeds)
  chosen = {}
  for name in names:
    own, seed = experiments.of_run(experiment, name)
    rate = own.config.optimizer.learning_rate if rates else None
    chosen[name] = workdir.choose(own.config, directory, seed, rate)
  for group in _groups(chosen, config.pack_seeds):
    for name, place in group.items():
      if distributed.is_writer():
        said = f"seed {name}"
        if rates:
          said = f"learning rate {name[0]} seed {name[1]}"
        print(f"{config.name} {config.method} {said} in {place}", flush=True)
    loop.train_together(experiment, group)
    for place in group.values():
      if distributed.is_writer() and config.report.html:
        report.write([place], place / "report.html")
  places = list(chosen.values())
  if distributed.is_writer():
    if len(places) > 1 and config.report.html:
      report.write(places, Path(os.path.commonpath(places), "report.html"))
    print(tables.text(places))
  return places


def _groups(places: dict[Any, Path], size: int) -> list[dict[Any, Path]]:
  """Runs to be trained together: at most `size` that stand at the same step.

  They keep their order as far as that goes.
  """
  standing = dict.fromkeys(places, 0)
  if size > 1:
    found = distributed.from_writer(
      lambda: [records.standing(place) for place in places.values()]
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
