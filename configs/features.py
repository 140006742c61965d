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
to a long tail. `mlp` puts a hidden layer of 512 units before the head; methods
with a frame learn a map to it, `config.head.projector`.

Seconds on two CPU cores for some thousand rows. On the Imagenette long tail of
740 photographs (300 to 3 a class) as 1,280 features of an ImageNet network,
`etf_jax.sklearn.LongTailClassifier` has a balanced accuracy of 96.2 with this
method, and scikit-learn's balanced logistic regression 94.9; the ten classes
were among those that the network was trained on.
"""

from etf_jax.configs import base


def get_config(size: str = "linear"):
  """Return a linear head for 50 epochs; `mlp`: with a hidden layer."""
  c = base.get_config()
  c.name = "features"
  c.method = "logit_adjusted"
  c.total_epochs = 50.0
  c.data.name = "features"
  c.data.profile = "none"
  c.model.name = "identity"
  c.head.projector = -1
  c.optimizer.name = "adamw"
  c.optimizer.learning_rate = 1e-3
  c.optimizer.weight_decay = 1e-3
  c.optimizer.decayed = "kernels"
  c.schedule.name = "cosine"
  c.schedule.per_step = True
  c.schedule.warmup_epochs = 2.0
  c.report.html = False
  if size == "mlp":
    c.name += "_mlp"
    c.model.name = "mlp"
  elif size != "linear":
    raise ValueError(f"unknown size {size!r}: linear or mlp")
  return c
