# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""CIFAR-100's fine classes by the features that coarse ones have taught.

  python -m etf_jax.main --config=configs/cifar20.py --workdir=runs/cifar20
  python -m etf_jax.main --config=configs/cifar100_from_cifar20.py
  python -m etf_jax.main --config=configs/cifar100_from_cifar20.py \\
    --config.init_from=RUN_DIR       # of any method of configs/cifar20.py
  python -m etf_jax.main --config=configs/cifar100_from_cifar20.py:finetune

The second half of figure 1 of HingeCE: the backbone stays as it is, and a
linear classifier of 100 classes is learned on its 64 features, by the paper's
protocol of transfer (appendix B.2): SGD, batches of 128, a rate of 1 for 100
epochs. It names no momentum, no decay and no augmentation, so there is none.
`finetune` trains all of the network, the backbone at a tenth of the rate.

Meant for one GPU or TPU; time not yet measured. Published: the figure, which
has no accuracies. Here: not yet run.
"""

from etf_jax.configs import base


def get_config(kind: str = "linear"):
  """Train a classifier on a backbone of cifar20.py; `finetune`: both."""
  c = base.get_config()
  c.name = "cifar100_from_cifar20"
  c.method = "ce"
  c.init_from = "runs/cifar20"
  c.total_epochs = 100.0
  c.data.name = "cifar100"
  c.data.profile = "none"
  if kind == "linear":
    c.optimizer.learning_rate = 1.0
    c.optimizer.backbone_learning_rate_factor = 0.0
    c.optimizer.momentum = 0.0
    c.optimizer.weight_decay = 0.0
    c.schedule.name = "constant"
    c.schedule.warmup_epochs = 0.0
  elif kind == "finetune":
    c.name += "_finetune"
    c.augment.crop_padding = 4
    c.augment.flip = True
    c.optimizer.backbone_learning_rate_factor = 0.1
    c.schedule.name = "cosine"
  else:
    raise ValueError(f"unknown kind {kind!r}: linear or finetune")
  return c
