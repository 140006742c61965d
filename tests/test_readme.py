# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The READMEs' code runs, and their links lead somewhere."""

import pathlib
import re

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *ROOT.glob("*/**/README.md")]
PAGES = [p for p in PAGES if not any(x.startswith(".") for x in p.parts[1:])]


@pytest.mark.slow
def test_the_library_example_runs():
  text = (ROOT / "README.md").read_text()
  (code,) = re.findall(r"```python\n(import jax\n.*?)```", text, re.DOTALL)
  names = {}
  exec(code, names)
  # Eq 14 by hand, with each feature's own length.
  h, labels = np.asarray(names["features"]), np.asarray(names["labels"])
  t = np.asarray(names["prototypes"] * names["lengths"][None]).T[labels]
  s = np.linalg.norm(h, axis=-1) * np.linalg.norm(t, axis=-1)
  expected = (np.sum(h * t, axis=-1) - s) ** 2 / (2 * s)
  np.testing.assert_allclose(names["per_example"], expected, rtol=1e-4)
  assert names["predicted"].shape == (128,)


@pytest.mark.slow
def test_the_estimators_example_runs(tmp_path, monkeypatch):
  (code,) = re.findall(
    r"```python\n(import numpy(?s:.*?))```", (ROOT / "README.md").read_text()
  )
  assert len([line for line in code.splitlines() if line]) <= 8
  rows = np.random.default_rng(0).normal(size=(40, 3)) + [[0], [9]] * 20
  split = {"train_x": rows, "test_x": rows, "train_y": ["a", "b"] * 20}
  np.savez(tmp_path / "x.npz", **split)
  monkeypatch.chdir(tmp_path)
  names = {}
  exec(code, names)
  assert names["predicted"].tolist() == split["train_y"]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page):
  for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
    if not target.startswith("https://"):
      assert (page.parent / target).exists(), target


def test_every_method_and_experiment_is_listed():
  from etf_jax import configs
  from etf_jax.training import methods

  readme = (ROOT / "README.md").read_text()
  for method in methods.METHODS:
    assert f"| `{method}` |" in readme
  guide = (ROOT / "configs" / "README.md").read_text()
  for path in configs.FOLDER.glob("*.py"):
    assert f"`{path.stem}`" in guide or f"({path.name})" in guide
