# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""All runs of an experiment: load the data, train every seed, report."""

from pathlib import Path

from ml_collections import ConfigDict

from etf_jax import data
from etf_jax.errors import InputError
from etf_jax.reporting import report, tables
from etf_jax.training import distributed, loop, objectives, workdir
from etf_jax.training import experiment as experiments


def run(config: ConfigDict, directory: str | None) -> list[Path]:
  """Trains the seeds of a config, one after the other, and reports on them.

  Args:
    config: as configs/base.py describes it.
    directory: see `workdir.choose`.

  Returns:
    The directory of each seed's run.

  Raises:
    InputError: what the user can mend, in one line.
  """
  objectives.check_choices(config)
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
  places = [
    workdir.choose(experiment.config, directory, seed) for seed in config.seeds
  ]
  for seed, place in zip(config.seeds, places, strict=True):
    if distributed.is_writer():
      print(f"{config.name} {config.method} seed {seed} in {place}", flush=True)
    loop.train(experiment, seed, place)
    if distributed.is_writer() and config.report.html:
      report.write([place], place / "report.html")
  if distributed.is_writer():
    if len(places) > 1 and config.report.html:
      report.write(places, places[0].parent / "report.html")
    print(tables.text(places))
  return places
