# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Methods of two stages: a new classifier on the backbone of a finished run.

config = two_stage.resolve(config, dataset)    # checks the runs of all seeds
state, facts = two_stage.start(config, fresh_state, seed, evaluate)

Kang et al. 2020 (arXiv:1910.09217): cRT learns the classifier again, on
batches of balanced classes; tau-normalisation scales the columns it has.
"""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np
import orbax.checkpoint as ocp

from etf_jax.data import Dataset
from etf_jax.errors import InputError
from etf_jax.reporting import runs
from etf_jax.training import methods, workdir
from etf_jax.training.state import TrainState

# The first stage must have had the same of these; the rest is its own affair.
_SHARED = ("data", "model", "head", "dtype")


def resolve(config: ConfigDict, dataset: Dataset) -> ConfigDict:
  """Checks the runs to start from, and writes down which they are.

  Args:
    config: resolved, but for `init_hash`.
    dataset: of this run.

  Returns:
    A copy with `init_hash`. A run is known by what it starts from, not by
    where that lies.

  Raises:
    InputError: a run that is missing or unfinished, or does not fit.
  """
  if not config.init_from:
    raise InputError(
      f"config.method={config.method!r} starts from a trained model: set"
      " config.init_from to the directory of a finished run"
    )
  method = methods.METHODS[config.method]
  if method.trains == "nothing" and dataset.validation is None:
    raise InputError(
      f"config.method={config.method!r} chooses tau on validation images, and"
      " there are none: set config.data.validation_fraction in this run and in"
      " the one that config.init_from names"
    )
  config = config.copy_and_resolve_references()
  for seed in config.seeds:
    run = _find(config, seed)
    config.init_hash = run.hash
    if run.class_counts != tuple(dataset.class_counts.tolist()):
      raise InputError(
        f"config.init_from: {run.directory} was trained on"
        f" {sum(run.class_counts)} images, and {config.data.name} now has"
        f" {dataset.class_counts.sum()}, or others of each class; prepare the"
        " same data again"
      )
  return config


def start(
  config: ConfigDict,
  state: TrainState,
  seed: int,
  evaluate: Callable,
) -> tuple[TrainState, dict]:
  """The state in which the second stage begins.

  Args:
    config: resolved.
    state: a fresh one, whose classifier cRT learns.
    seed: of this run and of the one it starts from.
    evaluate: (variables, split name) -> metrics.Sums.

  Returns:
    The state, and what the run's final row shall tell besides: for tau_norm
    `tau`, and `tau_accuracies` on validation images, one per tau of the grid.

  Raises:
    InputError: the run to start from is not there any more.
  """
  trained = _restore(_find(config, seed), state)

  def with_classifier(kernel, bias):
    params = trained["params"]
    head = params["head"] | {"kernel": kernel, "bias": bias}
    return state.begin_from(params | {"head": head}, trained["batch_stats"])

  if methods.METHODS[config.method].trains == "classifier":
    fresh = state.params["head"]
    return with_classifier(fresh["kernel"], fresh["bias"]), {}
  kernel = trained["params"]["head"]["kernel"]
  no_bias = jnp.zeros_like(state.params["head"]["bias"])
  grid, accuracies = tuple(config.loss.tau_grid), []
  for tau in grid:
    scaled = with_classifier(tau_normalize(kernel, tau), no_bias)
    confusion = evaluate(scaled.variables, "validation").confusion
    accuracies.append(float(np.trace(confusion) / np.sum(confusion)))
  tau = grid[int(np.argmax(accuracies))]
  facts = {"tau": tau, "tau_accuracies": accuracies}
  return with_classifier(tau_normalize(kernel, tau), no_bias), facts


def tau_normalize(kernel: jax.Array, tau: float) -> jax.Array:
  """Divides each column of `[d, K]` by its norm to the power of tau.

  Tau 0 changes nothing; 1 makes all columns as long.
  """
  return kernel / jnp.linalg.norm(kernel, axis=0, keepdims=True) ** tau


def _find(config: ConfigDict, seed: int) -> runs.Run:
  """The run of a seed, finished and fit to start from."""
  directory = Path(config.init_from)
  if not (directory / "config.json").exists():
    directory /= f"seed={seed}"
  if not (directory / "config.json").exists():
    raise InputError(
      f"config.init_from={config.init_from!r} holds no run of seed {seed}"
      f" (neither config.json nor seed={seed}/config.json): give the directory"
      " of a finished run, or the one above its seed=N"
    )
  run, where = runs.load_run(directory), f"config.init_from: {directory}"
  if run.seed != seed:
    raise InputError(
      f"{where} is the run of seed {run.seed}, not {seed}: give the directory"
      f" above its seed=N, or set config.seeds={run.seed}"
    )
  if run.final is None:
    raise InputError(
      f"{where} has not finished (epoch {run.epoch:.4g}): repeat its command"
    )
  last = run.directory / "checkpoints" / str(run.final["step"])
  if not last.is_dir():
    raise InputError(
      f"{where} has lost its last checkpoint, {last}: copy the whole directory"
    )
  different = workdir.differences(run.config, config, *_SHARED)
  if different:
    raise InputError(
      f"{where} does not fit ({'; '.join(different)}): make these fields equal"
    )
  if config.init_hash not in (None, run.hash):
    raise InputError(
      f"{where} is the run {run.hash}, not {config.init_hash}: all seeds must"
      " start from runs of one configuration, and from config.init_hash if set"
    )
  return run


def _restore(run: runs.Run, state: TrainState) -> dict:
  """The parameters and statistics of a run's last step, placed as ours.

  Those that the run was evaluated with: its averages, if it had any.
  """
  wanted = {"params": state.params, "batch_stats": state.batch_stats}
  averaged = bool(run.config.get("ema_decay"))
  if averaged:
    wanted = {"ema": wanted}
  abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, wanted)
  folder = run.directory.absolute() / "checkpoints"
  with ocp.CheckpointManager(folder) as manager:
    restored = manager.restore(
      run.final["step"],
      args=ocp.args.PyTreeRestore(
        abstract,
        restore_args=ocp.checkpoint_utils.construct_restore_args(abstract),
        partial_restore=True,
      ),
    )
  return restored["ema"] if averaged else restored
