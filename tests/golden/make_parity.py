# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Makes parity.npz with PyTorch, in float64 and without a line of etf_jax.

  python tests/golden/make_parity.py

The networks, losses, optimiser and schedule are written here from their
descriptions: He et al. 2016 (ResNet for CIFAR, shortcut A), the published code
of Yang et al. 2022 (dot regression), PyTorch's own SGD. Running variances are
PyTorch's, which are unbiased.
"""

import pathlib

import formula
import numpy as np
import torch
from torch import nn
from torch.nn import functional


class Block(nn.Module):
  """Basic block; the shortcut subsamples and pads channels on both sides."""

  def __init__(self, inputs, outputs, stride):
    super().__init__()
    self.conv_1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    self.norm_1 = nn.BatchNorm2d(outputs)
    self.conv_2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
    self.norm_2 = nn.BatchNorm2d(outputs)
    self.stride, self.extra = stride, outputs - inputs

  def forward(self, x):
    y = torch.relu(self.norm_1(self.conv_1(x)))
    y = self.norm_2(self.conv_2(y))
    if self.extra:
      side = self.extra // 2
      x = x[:, :, :: self.stride, :: self.stride]
      x = functional.pad(x, (0, 0, 0, 0, side, side))
    return torch.relu(x + y)


class Network(nn.Module):
  """ResNet and head; its modules are named as in `formula`."""

  def __init__(self, case):
    super().__init__()
    backbone = nn.Module()
    backbone.conv_stem = nn.Conv2d(case.channels, 16, 3, 1, 1, bias=False)
    backbone.norm_stem = nn.BatchNorm2d(16)
    inputs, self.blocks = 16, []
    for stage in (1, 2, 3):
      for block in range(1, (case.depth - 2) // 6 + 1):
        outputs = 8 * 2**stage
        stride = 2 if stage > 1 and block == 1 else 1
        name = f"stage{stage}_block{block}"
        backbone.add_module(name, Block(inputs, outputs, stride))
        self.blocks.append(name)
        inputs = outputs
    self.backbone, self.head = backbone, nn.Module()
    self.etf = case.method == "etf_dr"
    if self.etf:
      self.head.norm = nn.BatchNorm1d(inputs)
      self.prototypes = torch.from_numpy(formula.prototypes())
    else:
      self.head = nn.Linear(inputs, formula.CLASSES)

  def forward(self, x):
    backbone = self.backbone
    x = torch.relu(backbone.norm_stem(backbone.conv_stem(x)))
    for name in self.blocks:
      x = getattr(backbone, name)(x)
    x = x.mean(dim=(2, 3))
    if not self.etf:
      return x, self.head(x)
    x = functional.normalize(self.head.norm(x), dim=1, eps=1e-8)
    return x, x @ self.prototypes


def linen_name(name):
  """Turn the name of a tensor into linen's, with its collection."""
  *place, last = name.split(".")
  if last.startswith("running_"):
    return "statistics", "/".join([*place, last.removeprefix("running_")])
  if last == "weight":
    last = "scale" if "norm" in place[-1] else "kernel"
  return "parameters", "/".join([*place, last])


def linen_layout(tensor):
  """An array as linen holds it: `OIHW` to `HWIO`, `[K, d]` to `[d, K]`."""
  array = tensor.detach().numpy()
  return array.transpose({4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}[array.ndim])


def load(network, case):
  """Copy the initial parameters in."""
  initial = formula.parameters(case)
  for name, tensor in network.named_parameters():
    array = initial.pop(linen_name(name)[1])
    order = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[array.ndim]
    with torch.no_grad():
      tensor.copy_(torch.from_numpy(array.transpose(order).copy()))
  assert not initial, initial.keys()


def dot_regression(features, labels, targets_of, prototypes, scaling):
  """The published code's loss of `labels`, lengths from `targets_of`."""
  counts = torch.bincount(targets_of, minlength=formula.CLASSES).double()
  gamma = len(targets_of) / (counts > 0).sum()
  length = torch.where(counts > 0, (gamma / counts).sqrt(), torch.ones(()))
  targets = prototypes.T[labels] * length[labels][:, None]
  own = features.norm(dim=1).clamp(min=1e-8).detach()
  target = targets.norm(dim=1)
  loss = ((features * targets).sum(1) - target * own) ** 2 / (2 * own)
  if scaling == "paper":
    loss = loss / target
  return loss.mean()


def loss_of(case, network, features, logits, labels, targets_of):
  if case.method == "etf_dr":
    return dot_regression(
      features, labels, targets_of, network.prototypes, case.scaling
    )
  if case.method == "ce":
    return functional.cross_entropy(logits, labels)
  counts = torch.tensor(formula.CLASS_COUNTS, dtype=torch.float64)
  weight = counts.sum() / (len(counts) * counts)
  return functional.cross_entropy(
    logits, labels, weight, reduction="none"
  ).mean()


def learning_rate(epoch):
  """The published rule, with epochs counted from 1."""
  if epoch <= formula.WARMUP_EPOCHS:
    return formula.LEARNING_RATE * epoch / formula.WARMUP_EPOCHS
  due = sum(epoch > f * formula.EPOCHS for f in formula.DECAY_FRACTIONS)
  return formula.LEARNING_RATE * formula.DECAY_FACTOR**due


def images_of(batch):
  pixels = torch.from_numpy(batch).double().permute(0, 3, 1, 2) / 255
  channels = batch.shape[-1]
  mean, std = (
    torch.tensor(x[:channels])[:, None, None]
    for x in (formula.MEAN, formula.STD)
  )
  return (pixels - mean) / std


def run(case):
  """The golden values of one case, by name."""
  network = Network(case)
  load(network, case)
  sgd = torch.optim.SGD(
    network.parameters(),
    lr=formula.LEARNING_RATE,
    momentum=formula.MOMENTUM,
    weight_decay=formula.WEIGHT_DECAY,
  )
  golden, losses = {}, []
  leaves = {"gradients": {}, "parameters": {}, "statistics": {}}
  for step in range(formula.STEPS):
    sgd.param_groups[0]["lr"] = learning_rate(
      1 + step // formula.STEPS_PER_EPOCH
    )
    images, labels = formula.batch(case, step)
    images, labels = images_of(images), torch.from_numpy(labels).long()
    if case.mixup:
      partners = list(formula.PARTNERS)
      images = formula.LAM * images + (1 - formula.LAM) * images[partners]
    features, logits = network(images)
    loss = loss_of(case, network, features, logits, labels, labels)
    if case.mixup:
      other = loss_of(case, network, features, logits, labels[partners], labels)
      loss = formula.LAM * loss + (1 - formula.LAM) * other
    sgd.zero_grad()
    loss.backward()
    losses.append(loss.item())
    if step == 0:
      golden["features"] = features.detach().numpy()
      golden["logits"] = logits.detach().numpy()
      for name, tensor in network.named_parameters():
        leaves["gradients"][linen_name(name)[1]] = linen_layout(tensor.grad)
    sgd.step()
  for name, tensor in network.state_dict().items():
    if not name.endswith("num_batches_tracked"):
      kind, name = linen_name(name)
      leaves[kind][name] = linen_layout(tensor)
  golden |= {k: formula.fingerprints(v) for k, v in leaves.items()}
  network.eval()
  with torch.no_grad():
    golden["logits_after"] = network(images)[1].numpy()
  golden["losses"] = np.array(losses)
  return golden


def run_sgd(**options):
  """The parameter of `formula.sgd_problem` after each step."""
  start, gradients, rates = formula.sgd_problem()
  parameter = nn.Parameter(torch.from_numpy(start))
  sgd = torch.optim.SGD([parameter], lr=1.0, **options)
  path = []
  for gradient, rate in zip(gradients, rates, strict=True):
    sgd.param_groups[0]["lr"] = rate
    parameter.grad = torch.from_numpy(gradient)
    sgd.step()
    path.append(parameter.detach().numpy().copy())
  return np.stack(path)


def main():
  torch.set_default_dtype(torch.float64)
  torch.manual_seed(0)
  golden = {
    f"{case}/{name}": value
    for case, fields in formula.CASES.items()
    for name, value in run(fields).items()
  }
  for name, options in formula.SGD.items():
    golden[f"sgd/{name}"] = run_sgd(**options)
  path = pathlib.Path(__file__).with_name("parity.npz")
  np.savez_compressed(path, **golden)
  print(f"{path.name}: {len(golden)} arrays, {path.stat().st_size} bytes")
  for case in formula.CASES:
    print(case, golden[f"{case}/losses"].round(4))


if __name__ == "__main__":
  main()
