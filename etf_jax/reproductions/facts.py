# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The shapes of what the papers say: settings, values, tables and figures."""

from collections.abc import Mapping, Sequence
import dataclasses
from typing import NamedTuple

Fields = Mapping[str, object]

# Names of methods as tables give them.
METHOD_LABELS = {
  "ce": "Learnable classifier + CE",
  "ce_weighted": "Learnable classifier + CE*",
  "ce_frozen": "Frozen linear classifier + CE",
  "etf_ce": "ETF classifier + CE",
  "etf_dr": "ETF classifier + DR",
  "etf_hinge": "HingeCE",
  "ldam_drw": "LDAM-DRW",
  "logit_adjusted": "Logit adjustment (balanced softmax)",
  "balanced_softmax": "Balanced softmax",
  "focal": "Focal loss",
  "class_balanced": "Class-balanced CE",
  "crt": "cRT on CE",
  "tau_norm": "tau-norm on CE",
}


@dataclasses.dataclass(frozen=True)
class Value:
  """A published accuracy, in percent.

  Attributes:
    mean: over seeds.
    deviation: over seeds; None where it was not published.
    seeds: how many; None where that was not published.
    source: where it stands, if that is not the target itself.
  """

  mean: float
  deviation: float | None = None
  seeds: int | None = None
  source: str = ""


@dataclasses.dataclass(frozen=True)
class Setting:
  """Data, network and recipe, in which methods are compared.

  Attributes:
    label: as tables show it.
    experiment: a file of configs/ without .py, its argument behind a colon.
    imbalance: smallest over largest class; None: the file's.
    mixup: alpha; None: the file's.
    fields: further ones of the config, for every method.
    of_method: further ones for some, by method.
    methods: those that run here; empty: the target's.
    published: by method; what is not here was not published.
    then: a second experiment, which learns a linear classifier on the backbone
      of the first; the accuracies are its own. Empty: there is none.
    series: name of the line in a figure to which this is a point, and where on
      the axis it is; None: no such figure.
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

  @property
  def dataset(self) -> str:
    """The file of configs/, which names the data."""
    return self.experiment.partition(":")[0]


@dataclasses.dataclass(frozen=True)
class Reported:
  """A result of a method that is not here, or of others' runs of one.

  Attributes:
    dataset: as `Setting.dataset`.
    label: of the method.
    value: None where the source does not tell.
    remark: what it is.
  """

  dataset: str
  label: str
  value: Value | None
  remark: str = ""


class Elsewhere(NamedTuple):
  """What of a table or figure is taken to other data.

  Attributes:
    title: what it shows, without the data.
    methods: its rows.
    mixups: alphas.
  """

  title: str
  methods: tuple[str, ...]
  mixups: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Target:
  """A table or figure of a paper.

  Attributes:
    title: what it shows.
    paper: whose it is, and where in it.
    settings: its columns.
    methods: its rows.
    baselines: further rows that the paper lacks.
    main: the method that is compared with all others.
    shows: figures beside the table: collapse | centres | curves | classes |
      sweep.
    keys: of collapse rows, for the figures that show some of them.
    elsewhere: what is taken to other data, if anything.
    reported: rows of published values alone.
    probed: what part of it `python -m etf_jax.probe` makes of the runs; empty
      where that is not needed.
    probe: its arguments besides the runs.
    notes: what a reader must know.
  """

  title: str
  paper: str
  settings: Sequence[Setting]
  methods: tuple[str, ...]
  baselines: tuple[str, ...] = ()
  main: str = "etf_dr"
  shows: tuple[str, ...] = ()
  keys: tuple[str, ...] = ()
  elsewhere: Elsewhere | None = None
  reported: Sequence[Reported] = ()
  probed: str = ""
  probe: str = ""
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
