# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Processes of one run that have met: they agree, and stop together.

  distributed.check_same({"jax": jax.__version__})
  with distributed.preemptible():
    while ... and not distributed.stop_requested(): ...

One process alone has nothing of this but SIGTERM. Messages go through the
key-value store of JAX's coordinator, which is in process 0; a thread of each
process looks there once a second. `bootstrap` brings the processes together.
"""

from collections.abc import Callable, Iterator, Mapping
import contextlib
import itertools
import json
import os
from pathlib import Path
import secrets
import signal
import socket
import sys
import threading
import time
from typing import Any, NoReturn

import jax
from jax._src import distributed as jax_distributed

from etf_jax.errors import InputError

# What the command ends with: 75 is sysexits.h's "try again later".
EXIT_PREEMPTED = 75
EXIT_LOST = 76
# The code of a process after the notice of another: what is to be mended has to
# be mended for all.
_CODES = {"refused": 2, "failed": EXIT_LOST}
# Whoever dies is noticed sooner; this is for the slowest to load its data.
_BARRIER_SECONDS = 3600
# Between two looks at the messages.
POLL_SECONDS = 1.0
_FAREWELL_SECONDS = 10.0
_AGREE_SECONDS = 60
_FOLDER_SECONDS = 10.0
_KEYS = "etf_jax"
# In what the collectives of CPUs and GPUs and the coordinator's client raise.
_SIGNS_OF_LOSS = (
  "Gloo",
  "NCCL",
  "UNAVAILABLE",
  "DEADLINE_EXCEEDED",
  "coordination service",
  "CoordinationService",
)


class Preempted(Exception):
  """A run that was asked to stop, and has saved its state."""


class _Shared:
  """State that the threads of this process share."""

  def __init__(self):
    self.signalled = False  # this process was asked to stop
    self.interrupted = False  # it was so by Ctrl-C
    self.lock = threading.Lock()
    self.calls = 0  # of stop_requested, which all processes make alike
    self.stop_at = None  # the call that answers True
    self.ended = threading.Event()


_shared = _Shared()
_numbers = itertools.count()


def is_writer() -> bool:
  """Return True in process 0, which writes files and messages."""
  return jax_distributed.global_state.process_id == 0


def count() -> int:
  """Return the number of processes of this run."""
  return jax_distributed.global_state.num_processes or 1


def _client():
  return jax_distributed.global_state.client


def this_process() -> str:
  """Return the name of this process in messages."""
  state = jax_distributed.global_state
  return f"process {state.process_id} of {state.num_processes or 1}"


def barrier(name: str, seconds: float = _BARRIER_SECONDS) -> None:
  """Wait until every process has come here.

  Args:
    name: for messages.
    seconds: after which it is an error that somebody has not.
  """
  if _client() is not None:
    key = f"{_KEYS}/{name}/{next(_numbers)}"
    _client().wait_at_barrier(key, int(1000 * seconds))


def from_writer(value: Callable[[], Any]) -> Any:
  """Return in all processes what `value` returns in the one that writes.

  Args:
    value: called in one process; it returns what JSON knows.
  """
  if _client() is None:
    return value()
  key = f"{_KEYS}/told/{next(_numbers)}"
  if is_writer():
    answer = value()
    _client().key_value_set(key, json.dumps(answer))
    return answer
  return json.loads(
    _client().blocking_key_value_get(key, 1000 * _BARRIER_SECONDS)
  )


def check_same(facts: Mapping[str, Any]) -> None:
  """Compare what must be equal everywhere with process 0.

  Args:
    facts: by name: versions of packages, fields of the config.

  Raises:
    InputError: something differs.
  """
  if _client() is None:
    return
  local = {name: json.dumps(value) for name, value in facts.items()}
  first = from_writer(lambda: local)
  place = f"{this_process()} on {socket.gethostname()}"
  different = [
    f"{name} is {first.get(name, 'absent')} in process 0,"
    f" {local.get(name, 'absent')} in {place}"
    for name in sorted(first | local)
    if first.get(name) != local.get(name)
  ]
  problem = f"processes of one run must be alike: {'; '.join(different)}"
  check_all(problem if different else None)


def check_all(problem: str | None) -> None:
  """Raise the first problem of any process in all of them, at one place.

  Args:
    problem: of this process, one line; None: none.

  Raises:
    InputError: a process has one.
  """
  if _client() is None:
    if problem:
      raise InputError(problem)
    return
  key = f"{_KEYS}/problems/{next(_numbers)}"
  process = jax_distributed.global_state.process_id
  _client().key_value_set(f"{key}/{process:06d}", json.dumps(problem))
  barrier("problems")
  found = sorted(_client().key_value_dir_get(key))
  problems = [line for _, text in found if (line := json.loads(text))]
  if problems:
    # All end by themselves: nobody is to end because another process has.
    _shared.ended.set()
    raise InputError(problems[0])


def check_same_folder(folder: Path) -> None:
  """Refuse folders of one name that are not the same folder everywhere.

  Args:
    folder: in which process 0 leaves a file for a moment.

  Raises:
    InputError: another process does not see that file.
  """
  if _client() is None:
    return
  name = from_writer(lambda: f".seen-{secrets.token_hex(8)}")
  mark, problem = folder / name, None
  try:
    if is_writer():
      try:
        mark.touch(exist_ok=False)
      except OSError as error:
        problem = f"--workdir={folder}: cannot write to it, {error.strerror}"
    barrier("folder")
    # A share may tell other hosts of a new file some seconds late.
    end = time.monotonic() + _FOLDER_SECONDS
    while not is_writer() and not mark.exists():
      if time.monotonic() > end:
        problem = (
          f"--workdir={folder} of {this_process()} on {socket.gethostname()} is"
          " not the folder of process 0: give one folder that all processes see"
        )
        break
      time.sleep(0.2)
    check_all(problem)
  finally:
    if is_writer():
      mark.unlink(missing_ok=True)


@contextlib.contextmanager
def preemptible() -> Iterator[None]:
  """Let `stop_requested` answer SIGTERM and Ctrl-C; a second Ctrl-C ends.

  This is for a single process. Several of them answer SIGTERM from `listen` on,
  because they can only stop together.
  """
  if _client() is not None or not _in_main_thread():
    yield
    return
  _shared.signalled = _shared.interrupted = False
  numbers = (signal.SIGTERM, signal.SIGINT)
  before = {number: signal.signal(number, _on_signal) for number in numbers}
  try:
    yield
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)


def interrupted() -> bool:
  """Return True if Ctrl-C, and not SIGTERM, asked this process to stop."""
  return _shared.interrupted


def stop_requested() -> bool:
  """Return True if the run is to save and stop; all ask at each step.

  It is True at the same call in all of them, soon after one of them was sent
  SIGTERM.
  """
  if _client() is None:
    return _shared.signalled
  with _shared.lock:
    _shared.calls += 1
    return _shared.calls == _shared.stop_at


def listen() -> None:
  """Begin to hear SIGTERM and the messages of the others."""
  signal.signal(signal.SIGTERM, _on_signal)
  threading.Thread(target=_watch, args=(_shared,), daemon=True).start()


def _on_signal(number, _):
  _shared.signalled = True
  if number == signal.SIGINT:
    _shared.interrupted = True
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _in_main_thread():
  return threading.current_thread() is threading.main_thread()


def _watch(shared: _Shared) -> None:
  """Look for messages of the others, and passes on SIGTERM."""
  passed_on = False
  while not shared.ended.wait(POLL_SECONDS):
    try:
      notices = dict(_client().key_value_dir_get(f"{_KEYS}/notices"))
      for kind, code in _CODES.items():
        lines = [v for k, v in notices.items() if f"/{kind}/" in k]
        if lines:
          leave(f"{this_process()} ends because {lines[0]}", code)
      if shared.signalled and not passed_on:
        passed_on = True
        _tell("preempted")
      if shared.stop_at is None and any("/preempted/" in k for k in notices):
        _agree(shared)
    except (RuntimeError, AttributeError):
      # The coordinator is gone, and JAX ends this process; or we are done.
      continue


def _agree(shared: _Shared) -> None:
  """Choose a call of stop_requested that no process has made yet."""
  with shared.lock:  # so that none is made meanwhile
    state, client = jax_distributed.global_state, _client()
    key = f"{_KEYS}/reached"
    client.key_value_set(f"{key}/{state.process_id}", str(shared.calls))
    client.wait_at_barrier(f"{_KEYS}/agree", 1000 * _AGREE_SECONDS)
    reached = client.key_value_dir_get(key)
    shared.stop_at = 1 + max(int(calls) for _, calls in reached)


def _tell(kind: str, value: str = "") -> None:
  process = jax_distributed.global_state.process_id
  _client().key_value_set(f"{_KEYS}/notices/{kind}/{process}", value)


def finish() -> None:
  """Part from the other processes when all is done."""
  if _client() is not None:
    barrier("finished")
    _shared.ended.set()
    jax.distributed.shutdown()


def fail(error: BaseException) -> None:
  """Tell the others that this process ends, so that they do as well."""
  if _client() is None:
    return
  _shared.ended.set()
  with contextlib.suppress(RuntimeError):
    kind = "refused" if isinstance(error, InputError) else "failed"
    _tell(kind, f"{this_process()} has failed: {first_line(error)}")
    if is_writer():
      # The messages are kept here: the others must have read them.
      end = time.monotonic() + _FAREWELL_SECONDS
      left = f"{_KEYS}/notices/left"
      while time.monotonic() < end:
        if len(_client().key_value_dir_get(left)) >= count() - 1:
          break
        time.sleep(0.1)


def leave(line: str | None, code: int) -> NoReturn:
  """End this process at once, without waiting for any other."""
  if line:
    print(f"error: {line}", file=sys.stderr)
  sys.stdout.flush()
  sys.stderr.flush()
  if _client() is not None and not is_writer():
    with contextlib.suppress(RuntimeError):
      _tell("left")
  os._exit(code)


def is_loss(error: BaseException | None) -> bool:
  """Return True if an error, or its cause, says that a process is lost."""
  if error is None or _client() is None:
    return False
  text = f"{type(error).__name__} {error}"
  return any(sign in text for sign in _SIGNS_OF_LOSS) or is_loss(
    error.__cause__
  )


def first_line(error: BaseException) -> str:
  """Return the message of an error, or its name if it has none."""
  return next(iter(str(error).splitlines()), type(error).__name__)
