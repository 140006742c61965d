# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Worker processes end with their parent, and one that is silent is noticed."""

import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest

from etf_jax.data.feeds import children
from etf_jax.errors import InputError

PATIENCE = 60  # seconds, of a loaded machine

SCRIPT = """
import multiprocessing, sys, time
sys.path.insert(0, {folder!r})
from etf_jax.data.feeds import stream
import test_stream
if __name__ == "__main__":
  feed = stream.Stream(test_stream.batches(), 0, 2)
  next(feed)
  print(*[c.pid for c in multiprocessing.active_children()], flush=True)
  time.sleep(600)
"""


def runs(pid):
  try:
    status = pathlib.Path(f"/proc/{pid}/stat").read_text()
  except FileNotFoundError:
    return False
  return status.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.slow
def test_workers_end_with_a_parent_that_is_killed(tmp_path):
  script = tmp_path / "parent.py"
  script.write_text(SCRIPT.format(folder=str(pathlib.Path(__file__).parent)))
  with subprocess.Popen(
    [sys.executable, str(script)], stdout=subprocess.PIPE, text=True
  ) as parent:
    workers = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(workers) == 2
    parent.kill()
  for _ in range(10 * PATIENCE):
    if not any(map(runs, workers)):
      return
    time.sleep(0.1)
  for pid in workers:
    os.kill(pid, signal.SIGKILL)
  raise AssertionError(f"{workers} are still there")


def test_a_waiter_passes_on_elements_and_errors():
  def numbers():
    yield 1
    raise KeyError("two")

  waiter = children.Waiter(numbers())
  assert next(waiter) == 1
  with pytest.raises(KeyError):
    next(waiter)
  assert list(children.Waiter(iter([3, 4]))) == [3, 4]


def test_a_worker_that_is_stopped_is_named_and_given_up(monkeypatch, caplog):
  monkeypatch.setattr(children, "NAMED_SECONDS", 0.1)
  monkeypatch.setattr(children, "STOPPED_SECONDS", 0.3)
  monkeypatch.setattr(children, "_LOOK_SECONDS", 0.1)
  worker = multiprocessing.get_context("spawn").Process(
    target=time.sleep, args=(600,)
  )
  worker.start()
  os.kill(worker.pid, signal.SIGSTOP)
  waiter = children.Waiter(iter(threading.Event().wait, None))
  with pytest.raises(InputError, match=f"process {worker.pid} is stopped"):
    next(waiter)
  worker.join(PATIENCE)
  assert worker.exitcode == -signal.SIGKILL
  (line,) = caplog.messages
  assert "sent no batch" in line
