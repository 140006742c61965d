# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A trained model that is called, and the directories that hold none."""

import io
import json
import math
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
from PIL import Image
import pytest
import trained_runs

import etf_jax
from etf_jax.benchmarks.run import Compilations
from etf_jax.configs import base
from etf_jax.data import decode
from etf_jax.errors import InputError
from etf_jax.evaluation import scoring
from etf_jax.serving import run_directory, trained
from etf_jax.training import state

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(digits_dir):
  return trained_runs.digits(digits_dir)


@pytest.fixture(scope="module")
def model(run):
  return etf_jax.load(run)


@pytest.fixture(scope="module")
def images():
  rng = np.random.default_rng(1)
  return rng.integers(0, 256, (133, 8, 8, 1), dtype=np.uint8)


def by_hand(model, images):
  """The network applied here, to pixels normalised in NumPy."""
  inputs = (images / np.float64(255) - model.mean) / model.std
  output = model.model.apply(model.variables, jnp.asarray(inputs, jnp.float32))
  return jax.device_get((output.logits, output.features, output.weights))


def test_predictions_are_those_of_the_network(model, images):
  found = model(images)
  logits, features, weights = by_hand(model, images)
  np.testing.assert_array_equal(found.classes, np.argmax(logits, axis=1))
  assert found.names == tuple(model.class_names[k] for k in found.classes)
  exponents = np.exp(np.float64(logits))
  np.testing.assert_allclose(
    found.probabilities,
    exponents / exponents.sum(axis=1, keepdims=True),
    rtol=1e-4,
  )
  order = np.argsort(logits, axis=1)
  np.testing.assert_array_equal(found.runners_up, order[:, -2])
  # Unit lengths, so the prototype of the class is the nearest one.
  np.testing.assert_allclose(model.features(images), features, atol=1e-5)
  cosines = np.sum(features * weights[:, found.classes].T, axis=1)
  np.testing.assert_allclose(found.angles, np.arccos(cosines), atol=1e-3)


def test_each_batch_size_gives_the_same_answers(model, images):
  whole = model(images)
  for number in (1, 2, 3, 7, 64, 128, 129):
    part = model(images[:number])
    np.testing.assert_array_equal(part.classes, whole.classes[:number])
    np.testing.assert_allclose(
      part.probabilities, whole.probabilities[:number], rtol=1e-5
    )
    np.testing.assert_allclose(part.angles, whole.angles[:number], rtol=1e-5)


def test_programs_are_powers_of_two(run, images):
  model = etf_jax.load(run)
  with Compilations() as compilations:
    for number in range(1, 10):
      model(images[:number])
  names = [name for _, name in compilations.found]
  assert names.count("score") == 5  # of 1, 2, 4, 8 and 16 images


def test_floats_are_levels_over_255(model, images):
  found = model(images[:5].astype(np.float32) / 255)
  np.testing.assert_array_equal(
    found.probabilities, model(images[:5]).probabilities
  )


@pytest.mark.parametrize(
  ("wrong", "said"),
  [
    (np.zeros((2, 8, 9, 1), np.uint8), "got \\[2, 8, 9, 1\\]"),
    (np.zeros((8, 8, 1), np.uint8), "must be \\[B, 8, 8, 1\\]"),
    (np.zeros((0, 8, 8, 1), np.uint8), "got \\[0, 8, 8, 1\\]"),
    (np.zeros((2, 8, 8, 1), np.int32), "uint8, or floats"),
    (np.full((2, 8, 8, 1), 1.5), "in \\[0, 1\\], got 1.5 to 1.5"),
    (np.full((2, 8, 8, 1), math.nan), "got nan to nan"),
  ],
)
def test_wrong_images_are_one_line(model, wrong, said):
  with pytest.raises(ValueError, match=said):
    model(wrong)


def test_last_and_best_are_the_steps_of_the_run(run):
  final = trained_runs.final_row(run)
  assert etf_jax.load(run, "last").step == final["step"] == trained_runs.STEPS
  assert etf_jax.load(run, step="best").step == final["best"]["step"]


def test_the_directory_above_one_seed_will_do(run, model):
  assert etf_jax.load(run.parent).run.directory == run
  assert model.class_names == tuple("0123456789")
  assert model.image_shape == (8, 8, 1)
  assert model.config.method == "etf_dr"
  assert "seed 3, last checkpoint (step 24)" in model.description


def test_averages_are_what_is_loaded():
  run = trained_runs.photographs()
  model = etf_jax.load(run)
  like = state.train_state_shapes(
    model.model, optax.sgd(0.1, momentum=0.9), (14, 14, 3), average=True
  )
  like = {"params": like.params, "ema": like.ema}
  with ocp.PyTreeCheckpointer() as reader:
    saved = reader.restore(
      run / "checkpoints" / str(model.step) / "default",
      item=like,
      restore_args=jax.tree.map(
        lambda _: ocp.RestoreArgs(restore_type=np.ndarray), like
      ),
      partial_restore=True,
    )
  found, average, last = (
    tree["backbone"]["Conv_0"]["kernel"]
    for tree in (
      model.variables["params"],
      saved["ema"]["params"],
      saved["params"],
    )
  )
  np.testing.assert_array_equal(found, average)
  assert not np.array_equal(found, last)


def test_photographs_are_decoded_as_in_the_run():
  model = etf_jax.load(trained_runs.photographs())
  path = next((trained_runs.photograph_folder() / "test/bee").iterdir())
  image, size = model.decode(path.read_bytes())
  assert image.shape == model.image_shape == (20, 20, 3)
  assert max(size) <= 20
  assert not image[size[0] :].any()
  # A larger square around the same image is not the same image.
  sized, whole = model(image[None], np.array([size])), model(image[None])
  assert not np.allclose(sized.probabilities, whole.probabilities, rtol=1e-3)
  with pytest.raises(ValueError, match="sizes must be \\[1, 2\\]"):
    model(image[None], np.array(size))


def test_photographs_of_one_size_are_not_scaled(tmp_path):
  config = base.get_config()
  config.data.update({"name": "folder", "dir": str(tmp_path)})
  for split in ("train", "test"):
    (tmp_path / split / "a").mkdir(parents=True)
    Image.new("RGB", (10, 12)).save(tmp_path / split / "a" / "1.png")
  pixels = run_directory.images(config).pixels
  assert pixels.shape == (12, 10, 3)
  wide = io.BytesIO()
  Image.new("RGB", (12, 10)).save(wide, "PNG")
  with pytest.raises(decode.CorruptImage, match=r"\(10, 12, 3\)"):
    pixels.decode(wide.getvalue())
  # A side of it is known nowhere else.
  shutil.rmtree(tmp_path)
  with pytest.raises(InputError, match="does not exist"):
    run_directory.images(config)


def test_angles_are_exact_where_the_arc_cosine_is_not():
  angles = np.array([0.0, 1e-4, 1e-2, 1.0, 3.0])
  features = 5 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
  weights = np.array([[2.0, -1.0], [0.0, 0.0]])
  nearest = jax.jit(scoring.nearest_angles)
  found = nearest(
    jnp.asarray(features, jnp.float32), jnp.asarray(weights, jnp.float32)
  )
  expected = np.minimum(angles, np.pi - angles)
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
  nothing = nearest(jnp.zeros((5, 2)), jnp.ones((2, 2)))
  np.testing.assert_allclose(nothing, np.pi / 2, rtol=1e-6)


def test_importing_the_package_imports_no_training():
  code = (
    "import sys, etf_jax; etf_jax.load;"
    "print({'flax', 'orbax', 'PIL', 'scipy.optimize'} & set(sys.modules))"
  )
  done = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, check=True
  )
  assert done.stdout.strip() == "set()"


def test_a_run_that_has_not_finished_says_so(run, tmp_path):
  place = trained_runs.copy(run, tmp_path / "run")
  rows = (place / "metrics.jsonl").read_text().splitlines()
  (place / "metrics.jsonl").write_text("\n".join(rows[:-1]) + "\n")
  assert "has not finished (epoch 6)" in etf_jax.load(place).description


def refused(place, step="last"):
  with pytest.raises(InputError) as caught:
    trained.load(place, step)
  assert "\n" not in str(caught.value)
  return str(caught.value)


def test_directories_without_a_run(run, tmp_path):
  assert "no such directory" in refused(tmp_path / "none")
  assert "holds no run" in refused(tmp_path)
  for seed in (0, 1):
    trained_runs.copy(run, tmp_path / f"seed={seed}")
  assert "holds the runs seed=0, seed=1" in refused(tmp_path)


def test_runs_without_a_checkpoint(run, tmp_path):
  said = refused(trained_runs.photographs(), "best")
  assert "has no best checkpoint (config.checkpoint.best is False)" in said
  assert said.endswith("), or take --step=last")
  assert "is none of last, best" in refused(run, "newest")
  place = trained_runs.copy(run, tmp_path / "run")
  (place / "checkpoints").rename(place / "elsewhere")
  lost = (
    f"{place} has no last checkpoint, checkpoints/24: copy the whole directory,"
    " or take --step=best"
  )
  assert refused(place) == lost
  (place / "checkpoints").mkdir()
  # The older one is not the result.
  shutil.copytree(place / "elsewhere" / "16", place / "checkpoints" / "16")
  assert refused(place) == lost
  # A run that has not finished goes as far as it has come.
  rows = (place / "metrics.jsonl").read_text().splitlines()
  (place / "metrics.jsonl").write_text("\n".join(rows[:-1]) + "\n")
  assert etf_jax.load(place).step == 16
  for folder in ("checkpoints", "best"):
    shutil.rmtree(place / folder)
  assert "last checkpoint: it has not come to its first, or" in refused(place)


@pytest.mark.parametrize(
  ("fields", "said"),
  [
    (
      {"model.kwargs": {"features": 17}},
      "BatchNorm_0/mean: [16] there, [17] here): config.json beside it is not",
    ),
    (
      {"head.name": "linear"},
      "is of another model (etf/head/prototypes: [16, 10] there, missing here",
    ),
    ({"head.batch_norm": False}, "head/norm/mean: [16] there, missing here"),
    ({"model.name": "resnet8"}, "missing here): config.json beside it is not"),
    ({"ema_decay": 0.5}, "(no averages there, some by its config.json)"),
    ({"head.num_prototypes": 12}, "prototypes: [16, 10] there, [16, 12] here"),
    ({"head.name": "eft"}, "did you mean 'etf'"),
    ({"model.num_classes": 11}, "has 11 classes and class_counts.json 10"),
    ({"batch_size": "many"}, "config.json cannot be used"),
  ],
)
def test_a_checkpoint_of_another_model(run, tmp_path, fields, said):
  assert said in refused(trained_runs.copy(run, tmp_path / "run", **fields))


# Orbax gives up the arrays that it has not read yet, whose loop is closed.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("digests", [True, False])
def test_damaged_checkpoints_are_named(run, model, tmp_path, digests):
  place = trained_runs.copy(run, tmp_path / "run")
  folder = place / "checkpoints" / "24" / "default"
  if not digests:
    (folder / "SHA256SUMS").unlink(missing_ok=True)
  # Neither the list itself, nor what is written after it.
  apart = {"SHA256SUMS", "commit_success.txt"}
  files = [
    path
    for path in sorted(folder.rglob("*"))
    if path.is_file() and path.stat().st_size and path.name not in apart
  ]
  said = []
  for path in files:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    try:
      found = etf_jax.load(place).variables
    except InputError as error:
      said.append(str(error))
    else:  # without digests, what the variables do not need goes unseen
      jax.tree.map(np.testing.assert_array_equal, found, model.variables)
    path.write_bytes(content)
  assert len(said) == len(files) if digests else len(said) >= 3
  for line in said:
    assert "checkpoints/24 cannot be read (" in line
    assert "\n" not in line


def test_averages_that_the_config_does_not_know(tmp_path):
  run = trained_runs.photographs()
  place = trained_runs.copy(run, tmp_path / "run", ema_decay=0.0)
  assert "(averages there, none by its config.json)" in refused(place)


def test_damaged_files_beside_it(run, tmp_path):
  for name in ("config.json", "class_counts.json", "class_names.json"):
    place = trained_runs.copy(run, tmp_path / name)
    text = (place / name).read_text()
    (place / name).write_text(text[: len(text) // 2])
    assert name in refused(place)
  place = trained_runs.copy(run, tmp_path / "calibration")
  (place / "calibration.json").write_text('{"24": {"temperature": -1}}')
  assert "fit again" in refused(place)
  (place / "calibration.json").write_text(json.dumps({"8": {"temperature": 9}}))
  assert etf_jax.load(place).temperature == 1  # that is another step's
