# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Models that turn images into features: ours, timm's, torchvision's, yours.

encoder = open_encoder("timm:resnet50", None, None, trust_code=False)
features = encoder.encode(images)    # uint8 [B, S, S, C] -> floats [B, d]
"""

from collections.abc import Callable
import math
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from etf_jax import models
from etf_jax.configs import base
from etf_jax.data import augment, decode
from etf_jax.errors import InputError, unknown_name
from etf_jax.models import pretrained
from etf_jax.probing import features
from etf_jax.runs import identity, trackers
from etf_jax.serving import trained
from etf_jax.training.checkpoints import hub

# ImageNet's, on which most networks were trained.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_SIDE, _SHARE = 224, 0.875
# Attributes that hold the classifier of torchvision's models.
_CLASSIFIERS = ("fc", "classifier", "heads", "head")


class Encoder(NamedTuple):
  """A model without a classifier.

  Attributes:
    name: model, weights and size, in one line.
    decode: content of a file to an image, and the size of it.
    encode: (images of a batch, their sizes) -> floats `[B, d]`.
  """

  name: str
  decode: Callable[[bytes], tuple[np.ndarray, Any]]
  encode: Callable[[np.ndarray, np.ndarray], np.ndarray]


def open_encoder(
  name: str,
  weights: str | None,
  side: int | None,
  *,
  step: str = "last",
  trust_code: bool = False,
) -> Encoder:
  """Open a model.

  Args:
    name: directory of a run; a backbone of `models.BACKBONES` for photographs;
      `timm:NAME`; `torchvision:NAME`; or `package.module:function`, which takes
      uint8 `[B, S, S, 3]` and returns `[B, d]`.
    weights: of a backbone, a .safetensors file or hf:ORG/NAME; of timm or
      torchvision a file of PyTorch's, None: theirs.
    side: S, pixels of the square that the model sees; None: 224, or the
      model's. A run has its own.
    step: checkpoint of a run, last | best.
    trust_code: see `trained.load`.

  Raises:
    InputError: there is no such model.
  """
  kind, colon, rest = name.partition(":")
  if Path(name).is_dir():
    for flag, value in (("weights", weights), ("image_size", side)):
      if value is not None:
        raise InputError(f"--{flag}={value}: a run has its own; leave it out")
    return _run(name, step, trust_code)
  if kind in ("timm", "torchvision") and colon:
    return _pytorch(kind, rest, weights, side)
  if colon:
    function = trackers.import_function(f"--model={name}", name)
    return _squares(name, lambda images: np.asarray(function(images)), side)
  if name not in models.BACKBONES:
    raise unknown_name(
      "--model", name, models.BACKBONES,
      "the directory of a run, timm:NAME, torchvision:NAME or"
      " package.module:function",
    )  # fmt: skip
  return _backbone(name, weights, side)


def _run(directory, step, trust_code):
  model = trained.load(directory, step, trust_code=trust_code)
  if model.pixels.features:
    raise InputError(
      f"--model={directory}: a run on features sees no images; give the model"
      " that they come from"
    )
  extract = jax.jit(features.extractor(model.model, model.inputs, "backbone"))

  def encode(images, sizes):
    sizes = sizes if model.pixels.has_sizes else None
    return np.asarray(extract(model.variables, images, sizes))

  run = model.run
  name = f"{run.name} {run.method} seed {run.seed} {run.hash} step {model.step}"
  return Encoder(name, model.decode, encode)


def _backbone(name, weights, side):
  if weights is None:
    raise InputError(
      f"--weights: {name} is a network without weights; give a .safetensors"
      f" file or {identity.HUB}ORG/NAME"
    )
  path, source = Path(weights), weights
  if weights.startswith(identity.HUB):
    path, source = hub.download(weights, "--weights")
  backbone = models.BACKBONES[name]()
  shape = (side or _SIDE, side or _SIDE, 3)
  like = jax.eval_shape(
    backbone.init, jax.random.key(0), jnp.zeros((1, *shape))
  )
  variables = jax.device_put(pretrained.load(path, like))
  inputs = augment.evaluation(
    base.get_config().augment, _MEAN, _STD, jnp.dtype("float32")
  )
  encode = jax.jit(
    lambda variables, images: backbone.apply(variables, inputs(images, None))
  )
  return _squares(
    f"{name} {source}",
    lambda images: np.asarray(encode(variables, images)),
    side,
    crop=_SHARE,
  )


def _pytorch(kind, name, weights, side):
  """Open a model of timm or torchvision, without the classifier."""
  try:
    import torch

    if kind == "timm":
      network, mean, std, wanted, crop = _timm(name, weights)
    else:
      network, mean, std, wanted, crop = _torchvision(torch, name, weights)
  except ImportError as error:
    raise InputError(
      f"--model={kind}:{name}: needs {error.name}; pip install"
      " 'etf_jax[extract]'"
    ) from error
  # What these raise for a file or a network that is not there.
  except (RuntimeError, OSError, ValueError, KeyError) as error:
    reason = " ".join(str(error).split()[:30])
    raise InputError(
      f"--model={kind}:{name}: cannot be opened ({reason}); check the name and"
      " --weights"
    ) from error
  network.eval()
  device = "cuda" if torch.cuda.is_available() else "cpu"
  network.to(device)
  scale = np.float32(255)
  mean, std = np.float32(mean), np.float32(std)

  def encode(images):
    rows = np.ascontiguousarray(
      ((images / scale - mean) / std).transpose(0, 3, 1, 2)
    )
    with torch.inference_mode():
      found = network(torch.from_numpy(rows).to(device))
    return found.float().cpu().numpy().reshape(len(images), -1)

  return _squares(
    f"{kind}:{name} {weights or 'pretrained'}", encode, side or wanted, crop
  )


def _timm(name, weights):
  import timm

  network = timm.create_model(
    name, pretrained=weights is None, checkpoint_path=weights or ""
  )
  network.reset_classifier(0)
  known = timm.data.resolve_model_data_config(network)
  return (
    network,
    known["mean"],
    known["std"],
    known["input_size"][-1],
    known["crop_pct"],
  )


def _torchvision(torch, name, weights):
  from torchvision.models import get_model, get_model_weights

  network = get_model(name, weights="DEFAULT" if weights is None else None)
  if weights is not None:
    found = torch.load(weights, map_location="cpu", weights_only=True)
    network.load_state_dict(found)
  known = get_model_weights(name).DEFAULT.transforms()
  for attribute in _CLASSIFIERS:
    if hasattr(network, attribute):
      setattr(network, attribute, torch.nn.Identity())
      break
  side = known.crop_size[0]
  return network, known.mean, known.std, side, side / known.resize_size[0]


def _squares(name, encode, side, crop=1.0):
  """Make an encoder of squares, the middle of an image."""
  side = side or _SIDE
  scaled = math.floor(side / crop)
  first = (scaled - side) // 2
  decoder = decode.choose(None)

  def decoded(content):
    image, _ = decode.decode(
      content, channels=3, size=scaled, fit="shorter", decoder=decoder
    )
    kept = slice(first, first + side)
    return image[kept, kept], (side, side)

  return Encoder(
    f"{name} at {side} of {scaled} pixels",
    decoded,
    lambda images, sizes: encode(images),
  )
