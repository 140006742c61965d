# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The config of a run: every check of its training fields, and its defaults.

config = resolve_config(config, num_classes=10)    # frozen from here on

What the images decide is checked where they are read, by `etf_jax.data`.
"""

from collections.abc import Callable
import math
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict, FrozenConfigDict

from etf_jax.errors import InputError, unknown_name
from etf_jax.evaluation import metrics
from etf_jax.models.heads import FRAMES
from etf_jax.training import durations
from etf_jax.training.methods import METHODS, Method

_CHOICES = {
  "method": tuple(METHODS),
  "dtype": ("bfloat16", "float32", "float64"),
  "head.name": ("etf", "linear", "frozen_linear", "cosine"),
  "head.frame": tuple(FRAMES),
  "loss.class_lengths": ("batch", "global", "none"),
  "loss.scaling": ("paper", "class_balanced"),
  "loss.weight_reduction": ("batch_size", "weight_sum"),
  "schedule.name": ("step", "cosine", "constant"),
  "optimizer.name": ("sgd", "adamw"),
  "optimizer.decayed": ("all", "kernels"),
  "eval.best_metric": metrics.OF_BEST,
  "init_parts": ("backbone", "all"),
  "init_checkpoint": ("last", "best"),
}


# Node and name of each interval, and the steps where no unit is set.
_INTERVALS = {
  "log": ("report", "log_every", 50),
  "evaluate": ("eval", "every", None),
  "measure": ("collapse", "every", None),
  "save": ("checkpoint", "every", None),
}
_DURATIONS = (
  ("", "total", None), ("", "freeze", None), ("schedule", "warmup", None),
  *_INTERVALS.values(),
)  # fmt: skip


def _optional(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
  return lambda x: x is None or holds(x)


def _listed(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
  return lambda x: isinstance(x, tuple | list) and holds(x)


def _is_number(x: Any) -> bool:
  return isinstance(x, int | float)


def _is_profile(pair: Any) -> bool:
  whole = all(type(x) is int for x in pair)
  return not pair or (whole and len(pair) == 2 and pair[0] >= 0 < pair[1])


_SPLITS = ("train", "validation", "test")
# What a field must do, in words and as a comparison that NaN fails.
_RANGES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
  (
    "be at least 1",
    lambda x: x >= 1,
    "batch_size accumulate_steps pack_seeds mesh.seed mesh.fsdp mesh.model"
    " eval.batch_size eval.train_accuracy_steps checkpoint.keep",
  ),
  (
    "be at least 1",
    _optional(lambda x: x >= 1),
    "steps_per_call mesh.data devices",
  ),
  ("be at least 2", _optional(lambda x: x >= 2), "bn_group_size"),
  ("be at least 0", lambda x: x >= 0, "data.workers"),
  (
    "be finite and > 0",
    lambda x: 0 < x < math.inf,
    "model.width optimizer.learning_rate loss.ldam_scale",
  ),
  (
    "be finite and > 0, or None",
    _optional(lambda x: 0 < x < math.inf),
    "eval.patience_epochs loss.feature_length head.length optimizer.clip_norm",
  ),
  ("lie in (0, 1]", lambda x: 0 < x <= 1, "optimizer.layer_decay"),
  (
    "be finite and >= 0",
    lambda x: 0 <= x < math.inf,
    "collapse.rank_images optimizer.weight_decay schedule.decay_factor"
    " optimizer.backbone_learning_rate_factor loss.feature_length_penalty"
    " loss.hinge_minor_count loss.ldam_max_margin loss.temperature"
    " loss.focal_gamma",
  ),
  (
    "lie in [0, 1)",
    lambda x: 0 <= x < 1,
    "ema_decay optimizer.momentum loss.class_balanced_beta",
  ),
  (
    "lie in [0, 1]",
    lambda x: 0 <= x <= 1,
    "loss.label_smoothing loss.drw_start",
  ),
  (
    "be an angle in radians, in [0, pi]",
    lambda x: 0 <= x <= math.pi,
    "loss.hinge_tau_minor loss.hinge_tau_major loss.hinge_tau_minus",
  ),
  ("be a width, 0 or -1", _optional(lambda x: x >= -1), "head.projector"),
  (
    # A key of JAX has 32 bits of a seed.
    "be different whole numbers below 2^32, as in 0,1,2",
    _listed(
      lambda x: (
        len(set(x)) == len(x) > 0
        and all(type(seed) is int and 0 <= seed < 2**32 for seed in x)
      )
    ),
    "seeds",
  ),
  (
    "be two whole numbers, steps before it (>= 0) and in it (>= 1), as in"
    " 100,10; or () for none",
    _listed(_is_profile),
    "profile_steps",
  ),
  (
    f"be some of {_SPLITS}, or () for none",
    _listed(lambda x: set(x) <= set(_SPLITS)),
    "collapse.splits",
  ),
  (
    "be numbers in [0, 1], as in 0.8,0.9; or () for none",
    _listed(lambda x: all(_is_number(n) and 0 <= n <= 1 for n in x)),
    "schedule.decay_fractions",
  ),
  (
    "be one or more numbers >= 0, as in 0,0.5,1",
    lambda x: (
      len(x) > 0 and all(_is_number(n) and 0 <= n < math.inf for n in x)
    ),
    "loss.tau_grid",
  ),
)


def check_config(config: ConfigDict) -> None:
  """Check all that is known without the data.

  Args:
    config: as configs/base.py describes it.

  Raises:
    InputError: an unknown name, with the nearest known; a number out of range;
      or fields that do not go together.
  """
  for field, known in _CHOICES.items():
    value = _get(config, field)
    if value is not None and value not in known:
      raise unknown_name(f"config.{field}", value, known)
  for rule, holds, fields in _RANGES:
    for field in fields.split():
      if not holds(value := _get(config, field)):
        raise InputError(f"config.{field}={value!r} must {rule}")
  for node, name, default in _DURATIONS:
    try:
      # In epochs of one step, since the examples are not counted yet.
      durations.steps(
        config[node] if node else config, name, durations.Epoch(1, 1), default
      )
    except InputError as error:
      raise InputError(f"config.{node and node + '.'}{error}") from error
  _check_together(config)


def _get(config: ConfigDict, field: str) -> Any:
  for part in field.split("."):
    config = config[part]
  return config


class Intervals(NamedTuple):
  """Steps from one event of a run to the next, at least 1.

  Attributes:
    log: rows of training metrics.
    evaluate: evaluations.
    measure: measurements of neural collapse.
    save: checkpoints.
  """

  log: int
  evaluate: int
  measure: int
  save: int


def make_intervals(config: ConfigDict, epoch: durations.Epoch) -> Intervals:
  """Convert the intervals of a config to steps."""
  return Intervals(
    *(
      max(1, durations.steps(config[node], name, epoch, default))
      for node, name, default in _INTERVALS.values()
    )
  )


def resolve_config(config: ConfigDict, num_classes: int) -> FrozenConfigDict:
  """Check a config and fill in what it leaves to the method and the data.

  Args:
    config: as configs/base.py describes it.
    num_classes: K of the data set.

  Returns:
    A frozen copy.

  Raises:
    InputError: as `check_config`; or fields that do not go with the method.
  """
  check_config(config)
  config = ConfigDict(config).copy_and_resolve_references()
  method = METHODS[config.method]
  head = config.head
  head.name = head.name or method.head
  if head.batch_norm is None:
    head.batch_norm = method.normalize
  if head.l2_normalize is None:
    head.l2_normalize = method.normalize or head.name == "cosine"
  if head.projector is None:
    # Without a map to it, nothing would learn to meet a frame.
    framed = config.model.name == "identity" and head.name == "etf"
    head.projector = -1 if framed else method.projector
  if head.length is None:
    head.length = method.length
  if config.loss.weight_reduction is None:
    config.loss.weight_reduction = method.weight_reduction
  if method.trains == "nothing":
    config.update(total_epochs=None, total_examples=None, total_steps=0)
  _check_method(config, method)
  if config.model.num_classes is None:
    config.model.num_classes = num_classes
  if config.model.num_classes != num_classes:
    less = config.model.num_classes < num_classes
    raise InputError(
      f"config.model.num_classes={config.model.num_classes} is"
      f" {'less' if less else 'more'} than the {num_classes} classes of"
      f" {config.data.name}; leave it out"
    )
  return FrozenConfigDict(config)


def _check_method(config: ConfigDict, method: Method) -> None:
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
  if config.loss.feature_length is not None and config.method != "etf_dr":
    raise InputError(
      f"config.loss.feature_length={config.loss.feature_length} does nothing"
      f" with config.method={config.method!r}: leave it out"
    )
  for field, absent in (("length", None), ("learn_length", False)):
    value = config.head[field]
    if value != absent and config.method == "etf_dr":
      raise InputError(
        f"config.head.{field}={value} is for softmax losses, and not for"
        " config.method='etf_dr', whose targets have the lengths of"
        " config.loss.class_lengths: leave it out"
      )
  factor = config.optimizer.backbone_learning_rate_factor
  named = f"config.optimizer.backbone_learning_rate_factor={factor}"
  if method.trains != "all" and factor != 1:
    raise InputError(
      f"{named} does nothing with config.method={config.method!r}, which trains"
      " no backbone: set it to 1"
    )
  if not factor and not config.init_from:
    raise InputError(
      f"{named} leaves the backbone untrained: set config.init_from to a"
      " trained one"
    )
  if not factor and config.head.batch_norm:
    raise InputError(
      f"{named} keeps all running statistics as they are, also those of the"
      " head: set config.head.batch_norm=False"
    )
  for name, default in (
    ("optimizer.layer_decay", 1.0),
    *((f"freeze_{unit}", None) for unit in ("epochs", "steps", "examples")),
  ):
    value = _get(config, name) or default
    if value == default:
      continue
    if not (method.trains == "all" and factor):
      raise InputError(
        f"config.{name}={value} does nothing where the backbone is not trained:"
        " leave it out"
      )
    if default is None and not config.init_from:
      raise InputError(
        f"config.{name}={value} holds a backbone that nothing has trained: set"
        " config.init_from to a trained one"
      )
  if config.init_parts != "backbone" and not config.init_from:
    raise InputError(
      f"config.init_parts={config.init_parts!r} does nothing without"
      " config.init_from"
    )


def _check_together(config: ConfigDict) -> None:
  """Refuse fields that do not go with each other on any devices."""
  if config.dtype == "float64" and not jax.config.values["jax_enable_x64"]:
    raise InputError("config.dtype='float64' needs JAX_ENABLE_X64=1")
  augment, mesh, packed = config.augment, config.mesh, config.pack_seeds
  if config.data.name == "features" and any(
    augment[name]
    for name in (
      *("crop_size", "flip", "cutmix_alpha", "cutout", "crop_padding"),
      *("randaugment_layers", "brightness", "contrast", "saturation"),
    )
  ):
    raise InputError(
      "config.data.name='features': rows have no pixels to augment; leave out"
      " config.augment but for mixup_alpha"
    )
  for field in ("steps_per_call", "pack_seeds"):
    if config.data.feed == "stream" and config[field] not in (None, 1):
      raise InputError(
        f"config.{field}={config[field]} needs the images on the devices: leave"
        " it out, or set config.data.feed='resident'"
      )
  patience = config.eval.patience_epochs
  if patience is not None and packed > 1:
    raise InputError(
      f"config.eval.patience_epochs={patience}: packed seeds end together; set"
      " config.pack_seeds=1"
    )
  if packed % mesh.seed:
    raise InputError(
      f"config.pack_seeds={packed} must be a multiple of config.mesh.seed="
      f"{mesh.seed}, the devices that its runs are spread over"
    )
  if packed > 1 and mesh.fsdp * mesh.model > 1:
    raise InputError(
      f"config.pack_seeds={packed} trains runs that are whole on each device:"
      " set it to 1, or config.mesh.fsdp=1 and config.mesh.model=1"
    )
