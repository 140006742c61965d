# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A trained model as a StableHLO program, and as named tensors; both checked.

program = stablehlo(trained)
program.call(images)["probabilities"]      # uint8 [any number, H, W, C]
check(trained, export.deserialize(program.serialize()).call)
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from flax import traverse_util
import jax
from jax import export
import jax.numpy as jnp
import numpy as np
import safetensors.numpy

from etf_jax.evaluation import scoring
from etf_jax.models import pretrained, resnet
from etf_jax.runs import files
from etf_jax.serving.trained import Trained

PLATFORMS = ("cpu", "cuda", "tpu")
_TORCHVISION = tuple(f"resnet{depth}" for depth in resnet.BLOCKS)
# Numbers of images that an exported model is tried with.
_TRIED = (1, 2, 5)


def stablehlo(trained: Trained) -> export.Exported:
  """The program: normalisation, centre crop, model, softmax; weights inside.

  Returns:
    It maps uint8 images `[batch, H, W, C]`, and int32 sizes `[batch, 2]` where
    `trained.pixels.has_sizes`, to a dictionary of float arrays: `logits` and
    `probabilities` `[batch, K]`, and `angles` `[batch]` in radians; see
    `trained.Prediction`. `batch` is any number.
  """
  score = scoring.create(trained.model, trained.inputs)

  def program(images, sizes=None):
    logits, angles = score(trained.variables, images, sizes)
    probabilities = jax.nn.softmax(logits / trained.temperature, axis=-1)
    return {"logits": logits, "probabilities": probabilities, "angles": angles}

  (batch,) = export.symbolic_shape("batch")
  arguments = [
    jax.ShapeDtypeStruct((batch, *trained.image_shape), jnp.uint8),
    jax.ShapeDtypeStruct((batch, 2), jnp.int32),
  ]
  return export.export(jax.jit(program), platforms=PLATFORMS)(
    *arguments[: 1 + trained.pixels.has_sizes]
  )


def write_tensors(trained: Trained, path: Path) -> str:
  """Write the variables as safetensors; returns which names they have.

  ResNets that torchvision has get its names and layout; all other models the
  names of their variables, as in `params/backbone/Dense_0/kernel`.

  Raises:
    InputError: it cannot be written.
  """
  if trained.config.model.name in _TORCHVISION:
    pretrained.save(path, trained.variables, trained.config.model.name)
    return "torchvision"
  flat = traverse_util.flatten_dict(jax.device_get(trained.variables), sep="/")
  tensors = {name: np.ascontiguousarray(array) for name, array in flat.items()}
  files.write(path, safetensors.numpy.save(tensors, {"format": "flax"}))
  return "flax"


def read_tensors(trained: Trained, path: Path) -> dict[str, Any]:
  """The variables that `write_tensors` wrote."""
  if trained.config.model.name in _TORCHVISION:
    return pretrained.load(path, trained.variables)
  flat = safetensors.numpy.load_file(path)
  found = traverse_util.unflatten_dict(flat, sep="/")
  return {name: found.get(name, {}) for name in trained.variables}


def check(trained: Trained, call: Callable[..., dict[str, jax.Array]]) -> float:
  """The largest difference of exported logits from those of the model.

  Args:
    trained: the model.
    call: what was exported, as `stablehlo` has it.

  Raises:
    RuntimeError: it is more than rounding makes.
  """
  rng, worst = np.random.default_rng(0), 0.0
  for number in _TRIED:
    images = rng.integers(
      0, 256, (number, *trained.image_shape), dtype=np.uint8
    )
    arguments = [images]
    if trained.pixels.has_sizes:
      height = rng.integers(1, trained.image_shape[0] + 1, (number, 1))
      arguments.append(np.repeat(height, 2, axis=1).astype(np.int32))
    expected = np.asarray(trained.scores(*arguments).logits)
    found = np.asarray(call(*arguments)["logits"])
    scale = max(1.0, float(np.max(np.abs(expected))))
    worst = max(worst, float(np.max(np.abs(found - expected))) / scale)
  # The dtype of the backbone decides how far rounding goes.
  limit = 100 * float(jnp.finfo(trained.config.dtype).eps)
  if not worst <= limit:
    raise RuntimeError(
      f"the exported model's logits differ by {worst:.2g} of the largest, which"
      f" is more than {limit:.2g}"
    )
  return worst
