# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Numbers of figures: series over epochs from a run's rows, and their means."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
import warnings

import numpy as np

# A training curve keeps this many points; each is a mean over its bin.
_POINTS = 150

Rows = Sequence[Mapping[str, Any]]
# Epochs and values of each seed, NaN where undefined.
Pairs = Sequence[tuple[np.ndarray, np.ndarray]]


def pairs(rows: Rows, key: str) -> tuple[np.ndarray, np.ndarray]:
  """Return epochs and values of the rows that have a value."""
  known = [row for row in rows if row.get(key) is not None]
  return (
    np.array([row["epoch"] for row in known], np.float64),
    np.array([row[key] for row in known], np.float64),
  )


def measured(
  seeds: Iterable[Rows], key: str
) -> list[tuple[np.ndarray, np.ndarray]]:
  """Return epochs and values of each seed that has any, NaN where undefined.

  An undefined number is null in the file of a run, and None in a row.
  """
  found = []
  for rows in seeds:
    known = [row for row in rows if key in row]
    if known:
      epochs = np.array([row["epoch"] for row in known], np.float64)
      values = np.array([row[key] for row in known], np.float64)
      found.append((epochs, values))
  return found


def loss(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
  """Return epochs and training loss, over equally many steps at each point.

  A row has the mean since the row before it, and where an epoch ends that may
  be one step. Rows are joined, weighted by their steps, until each point has as
  many steps as the longest of them, and there are at most 150. NaN stands where
  a row of the point has NaN.
  """
  steps = np.array([row["step"] for row in rows], np.int64)
  if not steps.size:
    return np.zeros(0), np.zeros(0)
  windows = np.diff(steps, prepend=0)
  width = max(windows.max(), -(-steps[-1] // _POINTS))
  bins = -(-steps // width)
  known = np.array([row.get("loss") is not None for row in rows])
  values = np.array([row.get("loss") for row in rows], np.float64)
  epochs = np.array([row["epoch"] for row in rows], np.float64)
  members = [
    np.flatnonzero(known & (bins == place)) for place in np.unique(bins[known])
  ]
  return (
    np.array([epochs[part[-1]] for part in members]),
    np.array(
      [np.average(values[part], weights=windows[part]) for part in members]
    ),
  )


def by_epoch(pairs: Pairs) -> tuple[np.ndarray, list[list[float]]]:
  """Join the seeds by epoch, undefined values included.

  Returns the epochs in order, and for each the values of the seeds that have
  one.
  """
  values_at: dict[float, list[float]] = {}
  for epochs, values in pairs:
    for epoch, value in zip(epochs, values, strict=True):
      values_at.setdefault(float(epoch), []).append(float(value))
  return np.array(sorted(values_at)), [values_at[e] for e in sorted(values_at)]


def over_seeds(pairs: Pairs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Return epochs, means and deviations, leaving out undefined values."""
  epochs, lists = by_epoch(pairs)
  table = np.full((max(map(len, lists), default=0), epochs.size), np.nan)
  for column, values in enumerate(lists):
    table[: len(values), column] = values
  return epochs, *mean_and_deviation(table)


def mean_and_deviation(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Return mean and deviation (ddof 1) over the first axis, leaving out NaN.

  NaN stands where too few values are known.
  """
  with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
    return np.nanmean(values, axis=0), np.nanstd(values, axis=0, ddof=1)


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
  """Return a centered running mean over an odd window of values `[N]`.

  It leaves out NaN and shrinks at the ends.
  """
  known = np.isfinite(values)
  kernel = np.ones(window)
  total = np.convolve(np.where(known, values, 0), kernel, "same")
  number = np.convolve(known, kernel, "same")
  nothing = np.full(values.shape, np.nan)
  return np.divide(total, number, out=nothing, where=number > 0.5)
