# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The files that a run needs to go on, looked at before a step.

problem = resuming.lost_checkpoints(workdir, rows, every=400)
problem = resuming.lacking(rows, step, every=100, total=1000, splits=("test",))
"""

from collections.abc import Sequence
import logging
from pathlib import Path
import shutil

from etf_jax.training.checkpoints.manager import place_aside

_log = logging.getLogger(__name__)


def lost_checkpoints(
  workdir: Path, rows: Sequence[dict], every: int
) -> str | None:
  """Name the loss of the checkpoints of a run that has rows; or return None.

  Args:
    workdir: directory of a run without a checkpoint.
    rows: of its metrics.jsonl.
    every: steps from one checkpoint to the next.
  """
  last = max((row["step"] for row in rows), default=0)
  # The first checkpoint is complete before the second is begun.
  if not rows or (rows[-1]["kind"] != "final" and last <= 2 * every):
    return None
  return (
    f"{workdir / 'checkpoints'} holds no step, and metrics.jsonl has rows up to"
    f" step {last}: the same command would train again from step 0 and replace"
    " these rows; put checkpoints/ back, move metrics.jsonl away to train"
    " again, or choose another --workdir"
  )


def lacking(
  rows: Sequence[dict],
  step: int,
  *,
  every: int,
  total: int,
  splits: Sequence[str],
  window: int | None = None,
) -> str | None:
  """Name what is not there of the rows that led to a step; or return None.

  Args:
    rows: of metrics.jsonl, those of later steps too.
    step: of a checkpoint.
    every: steps from one evaluation to the next.
    total: steps of the run; 0: it does not train.
    splits: names of those that are evaluated.
    window: step of the last training row where the run was stopped at `step`
      and the metrics since then are in window.json.
  """
  if not total:
    return None
  evaluations = set(range(every, step + 1, every)) | ({total} & {step})
  for split in splits:
    known = {
      row["step"]
      for row in rows
      if row["kind"] == "eval" and row.get("split") == split
    }
    if missing := sorted(evaluations - known):
      return f"metrics.jsonl lacks the evaluation of step {missing[0]}"
  known = {row["step"] for row in rows if row["kind"] == "train"}
  # There is a row where one is evaluated, and where one is saved.
  ends = evaluations | {step if window is None else window}
  if missing := sorted(ends - known - {0}):
    line = f"metrics.jsonl lacks the training row of step {missing[0]}"
    if window is None:
      line += " and window.json the metrics before it"
    return line
  return None


def keep_ended(path: Path, rows: Sequence[dict], newest: int | None) -> None:
  """Keep the rows of a run that had ended, whose last checkpoint is gone.

  Args:
    path: metrics.jsonl.
    rows: its rows.
    newest: step of the newest checkpoint.
  """
  if not rows or rows[-1]["kind"] != "final" or newest == rows[-1]["step"]:
    return
  aside = place_aside(path.parent, path.name)
  shutil.copyfile(path, aside)
  _log.warning(
    f"warning: {path.parent / 'checkpoints' / str(rows[-1]['step'])} is"
    " missing, with which the run had ended; training again from step"
    f" {newest or 0}, and the rows of before are kept in {aside}"
  )


def name_lost_best(
  workdir: Path, best: int, kept: Sequence[int], *, ended: bool = False
) -> None:
  """Warn of variables of the best evaluation that are not there any more.

  Args:
    workdir: directory of the run.
    best: step of the best evaluation so far.
    kept: steps in `best/`. A later one has taken the place of the best before a
      kill, and comes again.
    ended: True for a run that has ended.
  """
  if not any(step >= best for step in kept):
    remedy = "only a better one that follows is kept there"
    _log.warning(
      f"warning: {workdir / 'best'} lacks step {best}, the best evaluation so"
      f" far; {'put it back, or use the last step' if ended else remedy}"
    )
