# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Long-tailed digits: scikit-learn's 8x8 scans, the embedded example.

python -m etf_jax.main --config=configs/digits_lt.py --config.method=ce
"""

from etf_jax.configs import base


def get_config():
  """ResNet-8 for 60 epochs, the recipe of CIFAR otherwise."""
  c = base.get_config()
  c.name = "digits_lt"
  c.total_epochs = 60.0
  c.data.name = "digits"
  c.data.imbalance = 0.05
  c.augment.crop_padding = 1
  c.model.name = "resnet8"
  return c
