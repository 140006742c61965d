# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The probe command, on runs of seconds over digits with coarse classes."""

import argparse
import csv
import json

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image
import pytest
from sklearn.datasets import load_digits
import trained_runs

import etf_jax
from etf_jax import collapse, main, probe
from etf_jax.configs import base
from etf_jax.data import Encoded
from etf_jax.data.sources import splits
from etf_jax.errors import InputError
from etf_jax.probing import command, downstream, features, results

pytestmark = pytest.mark.slow  # trains four runs
# Of 0 to 9.
COARSE = ("round", "line", "both", "both", "line", "both", *("round",) * 4)
ANGLES = (0.5, 1.2)
FAST = ("--epochs=3", "--per_class=12", "--images_at_once=100")


def train(directory, *arguments):
  assert main.main(["main", *arguments, f"--workdir={directory}"]) == 0


@pytest.fixture(scope="module")
def runs(digits_dir, tmp_path_factory):
  """Cross-entropy with two seeds, HingeCE with two cones."""
  root = tmp_path_factory.mktemp("runs")
  common = (
    "--config=etf_jax:base",
    f"--config.data.data_dir={digits_dir}",
    f"--config.data.coarse_classes={COARSE}",
    "--config.data.profile=list",
    "--config.data.counts=(60, 60, 60)",
    "--config.model.name=trained_runs:Small",
    "--config.batch_size=60",
    "--config.total_steps=12",
    "--config.eval.every_steps=12",
    "--config.checkpoint.best=False",
    "--config.devices=1",
    "--config.schedule.warmup_epochs=0",
    "--config.report.tensorboard=False",
    "--config.report.html=False",
    "--config.collapse.splits=()",
  )
  train(root / "ce", *common, "--config.method=ce", "--config.seeds=0,1")
  for angle in ANGLES:
    train(
      root / f"hinge_{angle}",
      *common,
      "--config.method=etf_hinge",
      f"--config.loss.hinge_tau_major={angle}",
    )
  return root


@pytest.fixture(scope="module")
def probed(runs, tmp_path_factory):
  """Everything that the command writes, of all runs."""
  out = tmp_path_factory.mktemp("probed")
  argv = [f"--workdir={runs}", "--datasets=digits", f"--output={out}", *FAST]
  argv += ["--study", "--view=round,line,both", "--view=digits:3,5,8"]
  assert probe.main(argv) == 0
  return out


def rows_of(out):
  return json.loads((out / "probe.json").read_text())["rows"]


def refused(capsys, *argv):
  """Return the one line of a command that fails."""
  assert probe.main([str(argument) for argument in argv]) == 2
  *_, line = capsys.readouterr().err.splitlines()
  assert line.startswith("error: ")
  return line


def test_coarse_classes_are_those_that_were_named(digits_dir):
  config = base.get_config().data
  config.data_dir = str(digits_dir)
  fine = splits.open_splits(config)
  config.coarse_classes = COARSE
  coarse = splits.open_splits(config)
  assert coarse.train.class_names == ("round", "line", "both")
  for split in ("train", "test"):
    labels = getattr(coarse, split).labels
    assert labels.dtype == np.int32
    expected = [COARSE[k] for k in getattr(fine, split).labels]
    found = [coarse.train.class_names[k] for k in labels]
    assert found == expected
  assert coarse.test.read(3) == fine.test.read(3)
  config.coarse_classes = COARSE[:-1]
  with pytest.raises(InputError, match="names 9 classes and the data have 10"):
    splits.open_splits(config)
  config.coarse_classes = ("a",) * 10
  with pytest.raises(InputError, match="has one class only"):
    splits.open_splits(config)


def test_features_are_those_of_the_model(runs, digits_dir):
  trained = etf_jax.load(runs / "hinge_0.5")
  config = base.get_config().data
  config.data_dir = str(digits_dir)
  source = splits.open_splits(config).test
  split = Encoded(source, trained.pixels)
  images = split.choose(np.arange(len(source.labels))).images
  taken = trained.inputs(jnp.asarray(images), None)
  output = trained.model.apply(trained.variables, taken)
  bound = trained.model.bind(trained.variables)
  expected = {"classifier": output.features, "backbone": bound.backbone(taken)}
  assert expected["classifier"].shape == expected["backbone"].shape == (355, 16)
  for kind, direct in expected.items():
    extract = jax.jit(features.extractor(trained.model, trained.inputs, kind))
    seen = features.read(extract, trained.variables, split, batch_size=100)
    np.testing.assert_allclose(seen.features, direct, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(seen.labels, source.labels)
    # Diversity from all of them at once, in float64.
    diversity = features.diversity(seen, 10)
    rows = np.asarray(direct, np.float64)
    means = np.stack([rows[source.labels == k].mean(axis=0) for k in range(10)])
    apart = means - means.mean(axis=0)
    within = rows - means[source.labels]
    between = np.linalg.pinv(apart.T @ apart / 10, rcond=1e-9)
    nc1 = np.trace(within.T @ within / 355 @ between) / 10
    assert diversity.nc1 == pytest.approx(nc1, rel=1e-3)
    rank = collapse.numerical_rank(np.asarray(direct), source.labels, 10)
    assert diversity.rank == pytest.approx(float(rank), rel=1e-4)
    assert 1 <= diversity.rank_centred <= 16
  templates = features.templates(
    trained.model, trained.variables, images[0], trained.inputs
  )
  np.testing.assert_array_equal(templates, output.weights)
  with pytest.raises(ValueError, match="kind must be one of"):
    features.extractor(trained.model, trained.inputs, "other")


def test_rows_of_every_run(runs, probed):
  rows = rows_of(probed)
  assert [row["part"] for row in rows] == ["source", "transfer"] * 4
  assert [row["seed"] for row in rows[::2]] == [0, 1, 0, 0]
  labels = [row["run"] for row in rows[::2]]
  assert labels[0] == labels[1] == "ce"
  for label, row, angle in zip(labels[2:], rows[4::2], ANGLES, strict=True):
    assert f"hinge_tau_major={angle}" in label
    assert row["tau_plus"] == angle
  assert rows[0]["tau_plus"] is None
  own, transfer = rows[:2]
  final = trained_runs.final_row(runs / "ce" / "seed=0")
  assert own["accuracy"] == final["last"]["accuracy"]
  assert (own["num_classes"], own["train_images"]) == (3, 180)
  assert (transfer["num_classes"], transfer["train_images"]) == (10, 120)
  assert transfer["test_images"] == 355
  assert transfer["metric"] == "top1"
  # Digits from features that have learned to tell three groups of them.
  assert transfer["regression_top1"] > 0.3
  assert transfer["sgd_top1"] > 0.15
  assert transfer["regression_mean_per_class"] != transfer["regression_top1"]


def test_tables_of_every_run(probed):
  rows = rows_of(probed)
  text = (probed / "probe.md").read_text()
  assert text.count("\n| ce |") == 1
  accuracies = [100 * row["sgd_top1"] for row in rows[1:4:2]]
  shown = f"{np.mean(accuracies):.1f} ± {np.std(accuracies, ddof=1):.1f}"
  assert f"| digits | ce | top 1 | {shown} |" in text
  first = rows[5]["sgd_top1"] - rows[1]["sgd_top1"]
  assert f"| {100 * first:+.2f} ± - |" in text
  with (probed / "probe.csv").open() as file:
    flat = list(csv.DictReader(file))
  assert [float(row["nc1"]) for row in flat] == [row["nc1"] for row in rows]
  assert flat[0]["penalty"] == ""
  assert "paired by seed" in results.text(results.tables(rows))


@pytest.mark.parametrize("name", ["study.png", "view-1.png", "view-2.png"])
def test_figures_are_drawn(probed, name):
  pixels = np.asarray(Image.open(probed / name).convert("L"))
  assert min(pixels.shape) > 300
  assert 0.005 < np.mean(pixels < 200) < 0.5


def test_a_folder_and_the_features_of_the_classifier(runs, tmp_path):
  """Larger images in color are made to fit; validation images are fitted."""
  digits = load_digits()
  for k in (3, 8):
    for place, index in enumerate(np.flatnonzero(digits.target == k)[:12]):
      split = ("train", "validation", "test")[(place > 4) + (place > 6)]
      folder = tmp_path / "images" / split / f"digit {k}"
      folder.mkdir(parents=True, exist_ok=True)
      levels = np.rint(digits.images[index] * (255 / 16)).astype(np.uint8)
      image = Image.fromarray(levels).convert("RGB").resize((16, 16))
      image.save(folder / f"{index}.png")
  opened = downstream.open_set(
    "images", str(tmp_path / "images"), base.get_config().data
  )
  assert opened.held_out.tolist() == [False] * 10 + [True] * 4
  assert opened.train.labels.tolist() == [0] * 5 + [1] * 5 + [0, 0, 1, 1]
  names = [opened.train.describe(index) for index in (9, 10)]
  assert "/train/digit 8/" in names[0]
  assert "/validation/digit 3/" in names[1]
  argv = [f"--workdir={runs / 'ce' / 'seed=0'}", f"--output={tmp_path / 'out'}"]
  argv += [f"--dir={tmp_path / 'images'}", "--features=classifier"]
  argv += ["--epochs=2"]
  assert probe.main(argv) == 0
  own, row = rows_of(tmp_path / "out")
  assert (row["data"], row["num_classes"]) == ("images", 2)
  assert (row["train_images"], row["test_images"]) == (14, 10)
  assert own["features"] == "classifier"
  assert not (tmp_path / "out" / "study.png").exists()


@pytest.mark.parametrize(
  ("arguments", "said"),
  [
    ([], "name the data sets: --datasets="),
    (["--datasets=cifra10"], "did you mean 'cifar10'?"),
    (["--datasets=cifar10,,"], "each entry is NAME or NAME=FOLDER, got ''"),
    (["--datasets=digits,digits"], "names digits twice"),
    (["--datasets=cifar10", "--data_dir={}"], "cifar10 is not prepared in"),
    (["--datasets=aircraft"], "--datasets=aircraft=FOLDER"),
    (["--dir={}/none"], "none"),
    (["--dir={}"], "train"),
    (["--datasets=digits", "--epochs=0"], "--epochs=0 must be at least 1"),
    (["--datasets=digits", "--learning_rate=0"], "must be above 0"),
    (["--datasets=digits", "--per_class=1"], "has 1 training image"),
    (["--datasets=digits", "--study"], "got 0"),
    (["--datasets=digits", "--view=round,line"], "three different classes"),
    (["--datasets=digits", "--view=round,line,bth"], "did you mean 'both'?"),
    (["--datasets=digits", "--view=digits:1,2,12"], "--view='12': unknown"),
    (["--datasets=digits", "--view=cifar10:1,2,3"], "--view='cifar10'"),
    (["--datasets=digits", "--workdir={}"], "no run in"),
  ],
)
def test_wrong_arguments_are_one_line(runs, capsys, tmp_path, arguments, said):
  given = [argument.format(tmp_path) for argument in arguments]
  place = f"--workdir={runs / 'ce' / 'seed=0'}"
  assert said in refused(capsys, place, *given, f"--output={tmp_path / 'out'}")


def test_an_unfinished_run_is_one_line(runs, capsys, tmp_path):
  place = trained_runs.copy(runs / "ce" / "seed=0", tmp_path / "run")
  rows = (place / "metrics.jsonl").read_text().splitlines()
  (place / "metrics.jsonl").write_text("\n".join(rows[:-1]) + "\n")
  line = refused(capsys, f"--workdir={place}", "--datasets=digits")
  assert "has not finished" in line


def test_cones_of_two_angles_are_no_study(runs, capsys, tmp_path):
  fields = {"loss.hinge_minor_count": 60, "loss.hinge_tau_minor": 0.3}
  for angle in ANGLES:
    trained_runs.copy(runs / f"hinge_{angle}", tmp_path / f"{angle}", **fields)
  # All three classes have 60 images: one angle, the same for both.
  argv = [f"--workdir={tmp_path}", "--datasets=digits", "--study"]
  assert "two values of it or more, got 1" in refused(capsys, *argv)
  counts = tmp_path / "0.5" / "class_counts.json"
  counts.write_text("[60, 60, 61]")
  assert "cones of 0.3 and 0.5 radians" in refused(capsys, *argv)


def test_runs_on_different_data_are_lines_of_their_own(runs, tmp_path):
  """Both have seed 0, one name and one method; no mean is over the two."""
  trained_runs.copy(runs / "ce" / "seed=0", tmp_path / "a")
  fields = {"data.imbalance": 0.05}
  trained_runs.copy(runs / "ce" / "seed=0", tmp_path / "b", **fields)
  for name, text, hash_ in (
    ("a", "[60, 60, 60]", "1"),
    ("b", "[60, 60, 6]", "2"),
  ):
    (tmp_path / name / "class_counts.json").write_text(text)
    meta = json.loads((tmp_path / name / "config.json").read_text())
    meta["hash"] = hash_
    (tmp_path / name / "config.json").write_text(json.dumps(meta))
  groups = command._groups(
    argparse.Namespace(workdir=[str(tmp_path)], study=False)
  )
  assert [group.label for group in groups] == [
    "ce (data.imbalance=0.01)",
    "ce (data.imbalance=0.05)",
  ]
  assert [len(group.runs) for group in groups] == [1, 1]
