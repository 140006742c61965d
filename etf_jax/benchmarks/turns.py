# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Compares arms that make batches, in turns: A B A B."""

from collections.abc import Callable, Iterator, Mapping
import statistics
import time
from typing import Any, NamedTuple

from etf_jax.benchmarks.report import load

# A feed works ahead while it is not its turn. So the first batches of a turn
# are not timed: those that lay ready, and those that were made while the feed
# before was filling up again.
READY = 2
_UNTIMED = 4 * READY


class Taken(NamedTuple):
  """Seconds of a turn: by the clock, and of processors where these count."""

  wall: float
  processors: float | None


# Makes so many batches.
Arm = Callable[[int], Taken]


def pull(feed: Iterator, batches: int, *, counted: bool) -> Taken:
  """Take batches from a feed that runs on in the background.

  Args:
    feed: Yields batches, at most a few of them made ahead.
    batches: How many are timed.
    counted: Whether the work is done by this process.

  Returns:
    What the timed ones took.
  """
  for _ in range(_UNTIMED):
    next(feed)
  wall, processors = time.perf_counter(), time.process_time()
  for _ in range(batches):
    next(feed)
  processors = time.process_time() - processors
  return Taken(time.perf_counter() - wall, processors if counted else None)


def compare(
  arms: Mapping[str, Arm],
  *,
  base: str,
  batch_size: int,
  blocks: int,
  seconds: float,
) -> dict[str, Any]:
  """Let every arm have its turn, again and again.

  Args:
    arms: By name.
    base: The arm that ratios refer to.
    batch_size: Images in a batch.
    blocks: Turns of each arm.
    seconds: About how long a turn should take.

  Returns:
    "base"; "load", the machine's mean load meanwhile; "arms", by name: images
    per second and their ratio to the base's in the same round, medians and
    ranges over turns; and where it can be counted, the median processor time
    of an image in milliseconds, its ratio (the base's over the arm's) and how
    many cores the arm was given. Others that want to run change rates more than
    processor time: an arm of more threads then is given more.
  """
  batches = {name: _number(arm, seconds) for name, arm in arms.items()}
  loads = [load()]
  taken: dict[str, list[Taken]] = {name: [] for name in arms}
  for _ in range(blocks):
    for name, arm in arms.items():
      taken[name].append(arm(batches[name]))
    loads.append(load())
  images = {name: batches[name] * batch_size for name in arms}
  rates = {
    name: [images[name] / turn.wall for turn in turns]
    for name, turns in taken.items()
  }
  costs = {
    name: 1e3 * statistics.median(t.processors for t in turns) / images[name]
    for name, turns in taken.items()
    if turns[0].processors is not None
  }
  report = {}
  for name, ours in rates.items():
    ratios = [a / b for a, b in zip(ours, rates[base], strict=True)]
    report[name] = _spread("images_per_second", ours) | _spread("ratio", ratios)
    if name in costs:
      report[name] |= {
        "processor_ms": costs[name],
        "processor_ratio": costs[base] / costs[name],
        "cores": statistics.median(t.processors / t.wall for t in taken[name]),
      }
  return {"base": base, "load": statistics.mean(loads), "arms": report}


def _number(arm: Arm, seconds: float) -> int:
  """How many batches an arm makes in so many seconds, about.

  One batch would not tell: those of several workers come in bursts.
  """
  number = 1
  while (wall := arm(number).wall) < seconds / 4:
    number *= 2
  return max(1, round(number * seconds / wall))


def _spread(key: str, values: list[float]) -> dict[str, float]:
  return {
    key: statistics.median(values),
    key + "_min": min(values),
    key + "_max": max(values),
  }
