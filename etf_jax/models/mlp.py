# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Backbones of feature vectors: `identity`, and `mlp` with hidden layers.

  backbone = MLP(width=512, depth=1)
  variables = backbone.init(jax.random.key(0), features)
  variables = with_statistics(variables, mean, std)

Inputs are normalized by the mean and deviation of the training features, which
lie in `batch_stats`: checkpoints and exported models have them.
"""

from collections.abc import Mapping
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
import numpy as np

_NAME = "inputs"


class Standardize(nn.Module):
  """Normalizes features by a constant mean and deviation of each.

  They are 0 and 1 until `with_statistics` replaces them.
  """

  @nn.compact
  def __call__(self, features: jax.Array) -> jax.Array:
    """Return (features - mean) / std for `[B, d]` features."""
    shape, dtype = features.shape[-1:], features.dtype
    mean = self.variable("batch_stats", "mean", jnp.zeros, shape, dtype)
    std = self.variable("batch_stats", "std", jnp.ones, shape, dtype)
    return (features - mean.value[None]) / std.value[None]


class MLP(nn.Module):
  """Features to features through `depth` layers of ReLUs.

  Attributes:
    width: units of a hidden layer, >= 1.
    depth: hidden layers, >= 0; 0: the features as they are.
    dropout: share of the hidden units that a training step drops, in [0, 1).
    normalize: True: inputs are normalized, see `Standardize`.
    dtype: compute dtype of the layers.
  """

  width: int = 512
  depth: int = 1
  dropout: float = 0.0
  normalize: bool = True
  dtype: Any = jnp.float32

  def __post_init__(self):
    if self.width < 1 or self.depth < 0:
      raise ValueError(
        f"width={self.width} must be >= 1 and depth={self.depth} >= 0"
      )
    if not 0 <= self.dropout < 1:
      raise ValueError(f"dropout={self.dropout} must lie in [0, 1)")
    super().__post_init__()

  @nn.compact
  def __call__(
    self,
    features: jax.Array,
    *,
    train: bool = False,
    mask: jax.Array | None = None,
  ) -> jax.Array:
    """Map `[B, ...]` features, which are flattened, to `[B, d]`.

    Args:
      features: floats.
      train: drop units; needs the random numbers `dropout`.
      mask: `[B]` booleans, False for padding, which changes no other row.
    """
    del mask
    features = features.reshape(features.shape[0], -1)
    wide = np.promote_types(features.dtype, np.float32)
    features = features.astype(wide)
    if self.normalize:
      features = Standardize(name=_NAME)(features)
    features = features.astype(self.dtype)
    for layer in range(self.depth):
      features = nn.Dense(
        self.width,
        dtype=self.dtype,
        param_dtype=wide,
        kernel_init=nn.initializers.he_normal(),
        name=f"hidden{layer}",
      )(features)
      features = nn.relu(features)
      features = nn.Dropout(self.dropout, deterministic=not train)(features)
    return features


def with_statistics(
  batch_stats: Mapping, mean: ArrayLike, std: ArrayLike
) -> dict:
  """Return the statistics of a classifier with those of the inputs replaced.

  Args:
    batch_stats: of a `Classifier` whose backbone is an `MLP`.
    mean: `[d]` means of the training features.
    std: `[d]` deviations; a constant feature (0) is divided by 1.
  """
  backbone = dict(batch_stats.get("backbone", {}))
  if _NAME not in backbone:
    return dict(batch_stats)
  std = jnp.asarray(std)
  new = {"mean": jnp.asarray(mean), "std": jnp.where(std > 0, std, 1)}
  old = backbone[_NAME]
  backbone[_NAME] = {
    name: jax.device_put(new[name].astype(x.dtype), x.sharding)
    for name, x in old.items()
  }
  return {**batch_stats, "backbone": backbone}
