# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Numbers as text, and tables for a terminal and for Markdown."""

import pytest

from etf_jax.reporting import tables


def test_stat_is_the_sample_deviation_in_percent():
  found = tables.stat([0.80, 0.82, 0.87])
  assert found.mean == pytest.approx(83.0)
  assert found.deviation == pytest.approx(13**0.5)
  assert str(found) == "83.0 ± 3.6"
  assert str(tables.stat([0.5])) == "50.0 ± -"
  assert str(tables.stat([0.5, None])) == "-"
  assert str(tables.stat([])) == "-"


@pytest.mark.parametrize(
  ("value", "digits", "text"),
  [
    (3e-4, 3, "3.00e-4"),
    (2**0.5 * 1e-4, 2, "1.4e-4"),
    (0.0, 3, "0"),
    (0.01234, 3, "0.0123"),
    (3000.0, 3, "3,000"),
    (2e7, 3, "2e+07"),
  ],
)
def test_significant_digits(value, digits, text):
  assert tables.significant(value, digits) == text


@pytest.mark.parametrize(
  ("seconds", "text"),
  [
    (59.4, "59 s"),
    (60, "1 min 0 s"),
    (3599.6, "1 h 0 min"),
    (7260, "2 h 1 min"),
  ],
)
def test_durations(seconds, text):
  assert tables.duration(seconds) == text


def test_percent_of_a_fraction():
  assert [tables.percent(value) for value in (0.8349, 1, None)] == [
    "83.5",
    "100.0",
    "-",
  ]


def test_columns_line_up_below_a_rule_as_wide_as_the_table():
  lines = [["method", "accuracy", "n"], ["ce", "83.0 ± 3.6", "3"]]
  assert tables.aligned(lines, rule=True) == (
    "method  accuracy    n\n---------------------\nce      83.0 ± 3.6  3"
  )
  assert "---" not in tables.aligned(lines)


def test_markdown_escapes_the_bars():
  assert tables.markdown([["a", "b|c"], ["1", "2"]]) == (
    "| a | b\\|c |\n|---|---|\n| 1 | 2 |"
  )


@pytest.mark.parametrize(
  ("text", "escaped"),
  [
    ("a|b", r"a\|b"),
    ("a\n| b |\r\n# c", r"a \| b \| # c"),
    ("[x](https://host.example)", r"\[x\](https:\/\/host.example)"),
    ("<img src=x>", r"\<img src=x\>"),
    ("&lt;", r"\&lt;"),
    ("a & b", "a & b"),
    ("www.host.example", r"www\.host.example"),
    ("`a`\\", r"\`a\`\\"),
    ("snow_leopard 95 %", "snow_leopard 95 %"),
  ],
)
def test_text_is_no_markup(text, escaped):
  assert tables.markdown_text(text) == escaped
  assert tables.markdown_row([text, "b"]) == f"| {escaped} | b |"
