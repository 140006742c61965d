# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The PyTorch code of Yang et al. (2022) and ours, side by side.

    python -m etf_jax.benchmark peer --peer_dir=FOLDER \\
      --config=etf_jax:fashion_mnist_lt:cpu --accuracy --epochs=20 --seeds=3

Their code is run where the user has put it, unchanged on disk. Both train the
same network on the same images: those of the config, as the 32x32 colour images
that their loader takes, shifted by up to 4 pixels, mirrored and normalised as
there. Their loader makes batches on the host, ours are made on the devices.
"""

import argparse
import dataclasses
import functools
import math
import pathlib
import statistics
import tempfile
import time
from typing import Any

import numpy as np

from etf_jax.benchmarks import processes
from etf_jax.benchmarks import report as reports
from etf_jax.benchmarks.report import size
from etf_jax.errors import InputError

_PLACE = "https://github.com/NeuralCollapseApplications/ImbalancedLearning"
_SIDE = 32
# As in their loader of CIFAR-10.
_MEAN, _STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
_LEARNED = "config/cifar10/Res_cifar10_imb001.yaml"
_FIXED = "config/cifar10/Res_cifar10_imb001_ETF_DR.yaml"
# The linear layer of their baseline is not trained.
_FILES = {"etf_dr": _FIXED, "etf_ce": _FIXED, "ce_frozen": _LEARNED}
# The recipe that their code has, where ours has a choice.
_THEIRS = {
  "accumulate_steps": 1,
  "bn_group_size": None,
  "ema_decay": 0.0,
  "data.feed": "resident",
  "data.sampler": None,
  "augment.crop_size": None,
  "augment.brightness": 0.0,
  "augment.contrast": 0.0,
  "augment.saturation": 0.0,
  "augment.randaugment_layers": 0,
  "augment.cutout": 0,
  "augment.cutmix_alpha": 0.0,
  "loss.class_lengths": "batch",
  "loss.scaling": "class_balanced",
  "loss.label_smoothing": 0.0,
  "optimizer.nesterov": False,
  "optimizer.decayed": "all",
}
_NEEDED = ("train.py", "methods.py", "models/resnet_cifar.py", _LEARNED, _FIXED)


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """Add the options of `peer`."""
  parser.add_argument(
    "--peer_dir",
    type=pathlib.Path,
    required=True,
    help=f"where their code lies; it comes from {_PLACE}",
  )
  reports.add_config(parser)
  parser.add_argument(
    "--warmup", type=size, default=3, help="steps of each before it counts"
  )
  parser.add_argument(
    "--workers",
    type=int,
    default=2,
    help="processes of their loader; they publish 16",
  )
  parser.add_argument(
    "--accuracy",
    action="store_true",
    help="whole runs, and their test accuracy",
  )
  parser.add_argument("--epochs", type=size, default=20, help="of those runs")
  parser.add_argument(
    "--seeds", type=size, default=3, help="how many of those runs"
  )
  parser.set_defaults(blocks=5, seconds=5.0)


def run(options: argparse.Namespace) -> list[dict[str, Any]]:
  """Time steps of both in turns, or runs both to the end.

  Raises:
    InputError: their code or PyTorch is missing, or the config is one that
      their code cannot run.
  """
  folder = check_code(options.peer_dir)
  from etf_jax import data
  from etf_jax.benchmarks import steps

  config = steps.parse(options)
  depth = check_config(config)
  processes.need(["torch", "torchvision", "yacs"], "benchmark peer")
  config.augment.update(crop_padding=4, flip=True)
  if options.accuracy:
    config.total_epochs = float(options.epochs)
    config.total_steps = config.total_examples = None
  dataset = as_theirs(data.load(config.data))
  about = {
    "config": options.config,
    "method": config.method,
    "model": config.model.name,
    "batch_size": config.batch_size,
    "train_images": len(dataset.train.labels),
    "test_images": len(dataset.test.labels),
    "workers": options.workers,
  }
  with tempfile.TemporaryDirectory() as place:
    images = pathlib.Path(place) / "images.npz"
    np.savez(
      images,
      train_images=dataset.train.images,
      train_labels=dataset.train.labels,
      test_images=dataset.test.images,
      test_labels=dataset.test.labels,
    )
    request = {
      "what": "peer",
      "peer_dir": str(folder),
      "file": str(folder / _FILES[config.method]),
      "images": str(images),
      "depth": depth,
      "options": their_options(config, dataset.num_classes, options.workers),
    }
    if options.accuracy:
      return [about | _accuracies(options, config, dataset, request)]
    return [about | _steps(options, steps, config, dataset, request)]


def check_code(folder: pathlib.Path) -> pathlib.Path:
  """The absolute folder of their code.

  Raises:
    InputError: a file that is used is missing.
  """
  folder = folder.expanduser().absolute()
  missing = [name for name in _NEEDED if not (folder / name).is_file()]
  if missing:
    raise InputError(
      f"--peer_dir={folder} has no {missing[0]}: name a folder with the code"
      f" of Yang et al. (git clone {_PLACE})"
    )
  return folder


def check_config(config: Any) -> int:
  """The depth of the network, which both have.

  Raises:
    InputError: the method, the network or the recipe is one of ours only.
  """
  if config.method not in _FILES:
    raise InputError(
      f"config.method={config.method!r} is not in their code: it has"
      f" {', '.join(_FILES)}"
    )
  name = config.model.name.removeprefix("resnet")
  known = ("8", "20", "32", "44", "56")
  if name not in known or config.model.width != 1 or config.model.kwargs:
    raise InputError(
      f"config.model.name={config.model.name!r} with width"
      f" {config.model.width}: their network on 32x32 images with 64 features"
      f" is resnet{', '.join(known)}"
    )
  for field, theirs in _THEIRS.items():
    value = functools.reduce(getattr, field.split("."), config)
    if value != theirs:
      raise InputError(
        f"config.{field}={value!r} is not in their code: leave it at {theirs!r}"
      )
  return int(name)


def as_theirs(dataset: Any) -> Any:
  """The data set as 32x32 colour images, black around smaller ones.

  Raises:
    InputError: the images are larger.
  """
  height, width, _ = dataset.image_shape
  if max(height, width) > _SIDE:
    raise InputError(
      f"images of {height}x{width} do not fit into the {_SIDE}x{_SIDE} of"
      " their loader: take another config.data.name"
    )

  def convert(split):
    rows, columns = ((_SIDE - side) for side in (height, width))
    images = np.pad(
      split.images,
      (
        (0, 0),
        (rows // 2, rows - rows // 2),
        (columns // 2, columns - columns // 2),
        (0, 0),
      ),
    )
    images = np.broadcast_to(images, (*images.shape[:3], 3))
    return dataclasses.replace(split, images=np.ascontiguousarray(images))

  return dataclasses.replace(
    dataset,
    train=convert(dataset.train),
    test=convert(dataset.test),
    validation=None,
    mean=_MEAN,
    std=_STD,
    image_shape=(_SIDE, _SIDE, 3),
  )


def their_options(
  config: Any, num_classes: int, workers: int
) -> dict[str, Any]:
  """Fields of their config file that are set to what ours has."""
  alpha = config.augment.mixup_alpha
  return {
    "dataset": "cifar10",
    "num_classes": num_classes,
    "imb_factor": 1.0,  # The tail is cut already.
    "batch_size": config.batch_size,
    "workers": workers,
    "num_epochs": max(1, math.ceil(config.total_epochs)),
    "momentum": config.optimizer.momentum,
    "weight_decay": config.optimizer.weight_decay,
    "mixup": alpha > 0,
    "alpha": float(alpha),
    "reg_dot_loss": config.method == "etf_dr",
    "deterministic": False,
    "print_freq": 10**9,
  }


def _steps(options, steps, config, dataset, request):
  from etf_jax.training import experiment

  made = experiment.create(config, dataset)
  ours = steps.start(made, made.open_feed, seed=0)
  request = request | {
    "steps": True,
    "seed": 0,
    "learning_rates": [config.optimizer.learning_rate],
  }
  request["options"] = request["options"] | {"num_epochs": 10**6}
  with processes.pytorch(request) as other:
    taken = reports.take_turns(
      {"ours": steps.turn(ours), "theirs": other.turn},
      blocks=options.blocks,
      seconds=options.seconds,
      warmup=options.warmup,
      multiple={"ours": ours.most},
    )
    return {
      "part": "steps",
      "blocks": options.blocks,
      "pytorch": other.versions,
      "arms": {name: reports.summary(t) for name, t in taken.items()},
    } | reports.ratio(taken, "ours", "theirs")


def _accuracies(options, config, dataset, request):
  from etf_jax.training import experiment, loop

  made = experiment.create(config, dataset)
  rates = [
    float(made.learning_rate(np.int32(epoch * made.epoch.steps)))
    for epoch in range(options.epochs)
  ]
  arms = {"ours": [], "theirs": []}
  seconds = {"ours": [], "theirs": []}
  for seed in range(options.seeds):
    with tempfile.TemporaryDirectory() as place:
      begun = time.perf_counter()
      final = loop.train(made, seed, pathlib.Path(place))
      seconds["ours"].append(time.perf_counter() - begun)
      arms["ours"].append(100 * final["last"]["accuracy"])
    asked = request | {"steps": False, "seed": seed, "learning_rates": rates}
    with processes.pytorch(asked) as other:
      answer = other.answer()
      seconds["theirs"].append(answer["seconds"])
      arms["theirs"].append(answer["accuracies"][-1])
  return {
    "part": "accuracy",
    "epochs": options.epochs,
    "pytorch": other.versions,
    "accuracy": arms,
    "seconds": seconds,
  } | compare(arms["ours"], arms["theirs"])


def compare(ours: list[float], theirs: list[float]) -> dict[str, float | None]:
  """The gap between two means of independent runs.

  Args:
    ours: accuracies.
    theirs: accuracies.

  Returns:
    "gap", ours less theirs, and its "standard_error", the root of the sum of
    both means' squared ones; None for a single run.
  """
  gap = statistics.mean(ours) - statistics.mean(theirs)
  error = None
  if min(len(ours), len(theirs)) > 1:
    error = math.sqrt(
      statistics.variance(ours) / len(ours)
      + statistics.variance(theirs) / len(theirs)
    )
  return {"gap": gap, "standard_error": error}


def table(rows: list[dict[str, Any]]) -> list[str]:
  """The results as Markdown."""
  lines = []
  for row in rows:
    lines += [
      f"{row['config']}: {row['method']}, {row['model']}, batch"
      f" {row['batch_size']}, {row['train_images']} training and"
      f" {row['test_images']} test images of 32x32x3; PyTorch"
      f" {row['pytorch']['torch']}, {row['pytorch']['threads']} threads,"
      f" {row['workers']} loaders, {row['pytorch']['device']}",
      "",
    ]
    lines += _step_lines(row) if row["part"] == "steps" else _run_lines(row)
  return lines


def _step_lines(row):
  cells = [
    [name, reports.spread(times, "ms")] for name, times in row["arms"].items()
  ]
  cells.append(["ours / theirs", reports.spread(row, "ratio", ".3f")])
  title = f"median (range) of {row['blocks']} blocks"
  return reports.table(["ms a step, images made", title], cells)


def _run_lines(row):
  cells = []
  for name, accuracies in row["accuracy"].items():
    cells.append(
      [
        name,
        ", ".join(f"{value:.2f}" for value in accuracies),
        f"{statistics.mean(accuracies):.2f}",
        f"{statistics.median(row['seconds'][name]):.1f}",
      ]
    )
  error = row["standard_error"]
  said = "of one run" if error is None else f"standard error {error:.2f}"
  return [
    *reports.table(
      ["", "test accuracy, %, by seed", "mean", "seconds a run"], cells
    ),
    "",
    f"{row['epochs']} epochs; ours less theirs: {row['gap']:.2f} points,"
    f" {said}",
  ]
