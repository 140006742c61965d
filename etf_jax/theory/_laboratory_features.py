# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Numbers of the figures about features and a fixed frame: their gradients.

Everything is computed in float64 by differentiating the package's losses.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
import numpy as np

from etf_jax import losses
from etf_jax.etf import simplex_etf
from etf_jax.theory.layer_peeled import solve_layer_peeled


class PullPushFields(NamedTuple):
  """Negative gradients in the plane, lengths in units of sqrt(E_H).

  Attributes:
    prototypes: `[2, 3]` unit columns.
    feature: `[2]`, of length 1.
    label: its class, and that of every position.
    feature_energy: E_H, with E_W = 1.
    terms: `[3, 2]`, each class's part of cross entropy's at the feature.
    dot_regression: `[2]`, dot regression's at the feature.
    positions: `[P, 2]`, in the unit disc.
    fields: two `[P, 2]`, cross entropy's and dot regression's.
    error: the largest entry by which pull plus push, and for dot regression
      equation 15, differ from what differentiation gives.
  """

  prototypes: np.ndarray
  feature: np.ndarray
  label: int
  feature_energy: float
  terms: np.ndarray
  dot_regression: np.ndarray
  positions: np.ndarray
  fields: tuple[np.ndarray, np.ndarray]
  error: float


class Tetrahedron(NamedTuple):
  """Features on the sphere on their way to the frame of four classes.

  Attributes:
    prototypes: `[3, 4]` unit columns.
    paths: `[F, S, 3]`, unit features under projected gradient steps.
    labels: `[F]`.
    step: size of these.
    steps: how many, S - 1.
    class_counts: of the layer-peeled model.
    solved: `[4, 3]`, its optimal features.
    error: the largest distance of a solved feature from its prototype.
    left: the largest distance of a path's end from its prototype.
  """

  prototypes: np.ndarray
  paths: np.ndarray
  labels: np.ndarray
  step: float
  steps: int
  class_counts: tuple[float, ...]
  solved: np.ndarray
  error: float
  left: float


class Cones(NamedTuple):
  """Features of three classes in the unit disc after gradient steps.

  Attributes:
    prototypes: `[2, 3]` unit columns.
    tau: angular radius of the cones, radians.
    labels: `[F]`.
    step: size of the projected steps.
    steps: how many.
    collapsed: `[F, 2]`, after steps on cross entropy.
    separated: `[F, 2]`, after steps on HingeCE.
    collapsed_distance: the largest distance of the first from its prototype.
    inside: the fraction of the second inside its cone.
    gradient: the largest entry of HingeCE's gradient there.
  """

  prototypes: np.ndarray
  tau: float
  labels: np.ndarray
  step: float
  steps: int
  collapsed: np.ndarray
  separated: np.ndarray
  collapsed_distance: float
  inside: float
  gradient: float


def pull_push_fields(
  *, feature_energy: float = 4.0, angle: float = 0.35, side: int = 13
) -> PullPushFields:
  """Gradients of a feature of the third class that lies near the first.

  Args:
    feature_energy: E_H, the squared length of the feature; E_W is 1.
    angle: radians between the feature and the first prototype.
    side: positions along the disc's diameter.

  Returns:
    What Yang et al., 2022, figure 2 shows, and equations 12 to 15 over the
    disc.
  """
  label, length = 2, np.sqrt(feature_energy)
  with jax.enable_x64(True):
    prototypes = _plane_frame()
    turn = np.arctan2(prototypes[1, 0], prototypes[0, 0]) - angle
    feature = np.array([np.cos(turn), np.sin(turn)])
    x = np.linspace(-1, 1, side)
    positions = np.stack(np.meshgrid(x, x), -1).reshape(-1, 2)
    positions = positions[np.linalg.norm(positions, axis=1) < 1 + 1e-9]
    points = length * np.concatenate([feature[None], positions])
    labels = np.full(len(points), label)

    def dot_regression(h):
      return losses.dot_regression_with_integer_labels(
        h, labels, prototypes, feature_length=length
      ).sum()

    # Compiled whole: operation by operation it takes far longer to compile.
    parts = jax.jit(lambda h: losses.pull_push(h, labels, prototypes))(points)
    both = np.asarray(parts.features_pull) + np.asarray(parts.features_push)
    regression = -np.asarray(jax.jit(jax.grad(dot_regression))(points))
    by_autodiff = -np.asarray(
      jax.jit(jax.grad(lambda h: cross_entropy(h, labels, prototypes)))(points)
    )
    odds = np.exp(points[0] @ prototypes)
    probabilities = odds / odds.sum()
  terms = (np.eye(3)[label] - probabilities)[:, None] * prototypes.T
  own = prototypes[:, label]
  equation_15 = (1 - feature @ own) * own
  error = max(
    np.abs(both - by_autodiff).max(),
    np.abs(terms.sum(0) - by_autodiff[0]).max(),
    np.abs(regression[0] - equation_15).max(),
  )
  return PullPushFields(
    prototypes,
    feature,
    label,
    feature_energy,
    terms,
    regression[0],
    positions,
    (both[1:], regression[1:]),
    float(error),
  )


def tetrahedron(
  class_counts: Sequence[int] = (1000, 300, 30, 3),
  *,
  per_class: int = 3,
  step: float = 0.1,
  steps: int = 300,
) -> Tetrahedron:
  """The simplex of four classes in three dimensions, and ways to it.

  Args:
    class_counts: `[4]`, of the layer-peeled model that is solved.
    per_class: features that walk, of each class, from random starts around
      its vector.
    step: size of their projected gradient steps on cross entropy.
    steps: how many.

  Returns:
    Yang et al., 2022, figure 1 and theorem 1; E_W = E_H = 1.
  """
  with jax.enable_x64(True):
    prototypes = simplex_etf(jax.random.key(0), 3, 4, dtype=jnp.float64)
    labels = np.repeat(np.arange(4), per_class)
    noise = np.random.default_rng(3).normal(size=(len(labels), 3))
    start = np.asarray(prototypes).T[labels] + 0.8 * noise
    paths = _descend(
      lambda h: cross_entropy(h, labels, prototypes),
      start,
      step,
      steps,
      _onto_sphere,
    )
    solved = np.asarray(
      solve_layer_peeled(prototypes, class_counts, feature_energy=1.0).features
    )
    frame = np.asarray(prototypes)
  away = np.linalg.norm(paths[-1] - frame.T[labels], axis=1)
  error = np.linalg.norm(solved - frame.T, axis=1)
  return Tetrahedron(
    frame,
    np.moveaxis(paths, 0, 1),
    labels,
    step,
    steps,
    tuple(class_counts),
    solved,
    float(error.max()),
    float(away.max()),
  )


def cones(
  *,
  tau: float = np.pi / 6,
  per_class: int = 40,
  step: float = 0.1,
  steps: int = 1000,
) -> Cones:
  """Random features of three classes under cross entropy and under HingeCE.

  Args:
    tau: angular radius of the cones, radians, at most 60 degrees.
    per_class: features of each class.
    step: size of the gradient steps, each followed by a projection onto the
      unit disc.
    steps: how many.

  Returns:
    Where they end; tau_minus is arccos(-1/2) - `tau`, so that the gradient
    vanishes inside the cones.
  """
  with jax.enable_x64(True):
    prototypes = _plane_frame()
    labels = np.repeat(np.arange(3), per_class)
    random = np.random.default_rng(0)
    turn = random.uniform(0, 2 * np.pi, len(labels))
    radius = np.sqrt(random.uniform(0.05, 1, len(labels)))
    start = np.stack([radius * np.cos(turn), radius * np.sin(turn)], axis=1)

    def hinge(h):
      return losses.hinge_cross_entropy_with_integer_labels(
        h,
        labels,
        prototypes,
        tau_plus=tau,
        tau_minus=np.arccos(-0.5) - tau,
      ).sum()

    collapsed = _descend(
      lambda h: cross_entropy(h, labels, prototypes),
      start,
      step,
      steps,
      _into_ball,
    )[-1]
    separated = _descend(hinge, start, step, steps, _into_ball)[-1]
    gradient = np.asarray(jax.jit(jax.grad(hinge))(separated))
  own = prototypes.T[labels]
  cosine = (separated * own).sum(1) / np.linalg.norm(separated, axis=1)
  return Cones(
    prototypes,
    tau,
    labels,
    step,
    steps,
    collapsed,
    separated,
    float(np.linalg.norm(collapsed - own, axis=1).max()),
    float(np.mean(cosine >= np.cos(tau))),
    float(np.abs(gradient).max()),
  )


def _plane_frame() -> np.ndarray:
  """The frame of three classes in the plane, the third pointing up."""
  turn = np.radians([210, 330, 90])
  return np.stack([np.cos(turn), np.sin(turn)])


def cross_entropy(
  features: jax.Array, labels: np.ndarray, prototypes: ArrayLike
) -> jax.Array:
  """Summed over the features."""
  # With cones of angle 0 HingeCE is cross entropy.
  return losses.hinge_cross_entropy_with_integer_labels(
    features, labels, prototypes, tau_plus=0.0
  ).sum()


def _descend(
  loss: Callable[[jax.Array], jax.Array],
  start: np.ndarray,
  step: float,
  steps: int,
  project: Callable[[jax.Array], jax.Array],
) -> np.ndarray:
  """Projected gradient steps; every position, `[steps + 1, ...]`."""

  def move(features, _):
    return project(features - step * jax.grad(loss)(features)), features

  @jax.jit
  def walk(start):
    return jax.lax.scan(move, project(start), None, length=steps + 1)[1]

  return np.asarray(walk(start))


def _onto_sphere(features: jax.Array) -> jax.Array:
  return features / jnp.linalg.norm(features, axis=-1, keepdims=True)


def _into_ball(features: jax.Array) -> jax.Array:
  length = jnp.linalg.norm(features, axis=-1, keepdims=True)
  return features / jnp.maximum(length, 1)
