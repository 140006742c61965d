# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Statistics by hand, and the tables that are written of runs."""

import csv
import io
import math

import pytest
import synthetic_runs

from etf_jax import reproduce
from etf_jax.reporting import tables
from etf_jax.reproductions import comparison, figures, jobs, results, runner
from etf_jax.reproductions.targets import Value

# Seed by seed: etf_dr - ce is 8, 8 and 5 points.
ACCURACIES = {"ce": (0.70, 0.71, 0.75), "etf_dr": (0.78, 0.79, 0.80)}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
  """A column of table 1 with two methods done and one under way."""
  output = tmp_path_factory.mktemp("reproduced")
  plan = jobs.reproduction(
    "table1",
    jobs.Options(
      methods=("ce", "etf_ce", "etf_dr", "ldam_drw"),
      imbalance=(0.01,),
      mixup=(1.0,),
    ),
  )
  for name, job in plan.jobs.items():
    for seed, accuracy in enumerate(ACCURACIES.get(job.config.method, ())):
      synthetic_runs.write_run(
        output / "runs" / name / f"seed={seed}",
        job.config.method,
        seed,
        accuracy,
        best=accuracy + 0.01,
      )
    if job.config.method == "etf_ce":
      synthetic_runs.write_run(
        output / "runs" / name / "seed=0", "etf_ce", 0, 0.6, finished=False
      )
  failure = runner.Failure(1, "out of memory (exit code 1)", output / "log")
  failed = {
    name: failure
    for name, job in plan.jobs.items()
    if job.config.method == "ldam_drw"
  }
  found = results.rows(plan, output, failed)
  comparison.write(plan, found, figures.figures(plan, found), output)
  return plan, found, output


def test_a_difference_to_a_published_mean():
  """77 ± sqrt(7), n = 3, against 72.8 ± .3 of three: sqrt(7/3 + .03)."""
  ours = tables.stat([0.74, 0.78, 0.79])
  assert ours.mean == pytest.approx(77)
  assert ours.deviation == pytest.approx(math.sqrt(7))
  found = results.from_published(ours, 3, Value(72.8, 0.3, 3))
  assert found.mean == pytest.approx(4.2)
  assert found.error == pytest.approx(math.sqrt(7 / 3 + 0.03))
  assert found.verdict == "higher"
  lower = results.from_published(ours, 3, Value(81.0, 0.3, 3))
  assert lower.verdict == "lower"
  close = results.from_published(ours, 3, Value(75.0, 0.3, 3))
  assert close.verdict == "agrees within two standard errors"


def test_nothing_is_claimed_without_ground():
  two = tables.stat([0.70, 0.72])
  found = results.from_published(two, 2, Value(60.0, 0.1, 3))
  assert found.error == pytest.approx(math.sqrt(1 + 0.01 / 3))
  assert found.verdict == "no claim: 2 seeds"
  one = results.from_published(tables.stat([0.7]), 1, Value(60.0, 0.1, 3))
  assert (one.error, one.verdict) == (None, "no claim: one seed")
  three = tables.stat([0.70, 0.72, 0.74])
  unknown = results.from_published(three, 3, Value(60.0, None, 3))
  assert unknown.error == pytest.approx(2 / math.sqrt(3))
  assert unknown.verdict == "no claim: the published deviation is not known"


def test_a_paired_difference():
  """8, 8 and 5 points: mean 7, deviation sqrt(3), standard error 1."""
  found = results.paired([0.08, 0.08, 0.05])
  assert found.mean == pytest.approx(7)
  assert found.error == pytest.approx(1)
  assert found.verdict == "ahead"
  assert results.paired([-0.08, -0.08, -0.05]).verdict == "behind"
  # 1, 1 and -2: mean 0.
  level = results.paired([0.01, 0.01, -0.02])
  assert level.verdict == "no claim: below two standard errors"
  assert results.paired([0.08, 0.08]).verdict == "no claim: 2 seeds"
  assert results.paired([0.08]) == results.Difference(
    pytest.approx(8), None, "no claim: one seed"
  )


def test_the_rows(written):
  _, found, _ = written
  rows = {row.cell.method: row for row in found}
  assert str(rows["ce"].last) == "72.0 ± 2.6"
  assert rows["ce"].best.mean == pytest.approx(73)
  assert rows["ce"].difference.mean == pytest.approx(72 - 72.8)
  assert rows["etf_dr"].difference.mean == pytest.approx(79 - 76.5)
  # sqrt(1/3 + .09/3) = .603: 2.5 points are more than twice that.
  assert rows["etf_dr"].difference.error == pytest.approx(0.603, abs=1e-3)
  assert rows["etf_dr"].state == "finished"
  assert rows["etf_ce"].runs == {}
  assert rows["etf_ce"].state.endswith("% done")
  assert rows["ldam_drw"].state == "failed: out of memory (exit code 1)"


def test_the_best_epoch_can_be_compared(written):
  plan, _, output = written
  options = jobs.Options(
    methods=("ce",), imbalance=(0.01,), mixup=(1.0,), variants=("best_epoch",)
  )
  best = jobs.reproduction("table1", options)
  assert set(best.jobs) <= set(plan.jobs)
  (row,) = results.rows(best, output, {})
  assert row.difference.mean == pytest.approx(73 - 72.8)
  text = comparison.markdown(best, [row])
  assert "best_epoch: the best epoch, chosen on the test images" in text


def lines_of(text):
  """Cells of the first Markdown table, by method."""
  table = [line for line in text.splitlines() if line.startswith("|")]
  cells = [[c.strip() for c in line.strip("|").split("|")] for line in table]
  end = next(i for i, row in enumerate(cells) if row[0] == "setting" and i)
  return {row[1]: row for row in cells[2:end]}


def test_markdown(written):
  plan, _, output = written
  text = (output / f"{plan.name}.md").read_text()
  rows = lines_of(text)
  assert rows["Learnable classifier + CE"][2:] == [
    "3",
    "72.0 ± 2.6",
    "73.0 ± 2.6 (test)",
    "72.8 ± 0.3",
    "-0.80 (1.54)",
    "agrees within two standard errors",
  ]
  assert rows["ETF classifier + DR"][6:] == ["+2.50 (0.60)", "higher"]
  assert rows["ETF classifier + CE"][2:6] == ["0", "-", "-", "67.0 ± 0.4"]
  assert "failed: out of memory" in rows["LDAM-DRW"][-1]
  paired = "ETF classifier + DR minus Learnable classifier + CE | +7.00 (1.00)"
  assert paired in text
  assert "6 of 12 runs of the table have finished." in text
  assert "keep it frozen as initialized" in text


def test_csv(written):
  plan, _, output = written
  text = (output / f"{plan.name}.csv").read_text()
  rows = {row["method"]: row for row in csv.DictReader(io.StringIO(text))}
  assert float(rows["ce"]["last_mean"]) == pytest.approx(72)
  assert float(rows["ce"]["last_deviation"]) == pytest.approx(2.6458, abs=1e-4)
  assert float(rows["etf_dr"]["published_mean"]) == 76.5
  assert float(rows["etf_dr"]["standard_error"]) == pytest.approx(0.6028)
  assert rows["etf_dr"]["seeds"] == "0 1 2"
  assert rows["etf_dr"]["best_selected_on"] == "test"
  assert rows["etf_ce"]["last_mean"] == ""
  folder = output / rows["etf_dr"]["directory"]
  assert (folder / "seed=2" / "metrics.jsonl").exists()


def test_dry_run_says_what_has_finished(written, capsys):
  _, _, output = written
  reproduce.main(
    ["table1", "--dry_run", "--methods=paper", f"--output={output}"]
  )
  assert "6 of these runs have finished" in capsys.readouterr().out


def test_the_average_improvement_of_table_2(tmp_path):
  """2.0 points published for ResNet; ours of the seeds that have all."""
  plan = jobs.reproduction(
    "table2",
    jobs.Options(
      seeds=2,
      methods=("ce", "etf_dr"),
      datasets=("cifar10_lt:resnet", "svhn_lt:resnet"),
      imbalance=(0.02,),
    ),
  )
  for place, cell in enumerate(plan.cells):
    for seed in range(2 if place else 1):
      accuracy = (0.5, 0.53, 0.6, 0.61)[place]
      folder = tmp_path / "runs" / cell.job / f"seed={seed}"
      synthetic_runs.write_run(folder, cell.method, seed, accuracy)
  *_, average = results.pairs(plan, results.rows(plan, tmp_path, {}))
  assert average.setting == "ResNet-32, mean of 2 settings"
  assert average.seeds == (0,)
  assert average.difference.mean == pytest.approx((3 + 1) / 2)
  assert average.published == pytest.approx((2.4 + 0.5) / 2)
