# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Standard output and error that end no program, whatever becomes of them.

streams.protect()  # a command's first line
print("written, or lost", file=streams.steady(sys.stdout))
"""

import contextlib
import logging
import os
import sys
from typing import Any, TextIO
import warnings

# Set to 1, it lets other packages log and warn as they like.
ASKED = "ETF_JAX_ALL_LOGS"


class Steady:
  """A text stream whose writes do not fail.

  A character that the stream cannot encode is written as \\uXXXX. What cannot
  be written is lost.

  Attributes:
    error: why text was lost, other than that nobody reads it; None: none was.
  """

  def __init__(self, stream: TextIO | None):
    self._stream: Any = stream
    self.error: Exception | None = None

  def write(self, text: str) -> int:
    """Write a text; returns its length."""
    try:
      self._stream.write(text)
    except UnicodeEncodeError:
      code = self._stream.encoding or "ascii"
      self._try(text.encode(code, "backslashreplace").decode(code))
    except Exception as error:
      self._lose(error)
    return len(text)

  def _try(self, text: str) -> None:
    try:
      self._stream.write(text)
    except Exception as error:
      self._lose(error)

  def writelines(self, lines) -> None:
    """Write several texts."""
    for line in lines:
      self.write(line)

  def flush(self) -> None:
    """Write what is buffered."""
    try:
      self._stream.flush()
    except Exception as error:
      self._lose(error)

  def _lose(self, error: Exception) -> None:
    if self._stream is None or isinstance(error, ValueError):
      return  # closed by whoever started the program, or in it
    if not isinstance(error, BrokenPipeError):
      self.error = self.error or error
      return
    # Nobody reads: what is buffered must not fail again when Python ends.
    with contextlib.suppress(OSError, ValueError):
      null = os.open(os.devnull, os.O_WRONLY)
      os.dup2(null, self._stream.fileno())
      os.close(null)

  def isatty(self) -> bool:
    """Return True on a terminal."""
    try:
      return self._stream.isatty()
    except (AttributeError, OSError, ValueError):  # None, broken or closed
      return False

  def __getattr__(self, name: str) -> Any:
    """Return what else the stream has."""
    return getattr(self._stream or sys.__stderr__, name)


def steady(stream: TextIO | None) -> Any:
  """Return a stream whose writes do not fail, see `Steady`."""
  return stream if isinstance(stream, Steady) else Steady(stream)


def protect() -> None:
  """Make standard output and error steady, and hold other packages' logs back.

  What a library logs of a full disk would bury the line that says so.
  """
  # A file opened later must not take the number of a stream that is closed.
  for number in range(3):
    try:
      os.fstat(number)
    except OSError:
      os.open(os.devnull, os.O_RDWR)
  sys.stdout, sys.stderr = steady(sys.stdout), steady(sys.stderr)
  if os.environ.get(ASKED) == "1":
    return
  root = logging.getLogger()
  if not any(isinstance(h, logging.NullHandler) for h in root.handlers):
    root.addHandler(logging.NullHandler())
  for handler in root.handlers:
    if type(handler).__module__.startswith("absl"):
      handler.setLevel(logging.CRITICAL + 1)
  logging.getLogger("absl").setLevel(logging.CRITICAL + 1)
  logging.getLogger("asyncio").setLevel(logging.CRITICAL + 1)
  if not sys.warnoptions:
    warnings.simplefilter("ignore")
