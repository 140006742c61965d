# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The plane through three classes, and what is drawn of rows."""

import numpy as np
import pytest

from etf_jax.probing import figures


def test_a_plane_by_hand():
  # Templates in the plane z = 1: the first axis points from a to b.
  templates = np.array([[0.0, 3.0, 0.0], [0.0, 0.0, 3.0], [1.0, 1.0, 1.0]])
  points = np.array([[1.0, 1.0, 9.0], [3.0, 0.0, -2.0], [1.0, 2.0, 0.0]])
  np.testing.assert_allclose(
    figures.project(points, templates), [[0, 0], [2, -1], [0, 1]], atol=1e-12
  )
  # The corners of a frame of three keep their distances.
  frame = np.eye(5)[:, :3]
  corners = figures.project(frame.T, frame)
  apart = np.linalg.norm(corners[:, None] - corners[None], axis=-1)
  np.testing.assert_allclose(apart, np.sqrt(2) * (1 - np.eye(3)), atol=1e-12)
  np.testing.assert_allclose(corners.mean(axis=0), 0, atol=1e-12)


def test_no_plane_through_a_line():
  with pytest.raises(ValueError, match="on one line"):
    figures.project(np.eye(2), np.array([[0.0, 1.0, 2.0], [0.0, 1.0, 2.0]]))
  with pytest.raises(ValueError, match="3 templates, got 2"):
    figures.project(np.eye(2), np.eye(2))


def test_a_study_has_a_line_across_for_runs_without_an_angle():
  def rows(run, tau, nc1, accuracy):
    about = {"run": run, "tau_plus": tau, "seed": 0}
    return [
      about | {"part": "source", "data": "a", "nc1": nc1, "rank": 2 * nc1},
      about
      | {"part": "transfer", "data": "b", "metric": "top1"}
      | {"sgd_top1": accuracy, "regression_top1": accuracy + 0.1},
    ]

  found = rows("h1", np.pi / 6, 1.0, 0.5) + rows("h2", np.pi / 3, 3.0, 0.6)
  accuracy, nc1, rank = figures.study(found + rows("ce", None, 2.0, 0.4)).axes
  line = nc1.containers[0].lines[0]
  np.testing.assert_allclose(line.get_xydata(), [[30, 1], [60, 3]])
  assert set(nc1.lines[-1].get_ydata()) == {2.0}
  np.testing.assert_allclose(
    rank.containers[0].lines[0].get_ydata(orig=False), [2, 6]
  )
  values = [c.lines[0].get_ydata(orig=False) for c in accuracy.containers]
  np.testing.assert_allclose(values, [[50, 60], [60, 70]])
