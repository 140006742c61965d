# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A run's directory is data: it runs no code and contacts nobody unasked."""

import sys

from PIL import Image
import pytest
import trained_runs

import etf_jax
from etf_jax import evaluate, export, predict, probe
from etf_jax.data.prepare import fetch
from etf_jax.errors import InputError
from etf_jax.reporting import __main__ as reporting

pytestmark = pytest.mark.slow

PAYLOAD = """
import pathlib
import trained_runs

pathlib.Path(__file__).with_name("ran").touch()
class Backbone(trained_runs.Small):
  pass
"""
LIST = "https://host.example/train.csv"


@pytest.fixture
def place(digits_dir, tmp_path, monkeypatch):
  """A folder with a run whose backbone is code in it, as for python -m."""
  run = trained_runs.copy(
    trained_runs.digits(digits_dir),
    tmp_path / "shared",
    **{"model.name": "payload_of_a_run:Backbone"},
  )
  (tmp_path / "payload_of_a_run.py").write_text(PAYLOAD)
  Image.new("L", (8, 8)).save(tmp_path / "0.png")
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(sys, "path", [str(tmp_path), "", *sys.path])
  monkeypatch.delitem(sys.modules, "payload_of_a_run", raising=False)
  monkeypatch.delenv("PYTHONPATH", raising=False)
  yield tmp_path
  sys.modules.pop("payload_of_a_run", None)
  assert run.exists()


def test_code_beside_a_run_is_not_imported(place, capsys):
  before = sys.path[:]
  commands = (predict, "0.png"), (evaluate,), (export, "--format=card")
  for command, *more in commands:
    assert command.main(["--workdir=shared", *more]) == 2
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith("error: config.model.name='payload_of_a_run:Backb")
    assert "only with --trust_code" in line
  with pytest.raises(InputError, match="--trust_code"):
    etf_jax.load("shared")
  assert reporting.main(["shared", "--output=page.html"]) == 0
  assert not (place / "ran").exists()
  assert sys.path == before


def test_trusted_code_is(place):
  assert predict.main(["--workdir=shared", "0.png", "--trust_code"]) == 0
  assert (place / "ran").exists()
  assert etf_jax.load("shared", trust_code=True).class_names[0] == "0"


def test_code_on_pythonpath_is(place, monkeypatch):
  monkeypatch.setenv("PYTHONPATH", str(place))
  etf_jax.load("shared")
  assert (place / "ran").exists()


def test_a_module_without_the_class_is_not_imported(place, monkeypatch):
  monkeypatch.setenv("PYTHONPATH", str(place))
  path = place / "payload_of_a_run.py"
  path.write_text(path.read_text().replace("class Backbone", "class Other"))
  with pytest.raises(InputError, match="defines no class Backbone"):
    etf_jax.load("shared")
  assert not (place / "ran").exists()


def test_a_probe_contacts_no_address_of_a_run(place, capsys):
  run = trained_runs.copy(
    place / "shared",
    place / "mine",
    **{"model.name": "trained_runs:Small", "data.data_dir": "gs://host/data"},
  )
  argv = [f"--workdir={run}", "--datasets=digits", f"--output={place}/out"]
  assert probe.main(argv) == 2
  *_, line = capsys.readouterr().err.splitlines()
  assert line.startswith("error: config.data.data_dir=gs://host/data: ")


@pytest.mark.parametrize("size", [20, None])
def test_no_address_of_a_run_is_contacted(tmp_path, monkeypatch, size, capsys):
  calls = []
  monkeypatch.setattr(fetch, "fetch", lambda *a, **k: calls.append(a))
  run = trained_runs.copy(
    trained_runs.photographs(),
    tmp_path / "run",
    **{"data.train_list": LIST, "data.image_size": size},
  )
  image = next((trained_runs.photograph_folder() / "test" / "ant").iterdir())
  code = predict.main([f"--workdir={run}", str(image)])
  # Without the size the images' shape would have to be looked up.
  assert code == (0 if size else 2)
  capsys.readouterr()
  assert evaluate.main([f"--workdir={run}"]) == 2
  *_, line = capsys.readouterr().err.splitlines()
  assert line.startswith(f"error: config.data.train_list={LIST}: ")
  assert "--trust_code" in line
  assert calls == []
