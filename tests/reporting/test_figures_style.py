# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Figures as SVG follow the theme of the page and name no address."""

import re

import matplotlib
import numpy as np
import pytest

from etf_jax.reporting.figures import accuracy, collapse, heatmaps, style

MATRIX = np.array([[1, np.nan], [-0.5, 1]])
PAIRS = [(np.arange(2.0), np.ones(2))]
CLASSES = ([30, 3], ["a", "b"])


def test_svg_is_themed_has_its_own_ids_and_no_address():
  names = ["$5 & <b>", "--><script>", "ü"]
  fractions = np.full((2, 3), 0.5)
  figure = accuracy.per_class({"ce": fractions}, [5, 200, 50], names)
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


@pytest.mark.parametrize(
  ("draw", "fixed"),
  [
    (lambda: accuracy.shots({"ce": {"all": [0.5, 0.6]}}, [30, 3]), set()),
    (
      lambda: accuracy.per_class({"ce": np.full((2, 2), 0.5)}, *CLASSES),
      set(),
    ),
    # The blue of the tiles and the white on it stay in both themes.
    (
      lambda: heatmaps.confusion([("ce", np.diag([5, 3]))], *CLASSES),
      {"#1f6fb4", "#ffffff"},
    ),
    (
      lambda: collapse.convergence(
        {"train": {"ce": {"nc1": PAIRS}, "dr": {}}}, {"train": 2}
      ),
      set(),
    ),
    (
      lambda: collapse.by_class({"ce": {"classifier_norms": MATRIX}}, *CLASSES),
      set(),
    ),
    # The two colors of cosines stay in both themes.
    (
      lambda: heatmaps.cosines([("ce", MATRIX, MATRIX)], *CLASSES),
      {"#1f6fb4", "#c2410c"},
    ),
  ],
)
def test_svg_colors_are_known_to_the_theme(draw, fixed):
  """A color outside the theme would not follow into the dark."""
  text = re.sub(r"var\([^)]*\)", "", style.svg(draw(), "x"))
  assert set(re.findall(r"#[0-9a-f]{6}", text)) == fixed


def test_every_theme_has_other_colors():
  for light, dark in style.themes().values():
    assert light != dark


def test_names_that_cannot_be_drawn_become_numbers_with_a_key():
  assert style.drawable("Ankle boot", 3) == "Ankle boot"
  assert style.drawable("black-footed albatross", 0) == "black-footed alba…"
  assert style.class_labels(["cat", "鳥"]) == (
    ["cat", "#2"],
    " (#N: row N of the table Classes)",
  )
  assert style.class_labels(["cat", "#2"]) == (["cat", "#2"], "")


def test_the_style_stays_inside():
  before = matplotlib.rcParams.copy()
  accuracy.shots({"ce": {"all": [0.5]}}, [30, 3])
  assert matplotlib.rcParams == before
