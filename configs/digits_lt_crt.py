# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A new classifier for long-tailed digits on a trained backbone: cRT.

python -m etf_jax.main --config=configs/digits_lt.py --config.method=ce \\
  --config.seeds=0,1,2 --workdir=runs/ce
python -m etf_jax.main --config=configs/digits_lt_crt.py \\
  --config.seeds=0,1,2 --config.init_from=runs/ce

A few seconds on two CPU cores. Here 95.8 % at the last epoch, mean of these
seeds, where CE has 94.1. What was changed of data, model and head in the first
run has to be changed in the second as well.
"""

from etf_jax.configs import digits_lt


def get_config():
  """Ten epochs of balanced classes, the rate falling from .1 by a cosine."""
  c = digits_lt.get_config()
  c.name = "digits_lt_crt"
  c.method = "crt"
  c.total_epochs = 10.0
  c.schedule.name = "cosine"
  c.schedule.warmup_epochs = 0.0
  return c
