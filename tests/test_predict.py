# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Photographs on the command line, and what is no photograph."""

import csv
import json
import math

import numpy as np
from PIL import Image
import pytest
from sklearn.datasets import load_digits
import trained_runs

import etf_jax
from etf_jax import predict

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(digits_dir):
  return trained_runs.digits(digits_dir)


@pytest.fixture(scope="module")
def arrays():
  """Twelve digits, uint8 `[12, 8, 8]`."""
  return np.rint(load_digits().images[:12] * (255 / 16)).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, arrays):
  """They as files below one folder, gray, in color, larger, and turned."""
  root = tmp_path_factory.mktemp("mixed")
  (root / "b" / "deep").mkdir(parents=True)
  places = ["b/deep/z", "b/a", "c"] + [f"d{k}" for k in range(9)]
  for number, (image, place) in enumerate(zip(arrays, places, strict=True)):
    image = Image.fromarray(image)
    if number == 1:
      image = image.convert("RGB")
    if number == 2:
      image = image.resize((24, 24), Image.Resampling.NEAREST)
    image.save(root / f"{place}.png")
  (root / "notes.txt").write_text("no image")
  (root / ".hidden.png").write_text("no image")
  return root


def rows(run, tmp_path, *arguments, kind="json"):
  """The rows of a command that succeeds."""
  output = tmp_path / f"found.{kind}"
  argv = [f"--workdir={run}", f"--output={output}", *map(str, arguments)]
  assert predict.main(argv) == 0
  if kind == "json":
    return json.loads(output.read_text())
  with output.open(newline="") as file:
    return list(csv.DictReader(file))


def refused(capsys, *argv):
  """The one line of a command that fails."""
  assert predict.main([str(argument) for argument in argv]) == 2
  *_, line = capsys.readouterr().err.splitlines()
  assert line.startswith("error: ")
  return line


def test_a_folder_in_sorted_order(run, tmp_path, folder, arrays):
  found = rows(run, tmp_path, folder, "--batch_size=5")
  assert [row["image"] for row in found] == [
    str(folder / f"{name}.png")
    for name in ("b/a", "b/deep/z", "c", *(f"d{k}" for k in range(9)))
  ]
  arrays = arrays[[1, 0, *range(2, 12)]]
  # The large one is scaled as Pillow scales.
  large = Image.open(folder / "c.png")
  arrays[2] = large.resize((8, 8), Image.Resampling.BILINEAR)
  expected = etf_jax.load(run)(arrays[..., None])
  for place, row in enumerate(found):
    probabilities = expected.probabilities[place]
    runner_up = expected.runners_up[place]
    assert row == {
      "image": row["image"],
      "class": expected.names[place],
      "probability": pytest.approx(probabilities.max(), rel=1e-5),
      "angle": pytest.approx(math.degrees(expected.angles[place]), rel=1e-5),
      "runner_up": str(runner_up),
      "runner_up_probability": pytest.approx(
        np.sort(probabilities)[-2], rel=1e-5
      ),
    }


def test_csv_is_the_same(run, tmp_path, folder):
  found = rows(run, tmp_path, folder, kind="csv")
  for row, other in zip(found, rows(run, tmp_path, folder), strict=True):
    assert row == {key: str(value) for key, value in other.items()}


def test_the_decoding_is_that_of_the_run(tmp_path):
  run = trained_runs.photographs()
  test = trained_runs.photograph_folder() / "test"
  found = rows(run, tmp_path, test)
  confusion = np.zeros((3, 3), int)
  names = list(trained_runs.PHOTOGRAPHS)
  for row in found:
    truth = names.index(row["image"].split("/")[-2])
    confusion[truth, names.index(row["class"])] += 1
  assert confusion.tolist() == trained_runs.final_row(run)["confusion"]


def test_abstaining_marks_larger_angles(run, tmp_path, folder, capsys):
  plain = rows(run, tmp_path, folder)
  angle = sorted(row["angle"] for row in plain)[5]
  found = rows(run, tmp_path, folder, f"--abstain_angle={angle}")
  assert [row["abstained"] for row in found] == [
    row["angle"] > angle for row in plain
  ]
  assert sum(row["abstained"] for row in found) == 6
  argv = [f"--workdir={run}", str(folder), f"--abstain_angle={angle}"]
  assert predict.main(argv) == 0
  lines = capsys.readouterr().out.splitlines()
  assert sum(line.endswith("abstained") for line in lines) == 6
  first = plain[0]
  assert lines[1].split()[:4] == [
    first["image"],
    first["class"],
    f"{100 * first['probability']:.1f}",
    "%",
  ]


def test_what_is_no_image(run, tmp_path, capsys, arrays):
  good, bad = tmp_path / "good.png", tmp_path / "bad.jpg"
  Image.fromarray(arrays[0]).save(good)
  Image.fromarray(np.tile(arrays[0], (9, 9))).save(bad)
  bad.write_bytes(bad.read_bytes()[:300])
  given = (f"--workdir={run}", good, bad)
  line = refused(capsys, *given)
  assert str(bad) in line
  assert "--corrupt=skip" in line
  (found,) = rows(run, tmp_path, *given[1:], "--corrupt=skip")
  assert found["image"] == str(good)
  assert f"skipped {bad}: " in capsys.readouterr().err
  bad.write_text("")
  assert "the file is empty" in refused(capsys, *given)
  line = refused(capsys, f"--workdir={run}", bad, "--corrupt=skip")
  assert "none of the 1 images can be read" in line
  bad.unlink()
  bad.mkdir()
  assert f"{bad} holds no image" in refused(capsys, *given)
  bad.rmdir()
  assert f"no such file or folder: {bad}" in refused(capsys, *given)
  bad.symlink_to(tmp_path)
  assert "a link to a folder above" in refused(
    capsys, f"--workdir={run}", tmp_path
  )


@pytest.mark.parametrize(
  ("arguments", "said"),
  [
    (["--batch_size=0"], "must be at least 1"),
    (["--output=found.txt"], "must end in .csv or .json"),
    (["--abstain_angle=181"], "must lie in [0, 180] degrees"),
    (["--abstain_angle=nan"], "must lie in [0, 180] degrees"),
  ],
)
def test_wrong_arguments_are_one_line(run, capsys, folder, arguments, said):
  assert said in refused(capsys, f"--workdir={run}", folder, *arguments)


def test_no_run(capsys, folder, tmp_path):
  line = refused(capsys, f"--workdir={tmp_path}", folder)
  assert "holds no run" in line
