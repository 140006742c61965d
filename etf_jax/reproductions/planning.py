# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""From a table or figure to the runs that it takes.

plan = planning.plan("table1", Options(seeds=3, imbalance=(0.01,)))
for job in plan.jobs: print(job.arguments)

A cell is a method in a setting. The seeds of a cell are one job, so that they
can share a program; cells that are the same run share a job, within a table and
between tables that have the same output folder.
"""

from collections.abc import Sequence
import dataclasses
import difflib
import pathlib
from typing import NamedTuple

from ml_collections import ConfigDict

from etf_jax import configs
from etf_jax.data import catalog
from etf_jax.errors import InputError
from etf_jax.reproductions import costs, variants
from etf_jax.reproductions.facts import (
  METHOD_LABELS,
  Fields,
  Setting,
  Target,
  Value,
)
from etf_jax.reproductions.targets import TARGETS
from etf_jax.runs import command_line, directory
from etf_jax.training import objectives

PAPER = "paper"
# Figures over epochs want a measurement in each.
_EVERY_EPOCH = {"collapse.every_epochs": 1.0}
# A second stage: ten epochs of the classifier, as in configs/digits_lt_crt.py.
_SECOND_STAGE = {
  "total_epochs": 10.0,
  "schedule.name": "cosine",
  "schedule.warmup_epochs": 0.0,
}
_CHOSEN_ELSEWHERE = {
  "method": "--methods",
  "seeds": "--seeds",
  "learning_rates": "--config.optimizer.learning_rate",
  "imbalances": "--imbalance",
}


@dataclasses.dataclass(frozen=True)
class Options:
  """What of a target is asked for.

  Attributes:
    seeds: how many, from 0.
    datasets: files of configs/, perhaps with their argument; none: the paper's.
    methods: `paper` for the paper's own; none: these and the baselines.
    imbalance: those to run; none: all.
    mixup: alphas to run; none: all.
    overrides: `--config.field=value`, behind everything else.
    variants: see `variants`.
  """

  seeds: int = 3
  datasets: tuple[str, ...] = ()
  methods: tuple[str, ...] = ()
  imbalance: tuple[float, ...] = ()
  mixup: tuple[float, ...] = ()
  overrides: tuple[str, ...] = ()
  variants: tuple[str, ...] = ()


class Job(NamedTuple):
  """The seeds of one configuration.

  Attributes:
    name: of its directory.
    arguments: of `python -m etf_jax.main`, without seeds and directories.
    config: resolved.
    seeds: all of them, finished or not.
    first: name of the job whose runs it starts from, or None.
    cost: of one seed.
  """

  name: str
  arguments: tuple[str, ...]
  config: ConfigDict
  seeds: tuple[int, ...]
  first: str | None
  cost: costs.Cost


class Cell(NamedTuple):
  """A method in a setting.

  Attributes:
    setting: where.
    method: which, as the paper has it.
    label: of the method.
    job: name of the job that makes its runs; None: they cannot be made.
    published: None where nothing was.
    waits: why there is no job, in a sentence.
  """

  setting: Setting
  method: str
  label: str
  job: str | None
  published: Value | None
  waits: str = ""


class Plan(NamedTuple):
  """All that a target takes.

  Attributes:
    name: of the target, and of the files that are written.
    target: what it is; on other data, what is taken to them.
    cells: in the order of the table.
    jobs: by name; one that starts from another is behind it.
    options: what was asked for.
  """

  name: str
  target: Target
  cells: tuple[Cell, ...]
  jobs: dict[str, Job]
  options: Options


def plan(name: str, options: Options) -> Plan:
  """Plan a table or figure.

  Args:
    name: of the target.
    options: what of it.

  Raises:
    InputError: a name that is unknown, or a choice that leaves nothing.
  """
  if name not in TARGETS:
    raise InputError(_unknown("table or figure", name, TARGETS))
  _check(options)
  target, settings, methods = _asked_for(name, options)
  parts = [*options.datasets, *sorted(options.variants)]
  suffix = "".join(f"-{part.replace(':', '_')}" for part in parts)
  jobs: dict[str, Job] = {}
  cells, changed = [], set()
  for setting in settings:
    for method in setting.methods or methods:
      if setting.methods and options.methods and method not in methods:
        continue
      label = METHOD_LABELS[method]
      published = setting.published.get(method)
      missing = _missing(setting, method, options)
      if missing:
        cell = Cell(setting, method, label, None, published, missing)
      else:
        job = _add(jobs, target, setting, method, options, changed)
        cell = Cell(setting, method, label, job, published)
      cells.append(cell)
  if not cells:
    raise InputError(
      f"{name} has no cell for --methods={','.join(options.methods)}"
    )
  _check_effect(name, options, changed, jobs)
  return Plan(name + suffix, target, tuple(cells), jobs, options)


def _check(options: Options) -> None:
  if options.seeds < 1:
    raise InputError(f"--seeds={options.seeds} must be at least 1")
  variants.check(options.variants)
  for method in options.methods:
    if method not in (*objectives.METHODS, PAPER):
      raise InputError(
        "--methods: " + _unknown("method", method, [*objectives.METHODS, PAPER])
      )
  for override in options.overrides:
    field = override.lstrip("-").partition("=")[0].removeprefix("config.")
    if field in _CHOSEN_ELSEWHERE:
      raise InputError(
        f"--config.{field} is not for this command: use"
        f" {_CHOSEN_ELSEWHERE[field]}"
      )


def _check_effect(name, options, changed, jobs) -> None:
  for variant in options.variants:
    if variant != variants.BEST_EPOCH and jobs and variant not in changed:
      raise InputError(f"--variant={variant} changes no run of {name}")


def _asked_for(
  name: str, options: Options
) -> tuple[Target, Sequence[Setting], tuple[str, ...]]:
  """A target, perhaps on other data, and which settings and methods of it."""
  target = TARGETS[name]
  of_paper = target.methods
  own = [
    setting
    for setting in target.settings
    if not options.datasets
    or {setting.dataset, setting.experiment} & set(options.datasets)
  ]
  others = [
    dataset
    for dataset in options.datasets
    if not any(dataset in (s.dataset, s.experiment) for s in target.settings)
  ]
  if others:
    if own:
      raise InputError(
        f"--dataset={','.join(options.datasets)}: {others[0]} is not in {name};"
        " give it alone"
      )
    target = _elsewhere(name, target, others, options)
    settings = target.settings
  else:
    settings = _chosen(name, "imbalance", own, options.imbalance)
    settings = _chosen(name, "mixup", settings, options.mixup)
  methods = (*target.methods, *target.baselines)
  if options.methods:
    methods = tuple(
      method
      for given in options.methods
      for method in (of_paper if given == PAPER else (given,))
    )
  return target, settings, tuple(dict.fromkeys(methods))


def _chosen(name, field, settings, wanted):
  """The settings that have one of the wanted values."""
  if not wanted:
    return settings
  known = sorted({getattr(s, field) for s in settings} - {None})
  for value in wanted:
    if value not in known:
      there = ", ".join(f"{v:g}" for v in known) or "none to choose from"
      raise InputError(f"--{field}={value:g} is not in {name}: it has {there}")
  return [s for s in settings if getattr(s, field) in wanted]


def _elsewhere(name, target, datasets, options):
  """What of a target is taken to data that are not the paper's."""
  known = {path.stem for path in configs.FOLDER.glob("*.py")} - {"base"}
  for dataset in datasets:
    if dataset.partition(":")[0] not in known:
      raise InputError(
        "--dataset: " + _unknown("data set", dataset, sorted(known))
      )
  if target.elsewhere is None:
    there = ", ".join(dict.fromkeys(s.dataset for s in target.settings))
    raise InputError(
      f"--dataset={datasets[0]}: {name} is for {there} alone; its methods are"
      " not taken to other data"
    )
  title, methods, mixups = target.elsewhere
  settings = []
  for dataset in datasets:
    experiment = ("", f"--config=etf_jax:{dataset}", *options.overrides)
    config, _ = command_line.parse(experiment)
    for mixup in options.mixup or mixups:
      for imbalance in options.imbalance or (None,):
        shown = config.data.imbalance if imbalance is None else imbalance
        tail = "" if config.data.profile == "none" else f", imbalance {shown:g}"
        label = f"{config.name}, {config.model.name}{tail}, mixup {mixup:g}"
        settings.append(Setting(label, dataset, imbalance, mixup))
  return dataclasses.replace(
    target,
    title=f"{title}: {', '.join(datasets)}",
    paper=f"{target.paper}, taken to other data",
    settings=settings,
    methods=methods,
    baselines=(),
    reported=(),
    notes=(),
  )


def _missing(setting: Setting, method: str, options: Options) -> str:
  """What a setting waits for, or nothing."""
  for experiment in filter(None, (setting.experiment, setting.then)):
    file = f"{experiment.partition(':')[0]}.py"
    if not (configs.FOLDER / file).is_file():
      return f"waits for configs/{file}"
  config = _config(setting, {"method": method} | setting.fields, options)
  if config.init_from and not pathlib.Path(config.init_from).exists():
    return (
      f"waits for {config.init_from}: configs/{setting.dataset}.py says where"
      " it comes from"
    )
  return variants.forbids(options.variants, config)


def probe_command(plan: Plan) -> str:
  """What makes the rest of a target of its runs, in a sentence; or nothing."""
  target = plan.target
  names = dict.fromkeys(cell.job for cell in plan.cells if cell.job)
  if not target.probe or not names:
    return ""
  workdirs = " ".join(f"--workdir=runs/{name}" for name in names)
  return (
    f"{target.probed} is made in the output folder by: python -m etf_jax.probe"
    f" {workdirs} {target.probe}"
  )


def _add(jobs, target, setting, method, options, changed) -> str:
  """Plan the runs of a cell, and those that they start from; their job."""
  fields = dict(setting.fields)
  if setting.imbalance is not None:
    fields["data.imbalance"] = setting.imbalance
  if setting.mixup is not None:
    fields["augment.mixup_alpha"] = setting.mixup
  if {"collapse", "centres"} & set(target.shows):
    fields |= _EVERY_EPOCH
  trains = objectives.METHODS[method].trains
  if trains == "all":
    fields |= setting.of_method.get(method, {})
    job = _job(jobs, setting, method, fields, options, changed)
    if setting.then:
      second = dataclasses.replace(setting, experiment=setting.then)
      job = _job(jobs, second, "ce", {}, options, changed, job)
    return job.name
  if trains == "nothing" and not _has_validation(setting):
    fields["data.validation_fraction"] = 0.1
  base = fields | setting.of_method.get("ce", {})
  first = _job(jobs, setting, "ce", base, options, changed, learned=True)
  fields |= setting.of_method.get(method, {})
  if trains == "classifier":
    fields |= _SECOND_STAGE
  return _job(jobs, setting, method, fields, options, changed, first).name


def _has_validation(setting: Setting) -> bool:
  config, _ = command_line.parse(["", f"--config=etf_jax:{setting.experiment}"])
  facts = catalog.DATASETS.get(config.data.name)
  return facts is not None and facts.validation_split is not None


def _job(
  jobs, setting, method, fields, options, changed, first=None, learned=False
) -> Job:
  """Plan a job; `learned`: its classifier must be, for a second stage."""
  fields = {"method": method} | fields
  config = _config(setting, fields, options)
  for name in options.variants:
    more = variants.VARIANTS[name].fields(config)
    if learned and "method" in more:
      continue
    fields |= more
    changed |= {name} if more else set()
  config = _config(setting, fields, options)
  facts = catalog.DATASETS.get(config.data.name)
  # Of the user's own images the classes are not counted to name a directory.
  classes = facts.num_classes if facts else config.model.num_classes or 2
  resolved = objectives.resolve(config, classes)
  if first is not None:
    resolved.init_hash = directory.fingerprint(first.config)
  job = Job(
    f"{config.name}-{config.method}-{directory.fingerprint(resolved)}",
    tuple(_arguments(setting, fields, options)),
    resolved,
    tuple(range(options.seeds)),
    first and first.name,
    costs.cost(resolved),
  )
  return jobs.setdefault(job.name, job)


def _config(setting: Setting, fields: Fields, options: Options) -> ConfigDict:
  config, _ = command_line.parse(["", *_arguments(setting, fields, options)])
  return config


def _arguments(setting: Setting, fields: Fields, options: Options):
  yield f"--config=etf_jax:{setting.experiment}"
  for name, value in fields.items():
    yield f"--config.{name}={value}"
  yield from options.overrides


def _unknown(kind: str, name: str, known) -> str:
  near = difflib.get_close_matches(name, list(known), 1, 0)
  hint = f"; did you mean {near[0]!r}?" if near else ""
  return f"{name!r} is unknown as a {kind}{hint} (known: {', '.join(known)})"
