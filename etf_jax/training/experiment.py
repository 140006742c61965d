# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""What all runs of a config share: data on devices, compiled functions."""

from collections.abc import Callable, Sequence
import dataclasses
import functools
from typing import NamedTuple

import jax
from ml_collections import ConfigDict

from etf_jax.data import Dataset, Encoded, augment, sampling
from etf_jax.data.feeds import resident
from etf_jax.errors import InputError
from etf_jax.evaluation import evaluator, geometry
from etf_jax.training import methods, optimizer, sweeps
from etf_jax.training import plan as plans
from etf_jax.training.feeds import device
from etf_jax.training.parallel import sharding


class Tail(NamedTuple):
  """What the runs of one imbalance have of their own, among several.

  Attributes:
    dataset: its.
    sampler: the order of its examples, by their indices among those of all.
    evaluate: as of `Experiment`.
    measure: as of `Experiment`.
  """

  dataset: Dataset
  sampler: sampling.Sampler
  evaluate: Callable
  measure: Callable


@dataclasses.dataclass(frozen=True, eq=False)
class Experiment(plans.Plan):
  """A plan with its data; every run goes through the same compiled functions.

  Attributes:
    dataset: as loaded.
    open_feed: (seed or seeds, first step) -> `feeding.Feed`, which trains; see
      `feeding.create`.
    evaluate: (variables, split name) -> metrics.Sums.
    measure: (variables, split name, matrices=False) -> the fields of a
      collapse row, and metrics.Sums.
    splits: the splits that are evaluated, the one that selects `best/` first.
    tails: by `config.imbalances`; empty without any.
  """

  dataset: Dataset
  open_feed: Callable[[int, int], device.Feed]
  evaluate: Callable
  measure: Callable
  splits: tuple[str, ...]
  tails: dict[float, Tail]


def create(
  config: ConfigDict, dataset: Dataset, others: Sequence[Dataset] = ()
) -> Experiment:
  """Put the data on the devices and builds the functions of the runs.

  Args:
    config: as configs/base.py describes it.
    dataset: see `data.load`; with `config.imbalances` that of the first ...
    others: ... and those of the others, cut from the same images.

  Raises:
    InputError: a config that cannot be run, in one line.
  """
  run = plans.create(config, dataset)
  config, mesh = run.config, run.mesh
  datasets = (dataset, *others)
  samplers = sweeps.follow_each_other(
    [
      dataclasses.replace(
        plans.sampler(config, own.train.labels),
        total_epochs=run.sampler.total_epochs,
      )
      for own in datasets
    ],
    config.imbalances,
  )
  data = None
  if not isinstance(dataset.train, Encoded):
    data = resident.put(resident.joined([d.train for d in datasets]), mesh)
  inputs = augment.evaluation(config.augment, *plans.colours(config, dataset))
  evaluate = evaluator.create(run.model, inputs, config.model.num_classes)
  gather = sharding.for_compute(mesh)
  if sharding.cuts_state(mesh):
    gather = jax.jit(gather)
  evaluated = functools.partial(
    device.evaluation, config, data=data, mesh=sharding.one_run(mesh)
  )
  shared_feeds = evaluated(dataset)

  def tail(dataset, sampler):
    own = {}
    if sampler.first:
      own = evaluated(dataset, names=("train",), first=sampler.first)
    feeds = shared_feeds | own
    measure = _measure(config, dataset, run.model, inputs)
    return Tail(
      dataset=dataset,
      sampler=sampler,
      evaluate=lambda variables, name: evaluate(gather(variables), feeds[name]),
      measure=lambda variables, name, matrices=False: measure(
        gather(variables), feeds[name], matrices=matrices
      ),
    )

  tails = list(map(tail, datasets, samplers))
  shared = {f.name: getattr(run, f.name) for f in dataclasses.fields(run)}
  return Experiment(
    **shared | tails[0]._asdict(),
    open_feed=plans.feed(run, dataset, data),
    splits=tuple(name for name in shared_feeds if name != "train"),
    tails=dict(zip(map(float, config.imbalances), tails, strict=False)),
  )


def of_run(experiment: Experiment, name: sweeps.Name) -> tuple[Experiment, int]:
  """The experiment that a run would have alone, and its seed.

  Args:
    experiment: of all runs; what it has compiled serves each of them.
    name: of the run, see `sweeps`.
  """
  shared = experiment.config
  config, seed = sweeps.alone(shared, name)
  if config is shared:
    return experiment, seed
  own = {}
  if shared.imbalances:
    own = experiment.tails[config.data.imbalance]._asdict()
  schedule = optimizer.create_schedule(
    config, experiment.epoch, experiment.total_steps
  )
  own |= {"config": config, "learning_rate": schedule}
  return dataclasses.replace(experiment, **own), seed


def _measure(config, dataset, model, inputs):
  """Neural collapse on any split; nothing compiles before the first call."""
  if "validation" in config.collapse.splits and dataset.validation is None:
    raise InputError(
      "config.collapse.splits names validation, and there is none: set"
      " config.data.validation_fraction or leave it out"
    )
  return geometry.create(
    model,
    inputs,
    dataset.num_classes,
    tau=methods.hinge_tau(config, dataset.class_counts)
    if config.method == "etf_hinge"
    else None,
    hold_features=config.collapse.hold_features,
    rank_images=config.collapse.rank_images,
  )
