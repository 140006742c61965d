# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""BatchNorm over groups, and in few reductions, for any model with linen's.

Published models of several devices were trained with each device normalizing
its own examples. A group here stands for such a device, whatever the devices::

  with batch_norm.groups_of(32):
    output = model.apply(variables, images, train=True, mask=mask)

Groups are consecutive examples, and each is normalized exactly as if the model
ran on it alone. The running statistics are updated with the mean over the
groups of what each alone would make of them, weighted by the examples that
count: padding is left out, and a group of nothing else has no weight.

The groups become an axis of their own, the leading one. Where each device holds
whole groups, their statistics need no communication.

On GPUs the two sums of the forward pass are one reduction, and so are those of
the backward pass (`merged`): two would be twice the launches.
"""

import contextlib
import functools

from flax import linen as nn
import jax
from jax import lax
import jax.numpy as jnp

from etf_jax.errors import InputError


def groups_of(
  size: int | None, *, merged: bool = False
) -> contextlib.AbstractContextManager:
  """Make every `flax.linen.BatchNorm` that trains normalize groups.

  Args:
    size: examples in a group; None: the whole batch.
    merged: by `normalize`, with linen's results up to rounding. False is linen
      to the bit.

  Raises:
    InputError: by the model, for a batch that is no multiple of `size`.
  """
  if size is None and not merged:
    return contextlib.nullcontext()

  def interceptor(call, args, kwargs, context):
    module = context.module
    if (
      isinstance(module, nn.BatchNorm)
      and context.method_name == "__call__"
      # One without is the copy that runs on a group.
      and isinstance(module.parent, nn.Module)
      and not module.is_initializing()
    ):
      return _call(call, module, size, merged, *args, **kwargs)
    return call(*args, **kwargs)

  return nn.intercept_methods(interceptor)


def _call(
  call, module, size, merged, x, use_running_average=None, *, mask=None
):
  mode = {"use_running_average": use_running_average}
  if module.use_running_average or use_running_average:
    return call(x, **mode)
  merged &= module.axis_name is None and module.use_fast_variance
  if size is None:
    if not merged:
      return call(x, mask=mask, **mode)
    y, updates = _merged(module, x, mask)
    for name, values in updates["batch_stats"].items():
      module.put_variable("batch_stats", name, values)
    return y
  if len(x) % size:
    raise InputError(
      f"a batch of {len(x)} examples is no multiple of config.bn_group_size="
      f"{size}"
    )
  unbound = module.clone(parent=None, name=None)
  variables = module.variables

  def on_group(x, mask):
    if mask is not None:
      # A group of padding alone normalizes that, to something finite.
      mask = mask | ~jnp.any(mask)
    if merged:
      return _merged(module, x, mask)
    return unbound.apply(variables, x, mask=mask, **mode, mutable="batch_stats")

  x_groups, masks = jax.tree.map(
    lambda array: array.reshape(-1, size, *array.shape[1:]), (x, mask)
  )
  normalized, updates = jax.vmap(on_group)(x_groups, masks)
  for name, values in updates["batch_stats"].items():
    weights = None
    if mask is not None:
      weights = jnp.sum(
        masks, axis=tuple(range(1, masks.ndim)), dtype=values.dtype
      )
    module.put_variable(
      "batch_stats", name, jnp.average(values, axis=0, weights=weights)
    )
  return normalized.reshape(x.shape)


def _merged(module, x, mask):
  """Return the values and the updated statistics of a BatchNorm."""
  params = module.variables.get("params", {})
  before = module.variables["batch_stats"]
  channels, axis = x.shape[module.axis], module.axis % x.ndim
  wide = jnp.promote_types(module.dtype or x.dtype, jnp.float32)
  scale = params.get("scale", jnp.ones(channels, wide))
  bias = params.get("bias", jnp.zeros(channels, wide))
  y, mean, variance = normalize(
    x, scale, bias, mask, axis, module.epsilon, wide
  )
  statistics = {
    name: module.momentum * before[name] + (1 - module.momentum) * values
    for name, values in (("mean", mean), ("var", variance))
  }
  narrow = module.dtype or jnp.promote_types(x.dtype, scale.dtype)
  return y.astype(narrow), {"batch_stats": statistics}


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5, 6))
def normalize(
  x: jax.Array,
  scale: jax.Array,
  bias: jax.Array,
  mask: jax.Array | None,
  axis: int,
  epsilon: float,
  dtype: jnp.dtype,
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Normalize by the mean and the variance over all axes but one.

  As in linen the variance is E[x^2] - E[x]^2, not below 0.

  Args:
    x: floats.
    scale: `[C]`.
    bias: `[C]`.
    mask: booleans to be broadcast to `x`, False where it does not count, of
      length 1 along `axis`; None: all counts.
    axis: of the C channels.
    epsilon: added to the variance.
    dtype: of all that is computed, at least float32.

  Returns:
    The values, in `dtype`; mean and variance, `[C]`, which have no gradient.
  """
  return _forward(x, scale, bias, mask, axis, epsilon, dtype)[0]


def _forward(x, scale, bias, mask, axis, epsilon, dtype):
  over = _Over(x, mask, axis, dtype)
  values = over.counted(x.astype(dtype))
  mean, square = (s / over.number for s in over.sums(values, values**2))
  variance = jnp.maximum(square - mean**2, 0)
  inverse = lax.rsqrt(variance + epsilon)
  multiplier = over.spread(inverse * scale.astype(dtype))
  y = (x.astype(dtype) - over.spread(mean)) * multiplier + over.spread(bias)
  return (y, mean, variance), (x, scale, bias, mask, mean, inverse)


def _backward(axis, epsilon, dtype, residuals, cotangents):
  del epsilon
  x, scale, bias, mask, mean, inverse = residuals
  over = _Over(x, mask, axis, dtype)
  cotangent = cotangents[0].astype(dtype)
  unit = (x.astype(dtype) - over.spread(mean)) * over.spread(inverse)
  total, along = over.sums(cotangent, cotangent * unit)
  shared = (over.spread(total) + unit * over.spread(along)) / over.number
  gradient = over.spread(inverse * scale.astype(dtype)) * (
    cotangent - over.counted(shared)
  )
  return (
    gradient.astype(x.dtype),
    along.astype(scale.dtype),
    total.astype(bias.dtype),
    None,
  )


normalize.defvjp(_forward, _backward)


class _Over:
  """Sums over all axes of an array but one, of what counts."""

  def __init__(self, x, mask, axis, dtype):
    self._axes = tuple(place for place in range(x.ndim) if place != axis)
    self._shape = [-1 if place == axis else 1 for place in range(x.ndim)]
    self._mask, self._dtype = mask, dtype
    self.number = x.size // x.shape[axis]
    if mask is not None:
      self.number = jnp.sum(mask, dtype=dtype) * (self.number // mask.size)

  def counted(self, array):
    return array if self._mask is None else jnp.where(self._mask, array, 0)

  def spread(self, array):
    return array.astype(self._dtype).reshape(self._shape)

  def sums(self, first, second):
    """Add up both in one reduction."""
    zero = jnp.zeros((), first.dtype)
    return tuple(
      lax.reduce(
        (first, second),
        (zero, zero),
        lambda a, b: (a[0] + b[0], a[1] + b[1]),
        self._axes,
      )
    )
