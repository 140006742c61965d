# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Advice on a data set before training: its tail, and the method to begin with.

survey = advice.survey(config.data, weight_decay=config.optimizer.weight_decay)
table = advice.nearest_table(survey)
print("\n".join(advice.lines(survey)))

What is advised is the best method of the table in `TABLES` whose data are most
like these; the tables are copies of the guides'.
"""

from collections.abc import Mapping, Sequence
import math
from typing import Any, NamedTuple

from ml_collections import ConfigDict
import numpy as np

from etf_jax import data
from etf_jax.data import formats, sources
from etf_jax.data.sources import duplicates
from etf_jax.data.sources import source as file_sources
from etf_jax.evaluation import shots
from etf_jax.reporting import tables
from etf_jax.theory.laboratory import counts as theory_counts
from etf_jax.training import methods

# Images whose headers are read.
_LOOKED_AT = 100
# Different counts that the theory is solved for, and values of lambda_Z.
_LEVELS, _POINTS = 8, 8
_NAMED = 6


class Table(NamedTuple):
  """Methods that were compared here.

  Attributes:
    data: name in lines.
    images: training examples.
    largest: of them in the largest class.
    smallest: of them in the smallest class.
    side: pixels of the shorter side; 0: features.
    rows: percent of test accuracy by method, classes counting alike, with the
      sample standard deviation over three seeds.
    guide: where the table stands.
  """

  data: str
  images: int
  largest: int
  smallest: int
  side: int
  rows: Mapping[str, tuple[float, float]]
  guide: str


TABLES = (
  Table(
    *("digits", 488, 143, 7, 8),
    {"etf_dr": (96.2, 0.9), "crt": (95.8, 0.8), "ce": (94.1, 1.1)},
    "configs/README.md",
  ),
  Table(
    *("Fashion-MNIST at imbalance 0.01", 14_886, 6000, 60, 28),
    {
      "crt": (87.8, 0.2),
      "logit_adjusted": (87.4, 0.5),
      "ce_weighted": (86.0, 0.3),
      "ldam_drw": (86.0, 0.2),
      "etf_dr": (85.1, 0.1),
      "ce": (83.8, 0.2),
      "etf_ce": (75.2, 1.6),
    },
    "README.md",
  ),
  Table(
    *("740 photographs", 740, 300, 3, 224),
    {
      "logit_adjusted": (45.9, 0.6),
      "etf_dr": (40.0, 1.2),
      "ce": (35.1, 0.5),
    },
    "etf_jax/data/README.md",
  ),
  Table(
    *("features of 740 photographs", 740, 300, 3, 0),
    {
      "ldam_drw": (97.4, 0.0),
      "etf_logit_adjusted": (97.2, 0.2),
      "logit_adjusted": (96.2, 0.1),
      "etf_dr": (94.2, 0.1),
      "ce": (92.7, 0.6),
    },
    "etf_jax/sklearn/README.md",
  ),
  Table(
    *("features of CIFAR-10 at imbalance 0.01", 12_406, 5000, 50, 0),
    {
      "etf_logit_adjusted": (84.4, 0.0),
      "etf_dr": (83.9, 0.1),
      "ldam_drw": (83.5, 0.1),
      "logit_adjusted": (80.1, 0.2),
      "ce": (75.2, 0.1),
    },
    "etf_jax/sklearn/README.md",
  ),
  Table(
    *("features of Tiny ImageNet at imbalance 0.01", 21_549, 500, 5, 0),
    {
      "ldam_drw": (29.6, 0.1),
      "etf_logit_adjusted": (25.2, 0.0),
      "etf_dr": (23.5, 0.0),
      "logit_adjusted": (21.6, 0.4),
      "ce": (20.1, 0.3),
    },
    "etf_jax/sklearn/README.md",
  ),
)


def survey(config: ConfigDict, *, weight_decay: float) -> dict[str, Any]:
  """Open a data set and describe its training examples.

  Args:
    config: `data` of configs/base.py.
    weight_decay: of the recipe, taken for lambda_Z of the theory.

  Returns:
    Numbers, names and lines, as JSON can hold them.

  Raises:
    InputError: as `data.load`.
  """
  config = ConfigDict(config)
  # Nothing is decoded, and duplicates are a part of the survey.
  config.update(feed="stream", corrupt="error", duplicates="allow")
  dataset = data.load(config)
  counts, names = dataset.class_counts, dataset.class_names
  splits: dict[str, Any] = {
    "train": dataset.train,
    "validation": dataset.validation,
    "test": dataset.test,
  }
  splits = {name: split.source for name, split in splits.items() if split}
  files = {
    name: file
    for name, source in splits.items()
    if (file := _files(source)) is not None
  }
  number = {
    name: np.bincount(source.labels, minlength=len(names)).tolist()
    for name, source in splits.items()
  }
  kinds = shots.of(counts)
  is_features = dataset.statistics is not None
  found = {
    "examples": "rows" if is_features else "images",
    "classes": [
      {"name": name, "shots": shots.NAMES[kinds[k]]}
      | {split: number[split][k] for split in number}
      for k, name in enumerate(names)
    ],
    "totals": {split: sum(number[split]) for split in number},
    "largest": int(counts.max()),
    "smallest": int(counts.min()),
    "imbalance": float(counts.min() / counts.max()),
    "shots": {
      name: int(np.sum(kinds == place))
      for place, name in enumerate(shots.NAMES)
    },
    "duplicates": duplicates.find(files),
    "sides": None,
    "theory": theory_of(counts, names, weight_decay),
  }
  if not is_features:
    found["sides"] = _sides(splits["train"])
  return found


def nearest_table(survey: Mapping[str, Any]) -> Table:
  """Return the table whose data are most like those of a survey.

  The distance is the sum of absolute logarithms of three ratios: of examples,
  of the smallest class, and of the images' sides. Features are like features
  only.
  """
  sides = survey["sides"]
  like = [table for table in TABLES if (table.side > 0) == bool(sides)]

  def distance(table: Table) -> float:
    pairs = [
      (table.images, survey["totals"]["train"]),
      (table.smallest, survey["smallest"]),
    ]
    if sides:
      pairs.append((table.side, sides["median"] or table.side))
    return sum(abs(math.log(one / other)) for one, other in pairs)

  return min(like, key=distance)


def best_methods(table: Table) -> tuple[str, list[str]]:
  """Return the method to begin with, and those that are not told from it.

  The first is the best that trains by itself. Others are not told from it
  within two standard errors of a difference.
  """
  ranked = sorted(table.rows, key=lambda name: -table.rows[name][0])
  best = next(name for name in ranked if methods.METHODS[name].trains == "all")
  mean, deviation = table.rows[best]
  beside = [
    name
    for name, (other, spread) in table.rows.items()
    if name != best
    and other >= mean - 2 * math.hypot(deviation, spread) / math.sqrt(3)
  ]
  return best, beside


def lines(survey: Mapping[str, Any]) -> list[str]:
  """Return a survey as lines of text."""
  totals, classes = survey["totals"], survey["classes"]
  held_out = ", ".join(
    f"{totals[split]:,} to {verb}"
    for split, verb in (("validation", "validate"), ("test", "test"))
    if split in totals
  )
  smallest = sorted(classes, key=lambda row: row["train"])[:_NAMED]
  result = [
    f"{totals['train']:,} {survey['examples']} of {len(classes)} classes to"
    f" train on, {survey['largest']:,} to {survey['smallest']:,} a class"
    f" (imbalance {tables.significant(survey['imbalance'])}); {held_out}",
    "smallest: " + ", ".join(f"{r['name']} {r['train']:,}" for r in smallest),
    f"many (more than {shots.MANY_ABOVE}), medium and few (fewer than"
    f" {shots.FEW_BELOW}): "
    + ", ".join(str(survey["shots"][name]) for name in shots.NAMES)
    + " classes",
  ]
  if untested := [row["name"] for row in classes if not row["test"]]:
    result.append("without a test image: " + ", ".join(untested[:_NAMED]))
  if sides := survey["sides"]:
    result.append(
      f"shorter side: {sides['least']} to {sides['most']} pixels, median"
      f" {sides['median']} ({sides['images']} images looked at)"
    )
    if sides["unreadable"]:
      result.append(
        f"{sides['unreadable']} of them are no images that can be read"
      )
    result += survey["duplicates"] or ["no duplicates"]
  theory = survey["theory"]
  merged = ", ".join(theory["first"][:_NAMED])
  result.append(
    "theory: in the unconstrained-feature model (Hong and Ling) a learned"
    f" classifier under cross-entropy merges {merged} from lambda_Z ="
    f" {theory['start']:.2g} on, and"
    f" {', '.join(theory['merged'][:_NAMED]) or 'no classes'} at"
    f" {theory['lambda_z']:.2g}, the weight decay; two classes of n merge from"
    f" sqrt(n) / N on, the smallest from {theory['threshold']:.2g}"
  )
  return result


def table_lines(table: Table) -> list[str]:
  """Return a table as lines of text."""
  rows = sorted(table.rows.items(), key=lambda row: -row[1][0])
  cells = [["method", "balanced accuracy"]]
  cells += [[name, f"{mean:.1f} ± {sd:.1f}"] for name, (mean, sd) in rows]
  return [
    f"measured here on {table.data} ({table.largest:,} to {table.smallest:,} a"
    f" class, three seeds, {table.guide}), which these are most like:",
    tables.aligned(cells),
  ]


def _files(source: sources.Source) -> file_sources.FileSource | None:
  """Return a source of files without what chooses of it; None: no files."""
  indices, labels = np.arange(len(source.labels)), source.labels
  names = source.class_names
  while isinstance(source, sources.Subset):
    indices, source = source.indices[indices], source.source
  if not isinstance(source, file_sources.FileSource):
    return None
  paths = [source.relative(int(index)) for index in indices]
  return file_sources.file_source(source.root, paths, labels, names)


def _sides(source: sources.Source) -> dict[str, int | None]:
  """Read the shorter sides of some images, from their headers."""
  number = len(source.labels)
  found, unreadable = [], 0
  places = np.linspace(0, number - 1, min(number, _LOOKED_AT)).astype(int)
  for place in places:
    size = formats.size(source.read(place))
    if size is None:
      unreadable += 1
    else:
      found.append(min(size))
  return {
    "images": len(places),
    "unreadable": unreadable,
    "least": min(found, default=None),
    "median": int(np.median(found)) if found else None,
    "most": max(found, default=None),
  }


def theory_of(
  counts: np.ndarray, names: Sequence[str], weight_decay: float
) -> dict[str, Any]:
  """Find the classes that theory expects a learned classifier to merge.

  Args:
    counts: `[K]` training examples; close counts share their mean.
    names: the K names.
    weight_decay: the lambda_Z of a run whose features had the same penalty.

  Returns:
    `merged`, the classes that are merged at `lambda_z`, the weight decay;
    `first`, those that merge first, and `start`, the lambda_Z at which they do;
    and `threshold`, sqrt(n) / N of the smallest class.
  """
  solved = theory_counts.merge_counts(np.maximum(counts, 1), _LEVELS)
  grid = theory_counts.default_grid(solved)
  grid = grid[:: math.ceil(len(grid) / _POINTS)]
  # No class is merged below the grid, and the solver would not converge.
  values = [weight_decay] if weight_decay > grid[0] else []
  sweep = theory_counts.sweep_counts(solved, [*grid, *values])
  start = np.nanmin(sweep.starts)
  at_decay = np.zeros(len(counts), bool)
  if values:
    at_decay = sweep.collapsed[:, sweep.lambda_z == weight_decay][:, 0]
  order = np.argsort(counts, kind="stable")
  return {
    "model": "solve_unconstrained_features",
    "lambda_z": weight_decay,
    "merged": [names[k] for k in order if at_decay[k]],
    "start": float(start),
    "first": [names[k] for k in order if sweep.starts[k] == start],
    "threshold": float(np.sqrt(counts.min()) / counts.sum()),
  }
