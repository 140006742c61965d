# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""From what a user configured to a complete config, and to its loss.

config = objectives.resolve(config, num_classes=10)
loss = objectives.create_loss(config, class_counts)
per_example = loss(output, labels, Context(batch_labels, where, epoch))
"""

import math

from jax.typing import ArrayLike
from ml_collections import ConfigDict

from etf_jax.errors import InputError, unknown_name
from etf_jax.training.methods import (
  METHODS,
  Context,
  Loss,
  Method,
  masked_mean,
)

__all__ = [
  "METHODS",
  "Context",
  "Loss",
  "Method",
  "check_choices",
  "create_loss",
  "masked_mean",
  "resolve",
  "trains_backbone",
]

_CHOICES = {
  "method": tuple(METHODS),
  "dtype": ("bfloat16", "float32", "float64"),
  "head.name": ("etf", "linear", "frozen_linear", "cosine"),
  "head.frame": ("haar", "uniform_qr"),
  "loss.class_lengths": ("batch", "global", "none"),
  "loss.scaling": ("paper", "class_balanced"),
  "loss.weight_reduction": ("batch_size", "weight_sum"),
  "schedule.name": ("step", "cosine", "constant"),
  "optimizer.decayed": ("all", "kernels"),
  "init_parts": ("backbone", "all"),
  "init_checkpoint": ("last", "best"),
}


def _different(values, allowed):
  return (
    isinstance(values, tuple | list)
    and all(type(x) in (int, float) and allowed(x) for x in values)
    and len(set(values)) == len(values)
  )


# Comparisons that NaN fails.
_UNIT = ("lie in [0, 1]", lambda x: 0 <= x <= 1)
_NOT_NEGATIVE = ("be finite and >= 0", lambda x: 0 <= x < math.inf)
_ANGLE = ("be an angle in radians, in [0, pi]", lambda x: 0 <= x <= math.pi)
_SPLITS = ("train", "validation", "test")
_RANGES = {
  "accumulate_steps": ("be at least 1", lambda x: x >= 1),
  "steps_per_call": ("be at least 1", lambda x: x is None or x >= 1),
  "pack_seeds": ("be at least 1", lambda x: x >= 1),
  "learning_rates": (
    "be different finite numbers > 0, as in 0.1,0.2; or () for none",
    lambda rates: _different(rates, lambda x: 0 < x < math.inf),
  ),
  "imbalances": (
    "be different numbers in (0, 1], as in 0.01,0.1; or () for none",
    lambda imbalances: _different(imbalances, lambda x: 0 < x <= 1),
  ),
  "profile_steps": (
    "be two whole numbers, steps before it (>= 0) and in it (>= 1), as in"
    " 100,10; or () for none",
    lambda pair: (
      isinstance(pair, tuple | list)
      and (
        not pair
        or (
          len(pair) == 2
          and all(type(x) is int for x in pair)
          and pair[0] >= 0
          and pair[1] >= 1
        )
      )
    ),
  ),
  "bn_group_size": ("be at least 2", lambda x: x is None or x >= 2),
  "collapse.splits": (
    f"be some of {_SPLITS}, or () for none",
    lambda splits: (
      isinstance(splits, tuple | list) and set(splits) <= set(_SPLITS)
    ),
  ),
  "collapse.rank_images": _NOT_NEGATIVE,
  "head.projector": ("be a width, 0 or -1", lambda x: x is None or x >= -1),
  "optimizer.backbone_learning_rate_factor": _NOT_NEGATIVE,
  "loss.label_smoothing": _UNIT,
  "loss.hinge_tau_minor": _ANGLE,
  "loss.hinge_tau_major": _ANGLE,
  "loss.hinge_tau_minus": _ANGLE,
  "loss.hinge_minor_count": _NOT_NEGATIVE,
  "loss.ldam_max_margin": _NOT_NEGATIVE,
  "loss.ldam_scale": ("be finite and > 0", lambda x: 0 < x < math.inf),
  "loss.drw_start": _UNIT,
  "loss.class_balanced_beta": ("lie in [0, 1)", lambda x: 0 <= x < 1),
  "loss.temperature": _NOT_NEGATIVE,
  "loss.focal_gamma": _NOT_NEGATIVE,
  "loss.tau_grid": (
    "be one or more numbers >= 0, as in 0,0.5,1",
    lambda grid: (
      len(grid) > 0
      and all(isinstance(x, int | float) for x in grid)
      and all(map(_NOT_NEGATIVE[1], grid))
    ),
  ),
}


def check_choices(config: ConfigDict) -> None:
  """Refuse unknown names, with the nearest known, and numbers out of range."""
  for field, known in _CHOICES.items():
    value = _get(config, field)
    if value is not None and value not in known:
      raise unknown_name(f"config.{field}", value, known)
  for field, (rule, holds) in _RANGES.items():
    value = _get(config, field)
    if not holds(value):
      raise InputError(f"config.{field}={value!r} must {rule}")


def _get(config: ConfigDict, field: str):
  for part in field.split("."):
    config = config[part]
  return config


def resolve(config: ConfigDict, num_classes: int) -> ConfigDict:
  """A copy of the config in which nothing is left to the method or the data.

  Args:
    config: as configs/base.py describes it.
    num_classes: K of the data set.

  Raises:
    InputError: an unknown name, a number out of range, or fields that do not
      go with the method.
  """
  check_choices(config)
  config = config.copy_and_resolve_references()
  method = METHODS[config.method]
  head = config.head
  head.name = head.name or method.head
  if head.batch_norm is None:
    head.batch_norm = method.normalize
  if head.l2_normalize is None:
    head.l2_normalize = method.normalize or head.name == "cosine"
  if head.projector is None:
    head.projector = method.projector
  if config.loss.weight_reduction is None:
    config.loss.weight_reduction = method.weight_reduction
  if method.trains == "nothing":
    config.update(total_epochs=None, total_examples=None, total_steps=0)
  _check_method(config, method)
  if config.learning_rates:
    config.optimizer.learning_rate = float(config.learning_rates[0])
  if config.imbalances:
    config.data.imbalance = float(config.imbalances[0])
  if config.model.num_classes is None:
    config.model.num_classes = num_classes
  if config.model.num_classes != num_classes:
    less = config.model.num_classes < num_classes
    raise InputError(
      f"config.model.num_classes={config.model.num_classes} is"
      f" {'less' if less else 'more'} than the {num_classes} classes of"
      f" {config.data.name}; leave it out"
    )
  return config


def _check_method(config, method):
  if method.only_head and config.head.name != method.head:
    raise InputError(
      f"config.method={config.method!r} needs config.head.name="
      f"{method.head!r}, not {config.head.name!r}"
    )
  if config.loss.label_smoothing and not method.smooths:
    raise InputError(
      f"config.loss.label_smoothing={config.loss.label_smoothing} does nothing"
      f" with config.method={config.method!r}: set it to 0"
    )
  if config.learning_rates and method.trains == "nothing":
    raise InputError(
      f"config.learning_rates={config.learning_rates} does nothing with"
      f" config.method={config.method!r}, which trains nothing: leave it out"
    )
  imbalances = f"config.imbalances={config.imbalances}"
  if config.imbalances and method.trains != "all":
    raise InputError(
      f"{imbalances} does nothing for config.method={config.method!r}, whose"
      " model comes from a run on the same images: leave it out"
    )
  if config.imbalances and config.data.profile in ("list", "none"):
    raise InputError(
      f"{imbalances} does nothing with config.data.profile="
      f"{config.data.profile!r}: leave it out"
    )
  if config.imbalances and config.data.feed == "stream":
    raise InputError(
      f"{imbalances} needs the images on the devices: leave it out, or set"
      " config.data.feed='resident'"
    )
  factor = config.optimizer.backbone_learning_rate_factor
  where = f"config.optimizer.backbone_learning_rate_factor={factor}"
  if method.trains != "all" and factor != 1:
    raise InputError(
      f"{where} does nothing with config.method={config.method!r}, which trains"
      " no backbone: set it to 1"
    )
  if not factor and not config.init_from:
    raise InputError(
      f"{where} leaves the backbone untrained: set config.init_from to a"
      " trained one"
    )
  if not factor and config.head.batch_norm:
    raise InputError(
      f"{where} keeps all running statistics as they are, also those of the"
      " head: set config.head.batch_norm=False"
    )
  if config.init_parts != "backbone" and not config.init_from:
    raise InputError(
      f"config.init_parts={config.init_parts!r} does nothing without"
      " config.init_from"
    )


def trains_backbone(config: ConfigDict) -> bool:
  """Whether a run of a resolved config changes more than the head."""
  factor = config.optimizer.backbone_learning_rate_factor
  return METHODS[config.method].trains == "all" and factor > 0


def create_loss(config: ConfigDict, class_counts: ArrayLike) -> Loss:
  """The loss of a resolved config: per example, unreduced.

  Args:
    config: resolved.
    class_counts: `[K]` training images of each class; they may be traced.
  """
  return METHODS[config.method].create_loss(config, class_counts)
