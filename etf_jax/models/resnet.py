# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Residual networks for photographs: four stages behind a wide stem.

He et al. 2016 (arXiv:1512.03385), table 1: a 7x7 convolution and a max pool,
each of stride 2, four stages of basic or bottleneck blocks at 1/4 to 1/32 of
the resolution, global average pooling. A bottleneck halves the resolution in
its 3x3 convolution, as torchvision's does ("v1.5"), not in its first. The
output is the pooled feature, which is never negative.

  backbone = ResNet(depth=50)
  features = backbone.apply(variables, images)  # [B, H, W, C] -> [B, 2048]
"""

import numbers

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from etf_jax.models.resnet_cifar import BatchNorm

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
BLOCKS |= {101: (3, 4, 23, 3)}

_KAIMING_NORMAL = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class ResNet(nn.Module):
  """Backbone for ImageNet-sized images.

  Attributes:
    depth: 18 or 34 (basic blocks), 50 or 101 (bottlenecks).
    width: multiplies the channels.
    last_stage_width: multiplies those of the last stage once more; with 2 the
      ResNet-50 has 4096 features, as that of Yang et al. 2022 on ImageNet-LT.
    dtype: compute dtype of convolutions; parameters stay at least float32.
  """

  depth: int = 50
  width: int = 1
  last_stage_width: int = 1
  dtype: jnp.dtype = jnp.float32

  def __post_init__(self):
    if self.depth not in BLOCKS:
      raise ValueError(
        f"depth must be one of {', '.join(map(str, BLOCKS))}, got {self.depth}"
      )
    for field in ("width", "last_stage_width"):
      value = getattr(self, field)
      if not isinstance(value, numbers.Integral) or value < 1:
        raise ValueError(f"{field} must be a whole number >= 1, got {value}")
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
      images: `[B, H, W, C]` floats.
      train: use the batch's statistics, and update the running ones.
      mask: `[B]` booleans; False keeps an example out of every statistic.

    Returns:
      `[B, d]` features of dtype `dtype`, d = 512 * width * last_stage_width for
      basic blocks, and four times that for bottlenecks.
    """
    block_type = BottleneckBlock if self.depth >= 50 else BasicBlock
    x = images.astype(self.dtype)
    x = conv(x, 64 * self.width, 7, stride=2, name="conv_stem")
    x = nn.relu(norm(x, train, mask, name="norm_stem"))
    x = nn.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))
    for stage, blocks in enumerate(BLOCKS[self.depth]):
      filters = 64 * self.width * 2**stage
      if stage == 3:
        filters *= self.last_stage_width
      for block in range(blocks):
        x = block_type(
          filters=filters,
          stride=2 if stage > 0 and block == 0 else 1,
          name=f"stage{stage + 1}_block{block + 1}",
        )(x, train=train, mask=mask)
    return x.mean(axis=(1, 2))


class BasicBlock(nn.Module):
  """Two 3x3 convolutions and a shortcut."""

  filters: int
  stride: int

  @nn.compact
  def __call__(self, x, *, train: bool, mask: jax.Array | None):
    """Map `[B, H, W, C]` to `[B, H / stride, W / stride, filters]`."""
    y = conv(x, self.filters, 3, stride=self.stride, name="conv_1")
    y = nn.relu(norm(y, train, mask, name="norm_1"))
    y = conv(y, self.filters, 3, name="conv_2")
    y = norm(y, train, mask, name="norm_2")
    return nn.relu(y + _shortcut(x, self.filters, self.stride, train, mask))


class BottleneckBlock(nn.Module):
  """Convolutions of 1x1, 3x3 and 1x1, the last four times as wide."""

  filters: int
  stride: int

  @nn.compact
  def __call__(self, x, *, train: bool, mask: jax.Array | None):
    """Map `[B, H, W, C]` to `[B, H / stride, W / stride, 4 * filters]`."""
    y = conv(x, self.filters, 1, name="conv_1")
    y = nn.relu(norm(y, train, mask, name="norm_1"))
    y = conv(y, self.filters, 3, stride=self.stride, name="conv_2")
    y = nn.relu(norm(y, train, mask, name="norm_2"))
    y = conv(y, 4 * self.filters, 1, name="conv_3")
    y = norm(y, train, mask, name="norm_3")
    return nn.relu(y + _shortcut(x, 4 * self.filters, self.stride, train, mask))


def _shortcut(x, filters, stride, train, mask):
  """Return the input, through a 1x1 convolution where its shape differs."""
  if stride == 1 and x.shape[-1] == filters:
    return x
  x = conv(x, filters, 1, stride=stride, name="conv_shortcut")
  return norm(x, train, mask, name="norm_shortcut")


def conv(
  x: jax.Array, filters: int, kernel: int, *, stride: int = 1, name: str
) -> jax.Array:
  """Add a square convolution to the calling module, which pads as PyTorch's.

  Args:
    x: `[B, H, W, C]`, in the compute dtype.
    filters: output channels.
    kernel: odd side of the kernel, in pixels.
    stride: in pixels.
    name: of the parameters in the calling module.

  Returns:
    `[B, ceil(H / stride), ceil(W / stride), filters]`.
  """
  # Without the sliced gradient of `convolution`: with so many channels and
  # layers it takes three times as long on CPUs, and so does its compilation.
  return nn.Conv(
    filters,
    (kernel, kernel),
    strides=stride,
    # "SAME" would pad a stride of 2 on one side only.
    padding=kernel // 2,
    use_bias=False,
    kernel_init=_KAIMING_NORMAL,
    dtype=x.dtype,
    param_dtype=np.promote_types(x.dtype, np.float32),
    name=name,
  )(x)


def norm(
  x: jax.Array, train: bool, mask: jax.Array | None, *, name: str
) -> jax.Array:
  """Add a BatchNorm to the calling module.

  Args:
    x: `[B, H, W, C]`, in the compute dtype.
    train: use the batch's statistics, and update the running ones.
    mask: `[B]` booleans; False keeps an example out of the statistics.
    name: of the parameters in the calling module.
  """
  return BatchNorm(
    use_running_average=not train,
    dtype=x.dtype,
    param_dtype=np.promote_types(x.dtype, np.float32),
    name=name,
  )(x, mask=None if mask is None else mask[:, None, None, None])
