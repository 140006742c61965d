# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Compares the PyTorch code of Yang et al. (2022) with etf_jax.

  python launch/compare_with_pytorch.py --peer_dir=FOLDER --runs --epochs=20 \\
    --seeds=3 --config=etf_jax:fashion_mnist_lt:cpu

FOLDER is a clone of their repository; its files stay as they are. Both train
the same network on the same 32x32 color images with the same augmentation. The
script times train steps in turns, or with --runs compares test accuracies.
It needs torch, torchvision and yacs.
"""

import argparse
import contextlib
import dataclasses
import functools
import importlib
import importlib.util
import json
import math
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

from etf_jax.errors import InputError

PLACE = "https://github.com/NeuralCollapseApplications/ImbalancedLearning"
SIDE = 32
# The constants of their CIFAR-10 loader.
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
LEARNED = "config/cifar10/Res_cifar10_imb001.yaml"
FIXED = "config/cifar10/Res_cifar10_imb001_ETF_DR.yaml"
# The linear layer of their baseline is not trained.
FILES = {"etf_dr": FIXED, "etf_ce": FIXED, "ce_frozen": LEARNED}
NEEDED = ("train.py", "methods.py", "models/resnet_cifar.py", LEARNED, FIXED)
MODELS = ("resnet8", "resnet20", "resnet32", "resnet44", "resnet56")
# Their recipe, in fields of our config.
RECIPE = {
  **{"accumulate_steps": 1, "bn_group_size": None, "ema_decay": 0.0},
  **{"data.feed": "resident", "data.sampler": None},
  **{"augment.crop_size": None, "augment.brightness": 0.0},
  **{"augment.contrast": 0.0, "augment.saturation": 0.0},
  **{"augment.randaugment_layers": 0, "augment.cutout": 0},
  **{"augment.cutmix_alpha": 0.0, "loss.class_lengths": "batch"},
  **{"loss.scaling": "class_balanced", "loss.label_smoothing": 0.0},
  **{"optimizer.nesterov": False, "optimizer.decayed": "all"},
}


def check(folder, config):
  """Raise InputError if their code is missing or cannot run the config."""
  for name in NEEDED:
    if not (folder / name).is_file():
      raise InputError(
        f"--peer_dir={folder}: no {name} there; run git clone {PLACE}"
      )
  if config.method not in FILES:
    raise InputError(
      f"config.method={config.method!r}: not in their code; use one of"
      f" {', '.join(FILES)}"
    )
  model = config.model
  if model.name not in MODELS or model.width != 1 or model.kwargs:
    raise InputError(
      f"config.model.name={model.name!r} with width {model.width}: not in"
      f" their code; use width 1 and one of {', '.join(MODELS)}"
    )
  for field, theirs in RECIPE.items():
    value = functools.reduce(getattr, field.split("."), config)
    if value != theirs:
      raise InputError(
        f"config.{field}={value!r}: not in their code; use {theirs!r}"
      )
  for name in ("torch", "torchvision", "yacs"):
    if not importlib.util.find_spec(name):
      raise InputError(f"{name} is missing; run pip install {name}")


def as_theirs(dataset):
  """Return a data set with 32x32 color images, padded with black."""
  height, width, _ = dataset.image_shape
  if max(height, width) > SIDE:
    raise InputError(
      f"config.data.name={dataset.name!r}: {height}x{width} images; choose"
      f" images of at most {SIDE}x{SIDE}"
    )

  def convert(split):
    padding = [(0, 0)]
    for side in (height, width):
      before = (SIDE - side) // 2
      padding.append((before, SIDE - side - before))
    images = np.pad(split.images, [*padding, (0, 0)])
    images = np.broadcast_to(images, (*images.shape[:3], 3))
    return dataclasses.replace(split, images=np.ascontiguousarray(images))

  return dataclasses.replace(
    dataset,
    train=convert(dataset.train),
    test=convert(dataset.test),
    validation=None,
    mean=MEAN,
    std=STD,
    image_shape=(SIDE, SIDE, 3),
  )


def their_options(config, num_classes, workers):
  """Return the fields of their config that follow from ours."""
  alpha = config.augment.mixup_alpha
  return {
    "dataset": "cifar10",
    "num_classes": num_classes,
    "imb_factor": 1.0,  # the images are long-tailed already
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


class Peer:
  """Their training in a process: a line of JSON for each question."""

  def __init__(self, request):
    """Start the process, which first answers with versions."""
    # -P: this folder is not searched for modules.
    self.process = subprocess.Popen(
      [sys.executable, "-P", __file__, "--serve", json.dumps(request)],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
    )

  def answer(self):
    """Return the next answer; raise InputError if their code failed."""
    line = self.process.stdout.readline()
    answer = json.loads(line) if line else {"error": "the process ended"}
    if "error" in answer:
      raise InputError(f"their code failed: {answer['error']}")
    return answer

  def turn(self, steps):
    """Return the seconds of some train steps."""
    with contextlib.suppress(BrokenPipeError):  # `answer` tells why
      self.process.stdin.write(f"{steps}\n")
      self.process.stdin.flush()
    return self.answer()["seconds"]

  def close(self):
    """End the process."""
    self.process.stdout.close()
    with contextlib.suppress(BrokenPipeError):
      self.process.stdin.close()
    self.process.terminate()
    self.process.wait()


def compare_steps(options, config, dataset, request):
  """Time train steps of both in turns and print medians, ranges, ratio."""
  from etf_jax.benchmarks import steps, timing
  from etf_jax.training.setup import make_trainer

  trainer = make_trainer(config, dataset)
  ours = steps.start(trainer.setup, trainer.open_feed, seed=0)
  request["options"]["num_epochs"] = 10**6
  request |= {
    "seed": 0,
    "runs": False,
    "learning_rates": [config.optimizer.learning_rate],
  }
  with contextlib.closing(Peer(request)) as peer:
    print(peer.answer())
    taken = timing.take_turns(
      {"ours": steps.turn(ours), "theirs": peer.turn},
      blocks=options.blocks,
      seconds=options.seconds,
      warmup=options.warmup,
      multiple={"ours": ours.most},
    )
  for name, seconds in taken.items():
    print(f"{name}: {timing.spread(timing.summary(seconds), 'ms')} ms a step")
  ratio = timing.ratio(taken, "ours", "theirs")
  print(f"ours / theirs: {timing.spread(ratio, 'ratio', '.3f')}")


def compare_runs(options, config, dataset, request):
  """Train with both for each seed and print test accuracies in percent."""
  from etf_jax.training import loop
  from etf_jax.training.setup import make_trainer

  trainer = make_trainer(config, dataset)
  rates = [
    float(
      trainer.setup.learning_rate(np.int32(epoch * trainer.setup.epoch.steps))
    )
    for epoch in range(options.epochs)
  ]
  accuracies = {"ours": [], "theirs": []}
  for seed in range(options.seeds):
    with tempfile.TemporaryDirectory() as folder:
      started = time.perf_counter()
      final = loop.train_seed(trainer, seed, pathlib.Path(folder))
      seconds = time.perf_counter() - started
    accuracies["ours"].append(100 * final["last"]["accuracy"])
    asked = request | {"seed": seed, "runs": True, "learning_rates": rates}
    with contextlib.closing(Peer(asked)) as peer:
      print(peer.answer())
      answer = peer.answer()
    accuracies["theirs"].append(answer["accuracies"][-1])
    print(f"seed {seed}: {seconds:.0f} s and {answer['seconds']:.0f} s")
  for name, values in accuracies.items():
    shown = ", ".join(f"{value:.2f}" for value in values)
    print(f"{name}: {statistics.mean(values):.2f} ({shown})")
  gap, error = difference(*accuracies.values())
  print(f"ours - theirs: {gap:.2f} points, standard error {error:.2f}")


def difference(ours, theirs):
  """Return the difference of the means and its standard error."""
  pairs = (ours, theirs)
  error = math.nan
  if min(map(len, pairs)) > 1:
    error = math.sqrt(sum(statistics.variance(x) / len(x) for x in pairs))
  return statistics.mean(ours) - statistics.mean(theirs), error


# The process of their code, which imports nothing of etf_jax.


class PacedLoader:
  """A loader that gives as many batches as it is asked for, then waits.

  Steps on batches that the loader made between two turns are not timed.
  """

  seconds = since = None
  left = timed = 0

  def __init__(self, loader, ask, untimed, clock=time.perf_counter):
    """Take `ask`: seconds of a turn (None at first) to steps of the next."""
    self.loader, self.ask, self.untimed = loader, ask, untimed
    self.clock = clock

  def __getattr__(self, name):
    return getattr(self.loader, name)

  def __len__(self):
    return len(self.loader)

  def __iter__(self):
    for batch in self.loader:
      self.pause()
      if not self.left:
        self.timed = self.ask(self.seconds)
        self.left, self.seconds = self.timed + self.untimed, 0.0
      if self.left <= self.timed:
        self.since = self.clock()
      self.left -= 1
      yield batch
    self.pause()

  def pause(self):
    """Stop the clock."""
    if self.since is not None:
      self.seconds += self.clock() - self.since
      self.since = None


def serve(request, say):
  """Run their training, paced or to the end; `say` sends an answer."""
  import torch

  for name, kind in (("float", float), ("int", int), ("bool", bool)):
    if name not in np.__dict__:  # names of NumPy 1
      setattr(np, name, kind)
  if not torch.cuda.is_available():
    torch.Tensor.cuda = torch.nn.Module.cuda = lambda self, *_, **__: self
  sys.path.insert(0, request["peer_dir"])
  replace_cifar10(request["images"])
  networks = importlib.import_module("models.resnet_cifar")
  backbone, blocks = f"resnet{request['depth']}_fe", (request["depth"] - 2) // 6
  if not hasattr(networks, backbone):
    build = functools.partial(networks.ResNet_fe, networks.BasicBlock)
    setattr(networks, backbone, lambda: build([blocks] * 3))
  code = importlib.import_module("train")
  rates = request["learning_rates"]

  def adjust_learning_rate(optimizer, epoch, config):
    for group in optimizer.param_groups:
      group["lr"] = rates[min(epoch, len(rates) - 1)]

  code.adjust_learning_rate = adjust_learning_rate
  for seed in (random.seed, np.random.seed, torch.manual_seed):
    seed(request["seed"])
  words = [str(w) for pair in request["options"].items() for w in pair]
  sys.argv = ["train.py", "--cfg", request["file"], "backbone", backbone]
  sys.argv += words
  say({"torch": torch.__version__, "threads": torch.get_num_threads()})
  if not request["runs"]:
    paced = functools.cache(
      lambda loader: PacedLoader(
        loader,
        functools.partial(ask, say),
        untimed=2 * request["options"]["workers"] + 1,
      )
    )
    train = code.train
    code.train = lambda loader, *rest: train(paced(loader), *rest)
    code.validate = lambda *_, **__: (0.0, 0.0)
    code.save_checkpoint = lambda *_: None
    code.main()
    return
  accuracies, validate = [], code.validate

  def recorded(*args, **kwargs):
    result = validate(*args, **kwargs)
    accuracies.append(float(result[0]))
    return result

  code.validate = recorded
  started = time.perf_counter()
  code.main()
  say({"accuracies": accuracies, "seconds": time.perf_counter() - started})


def ask(say, seconds):
  """Send the seconds of a turn and return the steps of the next."""
  if seconds is not None:
    say({"seconds": seconds})
  line = sys.stdin.readline()
  if not line:
    sys.exit(0)
  return int(line)


def replace_cifar10(path):
  """Put arrays in the place of torchvision's CIFAR-10."""
  from PIL import Image
  from torchvision import datasets

  with np.load(path) as file:
    arrays = dict(file)

  class Images:
    def __init__(self, root=None, train=True, transform=None, **_):
      part = "train" if train else "test"
      self.data = arrays[f"{part}_images"]
      self.targets = arrays[f"{part}_labels"].tolist()
      self.transform = transform

    def __len__(self):
      return len(self.targets)

    def __getitem__(self, index):
      image = Image.fromarray(self.data[index])
      return self.transform(image), self.targets[index]

  datasets.CIFAR10 = Images


def serve_request(request):
  """Answer on standard output, where nothing else is printed."""
  with (
    os.fdopen(os.dup(1), "w") as answers,
    open(os.devnull, "w") as null,
    tempfile.TemporaryDirectory() as folder,
    contextlib.chdir(folder),  # their code writes below the folder it runs in
  ):

    def say(answer):
      print(json.dumps(answer), file=answers, flush=True)

    os.dup2(null.fileno(), 1)
    os.dup2(null.fileno(), 2)
    try:
      serve(request, say)
    except Exception as error:  # their code raises anything
      words = " ".join(str(error).split())[:300]
      say({"error": f"{type(error).__name__}: {words}"})
      return 1
  return 0


def run(options):
  """Compare, or raise InputError."""
  from etf_jax import data
  from etf_jax.benchmarks import steps

  folder = options.peer_dir.expanduser().absolute()
  config = steps.parse(options)
  check(folder, config)
  config.augment.update(crop_padding=4, flip=True)
  if options.runs:
    config.total_epochs = float(options.epochs)
    config.total_steps = config.total_examples = None
  dataset = as_theirs(data.load(config.data))
  with tempfile.TemporaryDirectory() as place:
    images = pathlib.Path(place) / "images.npz"
    parts = {"train": dataset.train, "test": dataset.test}
    arrays = {f"{k}_images": split.images for k, split in parts.items()}
    arrays |= {f"{k}_labels": split.labels for k, split in parts.items()}
    np.savez(images, **arrays)
    request = {
      "peer_dir": str(folder),
      "file": str(folder / FILES[config.method]),
      "images": str(images),
      "depth": int(config.model.name.removeprefix("resnet")),
      "options": their_options(config, dataset.num_classes, options.workers),
    }
    compare = compare_runs if options.runs else compare_steps
    compare(options, config, dataset, request)


def main(argv):
  """Run the command and return its exit code."""
  if argv[:1] == ["--serve"]:
    return serve_request(json.loads(argv[1]))
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--peer_dir", type=pathlib.Path, required=True)
  parser.add_argument("--config", default="etf_jax:digits_lt")
  parser.add_argument("--workers", type=int, default=2, help="of their loader")
  parser.add_argument("--blocks", type=int, default=5)
  parser.add_argument("--seconds", type=float, default=5.0, help="of a block")
  parser.add_argument("--warmup", type=int, default=3, help="untimed steps")
  parser.add_argument("--runs", action="store_true", help="whole runs")
  parser.add_argument("--epochs", type=int, default=20, help="of a run")
  parser.add_argument("--seeds", type=int, default=3, help="number of runs")
  options, options.fields = parser.parse_known_args(argv)
  try:
    run(options)
  except InputError as error:
    print(f"error: {error}", file=sys.stderr)
    return 2
  return 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
