# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Trackers of other people, which get a run's rows and can do it no harm.

writer = trackers.tracker("my.module:create", config, workdir)
"""

from collections.abc import Callable, Mapping
import importlib
import logging
import os
import queue
import threading
from typing import Any

from etf_jax.errors import InputError, did_you_mean
from etf_jax.runs.writers import Row, Writer

_log = logging.getLogger(__name__)

# After which a tracker counts as hanging: with a row, at its start and end.
ROW_SECONDS = 30.0
OPEN_SECONDS = CLOSE_SECONDS = 120.0


def tracker(
  spec: str, config: Mapping[str, Any], workdir: str | os.PathLike
) -> Writer:
  """Call somebody else's ``function(config, workdir)`` for a writer.

  Args:
    spec: "package.module:function"; the module must be importable (installed,
      or in the current directory with ``python -m``).
    config: the resolved configuration, as plain dictionaries.
    workdir: the run's directory.

  Returns:
    A writer. Where the tracker raises or hangs, one line names it, and the rows
    that follow go without it.

  Raises:
    InputError: the function cannot be found, or did not return a writer.
  """
  function = import_function(f"tracker {spec!r}", spec)
  return _Guarded(spec, lambda: function(dict(config), str(workdir)))


def _check_writer(spec: str, writer: Any) -> None:
  lacking = [
    method
    for method in ("write", "close")
    if not callable(getattr(writer, method, None))
  ]
  if lacking:
    raise InputError(
      f"tracker {spec!r} returned a {type(writer).__name__} without"
      f" {' and '.join(lacking)}; return an object with write(row) and"
      " close()"
    )


def import_function(name: str, spec: str) -> Callable[..., Any]:
  """Import a function of a user's.

  Args:
    name: field and value in messages.
    spec: `package.module:function`.

  Raises:
    InputError: there is none.
  """
  module_name, colon, function_name = spec.partition(":")
  if not (module_name and colon and function_name):
    raise InputError(f"{name} is not of the form 'package.module:function'")
  try:
    module = importlib.import_module(module_name)
  except ImportError as error:
    raise InputError(
      f"{name}: cannot import {module_name} ({error}); install it"
      " or start from the directory that holds it"
    ) from error
  function = getattr(module, function_name, None)
  if function is None:
    hint = did_you_mean(function_name, dir(module))
    raise InputError(f"{name}: {module_name} has no {function_name!r}{hint}")
  if not callable(function):
    raise InputError(f"{name} is not a function")
  return function


class _Guarded:
  """A tracker in a thread, to which it may feel bound and which may hang."""

  def __init__(self, spec: str, create: Callable[[], Writer]):
    self._spec, self._create = spec, create
    self._tasks: queue.SimpleQueue = queue.SimpleQueue()
    self._lost = self._closed = False
    self._writer: Any = None
    threading.Thread(target=self._work, name=spec, daemon=True).start()
    self._call("at its start", self._open, OPEN_SECONDS)

  def _open(self) -> None:
    writer = self._create()
    _check_writer(self._spec, writer)
    self._writer = writer

  def write(self, row: Row) -> None:
    """Give the tracker a row, and wait until it has it."""
    step = row["step"]
    self._call(f"at step {step}", lambda: self._writer.write(row), ROW_SECONDS)

  def close(self) -> None:
    """Close the tracker, once."""
    if not self._closed:
      self._closed = True
      self._call("at its end", lambda: self._writer.close(), CLOSE_SECONDS)
      self._tasks.put(None)

  def _call(self, when: str, task: Callable[[], None], seconds: float) -> None:
    if self._lost:
      return
    done = threading.Event()
    errors: list[BaseException] = []
    self._tasks.put((task, done, errors))
    if not done.wait(seconds):
      problem = f"no answer in {seconds:.0f} s"
    elif not errors:
      return
    elif isinstance(errors[0], InputError):
      raise errors[0]
    else:
      text = " ".join(str(errors[0]).split())[:200]
      problem = f"{type(errors[0]).__name__}: {text}".rstrip(": ")
    self._lost = True
    _log.warning(
      f"warning: config.report.tracker={self._spec!r} failed {when}"
      f" ({problem}); the run goes on without it"
    )

  def _work(self) -> None:
    while (entry := self._tasks.get()) is not None:
      task, done, errors = entry
      try:
        task()
      except BaseException as error:
        errors.append(error)
      done.set()
