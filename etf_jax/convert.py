# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Turn a PyTorch file of weights into safetensors, once.

python -m etf_jax.convert resnet50.pth resnet50.safetensors

This command alone needs PyTorch, 2.6 or newer: a `.pth` is a pickle, which can
run code when it is read, and before 2.6 so it could in spite of
`weights_only=True`. The state dict is the file itself, or lies in it under
`state_dict` or `model`. Names and numbers stay as they are;
`etf_jax.models.pretrained` says which networks and prefixes it knows.
"""

from collections.abc import Sequence
from pathlib import Path
import sys

from etf_jax.errors import InputError
from etf_jax.runs import commands, files

_NESTED = ("state_dict", "model")


@commands.command
def main(argv: Sequence[str] | None = None) -> None:
  """Run the command and return its exit code."""
  parser = commands.Parser("python -m etf_jax.convert", __doc__)
  parser.add_argument("weights", type=Path, help="the .pth or .pt file")
  parser.add_argument("safetensors", type=Path, help="the file to write")
  options = parser.parse_args(argv)
  number = convert(options.weights, options.safetensors)
  print(f"{number} tensors in {options.safetensors}")


def convert(weights: Path, converted: Path) -> int:
  """Write the tensors of a PyTorch file; return their number.

  Args:
    weights: the file to read.
    converted: the file to write, which appears only once it is whole.

  Raises:
    InputError: no PyTorch, a file that is not a state dict, or a place that
      cannot be written.
  """
  if not weights.is_file():
    raise InputError(f"no such file: {weights}")
  torch = _pytorch()
  try:
    found = torch.load(weights, map_location="cpu", weights_only=True)
  # What is damaged, or holds more than tensors, can raise anything.
  except Exception as error:
    raise InputError(
      f"{weights} cannot be read as tensors alone ({type(error).__name__}):"
      " save them anew with torch.save(model.state_dict(), path)"
    ) from error
  for name in _NESTED:
    if isinstance(found, dict) and isinstance(found.get(name), dict):
      found = found[name]
  if (
    not isinstance(found, dict)
    or not found
    or not all(isinstance(value, torch.Tensor) for value in found.values())
  ):
    raise InputError(
      f"{weights} holds no state dict: not a table of tensors by name, nor one"
      f" under {' or '.join(map(repr, _NESTED))}"
    )
  # Copies, because safetensors refuses tensors that share their memory.
  tensors = {k: v.detach().contiguous().clone() for k, v in found.items()}
  import safetensors.torch

  files.write(converted, safetensors.torch.save(tensors, {"format": "pt"}))
  return len(tensors)


def _pytorch():
  try:
    import torch
  except ImportError as error:
    raise InputError(
      "PyTorch is needed to read its files: pip install 'torch>=2.6'"
    ) from error
  if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 6):
    raise InputError(
      f"PyTorch {torch.__version__} could run code that a file holds: pip"
      " install 'torch>=2.6'"
    )
  return torch


if __name__ == "__main__":
  sys.exit(main())
