# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Start of both sides of the parity test, and their comparison.

Pure NumPy, so that neither side can lend the other its code: the initial
parameters, prototypes and batches are computed here instead of stored, and an
array of any size is compared by its fingerprint. Names and layouts of the
arrays are those of a linen tree (`HWIO` kernels, `[d, K]` weights).
"""

from typing import NamedTuple
import zlib

import numpy as np

CLASSES, FEATURES = 10, 64
STEPS_PER_EPOCH, EPOCHS = 4, 5
STEPS = STEPS_PER_EPOCH * EPOCHS
# The recipe of CIFAR in 5 epochs: 0 and 1 warm up, 2 has the full rate, 3 a
# tenth of it and 4 a hundredth.
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.1, 0.9, 2e-4
WARMUP_EPOCHS, DECAY_FRACTIONS, DECAY_FACTOR = 2.0, (0.6, 0.8), 0.1

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
CLASS_COUNTS = (50, 30, 20, 12, 9, 7, 5, 4, 3, 2)
# Exact in float32, because mixup draws its weight so.
LAM, PARTNERS = 0.6875, (3, 7, 0, 1, 9, 5, 8, 2, 4, 6)


class Case(NamedTuple):
  """One trajectory.

  Attributes:
    method: as in the config.
    depth: of the ResNet.
    side: height and width of the images.
    channels: of the images.
    batch: examples in a batch.
    scaling: of the dot-regression loss.
    mixup: mix with `PARTNERS` by `LAM`.
    last: examples in the last batch of an epoch; None: as many.
  """

  method: str
  depth: int = 8
  side: int = 16
  channels: int = 3
  batch: int = 10
  scaling: str = "class_balanced"
  mixup: bool = False
  last: int | None = None


CASES = {
  "etf_dr": Case("etf_dr", depth=32, side=32, batch=5),
  "etf_dr_paper_partial": Case("etf_dr", scaling="paper", last=7),
  "etf_dr_mixup": Case("etf_dr", mixup=True, channels=1),
  "ce": Case("ce"),
  "ce_weighted": Case("ce_weighted", channels=1),
}

# Arguments of torch.optim.SGD.
SGD = {
  "momentum": {"momentum": 0.9, "weight_decay": 0.05},
  "nesterov": {"momentum": 0.9, "weight_decay": 0.05, "nesterov": True},
  "neither": {"momentum": 0.0, "weight_decay": 0.0},
}


def parameters(case: Case) -> dict[str, np.ndarray]:
  """The initial parameters by name, every one of them drawn."""
  shapes = {}

  def conv_norm(place, suffix, inputs, outputs):
    shapes[f"{place}/conv_{suffix}/kernel"] = (3, 3, inputs, outputs)
    shapes[f"{place}/norm_{suffix}/scale"] = (outputs,)
    shapes[f"{place}/norm_{suffix}/bias"] = (outputs,)

  conv_norm("backbone", "stem", case.channels, 16)
  inputs = 16
  for stage, outputs in enumerate((16, 32, 64), 1):
    for block in range(1, (case.depth - 2) // 6 + 1):
      place = f"backbone/stage{stage}_block{block}"
      conv_norm(place, "1", inputs, outputs)
      conv_norm(place, "2", outputs, outputs)
      inputs = outputs
  if case.method == "etf_dr":
    shapes["head/norm/scale"] = shapes["head/norm/bias"] = (FEATURES,)
  else:
    shapes["head/kernel"] = (FEATURES, CLASSES)
    shapes["head/bias"] = (CLASSES,)
  return {name: _initial(name, shape) for name, shape in shapes.items()}


def _initial(name: str, shape: tuple[int, ...]) -> np.ndarray:
  # RandomState's streams are frozen for all versions of NumPy.
  drawn = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(
    shape
  )
  if name.endswith("kernel"):
    return drawn * np.sqrt(2 / np.prod(shape[:-1]))
  return 0.1 * drawn + name.endswith("scale")


def prototypes() -> np.ndarray:
  """A simplex ETF, `[d, K]`, by Eq 1 of Yang et al. 2022."""
  gaussian = np.random.RandomState(1).standard_normal((FEATURES, CLASSES))
  q, r = np.linalg.qr(gaussian)
  q *= np.sign(np.diag(r))  # one answer from every LAPACK
  scale = np.sqrt(CLASSES / (CLASSES - 1))
  return scale * q @ (np.eye(CLASSES) - 1 / CLASSES)


def batch(case: Case, step: int) -> tuple[np.ndarray, np.ndarray]:
  """uint8 images `[B, H, W, C]` and labels; some classes are missing."""
  rng = np.random.RandomState(100 + step)
  size = case.batch
  if case.last and (step + 1) % STEPS_PER_EPOCH == 0:
    size = case.last
  images = rng.randint(0, 256, (size, case.side, case.side, case.channels))
  labels = np.minimum(rng.randint(0, 15, size) // 2 + step % 4, CLASSES - 1)
  # Classes differ by brightness, so that there is something to learn.
  images = (images + 20 * labels[:, None, None, None]) // 2
  return images.astype(np.uint8), labels.astype(np.int32)


def sgd_problem() -> tuple[np.ndarray, np.ndarray, tuple[float, ...]]:
  """A `[3, 2]` parameter, its gradient at each of 6 steps, and the rates."""
  rng = np.random.RandomState(7)
  rates = (0.1, 0.1, 0.05, 0.05, 0.01, 0.2)
  return rng.standard_normal((3, 2)), rng.standard_normal((6, 3, 2)), rates


def fingerprints(arrays: dict[str, np.ndarray]) -> np.ndarray:
  """A row per array, in the order of the names: float64 `[n, 7]`.

  The norm, two random projections, and the first four entries.
  """
  return np.stack([_fingerprint(name, arrays[name]) for name in sorted(arrays)])


def _fingerprint(name: str, array: np.ndarray) -> np.ndarray:
  flat = np.asarray(array, np.float64).reshape(-1)
  rng = np.random.RandomState(zlib.crc32(b"projection of " + name.encode()))
  directions = rng.standard_normal((2, flat.size))
  return np.concatenate([[np.linalg.norm(flat)], directions @ flat, flat[:4]])
