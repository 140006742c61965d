# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""One device and eight give the same run, partial batches included."""

import contextlib
import dataclasses

import jax
import numpy as np
import pytest

from etf_jax import data
from etf_jax.configs import digits_lt
from etf_jax.training import state
from etf_jax.training.parallel import sharding
from etf_jax.training.setup import make_trainer

pytestmark = pytest.mark.slow

STEPS = 20


def small_config(data_dir, **changes):
  config = digits_lt.get_config()
  config.data.data_dir = str(data_dir)
  config.augment.mixup_alpha = 1.0
  config.total_epochs, config.total_steps = None, STEPS
  config.update(changes)
  return config


def train(config, dataset):
  """The parameters, statistics and losses of 20 steps, as NumPy arrays."""
  trainer = make_trainer(config, dataset)
  keys = state.keys(0)
  shape = dataset.train.images.shape[1:]
  current = state.create_train_state(
    trainer.setup.model,
    trainer.setup.optimizer,
    shape,
    state.draw_classifier(trainer.setup.model, shape, 0),
    0,
    sharding.replicated(trainer.setup.mesh),
  )
  losses, feed = [], trainer.open_feed(0, 0)
  for step in range(STEPS):
    current, metrics = feed.advance(current, step, keys["augment"])
    losses.append(metrics.loss)
  return jax.device_get((current.params, current.batch_stats, losses))


def relative_error(actual, expected):
  """The largest error of a leaf, relative to the leaf's norm."""
  return max(
    np.linalg.norm(a - e) / np.linalg.norm(e)
    for a, e in zip(
      jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True
    )
  )


@pytest.mark.parametrize(
  ("dtype", "tolerance"), [("float32", 1e-4), ("float64", 1e-9)]
)
def test_one_device_equals_eight(digits_dir, dtype, tolerance):
  with contextlib.ExitStack() as stack:
    if dtype == "float64":
      stack.enter_context(jax.enable_x64(True))
      # linen's normalisation promotes float64 with float32 itself.
      stack.enter_context(jax.numpy_dtype_promotion("standard"))
    config = small_config(digits_dir, dtype=dtype)
    dataset = data.load(config.data)
    # Two full batches and one example: seven of eight devices have padding.
    train_split = data.Split(
      dataset.train.images[-257:], dataset.train.labels[-257:]
    )
    dataset = dataclasses.replace(dataset, train=train_split)
    one, eight = (
      train(small_config(digits_dir, dtype=dtype, devices=n), dataset)
      for n in (1, 8)
    )
  assert jax.tree.leaves(one)[0].dtype == dtype
  assert np.isfinite(one[2]).all()
  assert relative_error(eight, one) < tolerance
