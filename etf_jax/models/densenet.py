# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Densely connected networks for small images: DenseNet-BC, three blocks.

Huang et al. 2017 (arXiv:1608.06993), sections 3 and 4.2: a 3x3 stem, three
blocks at full, half and quarter resolution whose layers see all that came
before them, bottlenecks (B), compression between the blocks (C), global average
pooling. The output is the pooled feature, which is never negative.

  backbone = DenseNet(depth=150)
  features = backbone.apply(variables, images)  # [B, H, W, C] -> [B, 510]
"""

import numbers

from flax import linen as nn
import jax
import jax.numpy as jnp

from etf_jax.models.resnet import conv, norm


class DenseNet(nn.Module):
  """Backbone for CIFAR-sized images.

  Attributes:
    depth: gives each block (depth - 4) // 6 layers of two convolutions; 100,
      190 and 250 are those of the paper, 150 that of Yang et al. 2022, which by
      this rule has 148 layers, and 10 the smallest, for CPUs.
    growth: channels that a layer adds, k.
    reduction: the share of the channels, rounded down, that is kept between two
      blocks, in (0, 1].
    dtype: compute dtype of convolutions; parameters stay at least float32.
  """

  depth: int = 150
  growth: int = 12
  reduction: float = 0.5
  dtype: jnp.dtype = jnp.float32

  def __post_init__(self):
    for field, least in (("depth", 10), ("growth", 1)):
      value = getattr(self, field)
      if not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(
          f"{field} must be a whole number >= {least}, got {value}"
        )
    if not 0 < self.reduction <= 1:
      raise ValueError(f"reduction must lie in (0, 1], got {self.reduction}")
    super().__post_init__()

  @nn.compact
  def __call__(
    self,
    images: jax.Array,
    *,
    train: bool = False,
    mask: jax.Array | None = None,
  ) -> jax.Array:
    """Map images to features.

    Args:
      images: `[B, H, W, C]` floats, of at least 4 pixels a side.
      train: use the batch's statistics, and update the running ones.
      mask: `[B]` booleans; False keeps an example out of every statistic.

    Returns:
      `[B, d]` features of dtype `dtype`; d is 510 for depth 150 and growth 12.
    """
    layers = (self.depth - 4) // 6
    x = images.astype(self.dtype)
    x = conv(x, 2 * self.growth, 3, name="conv_stem")
    for block in range(1, 4):
      for layer in range(1, layers + 1):
        x = DenseLayer(self.growth, name=f"block{block}_layer{layer}")(
          x, train=train, mask=mask
        )
      name = f"transition{block}" if block < 3 else "last"
      x = nn.relu(norm(x, train, mask, name=f"norm_{name}"))
      if block < 3:
        kept = int(x.shape[-1] * self.reduction)
        if not kept:
          raise ValueError(
            f"reduction {self.reduction} leaves none of {x.shape[-1]} channels"
          )
        x = conv(x, kept, 1, name=f"conv_{name}")
        # avg_pool divides by an integer, which strict promotion refuses.
        x = nn.pool(x, 0.0, jax.lax.add, (2, 2), (2, 2), "VALID") / 4
    return x.mean(axis=(1, 2))


class DenseLayer(nn.Module):
  """A 1x1 and a 3x3 convolution, whose output joins the input's channels."""

  growth: int

  @nn.compact
  def __call__(self, x, *, train: bool, mask: jax.Array | None):
    """Map `[B, H, W, C]` to `[B, H, W, C + growth]`."""
    y = nn.relu(norm(x, train, mask, name="norm_1"))
    y = conv(y, 4 * self.growth, 1, name="conv_1")
    y = nn.relu(norm(y, train, mask, name="norm_2"))
    y = conv(y, self.growth, 3, name="conv_2")
    return jnp.concatenate([x, y], axis=-1)
