# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Training from Python: load the data, train every seed, report.

    import etf_jax
    from etf_jax.configs import digits_lt

    config = digits_lt.get_config()
    config.total_epochs = 20.0
    (result,) = etf_jax.train(config, "runs/first")
    print(result.last["accuracy"], result.workdir)

`python -m etf_jax.main` is this function behind a command line. In a notebook
the same cell again continues a run that was interrupted, or returns the result
that is there.
"""

import os
from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict

from etf_jax import data
from etf_jax.reporting import report, results
from etf_jax.runs import console, data_record, directory, identity
from etf_jax.training import loop
from etf_jax.training.config import check_config
from etf_jax.training.parallel import compilation_cache, distributed
from etf_jax.training.records import recorder
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
  config: ConfigDict, workdir: str | os.PathLike | None = None
) -> list[TrainResult]:
  """Train every seed of a config, write reports and print the table.

  Args:
    config: as configs/base.py describes it.
    workdir: directory of the run; of several seeds the one above their
      directories. None: `runs/<name>-<method>-<hash>`.

  Returns:
    The result of each seed.

  Raises:
    InputError: what the user can mend, in one line.
    distributed.Preempted: asked to stop by SIGTERM; the state is saved.
  """
  check_config(config)
  config = identity.with_absolute_paths(config)
  compilation_cache.use_cache(config)
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
  trained = []
  for seeds in _groups(workdirs, config.pack_seeds):
    for seed in seeds:
      _print(f"{config.name} {config.method} seed {seed} in {workdirs[seed]}")
    finals = loop.train_seeds(trainer, {s: workdirs[s] for s in seeds})
    for seed, final in finals.items():
      trained.append(
        TrainResult(
          seed, workdirs[seed], final.get("last", {}), final.get("best", {})
        )
      )
      _report(config, [workdirs[seed]], workdirs[seed])
  directories = list(workdirs.values())
  if len(directories) > 1:
    _report(config, directories, Path(os.path.commonpath(directories)))
  if distributed.is_writer():
    _print(results.text(directories))
  return sorted(trained, key=lambda result: config.seeds.index(result.seed))


def _print(line: str) -> None:
  if distributed.is_writer():
    console.say(line)


def _report(config: ConfigDict, workdirs: list[Path], folder: Path) -> None:
  if distributed.is_writer() and config.report.html:
    report.write(workdirs, folder / "report.html")


def _groups(workdirs: dict[int, Path], size: int) -> list[list[int]]:
  """Group the seeds to be packed: at most `size` that stand at the same step.

  They keep their order as far as that goes.
  """
  steps = dict.fromkeys(workdirs, 0)
  if size > 1:
    newest = distributed.from_writer(
      lambda: [recorder.newest_step(place) for place in workdirs.values()]
    )
    steps = dict(zip(workdirs, newest, strict=True))
  groups = []
  for step in sorted(set(steps.values())):
    seeds = [seed for seed in workdirs if steps[seed] == step]
    groups += [seeds[i : i + size] for i in range(0, len(seeds), size)]
  return groups
