# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Models from configs, and backbones that are not ours."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from etf_jax.benchmarks.run import Compilations
from etf_jax.configs import base
from etf_jax.data import augment
from etf_jax.data.batch import Batch
from etf_jax.errors import InputError
from etf_jax.models import (
  Classifier,
  ETFHead,
  LinearHead,
  create_model,
  layers,
)
from etf_jax.training import durations, optimizer, state
from etf_jax.training.config import resolve_config
from etf_jax.training.step import make_train_step

CLASSES, SHAPE = 4, (8, 8, 1)


def config(method="etf_dr", backbone="resnet8", **changes):
  c = base.get_config()
  c.method, c.model.name = method, backbone
  c.schedule.name = "constant"
  with c.unlocked():
    c.update_from_flattened_dict(changes)
  return resolve_config(c, CLASSES)


@pytest.fixture(scope="module")
def batch():
  """Four classes, of which each is bright in a quarter of its own."""
  rng = np.random.default_rng(0)
  labels = np.arange(24, dtype=np.int32) % CLASSES
  images = rng.integers(0, 120, (24, *SHAPE))
  for image, label in zip(images, labels, strict=True):
    row, column = divmod(label, 2)
    image[4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 120
  return Batch(jnp.asarray(images, jnp.uint8), jnp.asarray(labels), None)


def train(c, batch, steps):
  """Step on one batch through the real train step."""
  model = create_model(c)
  epoch = durations.Epoch(len(batch.labels), len(batch.labels))
  sgd = optimizer.create_optimizer(
    c.optimizer,
    optimizer.create_schedule(
      c.schedule, c.optimizer.learning_rate, epoch, steps
    ),
  )
  prepare = augment.training(c.augment, (0.4,), (0.3,), jnp.dtype(c.dtype))
  counts = np.full(CLASSES, 6)
  train_step = jax.jit(
    make_train_step(c, model, sgd, counts, prepare, 1, steps)
  )
  first = current = state.create_train_state(
    model,
    sgd,
    SHAPE,
    state.draw_classifier(model, SHAPE, 0),
    0,
    jax.sharding.SingleDeviceSharding(jax.devices()[0]),
  )
  losses = []
  with Compilations() as compilations:
    for _ in range(steps):
      current, metrics = train_step(current, batch, jax.random.key(0))
      losses.append(float(metrics.loss))
  assert [name for _, name in compilations.found].count("train_step") == 1
  return first, current, losses


@pytest.mark.slow
@pytest.mark.parametrize(
  ("backbone", "width"),
  [
    pytest.param("elsewhere:Patches", 32, marks=pytest.mark.slow),
    ("elsewhere:Normalised", 24),
  ],
)
def test_a_backbone_from_elsewhere_is_trained(batch, backbone, width):
  c = config(backbone=backbone, **{"schedule.warmup_epochs": 0.0})
  first, last, losses = train(c, batch, 30)
  assert first.etf["head"]["prototypes"].shape == (width, CLASSES)
  assert losses[-1] < 0.3 * losses[0]
  jax.tree.map(np.testing.assert_array_equal, first.etf, last.etf)
  assert set(last.params["head"]) == {"norm"}
  for before, after in zip(
    *(jax.tree.leaves(s.params["backbone"]) for s in (first, last)), strict=True
  ):
    assert np.abs(before - after).max() > 0
  normalised = backbone.endswith("Normalised")
  assert ("backbone" in last.batch_stats) == normalised


@pytest.mark.slow
def test_a_frozen_classifier_stays_as_it_was(batch):
  c = config("ce_frozen", "elsewhere:Patches")
  first, last, losses = train(c, batch, 5)
  assert "head" not in first.params
  assert set(first.etf["head"]) == {"kernel", "bias"}
  jax.tree.map(np.testing.assert_array_equal, first.etf, last.etf)
  moved = jax.tree.map(
    lambda a, b: float(np.abs(a - b).max()), first.params, last.params
  )
  assert min(jax.tree.leaves(moved)) > 0
  assert losses[-1] < losses[0]


def test_keywords_reach_a_backbone_that_takes_any():
  model = create_model(config("ce", "elsewhere:Anything"))
  images, mask = jnp.zeros((2, *SHAPE)), jnp.array([True, False])
  variables = model.init(jax.random.key(0), images)
  for train_, mask_ in ((True, mask), (False, None), (True, None)):
    output = model.apply(variables, images, train=train_, mask=mask_)
    np.testing.assert_array_equal(
      output.features[0], [train_, mask_ is not None]
    )


def init(model, images):
  """All variables; the frame as zeros, since it cannot be traced."""
  prototypes = jnp.zeros((64, CLASSES), images.dtype)
  _, variables = model.apply(
    {"etf": {"head": {"prototypes": prototypes}}},
    images,
    rngs={"params": jax.random.key(0)},
    mutable=["params", "batch_stats", "etf"],
  )
  return {**variables, "etf": {"head": {"prototypes": prototypes}}}


def test_bfloat16_backbone_and_float32_head():
  model = create_model(config(dtype="bfloat16"))
  images = jnp.zeros((2, *SHAPE))
  with jax.numpy_dtype_promotion("standard"):
    variables = jax.eval_shape(lambda x: init(model, x), images)
    features, output = jax.eval_shape(
      lambda v: (
        model.apply(v, images, method=Classifier.features),
        model.apply(v, images),
      ),
      variables,
    )
  assert features.dtype == jnp.bfloat16
  assert output.features.dtype == output.weights.dtype == jnp.float32
  assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


@pytest.mark.parametrize(
  ("method", "kind", "batch_norm"),
  [("etf_dr", ETFHead, True), ("ce", LinearHead, False)],
)
def test_the_head_is_the_methods(method, kind, batch_norm):
  model = create_model(config(method, **{"model.width": 2}))
  assert isinstance(model.head, kind)
  assert model.head.num_classes == CLASSES
  assert model.head.batch_norm == model.head.l2_normalize == batch_norm
  assert model.backbone.width == 2
  assert create_model(config("ce_frozen")).head.frozen


def test_compute_dtype_reaches_backbones_that_have_one():
  c = config(backbone="elsewhere:Normalised", dtype="bfloat16")
  assert create_model(c).backbone.dtype == jnp.bfloat16
  c = config(backbone="elsewhere:Patches", dtype="bfloat16")
  assert not hasattr(create_model(c).backbone, "dtype")


def test_keyword_arguments_reach_the_backbone():
  c = config(backbone="elsewhere:Patches", **{"model.kwargs": {"hidden": 5}})
  assert create_model(c).backbone.hidden == 5


@pytest.mark.parametrize(
  ("backbone", "kwargs", "message"),
  [
    ("resnet_32", {}, r"'resnet_32': unknown; did you mean 'resnet32'\? \("),
    ("vit", {}, r", package\.module:Class\)"),
    ("resnet8", {"deep": 3}, r"\{'deep': 3\} does not fit resnet8: .*'deep'"),
    (
      "resnet50",
      {"last_stage_width": 0},
      r"fit resnet50: last_stage_width must",
    ),
    ("densenet150", {"reduction": 2}, r"fit densenet150: reduction must"),
    ("resnet8", {"depth": 20}, r"kwargs sets 'depth' of resnet8, which"),
    ("elsewhere:Patches", {"wide": 3}, r"does not fit elsewhere:Patches"),
    ("elsewhere:Missing", {}, r"cannot be imported: .*'Missing'"),
    ("nowhere.at_all:Net", {}, r"cannot be imported: No module named 'nowhere"),
    (":Net", {}, r"':Net' must look like package\.module:Class"),
    (".near:Net", {}, r"must look like package\.module:Class"),
    ("elsewhere:", {}, r"must look like package\.module:Class"),
    ("elsewhere:not_a_module", {}, r"must name a flax\.linen\.Module class"),
    ("elsewhere:jnp", {}, r"must name a flax\.linen\.Module class"),
  ],
)
def test_backbones_that_cannot_be_made(backbone, kwargs, message):
  c = config(backbone=backbone, **{"model.kwargs": kwargs})
  with pytest.raises(InputError, match=message):
    create_model(c)


@pytest.mark.parametrize("backbone", ["elsewhere:Patches", "densenet100"])
def test_the_width_of_the_resnets_is_not_for_other_backbones(backbone):
  c = config(backbone=backbone, **{"model.width": 2})
  with pytest.raises(InputError, match=r"width=2 is for the resnets here;"):
    create_model(c)


def test_features_must_be_vectors():
  model = create_model(config("ce", "elsewhere:Unpooled"))
  with pytest.raises(
    InputError, match=r"Unpooled must give \[batch, features\].*\(1, 8, 8, 8\)"
  ):
    jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *SHAPE)))


def test_padding_needs_a_backbone_that_takes_a_mask():
  model = create_model(config("ce", "elsewhere:Normalised"))
  images, mask = jnp.zeros((2, *SHAPE)), jnp.array([True, False])
  apply = functools.partial(model.init, jax.random.key(0), images, mask=mask)
  with pytest.raises(
    InputError, match=r"Normalised takes no `mask`.* a keyword `mask`"
  ):
    jax.eval_shape(lambda: apply(train=True))
  # Evaluation needs none: running statistics do not see the batch.
  jax.eval_shape(lambda: apply(train=False))


@pytest.mark.parametrize(
  ("backbone", "shape", "wanted"),
  [
    (
      "resnet18",
      (32, 32, 3),
      [
        ("conv_stem", "norm_stem"),
        *((f"stage{s}_block{b}",) for s in (1, 2, 3, 4) for b in (1, 2)),
      ],
    ),
    ("mlp", (1, 1, 5), [("hidden0",)]),
    ("identity", (1, 1, 5), []),
    ("elsewhere:Patches", SHAPE, [("Conv_0", "LayerNorm_0"), ("Dense_0",)]),
    (
      "elsewhere:Normalised",
      SHAPE,
      [("Dense_0", "BatchNorm_0"), ("Dense_1",)],
    ),
  ],
)
def test_layers_are_in_the_order_of_their_calls(backbone, shape, wanted):
  found = layers(create_model(config("ce", backbone)), shape)
  assert list(found) == wanted


@pytest.mark.parametrize(
  ("fields", "method", "changes"),
  [
    ({}, "etf_dr", {}),
    ({"head": {"name": "linear"}, "dtype": "bfloat16"}, "ce", {}),
    ({"head": {"name": "cosine"}}, "ce", {"head.name": "cosine"}),
    (
      {"head": {"num_prototypes": 6, "frame": "random"}},
      "etf_dr",
      {"head.num_prototypes": 6, "head.frame": "random"},
    ),
  ],
)
def test_a_plain_dict_makes_the_model_of_a_config(fields, method, changes):
  model = {"name": "resnet8", "num_classes": CLASSES}
  made = create_model({"model": model} | fields)
  changes |= {"dtype": fields.get("dtype", "float32")}
  assert made == create_model(config(method, **changes))


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    ({}, "config.model.num_classes=None: .* give the number"),
    ({"model": {"nam": "mlp"}}, "model.nam is unknown; .* config.model.name"),
    ({"hed": {}}, "config.hed is unknown; did you mean config.head"),
    ({"head": {"name": "etff"}}, "config.head.name='etff': .*did you mean"),
  ],
)
def test_a_plain_dict_of_other_fields_is_one_line(fields, message):
  if "head" in fields:
    fields |= {"model": {"num_classes": 3}}
  with pytest.raises(InputError, match=message):
    create_model(fields)
