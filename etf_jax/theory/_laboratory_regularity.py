# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Regularity numbers of the two losses, from their gradients, in float64."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from etf_jax import losses
from etf_jax.etf import simplex_etf
from etf_jax.theory._laboratory_features import cross_entropy
from etf_jax.theory.regularity import regularity_number


class RegularityNumbers(NamedTuple):
  """How much of the squared distance to the optimum one step leaves.

  Attributes:
    num_classes: K.
    angles: `[T]` radians between feature and prototype.
    marked: those of them that are wanted as numbers too.
    theory: `[T]`, (1 + cos) / 2.
    dot_regression: `[T]`, from the loss's gradient, at the best step.
    cross_entropy: `[T]`, the same, at the best step of each angle.
    best_steps: `[T]`, those of cross entropy.
    dot_regression_steps: `[T]`, those of dot regression.
    fixed_steps: step sizes.
    fixed: `[steps, T]`, cross entropy at these.
    error: the largest difference of the two at their best steps from theory.
  """

  num_classes: int
  angles: np.ndarray
  marked: np.ndarray
  theory: np.ndarray
  dot_regression: np.ndarray
  cross_entropy: np.ndarray
  best_steps: np.ndarray
  dot_regression_steps: np.ndarray
  fixed_steps: tuple[float, ...]
  fixed: np.ndarray
  error: float


def regularity_numbers(
  angles: Sequence[float],
  *,
  marked: Sequence[float] = (),
  num_classes: int = 10,
  fixed_at: Sequence[float] = (0.5, 1.0, 1.5),
) -> RegularityNumbers:
  """Regularity numbers of dot regression and of cross entropy.

  Features lie at the given angles from their prototype, turned towards a
  direction that no prototype has a part in: there the other classes are
  equally probable, as the theorem assumes. E_W = E_H = 1.

  Args:
    angles: `[T]` radians in (0, pi).
    marked: some of them, `[marked]`.
    num_classes: K, 2 at least.
    fixed_at: angles whose best step of cross entropy is also tried as a fixed
      step at every angle.

  Returns:
    Yang et al., 2022, theorem 2, from gradients of the losses.
  """
  angles = np.asarray(angles, np.float64)
  tried = np.concatenate([angles, fixed_at])
  with jax.enable_x64(True):
    frame = np.zeros((num_classes + 1, num_classes))
    frame[:-1] = simplex_etf(
      jax.random.key(0), num_classes, num_classes, dtype=jnp.float64
    )
    optimum = frame[:, 0]
    features = np.cos(tried)[:, None] * optimum
    features[:, -1] += np.sin(tried)
    labels = np.zeros(len(tried), int)
    # Compiled whole: operation by operation it takes far longer to compile.
    pushed = np.asarray(
      jax.jit(jax.grad(lambda h: cross_entropy(h, labels, frame)))(features)
    )
    pulled = np.asarray(
      jax.jit(
        jax.grad(
          lambda h: losses.dot_regression_with_integer_labels(
            h, labels, frame
          ).sum()
        )
      )(features)
    )

    def numbers(gradients, step=None):
      best = np.broadcast_to(optimum, features.shape)
      found = jax.jit(regularity_number)(features, gradients, best, step)
      return np.asarray(found)[: len(angles)]

    steps = _best_steps(features, pushed, optimum)
    fixed_steps = tuple(float(step) for step in steps[len(angles) :])
    of_regression = numbers(pulled)
    of_cross_entropy = numbers(pushed)
    fixed = np.array([numbers(pushed, step) for step in fixed_steps])
  theory = (1 + np.cos(angles)) / 2
  return RegularityNumbers(
    num_classes,
    angles,
    np.asarray(marked, np.float64),
    theory,
    of_regression,
    of_cross_entropy,
    steps[: len(angles)],
    _best_steps(features, pulled, optimum)[: len(angles)],
    fixed_steps,
    fixed,
    float(
      max(
        np.abs(of_regression - theory).max(),
        np.abs(of_cross_entropy - theory).max(),
      )
    ),
  )


def _best_steps(features, gradients, optimum) -> np.ndarray:
  """The steps along minus the gradients that end nearest to the optimum."""
  along = np.sum(gradients * (features - optimum), axis=1)
  return along / np.sum(gradients**2, axis=1)
