# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Time of the train step of an experiment, and of a run around it.

    python -m etf_jax.benchmark train --config=etf_jax:cifar10_lt

Steps are compared with steps on an augmented batch, with one step a call and
with several seeds in one program; runs, each in a process, with their steps and
with a run that finds no compiled programs.
"""

import argparse
from collections.abc import Sequence
import pathlib
import tempfile
from typing import Any

from etf_jax.benchmarks import run as runs
from etf_jax.benchmarks import timing
from etf_jax.errors import InputError

_STEP, _FROZEN, _SINGLE = "step", "frozen batch", "1 step a call"
_MATMUL, _COPY = "matrix product", "copy"
_LEAST_EPOCHS = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """Add the options of `train`."""
  timing.add_config(parser)
  parser.add_argument(
    "--warmup", type=timing.size, default=20, help="untimed steps of each arm"
  )
  parser.add_argument(
    "--epochs", type=int, default=4, help="of the runs; 0: steps only"
  )
  parser.add_argument(
    "--pack_seeds",
    type=timing.sizes,
    default=[],
    help="also so many runs in one program, as in 2,4",
  )
  parser.set_defaults(seconds=2.0)


def run(options: argparse.Namespace) -> list[dict[str, Any]]:
  """Time runs and steps; a row for each.

  Raises:
    InputError: the config cannot be run.
  """
  if options.epochs and options.epochs < _LEAST_EPOCHS:
    raise InputError(
      f"--epochs={options.epochs}: the first epoch compiles and the last ends"
      f" the run; give {_LEAST_EPOCHS} or more, or 0 for steps only"
    )
  # They import the trainer, which the other commands start without.
  from etf_jax import data
  from etf_jax.benchmarks import steps

  config = steps.parse(options)
  dataset = data.load(config.data)  # prepared before a run is timed
  rows = []
  # Runs first: this process may then take all the memory of the devices.
  if options.epochs:
    rows.append(_runs(options, config))
  step = _steps(options, steps, config, dataset)
  rows.append(step)
  if options.epochs:
    rows[0] |= overhead(rows[0], step["arms"][_STEP]["ms"] / 1e3)
  return rows


def overhead(row: dict[str, Any], step_seconds: float) -> dict[str, float]:
  """Return the time of a run relative to its steps.

  Args:
    row: a run with its `warm` times.
    step_seconds: seconds of a step.

  Returns:
    "overhead": the whole run, from the start of its process, over its steps;
    "full_overhead": an estimate of that for the whole of the config's run, its
    further epochs taken to be like those between the first and the last.
  """
  warm, number = row["warm"]["seconds"], row["steps"]
  epoch_steps = row["epoch_steps"]
  epochs = number / epoch_steps
  epoch = (warm["last_epoch"] - warm["second_epoch"]) / (epochs - 2)
  further = row["full_steps"] / epoch_steps - epochs
  whole = warm["ended"] + further * epoch
  return {
    "overhead": warm["ended"] / (number * step_seconds),
    "full_overhead": whole / (row["full_steps"] * step_seconds),
  }


def _runs(options, config):
  """Time a run of a few epochs twice: nothing compiled before, and all."""
  arguments = [
    f"--config={options.config}",
    *options.fields,
    f"--config.seeds={config.seeds[0]},",
  ]
  with tempfile.TemporaryDirectory() as folder:
    cold, warm = (
      runs.timed(arguments, options.epochs, pathlib.Path(folder))
      for _ in range(2)
    )
  return {
    "part": "run",
    "epochs": options.epochs,
    "steps": cold["steps"],
    "epoch_steps": cold["epoch_steps"],
    "full_steps": max(cold["full_steps"], cold["steps"]),
    "cold": cold,
    "warm": warm,
    "warm_over_cold": warm["seconds"]["first_step"]
    / cold["seconds"]["first_step"],
    "again": len(warm["again"]),
  }


def _steps(options, steps, config, dataset):
  from etf_jax.data.feeds import resident
  from etf_jax.training.feeds.device import make_feed
  from etf_jax.training.parallel import sharding
  from etf_jax.training.setup import lower_step, make_setup

  dataset = steps.whole_batches(dataset, config.batch_size)
  plan = make_setup(config, dataset)
  images = None
  if config.data.feed != "stream":
    images = resident.put(dataset.train, plan.mesh)
  seed = config.seeds[0]
  arms, multiple = {}, {}

  def add(name, run):
    arms[name], multiple[name] = steps.turn(run), run.steps

  def started(seeds, **fields):
    other = config.copy_and_resolve_references()
    other.update(fields)
    plan = make_setup(other, dataset)
    return steps.start(plan, make_feed(plan, dataset, images), seeds)

  ours = started(seed)
  add(_STEP, ours)
  if images is not None:
    add(_FROZEN, steps.frozen(plan, dataset, images, ours.steps, seed))
  if ours.steps > 1:
    add(_SINGLE, started(seed, steps_per_call=1))
  for number in options.pack_seeds:
    add(_packed(number), started(tuple(range(number)), pack_seeds=number))
  limits, products = _products(plan.config.dtype)
  taken = timing.take_turns(
    arms | products,
    blocks=options.blocks,
    seconds=options.seconds,
    warmup=options.warmup,
    multiple=multiple,
  )
  open_feed = make_feed(plan, dataset, images)
  cost = lower_step(plan, open_feed).compile().cost_analysis()
  # Of a loop over the parts of a batch the compiler counts the body once.
  parts = 1 if sharding.unrolls(plan.mesh) else config.accumulate_steps
  times = {name: timing.summary(seconds) for name, seconds in taken.items()}
  return {
    "part": "step",
    "config": options.config,
    "method": plan.config.method,
    "model": plan.config.model.name,
    "dtype": plan.config.dtype,
    "batch_size": config.batch_size,
    "image_shape": list(plan.input_shape),
    "steps_per_call": ours.steps,
    "blocks": options.blocks,
    "images": {
      _packed(number): number * config.batch_size
      for number in options.pack_seeds
    },
    "arms": times,
    "ratios": ratios(taken, options.pack_seeds),
    "limits": limits(
      parts * cost["flops"], parts * cost["bytes accessed"], times
    ),
  }


def _products(dtype: str):
  """Return limits of a step, and a matrix product and a copy to time for it."""
  import jax
  import jax.numpy as jnp

  small = jax.default_backend() == "cpu"
  side, numbers = (1024, 2**24) if small else (8192, 2**28)
  factor = jnp.ones((side, side), dtype) / side
  vector = jnp.ones(numbers, jnp.float32)
  multiply, add = jax.jit(jnp.matmul), jax.jit(lambda x: x + 1)

  def limits(flops, accessed, times):
    rate = 2 * side**3 / (times[_MATMUL]["ms"] / 1e3)
    bandwidth = 2 * 4 * numbers / (times[_COPY]["ms"] / 1e3)
    return {
      "flops": flops,
      "bytes": accessed,
      "flops_per_second": rate,
      "bytes_per_second": bandwidth,
      "compute_ms": 1e3 * flops / rate,
      "memory_ms": 1e3 * accessed / bandwidth,
    }

  return limits, {
    _MATMUL: timing.synchronized(lambda: multiply(factor, factor)),
    _COPY: timing.synchronized(lambda: add(vector)),
  }


def _packed(number):
  return f"{number} seeds together"


def ratios(
  taken: dict[str, list[float]], packs: Sequence[int] = ()
) -> dict[str, dict[str, float]]:
  """Return ratios of arms, by name in the report.

  Args:
    taken: seconds of a step in each block, by arm.
    packs: numbers of seeds trained in one program.
  """
  compared = {
    "augmentation: step / frozen batch": (_STEP, _FROZEN, 1),
    "calls: step / 1 step a call": (_STEP, _SINGLE, 1),
  }
  for number in packs:
    name = f"packing: {_packed(number)} / one after the other"
    compared[name] = (_packed(number), _STEP, number)
  return {
    name: {
      key: value / times
      for key, value in timing.ratio(taken, over, under).items()
    }
    for name, (over, under, times) in compared.items()
    if over in taken and under in taken
  }


def table(results: list[dict[str, Any]]) -> list[str]:
  """Return the printed lines."""
  lines = []
  for row in results:
    lines += _step_lines(row) if row["part"] == "step" else _run_lines(row)
    lines.append("")
  return lines[:-1]


def _step_lines(row):
  height, width, channels = row["image_shape"]
  lines = [
    f"{row['config']}: {row['method']}, {row['model']}, {row['dtype']}, batch"
    f" {row['batch_size']} of {height}x{width}x{channels},"
    f" {row['steps_per_call']} steps a call; median (range) of"
    f" {row['blocks']} blocks",
    "",
  ]
  cells = []
  for name, times in row["arms"].items():
    if name in (_MATMUL, _COPY):
      continue
    rate = 1e3 * row["images"].get(name, row["batch_size"]) / times["ms"]
    cells.append([name, timing.spread(times, "ms"), f"{rate:,.0f}"])
  lines += timing.table(["arm", "ms a step", "images/s"], cells)
  lines.append("")
  cells = [
    [name, timing.spread(ratio, "ratio", ".3f")]
    for name, ratio in row["ratios"].items()
  ]
  lines += timing.table(["ratio", "median (range)"], cells)
  limits = row["limits"]
  return [
    *lines,
    "",
    f"Limits measured in turn: {limits['flops_per_second'] / 1e9:.4g}"
    f" GFLOP/s in a matrix product, {limits['bytes_per_second'] / 1e9:.4g} GB/s"
    f" in a copy. A step has {limits['flops'] / 1e9:.4g} GFLOP, so it takes at"
    f" least {limits['compute_ms']:.4g} ms; the {limits['bytes'] / 1e6:.4g} MB"
    " that XLA counts, as if there were no caches, take"
    f" {limits['memory_ms']:.4g} ms.",
  ]


def _run_lines(row):
  cells = [
    [name, *(f"{row[kind]['seconds'][name]:.2f}" for kind in ("cold", "warm"))]
    for name in row["warm"]["seconds"]
  ]
  return [
    f"A run of {row['epochs']} epochs, {row['steps']} steps, in a process of"
    " its own; seconds from the start of the process",
    "",
    *timing.table(
      ["until", "nothing compiled before", "the same again"],
      [[name.replace("_", " "), *rest] for name, *rest in cells],
    ),
    "",
    *timing.table(
      ["ratio", "value"],
      [
        ["first step, warm / cold", f"{row['warm_over_cold']:.3f}"],
        ["whole run, warm / its steps", f"{row['overhead']:.3f}"],
        [
          f"the same for {row['full_steps']} steps, estimated",
          f"{row['full_overhead']:.3f}",
        ],
        ["programs compiled again after the first epoch", f"{row['again']}"],
      ],
    ),
  ]
