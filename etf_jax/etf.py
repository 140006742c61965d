# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
r"""Simplex equiangular tight frames, class lengths, and softmax codes.

In use::

    from etf_jax.etf import class_lengths, simplex_etf

    prototypes = simplex_etf(jax.random.key(0), feature_dim=64, num_classes=4)
    lengths = class_lengths([5000, 1077, 232, 50])
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike
import numpy as np

from etf_jax import _arrays, _softmax_code


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
  gaussian = _normal(key, (feature_dim, directions)).astype(np.float64)
  q, r = np.linalg.qr(gaussian)
  # QR fixes signs by its own convention; undoing it makes Q Haar.
  haar = q * np.where(np.diag(r) < 0, -1.0, 1.0)
  scale = np.sqrt(num_classes / directions)
  frame = scale * haar @ _helmert(num_classes).T
  return _constant(frame, dtype)


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

  with :math:`U` from the QR factorisation of a matrix of numbers uniform in
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
  centred = q - q.mean(axis=1, keepdims=True)
  return _constant(np.sqrt(num_classes / (num_classes - 1)) * centred, dtype)


def class_lengths(class_counts: ArrayLike) -> jax.Array:
  r"""Compute the length of each class's target from the data set's counts.

  .. math::
    a_k = \sqrt{\gamma / n_k}, \qquad
    \gamma = \frac{\sum_j n_j}{|\{ j : n_j > 0 \}|}

  and 1 for classes without samples, so that the mean over samples of
  :math:`a_y^2` is 1 and every present class adds the same to it.

  Args:
    class_counts: samples per class, ``[num_classes]``, finite, >= 0.

  Returns:
    The lengths, ``[num_classes]``; float64 if the counts are, float32 if they
    are another float, else JAX's default float. Under ``jit`` a negative count
    makes its own length NaN.

  Raises:
    ValueError: if the counts are not one-dimensional or, outside ``jit``, one
      is negative or not finite.

  Examples:
    >>> import jax.numpy as jnp
    >>> from etf_jax.etf import class_lengths
    >>> jnp.set_printoptions(precision=4)
    >>> print(class_lengths([8, 2, 2, 0]))
    [0.7071 1.4142 1.4142 1.    ]

  References:
    The published code of Yang et al., `Inducing Neural Collapse in Imbalanced
    Learning <https://arxiv.org/abs/2203.09081>`_, 2022
  """
  counts = _arrays.check_counts(class_counts, allow_absent=True)
  return _lengths(counts.astype(_arrays.result_dtype(counts)))


def batch_class_lengths(
  labels: ArrayLike, num_classes: int, *, where: ArrayLike | None = None
) -> jax.Array:
  r"""Compute the length of each class's target from one batch, on the device.

  `class_lengths` of the counts of the classes in the batch:

  .. math::
    a_k = \sqrt{\gamma / n_k}, \qquad
    \gamma = \frac{B}{|\{ j : n_j > 0 \}|}

  and 1 for classes the batch does not hold. All axes of `labels` are batch.
  In a sharded ``jit`` the counts are those of the global batch, whatever the
  number of devices. Inside `jax.shard_map` a function sees its own shard only:
  give it ``jax.lax.all_gather(labels, axis_name, tiled=True)``.

  Args:
    labels: integers of any shape in ``[0, num_classes)``.
    num_classes: K >= 1.
    where: boolean of the labels' shape, the examples that count.

  Returns:
    The lengths, ``[num_classes]``, in JAX's default float. Under ``jit`` an
    out-of-range label that counts makes all of them NaN.

  Raises:
    ValueError: if the labels are not integers, `where` does not match, or,
      outside ``jit``, a label that counts is out of range.

  Examples:
    >>> import jax.numpy as jnp
    >>> from etf_jax.etf import batch_class_lengths
    >>> jnp.set_printoptions(precision=4)
    >>> print(batch_class_lengths(jnp.array([0, 0, 0, 1]), 3))
    [0.8165 1.4142 1.    ]

  References:
    The published code of Yang et al., `Inducing Neural Collapse in Imbalanced
    Learning <https://arxiv.org/abs/2203.09081>`_, 2022
  """
  if num_classes < 1:
    raise ValueError(f"num_classes must be at least 1, got {num_classes}")
  labels, valid, mask = _arrays.check_labels(
    labels, num_classes, np.shape(labels), where
  )
  counted = jnp.ones(labels.shape, jnp.int32) if mask is None else mask
  # Labels out of range are counted behind the classes, so that devices add up
  # one array, and not another for the check.
  labels = jnp.where(valid, labels, num_classes)
  counts = _arrays.count(labels, counted.astype(jnp.int32), num_classes + 1)
  lengths = _lengths(counts[:-1].astype(jnp.zeros(()).dtype))
  return jnp.where(counts[-1] == 0, lengths, jnp.nan)


def softmax_code(
  key: jax.Array, feature_dim: int, num_classes: int
) -> tuple[jax.Array, jax.Array]:
  r"""Search for unit vectors with a large one-vs-rest margin (approximate).

  Where a simplex ETF does not fit (``feature_dim < num_classes - 1``) the frame
  that softmax training tends to is the softmax code, the unit columns whose
  smallest distance to the hull of the others is largest:

  .. math::
    \max_{W} \; \rho(W), \qquad \rho(W) = \min_k \,
    \operatorname{dist}\left( w_k, \operatorname{conv} \{ w_j \}_{j \ne k}
    \right)

  The problem is not convex: this follows a smoothed margin from one random
  start while the smoothing shrinks, and may end in a local optimum. Compare the
  margins of a few keys. Time grows as ``feature_dim * num_classes ** 2``: 500
  classes take about a minute on two CPU cores. Where the simplex ETF fits it is
  the answer, and is returned at once.

  Args:
    key: a `jax.random` key, not traced.
    feature_dim: d, at least 2, or 1 for two classes.
    num_classes: K, at least 2.

  Returns:
    The codes, float32 ``[feature_dim, num_classes]`` of unit columns, and a
    float32 scalar: a margin :math:`\rho` that these codes are certain to have
    up to rounding (a dual bound, within about 1e-3 of the exact one).

  Raises:
    ValueError: if the sizes are too small or the key is traced.

  Examples:
    >>> import jax
    >>> from etf_jax.etf import softmax_code
    >>> codes, margin = softmax_code(jax.random.key(0), 2, 4)
    >>> print(codes.shape, margin.round(2))
    (2, 4) 1.0

  References:
    Jiang et al., `Generalized Neural Collapse for a Large Number of Classes
    <https://arxiv.org/abs/2310.05351>`_, 2024
  """
  _check_sizes(key, num_classes)
  if feature_dim >= num_classes - 1:
    codes = simplex_etf(key, feature_dim, num_classes)
    return codes, _constant(num_classes / (num_classes - 1), jnp.float32)
  if feature_dim < 2:
    raise ValueError(
      f"{num_classes} classes need feature_dim of at least 2, got {feature_dim}"
    )
  start = _normal(key, (2, feature_dim, num_classes))
  with jax.ensure_compile_time_eval():
    codes = np.asarray(_softmax_code.widen_margin(start), np.float64)
  codes /= np.linalg.norm(codes, axis=0)
  margin = _softmax_code.certified_margin(codes)
  return _constant(codes, jnp.float32), _constant(margin, jnp.float32)


def _check_frame(key: jax.Array, num_classes: int, dtype: DTypeLike) -> None:
  _check_sizes(key, num_classes)
  if not jnp.issubdtype(dtype, jnp.floating):
    raise ValueError(f"dtype must be floating, got {jnp.dtype(dtype)}")


def _check_sizes(key: jax.Array, num_classes: int) -> None:
  if num_classes < 2:
    raise ValueError(f"num_classes must be at least 2, got {num_classes}")
  if isinstance(key, jax.core.Tracer):
    raise ValueError(
      "key is traced, but the frame is computed by NumPy: make it outside "
      "jit, vmap and scan, and pass the prototypes in"
    )


def _normal(key: jax.Array, shape: tuple[int, ...]) -> np.ndarray:
  # Inside jit even a closed-over key would otherwise yield a traced result.
  with jax.ensure_compile_time_eval():
    return np.asarray(jax.random.normal(key, shape, jnp.float32))


def _constant(x: ArrayLike, dtype: DTypeLike) -> jax.Array:
  with jax.ensure_compile_time_eval():
    return jnp.asarray(x, dtype)


def _helmert(size: int) -> np.ndarray:
  """Orthonormal ``[size, size - 1]`` basis of the vectors of zero sum."""
  j = np.arange(1, size)
  above = np.arange(size)[:, None] < j
  basis = np.where(above, 1.0, 0.0)
  basis[j, j - 1] = -j
  return basis / np.sqrt(j * (j + 1.0))


def _lengths(counts: jax.Array) -> jax.Array:
  present = counts != 0
  classes = jnp.maximum(jnp.sum(present.astype(counts.dtype)), 1)
  gamma = jnp.sum(counts) / classes
  return jnp.where(present, jnp.sqrt(gamma / jnp.where(present, counts, 1)), 1)
