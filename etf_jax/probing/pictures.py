# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The figures that `probe` writes: over tau_plus, and of three classes."""

from collections.abc import Sequence
import difflib
from pathlib import Path

import jax
import numpy as np

from etf_jax import data
from etf_jax.data import Encoded, catalog, long_tail, sources
from etf_jax.errors import InputError
from etf_jax.probing import downstream, figures, frozen, summary, views
from etf_jax.reporting.figures import style
from etf_jax.runs import reader
from etf_jax.serving.trained import Trained

PLANE = "plane through the templates"
_TITLES = {"tsne": "t-SNE", "umap": "UMAP"}
# Points of each class, or of each finer one.
_SHOWN = 150


def tau_plus(run: reader.RunRecord) -> float | None:
  """The angle of HingeCE's cones, in radians; None if there is not one."""
  found = _cones(run)
  return float(found[0]) if len(found) == 1 else None


def _cones(run) -> list[float]:
  """The different angles that a run's classes have."""
  if run.method != "etf_hinge":
    return []
  loss = run.config["loss"]
  few, many = loss["hinge_tau_minor"], loss["hinge_tau_major"]
  return sorted(
    {
      few if count <= loss["hinge_minor_count"] else many
      for count in run.class_counts
    }
  )


def check(options, groups: Sequence[reader.Group]) -> None:
  """Refuse figures that cannot be drawn, before anything is computed.

  Raises:
    InputError: see there.
  """
  if options.study:
    for group in groups:
      if len(angles := _cones(group.first)) > 1:
        raise InputError(
          f"{group.first.directory} has cones of {angles[0]:.3g} and"
          f" {angles[1]:.3g} radians, and --study is over one tau_plus: set"
          " config.loss.hinge_tau_major and config.loss.hinge_tau_minor alike"
        )
    taus = {tau_plus(group.first) for group in groups} - {None}
    if len(taus) < 2:
      raise InputError(
        "--study is over tau_plus: give runs of etf_hinge with two values of"
        f" it or more, got {len(taus)}"
      )
  names = [name for name in options.embed.split(",") if name]
  views.check_embeddings(names)
  if names and not options.view:
    raise InputError(
      f"--embed={options.embed} shows the classes of --view=A,B,C: name three"
    )
  if options.view:
    chosen = options.view.split(",")
    if len(set(chosen)) != 3:
      raise InputError(
        f"--view={options.view} must name three different classes"
      )
    for group in groups:
      _numbers(chosen, group.first)


def _numbers(chosen, run) -> list[int]:
  for name in chosen:
    if name not in run.class_names:
      near = difflib.get_close_matches(name, run.class_names, 1, 0)[0]
      raise InputError(
        f"--view: {run.directory} has no class {name!r}; did you mean {near!r}?"
      )
  return [run.class_names.index(name) for name in chosen]


class Pictures:
  """Collects what the figures need, run by run."""

  def __init__(self, options, sets: Sequence[downstream.Downstream]):
    self._options, self._sets = options, sets
    self._panels, self._corners, self._points = {}, {}, None

  def add(self, trained: Trained, label: str) -> None:
    """Take the view of a run; of several seeds the first one's."""
    options = self._options
    if not options.view or label in self._panels:
      return
    numbers = _numbers(options.view.split(","), trained.run)
    split, coarse, fine, names = _points(trained, numbers, self._sets, options)
    shown = frozen.templates(
      trained.model,
      trained.variables,
      np.zeros(trained.image_shape, np.uint8),
      trained.inputs,
    )[:, numbers]

    def features(kind):
      extract = jax.jit(frozen.create(trained.model, trained.inputs, kind))
      return frozen.look(
        extract,
        trained.variables,
        split,
        len(trained.class_names),
        batch_size=options.images_at_once,
        measure=False,
      ).features

    seen = features("classifier")
    try:
      found = {PLANE: views.project(seen, shown)}
      self._corners[label] = views.project(shown.T, shown)
    except ValueError as error:
      raise InputError(
        f"--view={options.view} of {trained.run.directory}: {error}"
      ) from error
    embedded = [name for name in options.embed.split(",") if name]
    if embedded and options.features != "classifier":
      seen = features(options.features)
    for name in embedded:
      found[_TITLES[name]] = views.EMBEDDINGS[name](seen)
    self._panels[label] = found
    # The images are the same for all runs on the same data.
    points = (coarse, fine, names)
    if self._points is None:
      self._points = points
    elif not all(map(np.array_equal, self._points, points)):
      raise InputError(
        f"--view: {trained.run.directory} has other test images of these"
        " classes than the first run; view them apart"
      )

  def write(self, rows: Sequence[summary.Row], out: Path) -> list[str]:
    """Draw what was asked for; returns the names of the files."""
    drawn = {}
    if self._options.study:
      drawn["study.png"] = _study(rows)
    if self._panels:
      coarse, fine, names = self._points
      drawn["views.png"] = figures.views(
        self._panels,
        self._corners,
        coarse,
        self._options.view.split(","),
        fine,
        names,
      )
    for name, figure in drawn.items():
      try:
        style.png(figure, out / name)
      except OSError as error:
        raise InputError(
          f"cannot write {out / name}: {error.strerror}"
        ) from error
    return list(drawn)


def _points(trained, numbers, sets, options):
  """Test images of three classes, their classes, and finer ones if known."""
  config = trained.config.data.copy_and_resolve_references()
  with config.unlocked():
    config.update(feed="stream", data_dir=options.data_dir or config.data_dir)
  source = data.load(config).test.source
  classes, names = source.labels, source.class_names
  for held in sets:
    if _same_images(held, config, classes):
      classes, names = held.test.labels, held.test.class_names
      break
  chosen = np.flatnonzero(np.isin(source.labels, numbers))
  some = long_tail.select(classes[chosen], np.full(len(names), _SHOWN), 0)
  chosen = chosen[some]
  coarse = np.array([numbers.index(k) for k in source.labels[chosen].tolist()])
  split = Encoded(sources.choose(source, chosen), trained.pixels)
  return split, coarse, classes[chosen], names


def _same_images(held, config, classes) -> bool:
  """Whether a set has the run's test images, with finer classes."""
  known = [catalog.DATASETS.get(name) for name in (held.name, config.name)]
  if None in known or config.dir is not None:
    return False
  return (
    known[0].tfds_name == known[1].tfds_name
    and len(held.test.labels) == len(classes)
    and len(np.unique(held.test.labels)) > len(np.unique(classes))
  )


def _study(rows):
  """Lines over tau_plus, and across for the methods without one."""
  transfer = [row for row in rows if row["part"] == "transfer"]
  own = [row for row in rows if row["part"] == "own"]

  def curve(chosen, value):
    found = {}
    for row in chosen:
      if row["tau_plus"] is not None:
        found.setdefault(row["tau_plus"], []).append(value(row))
    return found

  series = [
    (name, key)
    for name in dict.fromkeys(row["data"] for row in transfer)
    for key in summary.EVALUATIONS
  ]
  accuracy = {
    f"{name}, {summary.EVALUATIONS[key]}": curve(
      [row for row in transfer if row["data"] == name],
      lambda row, key=key: summary.score(row, key),
    )
    for name, key in series
  }
  others = {}
  for label in dict.fromkeys(r["run"] for r in own if r["tau_plus"] is None):
    means = [
      np.mean(
        [
          summary.score(row, key)
          for row in transfer
          if (row["data"], row["run"]) == (name, label)
        ]
      )
      for name, key in series
    ]
    mine = [row for row in own if row["run"] == label]
    others[label] = (
      means,
      float(np.mean([row["nc1"] for row in mine])),
      float(np.mean([row["rank"] for row in mine])),
    )
  return figures.study(
    accuracy,
    curve(own, lambda row: row["nc1"]),
    curve(own, lambda row: row["rank"]),
    others,
  )
