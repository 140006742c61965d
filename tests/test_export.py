# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Exported models give the same answers, with and without this package."""

import configparser
import io
import json
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import optax
from PIL import Image
import pytest
import safetensors.numpy
from sklearn.datasets import load_sample_image
import trained_runs

import etf_jax
from etf_jax import evaluate, export, models
from etf_jax.data.decode import image
from etf_jax.models import pretrained
from etf_jax.serving import exported
from etf_jax.training import state

pytestmark = pytest.mark.slow

ALONE = """
import sys

import numpy as np
from jax import export

with open(sys.argv[1], "rb") as file:
  program = export.deserialize(bytearray(file.read()))
given = np.load(sys.argv[2])
found = {}
for name, images in given.items():
  for key, array in program.call(images).items():
    found[f"{name} {key}"] = array
np.savez(sys.argv[3], **found)
imported = {name.split(".")[0] for name in sys.modules}
print(sorted(imported & {"flax", "etf_jax", "tensorflow"}))
"""

# A command without the packages that a plain install does not bring.
PLAIN = """
import importlib.metadata as metadata
import sys

from packaging import requirements, utils

def closure(names):
  found, left = set(), [requirements.Requirement(name) for name in names]
  while left:
    one = left.pop()
    extras = {"", *one.extras}
    if one.marker and not one.marker.evaluate({"extra": ""}):
      continue
    key = (utils.canonicalize_name(one.name), *sorted(one.extras))
    if key in found:
      continue
    found.add(key)
    for text in metadata.requires(one.name) or ():
      inner = requirements.Requirement(text)
      marker = inner.marker
      if not marker or any(marker.evaluate({"extra": e}) for e in extras):
        inner.marker = None
        left.append(inner)
  return {name for name, *_ in found}

plain = closure(sys.argv[1].split(";;"))
others = {
  module
  for module, owners in metadata.packages_distributions().items()
  if not any(utils.canonicalize_name(owner) in plain for owner in owners)
}
assert "tensorflow" in others and "jax" not in others, sorted(others)

class Plain:
  def __init__(self, finder):
    self.finder = finder

  def __getattr__(self, name):
    return getattr(self.finder, name)

  def find_spec(self, name, path=None, target=None):
    if name.split(".")[0] in others - {"etf_jax", "trained_runs"}:
      return None
    return self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Plain(finder) for finder in sys.meta_path]
from etf_jax import export
sys.exit(export.main(sys.argv[2:]))
"""


@pytest.fixture(scope="module")
def run(digits_dir, tmp_path_factory):
  """The run with a temperature."""
  place = tmp_path_factory.mktemp("calibrated") / "run"
  trained_runs.copy(trained_runs.digits(digits_dir), place)
  assert evaluate.main([f"--workdir={place}", "--fit_temperature"]) == 0
  return place


def written(run, tmp_path, kind):
  argv = [f"--workdir={run}", f"--format={kind}", f"--output={tmp_path}"]
  assert export.main(argv) == 0
  return tmp_path / f"model.{kind}"


def alone(program, tmp_path, **images):
  """Return the answers of the program in a process that has only jax."""
  np.savez(tmp_path / "given.npz", **images)
  done = subprocess.run(
    [sys.executable, "-c", ALONE, program, "given.npz", "found.npz"],
    cwd=tmp_path,
    capture_output=True,
    text=True,
    check=True,
  )
  assert done.stdout.strip() == "[]"
  return np.load(tmp_path / "found.npz")


def check_same(found, name, expected):
  for key in ("probabilities", "angles"):
    np.testing.assert_allclose(
      found[f"{name} {key}"], getattr(expected, key), rtol=1e-4, atol=1e-6
    )
  assert found[f"{name} logits"].shape == expected.probabilities.shape


def test_the_program_runs_where_only_jax_is(run, tmp_path, capsys):
  program = written(run, tmp_path, "stablehlo")
  said = capsys.readouterr().out.split()
  assert said == [
    str(tmp_path / name)
    for name in ("model.stablehlo", "model.stablehlo.json", "model_card.md")
  ]
  images = np.random.default_rng(5).integers(0, 256, (7, 8, 8, 1), np.uint8)
  model = etf_jax.load(run)
  assert model.temperature < 0.5
  numbers = {f"first{n}": images[:n] for n in (1, 2, 3, 7)}
  found = alone(program, tmp_path, **numbers)
  for name, part in numbers.items():
    check_same(found, name, model(part))
  facts = json.loads((tmp_path / "model.stablehlo.json").read_text())
  assert facts["class_names"] == list("0123456789")
  assert facts["inputs"] == {
    "images": {"dtype": "uint8", "shape": ["batch", "height", "width", 1]}
  }
  assert facts["outputs"]["probabilities"]["shape"] == ["batch", 10]
  assert facts["platforms"] == ["cpu", "cuda", "tpu"]
  assert facts["temperature"] == model.temperature
  assert facts["largest_difference"] < 1e-5


def encoded(pixels, kind="PNG", **options):
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, kind, **options)
  return file.getvalue()


def test_a_program_that_scales_and_crops_photographs(tmp_path):
  run = trained_runs.photographs()
  program = written(run, tmp_path, "stablehlo")
  model, photo = etf_jax.load(run), load_sample_image("china.jpg")
  images = {
    f"{height}x{width}": photo[100 : 100 + height, :width]
    for height, width in ((225, 300), (300, 225), (20, 20), (12, 17), (9, 40))
  }
  found = alone(program, tmp_path, **{k: v[None] for k, v in images.items()})
  for name, pixels in images.items():
    # Losslessly as JPEGs are scaled, and as Pillow scales the file's content.
    plan = image._plan(*pixels.shape[:2], 1, 20, "longer")
    pixels = np.ascontiguousarray(pixels)
    array, size = image._finish(
      pixels, pixels.shape[:2], 1, plan, 1, 20, "longer"
    )
    check_same(found, name, model(array[None], np.array([size])))
    array, size = model.decode(encoded(pixels))
    expected = model(array[None], np.array([size]))
    np.testing.assert_allclose(
      found[f"{name} probabilities"], expected.probabilities, atol=0.01
    )


def test_a_plain_install_can_export(run, tmp_path):
  setup = configparser.ConfigParser()
  setup.read(pathlib.Path(etf_jax.__file__).parents[1] / "setup.cfg")
  names = setup["options"]["install_requires"].splitlines()
  names = [name for name in names if name and not name.startswith("#")]
  argv = [f"--workdir={run}", "--format=stablehlo", f"--output={tmp_path}"]
  done = subprocess.run(
    [sys.executable, "-c", PLAIN, ";;".join(names), *argv],
    env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  assert (tmp_path / "model.stablehlo").exists()


def test_tensors_have_the_names_of_the_variables(run, tmp_path):
  tensors = safetensors.numpy.load_file(written(run, tmp_path, "safetensors"))
  variables = etf_jax.load(run).variables
  np.testing.assert_array_equal(
    tensors["params/backbone/Conv_0/kernel"],
    variables["params"]["backbone"]["Conv_0"]["kernel"],
  )
  np.testing.assert_array_equal(
    tensors["etf/head/prototypes"], variables["etf"]["head"]["prototypes"]
  )
  assert len(tensors) == len(jax.tree.leaves(variables))
  facts = json.loads((tmp_path / "model.safetensors.json").read_text())
  assert facts["layout"] == "flax"
  assert facts["largest_difference"] == 0


def test_resnets_have_the_layout_of_torchvision(run, tmp_path):
  model = etf_jax.load(run)
  model.config.model.name = "resnet18"
  model.model = models.create_model(model.config)
  rng, shape = np.random.default_rng(0), model.image_shape
  like = state.train_state_shapes(
    model.model, optax.identity(), shape
  ).variables
  model.variables = jax.tree.map(
    lambda leaf: rng.random(leaf.shape, np.float32), like
  ) | {"etf": jax.device_get(state.draw_classifier(model.model, shape, 0))}
  path = tmp_path / "model.safetensors"
  assert exported.write_tensors(model, path) == "torchvision"
  tensors = safetensors.numpy.load_file(path)
  assert "layer4.1.bn2.running_var" in tensors
  again = pretrained.load(path, model.variables)
  jax.tree.map(np.testing.assert_array_equal, again, dict(model.variables))


def test_a_program_that_differs_is_not_written(run, tmp_path):
  model = etf_jax.load(run)
  wrong = model.scores

  def call(images):
    logits = wrong(*exported.scaled(model, images)).logits
    return {"logits": logits + np.float32(1e-3)}

  with pytest.raises(RuntimeError, match="differ by"):
    exported.check(model, call)


def test_the_card_says_what_the_run_does(run, tmp_path):
  written(run, tmp_path, "card")
  assert [path.name for path in tmp_path.iterdir()] == ["model_card.md"]
  card = (tmp_path / "model_card.md").read_text()
  final = trained_runs.final_row(run)
  accuracy = f"{100 * final['last']['accuracy']:.1f}"
  assert card.startswith("# digits_lt: etf_dr\n")
  cells = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in card.splitlines()
    if line.startswith("|")
  ]
  facts = {cell[0]: cell[1:] for cell in cells}
  assert facts["test images"] == ["355"]
  assert facts["training images"][0].startswith("363, 108 to 5 a class")
  assert facts["seed"] == ["3"]
  assert facts["backbone"] == ["trained_runs:Small"]
  assert facts["last (this model)"][1] == accuracy
  assert "best, chosen by balanced accuracy on validation images" in card
  recall = final["last"]["per_class_accuracy"][9]
  assert facts["9"] == ["5", "few", f"{100 * recall:.1f}"]
  record = json.loads((run / "calibration.json").read_text())["24"]
  before, after = (f"{100 * x:.1f}" for x in record["ece"]["test"])
  assert facts["ECE on test, percent"] == [f"{before} before, {after} after"]
  rows = (run / "metrics.jsonl").read_text().splitlines()
  collapse = [json.loads(row) for row in rows if '"kind":"collapse"' in row]
  assert facts["within-class variability, NC1, test"] == [
    f"{collapse[-1]['nc1']:.4g}"
  ]
  assert "not calibrated" not in card


def test_a_card_of_an_unfinished_run_says_so(digits_dir, tmp_path):
  place = trained_runs.copy(trained_runs.digits(digits_dir), tmp_path / "run")
  rows = (place / "metrics.jsonl").read_text().splitlines()
  (place / "metrics.jsonl").write_text("\n".join(rows[:-1]) + "\n")
  assert export.main([f"--workdir={place}", "--format=card"]) == 0
  card = (place / "export" / "model_card.md").read_text()
  assert "The run has not finished" in card
  assert "Probabilities are not calibrated" in card
  assert "not measured" in card


def test_a_folder_that_cannot_be_written(run, tmp_path, capsys):
  (tmp_path / "file").write_text("")
  argv = ["--format=card", f"--output={tmp_path / 'file' / 'x'}"]
  assert export.main([f"--workdir={run}", *argv]) == 2
  assert "cannot write" in capsys.readouterr().err
