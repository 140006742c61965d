# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Progress on a terminal and in a log file: of a training run, of other work.

writer = console.Console(total_steps)  # rows of a run, on standard output
with console.Progress("decoding", len(paths)) as progress:
  progress.update(64)
"""

import io
import logging
import math
import sys
import time
from typing import Any, TextIO

import tqdm

from etf_jax.runs import streams
from etf_jax.runs.writers import Row

_log = logging.getLogger(__name__)
# Between two lines of a log.
_SECONDS = 10.0
# Before a bar appears.
_DELAY = 1.0


class Progress(tqdm.tqdm):
  """Progress of work on standard error: a bar on a terminal, else log lines.

  Work of a few seconds shows nothing.
  """

  monitor_interval = 0  # no thread

  def __init__(
    self,
    name: str | None,
    total: int,
    *,
    finished: int = 0,
    unit: str = "images",
  ):
    """Begin to count.

    Args:
      name: the work, as "decoding"; None: show nothing.
      total: number of units in all.
      finished: number of units done before.
      unit: what is counted, in the plural; "B" are bytes.
    """
    self._lines, self._logged = not streams.steady(sys.stderr).isatty(), ""
    super().__init__(
      desc=name,
      total=total,
      initial=finished,
      unit=unit if unit == "B" else f" {unit}",
      unit_scale=unit == "B",
      delay=_SECONDS if self._lines else _DELAY,
      mininterval=_SECONDS if self._lines else 0.1,
      miniters=1,
      disable=name is None,
      file=io.StringIO() if self._lines else streams.steady(sys.stderr),
    )

  def display(self, msg: str | None = None, pos: int | None = None) -> None:
    """Draw the bar, or log a line."""
    if not self._lines:
      super().display(msg, pos)
      return
    rate = (self.n - self.initial) / max(self.format_dict["elapsed"], 1e-9)
    left = self.format_interval((self.total - self.n) / max(rate, 1e-9))
    done, total, rate = map(self._number, (self.n, self.total, rate))
    line = f"{self.desc}: {done} of {total}{self.unit}, {rate}/s, {left} left"
    if line != self._logged:
      _log.info(line)
    self._logged = line

  def _number(self, number: float) -> str:
    if self.unit == "B":
      return self.format_sizeof(number)
    return f"{number:,.0f}"


def say(line: str) -> None:
  """Print a line on standard output, which may be closed or full."""
  print(line, file=streams.steady(sys.stdout), flush=True)


class Console:
  """The rows of a run: a live line on a terminal, lines in a log file.

  In a log file training rows come at most every ten seconds; evaluations all.
  """

  def __init__(
    self,
    total_steps: int,
    *,
    initial_step: int = 0,
    stream: TextIO | None = None,
  ):
    """Begin to show a run.

    Args:
      total_steps: step at which the run ends.
      initial_step: step from which the run starts or resumes.
      stream: standard output by default.
    """
    stream = streams.steady(stream or sys.stdout)
    self._total, self._initial, self._stream = total_steps, initial_step, stream
    self._start, self._printed = time.monotonic(), -math.inf
    self._postfix: dict[str, str] = {}
    self._bar = None
    if stream.isatty():
      self._bar = tqdm.tqdm(
        total=total_steps,
        initial=initial_step,
        unit="step",
        file=stream,
        dynamic_ncols=True,
        bar_format=(
          "{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}"
          " [{elapsed}, ETA {remaining}{postfix}]"
        ),
      )

  def write(self, row: Row) -> None:
    """Show one row."""
    if self._bar is None:
      self._print(row)
    else:
      self._draw(self._bar, row)

  def close(self) -> None:
    """Leave the bar as it is."""
    if self._bar is not None:
      self._bar.close()

  def _draw(self, bar: tqdm.tqdm, row: Row) -> None:
    if row["kind"] == "train":
      self._postfix["loss"] = _number(row.get("loss"), ".4f")
      if row.get("images_per_second") is not None:
        self._postfix["images/s"] = _number(row["images_per_second"], ",.0f")
      if row.get("limited_by") is not None:
        self._postfix["limit"] = row["limited_by"]
    else:
      tqdm.tqdm.write(_line(row), file=self._stream)
      if row["kind"] == "eval":
        self._postfix[row["split"]] = _percent(row.get("accuracy"))
    # Postfix entries in one fixed order keep the line from jumping.
    bar.set_postfix(self._postfix, refresh=False)
    bar.update(max(0, int(row["step"]) - bar.n))
    bar.refresh()

  def _print(self, row: Row) -> None:
    line, step = _line(row), int(row["step"])
    if row["kind"] == "train":
      now = time.monotonic()
      if now - self._printed < _SECONDS and step < self._total:
        return
      self._printed = now
      done = step - self._initial
      if done > 0:
        left = (now - self._start) / done * (self._total - step)
        line += f"  ETA {tqdm.tqdm.format_interval(left)}"
      line = line.replace(f"step {step}", f"step {step}/{self._total}", 1)
    print(line, file=self._stream, flush=True)


def _line(row: Row) -> str:
  parts = []
  if row["kind"] == "final":
    last, best = row.get("last") or {}, row.get("best") or {}
    metric = row.get("best_metric", "accuracy")
    words = metric.replace("_", " ")
    parts += [
      f"done in {tqdm.tqdm.format_interval(row.get('seconds') or 0)}",
      f"test {words} {_percent(last.get(metric))} at the last epoch,"
      f" {_percent(best.get(metric))} at the best"
      f" (epoch {_number(best.get('epoch'), 'g')},"
      f" chosen by {words} on {row.get('best_selected_on')})",
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
    accuracy, balanced = row.get("accuracy"), row.get("balanced_accuracy")
    split = row.get("split")
    # Where classes have equally many images they are the same.
    if accuracy is None or balanced is None or abs(accuracy - balanced) < 1e-9:
      parts.append(f"{split} accuracy {_percent(accuracy)}")
    else:
      parts.append(f"{split} balanced accuracy {_percent(balanced)}")
      parts.append(f"accuracy {_percent(accuracy)}")
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
  return "  ".join(parts)


def _number(value: Any, style: str) -> str:
  return "-" if value is None else format(float(value), style)


def _defined(value: Any, style: str = ".3f") -> str:
  """Show a measurement of collapse; a vector of length zero makes NaN."""
  if value is None or math.isnan(value):
    return "undefined"
  return format(float(value), style)


def _percent(value: Any) -> str:
  return "-" if value is None else f"{100 * float(value):.1f} %"
