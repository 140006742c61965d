# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The arithmetic of `etf_jax.collapse.compute`, and cosines."""

import dataclasses

import jax
from jax import export
import jax.numpy as jnp
from jax.typing import ArrayLike

from etf_jax import arrays

# Accelerators multiply float32 in fewer bits unless told otherwise.
EXACT = jax.lax.Precision.HIGHEST
# Up to so many classes distances are computed from differences.
_FEW_CLASSES = 1000


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Metrics:
  """The scalars that `collapse.compute` returns, in the symbols given there.

  Standard deviations are those of a population. Pairs are ordered, j != k.

  Attributes:
    nc1: >= 0; 0 when every class has collapsed to its mean.
    nc2_deviation: the Frobenius norm of A, the distance from a simplex
      equiangular tight frame.
    nc2_max: the largest absolute entry of A.
    equinorm_cv: the standard deviation of the lengths of the m_k over their
      mean.
    cos_features_mean: of the cosines between m_j and m_k, over pairs.
    cos_features_std: their standard deviation.
    cos_features_classifier_mean: of the cosines between m_j and w_k, over
      pairs.
    cos_features_classifier_std: their standard deviation.
    nc3_alignment_mean: of the cosines between m_k and w_k, over classes.
    nc3_alignment_std: their standard deviation.
    nc3_distance: the squared Frobenius norm of B, from 0 to 4.
    cdnv: class-distance normalized variance, >= 0, the mean over pairs.
  """

  nc1: jax.Array
  nc2_deviation: jax.Array
  nc2_max: jax.Array
  equinorm_cv: jax.Array
  cos_features_mean: jax.Array
  cos_features_std: jax.Array
  cos_features_classifier_mean: jax.Array
  cos_features_classifier_std: jax.Array
  nc3_alignment_mean: jax.Array
  nc3_alignment_std: jax.Array
  nc3_distance: jax.Array
  cdnv: jax.Array


export.register_pytree_node_serialization(
  Metrics,
  serialized_name="etf_jax.collapse.Metrics",
  serialize_auxdata=lambda _: b"",
  deserialize_auxdata=lambda _: (),
)


@jax.jit
def measure(
  count: jax.Array,
  shifted_sum: jax.Array,
  shifted_square: jax.Array,
  shifted_scatter: jax.Array,
  reference: jax.Array,
  prototypes: jax.Array,
  *,
  by_sample: jax.Array,
) -> Metrics:
  """Compute what `collapse.compute` defines."""
  dtype = prototypes.dtype
  present = count > 0
  rows = present[:, None]
  size = jnp.where(present, count, 1)
  classes = jnp.sum(present, dtype=dtype)

  # Around a common anchor, so that large numbers are subtracted first and the
  # means of what is left are exact: `_nc1` needs them to add up to zero.
  offset = jnp.where(rows, shifted_sum / size[:, None], 0)
  anchor = jnp.where(rows, reference + offset, 0)
  anchor = jnp.sum(anchor, axis=0, keepdims=True) / jnp.maximum(classes, 1)
  means = jnp.where(rows, reference - anchor + offset, 0)
  weights = jnp.where(by_sample, count, 1)
  weights = jnp.where(present, weights, 0)
  weights /= jnp.maximum(jnp.sum(weights), 1)
  center = jnp.sum(weights[:, None] * means, axis=0, keepdims=True)
  centered = jnp.where(rows, means - center, 0)

  same = jnp.eye(present.size, dtype=bool)
  both = rows & present[None]
  pairs = both & ~same
  between = cosines(centered.T)
  # Rows and columns of absent classes are zero: `unit` makes them NaN, without
  # a NaN in the gradient of others.
  prototypes = jnp.where(rows.T, prototypes, 0)
  to_prototypes = cosines(centered.T, prototypes)
  frame = jnp.where(same, 1, -1 / jnp.maximum(classes - 1, 1))
  missed = jnp.where(both, jnp.abs(between - frame), 0)
  lengths = arrays.root(jnp.sum(centered * centered, axis=1))
  length_mean, length_std = _moments(lengths, present)
  features_mean, features_std = _moments(between, pairs)
  classifier_mean, classifier_std = _moments(to_prototypes, pairs)
  aligned_mean, aligned_std = _moments(to_prototypes, both & same)
  features_unit, no_features = unit(centered.T, axis=None)
  prototypes_unit, no_prototypes = unit(prototypes, axis=None)
  difference = features_unit - prototypes_unit

  variance = shifted_square / size - jnp.sum(offset * offset, axis=1)
  variance = jnp.maximum(variance, 0)
  distance = _squared_distances(means, lengths, between, pairs)
  distance = jnp.where(pairs, distance, 1)
  fuzziness, _ = _moments(
    arrays.ratio(variance[:, None] + variance[None], 2 * distance), pairs
  )

  metrics = Metrics(
    nc1=_nc1(
      shifted_scatter,
      shifted_sum / jnp.sqrt(size)[:, None],
      centered,
      jnp.sum(jnp.where(present, count, 0)),
      classes,
    ),
    nc2_deviation=arrays.root(jnp.sum(missed * missed)),
    nc2_max=jnp.max(missed),
    equinorm_cv=arrays.ratio(length_std, length_mean),
    cos_features_mean=features_mean,
    cos_features_std=features_std,
    cos_features_classifier_mean=classifier_mean,
    cos_features_classifier_std=classifier_std,
    nc3_alignment_mean=aligned_mean,
    nc3_alignment_std=aligned_std,
    nc3_distance=jnp.where(
      jnp.squeeze(no_features | no_prototypes),
      jnp.nan,
      jnp.sum(difference * difference),
    ),
    cdnv=fuzziness,
  )
  defined = classes >= 2
  return jax.tree.map(lambda x: jnp.where(defined, x, jnp.nan), metrics)


def _squared_distances(
  means: jax.Array, lengths: jax.Array, between: jax.Array, pairs: jax.Array
) -> jax.Array:
  """Compute the squared distances `[K, K]` of class means.

  By the law of cosines, which has no digits left for close pairs: rows that
  have such are computed from differences, and all of them where the classes are
  few, which keeps the bits of earlier versions.

  Args:
    means: `[K, d]`, around any point.
    lengths: `[K]` of the centered means.
    between: `[K, K]`, the cosines between those; NaN where one is zero.
    pairs: boolean `[K, K]`, the entries that count.
  """
  squares = lengths * lengths
  total = squares[:, None] + squares[None]
  products = lengths[:, None] * lengths[None]
  aligned = jnp.where(jnp.isnan(between), 0, between)
  distance = total - 2 * products * aligned
  close = jnp.any(pairs & (distance < 0.05 * total), axis=1)
  close |= len(means) <= _FEW_CLASSES

  def refine(row):
    mean, by_cosines, is_close = row
    return jax.lax.cond(
      is_close,
      lambda: jnp.sum(jnp.square(mean[None] - means), axis=1),
      lambda: by_cosines,
    )

  return jax.lax.map(refine, (means, distance, close))


@jax.custom_jvp
def _nc1(
  scatter: jax.Array,
  spokes: jax.Array,
  centered: jax.Array,
  examples: jax.Array,
  classes: jax.Array,
) -> jax.Array:
  """Tr(S_W S_B^+)/K by the singular vectors of the centered means.

  The within-class scatter is `scatter` minus the squares of the `spokes`. Only
  its products with the singular vectors are formed.
  """
  safe = jnp.maximum(classes, 1)
  rows = centered / jnp.sqrt(safe)
  if rows.shape[0] > rows.shape[1]:
    # The same left singular vectors, without right ones of all the classes.
    rows = jnp.linalg.qr(rows, mode="r")
  basis, sizes, _ = jnp.linalg.svd(rows.T, full_matrices=False)
  within = jnp.sum(basis * matmul(scatter, basis), axis=0)
  within -= jnp.sum(jnp.square(matmul(spokes, basis)), axis=0)
  within = jnp.maximum(within, 0) / jnp.maximum(examples, 1)
  kept = sizes > _resolution(sizes) * sizes[0]
  ratios = jnp.where(kept, within / jnp.where(kept, sizes, 1) ** 2, 0)
  return jnp.where(jnp.any(kept), jnp.sum(ratios) / safe, jnp.nan)


@_nc1.defjvp
def _nc1_derivative(
  primals: tuple[jax.Array, ...], tangents: tuple[jax.Array, ...]
) -> tuple[jax.Array, jax.Array]:
  """Differentiate by the pseudoinverse: singular vectors that share a value,
  as those of a simplex do, have no derivative, and the trace has one.
  """

  def trace(scatter, spokes, centered, examples, classes):
    safe = jnp.maximum(classes, 1)
    inverse = jnp.linalg.pinv(
      centered.T / jnp.sqrt(safe), rtol=_resolution(centered)
    )
    within = jnp.sum(inverse.T * matmul(scatter, inverse.T))
    within -= jnp.sum(jnp.square(matmul(spokes, inverse.T)))
    return within / jnp.maximum(examples, 1) / safe

  return _nc1(*primals), jax.jvp(trace, primals, tangents)[1]


def _resolution(x: jax.Array) -> float:
  """Return the smallest singular value that counts, over the largest."""
  # One direction at least is zero up to rounding: the means are centered.
  return 1e-12 if x.dtype == jnp.float64 else 1e-5


def matmul(a: jax.Array, b: jax.Array) -> jax.Array:
  """Multiply in all the bits of the inputs' dtype."""
  return jnp.matmul(a, b, precision=EXACT)


def _moments(x: jax.Array, where: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Return the mean and population standard deviation of what counts."""
  size = jnp.maximum(jnp.sum(where, dtype=x.dtype), 1)
  # NaN is put in at the end, or gradients of what is finite would be NaN.
  undefined = jnp.any(where & jnp.isnan(x))
  x = jnp.where(where & ~undefined, x, 0)
  mean = jnp.sum(x) / size
  square = jnp.sum(jnp.where(where, jnp.square(x - mean), 0)) / size
  mean, deviation = (
    jnp.where(undefined, jnp.nan, y) for y in (mean, arrays.root(square))
  )
  return mean, deviation


def unit(x: jax.Array, axis: int | None) -> tuple[jax.Array, jax.Array]:
  """Scale to length 1 along `axis`; say which vectors are zero, and stay so."""
  # By the largest entry first, or squares of small numbers would be zero.
  largest = jnp.max(jnp.abs(jax.lax.stop_gradient(x)), axis=axis, keepdims=True)
  zero = largest == 0
  # The gradient at a zero vector is 0 and not NaN: it may be masked later.
  x = jnp.where(zero, 1, x / jnp.where(zero, 1, largest))
  x = x / jnp.sqrt(jnp.sum(x * x, axis=axis, keepdims=True))
  return jnp.where(zero, 0, x), zero


def cosines(a: ArrayLike, b: ArrayLike | None = None) -> jax.Array:
  """Compute the cosines between the columns of two matrices.

  Args:
    a: floating ``[d, K]``, a vector per column: prototypes, or class means
      transposed.
    b: floating ``[d, L]``; None is `a`.

  Returns:
    ``[K, L]``, entry (j, k) the cosine of column j of `a` and column k of `b`,
    in ``[-1, 1]``; NaN where one of them is zero. float64 if an input is, else
    float32.

  Raises:
    ValueError: if the inputs are not matrices of equally many rows.

  Examples:
    >>> import jax.numpy as jnp
    >>> from etf_jax import collapse
    >>> print(collapse.cosines(jnp.array([[2.0, 0.0, 0.0], [0.0, -1.0, 0.0]])))
    [[ 1.  0. nan]
     [ 0.  1. nan]
     [nan nan nan]]
  """
  a = jnp.asarray(a)
  b = a if b is None else jnp.asarray(b)
  for name, x in (("a", a), ("b", b)):
    if x.ndim != 2 or not jnp.issubdtype(x.dtype, jnp.floating):
      raise ValueError(
        f"{name} must be floating with shape [feature_dim, vectors], got "
        f"{x.dtype} of shape {x.shape}"
      )
  if a.shape[0] != b.shape[0]:
    raise ValueError(
      f"a and b must have equally many rows, got {a.shape} and {b.shape}"
    )
  dtype = arrays.result_dtype(a, b)
  a, zero_a = unit(a.astype(dtype), axis=0)
  b, zero_b = unit(b.astype(dtype), axis=0)

  def products(x, y):
    return jax.lax.dot_general(
      x,
      y,
      (((0,), (0,)), ((), ())),
      precision=EXACT,
      out_sharding=arrays.replicated(a),
    )

  # NaN as late as this: with NaN in a factor the gradients of all columns are.
  known = products((~zero_a).astype(dtype), (~zero_b).astype(dtype)) > 0
  return jnp.where(known, jnp.clip(products(a, b), -1, 1), jnp.nan)
