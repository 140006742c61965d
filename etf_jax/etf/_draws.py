# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Random numbers of JAX, and arithmetic on them by NumPy in float64.

A key that is traced, as in ``jit``, ``vmap`` and ``eval_shape``, has NumPy
called back, with the same result to the bit.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
import numpy as np


def check_frame(num_classes: int, dtype: DTypeLike) -> None:
  """Raise ValueError for too few classes or a dtype that is not floating."""
  check_sizes(num_classes)
  if not jnp.issubdtype(dtype, jnp.floating):
    raise ValueError(f"dtype must be floating, got {jnp.dtype(dtype)}")


def check_sizes(num_classes: int) -> None:
  """Raise ValueError for fewer than two classes."""
  if num_classes < 2:
    raise ValueError(f"num_classes must be at least 2, got {num_classes}")


def draw(
  sampler: Callable[..., jax.Array], key: jax.Array, shape: tuple[int, ...]
) -> jax.Array | np.ndarray:
  """Draw float32 numbers; NumPy's if the key is concrete, even inside jit."""
  if isinstance(key, jax.core.Tracer):
    # Apart from what surrounds it, or fusions could change the last bit.
    key = jax.lax.optimization_barrier(key)
    return jax.lax.optimization_barrier(sampler(key, shape, jnp.float32))
  # Inside jit even a closed-over key would otherwise yield a traced result.
  with jax.ensure_compile_time_eval():
    return np.asarray(sampler(key, shape, jnp.float32))


def on_host(
  function: Callable[[np.ndarray], Any],
  x: jax.Array | np.ndarray,
  *results: tuple[tuple[int, ...], DTypeLike],
) -> Any:
  """Apply a NumPy function, by a callback where `x` is traced.

  Args:
    function: an array to one result, or a tuple of several.
    x: the array.
    *results: shape and dtype of each result.
  """

  def cast(x):
    values = function(np.asarray(x))
    values = values if len(results) > 1 else (values,)
    return tuple(
      np.asarray(value).astype(jax.dtypes.canonicalize_dtype(dtype))
      for value, (_, dtype) in zip(values, results, strict=True)
    )

  if isinstance(x, jax.core.Tracer):
    shapes = tuple(
      jax.ShapeDtypeStruct(shape, jax.dtypes.canonicalize_dtype(dtype))
      for shape, dtype in results
    )
    values = jax.pure_callback(cast, shapes, x, vmap_method="sequential")
  else:
    with jax.ensure_compile_time_eval():
      values = tuple(jnp.asarray(value) for value in cast(x))
  return values if len(results) > 1 else values[0]
