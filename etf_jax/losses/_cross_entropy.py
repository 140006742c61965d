# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Checks and the softmax that the losses on logits share.

A loss says how a logit enters as that of another class (`push`) and as that of
the label (`pull`), both element by element. What is left is one reduction over
the classes, of all of them or of blocks.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
from jax import export
import jax.numpy as jnp
from jax.typing import ArrayLike
import numpy as np

from etf_jax import arrays

# Of a logit (or a log-odds) and the parameters of the class.
Elementwise = Callable[..., jax.Array]


class LinearLogits(NamedTuple):
  """Logits as a product, which losses take in place of an array of logits.

  With `block_size` a loss multiplies so many classes at a time, and neither it
  nor the gradient holds all the logits.

  Attributes:
    features: floating ``[..., feature_dim]``.
    weights: floating ``[feature_dim, num_classes]``, a column per class.
    bias: floating ``[num_classes]``, or None.
  """

  features: jax.Array
  weights: jax.Array
  bias: jax.Array | None = None


export.register_namedtuple_serialization(
  LinearLogits, serialized_name="etf_jax.losses.LinearLogits"
)


def check_logits(logits: ArrayLike | LinearLogits) -> jax.Array | LinearLogits:
  """Return logits as arrays; raise ValueError unless floating ``[..., K]``."""
  if isinstance(logits, LinearLogits):
    features, weights = arrays.check_vectors(
      logits.features, logits.weights, "weights"
    )
    bias = None if logits.bias is None else jnp.asarray(logits.bias)
    if bias is not None and bias.shape != weights.shape[1:]:
      raise ValueError(
        f"bias must have shape {weights.shape[1:]}, got {bias.shape}"
      )
    return LinearLogits(features, weights, bias)
  logits = jnp.asarray(logits)
  if logits.ndim == 0 or not jnp.issubdtype(logits.dtype, jnp.floating):
    raise ValueError(
      "logits must be floating with shape [..., num_classes], got "
      f"{logits.dtype} of shape {logits.shape}"
    )
  return logits


def counts(
  class_counts: ArrayLike, logits: ArrayLike | LinearLogits
) -> jax.Array:
  """Check the counts of the classes of logits, of which some may be absent."""
  logits = check_logits(logits)
  leaves = jax.tree.leaves(logits)
  return arrays.check_counts(
    class_counts, num_classes(logits), *leaves, allow_absent=True
  )


def along_classes(x: jax.Array, ndim: int) -> jax.Array:
  """Give a `[K]` array the rank of ``[..., K]`` logits."""
  return x.reshape((1,) * (ndim - 1) + x.shape)


@jax.custom_jvp
def scale(z: jax.Array, factor: jax.Array) -> jax.Array:
  """Multiply logits; one of -inf stays, with finite gradients."""
  return jnp.where(z == -jnp.inf, z, factor * z)


@scale.defjvp
def _scale_derivative(primals, tangents):
  # Without the logits where only they change: XLA can then drop them.
  z, factor = primals
  change, factor_change = tangents
  change = factor * change + factor_change * jnp.where(z == -jnp.inf, 0, z)
  return scale(z, factor), change


def cross_entropy(
  logits: ArrayLike | LinearLogits,
  labels: ArrayLike,
  where: ArrayLike | None,
  push: Elementwise,
  pull: Elementwise | None = None,
  *,
  modulate: Elementwise | None = None,
  parameters: tuple[jax.Array, ...] = (),
  label_smoothing: ArrayLike = 0.0,
  block_size: int | None = None,
  precision: jax.lax.PrecisionLike = None,
) -> jax.Array:
  """Compute the softmax cross entropy of changed logits.

  Args:
    logits: see `LinearLogits`.
    labels: integers ``[...]``, or floating ``[..., K]``: the loss is then that
      of the classes, weighted by them.
    where: see the losses.
    push: a logit and the parameters of the class, to that of another class.
    pull: the same, to that of the label; None is `push`.
    modulate: the log-odds of the label and the parameters of the class, to the
      loss; None is cross entropy.
    parameters: ``[K]`` each.
    label_smoothing: the share of the uniform distribution over the classes in
      the target. The label still decides which logit is pulled.
    block_size: classes at a time; None is all.
    precision: of the product of `LinearLogits`.

  Returns:
    The loss of each example, ``[...]``.
  """
  arrays.check_range("label_smoothing", label_smoothing, 0, 1, [()])
  logits = check_logits(logits)
  leaves = jax.tree.leaves(logits)
  lead, classes = leaves[0].shape[:-1], num_classes(logits)
  check_block_size(block_size, logits)
  dtype = arrays.result_dtype(*leaves, *parameters)
  smoothing = None
  if isinstance(label_smoothing, jax.Array) or label_smoothing:
    smoothing = arrays.in_range(label_smoothing, dtype, 0, 1)
  soft = jnp.issubdtype(jnp.result_type(labels), jnp.floating)
  if block_size is not None and (soft or (modulate and smoothing is not None)):
    raise ValueError(
      f"block_size={block_size}: labels of [..., num_classes], and smooth ones "
      "of this loss, need all logits; give integer labels or no block_size"
    )
  if soft:
    targets, valid, mask = _check_targets(labels, (*lead, classes), where)
  else:
    integers, valid, mask = arrays.check_labels(labels, classes, lead, where)
  first = leaves[0].astype(dtype)
  if mask is not None:
    # Before any arithmetic, or NaN would come back through the gradient.
    first = jnp.where(mask[..., None], first, 0)
  parameters = tuple(
    x if x.dtype == bool else x.astype(dtype) for x in parameters
  )
  z, product = first, None
  if isinstance(logits, LinearLogits):
    bias = jnp.zeros(classes) if logits.bias is None else logits.bias
    product = _Product(first, logits.weights.astype(dtype), bias.astype(dtype))
    if block_size is None:
      z, product = _multiply(product, precision), None
  aligned = tuple(along_classes(x, z.ndim) for x in parameters)
  if soft or (modulate and smoothing is not None):
    if not soft:
      targets = arrays.label_mask(integers, z).astype(dtype)
    loss = _of_targets(z, targets, aligned, push, pull, modulate, smoothing)
    return arrays.finish(loss, valid, mask)

  chosen = tuple(arrays.take_rows(x, integers)[..., None] for x in parameters)
  if product is None:
    is_label = arrays.label_mask(integers, z)
    z_label = pick(z, is_label)
  else:
    columns = arrays.take_columns(product.weights, integers)
    z_label = jnp.sum(product.features * columns, axis=-1)
    z_label += arrays.take_rows(product.bias, integers)
  wanted = (pull or push)(z_label[..., None], *chosen)
  # Log-odds are against the others, which keeps the digits of small losses.
  stand_in = jnp.full_like(wanted, -jnp.inf) if modulate else wanted
  if product is None:
    sums = _reduce(jnp.where(is_label, stand_in, push(z, *aligned)))
  else:
    sums = _reduce_blocks(
      product,
      parameters,
      lambda z, start, *chosen: jnp.where(
        arrays.label_mask(integers - start, z), stand_in, push(z, *chosen)
      ),
      block_size or classes,
      precision,
    )
  wanted = wanted[..., 0]
  if modulate:
    lead = wanted - sums.log_sum_exp
    masked = lead == -jnp.inf
    # The derivative of the loss there is a product of 0 and infinity.
    loss = modulate(jnp.where(masked, 0, lead), *(x[..., 0] for x in chosen))
    loss += jnp.where(masked & (loss > 0), jnp.inf, 0)
  elif smoothing is not None:
    mean = sums.total / sums.number
    true = jnp.where(smoothing == 1, 0, (1 - smoothing) * wanted)
    loss = sums.log_sum_exp - (true + smoothing * mean)
  else:
    loss = sums.log_sum_exp - wanted
  return arrays.finish(loss, valid, mask)


class _Product(NamedTuple):
  features: jax.Array
  weights: jax.Array
  bias: jax.Array


class _Sums(NamedTuple):
  """Reductions over classes."""

  log_sum_exp: jax.Array
  total: jax.Array  # of what is not -inf
  number: jax.Array  # of what is not -inf


def _reduce(x: jax.Array) -> _Sums:
  """Reduce the last axis, with a gradient of 0 where all of it is -inf."""
  largest, number = _peak(x)
  largest = jnp.where(jnp.isfinite(largest), largest, 0)
  mass = jnp.sum(jnp.exp(x - largest[..., None]), axis=-1)
  empty = mass == 0
  logarithm = jnp.log(jnp.where(empty, 1, mass)) + largest
  total = jnp.sum(jnp.where(x == -jnp.inf, 0, x), axis=-1)
  return _Sums(jnp.where(empty, -jnp.inf, logarithm), total, number)


def _peak(x: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Return the maximum, and the number of what is not -inf, without gradients.

  In one reduction, which XLA fuses with what makes `x`; that of a maximum alone
  would have `x` in memory.
  """
  x = jax.lax.stop_gradient(x)
  largest, number = jax.lax.reduce(
    (x, (x != -jnp.inf).astype(x.dtype)),
    (np.full((), -np.inf, x.dtype), np.zeros((), x.dtype)),
    lambda a, b: (jnp.maximum(a[0], b[0]), a[1] + b[1]),
    (x.ndim - 1,),
  )
  return largest, number


def _multiply(product: _Product, precision: jax.lax.PrecisionLike) -> jax.Array:
  z = jnp.matmul(product.features, product.weights, precision=precision)
  return z + along_classes(product.bias, z.ndim)


def _reduce_blocks(
  product: _Product,
  parameters: tuple[jax.Array, ...],
  change: Callable[..., jax.Array],
  size: int,
  precision: jax.lax.PrecisionLike,
) -> _Sums:
  """Reduce changed logits as `_reduce`, a block of classes after the other.

  Each is computed again for the gradient. `change` takes the logits of a block,
  the number of the first class, and parameters.
  """
  classes = product.weights.shape[1]
  size = min(size, classes)

  def blocks(x):
    padding = [(0, 0)] * (x.ndim - 1) + [(0, -classes % size)]
    x = jnp.pad(x, padding).reshape(*x.shape[:-1], -1, size)
    return jnp.moveaxis(x, -2, 0)

  def reduce(start, block):
    weights, bias, chosen = block
    z = _multiply(_Product(product.features, weights, bias), precision)
    inside = jnp.arange(size, dtype=start.dtype) < classes - start
    inside, *chosen = (along_classes(x, z.ndim) for x in (inside, *chosen))
    return _reduce(jnp.where(inside, change(z, start, *chosen), -jnp.inf))

  sums = jax.lax.map(
    lambda each: jax.checkpoint(reduce, prevent_cse=False)(*each),
    (
      jnp.arange(0, classes, size, dtype=jnp.int32),
      jax.tree.map(blocks, (product.weights, product.bias, parameters)),
    ),
  )
  return _Sums(
    _reduce(jnp.moveaxis(sums.log_sum_exp, 0, -1)).log_sum_exp,
    jnp.sum(sums.total, axis=0),
    jnp.sum(sums.number, axis=0),
  )


def _of_targets(
  z: jax.Array,
  targets: jax.Array,
  parameters: tuple[jax.Array, ...],
  push: Elementwise,
  pull: Elementwise | None,
  modulate: Elementwise | None,
  smoothing: jax.Array | None,
) -> jax.Array:
  """Return the losses of all classes, weighted by targets ``[..., K]``.

  A target on a class of logit -inf adds infinity, without a gradient.
  """
  pushed = push(z, *parameters)
  sums = _reduce(pushed)
  if modulate and smoothing is not None:
    # Spread over the classes that there are.
    amount = jnp.sum(targets, axis=-1, keepdims=True)
    uniform = jnp.where(pushed == -jnp.inf, 0, 1 / sums.number[..., None])
    targets = (1 - smoothing) * targets + smoothing * amount * uniform
  masked = (targets != 0) & (pushed == -jnp.inf)
  counted = (targets != 0) & ~masked
  surprise = jnp.where(counted, sums.log_sum_exp[..., None] - pushed, 1)
  pulled = pushed if pull is None else pull(z, *parameters)
  margin = jnp.where(counted, pushed - pulled, 0)
  if pull is None and modulate is None:
    losses = surprise
  else:
    # The log-odds of p = exp(-surprise), less the margin. Where p rounds to 1
    # they end, with their gradient.
    least = float(np.finfo(z.dtype).eps) ** 2
    bounded = jnp.maximum(surprise, least)
    lead = -(margin + bounded + jnp.log(-jnp.expm1(-bounded)))
    if modulate:
      losses = modulate(lead, *parameters)
    else:
      losses = jax.nn.softplus(-lead)
  infinite = masked & (losses > 0)
  if smoothing is not None and not modulate:
    infinite &= smoothing < 1
    mean = sums.total[..., None] - margin
    mean = mean / sums.number[..., None]
    losses += smoothing * (jnp.where(counted, pulled, 0) - mean)
  loss = jnp.sum(jnp.where(counted, targets * losses, 0), axis=-1)
  return loss + jnp.where(jnp.any(infinite, axis=-1), jnp.inf, 0)


def _check_targets(
  labels: ArrayLike, shape: tuple[int, ...], where: ArrayLike | None
) -> tuple[jax.Array, jax.Array, jax.Array | None]:
  """Check floating labels; those that do not count become 0."""
  targets = jnp.asarray(labels)
  if targets.shape != shape:
    raise ValueError(
      f"labels must be integers of shape {shape[:-1]} or floating of shape "
      f"{shape}, got {targets.dtype} of shape {targets.shape}"
    )
  mask = arrays.check_mask(where, shape[:-1])
  if mask is None:
    arrays.check_range("labels", labels, 0)
  targets = arrays.in_range(targets, arrays.result_dtype(targets), 0)
  if mask is not None:
    targets = jnp.where(mask[..., None], targets, 0)
  return targets, jnp.ones(shape[:-1], bool), mask


def check_block_size(
  block_size: int | None, logits: jax.Array | LinearLogits
) -> None:
  """Raise ValueError for a size that is no number of classes."""
  if block_size is None:
    return
  if not isinstance(block_size, int) or block_size < 1:
    raise ValueError(
      f"block_size must be a number of classes >= 1, got {block_size!r}"
    )
  if not isinstance(logits, LinearLogits):
    raise ValueError(
      "block_size needs logits that are not computed yet: give LinearLogits"
    )


def num_classes(logits: jax.Array | LinearLogits) -> int:
  """Return K of checked logits."""
  if isinstance(logits, LinearLogits):
    return logits.weights.shape[1]
  return logits.shape[-1]


def pick(x: jax.Array, is_label: jax.Array) -> jax.Array:
  """Return the entry of the label, ``[..., K] -> [...]``."""
  return jnp.sum(jnp.where(is_label, x, 0), axis=-1)
