# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
r"""The unconstrained-feature model with cross-entropy on imbalanced classes.

    from etf_jax.theory import unconstrained_features

    solution = unconstrained_features.solve_unconstrained_features(
      [500] * 5 + [100] * 5, lambda_z=0.0034, lambda_b=0.02)
    solution.classifier_cosines  # Of the minority: NaN or 1 where it collapsed.

A network that can place its last-layer features anywhere trains features
:math:`H` (a column for each of :math:`N` samples), a classifier :math:`W` and
a bias :math:`b`:

.. math::
  \min_{W, H, b} \frac{1}{N} \sum_{k, i} \mathrm{CE}(W^\top h_{ki} + b, k)
  + \frac{\lambda_W}{2} |W|_F^2 + \frac{\lambda_H}{2} |H|_F^2
  + \frac{\lambda_b}{2} |b|^2 .

The least penalty among all :math:`W^\top H = X` is
:math:`\sqrt{\lambda_W \lambda_H} |X|_*`, and averaging the columns of a class
raises neither term, so with at least :math:`K - 1` feature dimensions this is
the convex program over the mean logits :math:`Z` (a column for each class)

.. math::
  \min_{Z, b} \sum_k \frac{n_k}{N} \mathrm{CE}(Z_k + b, k)
  + \lambda_Z |Z D^{1/2}|_* + \frac{\lambda_b}{2} |b|^2 ,
  \qquad D = \mathrm{diag}(n), \quad \lambda_Z = \sqrt{\lambda_W \lambda_H} .

Reduction. Classes of equal count can be exchanged, so the optimum has blocks
:math:`Z_{ij} = a_j \delta_{ij} I + c_{ij} J`. With :math:`K_j` classes in
cluster :math:`j` the spectrum of :math:`Z D^{1/2}` is then
:math:`\sqrt{n_j} a_j`, :math:`K_j - 1` times, and that of the `[m, m]` matrix
:math:`\sqrt{n_j} (a_j \delta_{ij} + c_{ij} \sqrt{K_i K_j})`. What is solved has
as many rows as there are different counts, not classes.

Solver. Accelerated proximal gradient comes near; then Newton's method on the
equation "a proximal gradient step changes nothing", whose linear systems
conjugate gradients solve, converges quadratically. A dual feasible point bounds
the error of each iterate and decides which of the two goes on. None of the
solvers at hand does this: optax and SciPy minimize smooth functions,
optimistix has no proximal methods, jaxopt is no longer developed and stops at
proximal gradient, which takes 10 to 100 times as long here; cvxpy is right but
slow from about 20 classes on (the tests compare with it).
"""

from collections.abc import Callable
import dataclasses

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
import numpy as np

from etf_jax import arrays
from etf_jax.theory import _unconstrained_solver as solver


@dataclasses.dataclass(frozen=True)
class UnconstrainedFeatures:
  r"""The optimum of the unconstrained-feature model; NumPy float64.

  Attributes:
    logits: `[K, K]`; column k holds the mean logits of class k without the
      bias. Columns sum to 0.
    bias: `[K]`, sum 0; zeros where the model has none.
    objective: the value of the program, in nats.
    gap: a bound on how far `objective` lies above the minimum, from a dual
      feasible point.
    classifier_cosines: `[K, K]` between the classifier vectors of two classes;
      NaN where one of them is zero (at most 1e-6 of the longest).
    feature_cosines: `[K, K]` between the mean features of two classes, as
      above.
    classifier_norms: `[K]` lengths of the classifier vectors for
      :math:`\lambda_W = \lambda_H`; in general times
      :math:`(\lambda_H / \lambda_W)^{1/4}`.
    feature_norms: `[K]` lengths of the mean features for
      :math:`\lambda_W = \lambda_H`; in general times
      :math:`(\lambda_W / \lambda_H)^{1/4}`.
  """

  logits: np.ndarray
  bias: np.ndarray
  objective: float
  gap: float
  classifier_cosines: np.ndarray
  feature_cosines: np.ndarray
  classifier_norms: np.ndarray
  feature_norms: np.ndarray


def solve_unconstrained_features(
  class_counts: ArrayLike,
  lambda_z: float,
  lambda_b: float | None = None,
  *,
  start: UnconstrainedFeatures | None = None,
  progress: Callable[[int, float], object] | None = None,
) -> UnconstrainedFeatures:
  r"""Solve the unconstrained-feature model with cross-entropy.

  For the program above the classifier has Gram matrix
  :math:`W^\top W \propto (Z D Z^\top)^{1/2}` and the mean features of the
  classes :math:`D^{-1/2} (D^{1/2} Z^\top Z D^{1/2})^{1/2} D^{-1/2}`. Only
  :math:`n_k / N` and :math:`\lambda_Z \sqrt N` matter.

  Runs in float64 on the CPU whatever JAX's settings. The time is that of a few
  hundred products of square matrices with as many rows as there are different
  counts, and of about a hundred singular value decompositions: seconds for 100
  different counts, minutes for several hundred, below 0.1 s for two. Compiling
  takes another 5 s for each number of different counts.

  Where :math:`\lambda_Z \sqrt N` is below about 1e-4, Newton's method may not
  start and the limit of iterations is reached. With two different counts
  `solve_two_clusters` has no such limit.

  Args:
    class_counts: `[K]` > 0, samples per class, integer or floating; K >= 2.
    lambda_z: :math:`\sqrt{\lambda_W \lambda_H}` > 0.
    lambda_b: > 0, or None for a model without bias. (The published code leaves
      out the factors 1/2: its .01 is .02 here.)
    start: an earlier solution of as many classes, to start from. It saves time
      in sweeps and does not change the result beyond `gap`.
    progress: called after each round of the solver with its number and the
      certified relative error, which ends at 1e-10.

  Returns:
    The optimum; `gap` is at most 1e-10 of `objective`.

  Raises:
    ValueError: if an argument is out of its range.
    RuntimeError: if the iteration limit is reached first; names the gap.

  Examples:
    >>> from etf_jax.theory import unconstrained_features
    >>> solution = unconstrained_features.solve_unconstrained_features(
    ...   [20, 20, 5, 5, 5], lambda_z=0.02
    ... )
    >>> print(f"{solution.objective:.8f}")
    0.89855954

  References:
    Hong and Ling, `Neural Collapse for Unconstrained Feature Model under
    Cross-entropy Loss with Imbalanced Data
    <https://arxiv.org/abs/2309.09725>`_, 2023
  """
  with jax.enable_x64(True):  # Or the check would look at rounded counts.
    arrays.check_counts(class_counts)
  counts = np.asarray(class_counts, np.float64)
  if counts.size < 2:
    raise ValueError("class_counts must name at least two classes, got 1")
  arrays.check_positive("lambda_z", lambda_z)
  if lambda_b is not None:
    arrays.check_positive("lambda_b", lambda_b)
  if start is not None and start.logits.shape != (counts.size, counts.size):
    raise ValueError(
      f"start must be a solution of {counts.size} classes, got one of "
      f"{start.logits.shape[0]}"
    )
  distinct, cluster, sizes = np.unique(
    counts, return_inverse=True, return_counts=True
  )
  total = counts.sum()
  # Small matrices in float64: the host is faster than any accelerator.
  cpu = jax.local_devices(backend="cpu")[0]
  with jax.enable_x64(True), jax.default_device(cpu):
    program = solver.Program(
      sizes=jnp.asarray(sizes, jnp.float64),
      shares=jnp.asarray(distinct / total),
      spectral=jnp.asarray(lambda_z * np.sqrt(total), jnp.float64),
      ridge=jnp.asarray(1.0 if lambda_b is None else lambda_b, jnp.float64),
      has_bias=jnp.asarray(lambda_b is not None, jnp.float64),
    )
    point = solver.starting_point(program, cluster, start)
    state = solver.solve(jnp.asarray(point), program, progress)
    solved, objective, gap = state[0], float(state[1]), float(state[2])
    scale, bias, shift = (np.asarray(x) for x in solver.blocks(solved, program))
  if not gap <= solver.TOLERANCE * objective:
    raise RuntimeError(
      "the unconstrained-feature model did not converge: after "
      f"{solver.MAX_ROUNDS} rounds the objective {objective:.9g} is only known "
      f"to {gap:.3g}; try a start from a solution at a larger lambda_z"
    )
  return UnconstrainedFeatures(
    logits=np.diag(scale[cluster]) + shift[np.ix_(cluster, cluster)],
    bias=bias[cluster],
    objective=objective,
    gap=gap,
    **solver.geometry(scale, shift, distinct, sizes, cluster),
  )


def collapsed_classes(
  solution: UnconstrainedFeatures, *, cosine: float = 0.99
) -> np.ndarray:
  """Find the classes that the classifier does not tell from another.

  Args:
    solution: an optimum with K classes.
    cosine: in [-1, 1], what a cosine between two classifier vectors must exceed
      for both to count as collapsed.

  Returns:
    Boolean `[K]`: the classifier vector is zero, or its largest cosine to that
    of another class exceeds `cosine`.

  Raises:
    ValueError: if `cosine` is out of its range.

  Examples:
    >>> from etf_jax.theory import unconstrained_features
    >>> solution = unconstrained_features.solve_unconstrained_features(
    ...   [20, 20, 5, 5, 5], lambda_z=0.05
    ... )
    >>> print(unconstrained_features.collapsed_classes(solution))
    [False False  True  True  True]
  """
  arrays.check_range("cosine", cosine, -1, 1)
  cosines = solution.classifier_cosines.copy()
  zero = np.isnan(np.diag(cosines))
  np.fill_diagonal(cosines, -np.inf)
  return zero | (np.where(np.isnan(cosines), -1, cosines).max(1) > cosine)
