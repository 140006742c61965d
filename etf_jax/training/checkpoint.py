# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Checkpoints of a working directory: `checkpoints/` to resume, `best/` to use.

Two managers, because a manager that keeps the best would delete the newest.
Saving is asynchronous; what a killed process leaves half-written is ignored.
"""

from pathlib import Path

import jax
from ml_collections import ConfigDict
import orbax.checkpoint as ocp

from etf_jax.errors import InputError
from etf_jax.training.state import TrainState


class Checkpoints:
  """The checkpoints of one run."""

  def __init__(self, workdir: Path, config: ConfigDict):
    """Opens both folders, which need not exist.

    Args:
      workdir: the run's directory.
      config: `checkpoint`, how many to keep.
    """
    workdir = Path(workdir).absolute()
    self._resume = _manager(workdir / "checkpoints", config.keep)
    self._best = _manager(workdir / "best", 1) if config.best else None

  @property
  def latest(self) -> int | None:
    """The newest complete step, or None."""
    return self._resume.latest_step()

  def restore(self, like: TrainState) -> TrainState:
    """The newest state, put where the arrays of `like` are.

    Raises:
      InputError: the checkpoint holds another model.
    """
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
    try:
      return self._resume.restore(
        self.latest, args=ocp.args.StandardRestore(abstract)
      )
    except (ValueError, KeyError) as error:
      raise InputError(
        f"cannot resume from {self._resume.directory}, step {self.latest}:"
        f" {str(error).splitlines()[0]}; choose another --workdir"
      ) from error

  def save(self, state: TrainState, step: int) -> None:
    """Starts saving a state to resume from.

    The best one before it is waited for: whoever resumes here must find it.
    """
    if self._best:
      self._best.wait_until_finished()
    self._resume.save(step, args=ocp.args.StandardSave(state))

  def save_best(self, variables: dict, step: int) -> None:
    """Starts saving the variables of the best evaluation so far."""
    if self._best:
      for stale in self._best.all_steps():
        # Left by a run that was killed after the step it resumed from.
        if stale >= step:
          self._best.delete(stale)
      self._best.save(step, args=ocp.args.StandardSave(variables))

  def close(self) -> None:
    """Waits for what is being saved."""
    for manager in (self._resume, self._best):
      if manager:
        manager.wait_until_finished()
        manager.close()


def _manager(directory: Path, keep: int) -> ocp.CheckpointManager:
  return ocp.CheckpointManager(
    directory,
    options=ocp.CheckpointManagerOptions(max_to_keep=keep, create=True),
  )
