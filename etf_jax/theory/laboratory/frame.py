# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Numbers of the figures about features and a fixed frame: their gradients.

Everything is computed in float64 by differentiating the package's losses.
"""

from collections.abc import Callable, Sequence
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
import numpy as np
import numpy.typing as npt

from etf_jax import losses
from etf_jax.etf import simplex_etf
from etf_jax.theory.layer_peeled import solve_layer_peeled
from etf_jax.theory.regularity import regularity_number


class PullPushFields(NamedTuple):
  """Negative gradients in the plane, lengths in units of sqrt(E_H)."""

  prototypes: np.ndarray  # [2, 3] unit columns
  feature: np.ndarray  # [2], of length 1
  label: int  # class of the feature and of every position
  feature_energy: float  # E_H, with E_W = 1
  terms: np.ndarray  # [3, 2], cross entropy at the feature, by class
  dot_regression: np.ndarray  # [2], dot regression at the feature
  positions: np.ndarray  # [P, 2], in the unit disc
  fields: tuple[np.ndarray, np.ndarray]  # [P, 2], cross entropy, regression
  error: float  # largest error of equations 12, 13, 15 against autodiff


class RegularityNumbers(NamedTuple):
  """Share of the squared distance to the optimum that one step leaves."""

  num_classes: int  # K
  angles: np.ndarray  # [T], radians between feature and prototype
  marked: np.ndarray  # those of the angles that are listed as numbers
  theory: np.ndarray  # [T], (1 + cos) / 2
  dot_regression: np.ndarray  # [T], at the best step
  cross_entropy: np.ndarray  # [T], at the best step of each angle
  best_steps: np.ndarray  # [T], of cross entropy
  dot_regression_steps: np.ndarray  # [T], best steps of dot regression
  fixed_steps: tuple[float, ...]
  fixed: np.ndarray  # [steps, T], cross entropy at the fixed steps
  error: float  # largest error at the best steps against theory
  # With definition 2's projection, `[2, T]` of dot regression and cross entropy
  # at step 1, and the angles `[2, S + 1]` along S steps of `walk_step`.
  projected: np.ndarray
  walk_step: float
  walk: np.ndarray


class Tetrahedron(NamedTuple):
  """Features on the sphere on their way to the frame of four classes."""

  prototypes: np.ndarray  # [3, 4] unit columns
  paths: np.ndarray  # [F, steps + 1, 3], under projected gradient steps
  labels: np.ndarray  # [F]
  step: float  # size of the steps
  steps: int
  class_counts: tuple[float, ...]  # of the layer-peeled model
  solved: np.ndarray  # [4, 3], optimal features of that model
  error: float  # largest distance of a solved feature from its prototype
  left: float  # largest distance of a path's end from its prototype


class Cones(NamedTuple):
  """Features of three classes in the unit disc after gradient steps."""

  prototypes: np.ndarray  # [2, 3] unit columns
  tau: float  # angular radius of the cones, radians
  labels: np.ndarray  # [F]
  step: float  # size of the projected steps
  steps: int
  collapsed: np.ndarray  # [F, 2], after steps on cross entropy
  separated: np.ndarray  # [F, 2], after steps on HingeCE
  collapsed_distance: float  # largest distance of the first from its prototype
  inside: float  # fraction of the second inside its cone
  gradient: float  # largest entry of HingeCE's gradient there


def pull_push_fields(
  *, feature_energy: float = 4.0, angle: float = 0.35, side: int = 13
) -> PullPushFields:
  """Differentiate the losses for a feature of class 3 that lies near class 1.

  The numbers of Yang et al., 2022, figure 2, and equations 12 to 15 over the
  disc.

  Args:
    feature_energy: E_H, the squared length of the feature; E_W is 1.
    angle: radians between the feature and the first prototype.
    side: positions along the disc's diameter.
  """
  label, length = 2, feature_energy**0.5
  with jax.enable_x64(True):
    prototypes = _plane_frame()
    turn = np.arctan2(prototypes[1, 0], prototypes[0, 0]) - angle
    feature = np.array([np.cos(turn), np.sin(turn)])
    x = np.linspace(-1, 1, side)
    positions = np.stack(np.meshgrid(x, x), -1).reshape(-1, 2)
    positions = positions[np.linalg.norm(positions, axis=1) < 1 + 1e-9]
    points = length * np.concatenate([feature[None], positions])
    labels = np.full(len(points), label)
    # Compiled whole: operation by operation it takes far longer to compile.
    parts = jax.jit(lambda h: losses.pull_push(h, labels, prototypes))(points)
    both = np.asarray(parts.features_pull) + np.asarray(parts.features_push)
    regression = -_gradient(_dot_regression, labels, prototypes, length)(points)
    by_autodiff = -_gradient(_cross_entropy, labels, prototypes)(points)
  odds = np.exp(points[0] @ prototypes)
  terms = (np.eye(3)[label] - odds / odds.sum())[:, None] * prototypes.T
  target = prototypes[:, label]
  error = max(
    np.abs(both - by_autodiff).max(),
    np.abs(terms.sum(0) - by_autodiff[0]).max(),
    np.abs(regression[0] - (1 - feature @ target) * target).max(),
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


def regularity_numbers(
  angles: npt.ArrayLike,
  *,
  marked: npt.ArrayLike = (),
  num_classes: int = 10,
  fixed_at: Sequence[float] = (0.5, 1.0, 1.5),
  walk_step: float = 0.1,
  walk_steps: int = 1000,
) -> RegularityNumbers:
  """Differentiate both losses for Yang et al., 2022, theorem 2.

  Features lie at the given angles from their prototype, turned towards a
  direction that no prototype has a part in: there the other classes are
  equally probable, as the theorem assumes. E_W = E_H = 1.

  Args:
    angles: `[T]` radians in (0, pi).
    marked: some of the angles.
    num_classes: K, 2 at least.
    fixed_at: angles whose best step of cross entropy is also tried as a fixed
      step at every angle.
    walk_step: size of the projected steps of the walk, from 1 radian.
    walk_steps: number of these.
  """
  tested = np.asarray(angles, np.float64)
  tried = np.concatenate([tested, fixed_at])
  with jax.enable_x64(True):
    frame = np.zeros((num_classes + 1, num_classes))
    frame[:-1] = simplex_etf(
      jax.random.key(0), num_classes, num_classes, dtype=jnp.float64
    )
    optimum = frame[:, 0]

    def place(angle: np.ndarray) -> np.ndarray:
      features = np.cos(angle)[:, None] * optimum
      features[:, -1] += np.sin(angle)
      return features

    features, labels = place(tried), np.zeros(len(tried), int)
    pulled, pushed = gradients = [
      _gradient(loss, labels, frame)(features)
      for loss in (_dot_regression, _cross_entropy)
    ]

    def numbers(gradient, step=None, radius=None):
      best = np.broadcast_to(optimum, features.shape)
      found = jax.jit(regularity_number, static_argnames="radius")(
        features, gradient, best, step, radius=radius
      )
      return np.asarray(found)[: len(tested)]

    steps = _best_steps(features, pushed, optimum)
    fixed_steps = tuple(float(step) for step in steps[len(tested) :])
    at_best = np.array([numbers(gradient) for gradient in gradients])
    walks = [
      _descend(
        functools.partial(loss, labels=labels[:1], prototypes=frame),
        place(np.ones(1)),
        walk_step,
        walk_steps,
        _into_ball,
      )[:, 0]
      for loss in (_dot_regression, _cross_entropy)
    ]
    fixed = np.array([numbers(pushed, step) for step in fixed_steps])
    projected = np.array([numbers(x, 1.0, 1.0) for x in gradients])
  theory = (1 + np.cos(tested)) / 2
  return RegularityNumbers(
    num_classes,
    tested,
    np.asarray(marked, np.float64),
    theory,
    at_best[0],
    at_best[1],
    steps[: len(tested)],
    _best_steps(features, pulled, optimum)[: len(tested)],
    fixed_steps,
    fixed,
    float(np.abs(at_best - theory).max()),
    projected,
    walk_step,
    # The last coordinate keeps the digits of angles far below rounding.
    np.array([np.arctan2(path[:, -1], path @ optimum) for path in walks]),
  )


def tetrahedron(
  class_counts: Sequence[int] = (1000, 300, 30, 3),
  *,
  per_class: int = 3,
  step: float = 0.1,
  steps: int = 300,
) -> Tetrahedron:
  """Walk to the simplex of four classes in three dimensions, and solve for it.

  The numbers of Yang et al., 2022, figure 1 and theorem 1; E_W = E_H = 1. Of
  each class some features start around its vector and walk by projected
  gradient steps on cross entropy; the layer-peeled model has `class_counts`.
  """
  with jax.enable_x64(True):
    frame = np.asarray(simplex_etf(jax.random.key(0), 3, 4, dtype=jnp.float64))
    labels = np.repeat(np.arange(4), per_class)
    noise = np.random.default_rng(3).normal(size=(len(labels), 3))
    paths = _descend(
      lambda h: _cross_entropy(h, labels, frame),
      frame.T[labels] + 0.8 * noise,
      step,
      steps,
      _onto_sphere,
    )
  solved = solve_layer_peeled(
    frame, np.array(class_counts), feature_energy=1.0
  ).features
  return Tetrahedron(
    frame,
    np.moveaxis(paths, 0, 1),
    labels,
    step,
    steps,
    tuple(class_counts),
    solved,
    float(np.linalg.norm(solved - frame.T, axis=1).max()),
    float(np.linalg.norm(paths[-1] - frame.T[labels], axis=1).max()),
  )


def cones(
  *,
  tau: float = np.pi / 6,
  per_class: int = 40,
  step: float = 0.1,
  steps: int = 1000,
) -> Cones:
  """Walk random features of three classes on cross entropy and on HingeCE.

  `tau` is the angular radius of the cones, at most 60 degrees, in radians.
  tau_minus is arccos(-1/2) - `tau`, so that the gradient vanishes inside the
  cones. After each step features are projected onto the unit disc.
  """
  with jax.enable_x64(True):
    prototypes = _plane_frame()
    labels = np.repeat(np.arange(3), per_class)
    random = np.random.default_rng(0)
    turn = random.uniform(0, 2 * np.pi, len(labels))
    radius = np.sqrt(random.uniform(0.05, 1, len(labels)))
    start = np.stack([radius * np.cos(turn), radius * np.sin(turn)], axis=1)

    def hinge(h: jax.Array) -> jax.Array:
      angles = {"tau_plus": tau, "tau_minus": np.arccos(-0.5) - tau}
      return losses.hinge_cross_entropy_with_integer_labels(
        h, labels, prototypes, **angles
      ).sum()

    collapsed, separated = (
      _descend(loss, start, step, steps, _into_ball)[-1]
      for loss in (lambda h: _cross_entropy(h, labels, prototypes), hinge)
    )
    gradient = np.asarray(jax.jit(jax.grad(hinge))(separated))
  target = prototypes.T[labels]
  cosine = (separated * target).sum(1) / np.linalg.norm(separated, axis=1)
  return Cones(
    prototypes,
    tau,
    labels,
    step,
    steps,
    collapsed,
    separated,
    float(np.linalg.norm(collapsed - target, axis=1).max()),
    float(np.mean(cosine >= np.cos(tau))),
    float(np.abs(gradient).max()),
  )


def _plane_frame() -> np.ndarray:
  """Place the frame of three classes in the plane, the third pointing up."""
  turn = np.radians([210, 330, 90])
  return np.stack([np.cos(turn), np.sin(turn)])


def _cross_entropy(
  features: jax.Array, labels: np.ndarray, prototypes: ArrayLike
) -> jax.Array:
  """Sum over the features."""
  # With cones of angle 0 HingeCE is cross entropy.
  return losses.hinge_cross_entropy_with_integer_labels(
    features, labels, prototypes, tau_plus=0.0
  ).sum()


def _dot_regression(
  features: jax.Array,
  labels: np.ndarray,
  prototypes: ArrayLike,
  length: float = 1.0,
) -> jax.Array:
  return losses.dot_regression_with_integer_labels(
    features, labels, prototypes, feature_length=length
  ).sum()


def _gradient(
  loss: Callable[..., jax.Array], *args
) -> Callable[[np.ndarray], np.ndarray]:
  gradient = jax.jit(jax.grad(lambda features: loss(features, *args)))
  return lambda features: np.asarray(gradient(features))


def _best_steps(
  features: np.ndarray, gradients: np.ndarray, optimum: np.ndarray
) -> np.ndarray:
  """Find the steps along minus the gradients that end nearest the optimum."""
  along = np.sum(gradients * (features - optimum), axis=1)
  return along / np.sum(gradients**2, axis=1)


def _descend(
  loss: Callable[[jax.Array], jax.Array],
  start: np.ndarray,
  step: float,
  steps: int,
  project: Callable[[jax.Array], jax.Array],
) -> np.ndarray:
  """Take projected gradient steps; every position, `[steps + 1, ...]`."""

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
