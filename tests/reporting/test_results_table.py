# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The table of results: numbers by hand, and no run goes missing in it."""

import json
import re

import pytest
import synthetic_runs
from synthetic_runs import one_section

from etf_jax.errors import InputError
from etf_jax.reporting import report, results
from etf_jax.runs import reader


def test_text_has_last_and_best_of_both_methods(runs_dir):
  lines = results.text([runs_dir]).splitlines()
  counts = synthetic_runs.COUNTS_10
  assert lines[0] == (
    f"digits: 10 classes, {sum(counts)} training images, 145 to 8 a class"
  )
  assert lines[1].split("  ")[0] == "method"
  # The epoch before the last is better by 0.4 for every seed.
  rows = [re.split(r"\s{2,}", line) for line in lines[3:7]]
  assert [row[:3] for row in (rows[0], rows[2])] == [
    ["ce", "last 10", "83.0 ± 3.6"],
    ["etf_dr", "last 10", "90.0 ± 2.0"],
  ]
  assert rows[1][1:3] == ["best 9 (by accuracy on test)", "83.4 ± 3.6"]
  assert rows[3][1:3] == ["best 9 (by accuracy on test)", "90.4 ± 2.0"]
  assert all(row[-1] == "3 (0,1,2)" for row in rows)
  # macro F1 is a point below the accuracy. Calibration errors of softmaxes
  # without a temperature do not compare.
  assert rows[0][-2] == "82.0 ± 3.6"
  assert "ECE" not in lines[1]
  assert "ddof 1" in lines[7]
  assert "more than 100 training images (2 classes)" in lines[8]
  assert "20 to 100 (5 classes); few: fewer than 20 (3 classes)" in lines[8]
  assert "on the test set itself" in lines[9]


def test_shots_are_the_means_of_the_rows(runs_dir):
  section = one_section(runs_dir)
  group = section.groups[0]
  keys = list(results.metrics(section.class_counts))
  row = results.rows(section)[0]
  for key in ("many", "medium", "few", "balanced_accuracy"):
    values = [100 * run.final["last"][key] for run in group.runs]
    mean = sum(values) / 3
    deviation = (sum((value - mean) ** 2 for value in values) / 2) ** 0.5
    found = row.stats[keys.index(key)]
    assert (found.mean, found.deviation) == pytest.approx((mean, deviation))


def test_an_unfinished_run_has_its_own_row_and_is_in_no_mean(tmp_path):
  for seed, done in enumerate((True, True, False)):
    synthetic_runs.write_run(
      tmp_path / str(seed), "ce", seed, (0.5, 0.6, 0.9)[seed], finished=done
    )
  synthetic_runs.write_run(
    tmp_path / "begun", "etf_dr", 0, 0.5, finished=False, hash_="b"
  )
  (tmp_path / "begun" / "metrics.jsonl").unlink()
  section = one_section(tmp_path)
  table = results.rows(section)
  assert [(row.label, row.kind, row.seeds) for row in table] == [
    ("ce", "last", "2 (0,1)"),
    ("ce", "best", "2 (0,1)"),
    ("ce", "unfinished", "1 (2)"),
    ("etf_dr", "unfinished", "1 (0)"),
  ]
  assert str(table[0].stats[0]) == "55.0 ± 7.1"
  assert table[2].when == "unfinished, at 5"
  # Half way: 0.9 (1 - exp(-3)).
  assert str(table[2].stats[0]) == "85.5 ± -"
  assert str(table[3].stats[0]) == "-"
  assert "2 unfinished runs" in results.notes(section)[-1]
  assert "unfinished" in results.text([tmp_path])
  assert "unfinished" in results.markdown([tmp_path])
  assert [row.style for row in results.html(section).groups[0]][2:] == [
    "unfinished"
  ] * 2


def test_best_says_how_it_was_chosen_and_when(tmp_path):
  for seed, selected in enumerate(("validation", "test")):
    synthetic_runs.write_run(
      tmp_path / str(seed),
      "ce",
      seed,
      0.5,
      selected_on=selected,
      epochs=10 + seed,
    )
  section = one_section(tmp_path)
  assert [row.when for row in results.rows(section)] == [
    "last 10-11",
    "best 9-10 (by accuracy on test or accuracy on validation)",
  ]
  notes = " ".join(results.notes(section))
  assert (
    "(by accuracy on validation): the epoch best on validation images" in notes
  )
  assert "(by accuracy on test): the epoch best on the test set itself" in notes


def test_an_empty_group_is_a_dash_and_large_sets_show_top5(tmp_path):
  for name, counts in (("a", (500,) * 5), ("b", (500,) * 100)):
    synthetic_runs.write_run(
      tmp_path / name, "ce", 0, 0.5, counts=counts, hash_=name, epochs=2
    )
  small, large = reader.sections(reader.group(reader.load_all([tmp_path])))
  assert "top5" not in results.metrics(small.class_counts)
  row = dict(
    zip(
      results.metrics(large.class_counts),
      results.rows(large)[0].stats,
      strict=True,
    )
  )
  assert str(row["few"]) == str(row["medium"]) == "-"
  assert str(row["top5"]) == "60.0 ± -"


def test_markdown_is_a_table(runs_dir):
  lines = results.markdown([runs_dir]).splitlines()
  assert lines[2].startswith("| method | epoch | accuracy | many |")
  assert lines[3] == "|" + "---|" * 9
  assert lines[4].startswith("| ce | last 10 | 83.0 ± 3.6 |")
  assert {line.count("|") for line in lines[2:8]} == {10}


def test_html_marks_the_best_means(runs_dir):
  (rows,) = results.html(one_section(runs_dir)).groups
  strong = [
    (cell.text, cell.note)
    for row in rows
    for cell in row.cells[2:-1]
    if cell.strong
  ]
  assert ("90.0", "± 2.0") in strong
  assert ("83.0", "± 3.6") not in strong
  assert {
    row.style for row in rows if any(c.strong for c in row.cells[2:])
  } == {"last"}


def test_labels_are_escaped_in_markdown(tmp_path):
  synthetic_runs.write_run(tmp_path / "r", "<b>|x", 0, 0.5, epochs=2)
  assert "| \\<b\\>\\|x |" in results.markdown([tmp_path])


def test_classes_without_test_images_are_counted(tmp_path):
  run = synthetic_runs.write_run(tmp_path / "r", "ce", 0, 0.5, epochs=2)
  path = run / "metrics.jsonl"
  rows = [json.loads(line) for line in path.read_text().splitlines()]
  for row in rows:
    if row["kind"] == "eval":
      row["per_class_accuracy"][-2:] = [None, None]
  path.write_text("".join(json.dumps(row) + "\n" for row in rows))
  section = one_section(run)
  assert results.tested(section).tolist() == [True] * 8 + [False] * 2
  assert (
    "few: fewer than 20 (3 classes, 1 with test images)"
    in (results.notes(section)[1])
  )


def test_many_seeds_are_listed_as_a_range(tmp_path):
  for seed in range(4):
    synthetic_runs.write_run(tmp_path / str(seed), "ce", seed, 0.5, epochs=2)
  assert results.rows(one_section(tmp_path))[0].seeds == "4 (0-3)"


def test_no_runs_is_an_input_error(tmp_path):
  with pytest.raises(InputError, match="no run in"):
    results.text([tmp_path])


def test_an_imbalanced_test_set_heads_with_balanced_accuracy(tmp_path):
  workdir = synthetic_runs.write_run(tmp_path / "run", "ce", 0, 0.5)
  balanced = one_section(tmp_path)
  assert next(iter(results.metrics(balanced.class_counts))) == "accuracy"
  assert results.heading_of(balanced) == "accuracy"
  path = workdir / "metrics.jsonl"
  *rows, final = map(json.loads, path.read_text().splitlines())
  final["confusion"][0] = [10 * n for n in final["confusion"][0]]
  final["best_metric"] = "balanced_accuracy"
  path.write_text("".join(json.dumps(r) + "\n" for r in [*rows, final]))
  section = one_section(tmp_path)
  assert results.heading_of(section) == "balanced_accuracy"
  _, header, _, last, best, *_ = results.text([tmp_path]).splitlines()
  assert re.split(r"\s{2,}", header)[2] == "balanced"
  assert re.split(r"\s{2,}", last)[2] == (
    f"{100 * final['last']['balanced_accuracy']:.1f} ± -"
  )
  assert "(by balanced accuracy on test)" in best
  assert f"{100 * final['last']['balanced_accuracy']:.1f} % test balanced" in (
    report.summary(section)
  )


@pytest.mark.parametrize(("temperature", "same"), [(1.0, True), (2.0, False)])
def test_one_run_under_two_names_is_said(tmp_path, temperature, same):
  for method in ("balanced_softmax", "logit_adjusted"):
    synthetic_runs.write_run(
      tmp_path / method,
      method,
      0,
      0.5,
      hash_=method,
      changes={"loss": {"temperature": temperature}},
    )
  notes = " ".join(results.notes(one_section(tmp_path)))
  line = "balanced_softmax and logit_adjusted are the same runs by two names"
  assert (line in notes) == same
