# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The guide to trained models: its commands and its code run."""

import importlib
import pathlib
import re
import shlex
import shutil

import numpy as np
import pytest
import trained_runs

import etf_jax
from etf_jax.serving import exported

pytestmark = pytest.mark.slow

GUIDE = pathlib.Path(etf_jax.__file__).parent / "evaluation" / "README.md"
# Those on a run; the one that trains it is the quickstart's.
COMMANDS = re.findall(
  r"^    python -m etf_jax\.(.*=RUN.*)$", GUIDE.read_text(), re.M
)
CODE = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def places(digits_dir, tmp_path_factory):
  """Return the values of the words in capitals."""
  root = tmp_path_factory.mktemp("guide")
  run = trained_runs.copy(trained_runs.digits(digits_dir), root / "run")
  images = trained_runs.photograph_folder()
  # Digits under names that the run knows.
  for name, label in (("ant", "0"), ("bee", "1"), ("cat", "2")):
    for split in ("train", "test"):
      folder = root / "images" / split / label
      folder.parent.mkdir(parents=True, exist_ok=True)
      shutil.copytree(images / split / name, folder)
  test = root / "images" / "test"
  return {
    "RUN": run,
    "FOLDER": test,
    "DIR": root / "images",
    "IMAGES": test,
    "PHOTOGRAPH": next((test / "0").iterdir()),
  }


def test_the_guide_has_commands():
  assert len(COMMANDS) == 13


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command(command, places, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  for word, place in places.items():
    command = re.sub(rf"\b{word}\b", str(place), command)
  name, *arguments = shlex.split(command)
  assert importlib.import_module(f"etf_jax.{name}").main(arguments) == 0


def test_the_code(places, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  model = etf_jax.load(places["RUN"])
  exported.write(model, "stablehlo", tmp_path / "export")
  images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 1), np.uint8)
  names = {"run": places["RUN"], "images": images}
  names |= {"photograph": places["PHOTOGRAPH"], "mode": "L"}
  for code in CODE:
    exec(code, names)
  assert len(names["found"].names) == 2
  pixels, _ = model.decode(places["PHOTOGRAPH"].read_bytes())
  np.testing.assert_allclose(
    names["probabilities"], model(pixels[None]).probabilities, atol=0.02
  )
