# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Start of both sides of the comparison of ResNets.

Pure NumPy, with a table of the tensors of its own: names and shapes are those
of torchvision's state dicts. The numbers are drawn here instead of stored.
"""

import zlib

import numpy as np

CLASSES, SIDE = 12, 64
BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
BLOCKS |= {101: (3, 4, 23, 3)}


def shapes(
  depth: int, last_planes: int = 512, classes: int = CLASSES
) -> dict[str, tuple[int, ...]]:
  """Shapes by name; `last_planes` of torchvision's networks are 512."""
  found = {}

  def conv_norm(conv, norm, outputs, inputs, side):
    found[f"{conv}.weight"] = (outputs, inputs, side, side)
    for name in ("weight", "bias", "running_mean", "running_var"):
      found[f"{norm}.{name}"] = (outputs,)
    found[f"{norm}.num_batches_tracked"] = ()

  conv_norm("conv1", "bn1", 64, 3, 7)
  inputs = 64
  for stage, planes in enumerate((64, 128, 256, last_planes), 1):
    sides = (1, 3, 1) if depth >= 50 else (3, 3)
    outputs = planes * 4 if depth >= 50 else planes
    for block in range(BLOCKS[depth][stage - 1]):
      place, seen = f"layer{stage}.{block}", inputs
      for n, side in enumerate(sides, 1):
        made = outputs if n == len(sides) else planes
        conv_norm(f"{place}.conv{n}", f"{place}.bn{n}", made, seen, side)
        seen = made
      if block == 0 and (stage > 1 or outputs != inputs):
        conv_norm(
          f"{place}.downsample.0", f"{place}.downsample.1", outputs, inputs, 1
        )
      inputs = outputs
  found |= {"fc.weight": (classes, inputs), "fc.bias": (classes,)}
  return found


def state_dict(
  depth: int, last_planes: int = 512, classes: int = CLASSES
) -> dict[str, np.ndarray]:
  """float32 tensors, no two channels alike; see `shapes`."""
  wanted = shapes(depth, last_planes, classes)
  return {name: _draw(name, shape) for name, shape in wanted.items()}


def images() -> np.ndarray:
  """One float32 image of noise, `[1, H, W, 3]`."""
  drawn = np.random.RandomState(0).standard_normal((1, SIDE, SIDE, 3))
  return drawn.astype(np.float32)


def _draw(name, shape):
  if not shape:
    return np.zeros(shape, np.int64)
  # RandomState's streams are frozen for all versions of NumPy.
  drawn = np.random.RandomState(zlib.crc32(name.encode())).random_sample(shape)
  if len(shape) > 1:  # uniform, of the variance 2 / fan-in
    drawn = (drawn - 0.5) * np.sqrt(24 / np.prod(shape[1:]))
  elif name.endswith("running_var"):
    drawn += 0.5
  elif name.endswith("weight"):
    # The last ones small: a sum over many blocks must not grow without end.
    least = {"bn1": 0.9, "bn2": 0.4, "bn3": 0.4}.get(name.split(".")[-2], 0.6)
    drawn = drawn * 0.2 + least
  else:
    drawn = (drawn - 0.5) * 0.2
  return drawn.astype(np.float32)
