# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Features that overlap."""

import numpy as np


def blobs(size, width, classes, seed=0, spread=1.5):
  """Features that overlap, and their classes, each of them present."""
  rng = np.random.default_rng(seed)
  labels = rng.permutation(np.arange(size) % classes)
  centres = rng.normal(size=(classes, width))
  features = centres[labels] + spread * rng.normal(size=(size, width))
  return features.astype(np.float32), labels
