# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The solver of `unconstrained_features`: coordinates and iterations."""

from collections.abc import Callable
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

# The certified error of the objective, relative to the objective.
TOLERANCE = 1e-10
MAX_ROUNDS = 300
# Newton's method is tried below this relative gap.
_NEAR = 0.1
# A Newton step is taken that lowers the objective by this part of the gap.
_GAIN = 1e-3
_GRADIENT_STEPS = 30
_CG_STEPS = 500

# Relative to the longest, a vector not longer than this counts as zero.
_ZERO_LENGTH = 1e-6


class Program(NamedTuple):
  """m clusters of classes of equal count.

  The unknowns are the orthonormal coordinates of :math:`(Z D^{1/2} / sqrt(N),
  b)` in the blocks that are possible, flat: a multiple of the identity per
  cluster `[m]`, the bias `[m]`, the means of blocks `[m, m]`. In them the
  gradient of the cross-entropy has Lipschitz constant 1/2, and 1 with a bias.
  """

  sizes: jax.Array  # [m] classes per cluster
  shares: jax.Array  # [m] n_j / N, of each class
  spectral: jax.Array  # lambda_Z sqrt(N)
  ridge: jax.Array  # lambda_b; any positive number without a bias
  has_bias: jax.Array  # 1 or 0

  @property
  def others(self) -> jax.Array:
    """`[m]` how often a cluster's multiple of the identity is a spectrum's."""
    return self.sizes - 1

  @property
  def step(self) -> jax.Array:
    """A little less than one over the Lipschitz constant."""
    return 0.95 * (2 - self.has_bias)


def starting_point(program, cluster, start) -> np.ndarray:
  """Coordinates of an earlier solution, or of the best balanced one.

  That is the best a (I - J/K); its penalty is proportional to a.
  """
  sizes, shares = program.sizes, program.shares
  size = sizes.size
  if start is None:
    unit = np.sqrt(sizes / sizes.sum())
    means = (np.eye(size) - np.outer(unit, unit)) * np.sqrt(shares)
    identity = np.sqrt(program.others * shares)
    norm = np.linalg.svd(means, compute_uv=False).sum()
    error = program.spectral * (norm + identity @ np.sqrt(program.others))
    scale = np.log(max((sizes.sum() - 1) * (1 / error - 1), 1))
    return scale * np.concatenate([identity, np.zeros(size), means.ravel()])
  member = np.eye(size)[cluster] / np.sqrt(sizes)
  means = member.T @ start.logits @ member
  within = np.bincount(cluster, np.diag(start.logits)) - np.diag(means)
  identity = within * np.sqrt(shares / np.maximum(program.others, 1))
  bias = member.T @ start.bias * program.has_bias
  return np.concatenate([identity, bias, (means * np.sqrt(shares)).ravel()])


def _split(x: jax.Array, size: int) -> tuple[jax.Array, jax.Array, jax.Array]:
  identity, bias, means = jnp.split(x, [size, 2 * size])
  return identity, bias, means.reshape(size, size)


def _join(identity, bias, means) -> jax.Array:
  return jnp.concatenate([identity, bias, means.reshape(-1)])


def blocks(x: jax.Array, program: Program):
  """Return a `[m]`, the bias `[m]` and c `[m, m]` of the logits."""
  sizes, shares = program.sizes, program.shares
  identity, bias, means = _split(x, sizes.size)
  scale = identity / jnp.sqrt(shares * jnp.maximum(program.others, 1))
  scale = jnp.where(program.others > 0, scale, 0)
  root = jnp.sqrt(sizes)
  shift = means / jnp.sqrt(shares)[None, :] - jnp.diag(scale)
  shift = shift / (root[:, None] * root[None, :])
  return scale, program.has_bias * bias / root, shift


def _errors(x: jax.Array, program: Program):
  """Evaluate what a column of each cluster says about the other classes.

  Returns:
    Its logit for one other class of each cluster `[m, m]`; how many there are;
    the log-odds `[m]` of all of them together against the own class. Kept apart
    from the own logit so that small errors keep their digits.
  """
  scale, bias, shift = blocks(x, program)
  logits = shift + bias[:, None]
  size = program.sizes.size
  number = program.sizes[:, None] - jnp.eye(size)
  other = jax.nn.logsumexp(logits + jnp.log(number), axis=0)
  return logits, number, other - (scale + jnp.diag(logits)), other


def _cross_entropy(x: jax.Array, program: Program) -> jax.Array:
  odds = _errors(x, program)[2]
  weights = program.sizes * program.shares
  return jnp.vdot(weights, jnp.logaddexp(0.0, odds))


_gradient = jax.grad(_cross_entropy)


class _Prox(NamedTuple):
  """A proximal step and what its derivative is made of."""

  point: jax.Array
  kept: jax.Array  # [m] whether a multiple of the identity is not zero
  left: jax.Array
  before: jax.Array  # [m] singular values
  right: jax.Array
  after: jax.Array


def _prox(x: jax.Array, program: Program) -> _Prox:
  """Minimize the penalty plus half the squared distance over the step."""
  threshold = program.step * program.spectral
  identity, bias, means = _split(x, program.sizes.size)
  size = jnp.abs(identity) - threshold * jnp.sqrt(program.others)
  identity = jnp.sign(identity) * jnp.maximum(size, 0)
  bias = program.has_bias * bias / (1 + program.step * program.ridge)
  left, before, right = jnp.linalg.svd(means)
  after = jnp.maximum(before - threshold, 0)
  point = _join(identity, bias, (left * after[None, :]) @ right)
  return _Prox(point, identity != 0, left, before, right, after)


def _forward_backward(x: jax.Array, program: Program) -> _Prox:
  return _prox(x - program.step * _gradient(x, program), program)


def _newton(x: jax.Array, program: Program, forcing: jax.Array) -> jax.Array:
  r"""Take a step for :math:`x = \mathrm{prox}(x - t \nabla f(x))`.

  With Q the derivative of the proximal map and :math:`M = I - t \nabla^2 f`
  it solves :math:`(I - Q M) d = -r`. Both are symmetric with eigenvalues in
  [0, 1]; :math:`d = -r + Q^{1/2} q` makes the system for q symmetric too.
  """
  size = program.sizes.size
  step = program.step
  prox = _forward_backward(x, program)
  residual = x - prox.point
  kept = prox.kept.astype(x.dtype)
  bias = jnp.sqrt(program.has_bias / (1 + step * program.ridge))
  # Q in the singular vectors' frame: one factor for the symmetric and one for
  # the antisymmetric part of each pair of entries.
  before, after = prox.before, prox.after
  both = (after[:, None] > 0) & (after[None, :] > 0)
  difference = before[:, None] - before[None, :]
  slope = (after[:, None] - after[None, :]) / jnp.where(
    difference == 0, 1, difference
  )
  symmetric = jnp.sqrt(jnp.where(both, 1, jnp.clip(slope, 0, 1)))
  both_before = before[:, None] + before[None, :]
  mean = (after[:, None] + after[None, :]) / jnp.where(
    both_before == 0, 1, both_before
  )
  antisymmetric = jnp.sqrt(mean)

  def root(identity, shared, means):
    sym, anti = means + means.T, means - means.T
    means = (symmetric * sym + antisymmetric * anti) / 2
    return kept * identity, bias * shared, means

  def outward(q):
    identity, shared, means = root(*_split(q, size))
    return _join(identity, shared, prox.left @ means @ prox.right)

  def inward(v):
    identity, shared, means = _split(v, size)
    means = prox.left.T @ means @ prox.right.T
    return _join(*root(identity, shared, means))

  _, curvature = jax.linearize(lambda y: _gradient(y, program), x)

  def remaining(v):
    return v - step * curvature(v)

  q, _ = jax.scipy.sparse.linalg.cg(
    lambda q: q - inward(remaining(outward(q))),
    -inward(remaining(residual)),
    tol=forcing,
    maxiter=_CG_STEPS,
  )
  return x - residual + outward(q)


def _descend(x: jax.Array, program: Program) -> jax.Array:
  """Take some steps of accelerated proximal gradient with adaptive restart."""

  def step(_, state):
    x, ahead, momentum = state
    new = _forward_backward(ahead, program).point
    momentum = jnp.where(jnp.vdot(ahead - new, new - x) > 0, 1.0, momentum)
    following = (1 + jnp.sqrt(1 + 4 * momentum**2)) / 2
    ahead = new + (momentum - 1) / following * (new - x)
    return new, ahead, following

  state = (x, x, jnp.ones((), x.dtype))
  return jax.lax.fori_loop(0, _GRADIENT_STEPS, step, state)[0]


def _certify(x: jax.Array, program: Program) -> tuple[jax.Array, jax.Array]:
  r"""Return the objective and a bound on its error.

  The dual is to find the probabilities P (a column per class) that maximise
  :math:`\sum_k w_k \mathrm{entropy}(P_k) - |g_b|^2 / (2 \lambda_b)` where the
  gradient :math:`w_k^{1/2} (P_k - e_k)` has operator norm at most
  :math:`\lambda_Z \sqrt N`; :math:`g_b = \sum_k w_k (P_k - e_k)`. The softmax,
  shrunk towards the labels until that holds, is feasible.
  """
  sizes = program.sizes
  weights = sizes * program.shares
  identity, bias, means = _split(x, sizes.size)
  penalty = jnp.linalg.svd(means, compute_uv=False).sum()
  penalty += jnp.vdot(jnp.sqrt(program.others), jnp.abs(identity))
  half_ridge = program.has_bias * program.ridge / 2
  objective = _cross_entropy(x, program) + program.spectral * penalty
  objective += half_ridge * jnp.vdot(bias, bias)

  slope = _gradient(x, program)
  identity, bias, means = _split(slope, sizes.size)
  norm = jnp.linalg.svd(means, compute_uv=False).max()
  multiple = jnp.abs(identity) / jnp.sqrt(jnp.maximum(program.others, 1))
  norm = jnp.maximum(norm, multiple.max())
  shrink = program.spectral / jnp.maximum(norm, program.spectral)
  logits, number, odds, other = _errors(x, program)
  error = shrink * jax.nn.sigmoid(odds)
  each = error[None, :] * jnp.exp(logits - other[None, :])
  entropy = -(1 - error) * jnp.log1p(-error)
  entropy -= jnp.sum(number * jax.scipy.special.xlogy(each, each), axis=0)
  bias = shrink * bias
  dual = jnp.vdot(weights, entropy)
  dual -= program.has_bias * jnp.vdot(bias, bias) / (2 * program.ridge)
  return objective, objective - dual


class State(NamedTuple):
  """A point, its objective and the certified error of that."""

  point: jax.Array
  objective: jax.Array
  gap: jax.Array


@jax.jit
def _certified(x: jax.Array, program: Program) -> State:
  return State(x, *_certify(x, program))


@jax.jit
def _newton_state(state: State, program: Program) -> State:
  """Take a Newton step, and a proximal gradient step from there."""
  forcing = jnp.minimum(state.gap / state.objective, _NEAR)
  step = _newton(state.point, program, forcing)
  point = _forward_backward(step, program).point
  return _certified(point, program)


@jax.jit
def _descended_state(state: State, program: Program) -> State:
  return _certified(_descend(state.point, program), program)


def _advance(state: State, program: Program) -> State:
  """Take a Newton step, or proximal gradient steps where that gains less.

  The bound of a new point is often worse than that of the last one, which
  still holds: a step is good that lowers the objective.
  """
  bound = state.objective - state.gap
  new = state
  if state.gap < _NEAR * state.objective:
    new = _newton_state(state, program)
  decrease = state.objective - new.objective
  # False for NaN, and where Newton's method was not tried.
  if not (decrease > _GAIN * state.gap or new.gap <= state.gap / 2):
    new = _descended_state(state, program)
  return new._replace(gap=jnp.minimum(new.gap, new.objective - bound))


def solve(
  x: jax.Array,
  program: Program,
  progress: Callable[[int, float], object] | None = None,
) -> State:
  """Advance until the certified error, over the objective, is tolerable.

  Args:
    x: coordinates to start from.
    program: what to minimize.
    progress: called after each round with its number and that error.

  Returns:
    The last state, after `MAX_ROUNDS` at most.
  """
  state = _certified(x, program)
  for number in range(1, MAX_ROUNDS + 1):
    if not state.gap > TOLERANCE * state.objective:
      break
    state = _advance(state, program)
    if progress is not None:
      progress(number, float(state.gap / state.objective))
  return state


def geometry(scale, shift, counts, sizes, cluster) -> dict[str, np.ndarray]:
  """Return cosines and lengths of the classifier and of the mean features."""
  root = np.sqrt(sizes)
  means = np.sqrt(counts) * (np.diag(scale) + shift * np.outer(root, root))
  left, values, right = np.linalg.svd(means)
  expand = functools.partial(_cosines, sizes=sizes, cluster=cluster)
  spectrum = np.abs(scale) * np.sqrt(counts)
  w = expand(spectrum, (left * values) @ left.T, np.ones_like(counts))
  h = expand(spectrum, (right.T * values) @ right, counts)
  return {
    "classifier_cosines": w[0],
    "classifier_norms": w[1],
    "feature_cosines": h[0],
    "feature_norms": h[1],
  }


def _cosines(identity, means, divide, *, sizes, cluster):
  """Normalize a Gram matrix given by its blocks, divided by counts."""
  within = identity - identity / sizes + np.diag(means) / sizes
  norms = np.sqrt(np.maximum(within, 0) / divide)
  root = np.sqrt(sizes)
  gram = means / np.outer(root, root) - np.diag(identity / sizes)
  length = np.sqrt(np.maximum(within, 0))
  length[norms <= _ZERO_LENGTH * norms.max()] = np.nan
  cosines = np.clip(gram / np.outer(length, length), -1, 1)
  cosines = cosines[np.ix_(cluster, cluster)]
  np.fill_diagonal(cosines, np.where(np.isnan(length), np.nan, 1)[cluster])
  return cosines, norms[cluster]
