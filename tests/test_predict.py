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
from etf_jax.serving import prediction

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
  found = rows(run, tmp_path, folder, "--batch_size=5", "--top=4")
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
    first, second, third, fourth = np.argsort(-probabilities)[:4]
    assert first == expected.classes[place]
    assert second == expected.runners_up[place]
    close = lambda value: pytest.approx(value, rel=1e-5)  # noqa: E731
    assert row == {
      "image": row["image"],
      "class": str(first),
      "probability": close(probabilities[first]),
      "calibrated": False,
      "angle": close(math.degrees(expected.angles[place])),
      "runner_up": str(second),
      "runner_up_probability": close(probabilities[second]),
      "class_3": str(third),
      "probability_3": close(probabilities[third]),
      "class_4": str(fourth),
      "probability_4": close(probabilities[fourth]),
      "error": None,
    }
  assert list(rows(run, tmp_path, folder, "--top=1")[0]) == [
    *("image", "class", "probability", "calibrated", "angle", "error")
  ]


def test_csv_is_the_same(run, tmp_path, folder):
  found = rows(run, tmp_path, folder, kind="csv")
  for row, other in zip(found, rows(run, tmp_path, folder), strict=True):
    assert row == {
      key: "" if value is None else str(value) for key, value in other.items()
    }


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


@pytest.fixture
def broken(tmp_path, arrays):
  """A good image, a cut one, an empty one, and one without pixels."""
  root = tmp_path / "broken"
  root.mkdir()
  Image.fromarray(arrays[0]).save(root / "c.png")
  Image.fromarray(np.tile(arrays[0], (9, 9))).save(root / "a.jpg")
  cut = (root / "a.jpg").read_bytes()[:300]
  (root / "a.jpg").write_bytes(cut)
  (root / "b.png").write_bytes(b"")
  (root / "d.png").write_text("no image")
  return root


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_bad_files_have_rows_with_the_reason(
  run, tmp_path, capsys, broken, kind
):
  found = rows(run, tmp_path, broken, "--batch_size=2", kind=kind)
  names = [row["image"].rsplit("/", 1)[1] for row in found]
  assert names == ["a.jpg", "b.png", "c.png", "d.png"]
  alone = rows(run, tmp_path, broken / "c.png", kind=kind)
  assert found[2] == alone[0]
  assert not found[2]["error"]
  assert found[1]["error"] == "the file is empty"
  for row in (found[0], found[1], found[3]):
    assert row["error"]
    assert not any(row[key] for key in ("class", "probability", "angle"))
  said = capsys.readouterr().err
  assert f"3 of 4 files could not be read, the first {broken}/a.jpg" in said


def test_bad_files_on_the_terminal(run, capsys, broken):
  bad = broken / "b.png"
  assert predict.main([f"--workdir={run}", str(bad)]) == 2
  printed = capsys.readouterr()
  head, line = printed.out.splitlines()
  assert "probability (not calibrated)" in head
  assert line.startswith(f"{bad}  not read: the file is empty")
  assert f"{bad}: no file could be read, of 1" in printed.err
  assert "--fit_temperature fits a temperature" in printed.err


def test_rows_come_before_the_last_image_is_read(run, folder, monkeypatch):
  model = etf_jax.load(run)
  paths = sorted(map(str, folder.glob("*.png")))
  options = prediction.Options(batch_size=1)
  decoded = []
  decode = model.decode
  monkeypatch.setattr(
    model, "decode", lambda data: decoded.append(1) or decode(data)
  )
  given = iter(prediction.predict(model, [*paths] * 4, options))
  next(given)
  assert len(decoded) < 4 * len(paths)
  assert len([*given]) == 4 * len(paths) - 1


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_the_output_is_whole_or_as_it_was(run, tmp_path, capsys, broken, kind):
  output = tmp_path / f"found.{kind}"
  output.write_text("before")
  given = [f"--workdir={run}", f"--output={output}", broken]
  line = refused(capsys, *given, "--corrupt=error")
  assert "a.jpg" in line
  assert "--corrupt=skip" in line
  assert output.read_text() == "before"
  assert sorted(path.name for path in tmp_path.iterdir()) == [
    "broken",
    output.name,
  ]


def test_names_cannot_steer_a_terminal(run, tmp_path, capsys, arrays):
  path = tmp_path / "a\x1b[2J\nb.png"
  Image.fromarray(arrays[0]).save(path)
  assert predict.main([f"--workdir={run}", str(path)]) == 0
  out = capsys.readouterr().out
  assert "a?[2J?b.png" in out
  assert len(out.splitlines()) == 2
  (row,) = rows(run, tmp_path, path, kind="csv")
  assert row["image"] == str(path)


def test_what_is_not_there(run, tmp_path, capsys, arrays):
  bad, given = tmp_path / "bad", f"--workdir={run}"
  bad.mkdir()
  assert f"{bad} holds no image" in refused(capsys, given, bad)
  bad.rmdir()
  assert f"no such file or folder: {bad}" in refused(capsys, given, bad)
  bad.symlink_to(tmp_path)
  assert "a link to a folder above" in refused(capsys, given, tmp_path)


@pytest.mark.parametrize(
  ("arguments", "said"),
  [
    (["--batch_size=0"], "must be at least 1"),
    (["--top=0"], "--top=0: must lie in 1 to 10"),
    (["--top=11"], "must lie in 1 to 10"),
    (["--output=/proc/none/found.csv"], "--output=/proc/none/found.csv: "),
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
