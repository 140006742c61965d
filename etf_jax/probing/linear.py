# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Linear evaluation with stochastic gradient descent, as HingeCE has it.

learned = linear.train(features, labels, num_classes=100)
predicted = learned.predict(test_features)
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

# Appendix B.2 of the paper, which names no momentum, decay or augmentation.
EPOCHS = 100
BATCH_SIZE = 128
LEARNING_RATE = 1.0
_EXACT = jax.lax.Precision.HIGHEST


class Linear(NamedTuple):
  """A kernel `[d, K]`, a column per class, and a bias `[K]`."""

  kernel: np.ndarray
  bias: np.ndarray

  def predict(self, features: np.ndarray) -> np.ndarray:
    """Return the class, int64 `[N]`, of each of the features `[N, d]`."""
    return np.argmax(features @ self.kernel + self.bias, axis=1)


def order(seed: int, epoch: int, size: int) -> np.ndarray:
  """Return the order of an epoch, a permutation of 0..size-1."""
  return np.random.default_rng((seed, epoch)).permutation(size)


def train(
  features: np.ndarray,
  labels: np.ndarray,
  num_classes: int,
  *,
  epochs: int = EPOCHS,
  batch_size: int = BATCH_SIZE,
  learning_rate: float = LEARNING_RATE,
  seed: int = 0,
) -> Linear:
  r"""Learn a linear classifier by minimizing the cross-entropy.

  .. math::
    W \leftarrow W - \eta \frac{1}{|B|} \sum_{i \in B} h_i (p_i - e_{y_i})^\top

  at a constant rate, from zeros, with neither momentum nor decay. The last,
  smaller batch of an epoch is a step. The result is that of the last step.

  Args:
    features: float32 `[N, d]`, taken as they are: the rate belongs to their
      scale.
    labels: integers `[N]` in 0..K-1.
    num_classes: K.
    epochs: at least 1.
    batch_size: at least 1.
    learning_rate: positive.
    seed: of the order of the images.
  """
  x, y = jnp.asarray(features), jnp.asarray(labels, jnp.int32)
  size, width = x.shape
  batch_size = min(batch_size, size)
  steps = -(-size // batch_size)
  params = Linear(
    np.zeros((width, num_classes), x.dtype), np.zeros(num_classes, x.dtype)
  )
  for epoch in range(epochs):
    index = np.zeros(steps * batch_size, np.int32)
    index[:size] = order(seed, epoch, size)
    where = np.arange(index.size) < size
    params = _epoch(
      params,
      x,
      y,
      index.reshape(steps, batch_size),
      where.reshape(steps, batch_size),
      learning_rate,
    )
  return Linear(*map(np.asarray, params))


@functools.partial(jax.jit, donate_argnums=0)
def _epoch(params, features, labels, index, where, learning_rate):
  def loss(params, batch, targets, counts):
    logits = jnp.matmul(batch, params.kernel, precision=_EXACT)
    losses = optax.softmax_cross_entropy_with_integer_labels(
      logits + params.bias[None], targets
    )
    total = jnp.sum(jnp.where(counts, losses, 0))
    return total / jnp.sum(counts, dtype=total.dtype)

  def step(params, chosen):
    index, counts = chosen
    gradient = jax.grad(loss)(params, features[index], labels[index], counts)
    return jax.tree.map(
      lambda p, g: p - learning_rate * g, params, gradient
    ), None

  return jax.lax.scan(step, params, (index, where))[0]
