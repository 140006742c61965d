# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Neural collapse, measured in one pass over the features.

In use::

    stats = collapse.init(num_classes, feature_dim, reference=earlier_means)
    for features, labels, where in batches:
      stats = jitted_update(stats, features, labels, where=where)
    metrics = collapse.compute(stats, prototypes)

The statistics are plain sums, so batches, shards and devices add up in any
order. Inside `jax.shard_map`, start from `init`, update with the shard, then::

    sums = jax.lax.psum(tuple(stats[:4]), "data")
    stats = collapse.Statistics(*sums, stats.reference)
"""

from etf_jax.collapse._features import (
  centre_cosines,
  in_cone,
  nearest_mean_agreement,
  numerical_rank,
)
from etf_jax.collapse._metrics import Metrics, cosines
from etf_jax.collapse._statistics import (
  Statistics,
  class_means,
  compute,
  init,
  merge,
  update,
)

__all__ = [
  "Metrics",
  "Statistics",
  "centre_cosines",
  "class_means",
  "compute",
  "cosines",
  "in_cone",
  "init",
  "merge",
  "nearest_mean_agreement",
  "numerical_rank",
  "update",
]
