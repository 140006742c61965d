# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Time and memory of the DR head and of a learned CE head, by class count."""

import argparse
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from etf_jax import losses
from etf_jax.benchmarks import timing

_HEADS = {"dot_regression": "DR", "cross_entropy": "CE"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """Add the options of `losses`."""
  parser.add_argument(
    "--num_classes",
    type=timing.sizes,
    default=[10, 100, 1000, 4000],
    help="numbers of classes, separated by commas",
  )
  parser.add_argument("--feature_dim", type=timing.size, default=4096)
  parser.add_argument("--batch_size", type=timing.size, default=1024)


def run(options: argparse.Namespace) -> list[dict[str, Any]]:
  """Time both heads, forward and backward; a row for each class count."""
  return [_measure(options, number) for number in options.num_classes]


def _measure(options, num_classes: int) -> dict[str, Any]:
  batch, dim = options.batch_size, options.feature_dim
  rng = np.random.default_rng(0)
  features = jnp.asarray(rng.standard_normal((batch, dim), np.float32))
  labels = jnp.asarray(rng.integers(0, num_classes, batch), jnp.int32)
  columns = rng.standard_normal((dim, num_classes), np.float32)
  weights = jnp.asarray(columns / np.linalg.norm(columns, axis=0))
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
    memory: Any = program.memory_analysis()
    cost: Any = program.cost_analysis()
    row[name] = {
      "temp_bytes": memory.temp_size_in_bytes,
      "output_bytes": memory.output_size_in_bytes,
      "flops": cost["flops"],
    }
    arms[name] = timing.synchronized(functools.partial(program, *arguments))
  taken = timing.take_turns(
    arms, blocks=options.blocks, seconds=options.seconds
  )
  for name, seconds in taken.items():
    row[name] |= timing.summary(seconds)
  dr, ce = (row[name] for name in _HEADS)
  row["time_ratio"] = dr["ms"] / ce["ms"]
  row["memory_ratio"] = (dr["temp_bytes"] + dr["output_bytes"]) / (
    ce["temp_bytes"] + ce["output_bytes"]
  )
  return row


def _dot_regression(features, labels, prototypes):
  return losses.dot_regression_with_integer_labels(
    features, labels, prototypes, feature_length=None
  ).mean()


def _cross_entropy(features, labels, weights, bias):
  return optax.softmax_cross_entropy_with_integer_labels(
    features @ weights + bias[None], labels
  ).mean()


def table(results: list[dict[str, Any]]) -> list[str]:
  """Return the printed lines."""
  first = results[0]
  cells = [
    [
      f"{row['num_classes']}",
      *(timing.spread(row[name], "ms", ".3g") for name in _HEADS),
      f"{row['time_ratio']:.3f}",
      *(
        f"{row[name]['temp_bytes'] / 2**20:.1f}"
        f" + {row[name]['output_bytes'] / 2**20:.1f}"
        for name in _HEADS
      ),
      f"{row['memory_ratio']:.3f}",
    ]
    for row in results
  ]
  return [
    "DR head against a learned CE head: loss and gradients of the features"
    " (CE: of weight and bias too); float32,"
    f" batch {first['batch_size']}, feature_dim {first['feature_dim']};"
    " median (range); memory: temporaries + outputs",
    "",
    *timing.table(
      [
        "K",
        *(f"{name} ms" for name in _HEADS.values()),
        "ratio",
        *(f"{name} MiB" for name in _HEADS.values()),
        "ratio",
      ],
      cells,
    ),
  ]
