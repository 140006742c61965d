# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Simplex equiangular tight frames, drawn at random."""

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
import numpy as np

from etf_jax.etf._draws import check_frame, draw, on_host


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
  in float64, so a key gives the same frame on every device, with 64-bit mode
  on or off, and inside ``jit``, where the factors are a callback to the host.

  Args:
    key: a `jax.random` key.
    feature_dim: d, at least ``num_classes - 1``.
    num_classes: K, at least 2.
    dtype: floating dtype of the result. Keep float32 under bfloat16 compute:
      rounded to bfloat16 the columns no longer sum to zero.

  Returns:
    The prototypes, ``[feature_dim, num_classes]``, a column per class.

  Raises:
    ValueError: if the frame does not exist or `dtype` is not floating.

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
  check_frame(num_classes, dtype)
  _check_room(feature_dim, num_classes)
  directions = num_classes - 1
  gaussian = draw(jax.random.normal, key, (feature_dim, directions))

  def factor(gaussian):
    q, r = np.linalg.qr(np.asarray(gaussian, np.float64))
    # QR fixes signs by its own convention; undoing it makes Q Haar.
    haar = q * np.where(np.diag(r) < 0, -1.0, 1.0)
    scale = np.sqrt(num_classes / directions)
    return scale * haar @ _helmert(num_classes).T

  return on_host(factor, gaussian, ((feature_dim, num_classes), dtype))


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
  check_frame(num_classes, dtype)
  if feature_dim < num_classes:
    raise ValueError(
      f"the published construction needs feature_dim of at least num_classes,"
      f" got {feature_dim} and {num_classes}: use simplex_etf"
    )
  uniform = draw(jax.random.uniform, key, (feature_dim, num_classes))

  def factor(uniform):
    q, _ = np.linalg.qr(np.asarray(uniform, np.float64))
    centered = q - q.mean(axis=1, keepdims=True)
    return np.sqrt(num_classes / (num_classes - 1)) * centered

  return on_host(factor, uniform, ((feature_dim, num_classes), dtype))


def structured_etf(
  key: jax.Array,
  feature_dim: int,
  num_classes: int,
  *,
  dtype: DTypeLike = jnp.float32,
) -> jax.Array:
  r"""Draw a simplex ETF of many classes, by fast transforms.

  .. math::
    M = \sqrt{\tfrac{K}{K-1}} \, F S_3 F S_2 F S_1
    \begin{pmatrix} R \ 0 \end{pmatrix}

  with :math:`R` the first K - 1 rows of the Householder reflection that turns
  :math:`\mathbf{1}` to the last axis, :math:`S_i` diagonal matrices of random
  signs and :math:`F` the orthonormal Hartley transform of `feature_dim` points.
  Angles and lengths are exactly those of `simplex_etf`. The rotation is random,
  but is not uniform: in few dimensions draw `simplex_etf`.

  It takes :math:`O(d K \log d)` operations and little memory but the frame's.

  Args:
    key: see `simplex_etf`.
    feature_dim: see `simplex_etf`.
    num_classes: see `simplex_etf`.
    dtype: see `simplex_etf`.

  Returns:
    The prototypes, ``[feature_dim, num_classes]``, a column per class.

  Raises:
    ValueError: as `simplex_etf`.

  Examples:
    >>> import jax
    >>> from etf_jax.etf import structured_etf
    >>> prototypes = structured_etf(jax.random.key(0), 4, 3)
    >>> print((prototypes.T @ prototypes).round(3) + 0.0)
    [[ 1.  -0.5 -0.5]
     [-0.5  1.  -0.5]
     [-0.5 -0.5  1. ]]

  References:
    Ailon and Chazelle, `The Fast Johnson-Lindenstrauss Transform and
    Approximate Nearest Neighbors <https://doi.org/10.1137/060673096>`_, 2009,
    for signs and transforms in turn
  """
  check_frame(num_classes, dtype)
  _check_room(feature_dim, num_classes)
  signs = draw(jax.random.rademacher, key, (3, feature_dim))

  def mix(signs):
    signs = np.asarray(signs, np.float64)
    frame = np.empty((feature_dim, num_classes), jnp.dtype(dtype))
    last = num_classes - 1
    normal = np.full(num_classes, num_classes**-0.5)
    normal[last] -= 1
    normal /= np.linalg.norm(normal)
    for first in range(0, num_classes, 128):
      classes = np.arange(first, min(first + 128, num_classes))
      # A row per class: transforms run along rows.
      rows = np.zeros((len(classes), feature_dim))
      rows[:, :last] = -2 * normal[classes, None] * normal[:last]
      inside = classes < last
      rows[np.flatnonzero(inside), classes[inside]] += 1
      for sign in signs:
        spectrum = np.fft.rfft(rows * sign, axis=1, norm="ortho")
        real, imaginary = spectrum.real, spectrum.imag
        rows[:, : real.shape[1]] = real - imaginary
        # The other half of the spectrum is the conjugate, backwards.
        half = (feature_dim + 1) // 2
        rows[:, real.shape[1] :] = (real + imaginary)[:, half - 1 : 0 : -1]
      frame[:, classes] = (np.sqrt(num_classes / last) * rows).T
    return frame

  return on_host(mix, signs, ((feature_dim, num_classes), dtype))


def _check_room(feature_dim: int, num_classes: int) -> None:
  if feature_dim < num_classes - 1:
    raise ValueError(
      f"no simplex ETF of {num_classes} classes fits in feature_dim="
      f"{feature_dim}: it needs num_classes - 1 = {num_classes - 1}. Project "
      "the features to a wider space, or use the approximate frame of "
      "etf_jax.etf.softmax_code, or etf_jax.etf.random_frame for many classes"
    )


def _helmert(size: int) -> np.ndarray:
  """Orthonormal ``[size, size - 1]`` basis of the vectors of zero sum."""
  j = np.arange(1, size)
  above = np.arange(size)[:, None] < j
  basis = np.where(above, 1.0, 0.0)
  basis[j, j - 1] = -j
  return basis / np.sqrt(j * (j + 1.0))
