# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The work of `python -m etf_jax.probe`, once its options are read."""

import argparse
from collections.abc import Sequence
import json
import logging
import time
from typing import Any, NamedTuple

import jax
import numpy as np

from etf_jax.configs import base
from etf_jax.data import Encoded, catalog, long_tail, sources
from etf_jax.errors import InputError, unknown_name
from etf_jax.probing import (
  downstream,
  features,
  figures,
  linear,
  regression,
  results,
)
from etf_jax.reporting.figures import style
from etf_jax.runs import files, reader
from etf_jax.serving import run_directory, splits
from etf_jax.serving.trained import Trained

_POINTS = 150  # of each class of a view, or of each finer one
_FINER = 2  # finer classes of each class of a view, as in HingeCE's figure 1
_log = logging.getLogger("etf_jax")


class _View(NamedTuple):
  """A value of --view: a data set, or "" for the run's, and three classes."""

  text: str
  dataset: str
  classes: tuple[str, ...]

  def numbers(self, names: Sequence[str]) -> list[int]:
    """Return the places of the classes among names; a number is a place."""
    found = []
    for name in self.classes:
      if name not in names and not (name.isdigit() and int(name) < len(names)):
        raise unknown_name("--view", name, names)
      found.append(names.index(name) if name in names else int(name))
    if len(set(found)) != 3:
      raise InputError(f"--view={self.text}: name three different classes")
    return found


def run(options: argparse.Namespace) -> int:
  """Probe the runs, write tables and figures, and return the exit code."""
  groups = _groups(options)
  sets = _sets(options, groups[0].first)
  views = _views(options, groups, sets)
  out = files.out_folder(options.output)
  rows: list[dict[str, Any]] = []
  panels: list[dict[str, figures.View]] = [{} for _ in views]
  for group in groups:
    for one in group.runs:
      trained = Trained(one, options.step, options.trust_code)
      _log.info(trained.description)
      # Of several seeds the first is in a picture.
      wanted = dict(enumerate(views)) if one is group.first else {}
      found, drawn = _probe(options, trained, group.label, sets, wanted)
      rows += found
      for place, view in drawn.items():
        panels[place][group.label] = view
  tables = results.tables(rows)
  print(results.text(tables))
  report = {"settings": vars(options), "rows": rows}
  written = {
    "probe.md": results.markdown(tables),
    "probe.csv": results.as_csv(rows),
    "probe.json": json.dumps(report, indent=1) + "\n",
  }
  for name, content in written.items():
    files.write(out / name, content)
  pictures = {
    f"view-{i + 1}.png": figures.views(p) for i, p in enumerate(panels)
  }
  if options.study:
    pictures["study.png"] = figures.study(rows)
  for name, figure in pictures.items():
    style.png(figure, out / name)
  print(f"wrote {', '.join([*written, *pictures])} to {out}")
  return 0


def tau_plus(run: reader.RunRecord) -> float | None:
  """Return the angle of HingeCE's cones in radians, if there is just one."""
  angles = _angles(run)
  return float(angles[0]) if len(angles) == 1 else None


def _angles(run: reader.RunRecord) -> list[float]:
  if run.method != "etf_hinge":
    return []
  loss = run.config["loss"]
  few, many = loss["hinge_tau_minor"], loss["hinge_tau_major"]
  least = loss["hinge_minor_count"]
  return sorted({few if n <= least else many for n in run.class_counts})


def _groups(options: argparse.Namespace) -> list[reader.Group]:
  """Return the runs, seeds together, all finished, with different labels."""
  groups = reader.group(reader.load_all(options.workdir))
  for group in groups:
    for one in group.unfinished:
      raise InputError(
        f"{one.directory} has not finished (epoch {one.epoch:.4g}): the same"
        " training command continues it"
      )
  if options.study:
    _check_study(groups)
  labels = [group.label for group in groups]
  named = []
  for group in groups:
    same = [other for other in groups if other.label == group.label]
    label = group.label
    if labels.count(label) > 1:  # on different data
      fields = reader.differences(same)
      place = same.index(group)
      values = ", ".join(f"{key}={row[place]}" for key, row in fields.items())
      if not 0 < len(fields) <= 2:
        values = f"{group.first.name} {group.first.hash}"
      label = f"{label} ({values})"
    named.append(reader.Group(label, group.runs))
  return named


def _check_study(groups: Sequence[reader.Group]) -> None:
  for group in groups:
    if len(angles := _angles(group.first)) > 1:
      raise InputError(
        f"{group.first.directory} has cones of {angles[0]:.3g} and"
        f" {angles[1]:.3g} radians, and --study is over one tau_plus: set"
        " config.loss.hinge_tau_major and config.loss.hinge_tau_minor alike"
      )
  taus = {tau_plus(group.first) for group in groups} - {None}
  if len(taus) < 2:
    raise InputError(
      "--study is over tau_plus: give runs of etf_hinge with two values of it"
      f" or more, got {len(taus)}"
    )


def _sets(
  options: argparse.Namespace, run: reader.RunRecord
) -> list[downstream.Downstream]:
  """Open the data sets, all before anything is computed."""
  if not options.datasets and not options.dir:
    raise InputError(
      "name the data sets: --datasets=cifar10,food101 (nine: the paper's), or"
      " --dir=FOLDER with FOLDER/train/CLASS/IMAGE and FOLDER/test/CLASS/IMAGE"
    )
  for flag in ("epochs", "batch_size", "images_at_once", "per_class"):
    value = getattr(options, flag)
    if value is not None and value < 1:
      raise InputError(f"--{flag}={value} must be at least 1")
  if not options.learning_rate > 0:
    raise InputError(f"--learning_rate={options.learning_rate} must be above 0")
  named = downstream.parse(options.datasets) if options.datasets else {}
  if options.dir:
    name, folder = downstream.of_folder(options.dir)
    if name in named:
      raise InputError(f"--dir={folder}: {name} is in --datasets already")
    named[name] = folder
  config = base.get_config().data
  trained_on = run.config.get("data") or {}
  config.data_dir = options.data_dir or trained_on.get("data_dir")
  config.cache_dir = trained_on.get("cache_dir")
  if not options.trust_code:
    given = {"data_dir"} if options.data_dir else set()
    run_directory.refuse_addresses(config, given)
  return [
    downstream.open_set(name, folder, config, options.per_class)
    for name, folder in named.items()
  ]


def _views(options, groups, sets) -> list[_View]:
  """Read the values of --view, whose classes all runs or a data set have."""
  found = []
  for text in options.view:
    dataset, _, classes = text.rpartition(":")
    view = _View(text, dataset, tuple(classes.split(",")))
    if dataset:
      names = {one.name: one.test.class_names for one in sets}
      if dataset not in names:
        raise unknown_name("--view", dataset, names)
      view.numbers(names[dataset])
    else:
      for group in groups:
        view.numbers(group.first.class_names)
    found.append(view)
  return found


def _probe(
  options, trained: Trained, label: str, sets, views: dict[int, _View]
) -> tuple[list[dict[str, Any]], dict[int, figures.View]]:
  """Return the rows of a run, for its data and every other set, and views."""

  def read(split: Encoded, kind: str) -> features.Features:
    return features.read(
      extract[kind],
      trained.variables,
      split,
      batch_size=options.images_at_once,
    )

  extract = {
    kind: jax.jit(features.extractor(trained.model, trained.inputs, kind))
    for kind in features.KINDS
  }
  about = {
    "run": label,
    "name": trained.run.name,
    "method": trained.run.method,
    "seed": trained.run.seed,
    "directory": str(trained.run.directory),
    "checkpoint": options.step,
    "step": trained.step,
    "features": options.features,
    "tau_plus": tau_plus(trained.run),
  }
  config = run_directory.config(trained.run).data
  config.data_dir = options.data_dir or config.data_dir
  given = {"data_dir"} if options.data_dir else set()
  source = splits.of_run(trained, config, given)
  start = time.perf_counter()
  assert isinstance(source.train, Encoded)
  assert isinstance(source.test, Encoded)
  assert trained.run.final is not None
  found = read(source.train, options.features)
  num_classes = len(trained.class_names)
  rows = [
    about
    | {
      "part": "source",
      "data": config.name,
      "num_classes": num_classes,
      "train_images": len(found.labels),
      "accuracy": trained.run.final[options.step]["accuracy"],
    }
    | features.diversity(found, num_classes)._asdict()
  ]
  _progress("the run's training images", start)
  drawn = {}
  for place, view in views.items():
    if not view.dataset:
      split, places, colors, names = _points(view, trained, source.test, sets)
      points = read(split, "classifier").features
      templates = features.templates(
        trained.model,
        trained.variables,
        np.zeros(trained.image_shape, np.uint8),
        trained.inputs,
      )[:, view.numbers(trained.class_names)]
      points, corners = _project(view, points, templates)
      drawn[place] = figures.View(points, corners, places, colors, names)
  for one in sets:
    start = time.perf_counter()
    train, test = (
      read(Encoded(split, trained.pixels), options.features)
      for split in (one.train, one.test)
    )
    row, fitted = _transfer(options, one, train, test)
    rows.append(about | row)
    _progress(f"{one.name}: {len(train.labels)} training images", start)
    for place, view in views.items():
      if view.dataset == one.name:
        numbers = view.numbers(one.test.class_names)
        chosen = _choose(test.labels, numbers, one.num_classes)
        labels = test.labels[chosen]
        points, corners = _project(
          view, test.features[chosen], fitted.kernel[:, numbers]
        )
        places = np.array([numbers.index(k) for k in labels.tolist()])
        drawn[place] = figures.View(
          points, corners, places, labels, one.test.class_names
        )
  return rows, drawn


def _transfer(
  options, one: downstream.Downstream, train, test
) -> tuple[dict[str, Any], regression.Regression]:
  """Learn both classifiers; return the row of the set, and the regression."""
  if len(train.labels) != len(one.held_out):
    raise InputError(
      f"{one.name}: {len(one.held_out) - len(train.labels)} training images"
      " cannot be decoded; remove them"
    )
  scores = {
    "top1": regression.accuracy,
    "mean_per_class": downstream.mean_per_class,
  }
  learned = linear.train(
    train.features,
    train.labels,
    one.num_classes,
    epochs=options.epochs,
    batch_size=options.batch_size,
    learning_rate=options.learning_rate,
  )
  fitted = regression.fit(
    train.features,
    train.labels,
    one.num_classes,
    held_out=one.held_out,
    score=scores[one.metric],
  )
  if not fitted.converged:
    _log.warning("%s: the regression has not converged", one.name)
  row = {
    "part": "transfer",
    "data": one.name,
    "num_classes": one.num_classes,
    "train_images": len(train.labels),
    "test_images": len(test.labels),
    "metric": one.metric,
    **{
      f"{name}_{key}": value(test.labels, model.predict(test.features))
      for name, model in (("sgd", learned), ("regression", fitted))
      for key, value in scores.items()
    },
    "penalty": fitted.penalty,
    "held_out_score": fitted.score,
    "converged": fitted.converged,
    **features.diversity(train, one.num_classes)._asdict(),
  }
  return row, fitted


def _choose(labels: np.ndarray, numbers: list[int], num_classes: int):
  """Return the places of some images of each of some classes."""
  chosen = np.flatnonzero(np.isin(labels, numbers))
  counts = np.full(num_classes, _POINTS)
  return chosen[long_tail.select(labels[chosen], counts, 0)]


def _project(
  view: _View, points: np.ndarray, templates: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Return the points and the templates on the templates' plane."""
  try:
    corners = figures.project(templates.T, templates)
    return figures.project(points, templates), corners
  except ValueError as error:
    raise InputError(f"--view={view.text}: {error}") from error


def _points(view: _View, trained: Trained, test: Encoded, sets):
  """Return test images of a run's classes, with finer classes if known."""
  source, numbers = test.source, view.numbers(trained.class_names)
  coarse = np.asarray(source.labels)
  fine, names = coarse, source.class_names
  for one in sets:
    if _same_images(one, trained.config.data, coarse):
      fine, names = one.test.labels, one.test.class_names
      break
  kinds = [k for n in numbers for k in np.unique(fine[coarse == n])[:_FINER]]
  chosen = _choose(fine, kinds, len(names))
  chosen = chosen[np.isin(coarse[chosen], numbers)]
  places = np.array([numbers.index(k) for k in coarse[chosen].tolist()])
  split = Encoded(sources.choose(source, chosen), trained.pixels)
  return split, places, fine[chosen], names


def _same_images(one: downstream.Downstream, config, labels) -> bool:
  """Return True if a set has the run's test images with finer classes."""
  known = [catalog.DATASETS.get(name) for name in (one.name, config.name)]
  if known[0] is None or known[1] is None or config.dir is not None:
    return False
  return (
    known[0].tfds_name == known[1].tfds_name
    and len(one.test.labels) == len(labels)
    and len(np.unique(one.test.labels)) > len(np.unique(labels))
  )


def _progress(what: str, start: float) -> None:
  _log.info("%s, %.1f s", what, time.perf_counter() - start)
