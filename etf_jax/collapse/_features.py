# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The measures of `etf_jax.collapse` that look at each feature."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
import numpy as np

from etf_jax import arrays
from etf_jax.collapse._metrics import matmul, unit


def centre_cosines(
  features: ArrayLike,
  labels: ArrayLike,
  centres: ArrayLike,
  *,
  where: ArrayLike | None = None,
) -> tuple[jax.Array, jax.Array]:
  """Compute how each feature points to its own and to the other centres.

  Args:
    features: floating ``[..., feature_dim]``.
    labels: integers ``[...]`` in ``[0, num_classes)``.
    centres: floating ``[feature_dim, num_classes]``, a column per class:
      prototypes, or ``class_means(stats).T``. A column that is all NaN is an
      absent class: nobody's other center.
    where: boolean ``[...]``, the examples that count. The others give 0.

  Returns:
    Two ``[...]`` arrays in ``[-1, 1]``: the cosine to the center of the own
    class, and the mean of the cosines to the others. NaN where a feature or a
    center is zero, or where there is no other center. float64 if an input is,
    else float32. Under ``jit`` an out-of-range label makes its example's NaN.

  Raises:
    ValueError: if shapes do not match or, outside ``jit``, a label that counts
      is out of range.

  Examples:
    >>> import jax.numpy as jnp
    >>> from etf_jax import collapse
    >>> h, y = jnp.array([[2.0, 0.0], [0.0, 1.0]]), jnp.array([0, 0])
    >>> own, others = collapse.centre_cosines(h, y, jnp.eye(2))
    >>> print(own, others)
    [1. 0.] [0. 1.]

  References:
    `Do We Need Neural Collapse? Learning Diverse Features for Fine-grained and
    Long-tail Classification`, 2022, figure 3
  """
  features, centres = arrays.check_vectors(features, centres, "centres")
  labels, valid, mask = arrays.check_labels(
    labels, centres.shape[1], features.shape[:-1], where
  )
  dtype = arrays.result_dtype(features, centres)
  features, centres = features.astype(dtype), centres.astype(dtype)
  present = ~jnp.all(jnp.isnan(centres), axis=0)
  if mask is not None:
    features = jnp.where(mask[..., None], features, 0)
  features, no_feature = unit(features, axis=-1)
  centres, no_centre = unit(jnp.where(present, centres, 0), axis=0)
  towards = jnp.where(
    no_feature | no_centre.reshape((1,) * labels.ndim + present.shape),
    jnp.nan,
    matmul(features, centres),
  )
  is_label = arrays.label_mask(labels, towards)
  present = present.reshape((1,) * labels.ndim + present.shape)
  counted = ~is_label & present
  number = jnp.sum(counted, axis=-1, dtype=dtype)
  others = jnp.sum(jnp.where(counted, towards, 0), axis=-1)
  others = arrays.ratio(others, number)
  to_label = jnp.sum(jnp.where(is_label, towards, 0), axis=-1)
  to_label, others = (
    arrays.finish(jnp.clip(x, -1, 1), valid, mask) for x in (to_label, others)
  )
  return to_label, others


def in_cone(
  features: ArrayLike,
  labels: ArrayLike,
  prototypes: ArrayLike,
  tau: ArrayLike,
  *,
  where: ArrayLike | None = None,
) -> jax.Array:
  r"""Tell which features lie in the cone around their own prototype.

  .. math::
    \cos(h, w_y) \ge \cos \tau_y

  The cone is closed, up to rounding: a feature along its prototype is inside
  at :math:`\tau = 0`.

  Args:
    features: floating ``[..., feature_dim]``.
    labels: integers ``[...]`` in ``[0, num_classes)``.
    prototypes: floating ``[feature_dim, num_classes]``, a column per class.
    tau: the radius in radians in ``[0, pi]``, a scalar or ``[num_classes]``.
    where: boolean ``[...]``, the examples that count. The others give 0.

  Returns:
    ``[...]``: 1 inside, 0 outside, NaN where the feature or the prototype is
    zero; float64 if an input is, else float32. Under ``jit`` an out-of-range
    label makes its example's NaN.

  Raises:
    ValueError: if shapes do not match or, outside ``jit``, a label that counts
      or an angle is out of range.

  Examples:
    >>> import jax.numpy as jnp
    >>> from etf_jax import collapse
    >>> h, y = jnp.array([[2.0, 1.0], [1.0, 2.0]]), jnp.array([0, 0])
    >>> print(collapse.in_cone(h, y, jnp.eye(2), jnp.pi / 4))
    [1. 0.]

  References:
    `Do We Need Neural Collapse? Learning Diverse Features for Fine-grained and
    Long-tail Classification`, 2022, definition 1
  """
  features, prototypes = arrays.check_vectors(features, prototypes)
  num_classes = prototypes.shape[1]
  if np.shape(tau) not in ((), (num_classes,)):
    raise ValueError(
      f"tau must be a scalar or have shape ({num_classes},), got "
      f"{np.shape(tau)}"
    )
  arrays.check_range("tau", tau, 0, arrays.LARGEST_ANGLE)
  labels, valid, mask = arrays.check_labels(
    labels, num_classes, features.shape[:-1], where
  )
  dtype = arrays.result_dtype(features, prototypes)
  tau = arrays.in_range(tau, dtype, 0, arrays.LARGEST_ANGLE)
  if tau.ndim:
    tau = arrays.take_rows(tau, labels)
  h, no_feature = unit(features.astype(dtype), axis=-1)
  w, no_prototype = unit(prototypes.astype(dtype), axis=0)
  undefined = no_feature[..., 0] | arrays.take_rows(no_prototype[0], labels)
  w = arrays.take_columns(w, labels)
  # The angle has digits where its cosine has none left, near 0 and pi.
  angle = 2 * jnp.arctan2(
    jnp.sqrt(jnp.sum(jnp.square(h - w), axis=-1)),
    jnp.sqrt(jnp.sum(jnp.square(h + w), axis=-1)),
  )
  inside = (angle <= tau + 8 * jnp.finfo(dtype).eps).astype(dtype)
  return arrays.finish(
    jnp.where(undefined | jnp.isnan(angle + tau), jnp.nan, inside), valid, mask
  )


def nearest_mean_agreement(
  logits: ArrayLike,
  features: ArrayLike,
  class_means: ArrayLike,
  *,
  where: ArrayLike | None = None,
) -> jax.Array:
  """Compute how often the largest logit is that of the nearest class mean.

  Args:
    logits: floating ``[..., num_classes]``.
    features: floating ``[..., feature_dim]``.
    class_means: floating ``[num_classes, feature_dim]``, as
      `collapse.class_means` gives. A mean with a NaN is an absent class, which
      is never the nearest.
    where: boolean ``[...]``, the examples that count.

  Returns:
    The fraction of the examples, a scalar in ``[0, 1]``; float64 if an input
    is, else float32. NaN where no example counts, all classes are absent, or an
    example that counts holds a NaN. The first of equal logits, and of equally
    near means, is taken.

  Raises:
    ValueError: if shapes do not match.

  Examples:
    >>> import jax.numpy as jnp
    >>> from etf_jax import collapse
    >>> h = jnp.array([[1.0, 0.2], [0.3, 1.0]])
    >>> logits = jnp.array([[5.0, 1.0], [5.0, 1.0]])
    >>> print(collapse.nearest_mean_agreement(logits, h, jnp.eye(2)))
    0.5

  References:
    Papyan, Han and Donoho, `Prevalence of Neural Collapse during the terminal
    phase of deep learning training <https://arxiv.org/abs/2008.08186>`_, 2020
  """
  means = jnp.asarray(class_means)
  if means.ndim != 2:
    raise ValueError(
      "class_means must have shape [num_classes, feature_dim], got "
      f"{means.shape}"
    )
  features, columns = arrays.check_vectors(features, means.T, "class_means.T")
  logits = jnp.asarray(logits)
  shape = (*features.shape[:-1], means.shape[0])
  if logits.shape != shape or not jnp.issubdtype(logits.dtype, jnp.floating):
    raise ValueError(
      f"logits must be floating with shape {shape}, got {logits.dtype} of "
      f"shape {logits.shape}"
    )
  mask = arrays.check_mask(where, features.shape[:-1])
  dtype = arrays.result_dtype(logits, features, columns)
  features, columns = features.astype(dtype), columns.astype(dtype)
  present = ~jnp.any(jnp.isnan(columns), axis=0, keepdims=True)
  # Around their center, so that a common offset costs no digits.
  columns = jnp.where(present, columns, 0)
  center = jnp.sum(columns, axis=1) / jnp.maximum(
    jnp.sum(present, dtype=dtype), 1
  )
  lead = (1,) * (features.ndim - 1)
  columns = columns - center[:, None]
  features = features - center.reshape(*lead, -1)
  squares = jnp.sum(columns * columns, axis=0).reshape(*lead, -1)
  distance = squares - 2 * matmul(features, columns)
  distance = jnp.where(present.reshape(*lead, -1), distance, jnp.inf)
  agree = jnp.argmax(logits, axis=-1) == jnp.argmin(distance, axis=-1)
  undefined = jnp.any(jnp.isnan(logits), axis=-1) | ~jnp.isfinite(
    jnp.min(distance, axis=-1)
  )
  agree = jnp.where(undefined, jnp.nan, agree.astype(dtype))
  counted = jnp.ones_like(undefined) if mask is None else mask
  number = jnp.sum(counted, dtype=dtype)
  total = jnp.sum(jnp.where(counted, agree, 0))
  return total / jnp.where(number > 0, number, jnp.nan)


def numerical_rank(
  features: ArrayLike,
  labels: ArrayLike,
  num_classes: int,
  *,
  centred: bool = False,
) -> jax.Array:
  r"""Compute the mean numerical rank of the features of each class.

  .. math::
    \frac{1}{K} \sum_k \frac{|H_k|_*^2}{|H_k|_F^2} , \qquad
    |H|_* = \sum_i \sigma_i(H) , \quad |H|_F^2 = \sum_i \sigma_i(H)^2

  over the classes present, :math:`H_k` the matrix of the features of class k.
  Each ratio lies between 1 and the smaller side of its matrix. Classes without
  examples, and those whose matrix is zero, are left out. Works on the host in
  float64, from singular values.

  Args:
    features: floating ``[..., feature_dim]``, not traced.
    labels: integers ``[...]`` in ``[0, num_classes)``, not traced.
    num_classes: the number of classes that labels may name.
    centred: whether to subtract from each class its mean.

  Returns:
    A scalar; float64 if `features` are, else float32. NaN where no class is
    left, or a feature is not finite.

  Raises:
    ValueError: if shapes do not match, a label is out of range, or an input is
      traced or held by several processes.

  Examples:
    >>> import jax.numpy as jnp
    >>> from etf_jax import collapse
    >>> h, y = jnp.array([[3.0, 0.0], [0.0, 4.0]]), jnp.array([0, 0])
    >>> print(collapse.numerical_rank(h, y, 1))
    1.96

  References:
    Zhou et al., `Are All Losses Created Equal: A Neural Collapse Perspective
    <https://arxiv.org/abs/2210.02192>`_, 2022
  """
  rows, classes = arrays.known(features), arrays.known(labels)
  if rows is None or classes is None:
    raise ValueError(
      "numerical_rank needs the values of features and labels on this host: "
      "call it outside jit, on gathered arrays"
    )
  arrays.check_features(rows)
  arrays.check_known_labels(classes, num_classes, rows.shape[:-1])
  dtype = jax.dtypes.canonicalize_dtype(arrays.result_dtype(rows))
  rows = rows.reshape(-1, rows.shape[-1])
  classes = classes.reshape(-1)
  order = np.argsort(classes, kind="stable")
  starts = np.flatnonzero(np.diff(classes[order])) + 1
  ranks = []
  for members in np.split(order, starts):
    matrix = rows[members].astype(np.float64)
    if not np.isfinite(matrix).all():
      return jnp.asarray(np.nan, dtype)
    if centred and len(matrix):
      # The first row first: equal rows then become exactly zero.
      matrix -= matrix[:1]
      matrix -= matrix.mean(axis=0)
    if not matrix.any():
      continue
    if len(matrix) > 2 * matrix.shape[1]:
      matrix = np.asarray(np.linalg.qr(matrix, mode="r"))
    sizes = np.linalg.svd(matrix, compute_uv=False)
    sizes /= sizes[0]
    ranks.append(sizes.sum() ** 2 / np.sum(sizes**2))
  return jnp.asarray(np.mean(ranks) if ranks else np.nan, dtype)
