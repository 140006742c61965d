# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Classifier heads: a fixed simplex ETF, a learned or frozen layer, cosines.

Each maps a backbone's features to an `Output`. All share the steps before the
classifier: an optional linear projector, BatchNorm, and scaling to
unit length. What is fixed lives in the collection `etf`, where no optimizer
and no weight decay can reach it.

  head = ETFHead(num_classes=10)
  variables = head.init(jax.random.key(0), features)
  output = head.apply(variables, features)
  per_example = losses.dot_regression_with_integer_labels(
    output.features, labels, output.weights)
"""

from collections.abc import Callable
from typing import NamedTuple

from flax import linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
import numpy as np

from etf_jax import etf
from etf_jax.errors import InputError
from etf_jax.models.resnet_cifar import BatchNorm


def _softmax_code(
  key: jax.Array, feature_dim: int, num_classes: int, *, dtype: DTypeLike
) -> jax.Array:
  codes, _ = etf.softmax_code(key, feature_dim, num_classes)
  return codes.astype(dtype)


# Frames by their names in configs. Simplexes: every rotation alike, by fast
# transforms, or as in the code that Yang et al. (2022) published. For more
# classes than a simplex has room for: the codes and random columns.
FRAMES: dict[str, Callable[..., jax.Array]] = {
  "haar": etf.simplex_etf,
  "structured": etf.structured_etf,
  "uniform_qr": etf.uniform_qr_etf,
  "softmax_code": _softmax_code,
  "random": etf.random_frame,
}


class Output(NamedTuple):
  """The output of a model for a batch.

  The logits are computed where they are asked for, so that a loss which needs
  none, as dot regression, never holds them.

  Attributes:
    features: `[..., d]`, as the classifier sees them.
    weights: `[d, K]`, a column per class.
    bias: `[K]`, or None.
  """

  features: jax.Array
  weights: jax.Array
  bias: jax.Array | None = None

  @property
  def logits(self) -> jax.Array:
    """`[..., K]`: features times weights, plus the bias."""
    # Accelerators multiply float32 in lower precision unless told otherwise.
    logits = jnp.matmul(
      self.features, self.weights, precision=jax.lax.Precision.HIGHEST
    )
    if self.bias is None:
      return logits
    return logits + jnp.expand_dims(self.bias, range(logits.ndim - 1))


class ETFHead(nn.Module):
  """A classifier fixed as a random simplex ETF (Yang et al. 2022, section 4.1).

  The frame is drawn when the head is initialized, and is the same to the bit
  inside ``jit``. `jax.eval_shape` and `tabulate` draw nothing.

  Spare prototypes are the last ones of the frame. They have no class yet, so
  they are no part of the output: no loss pulls or pushes towards them, and no
  softmax or prediction counts them. The frame depends on its whole size alone,
  so classes that take them later leave the prototypes of the others as they
  are, to the bit.

  Attributes:
    num_classes: prototypes of the frame, >= 2, spare ones included.
    batch_norm: normalize the features by the batch, with a learned affine map.
    l2_normalize: scale the features to length 1.
    projector: width of a linear layer after the backbone, whose output, unlike
      a ReLU's, can be negative; -1: as wide as its input; None or 0: no layer.
    spare: prototypes that are spare; the output has the num_classes - spare
      others.
    frame: how it is drawn, a name of `FRAMES`.
    length: sqrt(E_W) > 0, the length of the prototypes in the output. The
      frame itself stays of unit columns.
    learn_length: make the logarithm of the length a parameter, `log_length`,
      which begins with `length`.
  """

  num_classes: int
  batch_norm: bool = True
  l2_normalize: bool = True
  projector: int | None = None
  spare: int = 0
  frame: str = "haar"
  length: float = 1.0
  learn_length: bool = False

  def __post_init__(self):
    check_sizes(self.num_classes, self.projector)
    check_frame(self.num_classes, self.spare, self.frame, self.length)
    super().__post_init__()

  @nn.compact
  def __call__(
    self,
    features: jax.Array,
    *,
    train: bool = False,
    mask: jax.Array | None = None,
  ) -> Output:
    """Map `[..., d]` features to logits against the fixed frame.

    Args:
      features: `[..., d]` floats; computed in at least float32.
      train: use the batch's statistics, and update the running ones.
      mask: `[...]` booleans; False keeps an example out of the statistics.
    """
    features = _prepare(features, self, train, mask)
    prototypes = self.variable(
      "etf",
      "prototypes",
      lambda: FRAMES[self.frame](
        self.make_rng("params"),
        features.shape[-1],
        self.num_classes,
        dtype=features.dtype,
      ),
    ).value
    prototypes = prototypes[:, : self.num_classes - self.spare]
    length: jax.Array | float = self.length
    if self.learn_length:
      start = nn.initializers.constant(np.log(self.length))
      length = jnp.exp(self.param("log_length", start, (), features.dtype))
    return Output(features, length * prototypes)


class LinearHead(nn.Module):
  """A linear classifier with a bias, learned or (as a baseline) frozen.

  Attributes:
    num_classes: K >= 2.
    batch_norm: see `ETFHead`.
    l2_normalize: see `ETFHead`.
    projector: see `ETFHead`.
    frozen: keep the initial weights, in the collection `etf`. That is what the
      published code of Yang et al. does to its "learnable" ResNet baseline.
  """

  num_classes: int
  batch_norm: bool = False
  l2_normalize: bool = False
  projector: int | None = None
  frozen: bool = False

  def __post_init__(self):
    check_sizes(self.num_classes, self.projector)
    super().__post_init__()

  @nn.compact
  def __call__(
    self,
    features: jax.Array,
    *,
    train: bool = False,
    mask: jax.Array | None = None,
  ) -> Output:
    """Map `[..., d]` features to logits; arguments as `ETFHead`'s."""
    features = _prepare(features, self, train, mask)
    width, dtype = features.shape[-1], features.dtype

    def weights(name, init, shape):
      if not self.frozen:
        return self.param(name, init, shape, dtype)
      return self.variable(
        "etf", name, lambda: init(self.make_rng("params"), shape, dtype)
      ).value

    kernel = weights("kernel", _KAIMING_NORMAL, (width, self.num_classes))
    bias = weights("bias", _uniform(width**-0.5), (self.num_classes,))
    return Output(features, kernel, bias)


class CosineHead(nn.Module):
  """Cosines between features and learned columns (Cao et al. 2019, LDAM).

  No bias; whoever takes the logits scales them. The columns are normalized
  where they are used: the parameter may have any length.

  Attributes:
    num_classes: K >= 2.
    batch_norm: see `ETFHead`.
    l2_normalize: see `ETFHead`; False leaves the features' lengths in the
      logits.
    projector: see `ETFHead`.
  """

  num_classes: int
  batch_norm: bool = False
  l2_normalize: bool = True
  projector: int | None = None

  def __post_init__(self):
    check_sizes(self.num_classes, self.projector)
    super().__post_init__()

  @nn.compact
  def __call__(
    self,
    features: jax.Array,
    *,
    train: bool = False,
    mask: jax.Array | None = None,
  ) -> Output:
    """Map `[..., d]` features to logits; arguments as `ETFHead`'s."""
    features = _prepare(features, self, train, mask)
    shape = (features.shape[-1], self.num_classes)
    kernel = self.param("kernel", _unit_columns, shape, features.dtype)
    return Output(features, unit_length(kernel.T).T)


_KAIMING_NORMAL = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


def check_sizes(num_classes: int, projector: int | None) -> None:
  """Raise InputError for sizes that no head can have."""
  if num_classes < 2:
    raise InputError(
      f"num_classes={num_classes}: too few; a classifier needs 2 or more"
    )
  if projector is not None and projector < -1:
    raise InputError(
      f"projector={projector}: no width; give a number of features, -1 for"
      " as many as the input has, or None for no projector"
    )


def check_frame(
  num_classes: int, spare: int, frame: str, length: float
) -> None:
  """Raise InputError for fields of a frame that are out of their range."""
  if not 0 <= spare < num_classes:
    raise InputError(
      f"spare={spare}: of {num_classes} prototypes at least one must have a"
      " class; give a number from 0 to num_classes - 1"
    )
  if frame not in FRAMES:
    raise InputError(
      f"frame={frame!r}: unknown; use one of {', '.join(FRAMES)}"
    )
  if not 0 < length < np.inf:
    raise InputError(
      f"length={length}: no length of prototypes; give a finite number > 0"
    )


def _unit_columns(key, shape, dtype):
  """Draw columns evenly from the unit sphere."""
  return unit_length(jax.random.normal(key, shape[::-1], dtype)).T


def _uniform(limit: float):
  """Return PyTorch's initializer for the bias of a linear layer."""
  return lambda key, shape, dtype: jax.random.uniform(
    key, shape, dtype, -limit, limit
  )


def _prepare(features, head, train, mask):
  """Apply the steps before a classifier, in at least float32."""
  features = features.astype(np.promote_types(features.dtype, np.float32))
  dtype = {"dtype": features.dtype, "param_dtype": features.dtype}
  if head.projector:
    width = projected_width(head.projector, features.shape[-1])
    features = nn.Dense(width, name="projector", **dtype)(features)
  if head.batch_norm:
    features = BatchNorm(use_running_average=not train, name="norm", **dtype)(
      features, mask=None if mask is None else mask[..., None]
    )
  if head.l2_normalize:
    features = unit_length(features)
  return features


def projected_width(projector: int | None, feature_dim: int) -> int:
  """Return the width that a classifier sees; `projector` as `ETFHead`'s."""
  return feature_dim if projector in (None, 0, -1) else projector


def unit_length(features: jax.Array, epsilon: float = 1e-8) -> jax.Array:
  """Scale the last axis to length 1; shorter than epsilon gives zeros.

  The gradient there is zero as well: one example alone in a batch leaves
  BatchNorm as zeros, and 1/epsilon times its gradient would end the training.
  """
  squared = jnp.sum(features**2, axis=-1, keepdims=True)
  long_enough = squared > epsilon**2
  inverse = jax.lax.rsqrt(jnp.where(long_enough, squared, 1))
  return features * jnp.where(long_enough, inverse, 0)
