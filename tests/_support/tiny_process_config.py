# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The run of seconds as an experiment file, on all devices there are."""

import tiny_runs


def get_config():
  """467 images a step, of which one device of four has one less."""
  return tiny_runs.config(
    "",
    "etf_dr",
    {
      "devices": None,
      "batch_size": 468,
      "data.imbalance": 0.042,
      "augment.crop_padding": 1,
      "eval.every_steps": 12,
      "collapse.every_steps": 12,
      "collapse.splits": ("test",),
      "checkpoint.best": True,
      "report.html": False,
      "report.tracker": "slow_rows:create",
      "checkpoint.every_steps": 4,
    },
  )
