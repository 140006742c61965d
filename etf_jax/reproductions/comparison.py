# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A reproduction as text: the plan, and ours beside the published values.

comparison.write(wanted, rows, figures, Path("reproduced"))
"""

from collections.abc import Iterator, Sequence
import csv
import io
from pathlib import Path

from etf_jax.reporting import page, tables
from etf_jax.reproductions import jobs as jobs_lib
from etf_jax.reproductions import results, runner, variants
from etf_jax.reproductions.jobs import Reproduction
from etf_jax.reproductions.results import Row
from etf_jax.runs import files

_RULE = (
  "Percent of the test images, mean ± sample deviation (ddof 1) over seeds."
  " last: the last epoch, which is the result; best: the epoch that was best on"
  " the split that is named, which flatters where that is test. Differences are"
  " in points, with their standard error in brackets. Nothing is claimed of"
  f" fewer than {results.FEWEST_SEEDS} seeds or of a difference below two"
  " standard errors."
)


def write(
  wanted: Reproduction,
  rows: Sequence[Row],
  figures: Sequence[page.ReportFigure],
  output: Path,
) -> None:
  """Write NAME.md, NAME.csv, NAME.html and the figures as PNG."""
  files.write(output / f"{wanted.name}.md", markdown(wanted, rows, figures))
  files.write(output / f"{wanted.name}.csv", as_csv(wanted, rows))
  blocks: list[page.Block] = []
  for heading, (header, *lines) in _tables(wanted, rows):
    blocks.append(page.Heading(heading, 2))
    blocks.append(page.table(header, lines, "wrap"))
  blocks += [page.Figures(figures), page.Notes(notes(wanted))]
  page.write(
    output / f"{wanted.name}.html",
    wanted.title,
    blocks,
    lead=_lead(wanted, rows),
    figures_folder=output / "figures",
  )


def markdown(
  wanted: Reproduction,
  rows: Sequence[Row],
  figures: Sequence[page.ReportFigure] = (),
) -> str:
  """Return the tables, figures and notes as Markdown."""
  parts = [f"# {wanted.title}", _lead(wanted, rows)]
  for heading, lines in _tables(wanted, rows):
    parts += [f"## {heading}", tables.markdown(lines)]
  for figure in figures:
    parts.append(
      f"![{figure.title}](figures/{figure.name}.png)\n\n{figure.caption}"
    )
  parts.append("\n".join(f"* {note}" for note in notes(wanted)))
  return "\n\n".join(parts) + "\n"


def _tables(
  wanted: Reproduction, rows: Sequence[Row]
) -> Iterator[tuple[str, list[list[str]]]]:
  """Yield headings and tables, each with a header line."""
  yield "Results", _results(rows)
  header = ["setting", "compared", "difference", "published", "seeds"]
  lines = [[*header, "verdict"]]
  for pair in results.pairs(wanted, rows):
    gap = "-" if pair.published is None else f"{pair.published:+.2f}"
    difference, seeds = pair.difference, _seeds(pair.seeds)
    cells = [pair.setting, pair.methods, str(difference), gap, seeds]
    lines.append([*cells, difference.verdict])
  if len(lines) > 1:
    yield "Compared seed by seed", lines
  if reported := _reported(wanted):
    yield "Published values of others", reported


def as_csv(wanted: Reproduction, rows: Sequence[Row]) -> str:
  """Return a line for every cell; numbers are percent or points, or empty."""
  buffer = io.StringIO()
  writer = None
  for row in rows:
    cell, gap, published = row.cell, row.difference, row.cell.published
    line: dict[str, object] = {
      "target": wanted.name,
      "setting": cell.setting.label,
      "experiment": cell.setting.experiment,
      "imbalance": cell.setting.imbalance,
      "mixup": cell.setting.mixup,
      "method": cell.method,
      "label": cell.label,
      "seeds": " ".join(map(str, row.runs)),
      "last_mean": _number(row.last.mean),
      "last_deviation": _number(row.last.deviation),
      "best_mean": _number(row.best.mean),
      "best_deviation": _number(row.best.deviation),
      "best_selected_on": row.selected_on,
      "published_mean": _number(published and published.mean),
      "published_deviation": _number(published and published.deviation),
      "difference": _number(gap and gap.mean),
      "standard_error": _number(gap and gap.error),
      "verdict": gap and gap.verdict,
      "state": row.state,
      "directory": f"runs/{cell.job}" if cell.job else "",
    }
    if writer is None:
      writer = csv.DictWriter(buffer, list(line), lineterminator="\n")
      writer.writeheader()
    writer.writerow(line)
  return buffer.getvalue()


def notes(wanted: Reproduction) -> list[str]:
  """Return what a reader must know, a sentence or more each."""
  found = [_RULE]
  for name in wanted.options.variants:
    found.append(f"{name}: {variants.VARIANTS[name].summary}.")
  methods = {cell.method for cell in wanted.cells}
  if "tau_norm" in methods:
    found.append(
      "tau-norm chooses tau on a tenth of the training images, which neither of"
      " its stages sees, where the data have no validation images."
    )
  if "logit_adjusted" in methods:
    found.append("Logit adjustment at temperature 1 is balanced softmax.")
  return found + jobs_lib.probe_commands(wanted) + list(wanted.target.notes)


def plan(
  wanted: Reproduction, output: Path, index: int = 1, number: int = 1
) -> str:
  """Return the runs of a reproduction as text, without starting any.

  They are those of machine `index`, from 1, of `number` machines.
  """
  shard = runner.shard(wanted.jobs, index, number)
  lines, before = [["setting", "method", "run", "published"]], ""
  for cell in wanted.cells:
    setting, run = cell.setting.label, cell.job or cell.waits
    if cell.job and cell.job not in shard:
      run = "elsewhere"
    shown = "" if setting == before else setting
    lines.append([shown, cell.method, run, str(cell.published or "-")])
    before = setting
  parts = [
    f"{wanted.title} ({wanted.target.paper})",
    tables.aligned(lines, rule=True),
  ]
  if reported := _reported(wanted):
    parts.append(
      "published values of others\n" + tables.aligned(reported, rule=True)
    )
  lines, finished = [["run", "seeds", "finished", "starts from"]], 0
  for name, job in shard.items():
    ended = [s for s in job.seeds if runner.finished(output, job, s)]
    finished += len(ended)
    seeds = [_seeds(job.seeds), _seeds(ended) or "-"]
    lines.append([name, *seeds, job.first or "-"])
  parts.append(tables.aligned(lines, rule=True))
  total = sum(len(job.seeds) for job in shard.values())
  part = f"part {index} of {number}: " if number > 1 else ""
  parts.append(f"{part}{total} runs in {len(shard)} programs")
  waiting = sum(cell.job is None for cell in wanted.cells)
  parts[-1] += f"\n{waiting} cells cannot be run yet" if waiting else ""
  parts[-1] += f"\n{finished} of these runs have finished" if finished else ""
  parts += [*jobs_lib.probe_commands(wanted), *wanted.target.notes]
  return "\n\n".join(parts)


def _results(rows: Sequence[Row]) -> list[list[str]]:
  header = "setting|method|seeds|last epoch|best epoch|published"
  lines = [[*header.split("|"), "ours - published", "remark"]]
  before = ""
  for row in rows:
    setting = row.cell.setting.label
    remark = [row.difference.verdict] if row.difference else []
    remark += [] if row.state == "finished" else [row.state]
    lines.append(
      [
        "" if setting == before else setting,
        row.cell.label,
        str(len(row.runs)),
        str(row.last),
        f"{row.best} ({row.selected_on})" if row.runs else "-",
        str(row.cell.published or "-"),
        str(row.difference or "-"),
        "; ".join(remark),
      ]
    )
    before = setting
  return lines


def _reported(wanted: Reproduction) -> list[list[str]]:
  """Return published values of others as cells; nothing if there are none."""
  datasets = {cell.setting.dataset for cell in wanted.cells}
  lines = [
    [entry.dataset, entry.label, str(entry.value), entry.source]
    for entry in wanted.target.reported
    if entry.dataset in datasets
  ]
  return [["data", "method", "published", "source"], *lines] if lines else []


def _lead(wanted: Reproduction, rows: Sequence[Row]) -> str:
  found = {row.cell.job: len(row.runs) for row in rows if row.cell.job}
  total = sum(len(job.seeds) for job in wanted.jobs.values())
  in_table = sum(len(wanted.jobs[name].seeds) for name in found)
  text = f"{wanted.target.paper}. {sum(found.values())} of {in_table} runs"
  text += " of the table have finished"
  more = total - in_table
  return text + (f"; {more} more are first stages." if more else ".")


def _seeds(seeds: Sequence[int]) -> str:
  return ",".join(map(str, seeds))


def _number(value: float | None) -> str:
  return "" if value is None else f"{value:.4f}"
