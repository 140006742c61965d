# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Several runs in one program, which differ in their seed only.

state = stack([state_of_seed_0, state_of_seed_1], mesh)
state, metrics = over_runs(train_step)(state, data, orders, keys)
state_of_seed_1 = take(state, 1, where)

A small run leaves an accelerator waiting for the host, so that several may take
little longer than one. Their arrays have a leading axis, the runs', which lies
along `seed` of the mesh; all runs share the images, and nothing is exchanged
between them. Only training is packed: evaluations, rows and checkpoints are
made from the state of one run, see `take`.
"""

from collections.abc import Callable, Sequence
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
import numpy as np

from etf_jax.data.feeds import resident
from etf_jax.training.parallel import sharding


def size(runs: int, mesh: Mesh) -> int:
  """Round a number of runs up, so that the devices along `seed` share them."""
  return sharding.padded(runs, mesh.shape["seed"])


def along_seed(mesh: Mesh) -> NamedSharding:
  """Spread the leading axis, the runs, over the mesh's axis `seed`."""
  return NamedSharding(mesh, PartitionSpec("seed"))


def over_runs(step: Callable) -> Callable:
  """Map (state, data, order, key) -> (state, metrics) over the runs.

  The runs are at the same step, which stays one number: so a step that makes
  logits now and then does it for all runs or none.
  """

  def stepped(state, data, order, key):
    axes = _by_field(state, None, 0)
    return jax.vmap(step, (axes, None, 0, 0), (axes, 0))(
      state, data, order, key
    )

  return stepped


def spread(function: Callable, mesh: Mesh) -> Callable:
  """Give each device along `seed` its runs only.

  Args:
    function: (state, data, order, key, more...) -> (state, metrics) of several
      runs; all but the state, the orders and the keys belong to every run.
    mesh: the devices.
  """
  everywhere, along = PartitionSpec(), PartitionSpec("seed")

  @functools.wraps(function)
  def spread_function(state, data, order, key, *more):
    where = _by_field(state, everywhere, along)
    spread_out = function
    if mesh.shape["seed"] > 1:
      spread_out = jax.shard_map(
        function,
        mesh=mesh,
        in_specs=(where, everywhere, along, along, *(everywhere for _ in more)),
        out_specs=(where, along),
        axis_names={"seed"},
        check_vma=False,
      )
    state, metrics = spread_out(state, data, order, key, *more)
    return jax.lax.with_sharding_constraint(
      state, shardings(state, mesh)
    ), metrics

  return spread_function


def shardings(state: Any, mesh: Mesh) -> Any:
  """Return the shardings of a state of several runs, as a tree."""
  where = _by_field(
    state, NamedSharding(mesh, PartitionSpec()), along_seed(mesh)
  )
  return jax.tree.broadcast(where, state)


def shapes(state: Any, runs: int, mesh: Mesh) -> Any:
  """Return the shapes of `stack`, as `jax.ShapeDtypeStruct`s.

  Args:
    state: of one run, its shapes.
    runs: S.
    mesh: the devices.
  """
  stacked = jax.eval_shape(lambda one: _stack([one] * runs), state)
  return jax.tree.map(
    lambda x, where: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where),
    stacked,
    shardings(stacked, mesh),
  )


def stack(states: Sequence[Any], mesh: Mesh) -> Any:
  """Stack the states of runs that have completed the same steps.

  Args:
    states: S `TrainState`s.
    mesh: the devices.

  Returns:
    A state whose arrays have a leading axis of length S, but for `step`.
  """
  where = shardings(states[0], mesh)
  return jax.jit(_stack, out_shardings=where)(list(states))


def _stack(states):
  stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
  return stacked.replace(step=states[0].step)


def take(state: Any, place: int, mesh: Mesh) -> Any:
  """Copy the state of one run to all devices.

  Args:
    state: of several.
    place: of the run among them.
    mesh: the devices.
  """
  everywhere = NamedSharding(mesh, PartitionSpec())
  index = resident.place(np.asarray(place, np.int32), everywhere)
  return _take(state, index, everywhere)


@functools.partial(jax.jit, static_argnames="where")
def _take(state, place, where):
  one = jax.tree.map(
    lambda x: jax.lax.dynamic_index_in_dim(x, place, 0, keepdims=False),
    state.replace(step=()),  # It has no axis of the runs.
  )
  one = one.replace(step=state.step)
  return jax.lax.with_sharding_constraint(one, where)


def _by_field(state, of_step, of_others):
  """Make a tree prefix: one value for the step, one for all other fields."""
  fields = dict.fromkeys(state.__dataclass_fields__, of_others)
  return state.replace(**fields | {"step": of_step})
