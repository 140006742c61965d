# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Methods on a trained model, cRT and tau-normalization, and their start.

config = two_stage.resolve(config, dataset, input_shape)  # checks, all seeds
state, facts = two_stage.start(config, fresh_state, seed, evaluate)

Kang et al. 2020 (arXiv:1910.09217): cRT learns the classifier again, on
batches of balanced classes; tau-normalization scales the columns it has. Both
take the model of a finished run on the same data. The other methods train all
of a model, which may begin with other weights: see `init_from`.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict, FrozenConfigDict
import numpy as np

from etf_jax.data import Dataset
from etf_jax.errors import InputError
from etf_jax.evaluation import metrics
from etf_jax.runs import data_record, identity, reader
from etf_jax.training import methods
from etf_jax.training.checkpoints import init_from, restore
from etf_jax.training.state import TrainState

# Both stages must have the same of these.
_SHARED = ("data", "model", "head", "dtype")


def resolve(
  config: ConfigDict, dataset: Dataset, input_shape: tuple[int, int, int]
) -> FrozenConfigDict:
  """Check the model to start from, and record its hash.

  Args:
    config: of `config.resolve_config`.
    dataset: of this run.
    input_shape: of the images that the model takes, `(H, W, C)`.

  Returns:
    A copy with `init_hash`, which tells a run from others; `init_from` does
    not.

  Raises:
    InputError: a run or file that is missing or does not fit.
  """
  method = methods.METHODS[config.method]
  if method.trains == "all":
    return init_from.resolve(config, input_shape)
  if not config.init_from:
    raise InputError(
      f"config.method={config.method!r} starts from a trained model: set"
      " config.init_from to the directory of a finished run"
    )
  for field, only in (("init_parts", "backbone"), ("init_checkpoint", "last")):
    if config[field] != only:
      raise InputError(
        f"config.{field}={config[field]!r} does nothing with config.method="
        f"{config.method!r}, which decides that itself: leave it out"
      )
  if method.trains == "nothing" and dataset.validation is None:
    raise InputError(
      f"config.method={config.method!r} chooses tau on validation images, and"
      " there are none: set config.data.validation_fraction in this run and in"
      " the one that config.init_from names"
    )
  config = ConfigDict(config)
  for seed in config.seeds:
    run = _find(config, seed)
    config.init_hash = run.hash
    recorded = data_record.read(run.directory)
    changes = recorded and data_record.changes(recorded, dataset.record)
    if changes:
      raise InputError(
        f"config.init_from: {run.directory} was trained on other images"
        f" ({'; '.join(changes)}); name the same ones"
      )
    if run.class_counts != tuple(dataset.class_counts.tolist()):
      raise InputError(
        f"config.init_from: {run.directory} was trained on"
        f" {sum(run.class_counts)} images, and {config.data.name} now has"
        f" {dataset.class_counts.sum()}, or others of each class; prepare the"
        " same data again"
      )
  return FrozenConfigDict(config)


def start(
  config: ConfigDict,
  state: TrainState,
  seed: int,
  evaluate: Callable,
) -> tuple[TrainState, dict]:
  """Make the first state of a run that starts from a trained model.

  Args:
    config: resolved.
    state: a fresh one, which lends what is not taken from elsewhere.
    seed: of this run; cRT and tau-normalization start from the run of the same.
    evaluate: (variables, split name) -> metrics.Sums.

  Returns:
    The state, and further fields of the final row: for tau_norm `tau`, and
    `tau_accuracies` on validation images, one per tau of the grid, by
    `config.eval.best_metric`.

  Raises:
    InputError: what to start from is not there any more.
  """
  trains = methods.METHODS[config.method].trains
  if trains == "all":
    return init_from.start(config, state, seed), {}
  wanted = {"params": state.params, "batch_stats": state.batch_stats}
  run = _find(config, seed)
  trained = restore.read(init_from.checkpoint(run, "last"), wanted)

  def with_classifier(kernel, bias):
    params = trained["params"]
    head = params["head"] | {"kernel": kernel, "bias": bias}
    return state.begin_from(params | {"head": head}, trained["batch_stats"])

  if trains == "classifier":
    fresh = state.params["head"]
    return with_classifier(fresh["kernel"], fresh["bias"]), {}
  kernel = trained["params"]["head"]["kernel"]
  no_bias = jnp.zeros_like(state.params["head"]["bias"])
  grid, accuracies = tuple(config.loss.tau_grid), []
  for tau in grid:
    scaled = with_classifier(tau_normalize(kernel, tau), no_bias)
    found = metrics.of_counts(evaluate(scaled.variables, "validation"))
    accuracies.append(found[config.eval.best_metric])
  tau = grid[int(np.argmax(accuracies))]
  facts = {"tau": tau, "tau_accuracies": accuracies}
  return with_classifier(tau_normalize(kernel, tau), no_bias), facts


def tau_normalize(kernel: jax.Array, tau: float) -> jax.Array:
  """Divide each column of `[d, K]` by its norm to the power of tau.

  Tau 0 changes nothing; 1 makes all columns as long.
  """
  return kernel / jnp.linalg.norm(kernel, axis=0, keepdims=True) ** tau


def _find(config: ConfigDict, seed: int) -> reader.RunRecord:
  """Find the run of a seed, finished and fit to start from."""
  run = init_from.find(config.init_from, seed)
  where = f"config.init_from: {run.directory}"
  if run.seed != seed:
    raise InputError(
      f"{where} is the run of seed {run.seed}, not {seed}: give the directory"
      f" above its seed=N, or set config.seeds={run.seed}"
    )
  init_from.checkpoint(run, "last")
  different = identity.differences(run.config, config, *_SHARED)
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
