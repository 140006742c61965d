# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Long-tailed data sets: `load` gives everything a run needs to know of one.

dataset = data.load(config.data)
dataset.train.images, dataset.class_counts
"""

from etf_jax.data.dataset import Dataset, Encoded, Pixels, Split, load

__all__ = ["Dataset", "Encoded", "Pixels", "Split", "load"]
