# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Train steps on resident data as programs: some steps in each call.

programs = make_programs(train_step, epoch, steps, mesh, rows, state_sharding)
state, metrics = programs.several(state, data, order, key)

Three programs make up all calls: a fixed number of steps on whole batches, one
such step, and one for the batch that is left at the end of an epoch. A loop
whose length is known lets the host of a GPU run ahead of it. Where a call has
one step only there is no loop: XLA's CPU backend is several times slower inside
one. Packed, they train several runs at once, which differ by their seed, see
`packing`.
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
  """Jitted (state, data, order, key) -> (state, metrics), the state donated.

  Metrics are arrays of a number for each step; of packed seeds they have a
  leading axis S.

  Attributes:
    several: `steps` whole batches.
    single: one of those, and no loop around it.
    rest: the last step of an epoch.
  """

  several: Callable
  single: Callable
  rest: Callable


def steps_of_call(asked: int | None, epoch: durations.Epoch, mesh: Mesh) -> int:
  """Return the steps of a call that has more than one.

  Args:
    asked: `config.steps_per_call`; None: 1 on CPUs, 10 elsewhere, which divides
      the steps between two rows of metrics.
    epoch: a call does not go beyond its whole batches.
    mesh: the devices.
  """
  if asked is None:
    asked = 1 if sharding.unrolls(mesh) else 10
  return min(asked, max(1, epoch.examples // epoch.batch_size))


def make_programs(
  train_step: TrainStep,
  epoch: durations.Epoch,
  steps: int,
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
    steps: see `steps_of_call`.
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

  def several(state, data, order, key):
    def body(state, _):
      return step(whole, state, data, order, key)

    state, metrics = jax.lax.scan(body, state, length=steps)
    return state, jax.tree.map(lambda x: jnp.moveaxis(x, 0, -1), metrics)

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
