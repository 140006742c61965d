# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Residual networks for small images: depth 6n + 2, three stages.

He et al. 2016 (arXiv:1512.03385), section 4.2: a 3x3 stem, three stages of n
basic blocks at full, half and quarter resolution, parameter-free shortcuts
(option A), global average pooling. The output is the pooled feature, which is
never negative.

  backbone = ResNetCIFAR(depth=32)
  features = backbone.apply(variables, images)  # [B, H, W, C] -> [B, 64]
"""

import functools

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from etf_jax.models import convolution

# As PyTorch's momentum of .1 and epsilon.
BatchNorm = functools.partial(nn.BatchNorm, momentum=0.9, epsilon=1e-5)
_KAIMING_NORMAL = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


class ResNetCIFAR(nn.Module):
  """Backbone for CIFAR-sized images.

  Attributes:
    depth: 6n + 2; 8, 20, 32, 44 and 56 are the usual ones.
    width: multiplies the channels (16, 32, 64); the feature has 64 * width.
    dtype: compute dtype of convolutions; parameters stay at least float32.
  """

  depth: int = 32
  width: int = 1
  dtype: jnp.dtype = jnp.float32

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
      images: `[B, H, W, C]` floats.
      train: use the batch's statistics, and update the running ones.
      mask: `[B]` booleans; False keeps an example out of every statistic.

    Returns:
      `[B, 64 * width]` features of dtype `dtype`.
    """
    blocks, remainder = divmod(self.depth - 2, 6)
    if remainder or blocks < 1:
      raise ValueError(f"depth must be 6n + 2 with n >= 1, got {self.depth}.")
    x = images.astype(self.dtype)
    x = _conv_norm(x, 16 * self.width, 1, train, mask, "stem")
    x = nn.relu(x)
    for stage in range(3):
      for block in range(blocks):
        x = BasicBlock(
          filters=16 * self.width * 2**stage,
          stride=2 if stage > 0 and block == 0 else 1,
          name=f"stage{stage + 1}_block{block + 1}",
        )(x, train=train, mask=mask)
    return x.mean(axis=(1, 2))


class BasicBlock(nn.Module):
  """Two 3x3 convolutions and a shortcut without parameters (option A)."""

  filters: int
  stride: int

  @nn.compact
  def __call__(self, x, *, train: bool, mask: jax.Array | None):
    """Map `[B, H, W, C]` to `[B, H / stride, W / stride, filters]`."""
    residual = _conv_norm(x, self.filters, self.stride, train, mask, "1")
    residual = nn.relu(residual)
    residual = _conv_norm(residual, self.filters, 1, train, mask, "2")
    shortcut = x[:, :: self.stride, :: self.stride]
    missing = self.filters - x.shape[-1]
    if missing:
      half = missing // 2
      shortcut = jnp.pad(
        shortcut, ((0, 0), (0, 0), (0, 0), (half, missing - half))
      )
    return nn.relu(residual + shortcut)


def _conv_norm(x, filters, stride, train, mask, suffix):
  """Add a 3x3 convolution and its BatchNorm to the calling module."""
  param_dtype = np.promote_types(x.dtype, np.float32)
  x = nn.Conv(
    filters,
    (3, 3),
    strides=stride,
    # PyTorch's: "SAME" would pad a stride of 2 on one side only.
    padding=1,
    use_bias=False,
    kernel_init=_KAIMING_NORMAL,
    dtype=x.dtype,
    param_dtype=param_dtype,
    conv_general_dilated=convolution.conv_general_dilated,
    name=f"conv_{suffix}",
  )(x)
  return BatchNorm(
    use_running_average=not train,
    dtype=x.dtype,
    param_dtype=param_dtype,
    name=f"norm_{suffix}",
  )(x, mask=None if mask is None else mask[:, None, None, None])
