# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Random unit columns, and how far apart the columns of any frame are."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike
import numpy as np

from etf_jax import arrays
from etf_jax.etf._draws import check_frame, draw, on_host


def random_frame(
  key: jax.Array,
  feature_dim: int,
  num_classes: int,
  *,
  dtype: DTypeLike = jnp.float32,
) -> jax.Array:
  r"""Draw unit columns, each uniform on the sphere: a baseline for any sizes.

  .. math::
    w_k = \frac{g_k}{|g_k|} , \qquad g_k \sim \mathcal{N}(0, I_d)

  See `frame_margin` for how far apart they are.

  Args:
    key: a `jax.random` key.
    feature_dim: d, at least 1.
    num_classes: K, at least 2.
    dtype: floating dtype of the result.

  Returns:
    The prototypes, ``[feature_dim, num_classes]``, a column per class.

  Raises:
    ValueError: if a size is too small or `dtype` is not floating.

  Examples:
    >>> import jax
    >>> import jax.numpy as jnp
    >>> from etf_jax.etf import random_frame
    >>> columns = random_frame(jax.random.key(0), 2, 5)
    >>> print(jnp.linalg.norm(columns, axis=0).round(4))
    [1. 1. 1. 1. 1.]

  References:
    Jiang et al., `Generalized Neural Collapse for a Large Number of Classes
    <https://arxiv.org/abs/2310.05351>`_, 2024, which compares with it
  """
  check_frame(num_classes, dtype)
  if feature_dim < 1:
    raise ValueError(f"feature_dim must be at least 1, got {feature_dim}")
  gaussian = draw(jax.random.normal, key, (feature_dim, num_classes))

  def normalize(gaussian):
    columns = np.asarray(gaussian)
    lengths = np.sqrt(np.sum(np.square(columns), axis=0, dtype=np.float64))
    return (columns / lengths.astype(np.float32)).astype(jnp.dtype(dtype))

  return on_host(normalize, gaussian, ((feature_dim, num_classes), dtype))


def frame_margin(prototypes: ArrayLike) -> jax.Array:
  r"""Compute a bound of the one-vs-rest margin of unit columns.

  .. math::
    1 - \max_{j \ne k} \cos(w_j, w_k) \le
    \min_k \operatorname{dist}\left( w_k, \operatorname{conv}
    \{ w_j \}_{j \ne k} \right)

  with equality for a simplex, whose margin is :math:`K / (K - 1)`.
  `softmax_code` gives a closer bound for its codes. Works in blocks: no
  ``[K, K]`` matrix is held.

  Args:
    prototypes: floating ``[feature_dim, num_classes]``, a column per class.

  Returns:
    A scalar; float64 if `prototypes` are, else float32. NaN where a column is
    zero.

  Raises:
    ValueError: if `prototypes` are not a floating matrix of two columns or
      more.

  Examples:
    >>> import jax
    >>> from etf_jax import etf
    >>> print(etf.frame_margin(etf.simplex_etf(jax.random.key(0), 4, 3)))
    1.5

  References:
    Jiang et al., `Generalized Neural Collapse for a Large Number of Classes
    <https://arxiv.org/abs/2310.05351>`_, 2024
  """
  x = jnp.asarray(prototypes)
  if x.ndim != 2 or not jnp.issubdtype(x.dtype, jnp.floating) or len(x.T) < 2:
    raise ValueError(
      "prototypes must be floating with shape [feature_dim, num_classes] and"
      f" two classes or more, got {x.dtype} of shape {x.shape}"
    )
  x = x.astype(arrays.result_dtype(x))
  lengths = arrays.root(jnp.sum(x * x, axis=0, keepdims=True))
  zero = lengths == 0
  # NaN enters at the end: in a row the gradients of all columns would have it.
  rows = jnp.where(zero, 0, x / jnp.where(zero, 1, lengths)).T
  size = len(rows)

  def largest(row, index):
    cosines = jnp.matmul(rows, row, precision=jax.lax.Precision.HIGHEST)
    return jnp.max(jnp.where(jnp.arange(size) == index, -jnp.inf, cosines))

  cosine = jnp.max(
    jax.lax.map(
      lambda pair: largest(*pair), (rows, jnp.arange(size)), batch_size=256
    )
  )
  return jnp.where(jnp.any(zero), jnp.nan, 1 - cosine)
