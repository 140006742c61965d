# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Time and memory of the DR head and of a learned CE head, by class count."""

import argparse
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from etf_jax import losses
from etf_jax.benchmarks import report as reports
from etf_jax.benchmarks.report import size, sizes


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """Add the options of `losses`."""
  parser.add_argument(
    "--num_classes",
    type=sizes,
    default=[10, 100, 1000, 4000],
    help="numbers of classes, separated by commas",
  )
  parser.add_argument("--feature_dim", type=size, default=4096)
  parser.add_argument("--batch_size", type=size, default=1024)


def run(options: argparse.Namespace) -> list[dict[str, Any]]:
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
    taken = reports.time_in_turns(
      arms, blocks=options.blocks, seconds=options.seconds
    )
    for name in arms:
      row[name] |= reports.summary(taken[name])
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


def table(results: list[dict[str, Any]]) -> list[str]:
  """The lines that are printed."""
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
