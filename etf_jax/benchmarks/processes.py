# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""PyTorch in a process of its own, that takes turns with this one.

with pytorch({"what": "network", ...}) as other:
  seconds = other.turn(20)
"""

from collections.abc import Iterator, Sequence
import contextlib
import importlib.util
import json
import pathlib
import subprocess
import sys
from typing import Any

from etf_jax.errors import InputError

_SCRIPT = pathlib.Path(__file__).with_name("pytorch.py")


class Other:
  """The process, once it is ready.

  Attributes:
    versions: of PyTorch, its threads and its device.
  """

  def __init__(self, process: subprocess.Popen):
    """Wait until it has imported what it needs."""
    self._process = process
    self.versions = self.answer()

  def answer(self) -> dict[str, Any]:
    """What it says next.

    Raises:
      InputError: it ended, or its code raised.
    """
    line = self._process.stdout.readline()
    if not line:
      raise InputError(
        f"PyTorch's process ended with exit code {self._process.wait()}"
      )
    answer = json.loads(line)
    if "error" in answer:
      raise InputError(f"PyTorch's process: {answer['error']}")
    return answer

  def turn(self, steps: int) -> float:
    """Let it take so many steps; the seconds that they took."""
    with contextlib.suppress(BrokenPipeError):  # `answer` says why.
      self._process.stdin.write(f"{steps}\n")
      self._process.stdin.flush()
    return self.answer()["seconds"]


def need(packages: Sequence[str], what: str) -> None:
  """Check that packages are installed.

  Raises:
    InputError: some are not; the line says how to install them.
  """
  missing = [name for name in packages if not importlib.util.find_spec(name)]
  if missing:
    raise InputError(
      f"{what} needs {' and '.join(missing)}: pip install {' '.join(missing)}"
    )


@contextlib.contextmanager
def pytorch(request: dict[str, Any]) -> Iterator[Other]:
  """Start it; it ends with the context.

  Args:
    request: see pytorch.py.
  """
  # -P: its folder, with our own `models` and `data`, is not searched.
  process = subprocess.Popen(
    [sys.executable, "-P", str(_SCRIPT), json.dumps(request)],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
  )
  try:
    yield Other(process)
  finally:
    with contextlib.suppress(BrokenPipeError):
      process.stdin.close()
    process.stdout.close()
    process.terminate()
    process.wait()
