# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Images of a user's own, as they come: the layouts, tails, formats and leaks.

Covers data/sources, data/decode and data/dataset through the main command.
"""

from colored_images import COUNTS, evaluation, photographs, run
import numpy as np
import pytest

pytestmark = pytest.mark.slow


def test_folders_of_classes_are_split(tmp_path, capsys):
  photos = photographs(tmp_path / "photos")
  assert run(tmp_path / "run", photos) == 0
  row, counts = evaluation(tmp_path / "run", "test")
  assert counts == [10, 6, 4, 1, 1]  # less 2, 2, 1, 1 and 0 to test on
  tested = [accuracy is not None for accuracy in row["per_class_accuracy"]]
  assert tested == [True, True, True, True, False]
  present = [a for a in row["per_class_accuracy"] if a is not None]
  assert row["balanced_accuracy"] == pytest.approx(np.mean(present))
  assert "classes of a single image are trained and not tested: gnu" in (
    capsys.readouterr().err
  )


@pytest.mark.parametrize("fraction", [0.1, 0.4])
def test_validation_of_a_tail(tmp_path, capsys, fraction):
  photographs(tmp_path / "photos/train")
  photographs(tmp_path / "photos/test", counts=dict.fromkeys(COUNTS, 3))
  field = f"--config.data.validation_fraction={fraction}"
  measured = "--config.collapse.splits=train,validation"
  assert run(tmp_path / "run", tmp_path / "photos", field, measured) == 0
  row, counts = evaluation(tmp_path / "run", "validation")
  given = {0.1: [1, 1, 1, 1, 0], 0.4: [4, 3, 2, 1, 0]}[fraction]
  assert counts == [n - g for n, g in zip(COUNTS.values(), given, strict=True)]
  tested = [accuracy is not None for accuracy in row["per_class_accuracy"]]
  assert tested == [True, True, True, True, False]
  assert (
    "classes of a single image are trained, and have none for validation: gnu"
  ) in capsys.readouterr().err


@pytest.mark.parametrize("feed", ["resident", "stream"])
def test_pixmaps_and_corrupt_images(tmp_path, capsys, feed):
  photos = photographs(tmp_path / "photos", ".ppm")
  for name in ("3.ppm", "5.ppm"):
    (photos / "cat" / name).write_bytes(b"P6 9 9 255 ")
    (photos / "dog" / name).write_bytes(b"")
  fields = (f"--config.data.feed={feed}", "--config.batch_size=30")
  assert run(tmp_path / "run", photos, *fields) == 2
  (line,) = [
    line
    for line in capsys.readouterr().err.splitlines()
    if line.startswith("error: ")
  ]
  assert " images cannot be decoded: " in line
  assert line.endswith("or set config.data.corrupt='skip'")
  fields += ("--config.data.corrupt=skip",)
  assert run(tmp_path / "run", photos, *fields) == 0


def test_a_list_that_trains_and_tests(tmp_path, capsys):
  photos = photographs(tmp_path / "photos")
  rows = ["file;species"]
  rows += [
    f"{path.relative_to(photos)};{path.parent.name}"
    for path in sorted(photos.glob("*/*"))
  ]
  (tmp_path / "all.csv").write_text("\n".join(rows))
  lists = [
    f"--config.data.{s}_list={tmp_path}/all.csv" for s in ("train", "test")
  ]
  lists.append("--config.data.columns=file,species")
  assert run(tmp_path / "run", photos, *lists) == 0
  expected = (
    "test images that are duplicates of training images: 28 of 28, such"
  )
  assert expected in capsys.readouterr().err
  lists.append("--config.data.duplicates=error")
  assert run(tmp_path / "other", photos, *lists) == 2
  assert f"error: config.data.duplicates='error': {expected}" in (
    capsys.readouterr().err
  )
