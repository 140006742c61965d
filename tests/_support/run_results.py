# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Files of finished runs, compared bit by bit."""

import contextlib
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
import tiny_runs


class Result(NamedTuple):
  """Files of a finished run.

  Attributes:
    rows: of metrics, without times.
    state: of the last step, by name.
    best: the variables of the best evaluation, by name.
  """

  rows: list[dict[str, Any]]
  state: dict[str, np.ndarray]
  best: dict[str, np.ndarray]


def read(workdir: Path) -> Result:
  """The result of a finished run."""
  folders = workdir / "checkpoints", workdir / "best"
  return Result(tiny_runs.rows(workdir), *map(newest, folders))


def newest(folder: Path) -> dict[str, np.ndarray]:
  """The arrays of a folder's newest step, whoever saved it, and `step`."""
  step = max(int(path.name) for path in folder.iterdir() if path.name.isdigit())
  with contextlib.closing(ocp.PyTreeCheckpointer()) as reader:
    path = folder.absolute() / str(step) / "default"
    shapes = reader.metadata(path).item_metadata.tree
    restored = reader.restore(
      path,
      restore_args=jax.tree.map(
        lambda _: ocp.RestoreArgs(restore_type=np.ndarray), shapes
      ),
    )
  arrays = {
    jax.tree_util.keystr(path): np.asarray(leaf)
    for path, leaf in jax.tree_util.tree_leaves_with_path(restored)
  }
  return {"step": np.asarray(step)} | arrays


def differences(actual: Result, expected: Result) -> list[str]:
  """List the places where two results differ, by a bit or more."""
  found = []
  if len(actual.rows) != len(expected.rows):
    found.append(f"{len(actual.rows)} rows, not {len(expected.rows)}")
  for row, other in zip(actual.rows, expected.rows, strict=False):
    if row != other:
      names = [k for k in row | other if row.get(k) != other.get(k)]
      found.append(f"{other['kind']} row of step {other['step']}: {names}")
  for part in ("state", "best"):
    arrays, others = getattr(actual, part), getattr(expected, part)
    if arrays.keys() != others.keys():
      found.append(f"{part}: {sorted(arrays.keys() ^ others.keys())}")
      continue
    different = [
      name
      for name, array in arrays.items()
      if _bits(array) != _bits(others[name])
    ]
    if different:
      found.append(f"{part}: {different}")
  return found


def _bits(array):
  return array.dtype, array.shape, array.tobytes()
