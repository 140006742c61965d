# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""From the rows of a run to what is drawn over its epochs."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

# A training curve keeps this many points; each is a mean over its bin.
_POINTS = 150

Rows = Sequence[dict[str, Any]]


def pairs(rows: Rows, key: str) -> tuple[np.ndarray, np.ndarray]:
  """Epochs and values of the rows that have a value."""
  known = [row for row in rows if row.get(key) is not None]
  return (
    np.array([row["epoch"] for row in known], np.float64),
    np.array([row[key] for row in known], np.float64),
  )


def measured(
  seeds: Iterable[Rows], key: str
) -> list[tuple[np.ndarray, np.ndarray]]:
  """Epochs and values of each seed that has any, NaN where undefined.

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
  """Epochs and training loss, over equally many steps at each point.

  A row has the mean since the row before it, and where an epoch ends that may
  be one step. Rows are joined, weighted by their steps, until each point has as
  many steps as the longest of them, and there are at most 150.

  Args:
    rows: of a run's training, in order.

  Returns:
    `[P]` epochs and `[P]` losses; NaN where a row of the point has NaN.
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
  held = [np.flatnonzero(known & (bins == place)) for place in np.unique(bins)]
  held = [part for part in held if part.size]
  return (
    np.array([epochs[part[-1]] for part in held]),
    np.array(
      [np.average(values[part], weights=windows[part]) for part in held]
    ),
  )
