# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Timing of arms in turns, and tables of the results.

taken = take_turns({"ours": ours, "theirs": theirs}, blocks=7, seconds=0.5)
ratio(taken, "ours", "theirs")["ratio"]
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
import os
import statistics
import sys
import time
from typing import Any

import jax
import numpy as np
import optax

import etf_jax

# A number of calls, steps or batches to the seconds that they take.
Turn = Callable[[int], float]


def synchronized(call: Callable[[], Any]) -> Turn:
  """Return a turn of calls that start work on a device; it waits at its end."""

  def turn(number: int) -> float:
    start = time.perf_counter()
    result = None
    for _ in range(number):
      result = call()
    jax.block_until_ready(result)
    return time.perf_counter() - start

  return turn


def take_turns(
  arms: Mapping[str, Turn],
  *,
  blocks: int,
  seconds: float,
  warmup: int = 1,
  multiple: Mapping[str, int] | None = None,
) -> dict[str, list[float]]:
  """Time arms in interleaved blocks, A B A B.

  Args:
    arms: turns by name.
    blocks: number of timed blocks of each arm.
    seconds: length of a block, about.
    warmup: calls of each arm before timing begins.
    multiple: divisor of the calls in a block, by name; default 1.

  Returns:
    Seconds per call of each block, by name.
  """
  calls = {}
  for name, turn in arms.items():
    number = least = (multiple or {}).get(name, 1)
    turn(-(-warmup // least) * least)
    # One call tells little of a feed whose batches come in bursts.
    while (taken := max(turn(number), 1e-6)) < seconds / 4:
      number *= 2
    calls[name] = least * max(1, round(seconds / taken * number / least))
  times: dict[str, list[float]] = {name: [] for name in arms}
  for _ in range(blocks):
    for name, turn in arms.items():
      times[name].append(turn(calls[name]) / calls[name])
  return times


def summary(seconds: Sequence[float]) -> dict[str, float]:
  """Return the median and range of timings in milliseconds."""
  return spread_of("ms", [1e3 * one for one in seconds])


def ratio(
  taken: Mapping[str, Sequence[float]], over: str, under: str
) -> dict[str, float]:
  """Return the ratio of two arms' times in the same block: median and range.

  Below 1 the first arm is faster.
  """
  pairs = zip(taken[over], taken[under], strict=True)
  return spread_of("ratio", [a / b for a, b in pairs])


def spread_of(key: str, values: Sequence[float]) -> dict[str, float]:
  """Return the median and range of values."""
  return {
    key: statistics.median(values),
    f"{key}_min": min(values),
    f"{key}_max": max(values),
  }


def load() -> float:
  """Return the system's load average; nan where it has none."""
  try:
    return os.getloadavg()[0]
  except (AttributeError, OSError):
    return float("nan")


def environment() -> dict[str, Any]:
  """Return the device and the versions that timings depend on."""
  device = jax.devices()[0]
  return {
    "device": device.device_kind,
    "platform": device.platform,
    "devices": jax.device_count(),
    "cores": os.cpu_count(),
    "python": sys.version.split()[0],
    "etf_jax": etf_jax.__version__,
    "jax": jax.__version__,
    "optax": optax.__version__,
    "numpy": np.__version__,
  }


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
  """Return the lines of a Markdown table."""
  lines = [columns, ["---"] * len(columns), *rows]
  return [f"| {' | '.join(cells)} |" for cells in lines]


def spread(row: Mapping[str, float], key: str, form: str = ".4g") -> str:
  """Return a median and its range as text: "1.5 (1.2-1.9)"."""
  middle, least, most = (row[f"{key}{end}"] for end in ("", "_min", "_max"))
  return f"{middle:{form}} ({least:{form}}-{most:{form}})"


def add_config(
  parser: argparse.ArgumentParser, default: str | None = "etf_jax:digits_lt"
) -> None:
  """Add --config, required where the default is None."""
  parser.add_argument(
    "--config",
    default=default,
    required=default is None,
    help="an experiment file; its fields may follow, as for etf_jax.main",
  )


def size(text: str) -> int:
  """Parse a positive whole number."""
  number = int(text)
  if number < 1:
    raise argparse.ArgumentTypeError(f"{text} is not positive")
  return number


def sizes(text: str) -> list[int]:
  """Parse positive whole numbers separated by commas."""
  return [size(part) for part in text.split(",")]
