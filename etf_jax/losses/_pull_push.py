# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The gradient of cross entropy in two parts, pull and push.

In use::

    parts = losses.pull_push(features, labels, weights)
    share = jnp.linalg.norm(parts.classifier_pull, axis=0)
"""

import functools
from typing import NamedTuple

import jax
from jax import export
import jax.numpy as jnp
from jax.typing import ArrayLike

from etf_jax import arrays


class PullPush(NamedTuple):
  """The parts of the negative gradient of the summed cross entropy.

  Attributes:
    classifier_pull: ``[feature_dim, num_classes]``, towards the own features.
    classifier_push: ``[feature_dim, num_classes]``, away from the others'.
    features_pull: ``[batch, feature_dim]``, towards the own prototype.
    features_push: ``[batch, feature_dim]``, away from the other prototypes.
  """

  classifier_pull: jax.Array
  classifier_push: jax.Array
  features_pull: jax.Array
  features_push: jax.Array


export.register_namedtuple_serialization(
  PullPush, serialized_name="etf_jax.losses.PullPush"
)


def pull_push(
  features: ArrayLike,
  labels: ArrayLike,
  weights: ArrayLike,
  *,
  precision: jax.lax.PrecisionLike = jax.lax.Precision.HIGHEST,
) -> PullPush:
  r"""Split the negative gradient of cross entropy into pull and push.

  With :math:`p_k(h)` the softmax of :math:`W^\top h`,

  .. math::
    F^w_{\mathrm{pull},k} = \sum_{y_i = k} (1 - p_k(h_i)) \, h_i , \qquad
    F^w_{\mathrm{push},k} = -\sum_{y_i \ne k} p_k(h_i) \, h_i

  .. math::
    F^h_{\mathrm{pull}} = (1 - p_y(h)) \, w_y , \qquad
    F^h_{\mathrm{push}} = -\sum_{k \ne y} p_k(h) \, w_k

  The classifier's parts are sums over the batch, the features' parts one per
  example. Pull and push add up to minus the gradient of the summed loss.

  Args:
    features: floating ``[batch, feature_dim]``.
    labels: integers ``[batch]`` in ``[0, num_classes)``.
    weights: floating ``[feature_dim, num_classes]``, a column per class.
    precision: of all matrix products.

  Returns:
    A `PullPush`; float64 if an input is, else float32. Under ``jit`` an
    out-of-range label makes the classifier's parts and the example's NaN.

  Raises:
    ValueError: if shapes do not match or, outside ``jit``, a label is out of
      range.

  Examples:
    >>> import jax.numpy as jnp
    >>> from etf_jax import losses
    >>> h, y = jnp.zeros((1, 2)), jnp.array([0])
    >>> parts = losses.pull_push(h, y, jnp.array([[1.0, -1.0], [1.0, -1.0]]))
    >>> print(parts.features_pull, parts.features_push)
    [[0.5 0.5]] [[0.5 0.5]]

  References:
    Yang et al., `Inducing Neural Collapse in Imbalanced Learning
    <https://arxiv.org/abs/2203.09081>`_, 2022, equations 10 to 13
  """
  features, weights = arrays.check_vectors(features, weights, "weights")
  if features.ndim != 2:
    raise ValueError(
      f"features must have shape [batch, feature_dim], got {features.shape}"
    )
  labels, valid, _ = arrays.check_labels(
    labels, weights.shape[1], features.shape[:1], None
  )
  dtype = arrays.result_dtype(features, weights)
  features, weights = features.astype(dtype), weights.astype(dtype)
  matmul = functools.partial(jnp.matmul, precision=precision)
  logits = matmul(features, weights)
  is_label = arrays.label_mask(labels, logits)
  others = jnp.where(is_label, 0, jax.nn.softmax(logits))
  others = arrays.finish(others, valid[:, None], None)
  # The sum of the others' probabilities keeps the digits that 1 - p loses.
  missing = jnp.where(is_label, jnp.sum(others, axis=-1, keepdims=True), 0)

  def over_batch(coefficients):
    return jnp.einsum(
      "bd,bk->dk",
      features,
      coefficients,
      precision=precision,
      out_sharding=arrays.replicated(coefficients),
    )

  return PullPush(
    classifier_pull=over_batch(missing),
    classifier_push=-over_batch(others),
    features_pull=matmul(missing, weights.T),
    features_push=-matmul(others, weights.T),
  )
