# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""One self-contained HTML report of any number of runs.

write(["runs/digits_lt-ce-1a2b", "runs/digits_lt-etf_dr-3c4d"],
      "report.html")
"""

from collections.abc import Iterable, Sequence
import json
import os
from pathlib import Path
import re
import shlex
from typing import Any

import numpy as np

from etf_jax.errors import InputError
from etf_jax.evaluation import shots as shot_groups
from etf_jax.reporting import _collapse, _collapse_table, _page, _shown, tables
from etf_jax.reporting.figures import style
from etf_jax.runs import reader


def write(
  run_dirs: Iterable[str | os.PathLike], out: str | os.PathLike
) -> Path:
  """Write the report, and its figures as PNG into ``figures/`` beside it.

  Args:
    run_dirs: run directories, or directories that hold some at any depth.
    out: the HTML file to write; one that exists is replaced.

  Returns:
    The file written.

  Raises:
    InputError: no such directory, no run in it, an unreadable one, or `out`
      cannot be written.
  """
  out = Path(out)
  if out.suffix.lower() not in (".html", ".htm"):
    raise InputError(f"cannot write the report to {out}: name a .html file")
  sections = reader.sections(reader.group(reader.load_all(run_dirs)))
  try:
    out.parent.mkdir(parents=True, exist_ok=True)
    page = _page.document(_title(sections), _body(sections, out.parent))
    temporary = out.with_name(out.name + ".tmp")
    temporary.write_text(page, encoding="utf-8")
    temporary.replace(out)
  except OSError as error:
    raise InputError(f"cannot write the report to {out}: {error}") from error
  return out


def result(section: reader.Section) -> str:
  """The result of a section in a sentence or two of plain text."""
  ended = [group for group in section.groups if group.finished]
  if not ended:
    return "No run has finished yet."
  ranked = sorted(ended, key=lambda group: -_accuracy(group).mean)
  first = ranked[0]
  seeds = len(first.finished)
  of_seeds = f"mean of {seeds} seeds" if seeds > 1 else "one seed"
  said = (
    f"{first.label} reaches {_percent(first)} test accuracy at its last"
    f" epoch ({of_seeds})"
  )
  if len(ranked) == 1:
    return said + "."
  second = ranked[1]
  said += f"; {second.label} follows with {_percent(second)}."
  one, other = (
    {run.seed: run.final["last"]["accuracy"] for run in group.finished}
    for group in (first, second)
  )
  common = sorted(one.keys() & other.keys())
  if len(common) > 1:
    difference = tables.stat([one[seed] - other[seed] for seed in common])
    said += (
      f" Seed by seed the difference is {difference} points"
      f" ({len(common)} seeds)."
    )
  return said


def _accuracy(group: reader.Group) -> tables.Stat:
  return tables.stat([run.final["last"]["accuracy"] for run in group.finished])


def _percent(group: reader.Group) -> str:
  accuracy = _accuracy(group)
  if accuracy.deviation is None:
    return f"{accuracy.mean:.1f} %"
  return f"{accuracy} %"


def _title(sections: Sequence[reader.Section]) -> str:
  labels = list(dict.fromkeys(g.label for s in sections for g in s.groups))
  data = list(dict.fromkeys(section.title for section in sections))
  what = _joined(labels) if len(labels) <= 3 else f"{len(labels)} methods"
  where = _joined(data) if len(data) <= 3 else f"{len(data)} data sets"
  return f"{what} on {where}"


def _joined(words: Sequence[str]) -> str:
  *head, tail = words
  return f"{', '.join(head)} and {tail}" if head else tail


def _body(sections: Sequence[reader.Section], folder: Path) -> Iterable[str]:
  yield "<header><p class='eyebrow'>etf_jax report</p>"
  yield _page.element("h1", _title(sections))
  if len(sections) == 1:
    yield _page.element("p", result(sections[0]), **{"class": "lead"})
  yield _page.cards(_facts(sections))
  yield "</header>"
  if len(sections) > 1:
    yield _overview(sections)
  for index, section in enumerate(sections):
    prefix = f"{index + 1}_{_slug(section)}_" if len(sections) > 1 else ""
    yield f"<section id='s{index}'>"
    if len(sections) > 1:
      yield _page.element("h2", section.title)
      yield _page.element("p", section.facts, **{"class": "facts"})
      yield _page.element("p", result(section))
    yield from _section(section, prefix, folder)
    yield "</section>"
  yield _page.element("h3", "Versions")
  yield _page.panel(_versions(sections))


def _section(
  section: reader.Section, prefix: str, folder: Path
) -> Iterable[str]:
  yield _page.element("h3", "Results")
  yield _page.panel(tables.html(section))
  yield _notes(tables.notes(section))
  shown = _shown.figures(section)
  if shown:
    yield _page.element("h3", "Figures")
  yield from _drawn(shown, prefix, folder)
  if _collapse.methods(section):
    yield _page.element("h3", "Neural collapse")
    yield _page.panel(_collapse_table.main(section))
    yield _notes(_collapse_table.notes(section))
    every = _page.panel(_collapse_table.everything(section), "tall")
    yield _page.details("All measurements of collapse", every)
    yield from _drawn(_collapse.figures(section), prefix, folder)
  yield _page.element("h3", "Configuration")
  yield _configuration(section)
  yield _page.element("h3", "Runs")
  yield _page.panel(_runs(section))
  yield _page.element("h3", "Classes")
  yield _classes(section)


def _notes(notes: Iterable[str]) -> str:
  items = "".join(_page.element("li", note) for note in notes)
  return f"<ul class='notes'>{items}</ul>"


def _drawn(
  shown: Iterable[_shown.Shown], prefix: str, folder: Path
) -> Iterable[str]:
  for figure in shown:
    wide = figure.draw(narrow=False)
    style.png(wide, folder / "figures" / f"{prefix}{figure.name}.png")
    ids = f"{prefix}{figure.name}"
    yield _page.figure(
      style.svg(wide, f"w-{ids}"),
      style.svg(figure.draw(narrow=True), f"n-{ids}"),
      figure.title,
      figure.caption,
    )


def _facts(sections: Sequence[reader.Section]) -> Iterable[tuple[str, str]]:
  held = [r for s in sections for group in s.groups for r in group.runs]
  finished = [run for run in held if run.final]
  if len(sections) == 1:
    counts = sections[0].class_counts
    yield "classes", f"{len(counts):,}"
    yield "training images", f"{sum(counts):,}"
    yield "per class", f"{max(counts):,} to {min(counts):,}"
  else:
    yield "training sets", str(len(sections))
  yield "seeds", ", ".join(map(str, sorted({run.seed for run in held})))
  done = (
    f"{len(held)}"
    if len(finished) == len(held)
    else (f"{len(finished)} of {len(held)} finished")
  )
  yield "runs", done
  seconds = [run.final.get("seconds") for run in finished]
  if finished and None not in seconds:
    yield "training time", _duration(sum(seconds))


def _overview(sections: Sequence[reader.Section]) -> str:
  labels = dict.fromkeys(g.label for s in sections for g in s.groups)
  held = [{g.label: g for g in section.groups} for section in sections]
  rows = [
    [
      label,
      *(
        str(_accuracy(groups[label]))
        if label in groups and groups[label].finished
        else "-"
        for groups in held
      ),
    ]
    for label in labels
  ]
  header = ["accuracy, last epoch, %"]
  header += [
    f"{section.title}, {max(section.class_counts):,} to"
    f" {min(section.class_counts):,}"
    for section in sections
  ]
  return _page.element("h3", "Overview") + _page.panel(
    _page.table(header, rows)
  )


def _configuration(section: reader.Section) -> str:
  labels = [group.label for group in section.groups]
  differing = reader.differences(section.groups)
  parts = []
  if differing:
    rows = [[key, *values] for key, values in differing.items()]
    parts.append(
      _page.panel(_page.table(["differing fields", *labels], rows, "wrap"))
    )
  for group in section.groups:
    full = json.dumps(group.first.config, indent=2)
    parts.append(
      _page.details(
        f"{group.label}: all fields (configuration {group.first.hash})",
        _page.panel(_page.element("pre", full)),
      )
    )
  return "\n".join(parts)


def _runs(section: reader.Section) -> str:
  header = ["method", "seed", "state", "epochs", "time", "images/s"]
  header += ["device", "revision", "directory"]
  held = [(group, run) for group in section.groups for run in group.runs]
  commands = any(run.meta.get("command") for _, run in held)
  rows = []
  for group, run in held:
    final = run.final or {}
    seconds = final.get("seconds")
    row = [group.label, run.seed, "finished" if final else "unfinished"]
    row += [f"{run.epoch:.4g}", "-" if seconds is None else _duration(seconds)]
    row += [_speed(run), run.meta.get("device") or "-"]
    row += [str(run.meta.get("git_revision") or "-")[:10], run.directory]
    if commands:
      row.append(_command(run.meta.get("command")))
    rows.append(row)
  return _page.table(header + ["command"] * commands, rows)


def _classes(section: reader.Section) -> str:
  counts = np.asarray(section.class_counts)
  order = np.argsort(-counts, kind="stable")
  shots = shot_groups.of(counts)
  ended = [group for group in section.groups if group.finished]
  accuracy = [
    [run.final["last"]["per_class_accuracy"] for run in group.finished]
    for group in ended
  ]
  rows = [
    [
      section.class_names[c],
      f"{counts[c]:,}",
      shot_groups.NAMES[shots[c]],
      *(str(tables.stat([seed[c] for seed in seeds])) for seeds in accuracy),
    ]
    for c in order
  ]
  header = ["class", "training images", "group"]
  header += [f"{group.label}, %" for group in ended]
  table = _page.panel(_page.table(header, rows), "tall")
  return _page.details(
    f"Training images and test accuracy of all {len(rows):,} classes", table
  )


def _versions(sections: Sequence[reader.Section]) -> str:
  used: dict[str, dict[str, None]] = {}
  for section in sections:
    for group in section.groups:
      for run in group.runs:
        for name, version in (run.meta.get("versions") or {}).items():
          used.setdefault(name, {})[str(version)] = None
  rows = [[name, ", ".join(found)] for name, found in used.items()]
  return _page.table(["software", "version"], rows)


def _speed(run: reader.RunRecord) -> str:
  speeds = [row.get("images_per_second") for row in run.train]
  known = [speed for speed in speeds if speed is not None]
  return f"{np.median(known):,.0f}" if known else "-"


def _command(command: Any) -> str:
  if isinstance(command, list):
    return shlex.join(map(str, command))
  return command or "-"


def _duration(seconds: float) -> str:
  minutes, second = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  if hours:
    return f"{hours} h {minutes} min"
  return f"{minutes} min {second} s" if minutes else f"{second} s"


def _slug(section: reader.Section) -> str:
  return re.sub(r"[^A-Za-z0-9]+", "_", section.title).strip("_").lower()
