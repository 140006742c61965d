# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Augmentation inside the jitted step: see `pipeline`."""

from etf_jax.data.augment.mixing import mix, mixup_partners
from etf_jax.data.augment.pipeline import (
  Mixed,
  check,
  cutout,
  evaluation,
  example_keys,
  flip,
  normalize,
  pad_crop,
  training,
)

__all__ = [
  "Mixed",
  "check",
  "cutout",
  "evaluation",
  "example_keys",
  "flip",
  "mix",
  "mixup_partners",
  "normalize",
  "pad_crop",
  "training",
]
