# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Rows of training metrics: each of a window of steps, fetched one late.

So the devices never wait for the host.
"""

import json
from pathlib import Path
import time

import jax
import numpy as np

from etf_jax.errors import InputError
from etf_jax.training import distributed
from etf_jax.training.step import StepMetrics


class Window:
  """Training metrics between two rows, fetched one window late."""

  def __init__(self, experiment, feed, writer, checkpoints, step):
    """Begins after a step; the others are those of `loop.train`."""
    self._experiment, self._feed, self._writer = experiment, feed, writer
    self._checkpoints = checkpoints
    self._open, self._closed, self._step = [], None, step
    self.restart_clock()

  def add(self, step_metrics: StepMetrics) -> None:
    """Takes in a step, which need not be computed yet."""
    self._open.append(step_metrics)

  def close(self, step: int) -> None:
    """Makes a row of the steps so far; the row before it is written."""
    self.flush()
    self._closed = (self._step, step, self._open)
    self._open, self._step = [], step

  def keep(self, path: Path, step: int) -> None:
    """Writes down the open window of a run that is stopped at a step.

    The run that continues then writes the rows of one that was not stopped.
    """
    fetched = jax.device_get(self._open)
    self._check_finite(self._step, np.array([m.loss for m in fetched]))
    if distributed.is_writer():
      values = [[float(x) for x in metrics] for metrics in fetched]
      kept = {"step": step, "first": self._step, "metrics": values}
      path.write_text(json.dumps(kept))

  def resume(self, path: Path) -> None:
    """Goes on with the window that was kept at this step, if one was."""
    try:
      kept = json.loads(path.read_text())
    except (OSError, ValueError):
      return
    if kept["step"] == self._step:
      self._step = kept["first"]
      self._open = [StepMetrics(*metrics) for metrics in kept["metrics"]]

  def flush(self) -> None:
    """Waits for the closed window and writes its row.

    Raises:
      InputError: a loss is not finite.
    """
    if self._closed is None:
      return
    first, last, fetched = *self._closed[:2], jax.device_get(self._closed[2])
    self._closed = None
    loss = np.array([m.loss for m in fetched], np.float64)
    accuracy = np.array([m.accuracy for m in fetched], np.float64)
    self._check_finite(first, loss)
    epoch = self._experiment.epoch
    now, images = time.perf_counter(), _images(epoch, first, last)
    row = {
      "kind": "train",
      "step": last,
      "epoch": last / epoch.steps,
      "loss": float(loss.mean()),
      "learning_rate": float(
        self._experiment.learning_rate(np.int32(last - 1))
      ),
      "images_per_second": images / (now - self._clock),
      **self._feed.rates(),
    }
    if not np.isnan(accuracy).all():
      row["accuracy"] = float(np.nanmean(accuracy))
    self._clock = now
    self._writer.write(row)

  def restart_clock(self) -> None:
    """What was done since the last row was no training."""
    self._clock = time.perf_counter()

  def _check_finite(self, first, loss):
    if np.isfinite(loss).all():
      return
    bad = int(np.argmin(np.isfinite(loss)))
    value, step = loss[bad], first + 1 + bad
    good = self._checkpoints.latest
    raise InputError(
      f"the loss is {value} at step {step} (epoch"
      f" {step / self._experiment.epoch.steps:.2f}); last good checkpoint:"
      f" {f'step {good}' if good else 'none'}; lower"
      " config.optimizer.learning_rate, or look at the images of that step"
    )


def _images(epoch, first, last):
  """Images of the steps first .. last - 1."""
  seen = [
    step // epoch.steps * epoch.examples
    + min(step % epoch.steps * epoch.batch_size, epoch.examples)
    for step in (first, last)
  ]
  return seen[1] - seen[0]
