# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Time of the collapse measurement relative to the time of training."""

import argparse
import time
from typing import Any

from etf_jax.benchmarks import timing


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """Add the options of `collapse`."""
  timing.add_config(parser)


def run(options: argparse.Namespace) -> list[dict[str, Any]]:
  """Time epochs, evaluations and measurements in turns; one row."""
  # They import the trainer, which the other commands start without.
  from etf_jax import data
  from etf_jax.benchmarks import steps
  from etf_jax.training import durations
  from etf_jax.training.setup import make_trainer

  config = steps.parse(options)
  trainer = make_trainer(config, data.load(config.data))
  trained = steps.start(trainer.setup, trainer.open_feed, config.seeds[0])

  def on_splits(function, splits):
    variables = trained.state().eval_variables
    return [function(variables, split) for split in splits]

  arms = {
    "epoch": lambda: trained.go(trainer.setup.epoch.steps),
    "evaluation": lambda: on_splits(trainer.evaluate, trainer.splits),
    "measurement": lambda: on_splits(trainer.measure, config.collapse.splits),
  }
  started = time.perf_counter()
  arms["epoch"]()
  arms["measurement"]()
  first_seconds = time.perf_counter() - started
  taken = timing.take_turns(
    {name: timing.synchronized(call) for name, call in arms.items()},
    blocks=options.blocks,
    seconds=options.seconds,
  )
  row = {name: timing.summary(seconds) for name, seconds in taken.items()}
  # A measured split is not evaluated again.
  measured = set(config.collapse.splits)
  saved = row["evaluation"]["ms"] if measured >= set(trainer.splits) else 0.0
  extra = row["measurement"]["ms"] - saved
  epoch = trainer.setup.epoch
  every, evaluations = (
    max(1, durations.steps(node, "every", epoch)) / epoch.steps
    for node in (config.collapse, config.eval)
  )
  training = every * (
    row["epoch"]["ms"] + row["evaluation"]["ms"] / evaluations
  )
  about = {
    "config": options.config,
    "method": config.method,
    "every_epochs": every,
    "first_seconds": first_seconds,
    "extra_ms": extra,
    "share": extra / training,
  }
  return [row | about]


def table(results: list[dict[str, Any]]) -> list[str]:
  """Return the printed lines."""
  lines = []
  for row in results:
    names = ("epoch", "evaluation", "measurement")
    lines += [
      f"{row['config']}, {row['method']}",
      "",
      *timing.table(
        ["arm", "ms: median (range)"],
        [[name, timing.spread(row[name], "ms")] for name in names],
      ),
      "",
      f"measured every {row['every_epochs']:g} epochs in place of an"
      f" evaluation: {row['extra_ms']:.4g} ms more, {row['share']:.1%} of the"
      " time of training",
    ]
  return lines
