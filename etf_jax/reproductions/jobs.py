# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The runs that a table or figure takes.

wanted = jobs.reproduction("table1", jobs.Options(imbalance=(0.01,)))
for job in wanted.jobs.values(): print(job.arguments)

A cell is a method in a setting. The seeds of a cell are one job, so that they
can share a program. Cells with the same configuration share a job, within a
table and between tables that have the same output folder.
"""

from collections.abc import Iterable, Iterator, Sequence
import dataclasses
import functools
import pathlib
from typing import NamedTuple

from ml_collections import ConfigDict

from etf_jax import configs
from etf_jax.data import catalog
from etf_jax.errors import InputError, unknown_name
from etf_jax.reproductions import hingece, leaderboard, variants, yang2022
from etf_jax.reproductions.targets import (
  METHOD_LABELS,
  Setting,
  Target,
  Value,
)
from etf_jax.runs import command_line, identity
from etf_jax.training import methods
from etf_jax.training.config import resolve_config

TARGETS: dict[str, Target] = (
  yang2022.TARGETS | leaderboard.TARGETS | hingece.TARGETS
)
PAPER = "paper"
# A second stage: ten epochs of the classifier, as in configs/digits_lt_crt.py.
_SECOND_STAGE = {
  "total_epochs": 10.0,
  "schedule.name": "cosine",
  "schedule.warmup_epochs": 0.0,
}
_FLAGS = {
  "method": "--methods",
  "seeds": "--seeds",
}


@dataclasses.dataclass(frozen=True)
class Options:
  """The part of a target that is asked for.

  Attributes:
    seeds: number of seeds, from 0.
    datasets: files of configs/, perhaps with an argument; empty: the paper's.
    methods: `paper` for the paper's; empty: these and the baselines.
    imbalance: values to run; empty: all.
    mixup: alphas to run; empty: all.
    overrides: `--config.field=value`, after all other fields.
    variants: names in `variants.VARIANTS`.
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

  `arguments` are flags of `python -m etf_jax.main`, without seeds and
  directories; `seeds` are all, finished or not; `first` names the job whose
  runs it starts from.
  """

  name: str
  arguments: tuple[str, ...]
  config: ConfigDict
  seeds: tuple[int, ...]
  first: str | None


class Cell(NamedTuple):
  """A method in a setting, with the name of its job.

  A cell without a job cannot run, and `waits` is the reason in a sentence.
  """

  setting: Setting
  method: str
  label: str
  job: str | None
  waits: str = ""

  @property
  def published(self) -> Value | None:
    """Return the published value, or None."""
    return self.setting.published.get(self.method)


class Reproduction(NamedTuple):
  """A target with its cells in the order of the table, and their jobs.

  On other data the target is the part that is taken to them. A job stands after
  the one that it starts from.
  """

  name: str
  target: Target
  cells: tuple[Cell, ...]
  jobs: dict[str, Job]
  options: Options

  @property
  def title(self) -> str:
    """Return the title, with the variants."""
    names = [v for v in self.options.variants if v != variants.BEST_EPOCH]
    return self.target.title + (f" ({', '.join(names)})" if names else "")


def reproduction(name: str, options: Options) -> Reproduction:
  """List the runs of a table or figure.

  Raises:
    InputError: an unknown name, or a choice that leaves nothing.
  """
  _check("TARGET", [name], TARGETS)
  _check_options(options)
  target, settings, methods = _part(name, options)
  jobs = _Jobs(target, options)
  cells = []
  for setting in settings:
    for method in setting.methods or methods:
      if method in methods or not options.methods:
        cells.append(jobs.cell(setting, method))
  if not cells:
    raise InputError(
      f"--methods={','.join(options.methods)}: {name} has no such cell; give"
      f" some of {', '.join(target.methods)}"
    )
  for variant in options.variants:
    if variant not in (variants.BEST_EPOCH, *jobs.changed) and jobs.by_name:
      raise InputError(
        f"--variant={variant} changes no run of {name}; leave it out"
      )
  parts = [*options.datasets, *sorted(options.variants)]
  suffix = "".join(f"-{part.replace(':', '_')}" for part in parts)
  return Reproduction(
    name + suffix, target, tuple(cells), jobs.by_name, options
  )


def probe_commands(wanted: Reproduction) -> list[str]:
  """Return sentences that name the probe commands a target needs.

  A picture is of the features that the first stage of a setting has learned.
  """
  names: dict[str, None] = {}
  for cell in wanted.cells:
    if cell.job:
      first = wanted.jobs[cell.job].first if cell.setting.then else None
      names[first or cell.job] = None
  if not names:
    return []
  workdirs = " ".join(f"--workdir=runs/{name}" for name in names)
  return [
    f"{subject} is made in the output folder by: python -m etf_jax.probe"
    f" {workdirs} {arguments}"
    for subject, arguments in wanted.target.probes
  ]


def _check_options(options: Options) -> None:
  if options.seeds < 1:
    raise InputError(f"--seeds={options.seeds}: must be at least 1")
  _check("--variant", options.variants, variants.VARIANTS)
  names = [*methods.METHODS, PAPER]
  _check("--methods", options.methods, names)
  for override in options.overrides:
    field = override.lstrip("-").partition("=")[0].removeprefix("config.")
    if field in _FLAGS:
      raise InputError(
        f"--config.{field} is not for this command: use {_FLAGS[field]}"
      )


def _part(
  name: str, options: Options
) -> tuple[Target, Sequence[Setting], tuple[str, ...]]:
  """Return a target, perhaps on other data, with its settings and methods."""
  target, datasets = TARGETS[name], options.datasets
  settings = [
    setting
    for setting in target.settings
    if not datasets or {setting.dataset, setting.experiment} & set(datasets)
  ]
  known = {n for s in target.settings for n in (s.dataset, s.experiment)}
  others = [dataset for dataset in datasets if dataset not in known]
  paper = target.methods
  if others and settings:
    raise InputError(
      f"--dataset={','.join(datasets)}: {others[0]} is not in {name}; give it"
      " alone"
    )
  if others:
    target = _elsewhere(name, target, options)
    settings = list(target.settings)
  else:
    settings = _chosen(name, "imbalance", settings, options.imbalance)
    settings = _chosen(name, "mixup", settings, options.mixup)
  methods = (*target.methods, *target.baselines)
  if options.methods:
    methods = tuple(
      method
      for word in options.methods
      for method in (paper if word == PAPER else (word,))
    )
  return target, settings, tuple(dict.fromkeys(methods))


def _chosen(name, field, settings, wanted):
  """Return the settings that have one of the wanted values."""
  known = sorted({getattr(s, field) for s in settings} - {None})
  for value in wanted:
    if value not in known:
      listed = ", ".join(f"{v:g}" for v in known) or "none to choose from"
      raise InputError(f"--{field}={value:g} is not in {name}: it has {listed}")
  return [s for s in settings if not wanted or getattr(s, field) in wanted]


def _elsewhere(name: str, target: Target, options: Options) -> Target:
  """Take a target to data that are not the paper's."""
  known = sorted({p.stem for p in configs.FOLDER.glob("*.py")} - {"base"})
  stems = [dataset.partition(":")[0] for dataset in options.datasets]
  _check("--dataset", stems, known)
  if target.elsewhere is None:
    listed = ", ".join(dict.fromkeys(s.dataset for s in target.settings))
    raise InputError(
      f"--dataset={options.datasets[0]}: {name} is for {listed} alone; its"
      " methods are not taken to other data"
    )
  title, methods, mixups = target.elsewhere
  settings = []
  for dataset in options.datasets:
    config = _parsed((f"--config=etf_jax:{dataset}", *options.overrides))
    for mixup in options.mixup or mixups:
      for imbalance in options.imbalance or (None,):
        shown = config.data.imbalance if imbalance is None else imbalance
        tail = "" if config.data.profile == "none" else f", imbalance {shown:g}"
        label = f"{config.name}, {config.model.name}{tail}, mixup {mixup:g}"
        settings.append(Setting(label, dataset, imbalance, mixup))
  return dataclasses.replace(
    target,
    title=f"{title}: {', '.join(options.datasets)}",
    paper=f"{target.paper}, taken to other data",
    settings=settings,
    methods=methods,
    baselines=(),
    reported=(),
    notes=(),
  )


class _Jobs:
  """The jobs of a target; `changed` are the variants with an effect."""

  def __init__(self, target: Target, options: Options):
    self._target, self._options = target, options
    self.by_name: dict[str, Job] = {}
    self.changed: set[str] = set()

  def cell(self, setting: Setting, method: str) -> Cell:
    """Add the runs of a cell, and those that they start from."""
    label = Cell(setting, method, METHOD_LABELS[method], None)
    waits = self._waits(setting, method)
    if waits:
      return label._replace(waits=waits)
    return label._replace(job=self._runs(setting, method).name)

  def _waits(self, setting: Setting, method: str) -> str:
    for experiment in filter(None, (setting.experiment, setting.then)):
      file = f"{experiment.partition(':')[0]}.py"
      if not (configs.FOLDER / file).is_file():
        return f"waits for configs/{file}"
    config = self._config(setting, {"method": method} | dict(setting.fields))
    if config.init_from and not pathlib.Path(config.init_from).exists():
      return (
        f"waits for {config.init_from}: configs/{setting.dataset}.py says where"
        " it comes from"
      )
    return variants.forbids(self._options.variants, config)

  def _runs(self, setting: Setting, method: str) -> Job:
    fields = dict(self._target.fields) | dict(setting.fields)
    if setting.imbalance is not None:
      fields["data.imbalance"] = setting.imbalance
    if setting.mixup is not None:
      fields["augment.mixup_alpha"] = setting.mixup
    trains = methods.METHODS[method].trains
    changes = dict(setting.of_method.get(method, {}))
    if trains == "all":
      job = self._job(setting, method, fields | changes)
      if setting.then:
        second = dataclasses.replace(setting, experiment=setting.then)
        job = self._job(second, "ce", {}, job)
      return job
    if trains == "nothing" and not self._has_validation(setting):
      fields["data.validation_fraction"] = 0.1
    base = fields | dict(setting.of_method.get("ce", {}))
    first = self._job(setting, "ce", base, learned=True)
    fields |= changes
    if trains == "classifier":
      fields |= _SECOND_STAGE
    return self._job(setting, method, fields, first)

  def _has_validation(self, setting: Setting) -> bool:
    info = catalog.DATASETS.get(self._config(setting, {}).data.name)
    return info is not None and info.validation_split is not None

  def _job(self, setting, method, fields, first=None, learned=False) -> Job:
    """Add a job; `learned`: a second stage needs its classifier learned."""
    fields = {"method": method} | fields
    config = self._config(setting, fields)
    for name in self._options.variants:
      changes = variants.VARIANTS[name].fields(config)
      if changes and not (learned and "method" in changes):
        fields |= changes
        self.changed.add(name)
    config = self._config(setting, fields)
    info = catalog.DATASETS.get(config.data.name)
    # Of the user's images the classes are not counted to name a directory.
    classes = info.num_classes if info else config.model.num_classes or 2
    resolved = ConfigDict(resolve_config(config, classes))
    if first is not None:
      resolved.init_hash = identity.fingerprint(first.config)
    job = Job(
      f"{config.name}-{config.method}-{identity.fingerprint(resolved)}",
      tuple(self._arguments(setting, fields)),
      resolved,
      tuple(range(self._options.seeds)),
      first and first.name,
    )
    return self.by_name.setdefault(job.name, job)

  def _config(self, setting: Setting, fields: dict) -> ConfigDict:
    return _parsed(tuple(self._arguments(setting, fields)))

  def _arguments(self, setting: Setting, fields: dict) -> Iterator[str]:
    yield f"--config=etf_jax:{setting.experiment}"
    for name, value in fields.items():
      yield f"--config.{name}={value}"
    yield from self._options.overrides


@functools.cache
def _parsed(arguments: tuple[str, ...]) -> ConfigDict:
  """Return the config of some arguments, which is not to be changed."""
  return command_line.parse(["", *arguments])[0]


def _check(flag: str, names: Sequence[str], known: Iterable[str]) -> None:
  for name in names:
    if name not in known:
      raise unknown_name(flag, name, known)
