# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A step in parts against the same step as a whole, in float64."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np
import pytest
import tiny_runs

from etf_jax import models
from etf_jax.data.batch import Batch
from etf_jax.training import optimizer, state
from etf_jax.training.config import resolve_config
from etf_jax.training.methods import METHODS
from etf_jax.training.parallel import sharding
from etf_jax.training.step import make_train_step

pytestmark = pytest.mark.slow

COUNTS = np.array([9, 7, 5, 3])
BATCH = 24
SHAPE = (4, 4, 1)


class Plain(nn.Module):
  """Without BatchNorm."""

  @nn.compact
  def __call__(self, images, *, train=False, mask=None):
    x = images.reshape(images.shape[0], -1)
    return nn.tanh(nn.Dense(12, param_dtype=x.dtype)(x))


class Normalised(nn.Module):
  """With it."""

  @nn.compact
  def __call__(self, images, *, train=False, mask=None):
    x = images.reshape(images.shape[0], -1)
    x = nn.Dense(12, param_dtype=x.dtype)(x)
    mask = None if mask is None else mask[:, None]
    norm = nn.BatchNorm(momentum=0.9, param_dtype=x.dtype)
    return nn.relu(norm(x, use_running_average=not train, mask=mask))


@pytest.fixture(autouse=True)
def float64():
  # linen's normalisation promotes float64 with float32 itself.
  with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
    yield


def batch(counted=None):
  """24 images of four classes in a random order, of which the first count."""
  rng = np.random.default_rng(3)
  images = rng.integers(0, 256, (BATCH, *SHAPE), np.uint8)
  labels = rng.permutation(np.repeat(np.arange(4), COUNTS))
  where = None if counted is None else jnp.arange(BATCH) < counted
  return Batch(jnp.asarray(images), jnp.asarray(labels, jnp.int32), where)


def mixed(data, key):
  """Every example with another, those that count among each other."""
  del key
  images = data.images.astype(jnp.float64) / 100 - 1
  count = BATCH if data.where is None else jnp.sum(data.where)
  place = jnp.arange(BATCH)
  partners = jnp.where(place < count, (place + 2) % count, place)
  return 0.7 * images + 0.3 * images[partners], partners, jnp.float32(0.7)


def plain(data, key):
  del key
  return data.images.astype(jnp.float64) / 100 - 1, None, None


@functools.cache
def begin(method, backbone, head):
  """Make the start of a run: resolved config, model, optimizer and state."""
  fields = {"dtype": "float64", "model.name": f"{__name__}:{backbone}"}
  fields |= {"eval.train_accuracy_steps": 1, "head.batch_norm": head}
  if method == "crt":
    fields["init_from"] = "elsewhere"
  config = tiny_runs.config("", method, fields)
  config = resolve_config(config, 4)
  model = models.create_model(config)
  sgd = optimizer.create_optimizer(
    config.optimizer, lambda step: 1.0, METHODS[method].trains
  )
  fixed = state.draw_classifier(model, SHAPE, 0)
  where = sharding.replicated(sharding.make_mesh(1, BATCH))
  fresh = state.create_train_state(model, sgd, SHAPE, fixed, 0, where)
  # Deferred weights need a late epoch.
  return config, sgd, jax.device_get(fresh.replace(step=np.int32(9)))


def after_a_step(
  data, method="ce", backbone="Plain", augment=plain, head=False, **fields
):
  """The state after one step, from the same weights, and its metrics."""
  config, sgd, fresh = begin(method, backbone, head)
  config = ConfigDict(config)
  config.update_from_flattened_dict(
    {name.replace("__", "."): value for name, value in fields.items()}
  )
  train_step = make_train_step(
    config,
    models.create_model(config),
    sgd,
    COUNTS,
    augment,
    1,
    10,
  )
  return jax.device_get(jax.jit(train_step)(fresh, data, jax.random.key(0)))


def error(actual, expected):
  """The largest difference of two trees of arrays."""
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(actual))
  return max(
    np.abs(a - e).max()
    for a, e in zip(
      jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True
    )
  )


def trained(run):
  return run[0].params, run[0].batch_stats, run[1]


@pytest.mark.parametrize(
  ("method", "parts", "counted", "fields"),
  [
    # Of 4 parts of 6 rows with 3 that count, one is all padding.
    ("etf_dr", 4, 3, {}),
    ("ldam_drw", 3, 13, {}),
    ("ce", 2, None, {"loss__feature_length_penalty": 0.1}),
  ],
)
def test_parts_have_the_gradient_of_the_whole(method, parts, counted, fields):
  data = batch(counted)
  whole = after_a_step(data, method, augment=mixed, **fields)
  made = after_a_step(
    data, method, augment=mixed, **fields, accumulate_steps=parts
  )
  assert error(trained(made), trained(whole)) < 1e-12
  # There was a gradient to compare.
  fresh = begin(method, "Plain", False)[-1]
  for before, after in zip(
    *(jax.tree.leaves(s.params) for s in (fresh, made[0])), strict=True
  ):
    assert np.abs(before - after).max() > 1e-3


def test_a_rolled_loop_is_the_same(monkeypatch):
  """As on accelerators, where a loop is not unrolled."""
  unrolled = after_a_step(batch(17), accumulate_steps=4)
  monkeypatch.setattr(sharding, "unrolls", lambda mesh: False)
  rolled = after_a_step(batch(17), accumulate_steps=4)
  assert error(trained(rolled), trained(unrolled)) < 1e-12


def test_the_parts_are_groups_of_batch_norm():
  """Every third example, where groups are neighbours."""
  data = batch()
  order = np.arange(BATCH).reshape(-1, 3).T.reshape(-1)
  neighbours = Batch(data.images[order], data.labels[order], None)
  parts = after_a_step(data, backbone="Normalised", accumulate_steps=3)
  groups = after_a_step(
    neighbours, backbone="Normalised", bn_group_size=BATCH // 3
  )
  assert error(trained(parts), trained(groups)) < 1e-12
  whole = after_a_step(data, backbone="Normalised")
  assert error(trained(parts), trained(whole)) > 1e-3
  # One update of the running statistics, not three: its mean is known.
  means = [
    s[0].batch_stats["backbone"]["BatchNorm_0"]["mean"] for s in (parts, whole)
  ]
  np.testing.assert_allclose(*means, atol=1e-12)


def test_with_groups_the_number_of_parts_changes_nothing():
  """Three parts of two groups of four; two and a half groups count."""
  fields = {"backbone": "Normalised", "head": True, "bn_group_size": 4}
  whole, made = (
    after_a_step(
      batch(10), "etf_dr", augment=mixed, **fields, accumulate_steps=n
    )
    for n in (1, 3)
  )
  assert error(trained(made), trained(whole)) < 1e-12


def test_padding_has_no_part_in_the_statistics():
  """13 examples in 6 parts of 4 rows, with whatever behind them."""
  data, fields = batch(13), {"backbone": "Normalised", "accumulate_steps": 6}
  images = data.images.at[13:].set(255 - data.images[13:])
  other = data._replace(images=images)
  first, second = (after_a_step(x, **fields) for x in (data, other))
  assert error(trained(first), trained(second)) < 1e-12


def test_what_is_not_trained_stands_still_in_parts():
  """A second stage leaves BatchNorm as it was, to the bit."""
  fields = {"backbone": "Normalised"}
  run = after_a_step(batch(), "crt", **fields, accumulate_steps=3)
  whole = after_a_step(batch(), "crt", **fields)
  assert error(run[0].batch_stats, whole[0].batch_stats) == 0
  assert error(trained(run), trained(whole)) < 1e-12
