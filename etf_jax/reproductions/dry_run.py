# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A plan in words: the runs, what they take, and what was published."""

from pathlib import Path

from etf_jax.reproductions import costs, pages, planning, running
from etf_jax.reproductions.planning import Plan

# Longer than anybody waits, so of no interest.
_LONGEST_HOURS = 1000


def text(plan: Plan, output: Path, index: int = 1, number: int = 1) -> str:
  """The whole plan, without running anything.

  Args:
    plan: of a target.
    output: the folder of all runs, of which some may have finished.
    index: of a machine, from 1.
    number: of machines.
  """
  jobs = running.shard(plan.jobs, index, number)
  lines = [f"{pages.title(plan)} ({plan.target.paper})", ""]
  lines += _aligned(_cells(plan, jobs))
  extra = len(set(jobs) - {cell.job for cell in plan.cells})
  if extra:
    lines.append(f"and {extra} first stages of others that are in no cell")
  reported = pages.reported_table(plan)
  if len(reported) > 1:
    lines += ["", "published values of others:", *_aligned(reported)]
  lines += ["", *_totals(plan, jobs, index, number)]
  ended = sum(
    running.finished(output, job, seed)
    for job in jobs.values()
    for seed in job.seeds
  )
  lines += [f"finished of these: {_several(ended, 'run')}"] if ended else []
  probed = planning.probe_command(plan)
  return "\n".join(lines + ([probed] if probed else []))


def _cells(plan, jobs):
  yield ["setting", "method", "runs", "steps", "images", "PFLOP", "published"]
  before = None
  for cell in plan.cells:
    setting = cell.setting.label
    shown = ["" if setting == before else setting, cell.method]
    before = setting
    if cell.job is None:
      shown += [cell.waits, "", "", ""]
    elif cell.job not in jobs:
      shown += ["elsewhere", "", "", ""]
    else:
      job = jobs[cell.job]
      steps, images, gflop = (
        None if each is None else len(job.seeds) * each for each in job.cost
      )
      shown += [
        str(len(job.seeds)),
        "?" if steps is None else f"{steps:,}",
        "?" if images is None else f"{images / 1e6:,.2f} M",
        "?" if gflop is None else f"{gflop / 1e6:,.3g}",
      ]
    yield [*shown, pages.value(cell.published)]


def _totals(plan, jobs, index, number):
  runs = sum(len(job.seeds) for job in jobs.values())
  part = f"part {index} of {number}: " if number > 1 else ""
  yield f"{part}{_several(runs, 'run')} in {_several(len(jobs), 'program')}"
  waiting = sum(cell.job is None for cell in plan.cells)
  if waiting:
    yield f"{_several(waiting, 'cell')} cannot be run yet"
  costs_of = [(len(job.seeds), job.cost) for job in jobs.values()]
  images = sum(seeds * (cost.images or 0) for seeds, cost in costs_of)
  gflop = sum(seeds * (cost.gflop or 0) for seeds, cost in costs_of)
  unknown = sum(cost.gflop is None for _, cost in costs_of)
  yield (
    f"{images / 1e6:,.1f} M images, {gflop / 1e6:,.3g} PFLOP (an estimate:"
    " images times GFLOP per image, without evaluations)"
    + (f"; {_several(unknown, 'program')} of unknown cost" if unknown else "")
  )
  rate = costs.TWO_CORES_GFLOP_PER_SECOND
  hours = gflop / rate / 3600
  if 0 < hours < _LONGEST_HOURS:
    yield (
      f"at the {rate:.0f} GFLOP/s that two CPU cores made of ResNet-8, about"
      f" {hours:,.1f} hours"
    )


def _several(number: int, what: str) -> str:
  return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _aligned(lines):
  lines = [list(line) for line in lines]
  widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
  for line in lines:
    cells = (
      text.ljust(width) for text, width in zip(line, widths, strict=True)
    )
    yield "  ".join(cells).rstrip()
