# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Worker processes: they end with the process that started them, and answer.

children.end_with_parent()  # in a worker
batches = children.Waiter(iterator)  # of an iterator that workers feed
"""

from collections.abc import Iterator
import contextlib
import logging
import multiprocessing
import os
from pathlib import Path
import queue
import signal
import threading
import time
from typing import Any

from etf_jax.errors import InputError

_log = logging.getLogger(__name__)

# Without a batch: until a line says so, until a worker that is stopped is
# given up, and until any is.
NAMED_SECONDS, STOPPED_SECONDS, SILENT_SECONDS = 30.0, 60.0, 900.0
# Between two looks at workers.
_LOOK_SECONDS = 1.0


def end_with_parent() -> None:
  """End this worker when its parent ends, however that happens."""
  parent = multiprocessing.parent_process()
  if parent is not None:
    threading.Thread(target=_await_end, args=(parent,), daemon=True).start()


def _await_end(parent) -> None:
  parent.join()  # a pipe, of which the system closes the parent's end
  os._exit(1)


class Waiter:
  """An iterator whose next element a thread waits for.

  Attributes:
    silent: True once the workers were given up.
  """

  def __init__(self, iterator: Iterator[Any]):
    self._iterator, self.silent = iterator, False
    self._asked: queue.SimpleQueue = queue.SimpleQueue()
    self._answers: queue.SimpleQueue = queue.SimpleQueue()
    threading.Thread(target=self._work, daemon=True).start()

  def _work(self) -> None:
    while self._asked.get():
      try:
        self._answers.put((next(self._iterator), None))
      except BaseException as error:
        self._answers.put((None, error))

  def __iter__(self) -> Iterator[Any]:
    return self

  def __next__(self) -> Any:
    self._asked.put(True)
    waited, named = 0.0, False
    while True:
      started = time.monotonic()
      try:
        element, error = self._answers.get(timeout=_LOOK_SECONDS)
      except queue.Empty:
        # Where this process was stopped as well, that time does not count.
        waited += min(time.monotonic() - started, 2 * _LOOK_SECONDS)
        named = self._look(waited, named)
        continue
      if error is not None:
        raise error
      return element

  def close(self) -> None:
    """End the thread, unless it waits in vain."""
    self._asked.put(False)

  def _look(self, waited: float, named: bool) -> bool:
    """Name workers that are silent, and give them up in the end."""
    if waited < min(NAMED_SECONDS, STOPPED_SECONDS):
      return named
    workers = [c.pid for c in multiprocessing.active_children() if c.pid]
    stopped = [pid for pid in workers if _state(pid) in ("T", "t")]
    who = f"process {stopped[0]} is stopped" if stopped else "none is stopped"
    line = (
      f"the workers of config.data.workers sent no batch for {waited:.0f} s"
    )
    if waited >= (STOPPED_SECONDS if stopped else SILENT_SECONDS):
      self.silent = True
      for pid in workers:
        with contextlib.suppress(OSError):
          os.kill(pid, signal.SIGKILL)
      raise InputError(
        f"{line} ({who}): the same command continues from the last checkpoint;"
        " look at the disk of the images, or set config.data.workers=0"
      )
    if not named:
      _log.warning(f"warning: {line} ({who}); waiting")
    return True


def _state(pid: int) -> str:
  """Return the state of a process as Linux names it: R, S, D, T; or ""."""
  try:
    status = Path(f"/proc/{pid}/stat").read_text("utf-8")
    return status.rpartition(")")[2].split()[0]
  except (OSError, IndexError, ValueError):
    return ""
