# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A tracker that kills its own process (kill -9) when a step's row arrives."""

import os
import signal


def create(config, workdir):
  del config, workdir
  return Killer(int(os.environ.get("KILL_AT_STEP", "1000000")))


class Killer:
  def __init__(self, step):
    self.step = step

  def write(self, row):
    if row["step"] >= self.step:
      os.kill(os.getpid(), signal.SIGKILL)

  def close(self):
    pass
