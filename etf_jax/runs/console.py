# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""How progress looks on a terminal and in a log file."""

import math
import sys
import time
from typing import Any, TextIO

import tqdm

from etf_jax.runs import writers
from etf_jax.runs.writers import Row


def writer(
  total_steps: int,
  *,
  initial_step: int = 0,
  name: str = "",
  stream: TextIO | None = None,
  plain_seconds: float = 10.0,
) -> writers.Writer:
  """Show progress: a live line on a terminal, plain lines in a log file.

  Args:
    total_steps: the step at which the run ends.
    initial_step: the step from which it starts or resumes.
    name: put in front of every line, for instance "etf_dr seed 0".
    stream: where to; standard output by default.
    plain_seconds: without a terminal, training rows that come sooner after
      the last printed one are left out. Evaluations always print.

  Returns:
    The writer.
  """
  stream = sys.stdout if stream is None else stream
  if stream.isatty():
    return _Live(total_steps, initial_step, name, stream)
  return _Plain(total_steps, initial_step, name, stream, plain_seconds)


class _Live:
  """One line that stays in place; evaluations scroll past above it."""

  def __init__(self, total_steps, initial_step, name, stream):
    self._stream = stream
    self._name = name
    self._shown: dict[str, str] = {}
    self._bar = tqdm.tqdm(
      total=total_steps,
      initial=initial_step,
      desc=name or None,
      unit="step",
      file=stream,
      dynamic_ncols=True,
      bar_format=(
        "{desc}{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}"
        " [{elapsed}, ETA {remaining}{postfix}]"
      ),
    )

  def write(self, row: Row) -> None:
    if row["kind"] == "train":
      self._shown["loss"] = _number(row.get("loss"), ".4f")
      if row.get("images_per_second") is not None:
        self._shown["images/s"] = _number(row["images_per_second"], ",.0f")
      if row.get("limited_by") is not None:
        self._shown["limit"] = row["limited_by"]
      self._refresh(row["step"])
      return
    tqdm.tqdm.write(_line(row, self._name), file=self._stream)
    if row["kind"] == "eval":
      self._shown[row["split"]] = _percent(row.get("accuracy"))
    self._refresh(row["step"])

  def close(self) -> None:
    self._bar.close()

  def _refresh(self, step: int) -> None:
    # Postfix entries in one fixed order keep the line from jumping.
    self._bar.set_postfix(self._shown, refresh=False)
    self._bar.update(max(0, int(step) - self._bar.n))
    self._bar.refresh()


class _Plain:
  """Lines for log files."""

  def __init__(self, total_steps, initial_step, name, stream, plain_seconds):
    self._total = total_steps
    self._initial = initial_step
    self._name = name
    self._stream = stream
    self._seconds = plain_seconds
    self._start = time.monotonic()
    self._printed = -math.inf

  def write(self, row: Row) -> None:
    line = _line(row, self._name)
    if row["kind"] == "train":
      now = time.monotonic()
      if now - self._printed < self._seconds and row["step"] < self._total:
        return
      self._printed = now
      done = int(row["step"]) - self._initial
      if done > 0:
        left = (now - self._start) / done * (self._total - int(row["step"]))
        line += f"  ETA {tqdm.tqdm.format_interval(left)}"
      line = line.replace(
        f"step {row['step']}", f"step {row['step']}/{self._total}", 1
      )
    print(line, file=self._stream, flush=True)

  def close(self) -> None:
    pass


def _line(row: Row, name: str) -> str:
  parts = [name] if name else []
  if row["kind"] == "final":
    last, best = row.get("last") or {}, row.get("best") or {}
    parts += [
      f"done in {tqdm.tqdm.format_interval(row.get('seconds') or 0)}",
      f"test accuracy {_percent(last.get('accuracy'))} at the last epoch,"
      f" {_percent(best.get('accuracy'))} at the best"
      f" (epoch {_number(best.get('epoch'), 'g')},"
      f" chosen on {row.get('best_selected_on')})",
    ]
    return "  ".join(parts)
  parts += [f"step {row['step']}", f"epoch {_number(row.get('epoch'), '.2f')}"]
  if row["kind"] == "train":
    parts.append(f"loss {_number(row.get('loss'), '.4f')}")
    parts.append(f"lr {_number(row.get('learning_rate'), '.3g')}")
  elif row["kind"] == "collapse":
    cosine = _defined(row.get("cos_features_mean"))
    spread = _defined(row.get("cos_features_std"))
    parts.append(
      f"collapse {row['split']}: NC1 {_defined(row.get('nc1'), '.3g')},"
      f" cos {cosine} ± {spread},"
      f" alignment {_defined(row.get('nc3_alignment_mean'))}"
    )
  else:
    parts.append(f"{row.get('split')} accuracy {_percent(row.get('accuracy'))}")
    parts += [
      f"{shot} {_percent(row[shot])}"
      for shot in ("many", "medium", "few")
      if row.get(shot) is not None
    ]
  if row.get("images_per_second") is not None:
    parts.append(f"{_number(row['images_per_second'], ',.0f')} images/s")
  if row.get("feed_images_per_second") is not None:
    parts.append(
      f"feed {_number(row['feed_images_per_second'], ',.0f')} images/s,"
      f" the {row['limited_by']} limits"
    )
  if row.get("corrupt_images"):
    parts.append(f"{row['corrupt_images']} images skipped")
  return "  ".join(parts)


def _number(value: Any, style: str) -> str:
  return "-" if value is None else format(float(value), style)


def _defined(value: Any, style: str = ".3f") -> str:
  """A measurement of collapse; a vector of length zero makes them NaN."""
  if value is None or math.isnan(value):
    return "undefined"
  return format(float(value), style)


def _percent(value: Any) -> str:
  return "-" if value is None else f"{100 * float(value):.1f} %"
