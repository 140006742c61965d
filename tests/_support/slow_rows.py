# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A tracker that takes its time for each row, or sends its process a signal."""

import os
import signal
import time


def create(config, workdir):
  del config, workdir
  return Tracker(
    float(os.environ.get("ROW_SECONDS", "0")),
    {
      number: int(os.environ.get(f"{number.name[3:]}_AT_STEP", "-1"))
      for number in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL)
    },
  )


class Tracker:
  def __init__(self, seconds, steps):
    self.seconds, self.steps = seconds, steps

  def write(self, row):
    time.sleep(self.seconds)
    for number, step in self.steps.items():
      if row["step"] == step and row["kind"] == "train":
        os.kill(os.getpid(), number)

  def close(self):
    pass
