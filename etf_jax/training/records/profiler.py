# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A profile of some steps of a run, for XProf, TensorBoard and Perfetto.

with Profile(experiment, workdir) as profile:
  profile.begin(step)    # before a call of at most profile.most(step) steps
  profile.end(step, state)    # and after it
"""

import contextlib
from pathlib import Path
from typing import Any, Self

import jax

from etf_jax.errors import InputError
from etf_jax.training.experiment import Experiment
from etf_jax.training.parallel import distributed


class Profile(contextlib.AbstractContextManager):
  """Process 0 writes what its own devices do, and its host."""

  def __init__(self, experiment: Experiment, workdir: Path):
    """Plan it.

    Args:
      experiment: its `config.profile_steps` is read.
      workdir: of the run; `profile/` is made in it when there is a profile.

    Raises:
      InputError: the run ends before the profile does.
    """
    steps, total_steps = experiment.config.profile_steps, experiment.total_steps
    first, number = steps or (0, 0)
    self._first, self._last = first, first + number
    self._folder, self._running = workdir / "profile", False
    if self._last > total_steps:
      raise InputError(
        f"config.profile_steps={tuple(steps)} ends at step {self._last}, and"
        f" the run at {total_steps}: profile earlier ones"
      )

  def most(self, step: int) -> int | None:
    """Step until it begins or ends; None: neither is ahead."""
    ahead = [end - step for end in (self._first, self._last) if end > step]
    return min(ahead, default=None)

  def begin(self, step: int) -> None:
    """Start if the step that follows is in it; a run may resume inside."""
    inside = self._first <= step < self._last
    if inside and not self._running and distributed.is_writer():
      options = jax.profiler.ProfileOptions()
      # Each call of each Python function would drown the rest.
      options.python_tracer_level = 0
      jax.profiler.start_trace(self._folder, profiler_options=options)
      self._running = True

  def end(self, step: int, state: Any) -> None:
    """End after the last step, for which it waits."""
    if self._running and step >= self._last:
      jax.block_until_ready(state)
      self._stop()

  def _stop(self):
    self._running = False
    jax.profiler.stop_trace()

  def __enter__(self) -> Self:
    """Return itself."""
    return self

  def __exit__(self, *_) -> None:
    """End it where the run is stopped or fails inside."""
    if self._running:
      self._stop()
