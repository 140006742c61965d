# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Rows of training metrics: each of a window of steps, fetched one late.

So the devices never wait for the host.
"""

import json
from pathlib import Path
import time
from typing import Any

import jax
import numpy as np

from etf_jax.errors import InputError
from etf_jax.runs import files
from etf_jax.training.checkpoints.manager import Checkpoints
from etf_jax.training.feeds.device import TrainFeed
from etf_jax.training.parallel import distributed
from etf_jax.training.setup import Setup
from etf_jax.training.step import StepMetrics

# Metrics of some calls, and the steps of each.
_Calls = list[tuple[StepMetrics, int]]


class MetricsWindow:
  """Training metrics between two rows, fetched one window late."""

  def __init__(
    self,
    setup: Setup,
    feed: TrainFeed,
    writer: Any,
    checkpoints: Checkpoints,
    step: int,
    *,
    seed: int,
    place: int,
  ):
    """Begin after a step.

    Args:
      setup: of the run.
      feed: its rates enter the rows.
      writer: of rows.
      checkpoints: of the run, for messages.
      step: completed.
      seed: of the run.
      place: of the run among packed seeds, from 0.
    """
    self._setup, self._feed, self._writer = setup, feed, writer
    self._checkpoints, self._seed, self._place = checkpoints, seed, place
    self._open: _Calls = []
    self._closed: tuple[int, int, _Calls] | None = None
    self._step = step
    # Of every step and at once: to compute one later would mean to wait for
    # the steps that the devices have before them.
    steps = np.arange(setup.total_steps, dtype=np.int32)
    rates = np.asarray(setup.learning_rate(steps))
    self._rates = np.broadcast_to(rates, steps.shape)
    self._clock = time.perf_counter()

  def add(self, metrics: StepMetrics, steps: int) -> None:
    """Take in some steps, which need not be computed yet.

    Args:
      metrics: arrays `[M]`, M >= steps, of which the first ones count; of
        several runs `[S, M]`.
      steps: how many.
    """
    self._open.append((metrics, steps))

  def close(self, step: int) -> None:
    """End the window, and write the row of the one before it."""
    self.flush()
    self._closed = (self._step, step, self._open)
    self._open, self._step = [], step

  def save(self, path: Path, step: int) -> None:
    """Save the open window of a run that is stopped at a step.

    The run that continues then writes the rows of one that was not stopped. The
    window of the checkpoint before is kept beside it: a process that is killed
    before the new checkpoint is complete goes on from that one.
    """
    fetched = self._fetch(self._open)
    self._check_finite(self._step, fetched.loss)
    if distributed.is_writer():
      values = np.stack(fetched, axis=1).tolist()
      saved = {"step": step, "first": self._step, "metrics": values}
      if (before := _read(path, self._checkpoints.latest)) is not None:
        saved["before"] = before
      with files.replacing(path) as file:
        file.write(json.dumps(saved).encode())

  def resume(self, path: Path) -> None:
    """Continue the window that was saved at this step, if there is one."""
    saved = _read(path, self._step)
    if saved and saved["metrics"]:
      self._step = saved["first"]
      values = np.array(saved["metrics"])
      self._open = [(StepMetrics(*values.T), len(values))]

  def flush(self) -> None:
    """Wait for the closed window and write its row.

    Raises:
      InputError: a loss is not finite.
    """
    if self._closed is None:
      return
    first, last, calls = self._closed
    loss, accuracy = self._fetch(calls)
    self._closed = None
    self._check_finite(first, loss)
    epoch = self._setup.epoch
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
    """Leave out of the next rate what was done since the last row."""
    self._clock = time.perf_counter()

  def _fetch(self, calls) -> StepMetrics:
    """Fetch one float64 number for each step of some calls."""

    def of_run(metric, steps):
      single = metric if metric.ndim == 1 else metric[self._place]
      return single[:steps]

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
    rate = self._setup.config.optimizer.learning_rate
    raise InputError(
      f"the loss is {value} at step {step} of seed {self._seed} (epoch"
      f" {step / self._setup.epoch.steps:.2f}); last good checkpoint:"
      f" {f'step {good}' if good else 'none'}; lower"
      f" config.optimizer.learning_rate={rate:g}, or look at the images of that"
      " step"
    )


def _images(epoch, first, last):
  """Count the images of the steps first .. last - 1."""
  before = [
    step // epoch.steps * epoch.examples
    + min(step % epoch.steps * epoch.batch_size, epoch.examples)
    for step in (first, last)
  ]
  return before[1] - before[0]


def saved_window(path: Path, step: int) -> int | None:
  """Return where the window begins that was saved at a step, or None."""
  saved = _read(path, step)
  return saved["first"] if saved else None


def _read(path: Path, step: int | None) -> dict[str, Any] | None:
  """Read the window that was saved at a step."""
  try:
    # Not `read_json`: a step without an accuracy has NaN for it.
    saved = json.loads(files.read_bytes(path))
    for window in (saved, saved.get("before", {})):
      known = {"step", "first", "metrics"} <= window.keys()
      if known and window["step"] == step:
        return {key: window[key] for key in ("step", "first", "metrics")}
  except (OSError, ValueError, AttributeError, RecursionError):
    pass
  return None
