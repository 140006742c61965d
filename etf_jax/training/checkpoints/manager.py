# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Checkpoints of a working directory: `checkpoints/` to resume, `best/` to use.

Two managers, because a manager that keeps the best would delete the newest.
Saving is asynchronous; what a killed process leaves half-written is ignored.
All processes of a run save and restore together, in one folder that all see.
"""

from collections.abc import Callable, Iterator
import contextlib
import json
import logging
import os
from pathlib import Path

import jax
from ml_collections import ConfigDict
import numpy as np
import orbax.checkpoint as ocp

from etf_jax.errors import InputError
from etf_jax.training.checkpoints import integrity
from etf_jax.training.parallel import distributed
from etf_jax.training.state import TrainState

_log = logging.getLogger(__name__)

# Where steps go that cannot be read; a run does not delete what it was given.
_DAMAGED = "damaged"


class Checkpoints:
  """The checkpoints of one run."""

  def __init__(self, workdir: Path, config: ConfigDict):
    """Open both folders, which need not exist.

    Args:
      workdir: the run's directory.
      config: `checkpoint`, how many to keep.

    Raises:
      InputError: they cannot be made.
    """
    self._workdir = Path(workdir).absolute()
    with self._saving():
      self._resume = _manager(self._workdir / "checkpoints", config.keep)
      self._best = _manager(self._workdir / "best", 1) if config.best else None

  @property
  def latest(self) -> int | None:
    """Return the newest complete step, or None."""
    return self._resume.latest_step()

  def restore(
    self,
    like: TrainState,
    lacking: Callable[[int], str | None] = lambda step: None,
  ) -> tuple[TrainState, int]:
    """Return the newest state to go on from, and its step.

    Steps after it are named on standard error and put aside.

    Args:
      like: a state; the arrays of the restored one lie where its arrays do,
        which may be other devices than those that saved them.
      lacking: what is not there of the rows that led to a step, or None.

    Returns:
      `like` itself and 0 if there is no checkpoint.

    Raises:
      InputError: no checkpoint can be read, or they hold another model.
    """
    found = distributed.from_writer(lambda: self._newest_whole(like, lacking))
    if found is None:
      return like, 0
    self._resume.reload()
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
    try:
      return self._resume.restore(
        found, args=ocp.args.StandardRestore(abstract)
      ), found
    except (ValueError, KeyError) as error:
      raise self._unreadable(found, error) from error

  def _newest_whole(self, like, lacking):
    """Look at whole checkpoints, newest first, and at the rows before them."""
    problems = {}
    for step in sorted(self._resume.all_steps(), reverse=True):
      problem = _problem(Path(self._resume.directory / str(step)), like)
      if problem is None and (line := lacking(step)):
        problem = _MissingRowsError(line)
      if problem is None:
        break
      problems[step] = problem
    else:
      if problems:
        raise self._unreadable(*max(problems.items()))
      return None
    for damaged, problem in problems.items():
      what = (
        "cannot be used"
        if isinstance(problem, _MissingRowsError)
        else "is damaged"
      )
      _log.warning(
        f"warning: step {damaged} in {self._resume.directory} {what}"
        f" ({_first_line(problem)}); going on from step {step}"
      )
      aside = place_aside(self._workdir, str(damaged))
      os.replace(self._resume.directory / str(damaged), aside)
    return step

  def _unreadable(self, step, error):
    missing = isinstance(error, _MissingRowsError)
    return InputError(
      f"cannot resume from {self._resume.directory}, step {step}:"
      f" {_first_line(error)}; {'put it back, or ' * missing}choose another"
      " --workdir"
    )

  def best_steps(self) -> list[int]:
    """Return the steps in `best/`."""
    return list(self._best.all_steps()) if self._best else []

  def save(self, state: TrainState, step: int) -> None:
    """Start saving a state to resume from.

    The best one before it is waited for: whoever resumes here must find it.

    Raises:
      InputError: it, or the one before, cannot be written.
    """
    with self._saving():
      if self._best:
        self._best.wait_until_finished()
      self._resume.save(step, args=ocp.args.StandardSave(state))

  def save_best(self, variables: dict, step: int) -> None:
    """Start saving the variables of the best evaluation so far.

    Raises:
      InputError: they cannot be written.
    """
    if not self._best:
      return
    with self._saving():
      for stale in self._best.all_steps():
        # Left by a run that was killed after the step it resumed from.
        if stale >= step:
          self._best.delete(stale)
      self._best.save(step, args=ocp.args.StandardSave(variables))

  def wait(self) -> None:
    """Wait for what is being saved.

    Raises:
      InputError: it cannot be written.
    """
    with self._saving():
      for manager in self._managers():
        manager.wait_until_finished()

  def close(self) -> None:
    """Wait for what is being saved, and close the managers.

    Raises:
      InputError: it cannot be written.
    """
    with contextlib.ExitStack() as stack:
      for manager in self._managers():
        stack.enter_context(self._saving())
        stack.callback(manager.close)

  def _managers(self):
    return [m for m in (self._resume, self._best) if m]

  @contextlib.contextmanager
  def _saving(self) -> Iterator[None]:
    try:
      yield
    except InputError:
      raise
    # Orbax and TensorStore say that a disk is full with several of these.
    except (OSError, ValueError, RuntimeError) as error:
      if distributed.is_loss(error):
        raise
      raise InputError(
        f"cannot save in {self._workdir}: {_first_line(error)}; make room or"
        " make it writable: the same command continues from the last step"
        " there"
      ) from error


class _MissingRowsError(Exception):
  """Rows of metrics that a step builds on are missing."""


def place_aside(workdir: Path, name: str) -> Path:
  """Return a free path in `damaged/`, which is made."""
  aside = workdir / _DAMAGED
  aside.mkdir(exist_ok=True)
  return aside / f"{name}-{len(list(aside.iterdir()))}"


def _problem(folder: Path, like: TrainState) -> Exception | None:
  """Read all of a checkpoint; return the error that it ends in, or None."""
  abstract = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), like
  )
  arguments = ocp.args.PyTreeRestore(
    abstract,
    restore_args=jax.tree.map(
      lambda _: ocp.RestoreArgs(restore_type=np.ndarray), abstract
    ),
  )
  single = ocp.options.MultiprocessingOptions(
    primary_host=jax.process_index(),
    active_processes={jax.process_index()},
    barrier_sync_key_prefix="check",
  )
  reader = ocp.Checkpointer(
    ocp.PyTreeCheckpointHandler(multiprocessing_options=single),
    multiprocessing_options=single,
  )
  try:
    if not integrity.check(folder / "default"):
      _log.warning(
        f"warning: {folder} has no {integrity.NAME}, so a flipped bit in it"
        " would go unseen"
      )
    with contextlib.closing(reader):
      reader.restore(folder / "default", args=arguments)
    # NumPy arrays are restored without these, arrays on devices are not.
    for file in (folder / "default" / "array_metadatas").glob("*"):
      json.loads(file.read_bytes())
  except MemoryError:
    raise
  # What is damaged can raise anything: JSON, OCDBT, TensorStore and Orbax do.
  except Exception as error:
    return error
  return None


class _Handler(ocp.StandardCheckpointHandler):
  """Orbax's own, which leaves digests beside what it has written."""

  def finalize(self, directory: Path) -> None:
    """In one process, when all have written and before it counts as saved."""
    super().finalize(directory)
    integrity.write(Path(directory))

  @classmethod
  def typestr(cls) -> str:
    """Whoever reads the checkpoint needs Orbax's handler alone."""
    return ocp.StandardCheckpointHandler.typestr()


def _first_line(error: Exception) -> str:
  return next(iter(str(error).splitlines()), type(error).__name__)[:200]


def _manager(directory: Path, keep: int) -> ocp.CheckpointManager:
  # Here and not by Orbax, whose threads wait ten minutes for what they cannot
  # make.
  directory.mkdir(parents=True, exist_ok=True)
  # Two managers that save at once must not meet at each other's barriers.
  several = ocp.options.MultiprocessingOptions(
    barrier_sync_key_prefix=directory.name
  )
  handler = _Handler(multiprocessing_options=several)
  handlers = ocp.DefaultCheckpointHandlerRegistry()
  for arguments in (ocp.args.StandardSave, ocp.args.StandardRestore):
    handlers.add("default", arguments, handler)
  return ocp.CheckpointManager(
    directory,
    handler_registry=handlers,
    options=ocp.CheckpointManagerOptions(
      max_to_keep=keep, create=True, multiprocessing_options=several
    ),
  )
