# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Tables and figures of the papers: published values, settings and targets."""

from collections.abc import Mapping, Sequence
import dataclasses
from typing import NamedTuple

Fields = Mapping[str, object]

METHOD_LABELS = {
  "ce": "Learnable classifier + CE",
  "ce_weighted": "Learnable classifier + CE*",
  "ce_frozen": "Frozen linear classifier + CE",
  "etf_ce": "ETF classifier + CE",
  "etf_dr": "ETF classifier + DR",
  "etf_hinge": "HingeCE",
  "ldam_drw": "LDAM-DRW",
  "logit_adjusted": "Logit adjustment (balanced softmax)",
  "etf_logit_adjusted": "ETF classifier + logit adjustment",
  "balanced_softmax": "Balanced softmax",
  "focal": "Focal loss",
  "class_balanced": "Class-balanced CE",
  "crt": "cRT on CE",
  "tau_norm": "tau-norm on CE",
}


class Value(NamedTuple):
  """A published accuracy in percent, over seeds; None: not published."""

  mean: float
  deviation: float | None = None
  seeds: int | None = None

  def __str__(self) -> str:
    if self.deviation is None:
      return f"{self.mean:.1f}"
    return f"{self.mean:.1f} ± {self.deviation:.1f}"


@dataclasses.dataclass(frozen=True)
class Setting:
  """Data, network and recipe, in which methods are compared.

  Attributes:
    label: text in tables.
    experiment: a file of configs/ without .py, with an argument behind a colon.
    imbalance: smallest over largest class; None: the experiment's.
    mixup: alpha; None: the experiment's.
    fields: further config fields, for every method.
    of_method: further config fields by method.
    methods: the methods that run; empty: the target's.
    published: values by method.
    then: a second experiment, which learns a linear classifier on the backbone
      of the first and whose accuracies count; empty: none.
    series: name of a line in a figure, and the place of this point on the axis;
      None: no point.
    family: settings of one family have a mean difference; empty: none.
  """

  label: str
  experiment: str
  imbalance: float | None = None
  mixup: float | None = None
  fields: Fields = dataclasses.field(default_factory=dict)
  of_method: Mapping[str, Fields] = dataclasses.field(default_factory=dict)
  methods: tuple[str, ...] = ()
  published: Mapping[str, Value] = dataclasses.field(default_factory=dict)
  then: str = ""
  series: tuple[str, float] | None = None
  family: str = ""

  @property
  def dataset(self) -> str:
    """Return the name of the file of configs/."""
    return self.experiment.partition(":")[0]


class Reported(NamedTuple):
  """A published value of a method that does not run here.

  The dataset is a `Setting.dataset`, the source an address or a table.
  """

  dataset: str
  label: str
  value: Value
  source: str


class Elsewhere(NamedTuple):
  """Title, methods and mixup alphas of a target on other data."""

  title: str
  methods: tuple[str, ...]
  mixups: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Target:
  """A table or figure of a paper.

  Attributes:
    title: subject.
    paper: the paper, and the place in it.
    settings: columns.
    methods: rows.
    baselines: further rows that the paper lacks.
    main: the method that is compared with all others.
    fields: config fields of every run; those of collapse change no run's
      identity.
    figures: names in `figures.DRAW`.
    keys: fields of collapse rows that the figures show.
    elsewhere: the part that runs on other data; None: nothing.
    reported: rows of published values alone.
    probes: what `python -m etf_jax.probe` makes of the runs, and its arguments.
    notes: sentences below the table.
  """

  title: str
  paper: str
  settings: Sequence[Setting]
  methods: tuple[str, ...]
  baselines: tuple[str, ...] = ()
  main: str = "etf_dr"
  fields: Fields = dataclasses.field(default_factory=dict)
  figures: tuple[str, ...] = ()
  keys: tuple[str, ...] = ()
  elsewhere: Elsewhere | None = None
  reported: Sequence[Reported] = ()
  probes: tuple[tuple[str, str], ...] = ()
  notes: tuple[str, ...] = ()


def values(text: str, seeds: int | None = None) -> list[Value]:
  """Read a row of a table: numbers, some with a deviation behind ±."""
  found = []
  for entry in text.replace("|", " ").split():
    mean, _, deviation = entry.partition("±")
    found.append(
      Value(float(mean), float(deviation) if deviation else None, seeds)
    )
  return found
