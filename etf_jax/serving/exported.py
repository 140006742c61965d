# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A trained model as a StableHLO program, and as named tensors; both checked.

write(trained, "stablehlo", Path("export"))
program = stablehlo(trained)
program.call(images)["probabilities"]      # uint8 [any number, H, W, C]
check(trained, export.deserialize(program.serialize()).call)
"""

from collections.abc import Callable
import copy
import json
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
from etf_jax.serving import model_card
from etf_jax.serving.trained import Trained

FORMATS = ("stablehlo", "safetensors", "card")
PLATFORMS = ("cpu", "cuda", "tpu")
_TORCHVISION = tuple(f"resnet{depth}" for depth in resnet.BLOCKS)
# Batch sizes that an exported model is tried with.
_TRIED = (1, 2, 5)


def stablehlo(trained: Trained) -> export.Exported:
  """Create the program: normalization, crop, model, softmax; weights inside.

  Returns:
    It maps uint8 images `[batch, H, W, C]`, and int32 sizes `[batch, 2]` where
    `trained.pixels.has_sizes`, to a dictionary of float arrays: `logits` and
    `probabilities` `[batch, K]`, and `angles` `[batch]` in radians; see
    `trained.Prediction`. `batch` is any number.
  """
  score = scoring.create(trained.model, trained.inputs)

  def program(images: jax.Array, sizes: jax.Array | None = None):
    logits, angles = score(trained.variables, images, sizes)
    probabilities = jax.nn.softmax(logits / trained.temperature, axis=-1)
    return {"logits": logits, "probabilities": probabilities, "angles": angles}

  (batch,) = export.symbolic_shape("batch")
  arguments = [
    jax.ShapeDtypeStruct((batch, *trained.image_shape), trained.pixels.dtype),
    jax.ShapeDtypeStruct((batch, 2), jnp.int32),
  ]
  return export.export(jax.jit(program), platforms=PLATFORMS)(
    *arguments[: 1 + trained.pixels.has_sizes]
  )


def write_tensors(trained: Trained, path: Path) -> str:
  """Write the variables as safetensors; return the kind of their names.

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
  """Return the variables that `write_tensors` wrote."""
  if trained.config.model.name in _TORCHVISION:
    return pretrained.load(path, trained.variables)
  flat = safetensors.numpy.load_file(path)
  found = traverse_util.unflatten_dict(flat, sep="/")
  return {name: found.get(name, {}) for name in trained.variables}


def check(trained: Trained, call: Callable[..., dict[str, jax.Array]]) -> float:
  """Return the largest difference of exported logits from the model's.

  Args:
    trained: the model.
    call: what was exported, as `stablehlo` has it.

  Raises:
    RuntimeError: it is more than rounding makes.
  """
  rng, worst = np.random.default_rng(0), 0.0
  for number in _TRIED:
    shape = (number, *trained.image_shape)
    images = rng.integers(0, 256, shape).astype(trained.pixels.dtype)
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


def write(trained: Trained, format: str, folder: Path) -> list[Path]:
  """Write a trained model, read it again, and compare; return the files.

  Args:
    trained: the model.
    format: "stablehlo", "safetensors" or "card".
    folder: folder of the files, made if it is missing.

  Raises:
    InputError: they cannot be written.
  """
  card = folder / "model_card.md"
  files.write(card, model_card.text(trained))
  if format == "card":
    return [card]
  path = folder / f"model.{format}"
  if format == "stablehlo":
    content = stablehlo(trained).serialize()
    program = export.deserialize(content)
    difference = check(trained, program.call)
    files.write(path, bytes(content))
    particular = _program_facts(program)
  else:
    layout = write_tensors(trained, path)
    difference = _check_tensors(trained, path)
    particular = {"layout": layout}
  facts = particular | _facts(trained) | {"largest_difference": difference}
  described = folder / f"model.{format}.json"
  files.write(described, json.dumps(facts, indent=1) + "\n")
  return [path, described, card]


def _program_facts(program: export.Exported) -> dict[str, Any]:
  def described(shapes: Any) -> dict[str, Any]:
    shape = [n if isinstance(n, int) else str(n) for n in shapes.shape]
    return {"dtype": str(shapes.dtype), "shape": shape}

  names = ("images", "sizes")[: len(program.in_avals)]
  outputs = jax.tree.unflatten(program.out_tree, program.out_avals)
  return {
    "call": "jax.export.deserialize(content of model.stablehlo).call("
    + ", ".join(names)
    + ")",
    "inputs": {
      name: described(aval)
      for name, aval in zip(names, program.in_avals, strict=True)
    },
    "outputs": {name: described(aval) for name, aval in outputs.items()},
    "platforms": list(program.platforms),
    "inside": ["center crop", "normalization", "softmax at the temperature"],
  }


def _facts(trained: Trained) -> dict[str, Any]:
  config, pixels = trained.config, trained.pixels
  return {
    "class_names": list(trained.class_names),
    "image_shape": list(trained.image_shape),
    "image_fit": pixels.fit,
    "centre_crop": config.augment.crop_size
    and {
      "size": config.augment.crop_size,
      "share_of_shorter_side": config.augment.eval_crop,
    },
    "mean": list(trained.mean),
    "std": list(trained.std),
    "temperature": trained.temperature,
    "run": {
      "name": trained.run.name,
      "method": trained.run.method,
      "hash": trained.run.hash,
      "seed": trained.run.seed,
      "checkpoint": trained.which,
      "step": trained.step,
    },
    "jax": jax.__version__,
  }


def _check_tensors(trained: Trained, path: Path) -> float:
  again = copy.copy(trained)
  again.variables = read_tensors(trained, path)
  return check(trained, lambda *arguments: again.scores(*arguments)._asdict())
