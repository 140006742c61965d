# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""BatchNorm over groups of a batch, for any model that has linen's BatchNorm.

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
"""

import contextlib

from flax import linen as nn
import jax
import jax.numpy as jnp

from etf_jax.errors import InputError


def groups_of(size: int | None) -> contextlib.AbstractContextManager:
  """Make every `flax.linen.BatchNorm` that trains normalize groups.

  Args:
    size: examples in a group; None: the whole batch, as outside.

  Raises:
    InputError: by the model, for a batch that is no multiple of `size`.
  """
  if size is None:
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
      return _normalize(call, module, size, *args, **kwargs)
    return call(*args, **kwargs)

  return nn.intercept_methods(interceptor)


def _normalize(call, module, size, x, use_running_average=None, *, mask=None):
  mode = {"use_running_average": use_running_average}
  if module.use_running_average or use_running_average:
    return call(x, **mode)
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
