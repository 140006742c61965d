# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Brings the processes of a run together, and parts them however it ends.

with bootstrap.together(Processes("host0:1234", 4, process_id=1)):
  ...
"""

from collections.abc import Iterator
import contextlib
import ctypes
import os
import signal
import socket
import sys
import time
import traceback

import jax

from etf_jax.errors import InputError
from etf_jax.runs.command_line import Processes
from etf_jax.training.parallel import distributed

# Seconds without a sign of life after which a process counts as dead.
HEARTBEAT_SECONDS = 30
# Until all processes must have met. JAX takes five more to give up.
INITIALIZATION_SECONDS = 60
_JAX_GIVES_UP_AFTER = 5
_PR_SET_PDEATHSIG = 1
_LOST = (
  "another process of the run, or the way to it, is lost; the same command"
  " continues the run"
)


def _start(processes: Processes) -> None:
  """Meet the other processes; before anything is computed.

  Args:
    processes: as the command line gave them. SLURM, Cloud TPU, Kubernetes and
      Open MPI tell what is not given.

  Raises:
    InputError: nothing tells who takes part, or the coordinator is not there.
  """
  # Their handler of SIGTERM would count steps, which begin anew with a seed.
  jax.config.update("jax_enable_preemption_service", False)
  address = processes.coordinator_address or os.environ.get(
    "JAX_COORDINATOR_ADDRESS"
  )
  if address and processes.process_id:
    _await_coordinator(address)
  try:
    jax.distributed.initialize(
      *processes,
      initialization_timeout=INITIALIZATION_SECONDS - _JAX_GIVES_UP_AFTER,
      heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
      shutdown_timeout_seconds=INITIALIZATION_SECONDS,
    )
  except ValueError as error:
    raise InputError(
      f"--distributed: {str(error).rstrip('.')}; give --coordinator_address,"
      " --num_processes and --process_id"
    ) from error
  except RuntimeError as error:
    raise InputError(
      f"{distributed.this_process()} cannot meet the others at {address}:"
      f" {str(error).splitlines()[0]}"
    ) from error
  distributed.listen()


def _await_coordinator(address: str) -> None:
  """Wait until somebody listens, since JAX would abort the process."""
  host, _, port = address.rpartition(":")
  end = time.monotonic() + INITIALIZATION_SECONDS - _JAX_GIVES_UP_AFTER
  while True:
    try:
      socket.create_connection((host.strip("[]"), int(port)), 5).close()
      return
    except (OSError, ValueError) as error:
      if isinstance(error, ValueError) or time.monotonic() > end:
        raise InputError(
          f"the coordinator {address} cannot be reached ({error}): process 0"
          " must run there, and its port must be open"
        ) from error
    time.sleep(0.5)


@contextlib.contextmanager
def together(processes: Processes | None) -> Iterator[None]:
  """Meet the other processes, and parts from them however it ends.

  With several processes it does not return from an error: what is left of
  this process could only wait for the others.

  Args:
    processes: see `Processes`; None: this process is alone.
  """
  if processes is None:
    yield
    return
  _lifeline(processes)
  try:
    try:
      yield
    except distributed.Preempted:
      distributed.finish()
      raise
    distributed.finish()
  except distributed.Preempted:
    raise
  except InputError as error:
    print(f"error: {error}", file=sys.stderr, flush=True)
    distributed.fail(error)
    distributed.leave(None, 2)
  except BaseException as error:
    if distributed.is_loss(error):
      # Whoever failed may have said why; the watching thread tells it then.
      time.sleep(3 * distributed.POLL_SECONDS)
      distributed.leave(
        f"{_LOST} ({distributed.first_line(error)})", distributed.EXIT_LOST
      )
    traceback.print_exc()
    distributed.fail(error)
    distributed.leave(None, 1)


def _lifeline(processes: Processes) -> None:
  """Meet the others in a child, whose end the parent puts into words.

  JAX aborts a process that cannot reach the coordinator, or that has lost it
  or another process. No exception tells of it; the parent does.
  """
  read, write = os.pipe()
  child = os.fork()
  if not child:
    os.close(read)
    # Linux alone has this: the child is killed when the parent is.
    with contextlib.suppress(AttributeError):
      ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
      _start(processes)
    except InputError as error:
      distributed.leave(str(error), 2)
    os.write(write, b"met")
    return
  os.close(write)

  def pass_on(number, _):
    with contextlib.suppress(ProcessLookupError):
      os.kill(child, number)

  signal.signal(signal.SIGTERM, pass_on)
  signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal tells the child
  code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
  if code >= 0:
    os._exit(code)
  if -code != signal.SIGABRT:
    distributed.leave(f"killed by signal {-code}", 128 - code)
  if os.read(read, 1):
    distributed.leave(_LOST, distributed.EXIT_LOST)
  distributed.leave(
    f"not all processes have met within {INITIALIZATION_SECONDS} s: is the"
    " coordinator's address right and its port open, and did all start?",
    2,
  )
