# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Simplex equiangular tight frames, class lengths, and softmax codes.

In use::

    from etf_jax.etf import class_lengths, simplex_etf

    prototypes = simplex_etf(jax.random.key(0), feature_dim=64, num_classes=4)
    lengths = class_lengths([5000, 1077, 232, 50])
"""

from etf_jax.etf._class_lengths import batch_class_lengths, class_lengths
from etf_jax.etf._frames import (
  simplex_etf,
  structured_etf,
  uniform_qr_etf,
)
from etf_jax.etf._random_frames import frame_margin, random_frame
from etf_jax.etf._softmax_code import softmax_code

__all__ = [
  "batch_class_lengths",
  "class_lengths",
  "frame_margin",
  "random_frame",
  "simplex_etf",
  "softmax_code",
  "structured_etf",
  "uniform_qr_etf",
]
