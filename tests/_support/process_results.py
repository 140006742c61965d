# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Comparison of runs of one and of several processes."""

import numpy as np
import run_results
import tiny_process_config
import tiny_runs

from etf_jax import data
from etf_jax.training import loop
from etf_jax.training.setup import make_trainer

TEST_IMAGES = 355
# Of float32 after twelve steps: sums in another order.
TOLERANCE = 1e-4


def train(digits_dir, workdir, devices, feed="resident"):
  """In this process."""
  config = tiny_process_config.get_config()
  config.data.data_dir = str(digits_dir)
  config.devices, config.data.feed = devices, feed
  loop.train_seed(make_trainer(config, data.load(config.data)), 0, workdir)


def assert_same_state(workdir, expected, folder="checkpoints"):
  actual, expected = (
    {k: v.astype(float) for k, v in run_results.newest(p / folder).items()}
    for p in (workdir, expected)
  )
  assert actual.keys() == expected.keys()
  for name, leaf in expected.items():
    error = np.linalg.norm(actual[name] - leaf)
    # Of biases before a BatchNorm gradients are zero, but for rounding.
    assert error <= TOLERANCE * np.linalg.norm(leaf) + 1e-6, name


def assert_same_rows(workdir, expected):
  actual, expected = tiny_runs.rows(workdir), tiny_runs.rows(expected)
  assert len(actual) == len(expected)
  for row, other in zip(actual, expected, strict=True):
    assert row.keys() == other.keys()
    for name, value in other.items():
      if isinstance(value, (str, dict)) or value is None:
        continue
      # Classes that are collapsed have cosines of noise, but few digits.
      np.testing.assert_allclose(
        np.asarray(row[name], float),
        np.asarray(value, float),
        rtol=1e-3,
        atol=1e-3,
        err_msg=f"{row['kind']} {row['step']} {name}",
      )
  final = actual[-1]
  assert final["kind"] == "final"
  # Each test image is counted once, and in its class.
  assert np.sum(final["confusion"]) == TEST_IMAGES
  np.testing.assert_array_equal(final["confusion"], expected[-1]["confusion"])
