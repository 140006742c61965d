# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""What a run costs, roughly, before it has begun: steps, images, FLOPs."""

from typing import NamedTuple

from ml_collections import ConfigDict
import numpy as np

from etf_jax.data import catalog, long_tail
from etf_jax.errors import InputError
from etf_jax.training import durations, objectives

# GFLOP that training takes for an image of a side, in pixels: three times the
# forward pass, a multiplication and an addition being two.
_GFLOP = {
  "resnet8": (0.073, 32),
  "resnet20": (0.24, 32),
  "resnet32": (0.41, 32),
  "resnet44": (0.58, 32),
  "resnet56": (0.75, 32),
  "densenet10": (0.059, 32),
  "densenet150": (3.28, 32),
  "resnet18": (10.9, 224),
  "resnet34": (22.0, 224),
  "resnet50": (24.3, 224),
  "resnet101": (47.0, 224),
}
# ResNet-50 whose last stage is doubled, over the plain one.
_DOUBLED = 36.4 / 24.3
_FORWARD = 1 / 3
# Measured: ResNet-8 on Fashion-MNIST, two cores of an Intel Xeon.
TWO_CORES_GFLOP_PER_SECOND = 30.0


class Cost(NamedTuple):
  """Of one seed's training, without evaluations; None is unknown."""

  steps: int | None
  images: int | None
  gflop: float | None


def cost(config: ConfigDict) -> Cost:
  """Estimate the cost of a run.

  Args:
    config: resolved.
  """
  size = training_images(config)
  if size is None:
    return Cost(None, None, None)
  epoch = durations.Epoch(size, min(config.batch_size, size))
  steps = durations.steps(config, "total", epoch)
  images = round(steps / epoch.steps * size)
  per_image = gflop_per_image(config)
  gflop = None if per_image is None else per_image * images
  return Cost(steps, images, gflop)


def training_images(config: ConfigDict) -> int | None:
  """Training images of the long tail; None for the user's own."""
  data = config.data
  if data.name not in catalog.DATASETS:
    return None
  facts = catalog.DATASETS[data.name]
  whole = facts.sizes().get("train")
  if whole is None:
    return None
  kept = whole - int(data.validation_fraction * whole)
  if data.profile == "list":
    return int(np.sum(data.counts))
  if data.profile == "none":
    return kept
  try:
    counts = {
      "step": long_tail.step_counts,
      "pareto": long_tail.pareto_counts,
    }.get(data.profile, long_tail.exponential_counts)(
      kept // facts.num_classes, facts.num_classes, data.imbalance
    )
  except InputError as error:
    raise InputError(f"{config.name}: {error}") from error
  return int(counts.sum())


def gflop_per_image(config: ConfigDict) -> float | None:
  """GFLOP that training takes for an image; None for unknown networks."""
  model = config.model
  trains = objectives.METHODS[config.method].trains
  if trains == "nothing":
    return 0.0
  facts = catalog.DATASETS.get(config.data.name)
  shape = facts and facts.image_shape
  side = config.augment.crop_size or config.data.image_size
  side = side or (shape and shape[0])
  if model.name not in _GFLOP or side is None:
    return None
  gflop, reference = _GFLOP[model.name]
  if model.kwargs.get("last_stage_width", 1) == 2:
    gflop *= _DOUBLED
  if trains == "classifier":
    gflop *= _FORWARD
  return gflop * model.width**2 * (side / reference) ** 2
