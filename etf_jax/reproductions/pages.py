# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A target as Markdown, CSV and HTML: ours beside what was published.

pages.write(plan, rows, figures, Path("reproduced"))
"""

from collections.abc import Iterable, Sequence
import csv
import io
from pathlib import Path

from etf_jax.errors import InputError
from etf_jax.reporting import _page
from etf_jax.reporting._shown import Shown
from etf_jax.reporting.figures import style
from etf_jax.reproductions import planning, results, variants
from etf_jax.reproductions.facts import Value
from etf_jax.reproductions.planning import Plan
from etf_jax.reproductions.results import Difference, Row

# The columns of the CSV file: numbers are percent or points, or empty.
COLUMNS = (
  "target",
  "setting",
  "experiment",
  "imbalance",
  "mixup",
  "method",
  "label",
  "seeds",
  "last_mean",
  "last_deviation",
  "best_mean",
  "best_deviation",
  "best_selected_on",
  "published_mean",
  "published_deviation",
  "difference",
  "standard_error",
  "verdict",
  "state",
  "directory",
)
_HEADER = (
  "setting",
  "method",
  "seeds",
  "last epoch",
  "best epoch",
  "published",
  "ours - published",
  "remark",
)
_RULE = (
  "Percent of the test images, mean ± sample deviation (ddof 1) over seeds."
  " last: the last epoch, which is the result; best: the epoch that was best on"
  " the split that is named, which flatters where that is test. Differences are"
  " in points, with their standard error in brackets. Nothing is claimed of"
  f" fewer than {results.FEWEST_SEEDS} seeds or of a difference below two"
  " standard errors."
)


def write(
  plan: Plan, found: Sequence[Row], figures: Sequence[Shown], output: Path
) -> list[Path]:
  """Write NAME.md, NAME.csv and NAME.html, and the figures as PNG.

  Args:
    plan: of a target.
    found: its rows.
    figures: its figures.
    output: the folder, which is made.

  Returns:
    The files.

  Raises:
    InputError: they cannot be written.
  """
  try:
    output.mkdir(parents=True, exist_ok=True)
    written = [
      _write(output / f"{plan.name}.md", markdown(plan, found, figures)),
      _write(output / f"{plan.name}.csv", as_csv(plan, found)),
    ]
    drawn = []
    for shown in figures:
      wide = shown.draw(narrow=False)
      path = output / "figures" / f"{plan.name}-{shown.name}.png"
      style.png(wide, path)
      written.append(path)
      drawn.append((shown, wide))
    page = _page.document(title(plan), _html(plan, found, drawn))
    return [_write(output / f"{plan.name}.html", page), *written]
  except OSError as error:
    raise InputError(
      f"cannot write to --output={output}: {error.strerror or error}"
    ) from error


def title(plan: Plan) -> str:
  """Of the page."""
  more = [v for v in plan.options.variants if v != variants.BEST_EPOCH]
  return plan.target.title + (f" ({', '.join(more)})" if more else "")


def table(found: Sequence[Row]) -> list[list[str]]:
  """The cells of the main table, its header first."""
  lines = [list(_HEADER)]
  before = None
  for row in found:
    cell = row.cell
    lines.append(
      [
        "" if cell.setting.label == before else cell.setting.label,
        cell.label,
        str(len(row.runs)),
        str(row.last),
        f"{row.best} ({row.selected_on})" if row.runs else "-",
        value(cell.published),
        difference(row.difference),
        remark(row),
      ]
    )
    before = cell.setting.label
  return lines


def remark(row: Row) -> str:
  """The verdict on a row, and how far its runs are."""
  said = [row.difference.verdict] if row.difference else []
  said += [] if row.state == "finished" else [row.state]
  return "; ".join(said)


def paired_table(plan: Plan, found: Sequence[Row]) -> list[list[str]]:
  """The cells of the comparison on equal seeds; a header alone if none."""
  lines = [["setting", "compared", "difference", "seeds", "verdict"]]
  for pair in results.pairs(plan, found):
    lines.append(
      [
        pair.row.cell.setting.label,
        f"{pair.row.cell.label} minus {pair.other.cell.label}",
        difference(pair.difference),
        ",".join(map(str, pair.seeds)),
        pair.difference.verdict,
      ]
    )
  return lines


def reported_table(plan: Plan) -> list[list[str]]:
  """Published values of what did not run here, for the settings planned."""
  lines = [["data", "method", "published", "remark"]]
  shown = {cell.setting.dataset for cell in plan.cells}
  for entry in plan.target.reported:
    if entry.dataset in shown:
      known = "unknown to us" if entry.value is None else value(entry.value)
      lines.append([entry.dataset, entry.label, known, entry.remark])
  return lines


def notes(plan: Plan) -> list[str]:
  """What a reader must know."""
  said = [_RULE]
  for name in plan.options.variants:
    said.append(f"{name}: {variants.VARIANTS[name].summary}.")
  if any(cell.method == "tau_norm" for cell in plan.cells):
    said.append(
      "tau-norm chooses tau on a tenth of the training images, which neither of"
      " its stages sees, where the data have no validation images."
    )
  if any(cell.method == "logit_adjusted" for cell in plan.cells):
    said.append("Logit adjustment at temperature 1 is balanced softmax.")
  probed = planning.probe_command(plan)
  return said + ([probed] if probed else []) + list(plan.target.notes)


def value(published: Value | None) -> str:
  """A published value, with its deviation where that is known."""
  if published is None:
    return "-"
  if published.deviation is None:
    return f"{published.mean:.1f}"
  return f"{published.mean:.1f} ± {published.deviation:.1f}"


def difference(found: Difference | None) -> str:
  """A difference with its standard error."""
  if found is None:
    return "-"
  error = "-" if found.error is None else f"{found.error:.2f}"
  return f"{found.mean:+.2f} ({error})"


def progress(plan: Plan, found: Sequence[Row]) -> str:
  """How many of the runs have finished, in a sentence."""
  planned = sum(len(job.seeds) for job in plan.jobs.values())
  jobs = {row.cell.job: len(row.runs) for row in found if row.cell.job}
  ended = sum(jobs.values())
  in_table = sum(len(plan.jobs[name].seeds) for name in jobs)
  said = f"{ended} of {in_table} runs of the table have finished"
  if planned > in_table:
    said += f"; {planned - in_table} more are first stages"
  return said + "."


def markdown(
  plan: Plan, found: Sequence[Row], figures: Sequence[Shown] = ()
) -> str:
  """The whole of it as Markdown."""
  parts = [f"# {title(plan)}", f"{plan.target.paper}. {progress(plan, found)}"]
  parts.append(_markdown_table(table(found)))
  compared, reported = paired_table(plan, found), reported_table(plan)
  if len(compared) > 1:
    parts += ["## Compared seed by seed", _markdown_table(compared)]
  if len(reported) > 1:
    parts += ["## Published values of others", _markdown_table(reported)]
  for shown in figures:
    path = f"figures/{plan.name}-{shown.name}.png"
    parts.append(f"![{shown.title}]({path})\n\n{shown.caption}")
  parts.append("\n".join(f"* {note}" for note in notes(plan)))
  return "\n\n".join(parts) + "\n"


def as_csv(plan: Plan, found: Sequence[Row]) -> str:
  """A line for every cell."""
  text = io.StringIO()
  writer = csv.writer(text, lineterminator="\n")
  writer.writerow(COLUMNS)
  for row in found:
    cell, published = row.cell, row.cell.published
    gap = row.difference
    numbers = (
      row.last.mean,
      row.last.deviation,
      row.best.mean,
      row.best.deviation,
      row.selected_on,
      published and published.mean,
      published and published.deviation,
      gap and gap.mean,
      gap and gap.error,
      gap and gap.verdict,
    )
    writer.writerow(
      (
        plan.name,
        cell.setting.label,
        cell.setting.experiment,
        cell.setting.imbalance,
        cell.setting.mixup,
        cell.method,
        cell.label,
        " ".join(map(str, row.runs)),
        *(_plain(number) for number in numbers),
        row.state,
        f"runs/{cell.job}" if cell.job else "",
      )
    )
  return text.getvalue()


def _plain(number: object) -> object:
  return f"{number:.4f}" if isinstance(number, float) else number


def _html(plan, found, drawn) -> Iterable[str]:
  yield "<header><p class='eyebrow'>etf_jax reproduction</p>"
  yield _page.element("h1", title(plan))
  lead = f"{plan.target.paper}. {progress(plan, found)}"
  yield _page.element("p", lead, **{"class": "lead"}) + "</header>"
  yield _page.element("h2", "Results") + _panel(table(found))
  compared, reported = paired_table(plan, found), reported_table(plan)
  if len(compared) > 1:
    yield _page.element("h2", "Compared seed by seed") + _panel(compared)
  if len(reported) > 1:
    yield _page.element("h2", "Published values of others") + _panel(reported)
  if drawn:
    yield _page.element("h2", "Figures")
  for shown, wide in drawn:
    yield _page.figure(
      style.svg(wide, f"w-{shown.name}"),
      style.svg(shown.draw(narrow=True), f"n-{shown.name}"),
      shown.title,
      shown.caption,
    )
  items = "".join(_page.element("li", note) for note in notes(plan))
  yield f"<ul class='notes'>{items}</ul>"


def _panel(lines: Sequence[Sequence[str]]) -> str:
  """A table in which the first column heads the rows that have it in common."""
  (_, *header), *rows = lines
  parts = ["<table class='wrap'><thead><tr>"]
  parts += [_page.element("th", cell) for cell in header]
  parts.append("</tr></thead><tbody>")
  before = None
  for group, first, *rest in rows:
    if group and group != before:
      head = _page.element("th", group, colspan=str(len(header)))
      parts.append(f"<tr>{head}</tr>")
    before = group or before
    cells = "".join(_page.element("td", cell) for cell in (first, *rest))
    parts.append(f"<tr>{cells}</tr>")
  return _page.panel("\n".join([*parts, "</tbody></table>"]))


def _markdown_table(lines: Sequence[Sequence[str]]) -> str:
  shown = [
    "| " + " | ".join(text.replace("|", "\\|") for text in line) + " |"
    for line in lines
  ]
  return "\n".join([shown[0], "|" + "---|" * len(lines[0]), *shown[1:]])


def _write(path: Path, text: str) -> Path:
  temporary = path.with_name(path.name + ".tmp")
  temporary.write_text(text, encoding="utf-8")
  return temporary.replace(path)
