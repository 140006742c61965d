# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A trained model as a StableHLO program, and as named tensors; both checked.

write(trained, "stablehlo", Path("export"))
program = stablehlo(trained)
program.call(images)["probabilities"]      # uint8 [B, H, W, C], any B, H, W
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
from etf_jax.serving import model_card, resize
from etf_jax.serving.trained import Trained

FORMATS = ("stablehlo", "safetensors", "card")
PLATFORMS = ("cpu", "cuda", "tpu")
_TORCHVISION = tuple(f"resnet{depth}" for depth in resnet.BLOCKS)
# Images, and pixels beyond the model's shape, that an export is tried with.
_TRIED = ((1, 0), (2, 3), (5, 0))


def stablehlo(trained: Trained) -> export.Exported:
  """Create the program: scaling, crop, normalization, model, softmax.

  Returns:
    It maps uint8 images `[batch, height, width, C]` to a dictionary of float
    arrays: `logits` and `probabilities` `[batch, K]`, and `angles` `[batch]` in
    radians; see `trained.Prediction`. `batch`, `height` and `width` are any
    numbers; of a model without `trained.pixels.size` height and width are its
    own.
  """
  score = scoring.create(trained.model, trained.inputs)

  def program(images: jax.Array) -> dict[str, jax.Array]:
    squares, sizes = scaled(trained, images)
    logits, angles = score(trained.variables, squares, sizes)
    probabilities = jax.nn.softmax(logits / trained.temperature, axis=-1)
    return {"logits": logits, "probabilities": probabilities, "angles": angles}

  batch, height, width = export.symbolic_shape("batch, height, width")
  shape: tuple[Any, ...] = trained.image_shape
  if trained.pixels.size is not None:
    shape = (height, width, shape[2])
  return export.export(jax.jit(program), platforms=PLATFORMS)(
    jax.ShapeDtypeStruct((batch, *shape), trained.pixels.dtype)
  )


def scaled(trained: Trained, images: jax.Array) -> tuple[Any, Any]:
  """Return images of the model's shape, and their sizes where it takes them."""
  if trained.pixels.size is None:
    return images, None
  fit = trained.pixels.fit
  squares, sizes = resize.to_square(images, trained.pixels.size, fit)
  return squares, sizes if trained.pixels.has_sizes else None


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
  for number, larger in _TRIED:
    shape = trained.image_shape
    if trained.pixels.size is not None:
      shape = (shape[0] + larger, shape[1] + 2 * larger, shape[2])
    images: Any = rng.integers(0, 256, (number, *shape))
    images = images.astype(trained.pixels.dtype)
    squares, sizes = jax.device_get(scaled(trained, images))
    expected = np.asarray(trained.scores(squares, sizes).logits)
    found = np.asarray(call(images)["logits"])
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
    particular = _program_facts(trained, program)
  else:
    layout = write_tensors(trained, path)
    difference = _check_tensors(trained, path)
    particular = {"layout": layout}
  facts = particular | _facts(trained) | {"largest_difference": difference}
  described = folder / f"model.{format}.json"
  files.write(described, json.dumps(facts, indent=1) + "\n")
  return [path, described, card]


def _program_facts(
  trained: Trained, program: export.Exported
) -> dict[str, Any]:
  def described(shapes: Any) -> dict[str, Any]:
    shape = [n if isinstance(n, int) else str(n) for n in shapes.shape]
    return {"dtype": str(shapes.dtype), "shape": shape}

  outputs = jax.tree.unflatten(program.out_tree, program.out_avals)
  size, fit = trained.pixels.size, trained.pixels.fit
  return {
    "call": "jax.export.deserialize(content of model.stablehlo).call(images)",
    "inputs": {"images": described(program.in_avals[0])},
    "outputs": {name: described(aval) for name, aval in outputs.items()},
    "platforms": list(program.platforms),
    "inside": [
      *([f"scaling to {size} x {size}, fit={fit!r}"] if size else []),
      "center crop",
      "normalization",
      "softmax at the temperature",
    ],
    "outside": [
      "decoding",
      "turning by the Exif orientation",
      f"conversion to {trained.image_shape[2]} channel(s)",
    ],
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
    "calibrated": trained.calibrated,
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
  return check(
    trained, lambda images: again.scores(*scaled(trained, images))._asdict()
  )
