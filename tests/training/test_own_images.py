# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Training on a folder of photographs as people have them."""

import json

import numpy as np
from PIL import Image
import pytest
from sklearn.datasets import load_digits
import tiny_runs

from etf_jax import data, main
from etf_jax.configs import base
from etf_jax.errors import InputError

# Images of each of five digits, for training and for testing.
TRAIN, TEST = (60, 40, 25, 12, 6), 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """JPEGs of digits 0..4, 20 to 30 pixels wide, and what gets among them."""
  root = tmp_path_factory.mktemp("images")
  digits = load_digits()
  rng = np.random.default_rng(0)
  for k, count in enumerate(TRAIN):
    members = np.flatnonzero(digits.target == k)
    for place, index in enumerate(members[: count + TEST]):
      split = "train" if place < count else "test"
      directory = root / split / f"digit {k}"
      directory.mkdir(parents=True, exist_ok=True)
      width, height = rng.integers(20, 31, 2)
      image = Image.fromarray((digits.images[index] * 15.9).astype(np.uint8))
      image = image.resize((int(width), int(height)))
      name = directory / f"{index:04d}"
      if place % 3:  # two thirds in colour, a third grey
        image = image.convert("RGB")
      image.save(f"{name}.jpg", quality=95)
  zero = root / "train" / "digit 0"
  first, second, third, fourth = sorted(zero.glob("*.jpg"))[:4]
  # 1. A file that was cut off, and one that is no image at all.
  first.write_bytes(first.read_bytes()[:200])
  second.write_text("no image")
  # 2. A PNG that is called .jpg, with an alpha channel.
  Image.open(third).convert("RGBA").save(third, format="PNG")
  # 3. A CMYK JPEG.
  Image.open(fourth).convert("CMYK").save(fourth)
  # 4. What is no image by its name, and a class without any.
  (zero / "Thumbs.db").write_bytes(b"x")
  (root / "train" / "digit 9").mkdir()
  return root


# What the tests of other things need not compile.
PLAIN = (
  "--config.augment.brightness=0",
  "--config.augment.contrast=0",
  "--config.augment.saturation=0",
  "--config.collapse.splits=()",
)


def command(folder, directory, *more):
  return main.main(
    [
      "main",
      "--config=etf_jax:folder",
      f"--config.data.dir={folder}",
      "--config.data.image_size=16",
      "--config.augment.crop_size=14",
      "--config.data.feed=stream",
      "--config.model.name=tiny_runs:Tiny",
      "--config.model.width=1",
      "--config.batch_size=32",
      "--config.devices=1",
      "--config.total_epochs=30",
      "--config.schedule.warmup_epochs=1",
      "--config.eval.every_epochs=30",
      "--config.report.tensorboard=False",
      f"--workdir={directory}",
      *more,
    ]
  )


@pytest.mark.parametrize("feed", ["resident", "stream"])
def test_the_first_image_may_be_the_corrupt_one(tmp_path, feed):
  for split in ("train", "test"):
    for k in range(2):
      directory = tmp_path / split / f"class {k}"
      directory.mkdir(parents=True)
      for place in range(3):
        Image.new("RGB", (9, 7), (50 * k, 0, 0)).save(
          directory / f"{place}.png"
        )
  first = tmp_path / "train" / "class 0" / "0.png"
  first.write_bytes(first.read_bytes()[:40])
  config = base.get_config().data
  config.update(
    {"name": "folder", "dir": str(tmp_path), "profile": "none", "feed": feed}
  )
  with pytest.raises(InputError, match=r"0\.png cannot be decoded: "):
    data.load(config)
  config.corrupt = "skip"
  dataset = data.load(config)
  # Unscaled, all have the shape of the first that can be decoded.
  assert dataset.image_shape == (7, 9, 3)
  assert dataset.class_counts.sum() == 5


@pytest.mark.slow
def test_photographs_as_they_come(folder, tmp_path, capsys):
  run = tmp_path / "run"
  assert command(folder, run, "--config.data.corrupt=skip") == 0
  told = capsys.readouterr().err
  # What was left out is named, once.
  skipped = [line for line in told.splitlines() if line.startswith("skipped ")]
  assert len(skipped) == 2
  assert "Thumbs.db" in told
  assert "images are decoded by simplejpeg\n" in told
  assert "digit 9" in told
  # The class without an image is no class; names go with the model.
  names = json.loads((run / "class_names.json").read_text())
  assert names == [f"digit {k}" for k in range(5)]
  counts = json.loads((run / "class_counts.json").read_text())
  assert counts == [TRAIN[0] - 2, *TRAIN[1:]]
  (final,) = tiny_runs.rows(run, "final")
  # Five classes: chance is 20 %.
  assert final["last"]["accuracy"] > 0.6
  assert np.sum(final["confusion"]) == 5 * TEST
  rows = tiny_runs.rows(run, "train", without=())
  assert rows[-1]["limited_by"] in ("feed", "device")


@pytest.mark.slow
def test_lists_choose_and_label(folder, tmp_path):
  for split, count in (("train", 10), ("test", 4)):
    lines = ["path,label"]
    for k in (3, 1):
      files = sorted((folder / split / f"digit {k}").glob("*.jpg"))[:count]
      lines += [f"{file.relative_to(folder)},number {k}" for file in files]
    (tmp_path / f"{split}.csv").write_text("\n".join(lines) + "\n")
  run = tmp_path / "run"
  more = [
    f"--config.data.{split}_list={tmp_path}/{split}.csv"
    for split in ("train", "test")
  ]
  assert command(folder, run, *PLAIN, *more, "--config.total_epochs=1") == 0
  names = json.loads((run / "class_names.json").read_text())
  assert names == ["number 1", "number 3"]
  assert json.loads((run / "class_counts.json").read_text()) == [10, 10]


@pytest.mark.parametrize(
  ("name", "more", "message"),
  [
    (
      "folder",
      (),
      "config.data.name='folder' reads images from files: set config.data.dir",
    ),
    (
      "birdsnap",
      (),
      "config.data.name='birdsnap' reads images from files: set"
      " config.data.dir",
    ),
    (
      "cub200",
      ("dir",),
      "has 5 classes and cub200 has 200; config.data.name='folder' takes images"
      " of any classes",
    ),
  ],
)
def test_what_is_missing_is_said(folder, name, more, message, capsys):
  arguments = ["main", "--config=etf_jax:folder", f"--config.data.name={name}"]
  if more:
    arguments.append(f"--config.data.dir={folder}")
  assert main.main(arguments) == 2
  assert message in capsys.readouterr().err
