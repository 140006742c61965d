# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Time of measuring neural collapse against that of training."""

import argparse
import time
from typing import Any

from etf_jax.benchmarks import report as reports


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """Add the options of `collapse`."""
  reports.add_config(parser)


def run(options: argparse.Namespace) -> list[dict[str, Any]]:
  """Epochs of training, evaluations and measurements, in turns."""
  # They need the whole trainer; the other commands start without it.
  from etf_jax import data
  from etf_jax.benchmarks import steps
  from etf_jax.training import durations, experiment

  config = steps.parse(options)
  run = experiment.create(config, data.load(config.data))
  trained = steps.start(run, run.open_feed, config.seeds[0])

  def epoch():
    return trained.go(run.epoch.steps)

  arms = {
    "epoch": epoch,
    "evaluation": lambda: [
      run.evaluate(trained.state().eval_variables, split)
      for split in run.splits
    ],
    "measurement": lambda: [
      run.measure(trained.state().eval_variables, split)
      for split in config.collapse.splits
    ],
  }
  begun = time.perf_counter()
  epoch()
  arms["measurement"]()
  compiled = time.perf_counter() - begun
  taken = reports.time_in_turns(
    arms, blocks=options.blocks, seconds=options.seconds
  )
  row = {name: reports.summary(seconds) for name, seconds in taken.items()}
  # A measured split is not evaluated again.
  measured = set(config.collapse.splits)
  saved = row["evaluation"]["ms"] if measured >= set(run.splits) else 0.0
  extra = row["measurement"]["ms"] - saved
  every, evaluations = (
    max(1, durations.steps(node, "every", run.epoch)) / run.epoch.steps
    for node in (config.collapse, config.eval)
  )
  training = every * (
    row["epoch"]["ms"] + row["evaluation"]["ms"] / evaluations
  )
  return [
    row
    | {
      "config": options.config,
      "method": config.method,
      "every_epochs": every,
      "first_seconds": compiled,
      "extra_ms": extra,
      "share": extra / training,
    }
  ]


def table(results: list[dict[str, Any]]) -> list[str]:
  """The lines that are printed."""
  lines = []
  for row in results:
    lines.append(f"{row['config']}, {row['method']}: median (range) in ms")
    for name in ("epoch", "evaluation", "measurement"):
      span = f"({row[name]['ms_min']:.4g}-{row[name]['ms_max']:.4g})"
      lines.append(f"  {name:<12} {row[name]['ms']:>9.4g} {span}")
    lines.append(
      f"measured every {row['every_epochs']:g} epochs, in place of an"
      f" evaluation: {row['extra_ms']:.4g} ms more, {row['share']:.1%} of the"
      " time of training"
    )
  return lines
