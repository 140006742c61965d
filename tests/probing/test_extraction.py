# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Images to features: by runs, backbones, PyTorch's models and functions."""

import csv
import json
import shutil

import colored_images
from golden import resnets
import numpy as np
from PIL import Image
import pytest
import safetensors.numpy
import trained_runs

from etf_jax import features, main, predict

CALLS = []


def colors(images):
  """Return the mean color and its square, at most 99 batches."""
  CALLS.append(len(images))
  if len(CALLS) > 99:
    raise KeyboardInterrupt
  means = images.mean(axis=(1, 2)) / 255
  return np.concatenate([means, means**2], axis=1)


def wrong_shape(images):
  return images.mean(axis=(1, 2, 3))


def not_finite(images):
  return np.full((len(images), 2), np.nan)


def extract(directory, output, *arguments, model="test_extraction:colors"):
  argv = [f"--model={model}", f"--dir={directory}", f"--output={output}"]
  return features.main([*argv, "--image_size=8", "--batch_size=4", *arguments])


def arrays(path):
  with np.load(path, allow_pickle=False) as file:
    return dict(file)


@pytest.fixture(autouse=True)
def _no_calls():
  CALLS.clear()


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
  """28 images in five folders."""
  return colored_images.photographs(tmp_path_factory.mktemp("images"))


def test_rows_classes_and_files(classes, tmp_path, capsys):
  output = tmp_path / "x.npz"
  assert extract(classes, output) == 0
  line = capsys.readouterr().out
  assert line == f"28 rows of 6 features in {output}\n"
  found = arrays(output)
  assert CALLS == [4] * 7
  assert [p.name for p in tmp_path.iterdir()] == ["x.npz"]
  assert found["files"][0] == "cat/0.png"
  assert list(found["y"][[0, 12, 27]]) == ["cat", "dog", "gnu"]
  for row, name in zip(found["x"], found["files"], strict=True):
    pixels = np.asarray(Image.open(classes / name).resize((8, 8), Image.BOX))
    np.testing.assert_allclose(
      row[:3], pixels.mean(axis=(0, 1)) / 255, atol=0.01
    )
  assert "test_extraction:colors at 8 of 8 pixels" in str(found["model"])


def test_it_goes_on_where_it_was(classes, tmp_path, capsys):
  whole, output = tmp_path / "whole.npz", tmp_path / "x.npz"
  extract(classes, whole)
  CALLS[:] = [0] * 96
  assert extract(classes, output) == 130
  assert not output.exists()
  with (tmp_path / "x.npz.part" / "rows").open("ab") as file:
    file.write(b"half")  # of a row
  other = "test_extraction:wrong_shape"
  assert extract(classes, output, model=other) == 2
  error = capsys.readouterr().err
  assert "holds rows of test_extraction:colors at 8" in error
  CALLS.clear()
  assert extract(classes, output) == 0
  assert len(CALLS) == 4  # of 7, three were done
  one, two = arrays(whole), arrays(output)
  assert one.keys() == two.keys()
  for name, array in one.items():
    np.testing.assert_array_equal(two[name], array)


def test_splits_and_images_without_a_class(classes, tmp_path):
  for split in ("train", "test"):
    shutil.copytree(classes, tmp_path / "split" / split)
  assert extract(tmp_path / "split", tmp_path / "x.npz") == 0
  found = arrays(tmp_path / "x.npz")
  assert found["test_files"][0] == "test/cat/0.png"
  np.testing.assert_array_equal(found["test_x"], found["train_x"])
  assert extract(classes / "cat", tmp_path / "flat.npz") == 0
  flat = arrays(tmp_path / "flat.npz")
  assert set(flat) == {"x", "files", "model"}
  np.testing.assert_array_equal(flat["x"], found["test_x"][:12])


def test_corrupt_images(classes, tmp_path, capsys):
  folder = shutil.copytree(classes, tmp_path / "images")
  for name in ("cat/11.png", *(f"dog/{i}.png" for i in range(4))):
    (folder / name).write_bytes(b"no image")
  assert extract(folder, tmp_path / "x.npz") == 2
  error = capsys.readouterr().err
  assert "cat/11.png: " in error
  assert "remove it, or use --corrupt=skip" in error
  assert extract(folder, tmp_path / "x.npz", "--corrupt=skip") == 0
  assert "5 images could not be read" in capsys.readouterr().err
  found = arrays(tmp_path / "x.npz")
  assert len(found["x"]) == len(found["y"]) == 23
  assert not {"cat/11.png", "dog/3.png"} & set(found["files"])
  assert np.isfinite(found["x"]).all()


@pytest.mark.slow
def test_predictions_are_traced_to_their_files(classes, tmp_path, monkeypatch):
  output = tmp_path / "x.npz"
  assert extract(classes, output) == 0
  run = tmp_path / "run"
  argv = ["main", "--config=etf_jax:features", f"--config.data.dir={output}"]
  argv += ["--config.total_steps=200", "--config.report.tensorboard=False"]
  argv += ["--config.optimizer.learning_rate=0.03", f"--workdir={run}"]
  argv += ["--config.collapse.splits=()", "--config.devices=1"]
  assert main.main(argv) == 0
  folder = classes / "dog"
  assert extract(folder, tmp_path / "new.npz") == 0
  found = tmp_path / "found.csv"
  arguments = [f"--workdir={run}", str(tmp_path / "new.npz")]
  assert predict.main([*arguments, f"--output={found}"]) == 0
  rows = list(csv.DictReader(found.open()))
  assert [row["image"] for row in rows] == [f"{i}.png" for i in range(8)]
  assert [row["class"] for row in rows].count("dog") >= 6


@pytest.mark.slow
def test_a_run_and_its_images(tmp_path):
  run = trained_runs.photographs()
  found = tmp_path / "x.npz"
  images = trained_runs.photograph_folder()
  argv = [f"--model={run}", f"--dir={images}", f"--output={found}"]
  assert features.main(argv) == 0
  got = arrays(found)
  config = json.loads((run / "config.json").read_text())
  assert config["hash"] in str(got["model"])
  assert got["test_x"].shape[1] == 32
  # What the model's head sees is not what its backbone gives.
  assert got["test_x"].min() >= 0
  assert features.main([*argv, "--image_size=9"]) == 2


@pytest.mark.slow
def test_a_backbone_and_its_weights(classes, tmp_path):
  weights = tmp_path / "resnet18.safetensors"
  safetensors.numpy.save_file(resnets.state_dict(18), weights)
  argv = ["--image_size=32", f"--weights={weights}"]
  assert extract(classes, tmp_path / "x.npz", *argv, model="resnet18") == 0
  found = arrays(tmp_path / "x.npz")["x"]
  assert found.shape == (28, 512)
  assert len(np.unique(found[:, 0])) == 28


@pytest.mark.parametrize(
  ("kind", "name"), [("timm", "resnet18.tv_in1k"), ("torchvision", "resnet18")]
)
def test_models_of_pytorch(classes, tmp_path, kind, name):
  """Their ResNet-18, with weights in a file, is ours with the same."""
  torch = pytest.importorskip("torch")
  pytest.importorskip(kind)
  tensors = resnets.state_dict(18) | {
    "fc.weight": np.zeros((1000, 512), np.float32),
    "fc.bias": np.zeros(1000, np.float32),
  }
  weights = tmp_path / "w.pth"
  torch.save({k: torch.from_numpy(v) for k, v in tensors.items()}, weights)
  safetensors.numpy.save_file(tensors, tmp_path / "w.safetensors")
  found = []
  for model, file in ((f"{kind}:{name}", "pth"), ("resnet18", "safetensors")):
    output = tmp_path / f"{file}.npz"
    argv = ["--image_size=64", f"--weights={tmp_path / f'w.{file}'}"]
    assert extract(classes, output, *argv, model=model) == 0
    found.append(arrays(output)["x"])
  theirs, ours = found
  assert theirs.shape == ours.shape == (28, 512)
  np.testing.assert_allclose(theirs, ours, atol=1e-3 * np.abs(ours).max())


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"model": "resnet19"}, "--model='resnet19': unknown; did you mean"),
    ({"model": "resnet18"}, "--weights: resnet18 is a network without"),
    ({"model": "test_extraction:no"}, "test_extraction has no 'no'"),
    ({"model": "no_module:f"}, "cannot import no_module"),
    (
      {"model": "test_extraction:wrong_shape"},
      "--model: gave shape (4,) for 4",
    ),
    ({"model": "test_extraction:not_finite"}, "cat/0.png have NaN or infinity"),
    ({"output": "x.csv"}, "must end in .npz; rename it"),
    ({"dir": "none"}, "--dir=none: no such folder; give one of images"),
    ({"batch_size": "0"}, "--batch_size=0: must be at least 1"),
    ({"image_size": "0"}, "--image_size=0: must be at least 1"),
    ({"output": "/dev/null/x.npz"}, "cannot be written, Not a directory"),
  ],
)
def test_bad_input(classes, tmp_path, capsys, changes, message):
  options = {
    "model": "test_extraction:colors",
    "dir": classes,
    "output": tmp_path / "x.npz",
    "image_size": 8,
    "batch_size": 4,
  }
  options |= changes
  assert features.main([f"--{k}={v}" for k, v in options.items()]) == 2
  captured = capsys.readouterr()
  (line,) = [x for x in captured.err.splitlines() if x.startswith("error")]
  assert message in line
  assert captured.out == ""
