# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""One device and eight give the same run, partial batches included."""

import dataclasses

import jax
import numpy as np
import pytest
import tiny_runs

from etf_jax import data
from etf_jax.configs import digits_lt
from etf_jax.training import state
from etf_jax.training.setup import create_state, make_trainer

pytestmark = pytest.mark.slow

# Two epochs.
STEPS = 6


def small_config(data_dir, **changes):
  config = digits_lt.get_config()
  config.data.data_dir = str(data_dir)
  config.augment.mixup_alpha, config.dtype = 1.0, "float64"
  config.total_epochs, config.total_steps = None, STEPS
  config.update(changes)
  return config


def train(config, dataset):
  """The parameters, statistics and losses of some steps, as NumPy arrays."""
  trainer = make_trainer(config, dataset)
  current = create_state(trainer.setup, 0)
  key = state.keys(0)["augment"]
  losses, feed = [], trainer.open_feed(0, 0)
  for step in range(STEPS):
    current, metrics = feed.advance(current, step, key)
    losses.append(metrics.loss)
  return jax.device_get((current.params, current.batch_stats, losses))


@pytest.fixture
def float64():
  # linen's normalisation promotes float64 with float32 itself.
  with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
    yield


@pytest.mark.usefixtures("float64")
def test_one_device_equals_eight(digits_dir):
  config = small_config(digits_dir)
  dataset = data.load(config.data)
  # Two full batches and one example: seven of eight devices have padding.
  split = data.Split(dataset.train.images[-257:], dataset.train.labels[-257:])
  dataset = dataclasses.replace(dataset, train=split)
  one, eight = (
    train(small_config(digits_dir, devices=n), dataset) for n in (1, 8)
  )
  assert jax.tree.leaves(one)[0].dtype == np.float64
  assert np.isfinite(one[2]).all()
  assert tiny_runs.error(eight, one) < 1e-9
