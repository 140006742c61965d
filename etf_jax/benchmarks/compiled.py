# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Compile the train step of an experiment for TPUs or GPUs, without one.

    python -m etf_jax.benchmark compile --topology=v5e:2x4 \\
      --config=etf_jax:cifar10_lt --config.dtype=bfloat16

libtpu, or XLA's CUDA plugin, compiles on any machine, in a process: what it
wants in its environment stays there. No data are read, only what the catalog
says of them: sizes as published, classes equally large before the long tail.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any, NamedTuple

import numpy as np

from etf_jax.benchmarks import chips, launches, program, timing
from etf_jax.errors import InputError

_MB = 1e6
_QUICK = {"exec_time_optimization_effort": -1.0}
_VERSIONS = ("jax", "jaxlib", "flax", "optax", "numpy")


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """Add the options of `compile`."""
  timing.add_config(parser, default=None)
  parser.add_argument(
    "--topology",
    default="v5e:2x4",
    help="kind and shape of a slice, as in v5e:2x4, v5p:2x2x1 or h200:8",
  )
  parser.add_argument(
    "--quick",
    action="store_true",
    help="less effort of the compiler: three times as fast, rougher figures",
  )
  parser.add_argument(
    "--num_classes",
    type=int,
    help="of images of your own (data.name=folder)",
  )
  parser.add_argument("--num_images", type=int, help="of their training split")


def run(options: argparse.Namespace) -> list[dict[str, Any]]:
  """Compile in a process of its own; one row.

  Raises:
    InputError: the compiler is missing, the slice is unknown, or the config
      cannot be run on it.
  """
  where = chips.topology(options.topology)
  module, extra = where.compiler
  if importlib.util.find_spec(module) is None:
    raise InputError(
      f"--topology={where.name}: compiling for it needs {module}; pip install"
      f" 'etf_jax[{extra}]'"
    )
  request = {
    "topology": options.topology,
    "argv": ["compile", f"--config={options.config}", *options.fields],
    "num_classes": options.num_classes,
    "num_images": options.num_images,
    "quick": options.quick,
  }
  # Timed anew each time; a program from the cache would tell nothing.
  environment = os.environ | where.environment
  environment["JAX_ENABLE_COMPILATION_CACHE"] = "0"
  with tempfile.TemporaryDirectory() as folder:
    answer = pathlib.Path(folder) / "answer.json"
    done = subprocess.run(
      [sys.executable, "-m", __name__, json.dumps(request), str(answer)],
      env=environment,
      capture_output=True,
      text=True,
      check=False,
    )
    if done.returncode == 0:
      return [json.loads(answer.read_text())]
  lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
  last = lines[-1].strip()
  if done.returncode == 2:
    raise InputError(last.removeprefix("error: "))
  raise InputError(f"compiling for {options.topology} failed: {last}")


def environment(results: list[dict[str, Any]]) -> dict[str, Any]:
  """Return the device and versions of the compiling process."""
  return results[0]["environment"]


def table(results: list[dict[str, Any]]) -> list[str]:
  """Return the printed lines."""
  return [line for row in results for line in _lines(row)]


def _lines(row):
  number, images = row["chips"], row["batch_size"]
  memory = {k: v / _MB for k, v in row["memory"].items()}
  lines = [
    f"{row['config']} ({row['method']}, {row['model']}, {row['dtype']},"
    f" {row['feed']} feed) on {row['topology']}: {number} chips, batch"
    f" {images}, {row['parameters'] / 1e6:.3g} M parameters",
    f"HBM of a chip: {memory['total']:.4g} of {memory['capacity']:.6g} MB:"
    f" arguments {memory['arguments']:.4g}, outputs {memory['outputs']:.4g}"
    f" (of which {memory['aliased']:.4g} in place), temporaries"
    f" {memory['temporaries']:.4g}, program {memory['code']:.4g}",
    f"{'':<20} {'a chip and step':>16} {'an image':>12}",
  ]
  for name, key, unit in (
    ("GFLOP", "flops", 1e9),
    ("MB in all memories", "bytes_accessed", _MB),
    ("MB of HBM", "hbm_bytes", _MB),
  ):
    each = row[key] / unit
    lines.append(f"{name:<20} {each:>16.4g} {each * number / images:>12.4g}")
  for name, kinds in row["launches"].items():
    each = ", ".join(f"{kind} {number}" for kind, number in kinds.items())
    lines.append(f"launches of {name}: {sum(kinds.values())} ({each})")
  if row["launches"]:
    lines.append(f"places where the host waits: {row['waits']}")
  lines.append(
    f"{'collectives':<20} {'number a step':>16} {'MB':>12} {'MB sent':>12}"
  )
  for kind, sums in row["collectives"].items():
    lines.append(
      f"  {kind:<18} {sums['count']:>16} {sums['bytes'] / _MB:>12.4g}"
      f" {sums['sent_bytes'] / _MB:>12.4g}"
    )
  if not row["collectives"]:
    lines.append("  none")
  lines.append(f"{'at least':<20} {'ms a step':>16} {'us an image':>12}")
  for name, seconds in row["limits_seconds"].items():
    lines.append(
      f"  {name:<18} {1e3 * seconds:>16.4g} {1e6 * seconds / images:>12.4g}"
    )
  return [
    *lines,
    f"{row['limited_by']} limits it to {row['images_per_second']:,.0f} images/s"
    f"; lowered in {row['lower_seconds']:.3g} s, compiled in"
    f" {row['compile_seconds']:.3g} s",
    f"efficiency {row['efficiency']:.3f}: a chip's own work, over that and the"
    " exchanges for which it waits",
    *row["notes"],
  ]


class _Labels(NamedTuple):
  """Labels, all that the trainer asks of images before it decodes any."""

  labels: np.ndarray


def expected(config: Any, num_classes: int | None, num_images: int | None):
  """Return the `data.Dataset` of a config without any image.

  Args:
    config: `data` of configs/base.py.
    num_classes: of images of one's own; the catalog knows the others.
    num_images: of their training split, before a tail is cut.

  Raises:
    InputError: what is asked for has no published size.
  """
  import jax

  from etf_jax import data
  from etf_jax.data import catalog, long_tail
  from etf_jax.data.sources import splits

  is_folder = config.name == splits.FOLDER
  facts = catalog.lookup("imagenet" if is_folder else config.name)
  published = {} if is_folder else facts.sizes()
  images = num_images or published.get("train")
  classes = num_classes or (None if is_folder else facts.num_classes)
  if not (images and classes):
    raise InputError(
      f"config.data.name={config.name!r} has no published size: add"
      " --num_classes=K --num_images=N"
    )
  shape = None if config.dir else facts.image_shape
  if config.image_size is not None:
    channels = 3 if shape is None else shape[2]
    shape = (config.image_size, config.image_size, channels)
  if shape is None:
    raise InputError(
      f"the images of {config.name!r} have many sizes: set"
      " config.data.image_size"
    )
  names = tuple(map(str, range(classes)))
  # As many of each class as there can be, the rest in the first ones.
  labels = np.sort(np.arange(images, dtype=np.int32) % classes)
  labels = labels[
    long_tail.hold_out(
      labels, names, fraction=config.validation_fraction, seed=config.seed
    )[0]
  ]
  counts = long_tail.realized_counts(
    labels,
    names,
    profile=config.profile,
    imbalance=config.imbalance,
    counts=tuple(config.counts),
  )
  labels = np.repeat(np.arange(classes, dtype=np.int32), counts)
  pixels = data.Pixels(
    shape, config.image_size, config.fit, "pillow", config.corrupt
  )
  if config.feed == "stream":
    source: Any = _Labels(labels)
    train: Any = data.Encoded(source, pixels)
  else:
    sizes: Any = (len(labels), 2) if pixels.has_sizes else None
    shape_of_images: Any = jax.ShapeDtypeStruct((len(labels), *shape), np.uint8)
    shape_of_sizes: Any = sizes and jax.ShapeDtypeStruct(sizes, np.int32)
    train = data.Split(shape_of_images, labels, shape_of_sizes)
  absent: Any = None
  return data.Dataset(
    name=config.name,
    num_classes=classes,
    class_names=names,
    train=train,
    validation=None,
    test=absent,
    class_counts=counts,
    mean=facts.mean,
    std=facts.std,
    image_shape=shape,
  )


def lower(config: Any, dataset: Any, devices: Any, *, single: bool = True):
  """Lower the train step for devices that need not be present.

  Args:
    config: of an experiment.
    dataset: see `expected`.
    devices: of the slice.
    single: see `setup.lower_step`.

  Returns:
    The run's `Setup` and the `jax.stages.Lowered` step.
  """
  from etf_jax.data.feeds import resident
  from etf_jax.training.feeds.device import make_feed
  from etf_jax.training.setup import lower_step, make_setup

  plan = make_setup(config, dataset, devices)
  images = None
  if config.data.feed != "stream":
    images = resident.shapes(dataset.train, plan.mesh)
  open_feed = make_feed(plan, dataset, images)
  return plan, lower_step(plan, open_feed, single=single)


def _compile(request: dict[str, Any]) -> dict[str, Any]:
  import jax
  from jax.experimental import topologies

  from etf_jax.runs import command_line
  from etf_jax.training.parallel import memory

  config, _ = command_line.parse(request["argv"])
  where = chips.topology(request["topology"])
  devices: Any = topologies.get_topology_desc(**where.description).devices
  dataset = expected(config.data, request["num_classes"], request["num_images"])
  started = time.perf_counter()
  plan, lowered = lower(config, dataset, devices)
  lowered_at = time.perf_counter()
  try:
    compiled = lowered.compile(_QUICK if request["quick"] else None)
  except jax.errors.JaxRuntimeError as error:
    memory.raise_if_exhausted(error, plan.config.batch_size)
    raise
  seconds = time.perf_counter() - lowered_at
  text, launched, waits = compiled.as_text(), {}, 0
  cost = compiled.cost_analysis()
  if where.on_gpus:
    _, looped = lower(config, dataset, devices, single=False)
    loop = looped.compile().as_text()
    launched = {
      "a step": launches.launches(text)["entry"],
      "a step in a loop": launches.launches(loop).get("loop", {}),
    }
    waits = launches.waits(text) + launches.waits(loop)
    cost = _cost_on_a_cpu(config, dataset, plan.mesh.size)
  row = _row(plan, lowered, text, cost, where, launched)
  row["memory"] = _memory(compiled, where)
  return row | {
    "launches": launched,
    "waits": waits,
    "config": config.name,
    "topology": where.name,
    "lower_seconds": lowered_at - started,
    "compile_seconds": seconds,
    "environment": {
      "device": devices[0].device_kind,
      "platform": f"{devices[0].platform}, compiled for only",
      "python": sys.version.split()[0],
      **{
        name: importlib.metadata.version(name)
        for name in (*_VERSIONS, where.compiler[0].replace("_", "-"))
      },
    },
  }


def _cost_on_a_cpu(config, dataset, chips):
  """Count a chip's share of the step before it is optimized.

  XLA counts nothing in programs of GPUs, whose convolutions are library calls.
  """
  import jax

  alone = config.copy_and_resolve_references()
  alone.update(devices=1, bn_group_size=None)
  alone.mesh.update(seed=1, data=None, fsdp=1, model=1)
  _, lowered = lower(alone, dataset, jax.devices("cpu"))
  return {k: v / chips for k, v in lowered.cost_analysis().items()}


def _memory(compiled, where):
  from etf_jax.training.parallel import memory

  need = memory.needed(compiled)
  return need._asdict() | {"total": need.total, "capacity": where.chip.memory}


def _row(plan, lowered, hlo, cost, where, launched):
  config, used = plan.config, plan.mesh.size
  parts = config.accumulate_steps
  # Of a loop the compiler counts the body once.
  flops, accessed = parts * cost["flops"], parts * cost["bytes accessed"]
  found, hbm = program.collectives(hlo, used), program.hbm_bytes(hlo)
  number = sum(launched.get("a step", {}).values())
  limits = program.limits(flops, hbm, found, where, number)
  slowest = max(limits, key=limits.get)
  notes = [] if parts == 1 else [f"FLOPs and bytes: {parts} times a part's"]
  if used < where.chips:
    notes.append(f"{used} of the {where.chips} chips are used")
  return {
    "method": config.method,
    "model": config.model.name,
    "dtype": config.dtype,
    "feed": config.data.feed,
    "batch_size": config.batch_size,
    "chips": used,
    "parameters": _parameters(lowered),
    "flops": flops,
    "bytes_accessed": accessed,
    "hbm_bytes": hbm,
    "collectives": program.by_kind(found),
    "limits_seconds": limits,
    "limited_by": slowest,
    "efficiency": program.efficiency(limits, found, where),
    "images_per_second": config.batch_size / limits[slowest],
    "notes": notes,
  }


def _parameters(lowered):
  import jax

  state = lowered.args_info[0][0]
  return sum(math.prod(x.shape) for x in jax.tree.leaves(state.params))


def main(argv: list[str]) -> int:
  """Compile one request; both arguments are JSON: the request and a path."""
  request, answer = argv
  try:
    row = _compile(json.loads(request))
  except InputError as error:
    print(f"error: {error}", file=sys.stderr)
    return 2
  pathlib.Path(answer).write_text(json.dumps(row))
  return 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
