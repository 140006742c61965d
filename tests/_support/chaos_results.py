# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""What runs of chaos.py end with, bit for bit, and the table of its faults."""

from collections.abc import Sequence
import contextlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from chaos_faults import FAULTS, Strike
import numpy as np

# What a clock has measured.
_TIMES = {
  "seconds",
  "images_per_second",
  "feed_images_per_second",
  "limited_by",
}


class Result(NamedTuple):
  """What a finished run leaves.

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
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  rows = [_timeless(json.loads(line)) for line in lines]
  return Result(rows, newest(workdir / "checkpoints"), newest(workdir / "best"))


def _timeless(value):
  if isinstance(value, dict):
    return {k: _timeless(v) for k, v in value.items() if k not in _TIMES}
  return value


def newest(folder: Path) -> dict[str, np.ndarray]:
  """The arrays of a folder's newest step, whoever saved it, and `step`."""
  # Late, for chaos.py says on what JAX runs.
  import jax
  import orbax.checkpoint as ocp

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
  """Where two results differ, by a bit or more."""
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


def table(strikes: Sequence[Strike]) -> str:
  """A line for each fault."""
  lines = [
    "| fault | times | at step | exit codes | all had ended after |"
    " steps computed again | result |",
    "|---|---|---|---|---|---|---|",
  ]
  for name in FAULTS:
    some = [strike for strike in strikes if strike.name == name]
    if not some:
      continue
    steps = sorted({s.where for s in some if isinstance(s.where, int)})
    places = [*steps, *sorted({s.where for s in some} - set(steps))]
    codes = sorted({" ".join(map(str, strike.codes)) for strike in some})
    wrong = sum(bool(strike.wrong) for strike in some)
    cells = (
      name,
      len(some),
      ", ".join(map(str, places)),
      "; ".join(codes),
      f"{max(strike.seconds for strike in some):.1f} s",
      max(strike.again or 0 for strike in some),
      f"{wrong} WRONG" if wrong else "the same bits",
    )
    lines.append(f"| {' | '.join(map(str, cells))} |")
  return "\n".join(lines)
