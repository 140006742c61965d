# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The theory of neural collapse on imbalanced data: solvers, closed forms.

In use::

    from etf_jax import theory

    peeled = theory.solve_learnable_layer_peeled(
      (3, 7), 100, classifier_energy=1, feature_energy=5
    )
    print(peeled.minority_cosine)
"""

from etf_jax.theory.layer_peeled import LayerPeeled as LayerPeeled
from etf_jax.theory.layer_peeled import solve_layer_peeled as solve_layer_peeled
from etf_jax.theory.learnable_layer_peeled import (
  LearnableLayerPeeled as LearnableLayerPeeled,
)
from etf_jax.theory.learnable_layer_peeled import (
  critical_ratio as critical_ratio,
)
from etf_jax.theory.learnable_layer_peeled import (
  solve_learnable_layer_peeled as solve_learnable_layer_peeled,
)
from etf_jax.theory.regularity import regularity_number as regularity_number
from etf_jax.theory.thresholds import balanced_scale as balanced_scale
from etf_jax.theory.thresholds import (
  collapse_thresholds as collapse_thresholds,
)
from etf_jax.theory.thresholds import (
  minority_collapse_count as minority_collapse_count,
)
from etf_jax.theory.thresholds import (
  minority_cosine_limit as minority_cosine_limit,
)
from etf_jax.theory.thresholds import (
  simplex_deviation_rate as simplex_deviation_rate,
)
from etf_jax.theory.two_clusters import TwoClusters as TwoClusters
from etf_jax.theory.two_clusters import (
  TwoClusterThresholds as TwoClusterThresholds,
)
from etf_jax.theory.two_clusters import solve_two_clusters as solve_two_clusters
from etf_jax.theory.two_clusters import (
  two_cluster_thresholds as two_cluster_thresholds,
)
from etf_jax.theory.unconstrained_features import (
  UnconstrainedFeatures as UnconstrainedFeatures,
)
from etf_jax.theory.unconstrained_features import (
  collapsed_classes as collapsed_classes,
)
from etf_jax.theory.unconstrained_features import (
  solve_unconstrained_features as solve_unconstrained_features,
)
