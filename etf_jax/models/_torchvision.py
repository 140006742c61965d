# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The names that torchvision gives to the tensors of a ResNet, beside ours.

A table a depth, and one for the head: from a tensor's name to the place of the
array in a linen tree, its collection first.
"""

from collections.abc import Iterable
import re

from etf_jax.models.resnet import BLOCKS

Place = tuple[str, ...]

# By the blocks of the four stages, and whether these are bottlenecks.
_DEPTHS = {(blocks, depth >= 50): depth for depth, blocks in BLOCKS.items()}


def backbone_names(depth: int) -> dict[str, Place]:
  """Map every tensor of a ResNet but the classifier's to its place.

  In torchvision's order.

  Args:
    depth: 18, 34, 50 or 101.
  """
  found = _conv("conv1", "conv_stem") | _norm("bn1", "norm_stem")
  bottleneck = depth >= 50
  for stage, blocks in enumerate(BLOCKS[depth], 1):
    for block in range(blocks):
      tensor = f"layer{stage}.{block}."
      module = f"stage{stage}_block{block + 1}"
      for n in range(1, 4 if bottleneck else 3):
        found |= _conv(f"{tensor}conv{n}", module, f"conv_{n}")
        found |= _norm(f"{tensor}bn{n}", module, f"norm_{n}")
      # A basic block of the first stage keeps its input's shape.
      if block == 0 and (stage > 1 or bottleneck):
        found |= _conv(f"{tensor}downsample.0", module, "conv_shortcut")
        found |= _norm(f"{tensor}downsample.1", module, "norm_shortcut")
  return found


def head_names(places: Iterable[Place]) -> dict[str, Place]:
  """Map the tensors of a head to the places of its arrays.

  The classifier is `fc`. What our heads may have before it, torchvision's
  networks have not: that is `head.projector` and `head.norm`. Arrays for which
  there is no name are left out.
  """
  found = {}
  # Weights before biases, as a state dict has them.
  for place in sorted(places, key=lambda place: place[-1] == "bias"):
    match place:
      case (_, "kernel" | "prototypes"):
        found["fc.weight"] = place
      case (_, "bias"):
        found["fc.bias"] = place
      case ("params", "projector", "kernel"):
        found["head.projector.weight"] = place
      case ("params", "projector", "bias"):
        found["head.projector.bias"] = place
      case (_, "norm", _):
        found |= {
          name: norm
          for name, norm in _norm("head.norm", "norm").items()
          if norm == place
        }
  return found


def depth_of_tensors(names: Iterable[str]) -> int | None:
  """Return the depth of the ResNet that has these tensors, or None."""
  return _depth(
    re.fullmatch(r"layer([1-4])\.(\d+)\.conv([1-3])\.weight", name)
    for name in names
  )


def depth_of_places(places: Iterable[Place]) -> int | None:
  """Return the depth of the ResNet that has arrays at these places, or None."""
  # The ResNets for small images have three stages, and so none of the depths.
  pattern = r"params/stage([1-4])_block(\d+)/conv_([1-3])/kernel"
  return _depth(re.fullmatch(pattern, "/".join(place)) for place in places)


def _depth(matches):
  found = {match.groups() for match in matches if match}
  blocks = tuple(
    len({block for stage, block, _ in found if stage == str(number)})
    for number in range(1, 5)
  )
  return _DEPTHS.get((blocks, any(conv == "3" for *_, conv in found)))


def _conv(name, *place):
  return {f"{name}.weight": ("params", *place, "kernel")}


def _norm(name, *place):
  return {
    f"{name}.weight": ("params", *place, "scale"),
    f"{name}.bias": ("params", *place, "bias"),
    f"{name}.running_mean": ("batch_stats", *place, "mean"),
    f"{name}.running_var": ("batch_stats", *place, "var"),
  }
