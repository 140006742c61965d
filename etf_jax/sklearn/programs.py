# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Compiled functions of a fit, shared by all fits of the same shapes.

  programs = make_programs(Recipe("etf_dr", num_classes=10, feature_dim=512))
  state = programs.init(seed)
  state = programs.steps(state, examples, class_counts, order, key)
  logits = programs.logits(state.variables, features)

The step is `etf_jax.training.step`'s, of a config like any run's.
"""

from collections.abc import Callable
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import FrozenConfigDict
import numpy as np

from etf_jax import models
from etf_jax.configs import base
from etf_jax.data.batch import Batch
from etf_jax.training import durations, optimizer, state
from etf_jax.training.config import resolve_config
from etf_jax.training.step import make_train_step

# Rows that are classified at once; fixed, so that the scores of an example do
# not depend on those beside it.
ROWS = 512


class Recipe(NamedTuple):
  """All that decides the programs.

  Attributes:
    method: a name of `training.methods.METHODS`.
    num_classes: K.
    feature_dim: d of the inputs.
    hidden: units of a hidden layer; 0: no hidden layer.
    depth: hidden layers.
    dropout: see `models.MLP`.
    projector: see `models.ETFHead`.
    length: of the prototypes; None: the method's own.
    learning_rate: highest of a cosine schedule.
    weight_decay: of kernels.
    epochs: passes over the examples.
    steps: of an epoch.
    batch_size: examples of a step, of which the last ones may be padding.
  """

  method: str
  num_classes: int
  feature_dim: int
  hidden: int = 0
  depth: int = 1
  dropout: float = 0.0
  projector: int = 0
  length: float | None = None
  learning_rate: float = 1e-2
  weight_decay: float = 1e-4
  epochs: int = 100
  steps: int = 10
  batch_size: int = 128


class Examples(NamedTuple):
  """Training examples on the device.

  Attributes:
    features: floats `[N, d]`, normalized.
    labels: int32 `[N]`.
    weights: floats `[N]` of mean 1; None: all 1.
  """

  features: jax.Array
  labels: jax.Array
  weights: jax.Array | None


class Programs(NamedTuple):
  """Functions of one recipe.

  Attributes:
    init: (seed) -> state.
    steps: (state, examples, class counts `[K]`, order `[n, B]` with -1 for
      padding, key) -> the state n steps later, and their losses `[n]`.
    logits: (variables, features `[N, d]`) -> NumPy `[N, K]`.
  """

  init: Callable[..., state.TrainState]
  steps: Callable[..., tuple[state.TrainState, jax.Array]]
  logits: Callable[..., np.ndarray]


def make_config(recipe: Recipe) -> FrozenConfigDict:
  """Return the resolved config of a recipe."""
  c = base.get_config()
  c.method = recipe.method
  c.batch_size = recipe.batch_size
  c.total_epochs = float(recipe.epochs)
  c.model.name = "identity"
  c.model.kwargs.normalize = False
  if recipe.hidden:
    c.model.name = "mlp"
    c.model.kwargs.update(
      width=recipe.hidden, depth=recipe.depth, dropout=recipe.dropout
    )
  c.head.projector = recipe.projector
  c.head.length = recipe.length
  c.optimizer.name = "adamw"
  c.optimizer.learning_rate = recipe.learning_rate
  c.optimizer.weight_decay = recipe.weight_decay
  c.optimizer.decayed = "kernels"
  c.eval.train_accuracy_steps = 2**30
  c.schedule.name = "cosine"
  c.schedule.per_step = True
  c.schedule.warmup_epochs = 0.05 * recipe.epochs
  return resolve_config(c, recipe.num_classes)


@functools.lru_cache(maxsize=64)
def make_programs(recipe: Recipe) -> Programs:
  """Make the jitted functions of a recipe.

  Raises:
    InputError: values out of range, or features too narrow for the frame.
  """
  config = make_config(recipe)
  model = models.create_model(config)
  epoch = durations.Epoch(recipe.steps * recipe.batch_size, recipe.batch_size)
  total_steps = recipe.steps * recipe.epochs
  schedule = optimizer.create_schedule(
    config.schedule, config.optimizer.learning_rate, epoch, total_steps
  )
  transformation = optimizer.create_optimizer(config.optimizer, schedule)
  shape = (recipe.feature_dim,)
  fresh = jax.jit(state.make_init(model, transformation, shape))

  def init(seed: int) -> state.TrainState:
    fixed = state.draw_classifier(model, shape, seed)
    return fresh(state.keys(seed)["params"], fixed)

  @functools.partial(jax.jit, donate_argnums=0)
  def run_steps(start, examples, class_counts, order, key):
    train_step = make_train_step(
      config,
      model,
      transformation,
      class_counts,
      lambda batch, key: (batch.images, None, None),
      recipe.steps,
      total_steps,
    )

    def step(current, rows):
      batch = Batch(
        examples.features[rows],
        examples.labels[rows],
        rows >= 0,
        weights=None if examples.weights is None else examples.weights[rows],
      )
      current, metrics = train_step(current, batch, key)
      return current, metrics.loss

    return jax.lax.scan(step, start, order)

  @jax.jit
  def apply(variables, features):
    return model.apply(variables, features).logits

  def logits(variables: dict, features: np.ndarray) -> np.ndarray:
    found = []
    for start in range(0, len(features), ROWS):
      rows = features[start : start + ROWS]
      padding = ((0, ROWS - len(rows)), (0, 0))
      found.append(apply(variables, jnp.pad(rows, padding))[: len(rows)])
    return np.concatenate(jax.device_get(found))

  return Programs(init, run_steps, logits)
