# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Training: load the data, train every seed, and return the results.

    results = train(config, "runs/first")

`etf_jax.train` adds the reports and the table, `python -m etf_jax.main` is that
function behind a command line.
"""

from collections.abc import Callable, Sequence
import os
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from etf_jax import data
from etf_jax.runs import console, data_record, directory, identity
from etf_jax.training import loop
from etf_jax.training.config import check_config
from etf_jax.training.parallel import compilation_cache, distributed
from etf_jax.training.setup import make_trainer


class TrainResult(NamedTuple):
  """The result of one seed.

  Attributes:
    seed: of the run.
    workdir: directory of the run.
    last: test metrics after the last step, by name; {} but in process 0.
    best: test metrics of the best evaluation; {} but in process 0.
  """

  seed: int
  workdir: Path
  last: dict
  best: dict


def train(
  config: ConfigDict,
  workdir: str | os.PathLike | None = None,
  *,
  report: Callable[[Sequence[Path], Path], Any] | None = None,
) -> list[TrainResult]:
  """Train every seed of a config.

  Args:
    config: as configs/base.py describes it.
    workdir: directory of the run; of several seeds the one above their
      directories. None: `runs/<name>-<method>-<hash>`.
    report: (run directories, path of their page), called in process 0 after
      each seed, and at the end for all, where `config.report.html`.

  Returns:
    The result of each seed.

  Raises:
    InputError: what the user can mend, in one line.
    distributed.Preempted: asked to stop by SIGTERM; the state is saved.
  """
  check_config(config)
  config = identity.with_absolute_paths(config)
  compilation_cache.use_cache(config.compilation_cache)
  distributed.check_same(identity.shared_facts(config))
  above = None if workdir is None else os.path.expanduser(workdir)
  record = distributed.from_writer(
    lambda: data_record.find((above, config.init_from), config.seeds)
  )
  dataset = data.load(config.data, record)
  distributed.check_same(
    {
      "images of each class of the data": dataset.class_counts.tolist(),
      "images of the data (by a hash)": data_record.digest(dataset.record),
    }
  )
  trainer = make_trainer(config, dataset)
  config = trainer.setup.config
  workdirs = {
    seed: directory.choose(config, above, seed, dataset.record)
    for seed in config.seeds
  }
  writes = distributed.is_writer()
  reports = report if writes and config.report.html else None
  trained, size = [], config.pack_seeds
  for first in range(0, len(config.seeds), size):
    seeds = config.seeds[first : first + size]
    for seed in seeds:
      if writes:
        line = f"{config.name} {config.method} seed {seed}"
        console.say(f"{line} in {workdirs[seed]}")
    finals = loop.train_seeds(trainer, {s: workdirs[s] for s in seeds})
    for seed, final in finals.items():
      place = workdirs[seed]
      trained.append(
        TrainResult(seed, place, final.get("last", {}), final.get("best", {}))
      )
      if reports:
        reports([place], place / "report.html")
  if reports and len(workdirs) > 1:
    places = list(workdirs.values())
    reports(places, Path(os.path.commonpath(places), "report.html"))
  return trained
