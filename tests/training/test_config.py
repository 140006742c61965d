# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A config resolved: what it leaves to the method, and what it refuses."""

import math

import pytest

from etf_jax.configs import base
from etf_jax.errors import InputError
from etf_jax.training import durations, methods
from etf_jax.training.config import make_intervals, resolve_config

NAN, INF = float("nan"), float("inf")


def resolved(method, fields=None, classes=4):
  config = base.get_config()
  config.update_from_flattened_dict({"method": method} | (fields or {}))
  return resolve_config(config, classes)


@pytest.mark.parametrize(
  ("method", "head", "normalized", "projector", "reduction"),
  [
    ("ce", "linear", False, 0, "batch_size"),
    ("ce_weighted", "linear", False, 0, "batch_size"),
    ("ce_frozen", "frozen_linear", False, 0, "batch_size"),
    ("etf_ce", "etf", True, 0, "batch_size"),
    ("etf_dr", "etf", True, 0, "batch_size"),
    ("etf_logit_adjusted", "etf", True, 0, "batch_size"),
    ("etf_hinge", "etf", False, -1, "batch_size"),
    ("logit_adjusted", "linear", False, 0, "batch_size"),
    ("balanced_softmax", "linear", False, 0, "batch_size"),
    ("focal", "linear", False, 0, "batch_size"),
    ("class_balanced", "linear", False, 0, "batch_size"),
    ("ldam_drw", "cosine", False, 0, "weight_sum"),
  ],
)
def test_defaults_of_the_methods(
  method, head, normalized, projector, reduction
):
  config = resolved(method)
  assert config.head.name == head
  assert config.head.batch_norm is normalized
  assert config.head.l2_normalize is (normalized or head == "cosine")
  assert config.head.projector == projector
  assert config.loss.weight_reduction == reduction
  assert config.model.num_classes == 4
  assert methods.METHODS[method].trains == "all"


@pytest.mark.parametrize(
  ("method", "projector"), [("etf_dr", -1), ("etf_hinge", -1), ("ce", 0)]
)
def test_features_get_a_map_to_a_frame(method, projector):
  config = base.get_config()
  config.update(method=method)
  config.model.name = "identity"
  assert resolve_config(config, 4).head.projector == projector


def test_defaults_of_the_losses():
  loss = resolved("etf_hinge").loss
  assert loss.hinge_tau_minor == pytest.approx(math.pi / 4)
  assert loss.hinge_minor_count == 50
  assert (loss.hinge_tau_major, loss.hinge_tau_minus) == (0, math.pi)
  assert (loss.ldam_max_margin, loss.ldam_scale) == (0.5, 30)
  assert (loss.drw_start, loss.class_balanced_beta) == (0.8, 0.9999)
  assert loss.focal_gamma == 2
  # None and not 1, so that runs of before the field stay the runs they are.
  assert resolved("etf_ce").head.length is None
  assert resolved("etf_logit_adjusted").head.length == 10


def test_what_is_given_stays():
  fields = {"head.batch_norm": False, "head.length": 4.0}
  config = resolved("etf_ce", fields | {"model.num_classes": 4})
  assert config.head.batch_norm is False
  assert config.head.l2_normalize is True
  assert config.head.length == 4
  assert resolved("ce", {"head.name": "etf"}).head.name == "etf"


def test_resolving_leaves_the_given_config_alone():
  config = base.get_config()
  resolve_config(config, 4)
  assert config.head.name is None
  assert config.model.num_classes is None


def test_intervals_are_in_steps():
  epoch = durations.Epoch(examples=90, batch_size=30)
  fields = {"eval.every_epochs": 2.0, "collapse.every_steps": 0}
  fields |= {"checkpoint.every_examples": 31}
  assert make_intervals(resolved("ce", fields), epoch) == (50, 6, 1, 2)


@pytest.mark.parametrize(
  ("field", "value", "rule"),
  [
    ("accumulate_steps", 0, "at least 1"),
    ("bn_group_size", 1, "at least 2"),
    ("collapse.rank_images", -1, "finite and >= 0"),
    ("collapse.splits", ("tests",), "some of .*train"),
    ("ema_decay", -0.1, r"in \[0, 1\)"),
    ("ema_decay", 1.0, r"in \[0, 1\)"),
    ("ema_decay", NAN, r"in \[0, 1\)"),
    ("eval.patience_epochs", 0.0, "finite and > 0"),
    ("eval.patience_epochs", NAN, "finite and > 0"),
    ("head.length", -1.0, "finite and > 0"),
    ("head.projector", -2, "a width, 0 or -1"),
    ("loss.class_balanced_beta", 1.0, r"in \[0, 1\)"),
    ("loss.drw_start", 80.0, r"in \[0, 1\]"),
    ("loss.focal_gamma", -1.0, "finite and >= 0"),
    ("loss.hinge_minor_count", -1, "finite and >= 0"),
    ("loss.hinge_tau_major", -0.1, "an angle in radians"),
    ("loss.hinge_tau_minor", 45.0, "an angle in radians"),
    ("loss.hinge_tau_minus", NAN, "an angle in radians"),
    ("loss.label_smoothing", 1.5, r"in \[0, 1\]"),
    ("loss.ldam_max_margin", -0.5, "finite and >= 0"),
    ("loss.ldam_scale", 0.0, "finite and > 0"),
    ("loss.tau_grid", (), "one or more"),
    ("loss.tau_grid", (0.5, -1.0), "one or more"),
    ("loss.temperature", INF, "finite and >= 0"),
    ("mesh.data", 0, "at least 1"),
    ("mesh.model", -1, "at least 1"),
    ("mesh.seed", 0, "at least 1"),
    ("optimizer.backbone_learning_rate_factor", -1.0, "finite and >= 0"),
    ("pack_seeds", 0, "at least 1"),
    ("seeds", (-1,), "different whole numbers"),
    ("seeds", (2**32,), "different whole numbers"),  # JAX's key is that of 0
    ("profile_steps", (5,), "two whole numbers, .* as in 100,10"),
    ("steps_per_call", 0, "at least 1"),
  ],
)
def test_numbers_out_of_range(field, value, rule):
  with pytest.raises(InputError, match=rf"^config\.{field}=.* must .*{rule}"):
    resolved("ce", {field: value})


@pytest.mark.parametrize(
  ("field", "value", "nearest"),
  [
    ("method", "etf_rd", "etf_dr"),
    ("method", "ce_weigthed", "ce_weighted"),
    ("method", "ldam", "ldam_drw"),
    ("dtype", "bfloat", "bfloat16"),
    ("eval.best_metric", "balanced", "balanced_accuracy"),
    ("head.name", "eft", "etf"),
    ("head.name", "frozen", "frozen_linear"),
    ("head.name", "cosin", "cosine"),
    ("init_checkpoint", "bets", "best"),
    ("init_parts", "back", "backbone"),
    ("loss.class_lengths", "batches", "batch"),
    ("loss.scaling", "balanced", "class_balanced"),
    ("loss.weight_reduction", "weights", "weight_sum"),
    ("schedule.name", "cos", "cosine"),
    ("optimizer.decayed", "kernel", "kernels"),
  ],
)
def test_unknown_choices_name_the_nearest(field, value, nearest):
  message = rf"config\.{field}='{value}': unknown; did you mean '{nearest}'"
  with pytest.raises(InputError, match=message) as caught:
    resolved("ce", {field: value})
  assert "\n" not in str(caught.value)


STREAM = {"data.feed": "stream"}
FIXED = {"optimizer.backbone_learning_rate_factor": 0.0}


@pytest.mark.parametrize(
  ("method", "fields", "message"),
  [
    ("etf_dr", {"head.name": "linear"}, "needs config.head.name='etf', not 'l"),
    ("etf_hinge", {"head.name": "linear"}, "needs config.head.name='etf'"),
    ("etf_ce", {"loss.feature_length": 2.0}, "feature_length=2.0 does nothing"),
    ("etf_dr", {"head.length": 2.0}, "config.loss.class_lengths: leave it out"),
    ("etf_dr", {"head.learn_length": True}, "head.learn_length=True is for"),
    (
      "focal",
      {"loss.label_smoothing": 0.1},
      "label_smoothing=0.1 does nothing",
    ),
    (
      "ce",
      {"model.num_classes": 3},
      "num_classes=3 is less than the 4 classes",
    ),
    (
      "ce",
      {"model.num_classes": 6},
      "num_classes=6 is more than the 4 classes",
    ),
    ("ce", {"init_parts": "all"}, "init_parts='all' does nothing without"),
    ("ce", FIXED, "leaves the backbone untrained: set config.init_from"),
    (
      "ce",
      FIXED | {"init_from": "x", "head.batch_norm": True},
      "of the head: set config.head.batch_norm=False",
    ),
    (
      "crt",
      {"optimizer.backbone_learning_rate_factor": 0.5},
      "=0.5 does nothing with config.method='crt', which trains no backbone",
    ),
    (
      "ce",
      {"eval.patience_epochs": 1.0, "pack_seeds": 2},
      "patience_epochs=1.0: packed seeds end together; set config.pack_seeds=1",
    ),
    (
      "ce",
      {"steps_per_call": 2} | STREAM,
      "config.steps_per_call=2 needs the images on the devices: leave it out",
    ),
    (
      "ce",
      {"pack_seeds": 2} | STREAM,
      "config.pack_seeds=2 needs the images on the devices: leave it out",
    ),
    (
      "ce",
      {"pack_seeds": 3, "mesh.seed": 2},
      "config.pack_seeds=3 must be a multiple of config.mesh.seed=2",
    ),
    (
      "ce",
      {"pack_seeds": 2, "mesh.fsdp": 2},
      "config.pack_seeds=2 trains runs that are whole on each device",
    ),
  ],
)
def test_fields_that_do_not_go_together(method, fields, message):
  with pytest.raises(InputError) as caught:
    resolved(method, fields)
  assert message in str(caught.value)
  assert "\n" not in str(caught.value)
