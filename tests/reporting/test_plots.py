# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""What the figures show is what the runs measured, at every size."""

import re

from matplotlib.backends.backend_agg import FigureCanvasAgg
import numpy as np
import pytest
import synthetic_runs

from etf_jax.reporting.figures import accuracy as plots
from etf_jax.reporting.figures import confusion, style
from etf_jax.reporting.figures import series as _series

COUNTS = [5, 200, 50]
NAMES = ["rare", "common", "middling"]


def test_per_class_orders_by_count_and_shows_mean_and_deviation():
  # Two seeds: the deviation is |a - b| / sqrt(2).
  accuracy = np.array([[0.1, 0.9, 0.5], [0.3, 0.9, 0.6]])
  figure = plots.per_class({"ce": accuracy}, COUNTS, NAMES)
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
  figure = plots.per_class({"ce": np.ones((1, 2))}, [100, 10], ["a", "b"])
  assert figure.axes[0].get_yscale() == "linear"
  assert figure.axes[0].get_ylim()[0] == 0


def test_per_class_of_many_classes_is_a_running_mean():
  counts = np.arange(100, 0, -1)
  accuracy = np.linspace(1, 0, 100)[None]
  figure = plots.per_class({"ce": accuracy}, counts, [""] * 100)
  dots, line = figure.axes[1].lines[:2]
  assert plots.smoothing_window(100) == 5
  np.testing.assert_allclose(dots.get_ydata(), 100 * accuracy[0])
  # A linear function is its own running mean, but for the ends.
  smooth = line.get_ydata()
  np.testing.assert_allclose(smooth[2:-2], 100 * accuracy[0, 2:-2])
  np.testing.assert_allclose(smooth[0], 100 * accuracy[0, :3].mean())


def test_missing_values_leave_means_of_the_others():
  values = np.array([[1.0, np.nan, np.nan], [3.0, 5.0, np.nan]])
  mean, deviation = plots._mean_and_deviation(values)
  np.testing.assert_allclose(mean, [2, 5, np.nan])
  np.testing.assert_allclose(deviation, [2**0.5, np.nan, np.nan])


def test_curves_average_the_seeds_and_keep_unfinished_runs_apart():
  epochs = np.array([1.0, 2.0])
  pairs = [(epochs, np.array([0.2, 0.6])), (epochs, np.array([0.4, 0.6]))]
  losses = [(epochs, np.array([2.0, 0.05])), (epochs, np.array([2.0, 0.15]))]
  figure = plots.curves(
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


def test_seeds_with_other_epochs_are_averaged_where_they_meet():
  pairs = [
    (np.array([1.0, 2.0]), np.array([1.0, 2.0])),
    (np.array([2.0, 3.0]), np.array([4.0, 5.0])),
  ]
  epochs, mean, deviation = plots._over_seeds(pairs)
  np.testing.assert_array_equal(epochs, [1, 2, 3])
  np.testing.assert_allclose(mean, [1, 3, 5])
  np.testing.assert_allclose(deviation, [np.nan, 2**0.5, np.nan])


def test_a_loss_over_decades_is_logarithmic():
  epochs = np.arange(1.0, 4.0)
  losses = {"ce": [(epochs, np.array([2.0, 0.3, 0.01]))]}
  assert plots.curves(losses, losses).axes[0].get_yscale() == "log"
  nothing = {"ce": [(np.empty(0), np.empty(0))]}
  assert plots.curves(nothing, nothing).axes[0].get_yscale() == "linear"


def test_confusion_is_in_percent_of_rows_by_count():
  # True "rare" (5 images): 1 right, 3 taken for "common".
  matrix = np.array([[1, 3, 0], [0, 8, 2], [0, 0, 0]])
  figure = confusion.confusion([("ce", matrix)], COUNTS, NAMES)
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
  assert confusion.block_size(200) == 1
  assert confusion.block_size(1000) == 10
  size = confusion.block_size(205)
  assert size == 3
  matrix = np.eye(205)
  matrix[204] = 0  # no test images
  matrix[0] = 1 / 205
  blocks = confusion._percent(matrix)
  assert blocks.shape == (69, 69)
  # Two of the first three rows are right, one is spread evenly.
  assert blocks[0, 0] == pytest.approx(100 * (2 + 3 / 205) / 3)
  assert blocks[0, 5] == pytest.approx(100 * 3 / 205 / 3)
  # The last block holds one class, which has no images.
  assert blocks[68].sum() == 0
  np.testing.assert_allclose(blocks[:68].sum(1), 100)


def test_shots_are_bars_with_deviations_and_seeds():
  series = {
    "ce": {"all": [0.5, 0.7], "many": [0.9, 0.9], "few": []},
    "dr": {"all": [0.8], "many": [0.6]},
  }
  figure = plots.shots(series, [500, 400])
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


@pytest.mark.parametrize(
  ("num_classes", "narrow"),
  [(2, False), (12, True), (13, False), (31, True), (1000, False)],
)
def test_every_size_draws_without_warning_inside_the_figure(
  num_classes, narrow
):
  rng = np.random.default_rng(0)
  counts = synthetic_runs.exponential(num_classes, 1000, 0.01)
  names = [f"a longer name {c}" for c in range(num_classes)]
  labels = [f"method_{i} (data.imbalance=0.0{i})" for i in range(9)]
  accuracy = {label: rng.random((2, num_classes)) for label in labels}
  matrix = rng.integers(0, 9, (num_classes, num_classes))
  shot = {label: {"all": [0.5, 0.6], "few": [0.1, 0.3]} for label in labels}
  drawn = [
    plots.per_class(accuracy, counts, names, narrow=narrow),
    plots.shots(shot, counts, narrow=narrow),
    confusion.confusion([("x", matrix)] * 2, counts, names, narrow=narrow),
  ]
  for figure in drawn:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    width, height = figure.bbox.size
    legends = [legend.get_window_extent() for legend in figure.legends]
    for box in [*legends, *(axes.get_tightbbox() for axes in figure.axes)]:
      assert box.x0 >= -1
      assert box.y0 >= -1
      assert box.x1 <= width + 1
      assert box.y1 <= height + 1
    for legend in legends:
      assert not any(
        legend.overlaps(axes.get_tightbbox()) for axes in figure.axes
      )


def test_svg_is_themed_has_its_own_ids_and_no_address():
  names = ["$5 & <b>", "--><script>", "ü"]
  accuracy = np.full((2, 3), 0.5)
  figure = plots.per_class({"ce": accuracy}, COUNTS, names)
  one, two = (style.svg(figure, prefix) for prefix in ("one", "two"))
  for text in (one, two):
    assert "http" not in text
    assert "<!--" not in text
    assert "script" not in text
    assert f"var(--s0, {style.SERIES[0]})" in text
  ids = [set(re.findall(r'id="([^"]*)"', text)) for text in (one, two)]
  assert not ids[0] & ids[1]
  used = set(re.findall(r'(?:url\(#|href="#)([^")]*)', one))
  assert used <= ids[0]


def test_svg_colours_are_known_to_the_theme():
  """What is drawn in no themed colour would not follow into the dark."""
  matrix = np.array([[5, 1], [0, 3]])
  for figure in (
    plots.shots({"ce": {"all": [0.5, 0.6]}}, [30, 3]),
    plots.per_class({"ce": np.full((2, 2), 0.5)}, [30, 3], ["a", "b"]),
    confusion.confusion([("ce", matrix)], [30, 3], ["a", "b"]),
  ):
    text = re.sub(r"var\([^)]*\)", "", style.svg(figure, "x"))
    left = set(re.findall(r"#[0-9a-f]{6}", text))
    # The blue of the tiles and the white on it stay in both themes.
    assert left <= {"#1f6fb4", "#ffffff"}


def test_names_that_cannot_be_drawn_become_numbers():
  assert style.drawable("Ankle boot", 3) == "Ankle boot"
  assert style.drawable("鳥", 3) == "#4"
  assert style.drawable("black-footed albatross", 0) == "black-footed alba…"


def test_the_style_stays_inside(monkeypatch):
  import matplotlib

  before = matplotlib.rcParams.copy()
  plots.shots({"ce": {"all": [0.5]}}, [30, 3], narrow=True)
  assert matplotlib.rcParams == before


def test_a_training_curve_has_as_many_steps_at_each_point():
  """A row of one step, where an epoch ends, is joined to the next ones."""
  rows = [
    {"step": 4, "epoch": 1.0, "loss": 1.0},
    {"step": 5, "epoch": 1.25, "loss": 9.0},
    {"step": 8, "epoch": 2.0, "loss": 2.0},
    {"step": 12, "epoch": 3.0, "loss": None},
    {"step": 14, "epoch": 3.5, "loss": np.nan},
    {"step": 18, "epoch": 4.5, "loss": 5.0},
  ]
  epochs, values = _series.loss(rows)
  np.testing.assert_array_equal(epochs, [1, 2, 3.5, 4.5])
  np.testing.assert_array_equal(values, [1, (9 + 3 * 2) / 4, np.nan, 5])
  assert not _series.loss([])[0].size
  many = [{"step": n, "epoch": n / 10, "loss": n} for n in range(1, 601)]
  epochs, values = _series.loss(many)
  np.testing.assert_allclose(epochs, np.arange(4, 601, 4) / 10)
  np.testing.assert_allclose(values, np.arange(2.5, 600, 4))
