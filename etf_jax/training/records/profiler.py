# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A profile of some steps of a run, for XProf, TensorBoard and Perfetto.

with Profiler((100, 10), workdir) as profiler:
  profiler.begin(step)    # before a call of at most profiler.most(step) steps
  profiler.end(step, state)    # and after it
"""

import contextlib
from pathlib import Path
from typing import Any, Self

import jax

from etf_jax.training.parallel import distributed


class Profiler(contextlib.AbstractContextManager):
  """A profile of process 0 and its devices, written to `profile/`."""

  def __init__(self, steps: tuple[int, ...], workdir: Path):
    """Plan the profile.

    Args:
      steps: `config.profile_steps`: steps before it and in it; (): none.
      workdir: of the run; `profile/` is made in it when there is a profile.
    """
    first, number = steps or (0, 0)
    self._first, self._last = first, first + number
    self._folder, self._running = workdir / "profile", False

  def most(self, step: int) -> int | None:
    """Count the steps until it begins or ends; None: neither is ahead."""
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
