# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Makes resnets.npz with PyTorch, in float32 and without a line of etf_jax.

  python tests/golden/make_resnets.py

The networks are written here from their descriptions, He et al. 2016 and
torchvision's "v1.5" (a bottleneck halves the resolution in its 3x3
convolution), with modules named as torchvision's: PyTorch itself checks the
state dicts of `resnets` against them.
"""

import pathlib

import numpy as np
import resnets
import torch
from torch import nn


class Block(nn.Module):
  """Basic of two convolutions or bottleneck of three, and the shortcut."""

  def __init__(self, inputs, planes, stride, bottleneck):
    super().__init__()
    outputs = planes * 4 if bottleneck else planes
    sides = ((1, 1), (3, stride), (1, 1))
    if not bottleneck:
      sides = ((3, stride), (3, 1))
    seen, self.layers = inputs, []
    for n, (side, step) in enumerate(sides, 1):
      made = outputs if n == len(sides) else planes
      conv = nn.Conv2d(seen, made, side, step, side // 2, bias=False)
      norm = nn.BatchNorm2d(made)
      self.add_module(f"conv{n}", conv)
      self.add_module(f"bn{n}", norm)
      self.layers.append((conv, norm))
      seen = made
    self.downsample = None
    if stride != 1 or inputs != outputs:
      self.downsample = nn.Sequential(
        nn.Conv2d(inputs, outputs, 1, stride, bias=False),
        nn.BatchNorm2d(outputs),
      )

  def forward(self, x):
    y = x
    for n, (conv, norm) in enumerate(self.layers, 1):
      y = norm(conv(y))
      if n < len(self.layers):
        y = torch.relu(y)
    return torch.relu(
      y + (x if self.downsample is None else self.downsample(x))
    )


class ResNet(nn.Module):
  """Images `[B, 3, H, W]` to features and logits."""

  def __init__(self, depth):
    super().__init__()
    bottleneck = depth >= 50
    self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
    self.bn1 = nn.BatchNorm2d(64)
    self.maxpool = nn.MaxPool2d(3, 2, 1)
    inputs = 64
    for stage, blocks in enumerate(resnets.BLOCKS[depth], 1):
      planes, layer = 32 * 2**stage, []
      for block in range(blocks):
        stride = 2 if stage > 1 and block == 0 else 1
        layer.append(Block(inputs, planes, stride, bottleneck))
        inputs = planes * 4 if bottleneck else planes
      self.add_module(f"layer{stage}", nn.Sequential(*layer))
    self.fc = nn.Linear(inputs, resnets.CLASSES)

  def forward(self, x):
    x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
    x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
    x = x.mean(dim=(2, 3))
    return x, self.fc(x)


def run(depth):
  """Features and logits of the one image, by PyTorch's own modules."""
  network = ResNet(depth)
  network.load_state_dict(
    {k: torch.from_numpy(v) for k, v in resnets.state_dict(depth).items()}
  )
  network.eval()
  images = torch.from_numpy(resnets.images().transpose(0, 3, 1, 2).copy())
  with torch.no_grad():
    features, logits = network(images)
  return {"features": features.numpy(), "logits": logits.numpy()}


def main():
  golden = {
    f"{depth}/{name}": value
    for depth in resnets.BLOCKS
    for name, value in run(depth).items()
  }
  path = pathlib.Path(__file__).with_name("resnets.npz")
  np.savez_compressed(path, **golden)
  print(f"{path.name}: {len(golden)} arrays, {path.stat().st_size} bytes")
  for name, value in golden.items():
    print(name, value.shape, np.abs(value).mean(), value.std())


if __name__ == "__main__":
  main()
