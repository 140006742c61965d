# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Several runs in one program, which differ by their seed alone.

state = stack([state_of_seed_0, state_of_seed_1], mesh)
state, metrics = over_runs(train_step)(state, data, orders, keys)
state_of_seed_1 = take(state, 1, where)

A small run leaves an accelerator waiting for the host, so that several may take
little longer than one. Their arrays have a leading axis, the runs', which lies
along `seed` of the mesh; all runs share the images, and nothing is exchanged
between them. Only training is packed: whatever else is done with a run is done
with its own state, as if it were alone.
"""

from collections.abc import Callable, Sequence
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
import numpy as np

from etf_jax.data.feeds import resident
from etf_jax.errors import InputError


def check(pack_seeds: int, mesh: Mesh, *, resident_images: bool) -> None:
  """Refuse what cannot be trained together.

  Args:
    pack_seeds: runs in one program.
    mesh: the devices.
    resident_images: whether they lie on the devices.

  Raises:
    InputError: why, and what to change.
  """
  along = mesh.shape["seed"]
  if pack_seeds % along:
    raise InputError(
      f"config.pack_seeds={pack_seeds} must be a multiple of"
      f" config.mesh.seed={along}, the devices that its runs are spread over"
    )
  if pack_seeds > 1 and not resident_images:
    raise InputError(
      f"config.pack_seeds={pack_seeds} needs the images on the devices: set it"
      " to 1, or config.data.feed='resident'"
    )
  if pack_seeds > 1 and mesh.shape["fsdp"] * mesh.shape["model"] > 1:
    raise InputError(
      f"config.pack_seeds={pack_seeds} trains runs that are whole on each"
      " device: set it to 1, or config.mesh.fsdp=1 and config.mesh.model=1"
    )


def size(runs: int, mesh: Mesh) -> int:
  """How many a program trains, so that the devices along `seed` share them."""
  along = mesh.shape["seed"]
  return -(-runs // along) * along


def along_seed(mesh: Mesh) -> NamedSharding:
  """The leading axis, which is the runs', spread over the axis `seed`."""
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
    apart = function
    if mesh.shape["seed"] > 1:
      apart = jax.shard_map(
        function,
        mesh=mesh,
        in_specs=(where, everywhere, along, along, *(everywhere for _ in more)),
        out_specs=(where, along),
        axis_names={"seed"},
        check_vma=False,
      )
    state, metrics = apart(state, data, order, key, *more)
    return jax.lax.with_sharding_constraint(
      state, shardings(state, mesh)
    ), metrics

  return spread_function


def shardings(state: Any, mesh: Mesh) -> Any:
  """Where the arrays of a state of several runs live, as a tree."""
  where = _by_field(
    state, NamedSharding(mesh, PartitionSpec()), along_seed(mesh)
  )
  return jax.tree.broadcast(where, state)


def shapes(state: Any, runs: int, mesh: Mesh) -> Any:
  """What `stack` gives, as `jax.ShapeDtypeStruct`s.

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
  """One state of several runs, which have completed the same steps.

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
  """The state of one run, a copy on all devices.

  Args:
    state: of several.
    place: of the run among them.
    mesh: the devices.
  """
  everywhere = NamedSharding(mesh, PartitionSpec())
  place = resident.place(np.asarray(place, np.int32), everywhere)
  return _take(state, place, everywhere)


@functools.partial(jax.jit, static_argnames="where")
def _take(state, place, where):
  one = jax.tree.map(
    lambda x: jax.lax.dynamic_index_in_dim(x, place, 0, keepdims=False),
    state.replace(step=()),  # It has no axis of the runs.
  )
  one = one.replace(step=state.step)
  return jax.lax.with_sharding_constraint(one, where)


def _by_field(state, of_step, of_others):
  """A tree prefix: one value for the step, one for whatever differs."""
  fields = dict.fromkeys(state.__dataclass_fields__, of_others)
  return state.replace(**fields | {"step": of_step})
