# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
r"""Learns other data sets on the frozen features of trained runs.

In use::

    python -m etf_jax.probe --workdir=runs/my_run --datasets=cifar10,food101
    python -m etf_jax.probe --workdir=runs/ce --workdir=runs/etf_hinge \
      --datasets=nine,aircraft=/data/aircraft --out=probed
    python -m etf_jax.probe --workdir=runs/my_run --dir=FOLDER
    python -m etf_jax.probe --workdir=runs --datasets=fashion_mnist --study
    python -m etf_jax.probe --workdir=runs --datasets=fashion_mnist \
      --view=tops,shoes,bags --embed=tsne

A --workdir is that of a run, or holds several at any depth. Runs that differ in
their seed only are one line of the tables, the first run is what the others are
compared with. Classifiers are learned in two ways: by HingeCE's linear
evaluation (SGD, batches of 128, a rate of 1 for 100 epochs), and by
L2-regularised multinomial regression. Beside them stand NC1 and the numerical
rank of the features, of the run's own training images and of the others'.

Writes probe.md, probe.csv and probe.json to --out; with --study, of runs of
etf_hinge with several config.loss.hinge_tau_major or _minor, study.png; with
--view views.png.
"""

import argparse
from collections.abc import Sequence
import json
import sys
import time

import jax

from etf_jax.configs import base
from etf_jax.data import Encoded
from etf_jax.errors import InputError
from etf_jax.probing import (
  downstream,
  frozen,
  linear,
  pictures,
  regression,
  summary,
)
from etf_jax.runs import files, reader
from etf_jax.serving import run_directory, splits
from etf_jax.serving.trained import Trained
from etf_jax.training.checkpoints import restore


def main(argv: Sequence[str] | None = None) -> int:
  """Run the command and returns its exit code."""
  options = _parser().parse_args(argv)
  try:
    groups = _groups(options)
    pictures.check(options, groups)
    sets = _sets(options, groups[0].first)
    out = files.out_folder(options.out)
    rows, shown = [], pictures.Pictures(options, sets)
    for group in groups:
      for run in group.runs:
        trained = Trained(run, options.step)
        print(trained.description, file=sys.stderr)
        rows += _probe(options, trained, group.label, sets)
        shown.add(trained, group.label)
    tables = summary.tables(rows)
    print(summary.text(tables))
    written = {
      "probe.md": summary.markdown(tables),
      "probe.csv": summary.as_csv(rows),
      "probe.json": json.dumps(
        {"settings": vars(options), "rows": rows}, indent=1
      )
      + "\n",
    }
    for name, content in written.items():
      files.write(out / name, content)
    names = [*written, *shown.write(rows, out)]
  except InputError as error:
    print(f"error: {error}", file=sys.stderr)
    return 2
  print(f"wrote {', '.join(names)} to {out}")
  return 0


def _groups(options) -> list[reader.Group]:
  """The runs, seeds together, all finished."""
  groups = reader.group(reader.load_all(options.workdir))
  for group in groups:
    for run in group.unfinished:
      raise InputError(
        f"{run.directory} has not finished (epoch {run.epoch:.4g}): the same"
        " training command continues it"
      )
  labels = [group.label for group in groups]
  if len(set(labels)) < len(labels):  # of runs on different data
    groups = [
      reader.Group(f"{g.label} ({g.first.name})", g.runs) for g in groups
    ]
  return groups


def _sets(options, run) -> list[downstream.Downstream]:
  """The data sets, all opened before anything is computed."""
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
  own = run.config.get("data", {})
  config.data_dir = options.data_dir or own.get("data_dir")
  config.cache_dir = own.get("cache_dir")
  return [
    downstream.open_set(name, folder, config, options.per_class)
    for name, folder in named.items()
  ]


def _probe(options, trained, label, sets) -> list[dict]:
  """The rows of a run: its own data, then every other set."""
  config = trained.config
  about = {
    "run": label,
    "name": trained.run.name,
    "method": trained.run.method,
    "seed": trained.run.seed,
    "directory": str(trained.run.directory),
    "checkpoint": options.step,
    "step": trained.step,
    "features": options.features,
    "tau_plus": pictures.tau_plus(trained.run),
  }
  extract = jax.jit(
    frozen.create(trained.model, trained.inputs, options.features)
  )

  def look(split, num_classes, **how):
    return frozen.look(
      extract,
      trained.variables,
      split,
      num_classes,
      batch_size=options.images_at_once,
      **how,
    )

  started = time.perf_counter()
  own = look(
    _own_images(trained, options.data_dir), len(trained.class_names), hold=False
  )
  rows = [
    about
    | {
      "part": "own",
      "data": config.data.name,
      "num_classes": len(trained.class_names),
      "train_images": len(own.labels),
      "accuracy": trained.run.final[options.step]["accuracy"],
    }
    | own.diversity._asdict()
  ]
  _progress("its own training images", started)
  for held in sets:
    started = time.perf_counter()
    train, test = (
      look(Encoded(source, trained.pixels), held.num_classes, measure=measure)
      for source, measure in ((held.train, True), (held.test, False))
    )
    _progress(
      f"{held.name}: {len(train.labels)} and {len(test.labels)} images seen",
      started,
    )
    rows.append(about | _transfer(options, held, train, test))
    _progress(f"{held.name}: two classifiers learned", started)
  return rows


def _transfer(options, held, train, test) -> dict:
  scores = {
    "top1": regression.accuracy,
    "mean_per_class": downstream.mean_per_class,
  }
  if len(train.labels) != len(held.held_out):
    raise InputError(
      f"{held.name}: {len(held.held_out) - len(train.labels)} training images"
      " cannot be decoded; remove them"
    )
  learned = linear.train(
    train.features,
    train.labels,
    held.num_classes,
    epochs=options.epochs,
    batch_size=options.batch_size,
    learning_rate=options.learning_rate,
  )
  fitted = regression.fit(
    train.features,
    train.labels,
    held.num_classes,
    held_out=held.held_out,
    score=scores[held.metric],
  )
  if not fitted.converged:
    _say(f"{held.name}: the regression has not converged")
  return {
    "part": "transfer",
    "data": held.name,
    "num_classes": held.num_classes,
    "train_images": len(train.labels),
    "test_images": len(test.labels),
    "metric": held.metric,
    **{
      f"{name}_{key}": value(test.labels, model.predict(test.features))
      for name, model in (("sgd", learned), ("regression", fitted))
      for key, value in scores.items()
    },
    "penalty": fitted.penalty,
    "held_out_score": fitted.score,
    "converged": fitted.converged,
    **train.diversity._asdict(),
  }


def _own_images(trained, data_dir) -> Encoded:
  """The training images of a run."""
  config = run_directory.config(trained.run).data
  config.data_dir = data_dir or config.data_dir
  return splits.own(trained, config).train


def _progress(what: str, started: float) -> None:
  _say(f"{what}, {time.perf_counter() - started:.1f} s")


def _say(line: str) -> None:
  print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="python -m etf_jax.probe",
    description="Learns other data sets on the frozen features of runs.",
    allow_abbrev=False,
  )
  add = parser.add_argument
  add(
    "--workdir",
    action="append",
    required=True,
    help="of a run, or of several at any depth; may be given again",
  )
  add(
    "--datasets",
    help="NAME[=FOLDER],..: prepared sets of the catalog or folders of images;"
    f" nine: {', '.join(downstream.NINE)}",
  )
  add("--dir", metavar="FOLDER", help="images of your own, as a further set")
  add("--data_dir", help="where prepared data are (default: the run's)")
  add(
    "--features",
    choices=frozen.KINDS,
    default="backbone",
    help="before the head's projector and normalisation (default), or behind",
  )
  add("--step", choices=restore.CHOICES, default="last", help="checkpoint")
  add(
    "--per_class", type=int, help="training images of each class (default: all)"
  )
  for flag, value, kind in (
    ("epochs", linear.EPOCHS, int),
    ("batch_size", linear.BATCH_SIZE, int),
    ("learning_rate", linear.LEARNING_RATE, float),
  ):
    add(f"--{flag}", type=kind, default=value, help=f"of SGD ({value})")
  add("--images_at_once", type=int, default=500, help="through the network")
  add("--study", action="store_true", help="a figure over tau_plus")
  add("--view", metavar="A,B,C", help="three classes of the runs to show")
  add("--embed", default="", help="tsne, umap: of these classes, too")
  add("--out", default="probe", help="the folder to write to")
  return parser


if __name__ == "__main__":
  sys.exit(main())
