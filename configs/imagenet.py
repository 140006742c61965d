# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""ImageNet-2012, balanced: what fine-grained classes are learned from.

  python -m etf_jax.main --config=configs/imagenet.py           # ce
  python -m etf_jax.main --config=configs/imagenet.py:smooth    # ce, smoothed
  python -m etf_jax.main --config=configs/imagenet.py:etf_ce
  python -m etf_jax.main --config=configs/imagenet.py:etf_ce,smooth
  python -m etf_jax.main --config=configs/imagenet.py:etf_hinge

The recipe of HingeCE ("Do we need neural collapse?", appendix B.1): ResNet-50,
90 epochs of batches of 512, SGD with Nesterov's momentum at .4, 100 steps of
warm-up, then a cosine; a weight decay of .001, as is printed there for this one
experiment, ten times the usual. Crops and flips alone. `etf_ce` is its CE+ETF:
a projector of 2048 features before the frame and none of the normalisations of
Yang et al. The cones of `etf_hinge` have tau+ = 13/36 pi for all classes.
`smooth` is label smoothing of .1.

Hardware: GPUs or TPUs, with CPUs that decode 1.28 million photographs an epoch.
Time: not yet measured. Published are tables 1 and 3 there, by whose text CE+ETF
does about as well as CE on ImageNet itself and HingeCE better than both;
torchvision's weights of this network, trained with CE, have 76.1 %. Here: not
yet run.

`python -m etf_jax.export` writes the network for others to start from; runs of
this project take it from the directory (`--config.init_from=DIR`).
"""

import math

from etf_jax.configs import base


def get_config(options: str = "ce"):
  """HingeCE's recipe.

  Args:
    options: see `choose_method`.

  Raises:
    ValueError: an option is not known.
  """
  c = base.get_config()
  c.name = "imagenet"
  c.dtype = "bfloat16"
  c.batch_size = 512
  c.total_epochs = 90.0

  c.data.name = "imagenet"
  c.data.profile = "none"
  c.data.feed = "stream"  # held at 256 pixels they would take 262 GB
  c.data.image_size = 256
  c.augment.crop_size = 224  # of 256 in evaluation: eval_crop 0.875
  c.augment.flip = True

  c.model.name = "resnet50"
  c.optimizer.learning_rate = 0.4
  c.optimizer.nesterov = True
  c.optimizer.weight_decay = 1e-3
  c.schedule.name = "cosine"
  c.schedule.per_step = True
  c.schedule.warmup_steps = 100
  choose_method(c, options)
  # Features of all training images do not fit beside the step.
  c.collapse.hold_features = False
  return c


def choose_method(c, options: str) -> None:
  """Set one of the methods that HingeCE's transfer experiments compare.

  Args:
    c: a config, whose name gets the options unless they are "ce" alone.
    options: `ce`, `etf_ce` or `etf_hinge`, `smooth`, or two of them with a
      comma between.

  Raises:
    ValueError: an option is none of these.
  """
  c.method = "ce"
  c.loss.hinge_tau_minor = c.loss.hinge_tau_major = 13 / 36 * math.pi
  for option in options.split(","):
    if option in ("ce", "etf_ce", "etf_hinge"):
      c.method = option
    elif option == "smooth":
      c.loss.label_smoothing = 0.1
    else:
      raise ValueError(
        f"unknown option {option!r}: ce, etf_ce, etf_hinge or smooth"
      )
  if c.method == "etf_ce":
    c.head.update(projector=-1, batch_norm=False, l2_normalize=False)
  if options != "ce":
    c.name += "_" + options.replace(",", "_")
