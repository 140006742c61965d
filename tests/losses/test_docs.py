# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The docstrings, the guide, and what the import needs."""

import doctest
import inspect
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

import etf_jax
from etf_jax import etf, losses

ROOT = pathlib.Path(__file__).parents[2]
README = ROOT / "etf_jax" / "losses" / "README.md"
PUBLIC = {
  f"{module.__name__}.{name}": getattr(module, name)
  for module in (etf, losses)
  for name in module.__all__
}
FUNCTIONS = [name for name in PUBLIC if inspect.isfunction(PUBLIC[name])]
PYTHON = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
(EXAMPLE,) = [code for code in PYTHON if "optax" in code]


def test_public_names():
  # If you mean to add or rename one, others rely on these: extend this list.
  assert etf.__all__ == [
    "batch_class_lengths",
    "class_lengths",
    "frame_margin",
    "random_frame",
    "simplex_etf",
    "softmax_code",
    "structured_etf",
    "uniform_qr_etf",
  ]
  assert losses.__all__ == [
    "LinearLogits",
    "PullPush",
    "adjust_logits",
    "balanced_softmax",
    "class_balanced_weights",
    "deferred_weights",
    "dot_regression",
    "dot_regression_with_integer_labels",
    "feature_length_penalty",
    "focal",
    "hinge_cross_entropy_with_integer_labels",
    "hinge_logits",
    "inverse_frequency_weights",
    "ldam",
    "logit_adjusted",
    "mixup",
    "pull_push",
    "vector_scaling",
    "weighted_mean",
  ]
  assert etf_jax.losses is losses
  assert etf_jax.simplex_etf is etf.simplex_etf


def test_guide_lists_every_public_name():
  rows = re.findall(r"^\| (`.*?) \|", README.read_text(), re.MULTILINE)
  listed = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
  assert sorted(listed) == sorted(etf.__all__ + losses.__all__)
  assert len(README.read_text().splitlines()) <= 120


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_docstring_says_everything_and_its_example_runs(name):
  function = PUBLIC[name]
  text = inspect.getdoc(function)
  places = [
    text.index(part)
    for part in (
      "\n.. math::",
      "\nArgs:",
      "\nReturns:",
      "\nRaises:\n  ValueError:",
      "\nExamples:\n  >>> ",
      "\nReferences:",
    )
  ]
  assert places == sorted(places)
  described = text[places[1] : places[2]]
  for parameter in inspect.signature(function).parameters:
    assert f"\n  {parameter}: " in described

  test = doctest.DocTestFinder(recurse=False).find(function, globs={})[0]
  # The examples set NumPy's print options; put them back afterwards.
  with np.printoptions():
    results = doctest.DocTestRunner().run(test)
  assert results.attempted > 1
  assert results.failed == 0


def test_import_needs_jax_and_numpy_only():
  code = """
import sys
import jax, jax.numpy
before = set(sys.modules)
import etf_jax.losses, etf_jax.etf
print(*sorted(set(sys.modules) - before))
"""
  run = subprocess.run(
    [sys.executable, "-c", code],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
  )
  modules = run.stdout.split()
  roots = {name.split(".")[0] for name in modules} - sys.stdlib_module_names
  assert roots <= {"etf_jax", "jax", "numpy"}
  parts = {name.split(".")[1] for name in modules if "etf_jax." in name}
  assert parts == {"arrays", "etf", "losses"}


def test_subpackages_are_attributes():
  assert etf_jax.theory.collapse_thresholds
  assert etf_jax.collapse.compute
  assert etf_jax.models.ETFHead
  with pytest.raises(AttributeError, match="no attribute 'colapse'"):
    _ = etf_jax.colapse
  assert (ROOT / "etf_jax" / "py.typed").is_file()


def test_example_is_short():
  assert len([line for line in EXAMPLE.splitlines() if line.strip()]) < 40
  assert "etf_jax.training" not in EXAMPLE


@pytest.mark.slow
def test_example_trains(capsys):
  names = {}
  exec(compile(EXAMPLE, str(README), "exec"), names)
  # 0.05 from the largest to the smallest class, the rest in geometric steps.
  assert names["counts"].tolist() == [126, 90, 64, 46, 33, 23, 17, 12, 8, 6]
  counts = np.bincount(names["labels"][names["train"]])
  np.testing.assert_array_equal(counts, names["counts"])
  assert not np.any(names["train"] & names["test"])
  accuracy = float(
    re.fullmatch(r"test accuracy (0\.\d+)\n", capsys.readouterr().out)[1]
  )
  # If you meant to change the example, change the README's 0.85 with it.
  assert accuracy == pytest.approx(0.85, abs=0.02)


def test_example_needs_the_class_lengths(capsys):
  plain = EXAMPLE.replace("class_lengths=lengths, ", "")
  assert plain != EXAMPLE
  exec(compile(plain, str(README), "exec"), {})
  accuracy = float(capsys.readouterr().out.split()[-1])
  assert accuracy == pytest.approx(0.78, abs=0.02)
