# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Batches for the train step and for evaluation, resident or streamed.

  open_feed = device.make_feed(setup, dataset, images)
  feed = open_feed(seed, step)    # or (seeds, step), for runs in one program
  state, metrics = feed.advance(state, step, key, steps=feed.steps(step))

Both feeds make the same batches: those of the sampler's order.
"""

from collections.abc import Callable
import functools
from typing import TYPE_CHECKING, Any, Protocol, cast

import jax
from jax.sharding import Mesh
import numpy as np

from etf_jax.data import Dataset, Encoded
from etf_jax.data.feeds import resident
from etf_jax.training.feeds import multi_step, stream
from etf_jax.training.parallel import packing, sharding

if TYPE_CHECKING:
  from etf_jax.training.setup import Setup


class TrainFeed(Protocol):
  """The steps of one run, or of several in one program, in order."""

  def steps(self, step: int) -> int:
    """Return the steps of a call after `step` that has more than one, or 1."""

  def advance(
    self, state, step: int, key: jax.Array, steps: int = 1
  ) -> tuple[Any, Any]:
    """Train on the batches of some steps, in one call of the devices.

    Args:
      state: donated.
      step: completed so far.
      key: of the run, see `state.augment_key`; of several `[S]`.
      steps: to go, `self.steps(step)` or 1.

    Returns:
      The state, and the metrics of the steps: arrays of `steps` numbers. Of
      several runs `[S, ...]`.
    """

  def lower(
    self, state, key: jax.Array | jax.ShapeDtypeStruct, *, single: bool = False
  ) -> jax.stages.Lowered:
    """Lower the program for whole batches; nothing is read or run.

    Its executable is the one that `advance` uses. The arguments may be
    `jax.ShapeDtypeStruct`s with their shardings.

    Args:
      state: as for `advance`.
      key: as for `advance`.
      single: one step instead, however many a call has.
    """

  def rates(self) -> dict[str, Any]:
    """Return fields for a row of training metrics, since the last call."""

  def close(self) -> None:
    """Release threads and files."""


def make_feed(
  setup: "Setup", dataset: Dataset, images: resident.Resident | None
) -> Callable[..., TrainFeed]:
  """Make `open_feed(seed, first step)`; all feeds share compiled programs.

  With resident images it takes a tuple of seeds as well.

  Args:
    setup: of the run.
    dataset: see `data.load`.
    images: training images on the devices; None: they are streamed.
  """
  if images is None:
    return stream.make_feed(setup, cast(Encoded, dataset.train))
  epoch, mesh = setup.epoch, setup.mesh
  steps = multi_step.steps_of_call(setup.config.steps_per_call, epoch, mesh)
  single, packed = (
    multi_step.make_programs(
      setup.train_step,
      epoch,
      steps,
      mesh,
      setup.rows,
      setup.state_sharding,
      packed=packed,
    )
    for packed in (False, True)
  )

  def open_feed(seed, start):
    del start
    programs = packed if isinstance(seed, tuple) else single
    return _Resident(setup, programs, steps, images, seed)

  return open_feed


class _Resident:
  """An epoch's order goes to the devices while they train the one before."""

  def __init__(self, setup, programs, steps, data, seed):
    self._programs, self._steps, self._data = programs, steps, data
    self._epoch, self._total = setup.epoch, setup.total_steps
    self._several = isinstance(seed, tuple)
    seeds = seed if self._several else (seed,)
    self._orders = [functools.partial(setup.sampler.order, s) for s in seeds]
    mesh = setup.mesh
    self._spread = (
      packing.along_seed(mesh) if self._several else sharding.replicated(mesh)
    )
    self._order = functools.lru_cache(2)(self._place_order)

  def _place_order(self, passed):
    orders = np.stack([order(passed) for order in self._orders])
    return resident.place(orders if self._several else orders[0], self._spread)

  def steps(self, step):
    whole = self._epoch.examples // self._epoch.batch_size
    left = whole - step % self._epoch.steps
    return self._steps if left >= self._steps else 1

  def advance(self, state, step, key, steps=1):
    passed, position = divmod(step, self._epoch.steps)
    if position >= self._epoch.examples // self._epoch.batch_size:
      program = self._programs.rest
    elif steps > 1:
      program = self._programs.several
    else:
      program = self._programs.single
    result = program(state, self._data, self._order(passed), key)
    if (passed + 1) * self._epoch.steps < self._total:
      self._order(passed + 1)
    return result

  def lower(self, state, key, *, single=False):
    shape = (self._epoch.examples,)
    if self._several:
      shape = (len(self._orders), *shape)
    order = jax.ShapeDtypeStruct(shape, np.int32, sharding=self._spread)
    single = single or self._steps == 1
    program = self._programs.single if single else self._programs.several
    return program.lower(state, self._data, order, key)

  def rates(self):
    return {}

  def close(self):
    pass


def make_eval_batches(
  dataset: Dataset,
  images: resident.Resident | None,
  batch_size: int,
  mesh: Mesh,
) -> dict[str, resident.EvalBatches]:
  """Cut the splits into batches, by name; `train` is not augmented.

  Args:
    dataset: see `data.load`.
    images: training images on the devices; None: they are streamed.
    batch_size: `config.eval.batch_size`.
    mesh: the devices.

  Returns:
    Of `validation`, `test` and `train` those that the data set has.
  """
  batches, classes = {}, dataset.num_classes
  for name in ("validation", "test", "train"):
    split = getattr(dataset, name)
    if split is None:
      continue
    size = sharding.padded(
      min(batch_size, len(split.labels)), sharding.batch_shards(mesh)
    )
    if isinstance(split, Encoded):
      batches[name] = stream.make_eval_batches(split, size, classes, mesh)
    elif name == "train" and images is not None:
      batches[name] = resident.in_order(split, images, size, classes, mesh)
    else:
      batches[name] = resident.in_batches(split, size, classes, mesh)
  return batches
