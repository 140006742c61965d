# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Simplex equiangular tight frames, drawn at random."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike
import numpy as np


def simplex_etf(
  key: jax.Array,
  feature_dim: int,
  num_classes: int,
  *,
  dtype: DTypeLike = jnp.float32,
) -> jax.Array:
  r"""Draw a simplex equiangular tight frame, uniformly over rotations.

  The columns are unit vectors that sum to zero, each pair at the same angle,
  the widest that `num_classes` vectors allow:

  .. math::
    M = \sqrt{\tfrac{K}{K-1}} \, V B^\top, \qquad
    M^\top M = \frac{1}{K-1} \left( K I - \mathbf{1}\mathbf{1}^\top \right)

  with :math:`V` a Haar-distributed ``[feature_dim, K - 1]`` matrix of
  orthonormal columns and :math:`B` the ``[K, K - 1]`` Helmert basis of the
  vectors whose entries sum to zero.

  The random numbers come from `jax.random` in float32 and are factored by NumPy
  in float64, so a key gives the same frame on every device and with 64-bit mode
  on or off. For that the key must be concrete; make frames outside ``jit``, or
  close over the key.

  Args:
    key: a `jax.random` key, not traced.
    feature_dim: d, at least ``num_classes - 1``.
    num_classes: K, at least 2.
    dtype: floating dtype of the result. Keep float32 under bfloat16 compute:
      rounded to bfloat16 the columns no longer sum to zero.

  Returns:
    The prototypes, ``[feature_dim, num_classes]``, a column per class.

  Raises:
    ValueError: if the frame does not exist, the key is traced, or `dtype` is
      not floating.

  Examples:
    >>> import jax
    >>> from etf_jax import simplex_etf
    >>> prototypes = simplex_etf(jax.random.key(0), 4, 3)
    >>> print((prototypes.T @ prototypes).round(3) + 0.0)
    [[ 1.  -0.5 -0.5]
     [-0.5  1.  -0.5]
     [-0.5 -0.5  1. ]]

  References:
    Papyan, Han and Donoho, `Prevalence of Neural Collapse during the terminal
    phase of deep learning training <https://arxiv.org/abs/2008.08186>`_, 2020;
    Yang et al., `Inducing Neural Collapse in Imbalanced Learning
    <https://arxiv.org/abs/2203.09081>`_, 2022
  """
  _check_frame(key, num_classes, dtype)
  if feature_dim < num_classes - 1:
    raise ValueError(
      f"no simplex ETF of {num_classes} classes fits in feature_dim="
      f"{feature_dim}: it needs num_classes - 1 = {num_classes - 1}. Project "
      "the features to a wider space, or use the approximate frame of "
      "etf_jax.etf.softmax_code"
    )
  directions = num_classes - 1
  gaussian = normal(key, (feature_dim, directions)).astype(np.float64)
  q, r = np.linalg.qr(gaussian)
  # QR fixes signs by its own convention; undoing it makes Q Haar.
  haar = q * np.where(np.diag(r) < 0, -1.0, 1.0)
  scale = np.sqrt(num_classes / directions)
  frame = scale * haar @ _helmert(num_classes).T
  return constant(frame, dtype)


def uniform_qr_etf(
  key: jax.Array,
  feature_dim: int,
  num_classes: int,
  *,
  dtype: DTypeLike = jnp.float32,
) -> jax.Array:
  r"""Draw a simplex ETF as the published code does, which prefers directions.

  .. math::
    M = \sqrt{\tfrac{K}{K-1}} \, U \left( I_K - \tfrac{1}{K} \mathbf{1}
    \mathbf{1}^\top \right)

  with :math:`U` from the QR factorization of a matrix of numbers uniform in
  [0, 1), signs as LAPACK leaves them. Angles and lengths are those of
  `simplex_etf`; the rotation is not uniform, since all columns of that matrix
  point near :math:`\mathbf{1}`. For comparison with published numbers.

  Args:
    key: see `simplex_etf`.
    feature_dim: d, at least `num_classes`.
    num_classes: see `simplex_etf`.
    dtype: see `simplex_etf`.

  Returns:
    The prototypes, ``[feature_dim, num_classes]``, a column per class.

  Raises:
    ValueError: as `simplex_etf`, and for ``feature_dim == num_classes - 1``.

  Examples:
    >>> import jax
    >>> from etf_jax.etf import uniform_qr_etf
    >>> prototypes = uniform_qr_etf(jax.random.key(0), 4, 3)
    >>> print((prototypes.T @ prototypes).round(3) + 0.0)
    [[ 1.  -0.5 -0.5]
     [-0.5  1.  -0.5]
     [-0.5 -0.5  1. ]]

  References:
    The published code of Yang et al., `Inducing Neural Collapse in Imbalanced
    Learning <https://arxiv.org/abs/2203.09081>`_, 2022
  """
  _check_frame(key, num_classes, dtype)
  if feature_dim < num_classes:
    raise ValueError(
      f"the published construction needs feature_dim of at least num_classes,"
      f" got {feature_dim} and {num_classes}: use simplex_etf"
    )
  with jax.ensure_compile_time_eval():
    uniform = jax.random.uniform(key, (feature_dim, num_classes), jnp.float32)
  q, _ = np.linalg.qr(np.asarray(uniform, np.float64))
  centered = q - q.mean(axis=1, keepdims=True)
  return constant(np.sqrt(num_classes / (num_classes - 1)) * centered, dtype)


def _check_frame(key: jax.Array, num_classes: int, dtype: DTypeLike) -> None:
  check_sizes(key, num_classes)
  if not jnp.issubdtype(dtype, jnp.floating):
    raise ValueError(f"dtype must be floating, got {jnp.dtype(dtype)}")


def check_sizes(key: jax.Array, num_classes: int) -> None:
  if num_classes < 2:
    raise ValueError(f"num_classes must be at least 2, got {num_classes}")
  if isinstance(key, jax.core.Tracer):
    raise ValueError(
      "key is traced, but the frame is computed by NumPy: make it outside "
      "jit, vmap and scan, and pass the prototypes in"
    )


def normal(key: jax.Array, shape: tuple[int, ...]) -> np.ndarray:
  # Inside jit even a closed-over key would otherwise yield a traced result.
  with jax.ensure_compile_time_eval():
    return np.asarray(jax.random.normal(key, shape, jnp.float32))


def constant(x: ArrayLike, dtype: DTypeLike) -> jax.Array:
  with jax.ensure_compile_time_eval():
    return jnp.asarray(x, dtype)


def _helmert(size: int) -> np.ndarray:
  """Orthonormal ``[size, size - 1]`` basis of the vectors of zero sum."""
  j = np.arange(1, size)
  above = np.arange(size)[:, None] < j
  basis = np.where(above, 1.0, 0.0)
  basis[j, j - 1] = -j
  return basis / np.sqrt(j * (j + 1.0))
