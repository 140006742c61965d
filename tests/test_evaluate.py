# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Trained models on the images of their runs and on others; temperatures."""

import base64
import csv
import io
import json
import re
import shutil

import numpy as np
from PIL import Image
import pytest
from scipy import special, stats
from sklearn.datasets import load_digits
import trained_runs

import etf_jax
from etf_jax import evaluate
from etf_jax.evaluation import calibration
from etf_jax.serving import evaluation

pytestmark = pytest.mark.slow

NOT_MEASURED_HERE = {"kind", "split", "step", "epoch", "images_per_second"}


@pytest.fixture(scope="module")
def run(digits_dir):
  return trained_runs.digits(digits_dir)


@pytest.fixture(scope="module")
def test_images(tmp_path_factory):
  """The digits' own test images as PNGs, in a folder for each class."""
  root = tmp_path_factory.mktemp("png")
  digits, seen = load_digits(), np.zeros(10, int)
  for number, (image, label) in enumerate(
    zip(digits.images, digits.target, strict=True)
  ):
    seen[label] += 1
    split = "train" if seen[label] % 5 else "test"
    folder = root / split / str(label)
    folder.mkdir(parents=True, exist_ok=True)
    levels = np.rint(image * (255 / 16)).astype(np.uint8)
    Image.fromarray(levels).save(folder / f"{number:04d}.png")
  return root


def rows(run, tmp_path, *arguments):
  """The rows of a command that succeeds, by split."""
  output = tmp_path / "rows.json"
  argv = [f"--workdir={run}", f"--output={output}", *arguments]
  assert evaluate.main(argv) == 0
  return {row["split"]: row for row in json.loads(output.read_text())}


def refused(capsys, *argv):
  """The one line of a command that fails."""
  assert evaluate.main([str(argument) for argument in argv]) == 2
  *_, line = capsys.readouterr().err.splitlines()
  assert line.startswith("error: ")
  return line


@pytest.mark.parametrize("step", ["last", "best"])
def test_numbers_are_those_of_the_run(run, tmp_path, capsys, step):
  found = rows(run, tmp_path, f"--step={step}")
  assert list(found) == ["validation", "test"]
  final = trained_runs.final_row(run)
  expected = {
    k: v for k, v in final[step].items() if k not in NOT_MEASURED_HERE
  }
  assert expected | found["test"] == found["test"]
  assert found["test"]["step"] == final[step]["step"]
  if step == "last":
    assert found["test"]["confusion"] == final["confusion"]
  assert found["test"]["images"] == 355
  shown = capsys.readouterr().out.splitlines()
  heading, _, _, test, ends = (line.split() for line in shown[:5])
  assert heading[2] == "accuracy"
  assert test[:3] == ["test", "355", f"{100 * expected['accuracy']:.1f}"]
  right = round(355 * expected["accuracy"])
  wilson = stats.binomtest(right, 355).proportion_ci(method="wilson")
  low, high = found["test"]["intervals"]["accuracy"]
  assert (low, high) == pytest.approx((wilson.low, wilson.high))
  assert ends[:3] == ["95", "%", f"{100 * low:.1f}-{100 * high:.1f}"]
  scores = found["test"]["per_class"]
  assert scores["recall"] == expected["per_class_accuracy"]
  at = shown.index("test: by class")
  assert shown[at + 1].split()[:4] == ["class", "training", "test", "precision"]
  assert shown[at + 2].split()[:3] == [
    "0",
    str(etf_jax.load(run).class_counts[0]),
    str(scores["support"][0]),
  ]


def test_images_as_csv(run, tmp_path, test_images):
  output = tmp_path / "images.csv"
  folder = test_images / "test"
  argv = [f"--workdir={run}", f"--images={folder}", f"--output={output}"]
  assert evaluate.main(argv) == 0
  with output.open(newline="") as file:
    found = list(csv.DictReader(file))
  paths = sorted(folder.glob("*/*.png"))
  assert [row["path"] for row in found] == [str(path) for path in paths]
  model = etf_jax.load(run)
  images = np.stack([np.asarray(Image.open(path)) for path in paths])
  expected = model(images[..., None])
  second, first = np.sort(expected.probabilities, axis=1)[:, -2:].T
  for place, row in enumerate(found):
    assert row["label"] == paths[place].parent.name
    assert row["prediction"] == expected.names[place]
    assert float(row["probability"]) == pytest.approx(first[place], rel=1e-4)
    margin = first[place] - second[place]
    assert float(row["margin"]) == pytest.approx(margin, abs=1e-5)
    assert row["calibrated"] == "False"
    assert row["split"] == str(folder)
  # The run's own images have the names of their data set.
  argv = [f"--workdir={run}", f"--output={output}"]
  assert evaluate.main(argv) == 0
  with output.open(newline="") as file:
    splits = [row["split"] for row in csv.DictReader(file)]
  assert splits == ["validation"] * 357 + ["test"] * 355


def test_a_page_of_mistakes(run, tmp_path, test_images):
  folder = tmp_path / "<b>&images"
  shutil.copytree(test_images / "test", folder)
  output = tmp_path / "mistakes.html"
  argv = [f"--workdir={run}", f"--images={folder}", f"--output={output}"]
  assert evaluate.main(argv) == 0
  text = output.read_text()
  confusion = np.array(trained_runs.final_row(run)["confusion"])
  wrong = confusion.sum() - confusion.trace()
  assert f"{wrong} of 355 images are wrong." in text
  pictures = re.findall(r'<img src="data:image/webp;base64,([^"]+)"', text)
  assert len(pictures) >= min(24, wrong)
  image = Image.open(io.BytesIO(base64.b64decode(pictures[0])))
  assert image.size == (8, 8)
  # The largest cell of the confusion beside the diagonal heads the pairs.
  np.fill_diagonal(confusion, 0)
  true, taken = divmod(int(confusion.argmax()), 10)
  heads = re.findall(r"<h4>(.*?)</h4>", text)
  assert heads[0].startswith(
    f"{true} taken for {taken}: {confusion[true, taken]} of "
  )
  # Nothing else is loaded, and names are text.
  assert not re.search(r"(?:src|href)=\"(?!data:)", text)
  assert "<b>&images" not in text
  assert "&lt;b&gt;&amp;images" in text


def test_averaged_weights_and_photographs_too(tmp_path):
  run = trained_runs.photographs()
  found = rows(run, tmp_path)["test"]
  final = trained_runs.final_row(run)["last"]
  expected = {k: v for k, v in final.items() if k not in NOT_MEASURED_HERE}
  assert expected | found == found


def test_batches_of_another_size_count_the_same(run, tmp_path):
  found = rows(run, tmp_path, "--batch_size=64")["test"]
  assert found["confusion"] == trained_runs.final_row(run)["confusion"]


@pytest.mark.parametrize(
  "arguments",
  [
    ("--images={}/test",),
    ("--config.data.name=folder", "--config.data.dir={}"),
    (
      "--config.data.name=folder",
      "--config.data.train_list={}/train.csv",
      "--config.data.test_list={}/test.csv",
    ),
  ],
)
def test_the_same_images_from_files(run, tmp_path, test_images, arguments):
  for split in ("train", "test"):
    paths = sorted(test_images.glob(f"{split}/*/*.png"))
    lines = [f"{p.relative_to(test_images)},{p.parent.name}\n" for p in paths]
    # A list of integers needs every class, and folders of these names.
    (test_images / f"{split}.csv").write_text("path,label\n" + "".join(lines))
  given = [argument.format(test_images) for argument in arguments]
  (found,) = rows(run, tmp_path, *given).values()
  final = trained_runs.final_row(run)
  assert found["confusion"] == final["confusion"]
  # Many, medium and few go by the run's training images, not by these.
  for group in ("many", "medium", "few"):
    assert found[group] == final["last"][group]


def test_some_classes_in_another_order(run, tmp_path, test_images):
  for label in "73":
    shutil.copytree(test_images / "test" / label, tmp_path / "some" / label)
  (found,) = rows(run, tmp_path, f"--images={tmp_path / 'some'}").values()
  expected = np.array(trained_runs.final_row(run)["confusion"])
  expected[[k for k in range(10) if k not in (3, 7)]] = 0
  assert found["confusion"] == expected.tolist()


def test_rows_say_what_abstaining_gains(run, tmp_path, test_images):
  (row,) = rows(run, tmp_path, f"--images={test_images / 'test'}").values()
  first, *_, last = row["coverage"]
  assert first["coverage"] == 1
  assert first["accuracy_by_angle"] == pytest.approx(row["accuracy"])
  assert last["coverage"] == 178 / 355
  # By hand, for the surer half.
  model = etf_jax.load(run)
  paths = sorted(test_images.glob("test/*/*.png"))
  images = np.stack([np.asarray(Image.open(path)) for path in paths])
  found = model(images[..., None])
  correct = found.classes == [int(path.parent.name) for path in paths]
  half = np.argsort(found.angles, kind="stable")[:178]
  assert last["angle"] == pytest.approx(found.angles[half].max(), rel=1e-5)
  assert last["accuracy_by_angle"] == pytest.approx(correct[half].mean())
  half = np.argsort(-found.probabilities.max(axis=1), kind="stable")[:178]
  assert last["accuracy_by_probability"] == pytest.approx(correct[half].mean())


def test_a_temperature_is_fitted_kept_and_used(run, tmp_path, capsys):
  place = trained_runs.copy(run, tmp_path / "run")
  images = np.random.default_rng(0).integers(0, 256, (9, 8, 8, 1), np.uint8)
  before = etf_jax.load(place)(images)
  fitted = rows(place, tmp_path, "--fit_temperature")
  said = capsys.readouterr().out.splitlines()[0]
  record = json.loads((place / "calibration.json").read_text())["24"]
  temperature = record["temperature"]
  assert said == (
    f"temperature {temperature:.4g}, fitted on 357 images of validation, is"
    f" kept in {place / 'calibration.json'}"
  )
  # Cosines want a temperature far below 1.
  assert 0 < temperature < 0.5
  assert record["nll_after"] < record["nll_before"]
  for name, row in fitted.items():
    assert record["ece"][name] == [row["ece"], row["ece_calibrated"]]
    assert row["ece_calibrated"] < row["ece"]
  # The answers are the same, and the probabilities those of the temperature.
  model = etf_jax.load(place)
  after = model(images)
  assert after.names == before.names
  np.testing.assert_allclose(
    after.probabilities,
    special.softmax(np.log(before.probabilities) / temperature, axis=1),
    rtol=1e-3,
  )
  assert f"temperature {temperature:.4g} of calibration" in model.description
  assert rows(place, tmp_path)["test"] == fitted["test"]
  # It belongs to this checkpoint alone.
  best = trained_runs.final_row(run)["best"]["step"]
  assert (etf_jax.load(place, "best").temperature == 1) == (best != 24)


def test_a_temperature_from_other_images(tmp_path, test_images):
  run = trained_runs.photographs()
  place = trained_runs.copy(run, tmp_path / "run")
  images = trained_runs.photograph_folder() / "test"
  rows(place, tmp_path, "--fit_temperature", f"--images={images}")
  record = json.loads((place / "calibration.json").read_text())["6"]
  assert record["fitted_on"] == str(images)
  assert record["images"] == 18
  assert list(record["ece"]) == ["test"]


def test_a_temperature_that_does_not_help_is_not_kept(
  run, tmp_path, capsys, monkeypatch
):
  place = trained_runs.copy(run, tmp_path / "run")
  monkeypatch.setattr(
    calibration, "held_out_likelihoods", lambda *_: (1.25, 1.5)
  )
  assert evaluate.main([f"--workdir={place}", "--fit_temperature"]) == 0
  out = capsys.readouterr().out
  said, heading, *_ = out.splitlines()
  assert "is not kept: folds of 357 images of validation" in said
  assert "1.2500 without, 1.5000 with" in said
  assert "ECE (not calibrated)" in heading
  assert not (place / "calibration.json").exists()
  assert not etf_jax.load(place).calibrated


@pytest.mark.parametrize(
  ("arguments", "said"),
  [
    (["--config.data.dri=x"], "did you mean config.data.dir?"),
    (["--config.data.image_size=9"], "the model was trained with None"),
    (["--config.data.seed=x"], "--config.data.seed"),
    (["--config.model.width=2"], "only --config.data.FIELD=VALUE"),
    (["--setp=best"], "cannot tell what '--setp=best' is"),
    (["--config.data.dir=x", "--images=x"], "give either --images or"),
    (["--config.data.dir=/none"], "/none"),
    (["--images=/none"], "--images=/none is no folder"),
    (["--batch_size=0"], "must be at least 1"),
    (["--output=rows.txt"], "--output=rows.txt: unknown kind of file"),
    (["--config.data.imbalance=0.5"], "or others of each class"),
    (
      ["--fit_temperature", "--config.data.name=x"],
      "to the run's own validation",
    ),
  ],
)
def test_wrong_arguments_are_one_line(run, capsys, arguments, said):
  assert said in refused(capsys, f"--workdir={run}", *arguments)


def test_more_logits_than_memory_are_one_line(run, capsys, monkeypatch):
  monkeypatch.setattr(evaluation, "_memory", lambda: 1e-9)
  assert evaluate.main([f"--workdir={run}"]) == 2
  *_, line = capsys.readouterr().err.splitlines()
  assert "images of 10 classes: what is made of their logits takes" in line
  assert "--images=FOLDER" in line


def test_rows_that_cannot_be_written(run, capsys, tmp_path, test_images):
  (tmp_path / "file").write_text("")
  line = refused(
    capsys,
    f"--workdir={run}",
    f"--images={test_images / 'test'}",
    f"--output={tmp_path / 'file' / 'rows.json'}",
  )
  assert "cannot write" in line


def test_wrong_images_are_one_line(run, capsys, tmp_path):
  given, folder = f"--workdir={run}", tmp_path / "images"
  folder.mkdir()
  images = f"--images={folder}"
  assert "holds no image" in refused(capsys, given, images)
  Image.new("L", (8, 8)).save(folder / "loose.png")
  assert "loose.png is in no class" in refused(capsys, given, images)
  (folder / "10").mkdir()
  (folder / "loose.png").rename(folder / "10" / "a.png")
  line = refused(capsys, given, images)
  assert "class '10', which the model does not know" in line
  (folder / "10").rename(folder / "1")
  (folder / "1" / "a.png").write_text("no image")
  assert "a.png" in refused(capsys, given, images)


def test_no_temperature_without_held_out_images(capsys):
  line = refused(
    capsys, f"--workdir={trained_runs.photographs()}", "--fit_temperature"
  )
  assert "has no validation images" in line
