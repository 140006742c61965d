# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""How far long work has come, on stderr: a terminal gets a bar, a log lines."""

import sys
import time

import tqdm

# Between two lines, and before a bar appears.
_SECONDS, _DELAY = 10.0, 1.0


class Progress:
  """Counts images; says nothing of work that takes a few seconds.

  with Progress("decoding", total) as bar:
    bar.add(64)
  """

  def __init__(self, name: str | None, total: int, finished: int = 0):
    """Start counting.

    Args:
      name: of the work; None: nothing is shown.
      total: images in all.
      finished: images that were done before.
    """
    self._name, self._total = name, total
    self._before = self._finished = finished
    self._started = self._said = time.monotonic()
    self._bar = None
    if name is not None and sys.stderr.isatty():
      self._bar = tqdm.tqdm(
        total=total, initial=finished, desc=name, unit="img", delay=_DELAY
      )

  def add(self, images: int) -> None:
    """Count further images."""
    self._finished += images
    if self._bar is not None:
      self._bar.update(images)
      return
    now = time.monotonic()
    if self._name is None or now - self._said < _SECONDS:
      return
    self._said = now
    rate = (self._finished - self._before) / (now - self._started)
    left = (self._total - self._finished) / max(rate, 1e-9)
    print(
      f"{self._name}: {self._finished:,} of {self._total:,} images, "
      f"{rate:,.0f}/s, {left:,.0f} s left",
      file=sys.stderr,
      flush=True,
    )

  def __enter__(self):
    return self

  def __exit__(self, *_):
    if self._bar is not None:
      self._bar.close()
