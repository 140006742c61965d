# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The training loop that the losses' README shows."""

import pathlib
import re

import numpy as np
import pytest

README = pathlib.Path(__file__).parents[1] / "etf_jax" / "losses" / "README.md"


@pytest.fixture(scope="module")
def code():
  blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
  (code,) = [block for block in blocks if "optax" in block]
  return code


def test_example_is_short(code):
  assert len([line for line in code.splitlines() if line.strip()]) < 40
  assert "etf_jax.training" not in code


def test_example_trains(code, capsys):
  names = {}
  exec(compile(code, str(README), "exec"), names)
  # 0.05 from the largest to the smallest class, the rest in geometric steps.
  assert names["counts"].tolist() == [126, 90, 64, 46, 33, 23, 17, 12, 8, 6]
  held = np.bincount(names["labels"][names["train"]])
  np.testing.assert_array_equal(held, names["counts"])
  assert not np.any(names["train"] & names["test"])
  accuracy = float(
    re.fullmatch(r"test accuracy (0\.\d+)\n", capsys.readouterr().out)[1]
  )
  # If you meant to change the example, change the README's 0.85 with it.
  assert accuracy == pytest.approx(0.85, abs=0.02)


def test_example_needs_the_class_lengths(code, capsys):
  plain = code.replace("class_lengths=lengths, ", "")
  assert plain != code
  exec(compile(plain, str(README), "exec"), {})
  accuracy = float(capsys.readouterr().out.split()[-1])
  assert accuracy == pytest.approx(0.78, abs=0.02)
