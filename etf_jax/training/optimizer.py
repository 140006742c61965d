# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""SGD as PyTorch runs it, and learning rates that are constant in an epoch."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import optax

from etf_jax.training import durations, objectives


def create_schedule(
  config: ConfigDict, epoch: durations.Epoch, total_steps: int
) -> Callable[[jax.Array], jax.Array]:
  """The learning rate of a step, from its epoch e = 0, 1, ...

  Warm-up over W epochs multiplies it by min(1, (e + 1) / W). Then `step` has
  the factor `decay_factor` once for every fraction f of `decay_fractions` with
  e >= f E, E the epochs of the run; `cosine` has (1 + cos(pi e / E)) / 2.

  Args:
    config: `schedule` and `optimizer.learning_rate` are read.
    epoch: what an epoch is made of.
    total_steps: of the run.
  """
  schedule = config.schedule
  warmup = durations.steps(schedule, "warmup", epoch) / epoch.steps
  total = total_steps / epoch.steps

  def learning_rate(step):
    dtype = jnp.result_type(float)  # float64 where a run may be in float64
    passed = (step // epoch.steps).astype(dtype)
    rate = jnp.asarray(config.optimizer.learning_rate, dtype)
    if warmup:
      rate *= jnp.minimum(1.0, (passed + 1) / warmup)
    match schedule.name:
      case "step":
        for fraction in schedule.decay_fractions:
          # .8 of 60 epochs is 48, whatever the rounding of .8.
          due = passed >= fraction * total - 1e-3
          rate *= jnp.where(due, schedule.decay_factor, 1.0)
      case "cosine":
        rate *= (1 + jnp.cos(jnp.pi * passed / total)) / 2
    return rate

  return learning_rate


def create_optimizer(
  config: ConfigDict, schedule: Callable[[jax.Array], jax.Array]
) -> optax.GradientTransformation:
  """SGD with coupled weight decay: g + decay * w, then momentum, then the rate.

  Args:
    config: `optimizer` is read; `decayed="kernels"` leaves out every
      parameter of fewer than two axes (biases, BatchNorm). `method` says
      whether all parameters are trained or the classifier's only.
    schedule: step to learning rate.
  """
  optimizer = config.optimizer
  mask = None
  if optimizer.decayed == "kernels":
    mask = lambda params: jax.tree.map(lambda x: x.ndim > 1, params)  # noqa: E731
  sgd = optax.chain(
    optax.add_decayed_weights(optimizer.weight_decay, mask),
    optax.sgd(schedule, optimizer.momentum or None, optimizer.nesterov),
  )
  if objectives.METHODS[config.method].trains == "all":
    return sgd
  return optax.partition(
    {"classifier": sgd, "fixed": optax.set_to_zero()},
    lambda params: jax.tree_util.tree_map_with_path(_part, params),
  )


def _part(path, leaf):
  del leaf
  names = tuple(key.key for key in path)
  classifier = names in (("head", "kernel"), ("head", "bias"))
  return "classifier" if classifier else "fixed"
