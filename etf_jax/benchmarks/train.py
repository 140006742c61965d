# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Time of the train step of an experiment, and of a run around it.

    python -m etf_jax.benchmark train --config=etf_jax:cifar10_lt --torch

Steps are compared with the same steps on a batch that is augmented already,
with one step in each call, with several seeds in one program and with PyTorch;
runs, each in a process of its own, with their steps and with a run that finds
no compiled programs.
"""

import argparse
from collections.abc import Sequence
import contextlib
import pathlib
import tempfile
from typing import Any

from etf_jax.benchmarks import processes
from etf_jax.benchmarks import report as reports
from etf_jax.benchmarks import run as runs
from etf_jax.benchmarks.report import size, sizes
from etf_jax.errors import InputError

_STEP, _FROZEN, _SINGLE = "step", "frozen batch", "1 step a call"
_MATMUL, _COPY = "matrix product", "copy"
_TORCH, _TUNED = "PyTorch", "PyTorch, tuned"
_LEAST_EPOCHS = 4
_DEPTHS = ("8", "20", "32", "44", "56")


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """Add the options of `train`."""
  reports.add_config(parser)
  parser.add_argument(
    "--warmup", type=size, default=20, help="steps of each arm before it counts"
  )
  parser.add_argument(
    "--epochs",
    type=int,
    default=4,
    help="of the runs; 0: steps only",
  )
  parser.add_argument(
    "--pack_seeds",
    type=sizes,
    default=[],
    help="also so many runs in one program, as in 2,4",
  )
  parser.add_argument(
    "--torch",
    action="store_true",
    help="also a PyTorch network (config.model.name=resnet8 to 56)",
  )
  parser.set_defaults(seconds=2.0)


def run(options: argparse.Namespace) -> list[dict[str, Any]]:
  """Time runs and steps; a row for each.

  Raises:
    InputError: the config cannot be run, or PyTorch has no such network.
  """
  if options.epochs and options.epochs < _LEAST_EPOCHS:
    raise InputError(
      f"--epochs={options.epochs}: a run needs {_LEAST_EPOCHS} or more, of"
      " which the first compiles and the last ends it; 0 leaves it out"
    )
  from etf_jax import data
  from etf_jax.benchmarks import steps

  config = steps.parse(options)
  request = torch_request(config) if options.torch else None
  dataset = data.load(config.data)  # prepared, before a run is timed
  rows = []
  # Runs first: this process may then take all the memory of the devices.
  if options.epochs:
    rows.append(_runs(options, config))
  step = _steps(options, steps, config, dataset, request)
  rows.append(step)
  if options.epochs:
    rows[0] |= overhead(rows[0], step["arms"][_STEP]["ms"] / 1e3)
  return rows


def torch_request(config: Any) -> dict[str, Any]:
  """The network of a config for PyTorch, as far as `pytorch` has it.

  Raises:
    InputError: it has no such network, or PyTorch is missing.
  """
  depth = config.model.name.removeprefix("resnet")
  if depth not in _DEPTHS or config.model.kwargs:
    raise InputError(
      f"--torch has resnet{', '.join(_DEPTHS)} only, and config.model.name is"
      f" {config.model.name!r}: leave --torch out"
    )
  processes.need(["torch"], "--torch")
  return {
    "what": "network",
    "depth": int(depth),
    "width": config.model.width,
    "dtype": config.dtype,
  }


def overhead(row: dict[str, Any], step_seconds: float) -> dict[str, float]:
  """What a run takes beside its steps.

  Args:
    row: of a run, with its `warm` times.
    step_seconds: what a step takes.

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
  """The run of a few epochs, with nothing compiled before, and once again."""
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


def _steps(options, steps, config, dataset, request):
  from etf_jax.benchmarks import limits
  from etf_jax.data.feeds import resident
  from etf_jax.training import plan as plans
  from etf_jax.training.parallel import sharding

  dataset = steps.whole_batches(dataset, config.batch_size)
  plan = plans.create(config, dataset)
  data = None
  if config.data.feed != "stream":
    data = resident.put(dataset.train, plan.mesh)

  def opened(config):
    plan = plans.create(config, dataset)
    return plan, plans.feed(plan, dataset, data)

  seed = config.seeds[0]
  plan, open_feed = opened(config)
  ours = steps.start(plan, open_feed, seed)
  arms: dict[str, reports.Turn] = {_STEP: steps.turn(ours)}
  multiple = {_STEP: ours.most}
  if data is not None:
    frozen = steps.frozen(plan, dataset, data, ours.most, seed)
    arms[_FROZEN], multiple[_FROZEN] = steps.turn(frozen), ours.most
  if ours.most > 1:
    alone = config.copy_and_resolve_references()
    alone.steps_per_call = 1
    arms[_SINGLE] = steps.turn(steps.start(*opened(alone), seed))
  for number in options.pack_seeds:
    packed = config.copy_and_resolve_references()
    packed.pack_seeds = number
    together = steps.start(*opened(packed), tuple(range(number)))
    name = _packed(number)
    arms[name], multiple[name] = steps.turn(together), together.most
  products = limits.create(plan.config.dtype)
  arms |= {_MATMUL: products.matmul, _COPY: products.copy}
  versions = {}
  with contextlib.ExitStack() as stack:
    for name in (_TORCH, _TUNED) if request else ():
      asked = request | {
        "batch_size": config.batch_size,
        "side": plan.input_shape[0],
        "channels": plan.input_shape[2],
        "num_classes": dataset.num_classes,
        "tuned": name == _TUNED,
      }
      other = stack.enter_context(processes.pytorch(asked))
      versions, arms[name] = other.versions, other.turn
    taken = reports.take_turns(
      arms,
      blocks=options.blocks,
      seconds=options.seconds,
      warmup=options.warmup,
      multiple=multiple,
    )
  cost = plans.lower_step(plan, open_feed).compile().cost_analysis()
  # Of a loop over the parts of a batch the compiler counts the body once.
  parts = 1 if sharding.unrolls(plan.mesh) else config.accumulate_steps
  times = {name: reports.summary(seconds) for name, seconds in taken.items()}
  row = {
    "part": "step",
    "config": options.config,
    "method": plan.config.method,
    "model": plan.config.model.name,
    "dtype": plan.config.dtype,
    "batch_size": config.batch_size,
    "image_shape": list(plan.input_shape),
    "steps_per_call": ours.most,
    "blocks": options.blocks,
    "images": {
      _packed(number): number * config.batch_size
      for number in options.pack_seeds
    },
    "arms": times,
    "ratios": ratios(taken, options.pack_seeds),
    "pytorch": versions,
  }
  return row | {
    "limits": products.limits(
      parts * cost["flops"],
      parts * cost["bytes accessed"],
      times[_MATMUL],
      times[_COPY],
    )
  }


def _packed(number):
  return f"{number} seeds together"


def ratios(
  taken: dict[str, list[float]], packs: Sequence[int] = ()
) -> dict[str, dict[str, float]]:
  """What one arm's time over another's says, by its name in the report.

  Args:
    taken: seconds of a step in each block, by arm.
    packs: numbers of runs that were trained in one program.
  """
  compared = {
    "augmentation: step / frozen batch": (_STEP, _FROZEN, 1),
    "calls: step / 1 step a call": (_STEP, _SINGLE, 1),
    "ours / PyTorch, both on a frozen batch": (_FROZEN, _TORCH, 1),
    "ours / PyTorch tuned, both on a frozen batch": (_FROZEN, _TUNED, 1),
  }
  for number in packs:
    name = f"packing: {_packed(number)} / one after the other"
    compared[name] = (_packed(number), _STEP, number)
  return {
    name: {
      key: value / times
      for key, value in reports.ratio(taken, over, under).items()
    }
    for name, (over, under, times) in compared.items()
    if over in taken and under in taken
  }


def table(rows: list[dict[str, Any]]) -> list[str]:
  """The results as Markdown."""
  lines = []
  for row in rows:
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
    cells.append([name, reports.spread(times, "ms"), f"{rate:,.0f}"])
  lines += reports.table(["arm", "ms a step", "images/s"], cells)
  lines.append("")
  cells = [
    [name, reports.spread(ratio, "ratio", ".3f")]
    for name, ratio in row["ratios"].items()
  ]
  lines += reports.table(["ratio", "median (range)"], cells)
  limits = row["limits"]
  return [
    *lines,
    "",
    f"Limits measured beside it: {limits['flops_per_second'] / 1e9:.4g}"
    f" GFLOP/s in a matrix product, {limits['bytes_per_second'] / 1e9:.4g} GB/s"
    f" in a copy. A step has {limits['flops'] / 1e9:.4g} GFLOP, so it takes at"
    f" least {limits['compute_ms']:.4g} ms; the {limits['bytes'] / 1e6:.4g} MB"
    " that XLA counts, as if there were no caches, take"
    f" {limits['memory_ms']:.4g} ms.",
    *(
      [
        f"PyTorch {row['pytorch']['torch']}, {row['pytorch']['threads']}"
        f" threads, {row['pytorch']['device']}: the same network with a linear"
        " head and cross-entropy; tuned: channels last, bfloat16 by autocast if"
        " ours is, compiled on a GPU."
      ]
      if row["pytorch"]
      else []
    ),
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
    *reports.table(
      ["until", "nothing compiled before", "the same again"],
      [[name.replace("_", " "), *rest] for name, *rest in cells],
    ),
    "",
    *reports.table(
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
