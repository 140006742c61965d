# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The model that `config.init_from` names: of a run, of a file or of a hub.

config = init_from.resolve(config, input_shape)  # checks, and names the source
state = init_from.start(config, fresh_state, seed)

The backbone is taken, beside a fresh head, or all of the model. Images of other
sizes and other classes are no obstacle to a backbone that does not depend on
them.
"""

import hashlib
from pathlib import Path

import jax
from ml_collections import ConfigDict, FrozenConfigDict
import optax

from etf_jax import models
from etf_jax.data.feeds import resident
from etf_jax.errors import InputError
from etf_jax.models import pretrained
from etf_jax.runs import identity, reader
from etf_jax.training.checkpoints import hub, restore
from etf_jax.training.parallel import distributed
from etf_jax.training.state import TrainState, train_state_shapes

_FILE = ".safetensors"


def resolve(
  config: ConfigDict, input_shape: tuple[int, int, int]
) -> FrozenConfigDict:
  """Check the models that the seeds of a run start from, and record their hash.

  Args:
    config: of `config.resolve_config`, with an `init_from`.
    input_shape: of the images that the model takes, `(H, W, C)`.

  Returns:
    A copy with `init_hash`: of a run its hash, and its seed if it serves all
    seeds; of a file the SHA-256 of its bytes. `init_from` has the commit of a
    hub's file.

  Raises:
    InputError: a file or run that is missing, unfinished or does not fit.
  """
  shapes = train_state_shapes(
    models.create_model(config), optax.identity(), input_shape
  )
  wanted = _chosen(shapes.variables, config.init_parts)
  config = ConfigDict(config)
  if config.init_from.startswith(identity.HUB):
    _, config.init_from = hub.download(config.init_from)
  if path := _file(config.init_from):
    if config.init_checkpoint != "last":
      raise InputError(
        f"config.init_checkpoint={config.init_checkpoint!r} is for runs, and"
        f" config.init_from={config.init_from!r} is a file: leave it out"
      )
    _load(path, wanted, config.init_parts)
    with path.open("rb") as file:
      found = {hashlib.file_digest(file, "sha256").hexdigest()}
  else:
    found = {_check_run(config, seed, wanted) for seed in config.seeds}
  if config.init_hash:
    found.add(config.init_hash)
  if len(found) > 1:
    raise InputError(
      f"config.init_from={config.init_from!r} is {' and '.join(sorted(found))}:"
      " all seeds must start from runs of one configuration, and from"
      " config.init_hash if set"
    )
  (config.init_hash,) = found
  distributed.check_same({"what config.init_from holds": config.init_hash})
  return FrozenConfigDict(config)


def start(config: ConfigDict, state: TrainState, seed: int) -> TrainState:
  """Make the first state of a run that starts from another model.

  Args:
    config: of `resolve`.
    state: a fresh one, which lends its head to a backbone.
    seed: of this run.

  Raises:
    InputError: the file or run is not there any more.
  """
  wanted = _chosen(state.variables, config.init_parts)
  if path := _file(config.init_from):
    taken = jax.tree.map(
      lambda array, like: resident.place(array, like.sharding),
      _load(path, wanted, config.init_parts),
      wanted,
    )
  else:
    found = _checkpoint(config, find(config.init_from, seed))
    taken = restore.read(found, wanted)
  joined = {
    name: tree | taken.get(name, {}) for name, tree in state.variables.items()
  }
  state = state.begin_from(joined["params"], joined["batch_stats"])
  return state.replace(etf=joined["etf"])


def find(init_from: str, seed: int) -> reader.RunRecord:
  """Find the run to start from: that of a directory, or of its `seed=N`.

  Raises:
    InputError: there is none, or it has not finished.
  """
  place = Path(init_from)
  if not (place / "config.json").exists():
    place /= f"seed={seed}"
  if not (place / "config.json").exists():
    raise InputError(
      f"config.init_from={init_from!r} holds no run of seed {seed}"
      f" (neither config.json nor seed={seed}/config.json): give the directory"
      f" of a finished run, the one above its seed=N, a {_FILE} file, or"
      f" {identity.HUB}ORG/NAME"
    )
  run = reader.load_run(place)
  if run.final is None:
    raise InputError(
      f"config.init_from: {place} has not finished (epoch {run.epoch:.4g}):"
      " repeat its command"
    )
  return run


def checkpoint(
  run: reader.RunRecord, which: str, choice: str | None = None
) -> restore.Checkpoint:
  """Find a checkpoint to start from.

  Args:
    run: see `find`.
    which: last | best.
    choice: the field that says so, if there is one.

  Raises:
    InputError: it is missing.
  """
  return restore.find(run, which, choice=choice, prefix="config.init_from: ")


def _file(init_from):
  """Return the path of a file or of a hub's, None for a run."""
  if init_from.startswith(identity.HUB):
    return hub.download(init_from)[0]
  path = Path(init_from)
  return path if path.suffix == _FILE else None


def _chosen(variables, parts):
  """Choose the variables that are taken from the other model."""
  if parts == "all":
    return {name: tree for name, tree in variables.items() if tree}
  return {
    name: {"backbone": tree["backbone"]}
    for name, tree in variables.items()
    if "backbone" in tree
  }


def _load(path, wanted, parts):
  """Load the arrays of a file, on the host."""
  if parts == "all":
    return pretrained.load(path, wanted)
  backbone = {name: tree["backbone"] for name, tree in wanted.items()}
  loaded = pretrained.load(path, backbone)
  return {name: {"backbone": tree} for name, tree in loaded.items()}


def _checkpoint(config, run):
  return checkpoint(run, config.init_checkpoint, "config.init_checkpoint")


def _check_run(config, seed, wanted):
  """Refuse a run that does not fit; return its hash."""
  run = find(config.init_from, seed)
  where = f"config.init_from: {run.directory}"
  found = _checkpoint(config, run)
  everything = config.init_parts == "all"
  fields = ("model", "head") if everything else ("model",)
  # Whether other numbers of classes matter, the shapes below will tell.
  different = [
    line
    for line in identity.differences(run.config, config, *fields)
    if not line.startswith("model.num_classes:")
  ]
  if different:
    raise InputError(
      f"{where} has another model ({'; '.join(different)}): make these fields"
      " equal"
    )
  try:
    restore.check(found, wanted, whole=everything)
  except restore.OtherModelError as error:
    less = ": set config.init_parts='backbone'" if everything else ""
    raise InputError(f"{error}{less}") from error
  # A run that serves all seeds is not told from others by its hash only.
  serves_all = run.directory == Path(config.init_from)
  return f"{run.hash}/seed={run.seed}" if serves_all else run.hash
