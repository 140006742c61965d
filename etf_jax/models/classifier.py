# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A backbone and a head as one module, built from a config.

model = create_model(config)
output = model.apply(variables, images)   # .features .logits .weights
"""

import ast
from collections.abc import Callable, Iterator, Mapping
import contextlib
import dataclasses
import functools
import importlib
import importlib.util
import inspect
import os
from pathlib import Path
import sys
from typing import Any

from flax import linen as nn
from flax import traverse_util
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from etf_jax.configs import base
from etf_jax.errors import InputError, unknown_field, unknown_name
from etf_jax.models import batch_norm, heads
from etf_jax.models.densenet import DenseNet
from etf_jax.models.mlp import MLP
from etf_jax.models.resnet import BLOCKS, ResNet
from etf_jax.models.resnet_cifar import ResNetCIFAR

BACKBONES: dict[str, Callable[..., nn.Module]] = {
  f"{family}{depth}": functools.partial(module, depth=depth)
  for family, module, depths in (
    ("resnet", ResNetCIFAR, (8, 20, 32, 44, 56)),
    ("resnet", ResNet, BLOCKS),
    ("densenet", DenseNet, (10, 100, 150, 190, 250)),
  )
  for depth in depths
} | {"identity": functools.partial(MLP, depth=0), "mlp": MLP}

HEADS: dict[str, Callable[..., nn.Module]] = {
  "cosine": heads.CosineHead,
  "etf": heads.ETFHead,
  "linear": heads.LinearHead,
  "frozen_linear": functools.partial(heads.LinearHead, frozen=True),
}


class Classifier(nn.Module):
  """Images to `Output`: a backbone, then a head.

  Attributes:
    backbone: any module `images -> [B, d] features`.
    head: a module like `ETFHead`.
    bn_group_size: see `batch_norm.groups_of`.
    merged_batch_norm: the same; for GPUs.
  """

  backbone: nn.Module
  head: nn.Module
  bn_group_size: int | None = None
  merged_batch_norm: bool = False

  def __call__(
    self,
    images: jax.Array,
    *,
    train: bool = False,
    mask: jax.Array | None = None,
    train_backbone: bool | None = None,
  ) -> heads.Output:
    """Classify `[B, H, W, C]` float images.

    Args:
      images: normalized as in training.
      train: batch statistics instead of running ones, which are updated.
      train_backbone: the same of the backbone; None: as `train`.
      mask: `[B]` booleans; False keeps an example out of the statistics.

    Raises:
      InputError: a mask for a backbone that takes none, or features that are
        not `[B, d]`.
    """
    with batch_norm.groups_of(
      self.bn_group_size, merged=self.merged_batch_norm
    ):
      of_backbone = train if train_backbone is None else train_backbone
      features = self.features(images, train=of_backbone, mask=mask)
      return self.head(features, train=train, mask=mask)

  def features(
    self,
    images: jax.Array,
    *,
    train: bool = False,
    mask: jax.Array | None = None,
  ) -> jax.Array:
    """Return the `[B, d]` features; arguments as those of a call."""
    name, accepted = type(self.backbone).__name__, keywords(self.backbone)
    if mask is not None and train and "mask" not in accepted:
      raise InputError(
        f"config.model.name: backbone {name} takes no `mask`, so batches cannot"
        " be padded to a multiple of the devices, of config.accumulate_steps or"
        " of config.bn_group_size; give its __call__ a keyword `mask`, or"
        " choose these and config.batch_size so that they divide every batch"
      )
    passed = {"train": train, "mask": mask}
    features = self.backbone(
      images, **{k: v for k, v in passed.items() if k in accepted}
    )
    if features.ndim != 2:
      raise InputError(
        f"backbone {name} must give [batch, features], but gave shape"
        f" {features.shape}: pool or flatten its output"
      )
    return features


def layers(
  model: Classifier, image_shape: tuple[int, ...]
) -> tuple[tuple[str, ...], ...]:
  """Return the names of the backbone's parts in each layer, from input on.

  Parts are the modules that the backbone calls. A layer begins with one that
  has a kernel; others, as normalizations, belong to the layer before them.

  Args:
    model: see `create_model`.
    image_shape: `(H, W, C)`.
  """
  order: dict[str, None] = {}

  def note(called, args, kwargs, context):
    if len(context.module.path) > 1 and context.module.path[0] == "backbone":
      order.setdefault(context.module.path[1])
    return called(*args, **kwargs)

  with nn.intercept_methods(note):
    variables = jax.eval_shape(
      lambda: model.init(
        jax.random.key(0),
        jnp.zeros((1, *image_shape)),
        method=Classifier.features,
      )
    )
  params = variables.get("params", {}).get("backbone", {})
  found: list[tuple[str, ...]] = []
  for name in order:
    if name not in params:
      continue
    if not found or any(x.ndim > 1 for x in jax.tree.leaves(params[name])):
      found.append((name,))
    else:
      found[-1] += (name,)
  return tuple(found)


def keywords(backbone: nn.Module) -> frozenset[str]:
  """Return the ones of `train` and `mask` that a backbone's call takes."""
  parameters = inspect.signature(type(backbone).__call__).parameters.values()
  if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
    return frozenset({"train", "mask"})
  return frozenset(p.name for p in parameters) & {"train", "mask"}


def _complete(fields: Mapping[str, Any]) -> ConfigDict:
  """Add the defaults of configs/base.py, and an ETF head, to some fields."""
  config = base.get_config()
  config.head.update(name="etf", projector=0)
  flatten = functools.partial(
    traverse_util.flatten_dict, keep_empty_nodes=True, sep="."
  )
  known = flatten(config.to_dict())
  for field in flatten(fields):
    if field not in known and not field.startswith("model.kwargs."):
      raise unknown_field(field, [*config, *known])
  with config.model.kwargs.unlocked():
    config.update(fields)
  head = config.head
  if config.model.num_classes is None:
    raise InputError(
      "config.model.num_classes=None: unknown without data; give the number of"
      " classes"
    )
  if head.name not in HEADS:
    raise unknown_name("config.head.name", head.name, HEADS)
  if head.batch_norm is None:
    head.batch_norm = head.name == "etf"
  if head.l2_normalize is None:
    head.l2_normalize = head.name in ("etf", "cosine")
  return config


def create_model(
  config: ConfigDict | Mapping[str, Any], *, search_current_folder: bool = True
) -> Classifier:
  """Build the model that a resolved config describes.

  A dict needs `model.num_classes` only; without a head it has an ETF head::

    create_model({"model": {"name": "resnet8", "num_classes": 10}})

  Args:
    config: a resolved config or a dict, of which are read: `config.model`
      (`name`, `width`, `kwargs`, `num_classes`), `config.head` (`name`,
      `batch_norm`, `l2_normalize`, `projector`, `num_prototypes`, `frame`,
      `length`, `learn_length`), `config.bn_group_size` and `config.dtype`; see
      configs/base.py.
    search_current_folder: False to import a backbone of another package from
      what is installed and from PYTHONPATH only, for configs of other people.

  Raises:
    InputError: an unknown name, arguments that the backbone does not take, or
      prototypes that are fewer than the classes, or fields of a frame for a
      head without one.
  """
  if not isinstance(config, ConfigDict):
    config = _complete(config)
  head = HEADS[config.head.name](
    batch_norm=config.head.batch_norm,
    l2_normalize=config.head.l2_normalize,
    projector=config.head.projector,
    **_classes(config),
  )
  backbone = _create_backbone(config, search_current_folder)
  return Classifier(backbone, head, config.bn_group_size)


def _classes(config: ConfigDict) -> dict[str, Any]:
  """Return the fields of a head that say its classes, and a frame's kind."""
  classes, head = config.model.num_classes, config.head
  if head.name != "etf":
    for field, absent in (
      ("num_prototypes", None),
      ("frame", "haar"),
      ("length", None),
      ("learn_length", False),
    ):
      if head[field] != absent:
        raise InputError(
          f"config.head.{field}={head[field]} is for config.head.name='etf',"
          f" and not for {head.name!r}, whose classifier is no frame"
        )
    return {"num_classes": classes}
  prototypes = classes if head.num_prototypes is None else head.num_prototypes
  if prototypes < classes:
    raise InputError(
      f"config.head.num_prototypes={prototypes} is less than the {classes}"
      " classes: give it as many or more, or leave it out"
    )
  spare = prototypes - classes
  if spare and prototypes % config.mesh.model:
    raise InputError(
      f"config.mesh.model={config.mesh.model} must divide"
      f" config.head.num_prototypes={prototypes}, which are cut along it"
    )
  return {
    "num_classes": prototypes,
    "spare": spare,
    "frame": head.frame,
    "length": 1.0 if head.length is None else head.length,
    "learn_length": head.learn_length,
  }


def _create_backbone(
  config: ConfigDict, search_current_folder: bool
) -> nn.Module:
  name, kwargs = config.model.name, dict(config.model.kwargs)
  dtype = jnp.dtype(config.dtype)
  if ":" not in name:
    if name not in BACKBONES:
      raise unknown_name(
        "config.model.name", name, BACKBONES, "package.module:Class"
      )
    taken = {"dtype"} if name == "mlp" else {"depth", "width", "dtype"}
    taken &= set(kwargs)
    if taken:
      raise InputError(
        f"config.model.kwargs sets {min(taken)!r} of {name}, which"
        " config.model.name, config.model.width and config.dtype decide"
      )
    build: Any = functools.partial(BACKBONES[name], dtype=dtype)
    if widens := name.startswith("resnet"):
      build = functools.partial(build, width=config.model.width)
  else:
    build, widens = _import_module(name, search_current_folder), False
    if "dtype" in {field.name for field in dataclasses.fields(build)}:
      kwargs.setdefault("dtype", dtype)
  if config.model.width != 1 and not widens:
    raise InputError(
      f"config.model.width={config.model.width} is for the resnets here;"
      f" give {name} its width in config.model.kwargs"
    )
  try:
    return build(**kwargs)
  except (TypeError, ValueError) as error:
    raise InputError(
      f"config.model.kwargs={kwargs} does not fit {name}: {error}"
    ) from error


def _import_module(name: str, search_current_folder: bool) -> type[nn.Module]:
  module_name, _, class_name = name.partition(":")
  if not all(
    part.isidentifier() for part in (*module_name.split("."), class_name)
  ):
    raise InputError(
      f"config.model.name={name!r} must look like package.module:Class"
    )
  hint = ""
  searched: contextlib.AbstractContextManager = contextlib.nullcontext()
  if not search_current_folder:
    hint = "; code in the current folder is imported only with --trust_code"
    searched = _without_current_folder()
  try:
    with searched:
      if not (search_current_folder or _defines(module_name, class_name)):
        raise ImportError(f"{module_name} defines no class {class_name}")
      found = getattr(importlib.import_module(module_name), class_name)
  except (ImportError, AttributeError, SyntaxError, ValueError) as error:
    raise InputError(
      f"config.model.name={name!r} cannot be imported: {error}{hint}"
    ) from error
  if not (isinstance(found, type) and issubclass(found, nn.Module)):
    raise InputError(
      f"config.model.name={name!r} must name a flax.linen.Module class"
    )
  return found


def _defines(module_name: str, class_name: str) -> bool:
  """Return True if a module's source has a class, which does not run it.

  Some modules do things when they are imported.
  """
  spec = importlib.util.find_spec(module_name)
  if spec is None or spec.origin is None or not spec.has_location:
    return False
  body = ast.parse(Path(spec.origin).read_bytes()).body
  return class_name in [n.name for n in body if isinstance(n, ast.ClassDef)]


@contextlib.contextmanager
def _without_current_folder() -> Iterator[None]:
  """Leave the current folder out of the search, unless PYTHONPATH names it."""
  current = os.path.realpath(os.curdir)
  named = os.environ.get("PYTHONPATH", "").split(os.pathsep)
  if current in {os.path.realpath(path) for path in named if path}:
    yield
    return
  before = sys.path[:]
  sys.path[:] = [
    path for path in before if path and os.path.realpath(path) != current
  ]
  importlib.invalidate_caches()
  try:
    yield
  finally:
    sys.path[:] = before
