# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Logit adjustment on features of a pretrained model, from files.

  python -m etf_jax.main --config=configs/features.py --config.data.dir=X.npz
  python -m etf_jax.main --config=configs/features.py:mlp \\
    --config.data.dir=X.npz --config.method=etf_dr

X.npz holds `x` [rows, features] and `y`, of which a fifth of each class is held
back to test on, or `train_x`, `train_y`, `test_x` and `test_y`; a folder holds
train and test as .npy with labels in .csv (a column y, label or class), or as
.parquet. Labels are numbers or names; inputs are normalized by the training
rows. All training rows are used; `--config.data.profile=exponential` cuts them
to a long tail. `mlp` puts a hidden layer of 512 units and a linear one before
the head, at a tenth of the rate. Methods with a frame have such a map in any
case, and want that rate: `--config.optimizer.learning_rate=0.001`.

Seconds on two CPU cores for some thousand rows. etf_jax/sklearn/README.md has
what was measured, and how to make such files.
"""

from etf_jax.configs import base


def get_config(size: str = "linear"):
  """Return a linear head for 1,000 steps; `mlp`: with a hidden layer."""
  c = base.get_config()
  c.name = "features"
  c.method = "logit_adjusted"
  c.total_epochs = 10.0
  c.total_min_steps = 1000
  c.data.name = "features"
  c.data.profile = "none"
  c.model.name = "identity"
  c.optimizer.name = "adamw"
  c.optimizer.learning_rate = 1e-2
  c.optimizer.weight_decay = 1e-3
  c.optimizer.decayed = "kernels"
  c.schedule.name = "cosine"
  c.schedule.per_step = True
  c.schedule.warmup_epochs = 0.5
  c.schedule.warmup_min_steps = 50
  c.eval.every_min_steps = 100
  c.collapse.every_min_steps = 500
  c.checkpoint.every_min_steps = 500
  c.report.html = False
  if size == "mlp":
    c.name += "_mlp"
    c.model.name = "mlp"
    c.head.projector = -1
    c.optimizer.learning_rate = 1e-3
  elif size != "linear":
    raise ValueError(f"unknown size {size!r}: linear or mlp")
  return c
