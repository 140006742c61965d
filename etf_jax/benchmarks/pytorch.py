# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""PyTorch beside JAX: a script for a process of its own, without etf_jax.

  python -P pytorch.py '{"what": "network", ...}'

It answers on its standard output in JSON, a line each: what it is, then the
seconds of so many steps for each number that it is sent.

`network` is a ResNet for CIFAR (He et al. 2016, shortcuts A) with a linear head
and cross-entropy, on one batch that stays on the device. `peer` is the code of
Yang et al. (2022) as it stands in a folder of the user's. What is changed there
is changed in memory: the images are ours, names that NumPy has dropped are put
back, `.cuda()` does nothing where there is no GPU, and the learning rate of an
epoch is given.
"""

from collections.abc import Callable, Iterator
import contextlib
import importlib
import json
import os
import pathlib
import random
import sys
import tempfile
import time
from typing import Any

import numpy as np

# The order of the loader's batches that lie ready when a turn begins.
_AHEAD = 2


class Pacer:
  """Lets a loop over batches go so many steps at a time, by the clock.

  Steps that take batches which were made between the turns are not timed.
  """

  def __init__(
    self,
    ask: Callable[[float | None], int],
    untimed: int,
    clock: Callable[[], float] = time.perf_counter,
  ):
    """Wait for the first `step`.

    Args:
      ask: tells the seconds of the last turn, None before the first, and
        returns how many steps the next one has.
      untimed: steps that come before those of every turn.
      clock: in seconds.
    """
    self._ask, self._untimed, self._clock = ask, untimed, clock
    self._left, self._timed = 0, 0
    self._taken: float | None = None
    self._since: float | None = None

  def step(self) -> None:
    """A batch is there, and the step before it is done."""
    self.pause()
    if not self._left:
      self._timed = self._ask(self._taken)
      self._left, self._taken = self._timed + self._untimed, 0.0
    if self._left <= self._timed:
      self._since = self._clock()
    self._left -= 1

  def pause(self) -> None:
    """An epoch has ended: what comes until the next batch is no step."""
    if self._since is not None:
      self._taken += self._clock() - self._since
      self._since = None


class Paced:
  """A loader of batches whose steps are paced."""

  def __init__(self, loader: Any, pacer: Pacer):
    self._loader, self._pacer = loader, pacer

  def __getattr__(self, name: str) -> Any:
    return getattr(self._loader, name)

  def __len__(self) -> int:
    return len(self._loader)

  def __iter__(self) -> Iterator:
    batches = iter(self._loader)
    while True:
      try:
        batch = next(batches)
      except StopIteration:
        self._pacer.pause()
        return
      self._pacer.step()
      yield batch


def network(request: dict[str, Any], say: Callable[[dict], None]) -> None:
  """Train our own network on one batch, so many steps as it is asked for."""
  import torch
  from torch.nn import functional

  on_gpu = torch.cuda.is_available()
  device = torch.device("cuda" if on_gpu else "cpu")
  layout = torch.channels_last if request["tuned"] else torch.contiguous_format
  side, channels = request["side"], request["channels"]
  shape = (request["batch_size"], channels, side, side)
  rng = np.random.default_rng(0)
  images = torch.from_numpy(rng.standard_normal(shape, np.float32))
  images = images.to(device, memory_format=layout)
  labels = rng.integers(0, request["num_classes"], shape[0])
  labels = torch.from_numpy(labels).to(device)
  model = _resnet(request).to(device, memory_format=layout)
  if request["tuned"] and on_gpu:
    model = torch.compile(model)
  half = request["tuned"] and request["dtype"] == "bfloat16"
  sgd = torch.optim.SGD(
    model.parameters(), lr=0.01, momentum=0.9, weight_decay=2e-4
  )

  def turn(steps):
    started = time.perf_counter()
    for _ in range(steps):
      with torch.autocast(device.type, torch.bfloat16, enabled=half):
        loss = functional.cross_entropy(model(images), labels)
      sgd.zero_grad()
      loss.backward()
      sgd.step()
    loss.item()
    return time.perf_counter() - started

  say(_versions())
  for line in sys.stdin:
    say({"seconds": turn(int(line))})


def _resnet(request):
  from torch import nn
  from torch.nn import functional

  class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
      super().__init__()
      self.conv_1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
      self.norm_1 = nn.BatchNorm2d(outputs)
      self.conv_2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
      self.norm_2 = nn.BatchNorm2d(outputs)
      self.stride, self.extra = stride, outputs - inputs

    def forward(self, x):
      y = functional.relu(self.norm_1(self.conv_1(x)))
      y = self.norm_2(self.conv_2(y))
      if self.extra:
        side = self.extra // 2
        x = x[:, :, :: self.stride, :: self.stride]
        x = functional.pad(x, (0, 0, 0, 0, side, side))
      return functional.relu(x + y)

  inputs = 16 * request["width"]
  layers = [
    nn.Conv2d(request["channels"], inputs, 3, 1, 1, bias=False),
    nn.BatchNorm2d(inputs),
    nn.ReLU(),
  ]
  for stage in range(3):
    for block in range((request["depth"] - 2) // 6):
      outputs = 16 * request["width"] * 2**stage
      stride = 2 if stage and not block else 1
      layers.append(Block(inputs, outputs, stride))
      inputs = outputs
  layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
  return nn.Sequential(*layers, nn.Linear(inputs, request["num_classes"]))


def peer(request: dict[str, Any], say: Callable[[dict], None]) -> None:
  """Run the authors' training, paced or to its end.

  With `steps` in the request it goes as far as it is asked for; otherwise it
  runs `learning_rates` epochs and answers with the test accuracy after each, in
  percent, and the seconds of the whole.
  """
  import torch

  _mend_numpy()
  if not torch.cuda.is_available():
    _leave_on_cpu(torch)
  sys.path.insert(0, request["peer_dir"])
  _give_images(request["images"])
  networks = importlib.import_module("models.resnet_cifar")
  depth = request["depth"]
  backbone = f"resnet{depth}_fe"
  blocks = [(depth - 2) // 6] * 3
  if not hasattr(networks, backbone):
    setattr(
      networks,
      backbone,
      lambda: networks.ResNet_fe(networks.BasicBlock, blocks),
    )
  code = importlib.import_module("train")
  rates = request["learning_rates"]

  def rate_of(optimizer, epoch, config):
    del config
    for group in optimizer.param_groups:
      group["lr"] = rates[min(epoch, len(rates) - 1)]

  code.adjust_learning_rate = rate_of
  random.seed(request["seed"])
  np.random.seed(request["seed"])
  torch.manual_seed(request["seed"])
  options = request["options"] | {"backbone": backbone}
  sys.argv = ["train.py", "--cfg", request["file"]]
  sys.argv += [str(word) for pair in options.items() for word in pair]
  say(_versions())
  if request["steps"]:
    _pace(code, request, say)
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


def _pace(code, request, say):
  """Only training is timed: no evaluation, no checkpoint."""

  def ask(seconds):
    if seconds is not None:
      say({"seconds": seconds})
    line = sys.stdin.readline()
    if not line:
      sys.exit(0)
    return int(line)

  pacer = Pacer(ask, _AHEAD * request["options"]["workers"] + 1)
  train = code.train
  code.train = lambda loader, *rest: train(Paced(loader, pacer), *rest)
  code.validate = lambda *args, **kwargs: (0.0, 0.0)
  code.save_checkpoint = lambda *args: None


def _mend_numpy():
  """Name of NumPy 1 that code of its time still uses."""
  for name, kind in (("float", float), ("int", int), ("bool", bool)):
    if name not in np.__dict__:
      setattr(np, name, kind)


def _leave_on_cpu(torch):
  def same(self, *args, **kwargs):
    del args, kwargs
    return self

  torch.Tensor.cuda = same
  torch.nn.Module.cuda = same


def _give_images(path):
  """Put our images in the place of torchvision's CIFAR-10."""
  from PIL import Image
  from torchvision import datasets

  with np.load(path) as file:
    arrays = dict(file)

  class Images:
    def __init__(
      self,
      root=None,
      train=True,
      transform=None,
      target_transform=None,
      download=False,
    ):
      del root, target_transform, download
      part = "train" if train else "test"
      self.data = arrays[f"{part}_images"]
      self.targets = arrays[f"{part}_labels"].tolist()
      self._transform = transform

    def __len__(self):
      return len(self.targets)

    def __getitem__(self, index):
      image = Image.fromarray(self.data[index])
      return self._transform(image), self.targets[index]

  datasets.CIFAR10 = Images


def _versions():
  import torch

  on_gpu = torch.cuda.is_available()
  return {
    "torch": torch.__version__,
    "threads": torch.get_num_threads(),
    "device": torch.cuda.get_device_name() if on_gpu else "cpu",
  }


def main(argument: str) -> int:
  """Serves one request."""
  request = json.loads(argument)
  # The answers go where the parent listens; what others print does not.
  answers = os.fdopen(os.dup(1), "w")

  def say(answer):
    print(json.dumps(answer), file=answers, flush=True)

  with (
    tempfile.TemporaryDirectory() as folder,
    open(os.devnull, "w") as nowhere,
    contextlib.redirect_stdout(nowhere),
    contextlib.redirect_stderr(nowhere),
  ):
    os.dup2(nowhere.fileno(), 1)
    os.dup2(nowhere.fileno(), 2)
    # The authors' code writes to folders below the one that it runs in.
    before = pathlib.Path.cwd()
    os.chdir(folder)
    try:
      {"network": network, "peer": peer}[request["what"]](request, say)
    except Exception as error:  # Whatever code of others raises.
      where = type(error).__name__
      say({"error": f"{where}: {' '.join(str(error).split())[:300]}"})
      return 1
    finally:
      os.chdir(before)
  return 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1]))
