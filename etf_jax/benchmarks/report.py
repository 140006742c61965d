# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""How benchmarks time their arms, and what they write.

taken = time_in_turns({"ours": ours, "theirs": theirs}, blocks=7, seconds=0.5)
ratio(taken, "ours", "theirs")["ratio"]
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
import json
import os
import pathlib
import statistics
import sys
import time
from typing import Any

import jax
import numpy as np
import optax

import etf_jax
from etf_jax.errors import InputError

# Does so many calls, or steps, and returns the seconds that they took.
Turn = Callable[[int], float]


def synchronised(call: Callable[[], Any]) -> Turn:
  """A turn of calls that start work on a device; it waits once, at the end."""

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
    arms: by name.
    blocks: how often each is timed.
    seconds: about how long a block should take.
    warmup: calls of each that come first and are not counted.
    multiple: calls of a block, by name, are a multiple of this; 1 if it is not
      given.

  Returns:
    Seconds per call, one number for each block, by name.
  """
  calls = {}
  for name, turn in arms.items():
    least = (multiple or {}).get(name, 1)
    turn(-(-warmup // least) * least)
    once = max(turn(least), 1e-6)
    calls[name] = least * max(1, round(seconds / once))
  taken: dict[str, list[float]] = {name: [] for name in arms}
  for _ in range(blocks):
    for name, turn in arms.items():
      taken[name].append(turn(calls[name]) / calls[name])
  return taken


def time_in_turns(
  arms: Mapping[str, Callable[[], Any]], *, blocks: int, seconds: float
) -> dict[str, list[float]]:
  """`take_turns` of functions that start work and return its result."""
  turns = {name: synchronised(call) for name, call in arms.items()}
  return take_turns(turns, blocks=blocks, seconds=seconds)


def summary(seconds: Sequence[float]) -> dict[str, float]:
  """The median and range of timings, in milliseconds."""
  return {
    "ms": 1e3 * statistics.median(seconds),
    "ms_min": 1e3 * min(seconds),
    "ms_max": 1e3 * max(seconds),
  }


def ratio(
  taken: Mapping[str, Sequence[float]], over: str, under: str
) -> dict[str, float]:
  """One arm's time over another's in the same block: median and range.

  Returns:
    "ratio", "ratio_min", "ratio_max"; below 1 the first arm is faster.
  """
  ratios = [a / b for a, b in zip(taken[over], taken[under], strict=True)]
  return {
    "ratio": statistics.median(ratios),
    "ratio_min": min(ratios),
    "ratio_max": max(ratios),
  }


def load() -> float:
  """Process that wanted to run, of late; nan where the system cannot say."""
  try:
    return os.getloadavg()[0]
  except (AttributeError, OSError):
    return float("nan")


def environment() -> dict[str, Any]:
  """What the numbers depend on besides the code."""
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
  """The lines of a Markdown table."""
  lines = [columns, ["---"] * len(columns), *rows]
  return [f"| {' | '.join(cells)} |" for cells in lines]


def spread(row: Mapping[str, float], key: str, form: str = ".4g") -> str:
  """A median and its range, as in "1.5 (1.2-1.9)"."""
  middle, least, most = (row[f"{key}{end}"] for end in ("", "_min", "_max"))
  return f"{middle:{form}} ({least:{form}}-{most:{form}})"


def check_place(path: pathlib.Path | None) -> None:
  """Before any work is done.

  Raises:
    InputError: the folder of the report is missing.
  """
  if path is not None and not path.absolute().parent.is_dir():
    raise InputError(f"--json={path}: there is no such folder; make it first")


def header(around: Mapping[str, Any]) -> list[str]:
  """The environment as lines, and on a CPU how to read what follows."""
  lines = [" ".join(f"{key}={value}" for key, value in around.items())]
  if around["platform"] == "cpu":
    lines.append("On a CPU only the ratios say something.")
  return lines


def write(path: pathlib.Path | None, report: Mapping[str, Any]) -> None:
  """Write a report as JSON, if there is a place for it."""
  if path is not None:
    path.write_text(json.dumps(report, indent=2) + "\n")


def add_config(
  parser: argparse.ArgumentParser, default: str | None = "etf_jax:digits_lt"
) -> None:
  """The experiment that a command measures.

  Args:
    parser: of the command.
    default: what it measures otherwise; None: it has to be told.
  """
  parser.add_argument(
    "--config",
    default=default,
    required=default is None,
    help="an experiment file; its fields may follow, as for etf_jax.main",
  )


def size(text: str) -> int:
  """An option that is a positive whole number."""
  number = int(text)
  if number < 1:
    raise argparse.ArgumentTypeError(f"{text} is not positive")
  return number


def sizes(text: str) -> list[int]:
  """Several of them, separated by commas."""
  return [size(part) for part in text.split(",")]
