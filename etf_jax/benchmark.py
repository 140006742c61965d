# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Measures speed and memory on this machine.

In use::

    python -m etf_jax.benchmark losses
    python -m etf_jax.benchmark losses --num_classes=100,1000 --json=losses.json
    python -m etf_jax.benchmark collapse --config=configs/cifar10_lt.py
    python -m etf_jax.benchmark feed --dir=~/photographs
    python -m etf_jax.benchmark compile --topology=v5e:2x4 \\
      --config=etf_jax:cifar10_lt

Arms are timed in turns, A B A B, so that a machine that slows down or speeds up
does so for all of them. Each block ends with one synchronisation; reported are
the median and the range over blocks. On a CPU trust the ratios only.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
import json
import pathlib
import statistics
import sys
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import etf_jax
from etf_jax import _benchmark_compile, _benchmark_feed, losses
from etf_jax.errors import InputError


class Command(NamedTuple):
  """A kind of benchmark.

  Attributes:
    help: what it measures, in one line.
    add_arguments: adds its own options to a parser.
    run: options to results that JSON can hold.
    table: results to the lines that are printed.
    environment: results to what they depend on; None: this process knows.
  """

  help: str
  add_arguments: Callable[[argparse.ArgumentParser], None]
  run: Callable[[argparse.Namespace], list[dict[str, Any]]]
  table: Callable[[list[dict[str, Any]]], list[str]]
  environment: Callable[[list[dict[str, Any]]], dict[str, Any]] | None = None


def time_in_turns(
  arms: Mapping[str, Callable[[], Any]], *, blocks: int, seconds: float
) -> dict[str, list[float]]:
  """Times functions in interleaved blocks.

  Args:
    arms: compiled functions by name; each starts work and returns its result.
    blocks: how often each is timed.
    seconds: about how long a block should take.

  Returns:
    Seconds per call, one number for each block, by name.
  """
  calls = {}
  for name, call in arms.items():
    jax.block_until_ready(call())
    start = time.perf_counter()
    jax.block_until_ready(call())
    once = max(time.perf_counter() - start, 1e-6)
    calls[name] = max(1, round(seconds / once))
  taken: dict[str, list[float]] = {name: [] for name in arms}
  for _ in range(blocks):
    for name, call in arms.items():
      start = time.perf_counter()
      result = None
      for _ in range(calls[name]):
        result = call()
      jax.block_until_ready(result)
      taken[name].append((time.perf_counter() - start) / calls[name])
  return taken


def summary(seconds: Sequence[float]) -> dict[str, float]:
  """The median and range of timings, in milliseconds."""
  return {
    "ms": 1e3 * statistics.median(seconds),
    "ms_min": 1e3 * min(seconds),
    "ms_max": 1e3 * max(seconds),
  }


def environment() -> dict[str, Any]:
  """What the numbers depend on besides the code."""
  device = jax.devices()[0]
  return {
    "device": device.device_kind,
    "platform": device.platform,
    "devices": jax.device_count(),
    "python": sys.version.split()[0],
    "etf_jax": etf_jax.__version__,
    "jax": jax.__version__,
    "optax": optax.__version__,
    "numpy": np.__version__,
  }


def _losses_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument(
    "--num_classes",
    type=_sizes,
    default=[10, 100, 1000, 4000],
    help="numbers of classes, separated by commas",
  )
  parser.add_argument("--feature_dim", type=_size, default=4096)
  parser.add_argument("--batch_size", type=_size, default=1024)


def _losses(options: argparse.Namespace) -> list[dict[str, Any]]:
  """The DR head and a learnable CE head, forward and backward, by K."""
  batch, dim = options.batch_size, options.feature_dim
  rng = np.random.default_rng(0)
  features = jnp.asarray(rng.standard_normal((batch, dim), np.float32))
  results = []
  for num_classes in options.num_classes:
    labels = jnp.asarray(rng.integers(0, num_classes, batch), jnp.int32)
    weights = rng.standard_normal((dim, num_classes), np.float32)
    weights = jnp.asarray(weights / np.linalg.norm(weights, axis=0))
    bias = jnp.zeros(num_classes)
    heads = {
      "dot_regression": (
        jax.value_and_grad(_dot_regression),
        (features, labels, weights),
      ),
      "cross_entropy": (
        jax.value_and_grad(_cross_entropy, argnums=(0, 2, 3)),
        (features, labels, weights, bias),
      ),
    }
    row: dict[str, Any] = {
      "num_classes": num_classes,
      "feature_dim": dim,
      "batch_size": batch,
    }
    arms = {}
    for name, (head, arguments) in heads.items():
      program = jax.jit(head).lower(*arguments).compile()
      memory = program.memory_analysis()
      row[name] = {
        "temp_bytes": memory.temp_size_in_bytes,
        "output_bytes": memory.output_size_in_bytes,
        "flops": program.cost_analysis()["flops"],
      }
      arms[name] = lambda program=program, arguments=arguments: program(
        *arguments
      )
    taken = time_in_turns(arms, blocks=options.blocks, seconds=options.seconds)
    for name in arms:
      row[name] |= summary(taken[name])
    row["time_ratio"] = row["dot_regression"]["ms"] / row["cross_entropy"]["ms"]
    row["memory_ratio"] = _bytes(row["dot_regression"]) / _bytes(
      row["cross_entropy"]
    )
    results.append(row)
  return results


def _dot_regression(features, labels, prototypes):
  return losses.dot_regression_with_integer_labels(
    features, labels, prototypes, feature_length=None
  ).mean()


def _cross_entropy(features, labels, weights, bias):
  return optax.softmax_cross_entropy_with_integer_labels(
    features @ weights + bias[None], labels
  ).mean()


def _bytes(head: Mapping[str, Any]) -> int:
  return head["temp_bytes"] + head["output_bytes"]


def _losses_table(results: list[dict[str, Any]]) -> list[str]:
  first = results[0]
  lines = [
    "DR head against a learnable CE head: loss and gradients of the features "
    "(CE: of weight and bias too),",
    f"float32, batch {first['batch_size']}, feature_dim "
    f"{first['feature_dim']}. Memory: temporaries + outputs.",
    f"{'K':>6} {'DR ms (range)':>24} {'CE ms (range)':>24} {'ratio':>6} "
    f"{'DR MiB':>14} {'CE MiB':>14} {'ratio':>6}",
  ]
  for row in results:
    cells = [f"{row['num_classes']:>6}"]
    heads = (row["dot_regression"], row["cross_entropy"])
    for head in heads:
      span = f"({head['ms_min']:.3g}-{head['ms_max']:.3g})"
      cells.append(f"{head['ms']:>9.3g} {span:>14}")
    cells.append(f"{row['time_ratio']:>6.3f}")
    for head in heads:
      temp, output = head["temp_bytes"] / 2**20, head["output_bytes"] / 2**20
      cells.append(f"{temp:>6.1f} +{output:>6.1f}")
    cells.append(f"{row['memory_ratio']:>6.3f}")
    lines.append(" ".join(cells))
  return lines


def _collapse_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument(
    "--config",
    default="etf_jax:digits_lt",
    help="an experiment file; its fields may follow, as for etf_jax.main",
  )


def _collapse(options: argparse.Namespace) -> list[dict[str, Any]]:
  """Epochs of training, evaluations and measurements of collapse, in turns."""
  # They need the whole trainer; the other commands start without it.
  from etf_jax import data
  from etf_jax.training import (
    command_line,
    durations,
    experiment,
    objectives,
    state,
  )

  config, _ = command_line.parse(
    ["benchmark", f"--config={options.config}", *options.fields]
  )
  objectives.check_choices(config)
  run = experiment.create(config, data.load(config.data))
  shape, seed = run.input_shape, config.seeds[0]
  keys = state.keys(seed)
  current = state.create(
    run.model,
    run.optimizer,
    shape,
    state.draw_classifier(run.model, shape, seed),
    seed,
    run.state_sharding,
  )
  feed = run.open_feed(seed, 0)

  def epoch():
    nonlocal current
    for position in range(run.epoch.steps):
      current, metrics = feed.advance(current, position, keys["augment"])
    return metrics

  arms = {
    "epoch": epoch,
    "evaluation": lambda: [
      run.evaluate(current.variables, split) for split in run.splits
    ],
    "measurement": lambda: [
      run.measure(current.variables, split) for split in config.collapse.splits
    ],
  }
  begun = time.perf_counter()
  epoch()
  arms["measurement"]()
  compiled = time.perf_counter() - begun
  taken = time_in_turns(arms, blocks=options.blocks, seconds=options.seconds)
  row = {name: summary(seconds) for name, seconds in taken.items()}
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


def _collapse_table(results: list[dict[str, Any]]) -> list[str]:
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


COMMANDS = {
  "collapse": Command(
    "time of measuring neural collapse against that of training",
    _collapse_arguments,
    _collapse,
    _collapse_table,
  ),
  "compile": Command(
    "what the train step needs on TPUs, compiled for them without one",
    _benchmark_compile.add_arguments,
    _benchmark_compile.run,
    _benchmark_compile.table,
    _benchmark_compile.environment,
  ),
  "feed": Command(
    "images per second of decoding and of the stream feed, against tf.data",
    _benchmark_feed.add_arguments,
    _benchmark_feed.run,
    _benchmark_feed.table,
  ),
  "losses": Command(
    "time and memory of the DR head and a learnable CE head, by class count",
    _losses_arguments,
    _losses,
    _losses_table,
  ),
}


def _size(text: str) -> int:
  size = int(text)
  if size < 1:
    raise argparse.ArgumentTypeError(f"{text} is not positive")
  return size


def _sizes(text: str) -> list[int]:
  return [_size(part) for part in text.split(",")]


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="python -m etf_jax.benchmark", description=__doc__.splitlines()[0]
  )
  subparsers = parser.add_subparsers(dest="command", required=True)
  for name, command in COMMANDS.items():
    sub = subparsers.add_parser(name, help=command.help)
    sub.add_argument(
      "--blocks", type=_size, default=7, help="timed blocks of each arm"
    )
    sub.add_argument(
      "--seconds", type=float, default=0.5, help="length of a block, about"
    )
    sub.add_argument(
      "--json", type=pathlib.Path, help="also write the results to this file"
    )
    command.add_arguments(sub)
  return parser


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the command and returns its exit code."""
  parser = _parser()
  options, options.fields = parser.parse_known_args(argv)
  command = COMMANDS[options.command]
  if options.fields and options.command not in ("collapse", "compile"):
    parser.error(f"unrecognized arguments: {' '.join(options.fields)}")
  try:
    if options.json is not None and not options.json.absolute().parent.is_dir():
      raise InputError(
        f"--json={options.json}: there is no such folder; make it first"
      )
    results = command.run(options)
  except InputError as error:
    print(f"error: {error}", file=sys.stderr)
    return 2
  around = (command.environment or (lambda _: environment()))(results)
  print(" ".join(f"{key}={value}" for key, value in around.items()))
  print("\n".join(command.table(results)))
  if options.json is not None:
    report = {
      "command": options.command,
      "environment": around,
      "results": results,
    }
    options.json.write_text(json.dumps(report, indent=2) + "\n")
  return 0


if __name__ == "__main__":
  sys.exit(main())
