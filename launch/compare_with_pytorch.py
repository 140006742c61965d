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
import math
import multiprocessing
import os
import pathlib
import random
import statistics
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
# Their recipe, in fields of our config; of these they have nothing.
ABSENT = ("ema_decay", "loss.label_smoothing", "augment.randaugment_layers")
ABSENT += ("augment.cutout", "augment.cutmix_alpha", "augment.brightness")
ABSENT += ("augment.contrast", "augment.saturation", "optimizer.nesterov")
RECIPE = dict.fromkeys(ABSENT, 0) | {
  **{"accumulate_steps": 1, "bn_group_size": None, "data.feed": "resident"},
  **{"data.sampler": None, "augment.crop_size": None},
  **{"loss.class_lengths": "batch", "loss.scaling": "class_balanced"},
  "optimizer.decayed": "all",
}


def check(folder, config):
  """Raise InputError if their code is missing or cannot run the config."""

  def require(holds, field, problem):
    if not holds:
      raise InputError(f"{field}: {problem}")

  for name in NEEDED:
    problem = f"no {name} there; run git clone {PLACE}"
    require((folder / name).is_file(), f"--peer_dir={folder}", problem)
  model, lacking = config.model, "not in their code; use"
  field = f"config.method={config.method!r}"
  problem = f"{lacking} one of {', '.join(FILES)}"
  require(config.method in FILES, field, problem)
  field = f"config.model.name={model.name!r} with width {model.width}"
  problem = f"{lacking} width 1 and one of {', '.join(MODELS)}"
  known = model.name in MODELS and model.width == 1 and not model.kwargs
  require(known, field, problem)
  for name, theirs in RECIPE.items():
    value = functools.reduce(getattr, name.split("."), config)
    field = f"config.{name}={value!r}"
    require(value == theirs, field, f"{lacking} {theirs!r}")
  for name in ("torch", "torchvision", "yacs"):
    found = importlib.util.find_spec(name)
    require(found, name, f"is missing; run pip install {name}")


def as_theirs(dataset):
  """Return a data set with 32x32 color images, padded with black."""
  height, width, _ = dataset.image_shape
  if max(height, width) > SIDE:
    raise InputError(
      f"config.data.name={dataset.name!r}: {height}x{width} images; choose"
      f" images of at most {SIDE}x{SIDE}"
    )

  def convert(split):
    free = [SIDE - height, SIDE - width]
    padding = [(0, 0), *((n // 2, n - n // 2) for n in free), (0, 0)]
    images = np.pad(split.images, padding)
    images = np.broadcast_to(images, (*images.shape[:3], 3))
    return dataclasses.replace(split, images=np.ascontiguousarray(images))

  parts = {"train": convert(dataset.train), "test": convert(dataset.test)}
  shape = {"image_shape": (SIDE, SIDE, 3), "mean": MEAN, "std": STD}
  return dataclasses.replace(dataset, validation=None, **parts, **shape)


@contextlib.contextmanager
def peer(request, seed, learning_rates):
  """Run their training in a process; give functions `answer` and `turn`."""
  context = multiprocessing.get_context("spawn")
  here, there = context.Pipe()
  request |= {"seed": seed, "learning_rates": learning_rates}
  process = context.Process(target=serve_request, args=(request, there))
  process.start()
  there.close()

  def answer():
    """Return the next answer, of which the first has versions."""
    try:
      found = here.recv()
    except EOFError:
      found = {"error": "the process ended"}
    if "error" in found:
      raise InputError(f"their code failed: {found['error']}")
    return found

  def turn(steps):
    """Return the seconds of some train steps."""
    with contextlib.suppress(BrokenPipeError):  # `answer` tells why
      here.send(steps)
    return answer()["seconds"]

  try:
    yield answer, turn
  finally:
    process.terminate()
    process.join()


def compare_steps(options, trainer, request):
  """Time train steps of both in turns and print medians, ranges, ratio."""
  from etf_jax.benchmarks import steps, timing

  ours = steps.start(trainer.setup, trainer.open_feed, seed=0)
  request["options"]["num_epochs"] = 10**6
  rates = [trainer.setup.config.optimizer.learning_rate]
  with peer(request, 0, rates) as (answer, turn):
    print(answer())
    taken = timing.take_turns(
      {"ours": steps.turn(ours), "theirs": turn},
      blocks=options.blocks,
      seconds=options.seconds,
      warmup=options.warmup,
      multiple={"ours": ours.steps},
    )
  for name, seconds in taken.items():
    print(f"{name}: {timing.spread(timing.summary(seconds), 'ms')} ms a step")
  ratio = timing.ratio(taken, "ours", "theirs")
  print(f"ours / theirs: {timing.spread(ratio, 'ratio', '.3f')}")


def compare_runs(options, trainer, request):
  """Train with both for each seed and print test accuracies in percent."""
  from etf_jax.training import loop

  starts = np.arange(options.epochs, dtype=np.int32) * trainer.setup.epoch.steps
  rates = [float(trainer.setup.learning_rate(step)) for step in starts]
  accuracies = {"ours": [], "theirs": []}
  for seed in range(options.seeds):
    with tempfile.TemporaryDirectory() as folder:
      started = time.perf_counter()
      final = loop.train_seed(trainer, seed, pathlib.Path(folder))
      seconds = time.perf_counter() - started
    with peer(request, seed, rates) as (answer, _):
      print(answer())
      theirs = answer()
    accuracies["ours"].append(100 * final["last"]["accuracy"])
    accuracies["theirs"].append(theirs["accuracies"][-1])
    print(f"seed {seed}: {seconds:.0f} s and {theirs['seconds']:.0f} s")
  for name, values in accuracies.items():
    shown = ", ".join(f"{value:.2f}" for value in values)
    print(f"{name}: {statistics.mean(values):.2f} ({shown})")
  gap, error = difference(*accuracies.values())
  print(f"ours - theirs: {gap:.2f} points, standard error {error:.2f}")


def difference(ours, theirs):
  """Return the difference of the means and its standard error; nan for one."""
  if len(ours) < 2:
    return ours[0] - theirs[0], math.nan
  parts = (statistics.variance(x) / len(x) for x in (ours, theirs))
  return statistics.mean(ours) - statistics.mean(theirs), math.sqrt(sum(parts))


# The process of their code, which imports nothing of etf_jax.


class PacedLoader:
  """A loader that gives as many batches as it is asked for, then waits.

  Steps on batches that the loader made between two turns are not timed.
  """

  seconds = since = None
  left = timed = 0

  def __init__(self, loader, ask, untimed, clock=time.perf_counter):
    """Take `ask`: seconds of a turn (None at first) to steps of the next."""
    self.loader, self.ask, self.clock = loader, ask, clock
    self.untimed = untimed

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


def serve(request, pipe):
  """Run their training, paced or to the end, and answer through the pipe."""
  import torch
  from torchvision import datasets

  for kind in (float, int, bool):  # names of NumPy 1
    np.__dict__.setdefault(kind.__name__, kind)
  if not torch.cuda.is_available():
    torch.Tensor.cuda = torch.nn.Module.cuda = lambda self, *_, **__: self
  sys.path.insert(0, request["peer_dir"])

  def load(self, root=None, train=True, transform=None, **_):
    self.transform, self.target_transform = transform, None
    self.data = request["images"][not train]
    self.targets = request["labels"][not train]

  datasets.CIFAR10.__init__ = load
  networks = importlib.import_module("models.resnet_cifar")
  backbone, blocks = f"resnet{request['depth']}_fe", (request["depth"] - 2) // 6
  if not hasattr(networks, backbone):
    build = functools.partial(networks.ResNet_fe, networks.BasicBlock)
    setattr(networks, backbone, lambda: build([blocks] * 3))
  code = importlib.import_module("train")
  rates, accuracies = request["learning_rates"], []

  def adjust_learning_rate(optimizer, epoch, config):
    for group in optimizer.param_groups:
      group["lr"] = rates[min(epoch, len(rates) - 1)]

  def validate(*args, code=code.validate, **kwargs):
    result = code(*args, **kwargs) if request["runs"] else (0.0, 0.0)
    accuracies.append(float(result[0]))
    return result

  def ask(seconds):
    if seconds is not None:
      pipe.send({"seconds": seconds})
    return pipe.recv()

  @functools.cache
  def paced(loader):
    return PacedLoader(loader, ask, 2 * request["options"]["workers"] + 1)

  code.adjust_learning_rate, code.validate = adjust_learning_rate, validate
  if not request["runs"]:
    train = code.train
    code.train = lambda loader, *rest: train(paced(loader), *rest)
    code.save_checkpoint = lambda *_: None
  for seed in (random.seed, np.random.seed, torch.manual_seed):
    seed(request["seed"])
  sys.argv = ["train.py", "--cfg", request["file"], "backbone", backbone]
  sys.argv += [str(w) for pair in request["options"].items() for w in pair]
  pipe.send({"torch": torch.__version__, "threads": torch.get_num_threads()})
  started = time.perf_counter()
  code.main()
  seconds = time.perf_counter() - started
  pipe.send({"accuracies": accuracies, "seconds": seconds})


def serve_request(request, pipe):
  """Answer through the pipe; their prints go nowhere."""
  with (
    open(os.devnull, "w") as null,
    tempfile.TemporaryDirectory() as folder,
    contextlib.chdir(folder),  # their code writes below the folder it runs in
  ):
    os.dup2(null.fileno(), 1)
    os.dup2(null.fileno(), 2)
    try:
      serve(request, pipe)
    except Exception as error:  # their code raises anything
      words = " ".join(str(error).split())[:300]
      pipe.send({"error": f"{type(error).__name__}: {words}"})


def run(options):
  """Compare, or raise InputError."""
  from etf_jax import data
  from etf_jax.benchmarks import steps
  from etf_jax.training.setup import make_trainer

  folder = options.peer_dir.expanduser().absolute()
  config = steps.parse(options)
  check(folder, config)
  config.augment.update(crop_padding=4, flip=True)
  if options.runs:
    config.total_epochs = float(options.epochs)
    config.total_steps = config.total_examples = None
  dataset = as_theirs(data.load(config.data))
  alpha = config.augment.mixup_alpha
  fields = {
    **{"dataset": "cifar10", "num_classes": dataset.num_classes},
    "imb_factor": 1.0,  # the images are long-tailed already
    **{"batch_size": config.batch_size, "workers": options.workers},
    "num_epochs": max(1, math.ceil(config.total_epochs)),
    "momentum": config.optimizer.momentum,
    "weight_decay": config.optimizer.weight_decay,
    **{"mixup": alpha > 0, "alpha": float(alpha)},
    "reg_dot_loss": config.method == "etf_dr",
    **{"deterministic": False, "print_freq": 10**9},
  }
  request = {
    **{"peer_dir": str(folder), "runs": options.runs, "options": fields},
    "file": str(folder / FILES[config.method]),
    "depth": int(config.model.name.removeprefix("resnet")),
    "images": (dataset.train.images, dataset.test.images),
    "labels": (dataset.train.labels.tolist(), dataset.test.labels.tolist()),
  }
  compare = compare_runs if options.runs else compare_steps
  compare(options, make_trainer(config, dataset), request)


def main(argv):
  """Run the command and return its exit code."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--peer_dir", type=pathlib.Path, required=True)
  parser.add_argument("--config", default="etf_jax:digits_lt")
  parser.add_argument("--runs", action="store_true", help="whole runs")
  for flag, default, text in (
    ("workers", 2, "of their loader"),
    ("blocks", 5, "timed, of each"),
    ("seconds", 5.0, "of a block"),
    ("warmup", 3, "untimed steps"),
    ("epochs", 20, "of a run"),
    ("seeds", 3, "number of runs"),
  ):
    kind = type(default)
    parser.add_argument(f"--{flag}", type=kind, default=default, help=text)
  options, options.fields = parser.parse_known_args(argv)
  try:
    run(options)
  except InputError as error:
    print(f"error: {error}", file=sys.stderr)
    return 2
  return 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
