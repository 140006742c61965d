# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""PyTorch beside ours: the authors' code, here a stand-in of its layout."""

import ast
import importlib.util
import json
import pathlib
import sys

import numpy as np
import pytest

from etf_jax import benchmark, data
from etf_jax.benchmarks import peer, processes
from etf_jax.benchmarks import pytorch as script
from etf_jax.configs import digits_lt
from etf_jax.errors import InputError

needs_pytorch = pytest.mark.skipif(
  not all(map(importlib.util.find_spec, ("torch", "torchvision", "yacs"))),
  reason="PyTorch is not installed: pip install torch torchvision yacs",
)

# What the runner relies on, and no more: names, signatures, files.
STAND_IN = {
  "train.py": """
import argparse
import json
import numpy as np
import torch
import torchvision
from torchvision import transforms
from yacs.config import CfgNode
import methods
from models import resnet_cifar

def main():
  parser = argparse.ArgumentParser()
  parser.add_argument("--cfg")
  parser.add_argument("rest", nargs=argparse.REMAINDER)
  words = parser.parse_args()
  config = CfgNode(dict(FIELDS))
  config.merge_from_file(words.cfg)
  config.merge_from_list(words.rest)
  model = getattr(resnet_cifar, config.backbone)().cuda(0)
  if torch.cuda.is_available():
    raise SystemExit("the test is for CPUs")
  def loader(train):
    images = torchvision.datasets.CIFAR10(
      root=".", train=train, download=True, transform=transforms.ToTensor()
    )
    return torch.utils.data.DataLoader(
      images, batch_size=config.batch_size, num_workers=config.workers
    )
  train_loader, val_loader = loader(True), loader(False)
  sgd = torch.optim.SGD(model.parameters(), 123.0)
  seen = {"config": dict(config), "blocks": model.blocks, "rates": []}
  seen["draw"] = [float(torch.rand(())), float(np.random.rand())]
  seen["batches"] = []
  first, labels = next(iter(train_loader))
  seen["first"] = [list(first.shape), float(first.sum()), labels.tolist()]
  for epoch in range(config.num_epochs):
    adjust_learning_rate(sgd, epoch, config)
    seen["rates"].append(sgd.param_groups[0]["lr"])
    train(train_loader, model, None, None, sgd, epoch, config, None, None)
    seen["batches"].append(len(train_loader))
    accuracy, _ = validate(val_loader, model, None, None, config, None)
    save_checkpoint({"epoch": epoch}, True, ".")
    with open(SEEN, "w") as file:
      json.dump(seen, file)

def train(loader, model, head, criterion, sgd, epoch, config, logger, block):
  steps = int(len(loader.dataset) / loader.batch_size)
  for i, (images, labels) in enumerate(loader):
    if i > steps:
      break
    loss = methods.loss(model(images.cuda(0)), labels)
    sgd.zero_grad()
    loss.backward()
    sgd.step()

def validate(loader, model, head, criterion, config, logger):
  right = np.zeros(1, dtype=np.float)
  for images, labels in loader:
    right += int((model(images).argmax(1) == labels).sum())
  return torch.tensor(100 * right[0] / len(loader.dataset)), 0.0

def save_checkpoint(state, best, folder):
  torch.save(state, folder + "/current.pth.tar")

def adjust_learning_rate(sgd, epoch, config):
  raise AssertionError("the rate of an epoch is given")
""",
  "methods.py": """
from torch.nn import functional

def loss(logits, labels):
  return functional.cross_entropy(logits, labels)
""",
  "models/resnet_cifar.py": """
from torch import nn

class BasicBlock(nn.Module):
  pass

class ResNet_fe(nn.Module):
  def __init__(self, block, blocks):
    super().__init__()
    assert block is BasicBlock
    self.blocks = blocks
    self.layer = nn.Linear(3 * 32 * 32, 10)

  def forward(self, images):
    return self.layer(images.flatten(1))
""",
  peer._LEARNED: "name: learned\n",
  peer._FIXED: "name: fixed\n",
}
FIELDS = {
  "name": "",
  "dataset": "",
  "num_classes": 0,
  "imb_factor": 0.01,
  "batch_size": 0,
  "workers": 16,
  "num_epochs": 0,
  "momentum": 0.0,
  "weight_decay": 0.0,
  "mixup": True,
  "alpha": 1.0,
  "reg_dot_loss": False,
  "deterministic": True,
  "print_freq": 1,
  "backbone": "",
}


@pytest.fixture(scope="module")
def code(tmp_path_factory):
  """A folder of the same layout as theirs; what it was told is in seen.json."""
  folder = tmp_path_factory.mktemp("peer")
  for name, text in STAND_IN.items():
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
  with open(folder / "train.py", "a") as file:
    file.write(f"\nFIELDS = {FIELDS!r}\nSEEN = {str(folder / 'seen.json')!r}\n")
  return folder


def run(code, digits_dir, tmp_path, *options):
  """The report of `peer` on digits, and what the stand-in was told."""
  file = tmp_path / "peer.json"
  exit_code = benchmark.main(
    [
      "peer",
      f"--peer_dir={code}",
      "--workers=0",
      f"--json={file}",
      f"--config.data.data_dir={digits_dir}",
      "--config.devices=1",
      *options,
    ]
  )
  assert exit_code == 0
  (row,) = json.loads(file.read_text())["results"]
  seen = code / "seen.json"
  return row, json.loads(seen.read_text()) if seen.exists() else None


@needs_pytorch
def test_accuracies_of_both_on_the_same_images(
  code, digits_dir, tmp_path, capsys
):
  options = ("--accuracy", "--epochs=2", "--seeds=2")
  row, seen = run(code, digits_dir, tmp_path, *options)
  ours, theirs = row["accuracy"]["ours"], row["accuracy"]["theirs"]
  assert len(ours) == len(theirs) == 2
  assert all(0 < accuracy <= 100 for accuracy in [*ours, *theirs])
  assert row["gap"] == pytest.approx(np.mean(ours) - np.mean(theirs))
  printed = capsys.readouterr().out
  assert f"ours less theirs: {row['gap']:.2f} points" in printed
  # Both have the config's images, tail, batch, seed and learning rates.
  config = digits_lt.get_config()
  config.data.data_dir = str(digits_dir)
  images = peer.as_theirs(data.load(config.data)).train
  shape, total, labels = seen["first"]
  assert shape == [128, 3, 32, 32]
  assert labels == images.labels[:128].tolist()
  assert total == pytest.approx(images.images[:128].sum() / 255, rel=1e-5)
  assert seen["batches"] == [4, 4]
  assert seen["rates"] == pytest.approx([0.1 / 5, 0.2 / 5])
  assert seen["blocks"] == [1, 1, 1]
  told = seen["config"]
  assert told["name"] == "fixed"
  assert (told["num_classes"], told["batch_size"]) == (10, 128)
  assert (told["imb_factor"], told["mixup"]) == (1.0, False)
  assert (told["reg_dot_loss"], told["deterministic"]) == (True, False)
  import torch

  torch.manual_seed(1)
  np.random.seed(1)
  assert seen["draw"][1] == np.random.rand()


@needs_pytorch
def test_steps_of_both_in_turns(code, digits_dir, tmp_path, capsys):
  options = ("--blocks=3", "--seconds=0.05", "--warmup=1")
  row, _ = run(code, digits_dir, tmp_path, *options)
  arms = row["arms"]
  for times in arms.values():
    assert 0 < times["ms_min"] <= times["ms"] <= times["ms_max"]
  low = arms["ours"]["ms_min"] / arms["theirs"]["ms_max"]
  high = arms["ours"]["ms_max"] / arms["theirs"]["ms_min"]
  assert low <= row["ratio_min"] <= row["ratio"] <= row["ratio_max"] <= high
  assert f"| ours / theirs | {row['ratio']:.3f} (" in capsys.readouterr().out


@needs_pytorch
def test_our_network_for_pytorch_has_its_parameters():
  import torch

  torch.manual_seed(0)
  request = {"depth": 32, "width": 1, "channels": 3, "num_classes": 10}
  network = script._resnet(request)
  # The published 0.46 million.
  assert sum(p.numel() for p in network.parameters()) == 464154
  assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


@needs_pytorch
def test_their_errors_are_one_line(code, tmp_path, capsys, digits_dir):
  broken = tmp_path / "broken"
  for path in code.rglob("*"):
    if path.is_file() and path.suffix in (".py", ".yaml"):
      place = broken / path.relative_to(code)
      place.parent.mkdir(parents=True, exist_ok=True)
      place.write_text(path.read_text())
  (broken / "methods.py").write_text("raise OSError('no such disk')")
  options = [f"--config.data.data_dir={digits_dir}", "--config.devices=1"]
  assert benchmark.main(["peer", f"--peer_dir={broken}", *options]) == 2
  assert capsys.readouterr().err == (
    "error: PyTorch's process: OSError: no such disk\n"
  )


def test_turns_leave_out_what_lies_between_them():
  now, asked, told = [0.0], iter([2, 3, 0]), []

  def ask(seconds):
    told.append(seconds)
    now[0] += 100  # Ours has its turn.
    return next(asked)

  pacer = script.Pacer(ask, untimed=1, clock=lambda: now[0])
  loader = script.Paced(["a", "b", "c", "d"], pacer)
  batches = []
  for seconds in (1, 2):  # Two epochs of steps that take so long ...
    for batch in loader:
      batches.append(batch)
      now[0] += seconds
    now[0] += 1000  # ... and an evaluation, which is no step.
  assert batches == ["a", "b", "c", "d"] * 2
  assert len(loader) == 4
  # a, then b c | d, then a b c | d ...
  assert told == [None, 2.0, 6.0]


def test_images_are_put_into_black_squares():
  pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3, 1) + 1
  split = data.Split(pixels, np.array([0, 1], np.int32))
  dataset = data.Dataset(
    *("made", 2, ("a", "b"), split, split, split, np.array([1, 1])),
    *((0.5,), (0.5,), (3, 3, 1)),
  )
  theirs = peer.as_theirs(dataset)
  assert theirs.train.images.shape == (2, 32, 32, 3)
  assert theirs.image_shape == (32, 32, 3)
  for channel in range(3):
    inside = theirs.train.images[:, 14:17, 14:17, channel]
    np.testing.assert_array_equal(inside, pixels[..., 0])
  assert theirs.test.images.sum() == 3 * pixels.sum(dtype=int)
  # Their loader's, not those of the data set.
  assert theirs.mean == (0.4914, 0.4822, 0.4465)
  assert theirs.std == (0.2023, 0.1994, 0.2010)


def test_gap_by_hand():
  found = peer.compare([90.0, 92.0, 94.0], [89.0, 90.0, 91.0])
  assert found["gap"] == pytest.approx(2.0)
  assert found["standard_error"] == pytest.approx(np.sqrt(4 / 3 + 1 / 3))
  assert peer.compare([90.0], [89.0])["standard_error"] is None


def test_dropped_names_of_numpy_come_back(monkeypatch):
  for name in ("float", "int"):
    monkeypatch.delattr(np, name, raising=False)
  script._mend_numpy()
  try:
    assert np.zeros(1, dtype=np.float).dtype == np.float64
    assert np.zeros(1, dtype=np.int).dtype == np.int64
    assert np.bool is np.bool_
  finally:
    del np.float, np.int


def test_missing_code_is_named(tmp_path, capsys):
  assert benchmark.main(["peer", f"--peer_dir={tmp_path}"]) == 2
  printed = capsys.readouterr()
  assert printed.out == ""
  assert printed.err.startswith(
    f"error: --peer_dir={tmp_path} has no train.py: name a folder with the"
    " code of Yang et al."
  )


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    (["--config.method=ce"], "config.method='ce' is not in their code"),
    (["--config.model.name=resnet50"], "config.model.name='resnet50'"),
    (["--config.model.width=2"], "config.model.name='resnet8' with width 2"),
    (
      ["--config.augment.cutout=4"],
      "config.augment.cutout=4 is not in their code",
    ),
    (["--config.loss.scaling=paper"], "config.loss.scaling='paper' is not in"),
    (
      ["--config.data.feed=stream"],
      "config.data.feed='stream' is not in their",
    ),
  ],
)
def test_what_their_code_cannot_run_is_one_line(code, fields, message, capsys):
  assert benchmark.main(["peer", f"--peer_dir={code}", *fields]) == 2
  printed = capsys.readouterr()
  assert printed.out == ""
  assert printed.err.startswith(f"error: {message}")
  assert printed.err.count("\n") == 1


def test_the_script_imports_nothing_of_ours():
  tree = ast.parse(pathlib.Path(script.__file__).read_text())
  roots = set()
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      roots |= {alias.name.split(".")[0] for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      roots.add(node.module.split(".")[0])
  packages = {"numpy", "PIL", "torch", "torchvision"}
  assert roots - sys.stdlib_module_names == packages


def test_missing_packages_are_named():
  with pytest.raises(InputError) as error:
    processes.need(["json", "no_such_one", "nor_this"], "benchmark peer")
  assert str(error.value) == (
    "benchmark peer needs no_such_one and nor_this: pip install no_such_one"
    " nor_this"
  )


def test_a_process_that_dies_is_one_line(monkeypatch, tmp_path):
  silent = tmp_path / "silent.py"
  silent.write_text("raise SystemExit(7)")
  monkeypatch.setattr(processes, "_SCRIPT", silent)
  with (
    pytest.raises(InputError, match=r"ended with exit code 7$"),
    processes.pytorch({}),
  ):
    pass
