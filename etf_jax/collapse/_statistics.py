# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Sums over examples, and the metrics that `compute` makes of them."""

from collections.abc import Iterable
from typing import NamedTuple

import jax
from jax import export
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike

from etf_jax import arrays
from etf_jax.collapse._metrics import EXACT, Metrics, measure

GLOBAL_MEANS = ("class", "sample")


class Statistics(NamedTuple):
  """Sums over examples, around one reference vector r_k per class.

  Attributes:
    count: ``[K]``, examples per class; exact in float32 up to 2^24 each.
    shifted_sum: ``[K, d]``, the sum of h - r_k over the examples of class k.
    shifted_square: ``[K]``, the sum of |h - r_k|^2.
    shifted_scatter: ``[d, d]``, the sum of (h - r_y)(h - r_y)^T over all.
    reference: ``[K, d]``, the r_k; shared, never summed.
  """

  count: jax.Array  # type: ignore[assignment]  # Hides tuple.count.
  shifted_sum: jax.Array
  shifted_square: jax.Array
  shifted_scatter: jax.Array
  reference: jax.Array


export.register_namedtuple_serialization(
  Statistics, serialized_name="etf_jax.collapse.Statistics"
)


def init(
  num_classes: int, feature_dim: int, *, reference: ArrayLike | None = None
) -> Statistics:
  """Make the statistics of no examples.

  Any reference gives the same metrics in exact arithmetic. In float32 it has to
  lie within a few standard deviations of its class: variances are differences
  of sums, and around zero those of collapsed features are lost in rounding. Two
  good choices are the feature of one example of each class, and the
  `class_means` of an earlier pass.

  Args:
    num_classes: K, at least 1.
    feature_dim: d, at least 1.
    reference: floating ``[num_classes, feature_dim]``, a vector per class. A
      row that is not finite, such as the mean of an absent class, is replaced
      by the mean of the other rows. None is zeros, good enough in float64 or
      for features that are spread about as widely as they are long.

  Returns:
    `Statistics` in the dtype of `reference`, at least float32; without one in
    JAX's default float. K = 1000 and d = 4096 take 99.9 MB in float32.

  Raises:
    ValueError: if a size is not positive or `reference` does not match.

  Examples:
    >>> from etf_jax import collapse
    >>> stats = collapse.init(3, 2)
    >>> print(stats.count, stats.shifted_scatter.shape)
    [0. 0. 0.] (2, 2)
  """
  if num_classes < 1 or feature_dim < 1:
    raise ValueError(
      "num_classes and feature_dim must be at least 1, got "
      f"{num_classes} and {feature_dim}"
    )
  shape = (num_classes, feature_dim)
  if reference is None:
    reference = jnp.zeros(shape)
  reference = jnp.asarray(reference)
  if reference.shape != shape or not jnp.issubdtype(
    reference.dtype, jnp.floating
  ):
    raise ValueError(
      f"reference must be floating with shape {shape}, got "
      f"{reference.dtype} of shape {reference.shape}"
    )
  dtype = arrays.result_dtype(reference)
  reference = reference.astype(dtype)
  finite = jnp.all(jnp.isfinite(reference), axis=1, keepdims=True)
  rows = jnp.sum(jnp.where(finite, reference, 0), axis=0, keepdims=True)
  rows /= jnp.maximum(jnp.sum(finite, dtype=dtype), 1)
  return Statistics(
    count=jnp.zeros((num_classes,), dtype),
    shifted_sum=jnp.zeros(shape, dtype),
    shifted_square=jnp.zeros((num_classes,), dtype),
    shifted_scatter=jnp.zeros((feature_dim, feature_dim), dtype),
    reference=jnp.where(finite, reference, rows),
  )


def update(
  stats: Statistics,
  features: ArrayLike,
  labels: ArrayLike,
  *,
  where: ArrayLike | None = None,
) -> Statistics:
  """Add examples to the statistics.

  Under ``jit``, donate `stats`: the ``[d, d]`` sum is then updated in place. On
  sharded arrays the result is that of the global batch.

  Args:
    stats: `Statistics` of what was seen before.
    features: floating ``[..., feature_dim]``.
    labels: integers ``[...]`` in ``[0, num_classes)``.
    where: boolean ``[...]``, the examples that count. The others change
      nothing, whatever they hold.

  Returns:
    `Statistics`; float64 if an input is, else float32. Under ``jit`` an
    out-of-range label that counts makes all the sums NaN. A feature that counts
    and is not finite makes sums of every class NaN.

  Raises:
    ValueError: if shapes do not match or, outside ``jit``, a label that counts
      is out of range.

  Examples:
    >>> import jax.numpy as jnp
    >>> from etf_jax import collapse
    >>> h, y = jnp.array([[1.0, 0.0], [3.0, 0.0]]), jnp.array([1, 1])
    >>> stats = collapse.update(collapse.init(2, 2), h, y)
    >>> print(stats.count, stats.shifted_sum)
    [0. 2.] [[0. 0.]
     [4. 0.]]
  """
  stats = _as_arrays(stats)
  features = jnp.asarray(features)
  arrays.check_features(features)
  num_classes, feature_dim = stats.reference.shape
  if features.shape[-1] != feature_dim:
    raise ValueError(
      f"features must have feature_dim {feature_dim} like the statistics, got "
      f"shape {features.shape}"
    )
  labels, valid, mask = arrays.check_labels(
    labels, num_classes, features.shape[:-1], where
  )
  stats = _astype(stats, arrays.result_dtype(features, *stats))
  dtype = stats.reference.dtype
  shifted = features.astype(dtype)
  shifted -= arrays.take_rows(stats.reference, labels)
  # Sums by class are products with this matrix. They cost K/d of the scatter
  # matrix, keep one order of addition on every device, which a scatter-add on
  # GPUs does not, and need no gather of a sharded batch.
  member = jax.nn.one_hot(labels, num_classes, dtype=dtype)
  if mask is not None:
    shifted = jnp.where(mask[..., None], shifted, 0)
    member = jnp.where(mask[..., None], member, 0)
  batch = tuple(range(labels.ndim))

  def over_batch(left, right):
    return jax.lax.dot_general(
      left,
      right,
      ((batch, batch), ((), ())),
      precision=EXACT,
      out_sharding=arrays.replicated(labels),
    )

  return _add(
    stats,
    (
      jnp.sum(member, axis=batch),
      over_batch(member, shifted),
      over_batch(member, jnp.sum(shifted * shifted, axis=-1)),
      over_batch(shifted, shifted),
    ),
    jnp.all(valid),
  )


def merge(a: Statistics, b: Statistics) -> Statistics:
  """Add the statistics of two sets of examples.

  Both must have been taken around the same reference: start them from the same
  `init`.

  Args:
    a: `Statistics`.
    b: `Statistics` of other examples.

  Returns:
    `Statistics` of all; float64 if an input is, else float32. Under ``jit``
    references that differ make all the sums NaN.

  Raises:
    ValueError: if the references differ in shape or, outside ``jit``, in value.

  Examples:
    >>> import jax.numpy as jnp
    >>> from etf_jax import collapse
    >>> empty, y = collapse.init(2, 2), jnp.array([0, 1])
    >>> a = collapse.update(empty, jnp.eye(2), y)
    >>> b = collapse.update(empty, jnp.ones((2, 2)), y)
    >>> print(collapse.merge(a, b).shifted_sum)
    [[2. 1.]
     [1. 2.]]
  """
  a, b = _as_arrays(a), _as_arrays(b)
  if a.reference.shape != b.reference.shape:
    raise ValueError(
      "statistics to merge must have references of one shape, got "
      f"{a.reference.shape} and {b.reference.shape}"
    )
  dtype = arrays.result_dtype(*a, *b)
  a, b = _astype(a, dtype), _astype(b, dtype)
  same = jnp.all(a.reference == b.reference)
  values = arrays.known(same)
  if values is not None and not values:
    raise ValueError(
      "statistics to merge must have equal references: start both from the "
      "same collapse.init"
    )
  return _add(a, b[:4], same)


def class_means(stats: Statistics) -> jax.Array:
  """Compute the mean feature of each class.

  Args:
    stats: `Statistics`.

  Returns:
    The means, ``[num_classes, feature_dim]``; NaN for absent classes.

  Examples:
    >>> import jax.numpy as jnp
    >>> from etf_jax import collapse
    >>> h, y = jnp.array([[1.0, 0.0], [3.0, 0.0]]), jnp.array([1, 1])
    >>> stats = collapse.update(collapse.init(2, 2), h, y)
    >>> print(collapse.class_means(stats))
    [[nan nan]
     [ 2.  0.]]
  """
  stats = _as_arrays(stats)
  present = (stats.count > 0)[:, None]
  size = jnp.where(present, stats.count[:, None], 1)
  means = stats.reference + stats.shifted_sum / size
  return jnp.where(present, means, jnp.nan)


def compute(
  stats: Statistics, prototypes: ArrayLike, *, global_mean: str = "class"
) -> Metrics:
  r"""Compute how far features and classifier have collapsed.

  With K the classes present, :math:`\mu_k` and :math:`v_k` the mean of
  :math:`h_i` and of :math:`|h_i - \mu_k|^2` in class k, N the number of
  examples, :math:`m_k = \mu_k - \mu_G` the centered means and :math:`w_k` the
  prototypes, `Metrics` are made of

  .. math::
    S_W = \frac{1}{N} \sum_i (h_i - \mu_{y_i}) (h_i - \mu_{y_i})^\top , \qquad
    S_B = \frac{1}{K} \sum_k m_k m_k^\top , \qquad
    \mathrm{nc1} = \frac{1}{K} \operatorname{Tr} S_W S_B^+

  .. math::
    A_{jk} = \cos(m_j, m_k) - \frac{K \delta_{jk} - 1}{K-1} , \qquad
    B = \frac{[m_1 \ldots m_K]}{|[m_1 \ldots m_K]|_F}
    - \frac{[w_1 \ldots w_K]}{|[w_1 \ldots w_K]|_F} , \qquad
    \mathrm{cdnv}_{jk} = \frac{v_j + v_k}{2 |\mu_j - \mu_k|^2}

  Absent classes are left out everywhere. What is not defined is NaN: all of it
  with fewer than two classes present, the mean and the deviation of cosines
  where one of them is with a zero vector, ``cdnv`` where two means coincide.

  On imbalanced data the choice of :math:`\mu_G` decides what is seen: features
  that sit exactly on a simplex frame look collapsed around the mean of the
  class means, and not around the mean of the examples. Judge by "class";
  "sample" is what some papers print.

  Args:
    stats: `Statistics`.
    prototypes: floating ``[feature_dim, num_classes]``, a column per class.
    global_mean: :math:`\mu_G`: "class", the mean of the class means, or
      "sample", the mean of the examples.

  Returns:
    `Metrics`, a dataclass of scalars; float64 if an input is, else float32. In
    float32 give `init` a reference; directions in which the class means spread
    less than 1e-5 times as far as in the widest do not enter ``nc1``.

  Raises:
    ValueError: if shapes do not match or `global_mean` is unknown.

  Examples:
    >>> import jax.numpy as jnp
    >>> from etf_jax import collapse
    >>> h = jnp.array([[1.5, 0.0], [0.5, 0.0], [-1.5, 0.0], [-0.5, 0.0]])
    >>> stats = collapse.init(2, 2)
    >>> stats = collapse.update(stats, h, jnp.array([0, 0, 1, 1]))
    >>> metrics = collapse.compute(stats, jnp.array([[1.0, -1.0], [0.0, 0.0]]))
    >>> print(metrics.nc1.round(4), metrics.cdnv, metrics.cos_features_mean)
    0.125 0.0625 -1.0

  References:
    Papyan, Han and Donoho, `Prevalence of Neural Collapse during the terminal
    phase of deep learning training <https://arxiv.org/abs/2008.08186>`_, 2020;
    Yang et al., `Inducing Neural Collapse in Imbalanced Learning
    <https://arxiv.org/abs/2203.09081>`_, 2022, equation 2 and figure 3; Galanti
    et al., `On the Role of Neural Collapse in Transfer Learning
    <https://arxiv.org/abs/2112.15121>`_, 2022 (``cdnv``)
  """
  if global_mean not in GLOBAL_MEANS:
    raise ValueError(
      f"global_mean must be one of {GLOBAL_MEANS}, got {global_mean!r}"
    )
  stats, prototypes = _as_arrays(stats), jnp.asarray(prototypes)
  shape = stats.reference.shape[::-1]
  if prototypes.shape != shape or not jnp.issubdtype(
    prototypes.dtype, jnp.floating
  ):
    raise ValueError(
      f"prototypes must be floating with shape {shape}, got "
      f"{prototypes.dtype} of shape {prototypes.shape}"
    )
  dtype = arrays.result_dtype(prototypes, *stats)
  return measure(
    *_astype(stats, dtype),
    prototypes.astype(dtype),
    by_sample=jnp.asarray(global_mean == "sample"),
  )


def _as_arrays(stats: Statistics) -> Statistics:
  return Statistics(*map(jnp.asarray, stats))


def _astype(stats: Statistics, dtype: DTypeLike) -> Statistics:
  return Statistics(*(x.astype(dtype) for x in stats))


def _add(
  stats: Statistics, sums: Iterable[jax.Array], valid: jax.Array
) -> Statistics:
  """Add to the four sums; make them NaN unless `valid`."""
  nothing = jnp.where(valid, 0, jnp.nan).astype(stats.reference.dtype)
  sums = [x + (y + nothing) for x, y in zip(stats[:4], sums, strict=True)]
  return Statistics(*[*sums, stats.reference])
