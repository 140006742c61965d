# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The variables that a run has saved: those that it evaluates.

checkpoint = restore.find(run, "last", choice="--step")
restore.check(checkpoint, wanted)    # by their shapes, without reading them
variables = restore.read(checkpoint, wanted)

They are the averages, if the run makes some: a state to resume from has them
beside its own variables, and `best/` has them instead.
"""

from collections.abc import Iterator, Mapping
import contextlib
from pathlib import Path
from typing import Any, NamedTuple

import jax
import orbax.checkpoint as ocp

from etf_jax.errors import InputError
from etf_jax.runs import reader
from etf_jax.training.checkpoints import integrity
from etf_jax.training.parallel import distributed

CHOICES = ("last", "best")
_FOLDERS = {"last": "checkpoints", "best": "best"}
_COLLECTIONS = ("params", "batch_stats", "etf")


class Checkpoint(NamedTuple):
  """A checkpoint that a run has saved.

  Attributes:
    folder: where it is.
    step: of the run.
    averages: whether it keeps them beside the variables.
    prefix: of messages about it.
    remedy: what helps if it is damaged.
  """

  folder: Path
  step: int
  averages: bool
  prefix: str
  remedy: str


class OtherModelError(InputError):
  """A checkpoint that can be read, of another model."""


def find(
  run: reader.RunRecord, which: str, *, choice: str | None, prefix: str = ""
) -> Checkpoint:
  """Return a checkpoint of a run, that of the result if the run is finished.

  Args:
    run: its directory.
    which: "last", of an unfinished run the newest that there is, or "best".
    choice: for messages, the field or flag that says `which`; None: there is
      none.
    prefix: of messages, where they need more than the directory.

  Raises:
    InputError: it is not there.
  """
  if which not in CHOICES:
    raise InputError(f"step={which!r} is none of {', '.join(CHOICES)}")
  saved = _steps(run, which)
  if run.final is not None:
    step = run.final[which]["step"]
  else:
    step = max(saved, default=None)
  (other,) = set(CHOICES) - {which}
  instead = ""
  if choice and _steps(run, other):
    instead = f", or take {choice}={other}"
  if step not in saved:
    missing = f"{prefix}{run.directory} has no {which} checkpoint"
    if which == "best" and _never_best(run):
      raise InputError(f"{missing} (config.checkpoint.best is False){instead}")
    if step is None:
      raise InputError(
        f"{missing}: it has not come to its first, or was copied without it"
        f"{instead}"
      )
    raise InputError(
      f"{missing}, {_FOLDERS[which]}/{step}: copy the whole directory{instead}"
    )
  again = ", remove it and repeat the run's command" if which == "last" else ""
  return Checkpoint(
    folder=run.directory / _FOLDERS[which] / str(step),
    step=step,
    averages=which == "last" and bool(run.config.get("ema_decay")),
    prefix=prefix,
    remedy=f"copy it again{again}{instead}",
  )


def check(
  checkpoint: Checkpoint, wanted: Mapping[str, Any], *, whole: bool = False
) -> None:
  """Compare the shapes of a checkpoint's variables with those of a model.

  Args:
    checkpoint: see `find`.
    wanted: arrays or `jax.ShapeDtypeStruct`s, by collection.
    whole: nothing else may be there.

  Raises:
    OtherModelError: they differ.
    InputError: the checkpoint is damaged.
  """
  with _reading(checkpoint) as place:
    tree = ocp.PyTreeCheckpointHandler().metadata(place).tree
    averages = "ema" in tree
    variables = tree | tree["ema"] if averages else tree
    found = _shapes({k: variables.get(k, {}) for k in _COLLECTIONS})
  expected, missing = _shapes(wanted), "missing"
  different = [
    f"{name}: {found.get(name, missing)} there,"
    f" {expected.get(name, missing)} here"
    for name in sorted(expected | found if whole else expected)
    if found.get(name) != expected.get(name)
  ]
  if averages != checkpoint.averages:
    number, recorded = ("", "none") if averages else ("no ", "some")
    different = [f"{number}averages there, {recorded} by its config.json"]
  if different:
    raise OtherModelError(
      f"{checkpoint.prefix}{checkpoint.folder} is of another model"
      f" ({different[0]})"
    )


def read(
  checkpoint: Checkpoint, wanted: Mapping[str, Any], *, whole: bool = False
) -> dict[str, Any]:
  """Read the variables of a checkpoint, in all processes at once.

  Args:
    checkpoint: see `find`.
    wanted: as for `check`. What has a sharding is placed so, the rest becomes
      NumPy arrays.
    whole: as for `check`.

  Raises:
    OtherModelError: see `check`.
    InputError: the checkpoint is damaged.
  """
  with _reading(checkpoint) as place:
    integrity.check(place)
  check(checkpoint, wanted, whole=whole)
  stored = {
    name: jax.tree.map(ocp.utils.to_shape_dtype_struct, tree)
    for name, tree in wanted.items()
    if tree
  }
  if checkpoint.averages:
    fixed = {name: stored.pop(name) for name in ("etf",) if name in stored}
    stored = fixed | {"ema": stored}
  arguments = ocp.args.PyTreeRestore(
    stored,
    restore_args=ocp.checkpoint_utils.construct_restore_args(stored),
    partial_restore=True,
  )
  with (
    _reading(checkpoint) as place,
    contextlib.closing(
      ocp.Checkpointer(ocp.PyTreeCheckpointHandler())
    ) as reader,
  ):
    found = reader.restore(place, args=arguments)
  found = found.pop("ema", {}) | found
  return {name: found.get(name, {}) for name in wanted}


def _steps(run: reader.RunRecord, which: str) -> list[int]:
  """Return the steps of the complete checkpoints."""
  folder = run.directory / _FOLDERS[which]
  return ocp.utils.checkpoint_steps(folder) if folder.is_dir() else []


def _never_best(run: reader.RunRecord) -> bool:
  return not run.config.get("checkpoint", {}).get("best", True)


@contextlib.contextmanager
def _reading(checkpoint: Checkpoint) -> Iterator[Path]:
  """Give the folder of the arrays; turn errors there into one line."""
  try:
    yield checkpoint.folder.absolute() / "default"
  except MemoryError:
    raise
  # What is damaged can raise anything: JSON, OCDBT, TensorStore and Orbax do.
  except Exception as error:
    if distributed.is_loss(error):
      raise
    raise InputError(
      f"{checkpoint.prefix}{checkpoint.folder} cannot be read"
      f" ({distributed.first_line(error)[:200]}): {checkpoint.remedy}"
    ) from error


def _shapes(tree: Any) -> dict[str, list[int]]:
  """Return the shape of each array by its path, as `params/head/kernel`."""
  leaves = jax.tree_util.tree_leaves_with_path(
    tree, is_leaf=lambda x: hasattr(x, "shape")
  )
  return {
    jax.tree_util.keystr(path, simple=True, separator="/"): list(leaf.shape)
    for path, leaf in leaves
  }
