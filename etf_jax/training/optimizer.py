# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""SGD as PyTorch runs it, AdamW, and learning rates that follow the epochs."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import optax

from etf_jax.training import durations


def create_schedule(
  schedule: ConfigDict,
  learning_rate: float,
  epoch: durations.Epoch,
  total_steps: int,
) -> Callable[[jax.Array], jax.Array]:
  """Create the learning rate of a step, from its epoch e = 0, 1, ...

  Warm-up over W epochs multiplies it by min(1, (e + 1) / W). Then `step` has
  the factor `decay_factor` once for every fraction f of `decay_fractions` with
  e >= f E, E the epochs of the run; `cosine` has (1 + cos(pi e / E)) / 2. With
  `per_step` the same holds of steps in place of epochs.

  Args:
    schedule: `config.schedule`.
    learning_rate: `config.optimizer.learning_rate`, of the decayed ones the
      highest.
    epoch: what an epoch is made of.
    total_steps: of the run.
  """
  unit = 1 if schedule.per_step else epoch.steps
  warmup = durations.steps(schedule, "warmup", epoch) / unit
  total = total_steps / unit

  def rate_of(step):
    dtype = jnp.result_type(float)  # float64 where a run may be in float64
    passed = (step // unit).astype(dtype)
    rate = jnp.asarray(learning_rate, dtype)
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

  return rate_of


def create_optimizer(
  config: ConfigDict,
  learning_rate: Callable[[jax.Array], jax.Array],
  trains: str = "all",
) -> optax.GradientTransformation:
  """Create SGD: g + decay * w, then momentum, then the rate; or AdamW.

  Args:
    config: `config.optimizer`; `decayed="kernels"` leaves out every parameter
      of fewer than two axes (biases, BatchNorm), and
      `backbone_learning_rate_factor` multiplies the rate of the backbone.
    learning_rate: step to learning rate.
    trains: "all", or the classifier only; see `methods.Method`.
  """
  mask = None
  if config.decayed == "kernels":
    mask = lambda params: jax.tree.map(lambda x: x.ndim > 1, params)  # noqa: E731
  if config.name == "adamw":
    base = _promoting(
      optax.adamw(
        learning_rate,
        b1=config.momentum,
        weight_decay=config.weight_decay,
        mask=mask,
        nesterov=config.nesterov,
      )
    )
  else:
    base = optax.chain(
      optax.add_decayed_weights(config.weight_decay, mask),
      optax.sgd(learning_rate, config.momentum or None, config.nesterov),
    )
  factor, whole = config.backbone_learning_rate_factor, trains == "all"
  if whole and factor:
    return base if factor == 1 else optax.chain(base, _scale_backbone(factor))
  return optax.partition(
    {"trained": base, "fixed": optax.set_to_zero()},
    lambda params: jax.tree_util.tree_map_with_path(
      lambda path, _: "trained" if _in_head(path, whole) else "fixed", params
    ),
  )


def _promoting(base):
  """Let optax's Adam multiply integers by floats where JAX is strict."""

  def update(updates, opt_state, params=None):
    with jax.numpy_dtype_promotion("standard"):
      return base.update(updates, opt_state, params)

  return optax.GradientTransformation(base.init, update)


def _scale_backbone(factor):
  """Multiply the backbone's updates by a factor."""

  def update(updates, params):
    del params
    return jax.tree_util.tree_map_with_path(
      lambda path, x: x if _in_head(path, True) else factor * x, updates
    )

  return optax.stateless(update)


def _in_head(path, whole):
  """Return True for a parameter of the head, or else of its classifier only."""
  names = tuple(key.key for key in path)
  classifier = names in (("head", "kernel"), ("head", "bias"))
  return names[0] == "head" if whole else classifier
