# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Long-tailed CIFAR-100 as in Yang et al. 2022, table 2.

  python -m etf_jax.main --config=configs/cifar100_lt.py --config.seeds=0,1,2
  python -m etf_jax.main --config=configs/cifar100_lt.py:densenet
  python -m etf_jax.main --config=configs/cifar100_lt.py:hinge

The channels of ResNet-32 are doubled, because 100 classes need at least 99
features; DenseNet has 510, and HingeCE's recipe maps the 64 of the plain
network to 128. Meant for one GPU or TPU; time not yet measured. Published with
mixup, %, mean of three seeds at imbalance .005, .01 and .02: ResNet CE 38.7
43.0 48.1, ETF + DR 40.9 45.3 50.4; DenseNet CE 40.3 43.8 49.8, ETF + DR 40.1
44.0 49.7. With HingeCE's recipe at .01 and no mixup: CE 39.5, CE + ETF 42.6.
Here: not yet run.
"""

from etf_jax.configs import cifar10_lt


def get_config(recipe: str = "resnet"):
  """ResNet-32 of twice the width for 200 epochs, imbalance 0.01, mixup.

  Args:
    recipe: `densenet` or `hinge`, as those of cifar10_lt.

  Raises:
    ValueError: it is none of them.
  """
  c = cifar10_lt.get_config(recipe)
  c.name = c.name.replace("cifar10", "cifar100")
  c.data.name = "cifar100"
  if recipe == "resnet":
    c.model.width = 2
  elif recipe == "hinge":
    c.head.projector = 128
  return c
