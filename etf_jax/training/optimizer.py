# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""SGD as PyTorch runs it, AdamW, and learning rates that follow the epochs."""

from collections.abc import Callable, Sequence

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
  *,
  freeze_steps: int = 0,
  layers: Sequence[Sequence[str]] = (),
) -> optax.GradientTransformation:
  """Create SGD: g + decay * w, then momentum, then the rate; or AdamW.

  Args:
    config: `config.optimizer`; `decayed="kernels"` leaves out every parameter
      of fewer than two axes (biases, BatchNorm),
      `backbone_learning_rate_factor` multiplies the rate of the backbone, and
      `layer_decay` that of each layer once more than of the one behind it.
    learning_rate: step to learning rate.
    trains: "all", or the classifier only; see `methods.Method`.
    freeze_steps: first steps, in which the backbone stays as it is.
    layers: names of the backbone's parts in each layer, see `models.layers`;
      other parts belong to the first one.
  """
  factor, whole = config.backbone_learning_rate_factor, trains == "all"
  rule = _rule(config, learning_rate)
  clip = []
  if config.clip_norm is not None:
    clip = [optax.clip_by_global_norm(config.clip_norm)]
  if not (whole and factor):
    return optax.partition(
      {
        "trained": optax.chain(*clip, rule) if clip else rule,
        "fixed": optax.set_to_zero(),
      },
      lambda params: jax.tree_util.tree_map_with_path(
        lambda path, _: "trained" if _in_head(path, whole) else "fixed", params
      ),
    )
  if freeze_steps:
    # The backbone starts as if it were new, without moments.
    later = optax.conditionally_mask(
      _rule(config, 1.0), lambda step: step >= freeze_steps
    )
    late = optax.chain(later, optax.scale_by_schedule(learning_rate))
    rule = optax.partition(
      {"head": rule, "backbone": late}, lambda params: {k: k for k in params}
    )
  parts = [*clip, rule]
  if factor != 1 or config.layer_decay != 1:
    parts.append(_scale_backbone(factor, config.layer_decay, layers))
  return optax.chain(*parts) if len(parts) > 1 else rule


def _rule(config, learning_rate):
  """Create SGD or AdamW at a rate, a number or a schedule."""
  mask = None
  if config.decayed == "kernels":
    mask = lambda params: jax.tree.map(lambda x: x.ndim > 1, params)  # noqa: E731
  if config.name == "adamw":
    return _promoting(
      optax.adamw(
        learning_rate,
        b1=config.momentum,
        weight_decay=config.weight_decay,
        mask=mask,
        nesterov=config.nesterov,
      )
    )
  return optax.chain(
    optax.add_decayed_weights(config.weight_decay, mask),
    optax.sgd(learning_rate, config.momentum or None, config.nesterov),
  )


def _promoting(base):
  """Let optax's Adam multiply integers by floats where JAX is strict."""

  def update(updates, opt_state, params=None):
    with jax.numpy_dtype_promotion("standard"):
      return base.update(updates, opt_state, params)

  return optax.GradientTransformation(base.init, update)


def _scale_backbone(factor, decay, layers):
  """Multiply the updates of the backbone's layers by their factors."""
  depth = {name: i for i, names in enumerate(layers) for name in names}

  def scaled(path, x):
    if _in_head(path, True):
      return x
    return factor * decay ** (len(layers) - depth.get(path[1].key, 0)) * x

  def update(updates, params):
    del params
    return jax.tree_util.tree_map_with_path(scaled, updates)

  return optax.stateless(update)


def _in_head(path, whole):
  """Return True for a parameter of the head, or else of its classifier only."""
  names = tuple(key.key for key in path)
  classifier = names in (("head", "kernel"), ("head", "bias"))
  return names[0] == "head" if whole else classifier
