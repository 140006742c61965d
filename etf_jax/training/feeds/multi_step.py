# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Train steps on resident data as programs: some steps in each call.

programs = make_programs(train_step, epoch, most, mesh, rows, state_sharding)
state, metrics = programs.several(state, data, order, key, number)

Two programs make up all calls, however many steps each of them has: one for
whole batches, with the number of steps as an argument, and one for the batch
that is left at the end of an epoch. Where a call has one step only there is no
loop: XLA's CPU backend is several times slower inside one. With `together` they
train several runs at once, which differ by their seed, see `packing`.
"""

from collections.abc import Callable
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from etf_jax.data.feeds import resident
from etf_jax.training import durations
from etf_jax.training.parallel import packing, sharding
from etf_jax.training.step import TrainStep


class Programs(NamedTuple):
  """Jitted functions that donate the state and return it with the metrics.

  Metrics are arrays `[M]`, of which the first ones count, one for each step; of
  packed seeds `[S, M]`.

  Attributes:
    several: (state, data, order, key, number of steps) for whole batches; M is
      the most steps of a call.
    single: one step of those, and no loop around it; M = 1.
    rest: (state, data, order, key), the last step of an epoch; M = 1.
  """

  several: Callable
  single: Callable
  rest: Callable


def most_steps(asked: int | None, epoch: durations.Epoch, mesh: Mesh) -> int:
  """Return the most steps that one call may have.

  Args:
    asked: `config.steps_per_call`; None: 1 on CPUs, 100 elsewhere.
    epoch: a call does not go beyond its whole batches.
    mesh: the devices.
  """
  if asked is None:
    asked = 1 if sharding.unrolls(mesh) else 100
  return min(asked, max(1, epoch.examples // epoch.batch_size))


def make_programs(
  train_step: TrainStep,
  epoch: durations.Epoch,
  most: int,
  mesh: Mesh,
  rows: int,
  state_sharding: Any,
  *,
  packed: bool = False,
) -> Programs:
  """Make the programs of a run, or of packed seeds.

  Args:
    train_step: see `step.make_train_step`.
    epoch: size of an epoch.
    most: see `most_steps`.
    mesh: the devices.
    rows: batches are padded to a multiple of them.
    state_sharding: of the state, a tree or one for all of it.
    packed: True for a state of several seeds, see `packing.stack`, with orders
      `[S, N]` and keys `[S]`.
  """
  whole = epoch.batch_size
  left = epoch.examples % whole or whole
  spread = sharding.spreads_batch(mesh)

  def one(size, state, data, order, key):
    start = state.step % epoch.steps * whole
    padded = sharding.padded(size, rows)
    batch = resident.take(data, order, start, size=size, padded_size=padded)
    return train_step(state, spread(batch), key)

  def step(size, *arguments):
    function = functools.partial(one, size)
    if packed:
      function = packing.over_runs(function)
    return function(*arguments)

  def single(state, data, order, key):
    state, metrics = step(whole, state, data, order, key)
    return state, jax.tree.map(lambda x: x[..., None], metrics)

  def rest(state, data, order, key):
    state, metrics = step(left, state, data, order, key)
    return state, jax.tree.map(lambda x: x[..., None], metrics)

  def several(state, data, order, key, number):
    def body(done, carry):
      state, kept = carry
      state, metrics = step(whole, state, data, order, key)
      kept = jax.tree.map(
        lambda array, x: jax.lax.dynamic_update_index_in_dim(
          array, x, done, array.ndim - 1
        ),
        kept,
        metrics,
      )
      return state, kept

    _, like = jax.eval_shape(
      functools.partial(step, whole), state, data, order, key
    )
    kept = jax.tree.map(lambda x: jnp.zeros((*x.shape, most), x.dtype), like)
    first = jnp.zeros((), number.dtype)
    return jax.lax.fori_loop(first, number, body, (state, kept))

  def compiled(function):
    sharded = state_sharding
    if packed:  # It says itself where its state is.
      function, sharded = packing.spread(function, mesh), None
    return jax.jit(
      function,
      donate_argnums=0,
      out_shardings=(sharded, sharding.replicated(mesh)),
    )

  return Programs(compiled(several), compiled(single), compiled(rest))
