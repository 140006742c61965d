# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Backbones that are not ours, as a user's own module would hold them."""

from flax import linen as nn
import jax
import jax.numpy as jnp


class Patches(nn.Module):
  """Tokens of 4x4 pixels through an MLP with LayerNorm; takes images only."""

  hidden: int = 32

  @nn.compact
  def __call__(self, images):
    """Map `[B, H, W, C]` to `[B, hidden]`."""
    tokens = nn.Conv(self.hidden, (4, 4), strides=4)(images)
    tokens = nn.LayerNorm()(tokens)
    tokens = tokens + nn.Dense(self.hidden)(nn.gelu(tokens))
    return tokens.mean(axis=(1, 2))


class Normalised(nn.Module):
  """Two layers with BatchNorm between them; wants to know when it trains."""

  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images, train: bool = False):
    """Map `[B, H, W, C]` to `[B, 24]`."""
    x = images.reshape(images.shape[0], -1).astype(self.dtype)
    x = nn.Dense(24, dtype=self.dtype)(x)
    x = nn.BatchNorm(use_running_average=not train, dtype=self.dtype)(x)
    return nn.Dense(24, dtype=self.dtype)(nn.relu(x))


class Anything(nn.Module):
  """Takes whatever keywords there are, and shows them as features."""

  @nn.compact
  def __call__(self, images, **keywords):
    """Map a batch to its flags: training, masked."""
    flags = [keywords["train"], keywords["mask"] is not None]
    flags = jnp.asarray(flags, jnp.float32)
    return jnp.broadcast_to(flags[None], (images.shape[0], 2))


class Unpooled(nn.Module):
  """Forgets to pool its output."""

  @nn.compact
  def __call__(self, images):
    """Map `[B, H, W, C]` to `[B, H, W, 8]`."""
    return nn.Conv(8, (3, 3))(images)


def not_a_module(images: jax.Array) -> jax.Array:
  """A function where a class is wanted."""
  return images
