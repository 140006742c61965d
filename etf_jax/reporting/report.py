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
from etf_jax.reporting import (
  accuracy,
  classes,
  collapse,
  collapse_table,
  page,
  results,
  tables,
)
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
  blocks: list[page.Block] = []
  if len(sections) > 1:
    blocks += [page.Heading("Overview"), _overview(sections)]
  for index, section in enumerate(sections):
    prefix = ""
    if len(sections) > 1:
      prefix = f"{index + 1}_{_slug(section.title)}_"
      blocks += [
        page.Heading(section.title, level=2),
        page.Paragraph(section.facts, style="facts"),
        page.Paragraph(summary(section)),
      ]
    blocks += _section(section, prefix)
  blocks += [page.Heading("Versions"), _versions(sections)]
  page.write(
    out,
    _title(sections),
    blocks,
    eyebrow="etf_jax report",
    lead=summary(sections[0]) if len(sections) == 1 else "",
    facts=list(_facts(sections)),
    figures_folder=out.parent / "figures",
  )
  return out


def summary(section: reader.Section) -> str:
  """Describe the result of a section in a sentence or two of plain text."""
  finished = [group for group in section.groups if group.finished]
  if not finished:
    return "No run has finished yet."
  metric = results.heading_of(section)
  first, *others = sorted(finished, key=lambda group: -_mean(group, metric))
  seeds = len(first.finished)
  of_seeds = f"mean of {seeds} seeds" if seeds > 1 else "one seed"
  text = (
    f"{first.label} reaches {_percent(first, metric)} test"
    f" {results.WORDS[metric]} at its last"
    f" epoch ({of_seeds})"
  )
  if not others:
    return text + "."
  second = others[0]
  if not classes.separated(first, second, metric):
    return (
      f"{first.label} and {second.label} lead with {_percent(first, metric)}"
      f" and {_percent(second, metric)} test {results.WORDS[metric]} at their"
      " last epoch; one seed on these test images does not tell which is"
      " better."
    )
  text += f"; {second.label} follows with {_percent(second, metric)}."
  ours, theirs = (
    {run.seed: run.result["last"][metric] for run in group.finished}
    for group in (first, second)
  )
  common = sorted(ours.keys() & theirs.keys())
  if len(common) > 1:
    difference = tables.stat([ours[seed] - theirs[seed] for seed in common])
    text += (
      f" Seed by seed the difference is {difference} points"
      f" ({len(common)} seeds)."
    )
  return text


def _last(group: reader.Group, metric: str) -> tables.Stat:
  return tables.stat([run.result["last"][metric] for run in group.finished])


def _mean(group: reader.Group, metric: str) -> float:
  mean = _last(group, metric).mean
  assert mean is not None  # the reader requires an accuracy
  return mean


def _percent(group: reader.Group, metric: str) -> str:
  found = _last(group, metric)
  return f"{found if found.deviation is not None else f'{found.mean:.1f}'} %"


def _title(sections: Sequence[reader.Section]) -> str:
  labels = list(dict.fromkeys(g.label for s in sections for g in s.groups))
  data = list(dict.fromkeys(section.title for section in sections))
  methods = _joined(labels) if len(labels) <= 3 else f"{len(labels)} methods"
  sets = _joined(data) if len(data) <= 3 else f"{len(data)} data sets"
  return f"{methods} on {sets}"


def _joined(words: Sequence[str]) -> str:
  *head, tail = words
  return f"{', '.join(head)} and {tail}" if head else tail


def _section(section: reader.Section, prefix: str) -> Iterable[page.Block]:
  yield page.Heading("Results")
  yield results.html(section)
  yield page.Notes(results.notes(section))
  yield from classes.scores(section)
  figures = accuracy.figures(section)
  if figures:
    yield page.Heading("Figures")
    yield _named(figures, prefix)
  if collapse.methods(section):
    yield page.Heading("Neural collapse")
    yield collapse_table.main(section)
    yield page.Notes(collapse_table.notes(section))
    yield page.Details(
      "All measurements of collapse", [collapse_table.everything(section)]
    )
    yield _named(collapse.figures(section), prefix)
  yield page.Heading("Configuration")
  yield from _configuration(section)
  yield page.Heading("Runs")
  yield _runs(section)
  yield page.Heading("Classes")
  yield page.Details(
    "Training images and test accuracy of all"
    f" {len(section.class_counts):,} classes",
    [classes.recalls(section)],
  )


def _named(figures: Sequence[page.ReportFigure], prefix: str) -> page.Figures:
  """Return figures with names that begin with those of their section."""
  return page.Figures([f._replace(name=prefix + f.name) for f in figures])


def _facts(
  sections: Sequence[reader.Section],
) -> Iterable[tuple[str, str]]:
  runs = [r for s in sections for group in s.groups for r in group.runs]
  finished = [run for run in runs if run.final]
  if len(sections) == 1:
    counts = sections[0].class_counts
    yield "classes", f"{len(counts):,}"
    yield "training images", f"{sum(counts):,}"
    yield "per class", f"{max(counts):,} to {min(counts):,}"
  else:
    yield "training sets", str(len(sections))
  seeds = sorted({run.seed for run in runs})
  if len(seeds) == 1:
    yield "seed", f"number {seeds[0]}"
  else:
    yield "seeds", ", ".join(map(str, seeds))
  if len(finished) == len(runs):
    yield "runs", str(len(runs))
  else:
    yield "runs", f"{len(finished)} of {len(runs)} finished"
  seconds = [run.result.get("seconds", np.nan) for run in finished]
  if finished and not np.isnan(sum(seconds)):
    yield "training time", tables.duration(sum(seconds))


def _overview(sections: Sequence[reader.Section]) -> page.Table:
  labels = dict.fromkeys(g.label for s in sections for g in s.groups)
  finished = [
    {group.label: group for group in section.groups if group.finished}
    for section in sections
  ]
  headings = {results.heading_of(section) for section in sections}
  metric = "accuracy" if headings == {"accuracy"} else "balanced_accuracy"
  return page.table(
    [f"{results.WORDS[metric]}, last epoch, %", *map(_data, sections)],
    [
      [
        label,
        *(
          str(_last(g[label], metric)) if label in g else "-" for g in finished
        ),
      ]
      for label in labels
    ],
  )


def _data(section: reader.Section) -> str:
  counts = section.class_counts
  return f"{section.title}, {max(counts):,} to {min(counts):,}"


def _configuration(section: reader.Section) -> Iterable[page.Block]:
  differing = reader.differences(section.groups)
  if differing:
    yield page.table(
      ["differing fields", *(group.label for group in section.groups)],
      [[key, *values] for key, values in differing.items()],
      style="wrap",
    )
  for group in section.groups:
    yield page.Details(
      f"{group.label}: all fields (configuration {group.first.hash})",
      [page.Preformatted(json.dumps(group.first.config, indent=2))],
    )


def _runs(section: reader.Section) -> page.Table:
  header = ["method", "seed", "state", "epochs", "time", "images/s"]
  header += ["device", "revision", "directory"]
  members = [(group, run) for group in section.groups for run in group.runs]
  has_command = any(run.meta.get("command") for _, run in members)
  rows = []
  for group, run in members:
    seconds = (run.final or {}).get("seconds")
    row = [
      group.label,
      str(run.seed),
      "finished" if run.final else "unfinished",
      f"{run.epoch:.4g}",
      "-" if seconds is None else tables.duration(seconds),
      _speed(run),
      run.meta.get("device") or "-",
      str(run.meta.get("git_revision") or "-")[:10],
      str(run.directory),
    ]
    if has_command:
      row.append(_command(run.meta.get("command")))
    rows.append(row)
  return page.table(header + ["command"] * has_command, rows)


def _versions(sections: Sequence[reader.Section]) -> page.Table:
  used: dict[str, dict[str, None]] = {}
  for section in sections:
    for group in section.groups:
      for run in group.runs:
        for name, version in (run.meta.get("versions") or {}).items():
          used.setdefault(name, {})[str(version)] = None
  return page.table(
    ["software", "version"],
    [[name, ", ".join(versions)] for name, versions in used.items()],
  )


def _speed(run: reader.RunRecord) -> str:
  speeds = [row.get("images_per_second") for row in run.train]
  known = [speed for speed in speeds if speed is not None]
  return f"{np.median(known):,.0f}" if known else "-"


def _command(command: Any) -> str:
  if isinstance(command, list):
    return shlex.join(map(str, command))
  return command or "-"


def _slug(title: str) -> str:
  return re.sub(r"[^A-Za-z0-9]+", "_", title).strip("_").lower()
