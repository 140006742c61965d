# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The papers' figures of synthetic runs, and runs that lack a measurement."""

import numpy as np
import pytest
import synthetic_runs

from etf_jax import reproduce
from etf_jax.reproductions import comparison, figures, jobs, results

CLASSES = [float(k + 1) for k in range(len(synthetic_runs.COUNTS_10))]


def collapse(split, epoch):
  keys = ("cos_features_mean", "cos_features_std", "cos_own_centre")
  keys += ("cos_features_classifier_mean", "cos_features_classifier_std")
  keys += ("cos_other_centres", "numerical_rank", "nc1")
  keys += ("cos_own_vector", "cos_other_vectors")
  row = dict.fromkeys(keys, 1 / (epoch + 1))
  by_class = dict.fromkeys(("classifier_pull", "classifier_push"), CLASSES)
  return row | by_class | {"absent_classes": [], "sample_mean": dict(row)}


@pytest.mark.slow
@pytest.mark.parametrize(
  ("target", "chosen", "names"),
  [
    ("figure3", {}, ["collapse-1", "collapse-1-class_mean"]),
    ("remark2", {}, ["forces-1"]),
    ("figure6", {"datasets": ("imagenet_lt:90",)}, ["curves-1"]),
    ("hinge_figure3", {}, ["epochs-1"]),
    ("hinge_figure4", {}, ["sweep"]),
    ("hinge_figure5", {}, ["classes-1", "gains-1", "sweep"]),
  ],
)
def test_figures_are_drawn_of_what_has_finished(
  target, chosen, names, tmp_path
):
  plan = jobs.reproduction(target, jobs.Options(seeds=2, **chosen))
  assert figures.figures(plan, results.rows(plan, tmp_path, {})) == []
  for place, (name, job) in enumerate(plan.jobs.items()):
    for seed in range(2):
      synthetic_runs.write_run(
        tmp_path / "runs" / name / f"seed={seed}",
        job.config.method,
        seed,
        0.5 + 0.01 * place,
        collapse=collapse,
        epochs=3,
      )
  found = results.rows(plan, tmp_path, {})
  shown = figures.figures(plan, found)
  assert [figure.name for figure in shown] == [
    f"{plan.name}-{n}" for n in names
  ]
  assert figures.lacking(plan, found) == []
  comparison.write(plan, found, shown, tmp_path)
  for name in names:
    picture = tmp_path / "figures" / f"{plan.name}-{name}.png"
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert (
      f"figures/{picture.name}" in (tmp_path / f"{plan.name}.md").read_text()
    )


def test_a_figure_says_which_runs_measured_less_often(tmp_path):
  """As those of a table have, which are not made again."""
  plan = jobs.reproduction("figure3", jobs.Options(seeds=1))
  for name, job in plan.jobs.items():
    every = {"ce": 10.0, "etf_dr": 1.0}[job.config.method]
    synthetic_runs.write_run(
      tmp_path / "runs" / name / "seed=0",
      job.config.method,
      0,
      0.5,
      collapse=collapse,
      changes={"collapse": {"every_epochs": every}},
    )
  shown, _ = figures.figures(plan, results.rows(plan, tmp_path, {}))
  assert shown.caption.endswith(
    " only: ce: 10. Another --output makes them again."
  )


def test_the_points_of_a_sweep(tmp_path):
  """Accuracies 70 and 72 at angle 0 are 71 ± sqrt(2)."""
  plan = jobs.reproduction("hinge_figure5", jobs.Options(seeds=2))
  first = next(
    c for c in plan.cells if c.setting.series == ("minor classes", 0)
  )
  for seed, accuracy in enumerate((0.70, 0.72)):
    synthetic_runs.write_run(
      tmp_path / "runs" / first.job / f"seed={seed}",
      "etf_hinge",
      seed,
      accuracy,
      epochs=3,
    )
  rows = results.rows(plan, tmp_path, {})
  row = next(row for row in rows if row.cell == first)
  assert figures.last(row, "accuracy") == pytest.approx([70, 72])
  (shown,) = figures.figures(plan, rows)
  axes = shown.draw().axes
  # Angle 0 is one run, whichever classes it is of.
  labels = [text.get_text() for text in axes[0].figure.legends[0].get_texts()]
  assert sorted(labels) == ["major classes", "minor classes"]
  for container in axes[0].containers:
    (x,), (y,) = container.lines[0].get_data()
    assert (x, y) == (0, pytest.approx(71))


def test_the_global_mean_is_that_of_the_images_and_that_of_the_classes(
  tmp_path,
):
  plan = jobs.reproduction("figure4", jobs.Options(seeds=1))
  cell = plan.cells[0]

  def row(split, epoch):
    del split, epoch
    keys = ("nc3_alignment_mean", "nc3_distance")
    return dict.fromkeys(keys, 0.25) | {"sample_mean": dict.fromkeys(keys, 0.5)}

  folder = tmp_path / "runs" / cell.job / "seed=0"
  synthetic_runs.write_run(folder, "ce", 0, 0.5, collapse=row)
  shown = figures.figures(plan, results.rows(plan, tmp_path, {}))
  for figure, expected in zip(shown, (0.5, 0.25), strict=True):
    line = figure.draw().axes[0].lines[0]
    assert set(line.get_ydata()) == {expected}
  assert "over all images, as the paper defines it" in shown[0].caption


def test_push_over_pull(tmp_path):
  plan = jobs.reproduction("remark2", jobs.Options(seeds=1, methods=("ce",)))

  def row(split, epoch):
    del split, epoch
    return {
      "classifier_pull": CLASSES,
      "classifier_push": [3 * k for k in CLASSES],
    }

  folder = tmp_path / "runs" / plan.cells[0].job / "seed=0"
  synthetic_runs.write_run(folder, "ce", 0, 0.5, collapse=row)
  (shown,) = figures.figures(plan, results.rows(plan, tmp_path, {}))
  axes = shown.draw().axes[0]
  assert axes.yaxis.get_major_formatter()(0.1, 0) == "0.1"
  lines = axes.lines
  assert len(lines) == 5
  assert lines[0].get_label() == "class 0, 145 images"
  for line in lines:
    np.testing.assert_allclose(line.get_ydata(), 3)


@pytest.mark.parametrize("rest", [{}, {"cos_own_vector": float("nan")}])
def test_a_figure_without_its_measurement_is_an_error(rest, tmp_path, capsys):
  """Runs of a table, whose config held no features; or nothing is defined."""
  plan = jobs.reproduction("hinge_figure3", jobs.Options(seeds=1))
  (name,) = plan.jobs

  def row(split, epoch):
    del split, epoch
    return {"nc1": 1.0} | rest

  folder = tmp_path / "runs" / name / "seed=0"
  synthetic_runs.write_run(folder, "etf_ce", 0, 0.5, collapse=row)
  arguments = ["hinge_figure3", "--seeds=1", f"--output={tmp_path}"]
  assert reproduce.main(arguments) == 1
  error = capsys.readouterr().err
  assert f"runs/{name} has not measured cos_own_vector" in error
  assert "another --output makes it again" in error
  assert reproduce.main([*arguments, "--dry_run"]) == 0
  assert f"warning: runs/{name} has not" in capsys.readouterr().out
