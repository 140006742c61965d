# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The logits of a model for each image, and the angle to the nearest vector.

score = scoring.create(model, inputs)
logits, angles = jax.jit(score)(variables, images, sizes)
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Scores(NamedTuple):
  """One row an image.

  Attributes:
    logits: floats `[B, K]`.
    angles: floats `[B]`, radians in [0, pi], see `nearest_angles`.
  """

  logits: jax.Array
  angles: jax.Array


def create(
  model, inputs: Callable[..., jax.Array]
) -> Callable[[dict, jax.Array, jax.Array | None], Scores]:
  """Build `score(variables, images, sizes)`, to be jitted.

  Args:
    model: a linen module that returns an `Output`.
    inputs: (uint8 images, their sizes or None) to what the model takes.
  """

  def score(variables, images, sizes):
    output = model.apply(variables, inputs(images, sizes), train=False)
    angles = nearest_angles(output.features, output.weights)
    return Scores(output.logits, angles)

  return score


def nearest_vectors(
  features: jax.Array, weights: jax.Array, number: int
) -> tuple[jax.Array, jax.Array]:
  """Return the classifier vectors at the smallest angles to each feature.

  Args:
    features: floats `[B, d]`.
    weights: floats `[d, K]`, a column per class.
    number: of vectors, at most K.

  Returns:
    int32 `[B, number]`, their columns, the nearest first; and `[B, number]`
    radians, see `nearest_angles`.
  """
  features, columns = _unit(features), _unit(weights.T)
  cosines = jnp.matmul(features, columns.T, precision=jax.lax.Precision.HIGHEST)
  nearest = jax.lax.top_k(cosines, number)[1]
  return nearest, _angles(features[:, None], columns[nearest])


def nearest_angles(features: jax.Array, weights: jax.Array) -> jax.Array:
  r"""Return the angle between each feature and the nearest classifier vector.

  .. math:: \min_k \angle(h, w_k) = 2\,\mathrm{atan2}(|u - v|, |u + v|)

  with u, v the unit vectors of the two, which is exact for small angles, where
  the arc cosine is not (Kahan 2006, How futile are mindless assessments of
  roundoff, section 12).

  Args:
    features: floats `[B, d]`.
    weights: floats `[d, K]`, a column per class.

  Returns:
    `[B]` radians in [0, pi]; pi / 2 for a feature of length zero.
  """
  features, columns = _unit(features), _unit(weights.T)
  cosines = jnp.matmul(features, columns.T, precision=jax.lax.Precision.HIGHEST)
  return _angles(features, columns[jnp.argmax(cosines, axis=-1)])


def _angles(rows: jax.Array, others: jax.Array) -> jax.Array:
  return 2 * jnp.arctan2(
    jnp.linalg.norm(rows - others, axis=-1),
    jnp.linalg.norm(rows + others, axis=-1),
  )


def _unit(rows: jax.Array) -> jax.Array:
  lengths = jnp.linalg.norm(rows, axis=-1, keepdims=True)
  return jnp.where(lengths > 0, rows / jnp.where(lengths > 0, lengths, 1), 0)
