# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The docstrings, the reference page made of them, and the import."""

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
from etf_jax.losses import __main__ as reference

ROOT = pathlib.Path(__file__).parents[2]
README = ROOT / "etf_jax" / "losses" / "README.md"
GEOMETRY = [
  function
  for name, function in vars(etf).items()
  if inspect.isfunction(function)
  and function.__module__ == etf.__name__
  and not name.startswith("_")
]
PUBLIC = [getattr(losses, name) for name in losses.__all__] + GEOMETRY
FUNCTIONS = [symbol for symbol in PUBLIC if not inspect.isclass(symbol)]


def names(symbols):
  return [symbol.__name__ for symbol in symbols]


def test_public_names():
  # If you mean to add or rename one, others rely on these: extend this list.
  assert names(GEOMETRY) == [
    "simplex_etf",
    "uniform_qr_etf",
    "class_lengths",
    "batch_class_lengths",
    "softmax_code",
  ]
  assert losses.__all__ == [
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
  ]
  assert etf_jax.losses is losses
  assert etf_jax.simplex_etf is etf.simplex_etf


@pytest.mark.parametrize("function", FUNCTIONS, ids=names(FUNCTIONS))
def test_docstring_says_everything_and_its_example_runs(function):
  text = inspect.getdoc(function)
  assert re.match(r"[A-Z][a-z]+s .*\.\n", text), "one verb line"
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


def test_page_lists_every_public_name():
  listed = [symbol for group in reference.GROUPS.values() for symbol in group]
  assert sorted(names(listed)) == sorted(names(PUBLIC))
  headings = re.findall(
    r"^#### `\w+\.(\w+)`$", README.read_text(), re.MULTILINE
  )
  assert headings == names(listed)


def test_page_is_up_to_date(tmp_path):
  page = README.read_text()
  assert page == reference.renew(page), (
    "run python -m etf_jax.losses etf_jax/losses/README.md"
  )


def test_page_has_no_markup_left():
  section = reference.section()
  assert not re.search(r":math:|\.\. math|`_|(?<!`)``(?!`)", section)
  assert section.count("```math\n") == len(FUNCTIONS) + 1  # pull_push has two


def test_command_prints_and_renews(tmp_path, capsys):
  reference.main([])
  assert capsys.readouterr().out == reference.section()
  page = tmp_path / "page.md"
  page.write_text(f"Before\n\n{reference.MARKER}\nold")
  reference.main([str(page)])
  assert page.read_text() == "Before\n\n" + reference.section()
  page.write_text("no marker")
  with pytest.raises(ValueError, match="the page has no line"):
    reference.main([str(page)])


def test_import_needs_jax_and_numpy_only():
  code = """
import sys
import jax, jax.numpy
before = set(sys.modules)
import etf_jax.losses, etf_jax.etf
print(*sorted({name.split(".")[0] for name in set(sys.modules) - before}))
"""
  run = subprocess.run(
    [sys.executable, "-c", code],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
  )
  foreign = set(run.stdout.split()) - sys.stdlib_module_names
  assert foreign <= {"etf_jax", "jax", "numpy"}
