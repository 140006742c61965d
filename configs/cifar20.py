# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""CIFAR-100 with its 20 coarse labels: what its fine ones are learned from.

  python -m etf_jax.main --config=configs/cifar20.py --workdir=runs/cifar20
  python -m etf_jax.main --config=configs/cifar20.py:smooth
  python -m etf_jax.main --config=configs/cifar20.py:etf_ce
  python -m etf_jax.main --config=configs/cifar20.py:etf_hinge

The first half of figure 1 of HingeCE ("Do we need neural collapse?"), for which
ResNet-32 is all that its paper names; the rest is the recipe of its CIFAR runs
(appendix B.3) and the options are those of configs/imagenet.py. The second half
is configs/cifar100_from_cifar20.py.

Meant for one GPU or TPU; time not yet measured. Published: the figure, which
has no accuracies. Here: not yet run.
"""

from etf_jax.configs import base, imagenet


def get_config(options: str = "ce"):
  """ResNet-32 for 256 epochs, 20 classes of 2,500 images.

  Args:
    options: see `imagenet.choose_method`.

  Raises:
    ValueError: an option is not known.
  """
  c = base.get_config()
  c.name = "cifar20"
  c.total_epochs = 256.0
  c.data.name = "cifar20"
  c.data.profile = "none"
  c.augment.crop_padding = 4
  c.augment.flip = True
  c.optimizer.learning_rate = 0.4
  c.optimizer.weight_decay = 1e-4
  c.schedule.name = "cosine"
  c.schedule.warmup_epochs = 0.0
  imagenet.choose_method(c, options)
  return c
