# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Minority collapse in training: what a strong decay does to small classes."""

import numpy as np
import pytest
import tiny_runs

from etf_jax import data
from etf_jax.configs import digits_two_sizes
from etf_jax.training import loop
from etf_jax.training.setup import make_trainer

LARGE, SMALL = slice(0, 5), slice(5, 10)


def train(digits_dir, workdir, method, **optimizer):
  """The classifier vectors of a backbone of one layer, after the trainer.

  Returns the cosines between those of large classes, of small ones, and of one
  with the other; and the lengths of all.
  """
  c = digits_two_sizes.get_config()
  c.method = method
  c.devices = 1
  c.data.data_dir = str(digits_dir)
  c.model.name = "tiny_runs:Tiny"
  c.model.kwargs.features = 32
  c.optimizer.update(optimizer)
  for part in (c.eval, c.collapse, c.checkpoint):
    part.every_epochs = c.total_epochs
  c.collapse.splits = ("test",)
  c.collapse.hold_features = False
  c.checkpoint.best = False
  c.report.tensorboard = False
  loop.train_seed(make_trainer(c, data.load(c.data)), 0, workdir)
  (row,) = tiny_runs.rows(workdir, "collapse")
  matrix = np.array(row["classifier_cosines"])
  pairs = ~np.eye(5, dtype=bool)
  return (
    matrix[LARGE, LARGE][pairs],
    matrix[SMALL, SMALL][pairs],
    matrix[LARGE, SMALL],
    np.array(row["classifier_norms"]),
  )


def test_counts(digits_dir):
  c = digits_two_sizes.get_config()
  c.data.data_dir = str(digits_dir)
  counts = data.load(c.data).class_counts
  assert list(counts) == [143, 144, 142, 144, 144, 2, 2, 2, 2, 2]


@pytest.mark.slow
def test_a_learned_classifier_merges_small_classes(digits_dir, tmp_path):
  large, small, between, lengths = train(digits_dir, tmp_path / "strong", "ce")
  assert small.min() > 0.3
  assert small.mean() > 0.5
  assert large.max() < 0
  assert abs(between.mean()) < 0.3
  assert 3 * lengths[SMALL].max() < lengths[LARGE].min()
  # Not because they are small alone: a weak decay leaves them apart.
  _, small, _, _ = train(digits_dir, tmp_path / "weak", "ce", weight_decay=2e-4)
  assert small.mean() < 0.3


@pytest.mark.slow
def test_a_fixed_frame_keeps_them_apart(digits_dir, tmp_path):
  *parts, lengths = train(digits_dir, tmp_path / "run", "etf_dr")
  for part in parts:
    np.testing.assert_allclose(part, -1 / 9, atol=1e-4)  # in four digits
  np.testing.assert_allclose(lengths, 1, atol=1e-6)
