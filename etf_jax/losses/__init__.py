# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Losses for long-tailed classification, in the manner of optax.

    from etf_jax import losses, simplex_etf

    prototypes = simplex_etf(jax.random.key(0), feature_dim=64, num_classes=10)
    loss = losses.dot_regression_with_integer_labels(h, labels, prototypes)

Data come first, hyper-parameters are keywords, leading axes are free, results
are not reduced, and `where` says which examples count. Needs jax and numpy
only.
"""

from etf_jax.losses._cross_entropy import LinearLogits
from etf_jax.losses._dot_regression import (
  dot_regression,
  dot_regression_with_integer_labels,
  feature_length_penalty,
)
from etf_jax.losses._hinge import (
  hinge_cross_entropy_with_integer_labels,
  hinge_logits,
)
from etf_jax.losses._logit_adjustment import (
  adjust_logits,
  balanced_softmax,
  logit_adjusted,
  vector_scaling,
)
from etf_jax.losses._long_tail import focal, ldam
from etf_jax.losses._mixup import mixup
from etf_jax.losses._pull_push import PullPush, pull_push
from etf_jax.losses._weights import (
  class_balanced_weights,
  deferred_weights,
  inverse_frequency_weights,
  weighted_mean,
)

__all__ = [
  "LinearLogits",
  "PullPush",
  "adjust_logits",
  "balanced_softmax",
  "class_balanced_weights",
  "deferred_weights",
  "dot_regression",
  "dot_regression_with_integer_labels",
  "feature_length_penalty",
  "focal",
  "hinge_cross_entropy_with_integer_labels",
  "hinge_logits",
  "inverse_frequency_weights",
  "ldam",
  "logit_adjusted",
  "mixup",
  "pull_push",
  "vector_scaling",
  "weighted_mean",
]
