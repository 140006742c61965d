# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Figures of accuracy and confusion show what the runs measured."""

from drawn import assert_inside
import numpy as np
import pytest
import synthetic_runs

from etf_jax.reporting.figures import accuracy, heatmaps

COUNTS = [5, 200, 50]
NAMES = ["rare", "common", "middling"]


def test_per_class_orders_by_count_and_shows_mean_and_deviation():
  # Two seeds: the deviation is |a - b| / sqrt(2).
  fractions = np.array([[0.1, 0.9, 0.5], [0.3, 0.9, 0.6]])
  figure = accuracy.per_class({"ce": fractions}, COUNTS, NAMES)
  upper, lower = figure.axes
  assert [bar.get_height() for bar in upper.patches] == [200, 50, 5]
  assert [label.get_text() for label in lower.get_xticklabels()] == [
    "common",
    "middling",
    "rare",
  ]
  line = lower.lines[0]
  np.testing.assert_allclose(line.get_ydata(), [90, 55, 20])
  segments = lower.collections[0].get_segments()
  half = [(high[1] - low[1]) / 2 for low, high in segments]
  np.testing.assert_allclose(half, [0, 10 / 2**0.5, 20 / 2**0.5])
  assert [text.get_text() for text in upper.texts] == ["many", "medium", "few"]
  assert upper.get_yscale() == "log"


def test_counts_within_a_factor_of_ten_have_a_linear_scale():
  figure = accuracy.per_class({"ce": np.ones((1, 2))}, [100, 10], ["a", "b"])
  assert figure.axes[0].get_yscale() == "linear"
  assert figure.axes[0].get_ylim()[0] == 0


def test_per_class_of_many_classes_is_a_running_mean():
  counts = np.arange(100, 0, -1)
  fractions = np.linspace(1, 0, 100)[None]
  figure = accuracy.per_class({"ce": fractions}, counts, [""] * 100)
  dots, line = figure.axes[1].lines[:2]
  assert accuracy.smoothing_window(100) == 5
  np.testing.assert_allclose(dots.get_ydata(), 100 * fractions[0])
  # A linear function is its own running mean, but for the ends.
  smooth = line.get_ydata()
  np.testing.assert_allclose(smooth[2:-2], 100 * fractions[0, 2:-2])
  np.testing.assert_allclose(smooth[0], 100 * fractions[0, :3].mean())


def test_curves_average_the_seeds_and_keep_unfinished_runs_apart():
  epochs = np.array([1.0, 2.0])
  pairs = [(epochs, np.array([0.2, 0.6])), (epochs, np.array([0.4, 0.6]))]
  losses = [(epochs, np.array([2.0, 0.05])), (epochs, np.array([2.0, 0.15]))]
  figure = accuracy.curves(
    {"ce": losses}, {"ce": pairs}, [("ce", epochs[:1], np.array([0.1]))]
  )
  left, right = figure.axes
  np.testing.assert_allclose(left.lines[0].get_ydata(), [2, 0.1])
  assert left.get_yscale() == "linear"  # exactly a factor of 20
  np.testing.assert_allclose(right.lines[0].get_ydata(), [30, 60])
  np.testing.assert_allclose(right.lines[1].get_ydata(), [10])
  assert right.lines[1].get_label() == "ce (unfinished)"
  band = right.collections[0].get_paths()[0].vertices[:, 1]
  assert band.min() == pytest.approx(30 - 20 / 2**0.5)


def test_a_loss_over_decades_is_logarithmic():
  epochs = np.arange(1.0, 4.0)
  losses = {"ce": [(epochs, np.array([2.0, 0.3, 0.01]))]}
  assert accuracy.curves(losses, losses).axes[0].get_yscale() == "log"
  nothing = {"ce": [(np.empty(0), np.empty(0))]}
  assert accuracy.curves(nothing, nothing).axes[0].get_yscale() == "linear"


def test_confusion_is_in_percent_of_rows_by_count():
  # True "rare" (5 images): 1 right, 3 taken for "common".
  matrix = np.array([[1, 3, 0], [0, 8, 2], [0, 0, 0]])
  figure = heatmaps.confusion([("ce", matrix)], COUNTS, NAMES)
  axes = figure.axes[0]
  texts = {
    (int(text.get_position()[1]), int(text.get_position()[0])): text.get_text()
    for text in axes.texts
  }
  # Order: common, middling, rare. Nothing is shown below half a percent, nor
  # for a class without test images.
  assert texts == {(0, 0): "80", (0, 1): "20", (2, 2): "25", (2, 0): "75"}
  assert [label.get_text() for label in axes.get_yticklabels()] == [
    "common",
    "middling",
    "rare",
  ]


def test_a_large_confusion_matrix_is_shown_in_blocks():
  assert heatmaps.block_size(200) == 1
  assert heatmaps.block_size(1000) == 10
  size = heatmaps.block_size(205)
  assert size == 3
  matrix = np.eye(205)
  matrix[204] = 0  # no test images
  matrix[0] = 1 / 205
  blocks = heatmaps._percent(matrix)
  assert blocks.shape == (69, 69)
  # Two of the first three rows are right, one is spread evenly.
  assert blocks[0, 0] == pytest.approx(100 * (2 + 3 / 205) / 3)
  assert blocks[0, 5] == pytest.approx(100 * 3 / 205 / 3)
  # The last block holds one class, which has no images.
  assert blocks[68].sum() == 0
  np.testing.assert_allclose(blocks[:68].sum(1), 100)


def test_shots_are_bars_with_deviations_and_seeds():
  methods = {
    "ce": {"all": [0.5, 0.7], "many": [0.9, 0.9], "few": []},
    "dr": {"all": [0.8], "many": [0.6]},
  }
  figure = accuracy.shots(methods, [500, 400])
  axes = figure.axes[0]
  heights = [bar.get_height() for bar in axes.patches]
  np.testing.assert_allclose(heights, [60, 90, 80, 60])
  assert [label.get_text() for label in axes.get_xticklabels()] == [
    "all\n2 classes",
    "many\n> 100 images\n2 classes",
  ]
  assert [text.get_text() for text in axes.texts] == [
    "60.0",
    "90.0",
    "80.0",
    "60.0",
  ]
  (segment,) = axes.collections[0].get_segments()
  np.testing.assert_allclose(segment[:, 1], [60 - 200**0.5, 60 + 200**0.5])


@pytest.mark.slow
@pytest.mark.parametrize("num_classes", [2, 12, 31, 1000])
def test_every_size_draws_without_warning_inside_the_figure(num_classes):
  rng = np.random.default_rng(0)
  counts = synthetic_runs.exponential(num_classes, 1000, 0.01)
  names = [f"a longer name {c}" for c in range(num_classes)]
  labels = [f"method_{i} (data.imbalance=0.0{i})" for i in range(9)]
  fractions = {label: rng.random((2, num_classes)) for label in labels}
  matrix = rng.integers(0, 9, (num_classes, num_classes))
  shot = {label: {"all": [0.5, 0.6], "few": [0.1, 0.3]} for label in labels}
  drawn = [
    accuracy.per_class(fractions, counts, names),
    accuracy.shots(shot, counts),
    heatmaps.confusion([("x", matrix)] * 2, counts, names),
  ]
  for figure in drawn:
    boxes, legends = assert_inside(figure)
    assert not any(legend.overlaps(b) for legend in legends for b in boxes)


def test_classes_without_test_images_do_not_count():
  has_test = np.array([True, False, True])
  figure = accuracy.shots({"ce": {"all": [0.5]}}, [500, 400, 3], has_test)
  labels = [text.get_text() for text in figure.axes[0].get_xticklabels()]
  assert labels == [
    "all\n2 of 3 classes",
    "many\n> 100 images\n1 of 2 classes",
    "few\n< 20 images\n1 classes",
  ]
