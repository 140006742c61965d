# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Content of a figure: lines by label, and a check that all of it fits."""

from matplotlib.backends.backend_agg import FigureCanvasAgg
import numpy as np


def lines(axes):
  """Return by label the points of the lines that have one."""
  return {
    line.get_label(): np.column_stack(line.get_data()).tolist()
    for line in axes.lines
    if not line.get_label().startswith("_")
  }


def assert_inside(figure):
  """Assert that axes and legends lie in the figure; return both."""
  FigureCanvasAgg(figure).draw()
  shown = [axes for axes in figure.axes if axes.get_visible()]
  boxes = [axes.get_tightbbox() for axes in shown]
  legends = [legend.get_window_extent() for legend in figure.legends]
  width, height = figure.bbox.size
  for box in [*boxes, *legends]:
    assert min(box.x0, box.y0) >= -1
    assert box.x1 <= width + 1
    assert box.y1 <= height + 1
  return boxes, legends
