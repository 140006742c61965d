# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Trained ResNets from and to safetensors, in torchvision's layout.

  model = models.ResNet(depth=50)
  like = jax.eval_shape(model.init, jax.random.key(0), images)
  variables = pretrained.load("resnet50.safetensors", like)
  features = model.apply(variables, images)

  pretrained.save("mine.safetensors", variables, "resnet50")

A file holds what `state_dict()` gives of torchvision's resnet18, 34, 50 and
101, which timm names alike: `conv1.weight`, `bn1.running_mean`,
`layer1.0.conv1.weight`, `layer1.0.downsample.0.weight`, `fc.weight` and so on.
Kernels are `OIHW` there and `HWIO` here, linear weights `[out, in]` and
`[in, out]`. `python -m etf_jax.convert` makes such a file from a `.pth`.
Names may begin with one prefix, as `module.` or `backbone.`, under which the
network lies; tensors beside it are left out with the head.

`variables` are those of a `models.ResNet`, or of a `models.Classifier` around
one, with its head. Of a head

* `fc.weight` and `fc.bias` are a `LinearHead`'s, frozen or not;
* `fc.weight` is the transposed frame, and `fc.bias` zero, of an `ETFHead`;
* `fc.weight` has the columns in unit length, and `fc.bias` is zero, of a
  `CosineHead`;
* `head.projector.*` and `head.norm.*` are the steps before the classifier, in
  PyTorch's layout. Networks of torchvision have none, so they give our answers
  only where the head has neither. Unit length of the features changes no
  ranking of classes and has no tensor.
"""

from collections.abc import Mapping
import os
from pathlib import Path
from typing import Any

from flax import traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from etf_jax.errors import InputError
from etf_jax.models import _torchvision
from etf_jax.runs import files

_COLLECTIONS = ("params", "batch_stats", "etf")
# PyTorch counts the batches that a BatchNorm has seen, and uses the number
# only where there is no momentum.
_COUNT = ".num_batches_tracked"
# A tensor that every ResNet has once.
_FIRST = "layer1.0.conv1.weight"


def load(path: str | os.PathLike, like: Mapping[str, Any]) -> dict[str, Any]:
  """Read variables from a safetensors file.

  Args:
    path: the file.
    like: variables, or their `jax.ShapeDtypeStruct`s, of the `ResNet` or
      `Classifier` they are for. Without a head in it, that of the file is left
      out.

  Returns:
    The same tree of NumPy arrays, in the dtypes of `like`.

  Raises:
    InputError: a file that cannot be read, or that holds another network.
  """
  return from_state_dict(_read(Path(path)), like, source=str(path))


def save(
  path: str | os.PathLike, variables: Mapping[str, Any], model_name: str
) -> None:
  """Write variables to a safetensors file.

  Args:
    path: of the file, which appears only once it is whole.
    variables: of a `ResNet` or a `Classifier`, see the head of this module.
    model_name: `resnet18`, `resnet34`, `resnet50` or `resnet101`.

  Raises:
    InputError: variables of another network, or a path that cannot be written.
  """
  tensors = to_state_dict(variables, model_name)
  data = safetensors.numpy.save(tensors, {"format": "pt", "model": model_name})
  files.write(path, data)


def from_state_dict(
  tensors: Mapping[str, np.ndarray],
  like: Mapping[str, Any],
  *,
  source: str = "the state dict",
) -> dict[str, Any]:
  """Turn named tensors into variables; arguments and result as `load`'s.

  Args:
    tensors: by their names in torchvision's layout.
    like: see `load`.
    source: what errors call the tensors.

  Raises:
    InputError: they are those of another network.
  """
  wanted = _places(like)
  depth = _torchvision.depth_of_places(wanted)
  if depth is None:
    raise InputError(
      f"{source} cannot be used: the model is none of resnet18, 34, 50 and 101,"
      " which alone have torchvision's layout"
    )
  names = _names(depth, wanted)
  has_head = any(name.startswith("fc.") for name in names)
  tensors = _below_prefix(tensors, source)
  given = {
    name: tensor
    for name, tensor in tensors.items()
    if not name.endswith(_COUNT)
    and (has_head or not name.startswith(("fc.", "head.")))
  }
  file_depth = _torchvision.depth_of_tensors(given)
  if file_depth not in (None, depth):
    raise InputError(
      f"{source} holds a resnet{file_depth}, and the model is a resnet{depth}:"
      " change one of them"
    )
  if has_head and "fc.bias" not in names and not np.any(given.get("fc.bias")):
    given.pop("fc.bias", None)
  missing = [name for name in names if name not in given]
  if missing:
    raise InputError(
      f"{source} has no {_first(missing, 'missing')}: it is no whole"
      f" resnet{depth} in torchvision's layout"
    )
  unexpected = sorted(given.keys() - names.keys())
  if unexpected:
    raise InputError(
      f"{source} has {_first(unexpected, 'unexpected')}, for which the"
      f" resnet{depth} has no place"
    )
  _check_shapes(given, names, wanted, source)
  _check_numbers({name: given[name] for name in names}, source)
  arrays = {}
  for name, place in names.items():
    leaf = wanted[place]
    arrays[place] = _to_linen(given[name]).astype(leaf.dtype)
    if place[-1] == "prototypes":
      _check_frame(arrays[place], source)
  found = traverse_util.unflatten_dict(_nested(arrays, like))
  return {name: found.get(name, {}) for name in like if name in _COLLECTIONS}


def to_state_dict(
  variables: Mapping[str, Any], model_name: str
) -> dict[str, np.ndarray]:
  """Turn variables into tensors by their names in torchvision's layout.

  Args:
    variables: see `save`.
    model_name: see `save`.

  Returns:
    Arrays in C order, of the variables' dtypes, and `num_batches_tracked` of
    each BatchNorm: int64 zeros.

  Raises:
    InputError: variables of another network.
  """
  arrays = {
    place: np.asarray(leaf)
    for place, leaf in jax.device_get(_places(variables)).items()
  }
  depth = _torchvision.depth_of_places(arrays)
  if depth is None or model_name != f"resnet{depth}":
    found = "no such network" if depth is None else f"a resnet{depth}"
    raise InputError(
      f"cannot write {model_name} in torchvision's layout, which is for"
      f" resnet18, 34, 50 and 101: the variables are those of {found}"
    )
  names, tensors = _names(depth, arrays), {}
  for name, place in names.items():
    array = arrays[place]
    if place == ("params", "head", "kernel") and "fc.bias" not in names:
      array = array / np.linalg.norm(array, axis=0, keepdims=True)
    tensors[name] = np.asarray(_to_torch(array), order="C")
    if name.endswith(".running_var"):
      count = name.removesuffix(".running_var") + _COUNT
      tensors[count] = np.zeros((), np.int64)
  if "fc.weight" in tensors and "fc.bias" not in tensors:
    weight = tensors["fc.weight"]
    tensors["fc.bias"] = np.zeros(len(weight), weight.dtype)
  return tensors


def _read(path):
  advice = "it must be a whole safetensors file"
  if path.suffix in (".pth", ".pt", ".bin", ".tar"):
    advice = "convert it first: python -m etf_jax.convert"
  try:
    with safetensors.safe_open(path, framework="numpy") as file:
      return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
  except FileNotFoundError as error:
    raise InputError(f"no such file: {path}") from error
  except (OSError, safetensors.SafetensorError) as error:
    raise InputError(f"cannot read {path} ({error}): {advice}") from error


def _below_prefix(tensors, source):
  """Return the tensors below the one prefix of the network's names."""
  found = sorted(
    name.removesuffix(_FIRST)
    for name in tensors
    if name == _FIRST or name.endswith(f".{_FIRST}")
  )
  if not found or "" in found:
    return tensors
  if len(found) > 1:
    raise InputError(
      f"{source} holds {len(found)} networks, {' and '.join(found)}: write one"
      " of them to a file"
    )
  (prefix,) = found
  return {
    name.removeprefix(prefix): tensor
    for name, tensor in tensors.items()
    if name.startswith(prefix)
  }


def _places(variables):
  """Map the collection and the names of a leaf to the leaf.

  The names of a backbone's begin with its own, also inside a `Classifier`.
  """
  whole = "backbone" in variables["params"]
  flat = traverse_util.flatten_dict(
    {k: v for k, v in variables.items() if k in _COLLECTIONS}
  )
  if not whole:
    return flat
  return {
    (place[0], *place[2:]) if place[1] == "backbone" else place: leaf
    for place, leaf in flat.items()
  }


def _nested(arrays, like):
  """Invert `_places`."""
  if "backbone" not in like["params"]:
    return arrays
  return {
    place if place[1] == "head" else (place[0], "backbone", *place[1:]): array
    for place, array in arrays.items()
  }


def _names(depth, places):
  """Map every tensor of the backbone and the head to its place."""
  head = [
    (collection, *rest)
    for collection, first, *rest in places
    if first == "head"
  ]
  of_head = {
    name: (collection, "head", *rest)
    for name, (collection, *rest) in _torchvision.head_names(head).items()
  }
  names = _torchvision.backbone_names(depth) | of_head
  missing = [place for place in names.values() if place not in places]
  extra = sorted(places.keys() - names.values())
  for what, found in (("lack", missing), ("have", extra)):
    if found:
      first = _first(["/".join(place) for place in found], "like it")
      raise InputError(
        f"the variables {what} {first}: they are not those of a resnet{depth}"
      )
  return names


def _to_linen(tensor):
  axes = {4: (2, 3, 1, 0), 2: (1, 0)}.get(tensor.ndim)
  return tensor if axes is None else tensor.transpose(axes)


def _to_torch(array):
  axes = {4: (3, 2, 0, 1), 2: (1, 0)}.get(array.ndim)
  return array if axes is None else array.transpose(axes)


def _check_shapes(given, names, wanted, source):
  numbers = [
    n for n in names if not jnp.issubdtype(given[n].dtype, jnp.floating)
  ]
  if numbers:
    raise InputError(
      f"{source}: {_first(numbers, 'like it')} holds {given[numbers[0]].dtype},"
      " not floating-point numbers"
    )
  shapes = {
    name: _torch_shape(wanted[place].shape) for name, place in names.items()
  }
  different = [n for n, shape in shapes.items() if given[n].shape != shape]
  if different:
    first = different[0]
    raise InputError(
      f"{source}: {first} is {list(given[first].shape)}, and the model's is"
      f" {list(shapes[first])}{_others(different, 'differ')}"
    )


def _check_numbers(tensors, source):
  """Refuse weights that give no numbers: not finite, or variances below 0."""
  for name, tensor in tensors.items():
    problem = None
    if not np.isfinite(tensor.astype(np.float32)).all():
      problem = "NaN or infinity"
    elif name.endswith(".running_var") and np.min(tensor) < 0:
      problem = "a negative variance"
    if problem:
      raise InputError(
        f"{source}: {name} has {problem}; take an earlier checkpoint of that"
        " training"
      )


def _torch_shape(shape):
  return _to_torch(np.broadcast_to(np.float32(0), shape)).shape


def _check_frame(prototypes, source):
  """Refuse a learned classifier as the frame of an `ETFHead`."""
  classes = prototypes.shape[1]
  cosines = np.eye(classes) * classes / (classes - 1) - 1 / (classes - 1)
  if np.max(np.abs(prototypes.T @ prototypes - cosines)) > 1e-3:
    raise InputError(
      f"{source}: fc.weight is no simplex ETF, which the model's head needs;"
      " take the backbone only, or a model with a linear head"
    )


def _first(names, what):
  return names[0] + _others(names, what)


def _others(names, what):
  return f" ({len(names) - 1} more {what})" if len(names) > 1 else ""
