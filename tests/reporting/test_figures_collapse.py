# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The figures of neural collapse: what their lines show, and that all fits."""

from drawn import assert_inside
from matplotlib.backends.backend_agg import FigureCanvasAgg
import numpy as np
import pytest
import synthetic_runs

from etf_jax.reporting.figures import collapse, heatmaps


def test_lines_are_means_over_seeds_with_bands_and_ideals():
  epochs = np.array([1.0, 2.0, 3.0])
  first = (epochs, np.array([0.2, np.nan, 0.4]))
  second = (epochs[[0, 2]], np.array([0.4, 0.4]))
  nc1 = [(epochs, np.array([8.0, 0.4, 0.01])), (epochs, np.full(3, 0.02))]
  held = {"ce": {"cos_features_mean": [first, second], "nc1": nc1}}
  figure = collapse.convergence({"train": held}, {"train": 5})
  cosine, log = (axes for axes in figure.axes if axes.get_visible())
  line, reference = cosine.lines
  np.testing.assert_allclose(line.get_ydata(), [0.3, np.nan, 0.4])
  assert set(reference.get_ydata()) == {-1 / 4}
  band = cosine.collections[0].get_paths()[0].vertices[:, 1]
  assert band.min() == pytest.approx(0.3 - 0.2 / 2**0.5)
  assert log.get_yscale() == "log"
  np.testing.assert_allclose(log.lines[0].get_ydata(), [4.01, 0.21, 0.015])
  band = log.collections[0].get_paths()[0].vertices[:, 1]
  assert (band.min(), band.max()) == (0.01, 8)
  assert log.get_ylim() == pytest.approx((0.01, 4.01 * 1.5))


@pytest.mark.parametrize(
  ("num_classes", "methods"),
  [
    (2, 1),
    *(pytest.param(*x, marks=pytest.mark.slow) for x in ((12, 5), (31, 9))),
    (100, 2),
  ],
)
def test_every_size_draws_inside_the_figure(num_classes, methods):
  rng = np.random.default_rng(0)
  counts = synthetic_runs.exponential(num_classes, 1000, 0.01)
  names = [f"a longer name {c}" for c in range(num_classes)]
  labels = [f"method_{i} (data.imbalance=0.0{i})" for i in range(methods)]
  pairs = [(np.arange(3.0), rng.random(3)) for _ in range(2)]
  held = {key: pairs for key in collapse.CONVERGENCE}
  series = dict.fromkeys(labels, held) | {"none": {}}
  values = {key: rng.random((2, num_classes)) for key in collapse.GEOMETRY}
  matrix = rng.uniform(-1, 1, (num_classes, num_classes))
  matrix[0] = np.nan
  both = {"train": series, "test": series}
  for figure in (
    collapse.convergence(both, dict.fromkeys(both, num_classes)),
    collapse.by_class(dict.fromkeys(labels, values), counts, names),
    heatmaps.cosines(
      [(label, matrix, matrix) for label in labels], counts, names
    ),
  ):
    boxes, legends = assert_inside(figure)
    # Nothing lies on anything else; but the name of a pair of heat maps, which
    # have no legend, may reach over both.
    boxes = [box.padded(-1.5) for box in (*boxes, *legends) if legends]
    for place, box in enumerate(boxes):
      assert not any(box.overlaps(other) for other in boxes[place + 1 :])


def test_a_row_is_a_measurement_and_a_column_a_split():
  pairs = [(np.arange(3.0), np.ones(3))]
  methods = {"ce": {"nc3_alignment_mean": pairs, "nc3_distance": pairs}}
  figure = collapse.convergence(
    {"train": methods, "test": methods}, {"train": 5, "test": 5}
  )
  assert [axes.get_title(loc="left") for axes in figure.axes] == [
    "cos(h, w), mean, train",
    "cos(h, w), mean, test",
    "|W̃ − H̃|², train",
    "|W̃ − H̃|², test",
  ]
  FigureCanvasAgg(figure).draw()
  boxes = [axes.get_window_extent() for axes in figure.axes]
  assert [round(box.x0) for box in boxes[:2]] == [
    round(box.x0) for box in boxes[2:]
  ]
  assert max(box.x1 for box in boxes) > 0.9 * figure.bbox.width
