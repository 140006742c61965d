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
from etf_jax.training.parallel import distributed
from etf_jax.training.step import StepMetrics


class Window:
  """Training metrics between two rows, fetched one window late."""

  def __init__(
    self, experiment, feed, writer, checkpoints, step, *, seed, place
  ):
    """Begin after a step; the others are those of `records.Run.open`."""
    self._experiment, self._feed, self._writer = experiment, feed, writer
    self._checkpoints, self._seed, self._place = checkpoints, seed, place
    self._open, self._closed, self._step = [], None, step
    # Of every step and at once: to compute one later would mean to wait for
    # the steps that the devices have before them.
    steps = np.arange(experiment.total_steps, dtype=np.int32)
    rates = np.asarray(experiment.learning_rate(steps))
    self._rates = np.broadcast_to(rates, steps.shape)
    self.restart_clock()

  def add(self, metrics: StepMetrics, steps: int) -> None:
    """Take in some steps, which need not be computed yet.

    Args:
      metrics: arrays `[M]`, M >= steps, of which the first ones count; of
        several runs `[S, M]`.
      steps: how many.
    """
    self._open.append((metrics, steps))

  def close(self, step: int) -> None:
    """Make a row of the steps so far; the row before it is written."""
    self.flush()
    self._closed = (self._step, step, self._open)
    self._open, self._step = [], step

  def keep(self, path: Path, step: int) -> None:
    """Write down the open window of a run that is stopped at a step.

    The run that continues then writes the rows of one that was not stopped.
    """
    fetched = self._fetch(self._open)
    self._check_finite(self._step, fetched.loss)
    if distributed.is_writer():
      values = np.stack(fetched, axis=1).tolist()
      kept = {"step": step, "first": self._step, "metrics": values}
      path.write_text(json.dumps(kept))

  def resume(self, path: Path) -> None:
    """Go on with the window that was kept at this step, if one was."""
    try:
      kept = json.loads(path.read_text())
    except (OSError, ValueError):
      return
    if kept["step"] == self._step and kept["metrics"]:
      self._step = kept["first"]
      values = np.array(kept["metrics"])
      self._open = [(StepMetrics(*values.T), len(values))]

  def flush(self) -> None:
    """Wait for the closed window and writes its row.

    Raises:
      InputError: a loss is not finite.
    """
    if self._closed is None:
      return
    first, last, calls = self._closed
    loss, accuracy = self._fetch(calls)
    self._closed = None
    self._check_finite(first, loss)
    epoch = self._experiment.epoch
    now, images = time.perf_counter(), _images(epoch, first, last)
    row = {
      "kind": "train",
      "step": last,
      "epoch": last / epoch.steps,
      "loss": float(loss.mean()),
      "learning_rate": float(self._rates[last - 1]),
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

  def _fetch(self, calls) -> StepMetrics:
    """One float64 number for each step of some calls."""

    def of_run(metric, steps):
      own = metric if metric.ndim == 1 else metric[self._place]
      return own[:steps]

    columns = [[np.empty(0)] for _ in StepMetrics._fields]
    for metrics, steps in jax.device_get(calls):
      for column, metric in zip(columns, metrics, strict=True):
        column.append(of_run(metric, steps))
    return StepMetrics(
      *(np.concatenate(column, dtype=np.float64) for column in columns)
    )

  def _check_finite(self, first, loss):
    if np.isfinite(loss).all():
      return
    bad = int(np.argmin(np.isfinite(loss)))
    value, step = loss[bad], first + 1 + bad
    good = self._checkpoints.latest
    rate = self._experiment.config.optimizer.learning_rate
    raise InputError(
      f"the loss is {value} at step {step} of seed {self._seed} (epoch"
      f" {step / self._experiment.epoch.steps:.2f}); last good checkpoint:"
      f" {f'step {good}' if good else 'none'}; lower"
      f" config.optimizer.learning_rate={rate:g}, or look at the images of that"
      " step"
    )


def _images(epoch, first, last):
  """Images of the steps first .. last - 1."""
  seen = [
    step // epoch.steps * epoch.examples
    + min(step % epoch.steps * epoch.batch_size, epoch.examples)
    for step in (first, last)
  ]
  return seen[1] - seen[0]
