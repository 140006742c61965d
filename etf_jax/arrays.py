# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Dtypes, checks and gathers that the geometry and the losses share.

One rule for labels holds everywhere. Labels whose values are known (outside
``jit``) are checked and raise ``ValueError``. Compiled code cannot raise: there
an out-of-range label makes the result and the gradient of its example NaN, and
`jax.experimental.checkify` reports it by value (not on Explicit meshes, nor in
a batch of symbolic size).
"""

from collections.abc import Collection

import jax
from jax.experimental import checkify
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jax.typing import ArrayLike, DTypeLike
import numpy as np

# A float32 pi is a little more than pi, and as good as pi.
LARGEST_ANGLE = float(np.float32(np.pi))


def known(x: ArrayLike | None) -> np.ndarray | None:
  """Return the values of `x` in NumPy, or None while they are unknown.

  Unknown are traced values, and arrays that other processes hold a part of.
  """
  if x is None or isinstance(x, jax.core.Tracer):
    return None
  if isinstance(x, jax.Array) and not x.is_fully_addressable:
    return None
  return np.asarray(x)


def result_dtype(*arrays: jax.Array | np.ndarray | None) -> np.dtype:
  """Return the widest floating dtype among `arrays`, at least float32.

  Where none of them is floating it is JAX's default float.
  """
  floating = [
    x.dtype
    for x in arrays
    if x is not None and jnp.issubdtype(x.dtype, jnp.floating)
  ]
  if not floating:
    return jnp.zeros(()).dtype
  wide = any(dtype == jnp.float64 for dtype in floating)
  return jnp.dtype(jnp.float64 if wide else jnp.float32)


def check_labels(
  labels: ArrayLike,
  num_classes: int,
  shape: tuple[int, ...],
  where: ArrayLike | None,
) -> tuple[jax.Array, jax.Array, jax.Array | None]:
  """Check integer labels and make them safe to index with.

  Args:
    labels: integers, the classes of the examples.
    num_classes: K; labels lie in ``[0, K)``.
    shape: the shape that labels and mask must have.
    where: None, or a boolean mask of the examples that count.

  Returns:
    The labels with 0 wherever they are out of range or do not count; a boolean
    array that is True where they were in range or do not count; the mask.
  """
  values = known(labels)
  labels = jnp.asarray(labels)
  _check_integers(labels, shape)
  if labels.dtype.itemsize < 4:
    labels = labels.astype(jnp.int32)  # Or num_classes may not fit.
  mask = check_mask(where, shape)
  valid = (labels >= 0) & (labels < num_classes)
  if mask is not None:
    valid |= ~mask
  chosen = known(where)
  if values is not None and (mask is None or chosen is not None):
    wrong = (values < 0) | (values >= num_classes)
    if chosen is not None:
      wrong &= chosen.astype(bool)
    _refuse(values, wrong, num_classes)
  # On Explicit meshes vmap of the check sorts, which fails. A batch of unknown
  # size is on its way to `jax.export`, which cannot store a check.
  if not _explicit(labels) and isinstance(labels.size, int):
    checkify.debug_check(
      jnp.all(valid),
      f"labels must lie in [0, {num_classes}), got {{least}} to {{most}}",
      least=jnp.min(labels, initial=0),
      most=jnp.max(labels, initial=0),
    )
  usable = valid if mask is None else valid & mask
  return jnp.where(usable, labels, 0).astype(jnp.int32), valid, mask


def check_known_labels(
  labels: np.ndarray, num_classes: int, shape: tuple[int, ...]
) -> None:
  """Raise ValueError as `check_labels`, for NumPy's arrays and at once."""
  _check_integers(labels, shape)
  _refuse(labels, (labels < 0) | (labels >= num_classes), num_classes)


def _check_integers(labels, shape):
  if not jnp.issubdtype(labels.dtype, jnp.integer):
    raise ValueError(f"labels must be integers, got dtype {labels.dtype}")
  if labels.shape != shape:
    raise ValueError(f"labels must have shape {shape}, got {labels.shape}")


def _refuse(labels, wrong, num_classes):
  if wrong.any():
    raise ValueError(
      f"labels must lie in [0, {num_classes}), got {labels[wrong][0]}"
    )


def check_mask(
  where: ArrayLike | None, shape: tuple[int, ...]
) -> jax.Array | None:
  """Return the mask as an array, or None, after a check of dtype and shape."""
  if where is None:
    return None
  mask = jnp.asarray(where)
  # Sizes of 1 stretch; others are equal or symbolic.
  fits = mask.ndim <= len(shape) and all(
    size in (1, whole)
    for size, whole in zip(mask.shape[::-1], shape[::-1], strict=False)
  )
  countable = jnp.issubdtype(mask.dtype, jnp.integer)
  if not (mask.dtype == jnp.bool_ or countable) or not fits:
    raise ValueError(
      "where must be boolean (or integers, 0 for False) of shape "
      f"{shape}, or broadcast to it, got {mask.dtype} of shape {mask.shape}"
    )
  mask = mask.astype(bool)
  return mask if mask.shape == shape else jnp.broadcast_to(mask, shape)


def finish(
  loss: jax.Array, valid: jax.Array, mask: jax.Array | None
) -> jax.Array:
  """Mark examples of out-of-range labels NaN and zero the masked ones."""
  # A product, not a `where`, so that the gradient is NaN as well.
  loss = loss * jnp.where(valid, 1.0, jnp.nan).astype(loss.dtype)
  return loss if mask is None else jnp.where(mask, loss, 0)


def check_counts(
  class_counts: ArrayLike,
  num_classes: int | None = None,
  *others: jax.Array,
  allow_absent: bool = False,
  name: str = "class_counts",
) -> jax.Array:
  """Return `[K]` class counts as floats after a check of known values.

  Args:
    class_counts: numbers ``[K]``, finite and > 0.
    num_classes: K, where something else says it.
    *others: arrays that may widen the dtype.
    allow_absent: allow counts of 0.
    name: of the argument, for errors.

  Returns:
    The counts in the dtype that `result_dtype` gives them and `others`; NaN
    where a traced count is not finite or negative.
  """
  values = known(class_counts)
  counts = class_counts if isinstance(class_counts, jax.Array) else values
  if counts is None or counts.ndim != 1 or counts.size == 0:
    raise ValueError(
      f"{name} must have shape [num_classes], got {np.shape(class_counts)}"
    )
  if num_classes is not None and counts.size != num_classes:
    raise ValueError(
      f"{name} has {counts.size} entries for {num_classes} classes"
    )
  if jnp.issubdtype(counts.dtype, jnp.bool_):
    raise ValueError(f"{name} must be numbers, got booleans")
  if values is not None:
    wrong = ~np.isfinite(values) | (
      (values < 0) if allow_absent else (values <= 0)
    )
    if wrong.any():
      raise ValueError(
        f"{name} must be finite and "
        f"{'not negative' if allow_absent else 'positive'}, got "
        f"{values[wrong][0]} for class {int(np.argmax(wrong))}"
      )
  dtype = jax.dtypes.canonicalize_dtype(result_dtype(counts, *others))
  # Floats first: JAX would wrap counts that 32 bits do not hold.
  counts = jnp.asarray(counts.astype(dtype))
  return jnp.where(jnp.isfinite(counts) & (counts >= 0), counts, jnp.nan)


def check_vectors(
  features: ArrayLike, prototypes: ArrayLike, name: str = "prototypes"
) -> tuple[jax.Array, jax.Array]:
  """Check ``[..., feature_dim]`` features and a matrix of their classes."""
  features, prototypes = jnp.asarray(features), jnp.asarray(prototypes)
  check_features(features)
  if (
    prototypes.ndim != 2
    or prototypes.shape[0] != features.shape[-1]
    or not jnp.issubdtype(prototypes.dtype, jnp.floating)
  ):
    raise ValueError(
      f"{name} must be floating with shape [feature_dim, num_classes] and "
      f"feature_dim {features.shape[-1]}, got {prototypes.dtype} of shape "
      f"{prototypes.shape}"
    )
  return features, prototypes


def check_features(features: jax.Array | np.ndarray) -> None:
  """Raise ValueError unless `features` are floating ``[..., d]``."""
  if features.ndim == 0 or not jnp.issubdtype(features.dtype, jnp.floating):
    raise ValueError(
      "features must be floating with shape [..., feature_dim], got "
      f"{features.dtype} of shape {features.shape}"
    )


def check_range(
  name: str,
  x: ArrayLike,
  low: float,
  high: float = np.inf,
  shapes: Collection[tuple[int, ...]] | None = None,
) -> None:
  """Raise ValueError unless known values are finite in ``[low, high]``.

  With `shapes`, also unless `x` has one of them.
  """
  if shapes is not None and np.shape(x) not in shapes:
    wanted = " or ".join(str(s) if s else "()" for s in shapes)
    raise ValueError(f"{name} must have shape {wanted}, got {np.shape(x)}")
  values = known(x)
  if values is None:
    return
  # NaN must not pass, so the comparison is of what is right.
  wrong = ~((values >= low) & (values <= high) & np.isfinite(values))
  if wrong.any():
    limits = f"[{low:g}, {high:g}" + ("]" if np.isfinite(high) else ")")
    raise ValueError(
      f"{name} must lie in {limits}, got {values[wrong].flat[0]:g}"
    )


def check_positive(name: str, x: ArrayLike) -> None:
  """Raise ValueError when a known value is not finite and positive."""
  values = known(x)
  if values is None:
    return
  wrong = ~(np.isfinite(values) & (values > 0))
  if wrong.any():
    raise ValueError(
      f"{name} must be finite and positive, got {values[wrong].flat[0]:g}"
    )


def in_range(
  x: ArrayLike, dtype: DTypeLike, low: float, high: float = np.inf
) -> jax.Array:
  """Return `x` as an array, NaN where it is not finite in ``[low, high]``."""
  x = jnp.asarray(x, dtype)
  return jnp.where((x >= low) & (x <= high) & jnp.isfinite(x), x, jnp.nan)


def positive(x: ArrayLike, dtype: DTypeLike) -> jax.Array:
  """Return `x` as an array, NaN where it is not finite and positive."""
  x = jnp.asarray(x, dtype)
  return jnp.where((x > 0) & jnp.isfinite(x), x, jnp.nan)


def root(x: jax.Array) -> jax.Array:
  """Return the square root, with a gradient of 0 at 0."""
  is_positive = x > 0
  return jnp.where(is_positive, jnp.sqrt(jnp.where(is_positive, x, 1)), x)


def ratio(a: jax.Array, b: jax.Array) -> jax.Array:
  """Return a / b; NaN where `b` is 0, with a gradient of 0 there."""
  defined = b != 0
  return jnp.where(defined, a / jnp.where(defined, b, 1), jnp.nan)


def take_columns(table: jax.Array, labels: jax.Array) -> jax.Array:
  """Return the columns of a `[d, K]` table that belong to the labels.

  ``[..., d]`` for ``[...]`` labels, which must be in range. On a mesh with
  Explicit axes the result is laid out as the labels are, which indexing alone
  cannot know.
  """
  return jax.lax.platform_dependent(
    table,
    labels,
    cpu=_take_columns_on_cpu,
    default=lambda table, labels: take_rows(table.T, labels),
  )


def take_rows(table: jax.Array, labels: jax.Array) -> jax.Array:
  """Return ``table[labels]``; the labels must be in range."""
  if not _explicit(labels):
    return table.at[labels].get(mode="promise_in_bounds")
  sharding = jax.typeof(labels).sharding
  spec = PartitionSpec(*sharding.spec, *[None] * (table.ndim - 1))
  return table.at[labels].get(
    mode="promise_in_bounds", out_sharding=NamedSharding(sharding.mesh, spec)
  )


def _take_columns_on_cpu(table: jax.Array, labels: jax.Array) -> jax.Array:
  """Compute `take_columns` without jumps from row to row of the table.

  XLA fuses the usual form on CPUs into a loop that reads one number from each
  row in turn, a cache miss each time. Transposed before, a small table makes
  the head up to twice as fast. A batch of unknown size keeps the usual form.
  """
  rows = table.T
  if isinstance(labels.size, int) and table.shape[1] <= 4 * labels.size:
    rows = jax.lax.optimization_barrier(rows)
  return take_rows(rows, labels)


def replicated(x: jax.Array) -> NamedSharding | None:
  """Name the layout of a sum over a batch where the mesh wants it named."""
  if not _explicit(x):
    return None
  return NamedSharding(jax.typeof(x).sharding.mesh, PartitionSpec())


def label_mask(labels: jax.Array, like: jax.Array) -> jax.Array:
  """Return one-hot booleans of ``[...]`` labels, laid out as `like`.

  A comparison and not a gather, so that it follows every sharding.
  """
  layout = jax.typeof(like).sharding if _explicit(like) else None
  classes = jax.lax.broadcasted_iota(
    labels.dtype, like.shape, like.ndim - 1, out_sharding=layout
  )
  return labels[..., None] == classes


def _explicit(x: jax.Array) -> bool:
  """Tell if `x` lives on a mesh where every layout is named."""
  return AxisType.Explicit in jax.typeof(x).sharding.mesh.axis_types


def count(labels: jax.Array, amounts: jax.Array, num_classes: int) -> jax.Array:
  """Add up `amounts` by label, ``[num_classes]``; labels must be in range."""
  labels, amounts = labels.reshape(-1), amounts.reshape(-1)
  everywhere = replicated(labels)
  if everywhere is not None:
    # A few bytes an example: cheaper to gather than to reduce class by class,
    # and a scatter needs to know where its indices live.
    labels = jax.sharding.reshard(labels, everywhere)
    amounts = jax.sharding.reshard(amounts, everywhere)
  zeros = jnp.zeros((num_classes,), amounts.dtype)
  return zeros.at[labels].add(amounts, mode="promise_in_bounds")
