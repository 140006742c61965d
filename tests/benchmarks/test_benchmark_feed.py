# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The benchmark of decoding and of the stream feed."""

import argparse
import importlib.metadata
import importlib.util
import json
import re
import sys

import numpy as np
from PIL import Image
import pytest

from etf_jax import benchmark
from etf_jax.benchmarks import feed as feeds
from etf_jax.data import decode
from etf_jax.errors import InputError

SIZE, SMALLER, BATCH, IMAGES = 48, 32, 4, 6


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
  folder = tmp_path_factory.mktemp("photographs")
  feeds.write_photographs(folder, IMAGES)
  return folder


@pytest.fixture(scope="module")
def report(photographs, tmp_path_factory):
  """Results and output of a small run without tf.data."""
  file = tmp_path_factory.mktemp("feed") / "feed.json"
  with pytest.MonkeyPatch.context() as patch:
    patch.setitem(sys.modules, "tensorflow", None)  # as if not installed
    lines = []
    patch.setattr("builtins.print", lambda *words: lines.extend(words))
    code = benchmark.main(
      [
        "feed",
        f"--dir={photographs}",
        f"--sizes={SIZE},{SMALLER}",
        f"--batch_size={BATCH}",
        "--images=5",
        "--workers=0",
        "--blocks=3",
        "--seconds=0.02",
        f"--json={file}",
      ]
    )
  assert code == 0
  return json.loads(file.read_text()), "\n".join(lines)


def test_photographs_are_as_large_as_real_ones(photographs):
  files = sorted(photographs.iterdir())
  assert len(files) == IMAGES
  for file in files:
    assert 30_000 < file.stat().st_size < 120_000
    with Image.open(file) as image:
      assert image.format == "JPEG"
      assert max(image.size) == 500
      assert 333 <= min(image.size) <= 417
  assert len({file.read_bytes() for file in files}) == IMAGES


def test_rows_are_those_that_were_asked_for(report, photographs):
  written, printed = report
  rows = written["results"]
  assert [(row["part"], row["size"]) for row in rows] == [
    ("decoding", SIZE),
    ("decoding", SMALLER),
    ("feed", SIZE),
  ]
  # Five of six files, from all over the folder.
  chosen = [f"{index:06}.jpg" for index in (0, 1, 2, 3, 4)]
  sizes = [(photographs / name).stat().st_size for name in chosen]
  for row in rows:
    assert row["images"] == 5
    assert row["mean_bytes"] == pytest.approx(np.mean(sizes))
    assert row["versions"]["pillow"] == importlib.metadata.version("pillow")
  assert f"device={written['environment']['device']}" in printed
  assert f"grain={importlib.metadata.version('grain')}" in printed


def test_every_arm_has_its_figures(report):
  written, printed = report
  *decoding, feed = written["results"]
  installed = {"pillow"} | {
    decoder
    for decoder, module in (("simplejpeg", "simplejpeg"), ("opencv", "cv2"))
    if importlib.util.find_spec(module)
  }
  for row in decoding:
    assert set(row["arms"]) == installed | {"Pillow alone"}
  first = decode.choose(None)
  assert set(feed["arms"]) == {f"ours, {first}", "ours, pillow"}
  assert feed["base"] == "ours, pillow"
  for row in written["results"]:
    for name, arm in row["arms"].items():
      for key in ("images_per_second", "ratio"):
        assert 0 < arm[f"{key}_min"] <= arm[key] <= arm[f"{key}_max"]
      assert re.search(
        rf"^\| {name} \| {arm['images_per_second']:.0f} \(.* \|"
        rf" {arm['ratio']:.2f} ",
        printed,
        re.MULTILINE,
      )
    base = row["arms"][row["base"]]
    assert base["ratio_min"] == base["ratio_max"] == 1


def test_it_says_that_tf_data_is_missing(report):
  written, printed = report
  assert written["results"][-1]["difference"] == {}
  assert "tf.data was not measured: TensorFlow is not installed" in printed


def test_pillow_alone_makes_the_same_image(photographs):
  encoded = (photographs / "000000.jpg").read_bytes()
  ours, _ = decode.decode(
    encoded, channels=3, size=256, fit="shorter", decoder="pillow"
  )
  theirs = feeds._by_pillow_alone(encoded, 256)
  assert theirs.shape == (256, 256, 3)
  # Scaling the part that is kept, or all of it: the same up to rounding.
  assert np.abs(ours.astype(int) - theirs).max() <= 1


@pytest.mark.skipif(
  importlib.util.find_spec("tensorflow") is None, reason="needs TensorFlow"
)
@pytest.mark.slow
def test_tf_data_makes_the_same_images(photographs, tmp_path):
  paths = [str(path) for path in sorted(photographs.iterdir())[:BATCH]]
  damaged = tmp_path / "damaged.jpg"
  damaged.write_bytes(b"no image")
  # The end is reached in the second turn.
  ordered = [*paths * 20, str(damaged)]
  with feeds._tf_data(ordered, 64, BATCH, accurate=True) as feed:
    turn, first = feed
    assert (first.dtype, first.shape) == (np.uint8, (BATCH, 64, 64, 3))
    for path, image in zip(paths, first, strict=True):
      with Image.open(path) as whole:
        side = min(whole.size)
        left, top = (whole.width - side) // 2, (whole.height - side) // 2
        expected = whole.resize(
          (64, 64),
          Image.Resampling.BILINEAR,
          box=(left, top, left + side, top + side),
        )
      assert np.abs(np.asarray(expected, int) - image).mean() <= 0.3
    assert turn(1) > 0
    with pytest.raises(InputError, match=r"^tf.data cannot make batches: .*"):
      turn(20)
    with pytest.raises(InputError, match=r"^tf.data's process ended; "):
      turn(1)


def test_a_feed_passes_what_lay_ready():
  feed = iter(range(100))
  assert feeds.pull(feed, 5) > 0
  assert next(feed) == feeds._UNTIMED + 5


def test_comparison_by_hand(monkeypatch):
  seconds = {"base": [2.0, 1.0, 2.5], "arm": [1.0, 1.0, 10.0]}
  monkeypatch.setattr(feeds.timing, "take_turns", lambda *_, **__: seconds)
  options = argparse.Namespace(blocks=3, seconds=8.0, batch_size=10)
  found = feeds._compare({}, "base", options)
  assert found["arms"]["arm"] == {
    "images_per_second": 10.0,
    "images_per_second_min": 1.0,
    "images_per_second_max": 10.0,
    "ratio": 1.0,
    "ratio_min": 0.25,
    "ratio_max": 2.0,
  }


def test_bad_folders_are_errors(tmp_path, capsys):
  (tmp_path / "empty").mkdir()
  (tmp_path / "empty" / "notes.txt").write_text("no image")
  (tmp_path / "damaged").mkdir()
  damaged = tmp_path / "damaged" / "one.JPG"
  damaged.write_bytes(b"\xff\xd8\xff")
  for folder, message in (
    ("absent", "error: --dir={}: there is no such folder; name another\n"),
    (
      "empty/notes.txt",
      "error: --dir={}: there is no such folder; name another\n",
    ),
    (
      "empty",
      "error: --dir={} holds no file that ends in .jpg or .jpeg; name a folder "
      "of JPEGs, or leave --dir out and some are made\n",
    ),
  ):
    path = tmp_path / folder
    assert benchmark.main(["feed", f"--dir={path}"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == message.format(path)
  assert benchmark.main(["feed", f"--dir={damaged.parent}"]) == 2
  assert re.fullmatch(
    rf"error: {re.escape(str(damaged))} cannot be decoded \(.+\); remove it\n",
    capsys.readouterr().err,
  )


@pytest.mark.parametrize(
  ("option", "message"),
  [
    ("--workers=-1", "argument --workers: -1 is negative"),
    ("--workers=two", "argument --workers: invalid"),
    ("--images=0", "argument --images: 0 is not positive"),
    ("--sizes=256,0", "argument --sizes: 0 is not positive"),
    ("--batch_size=-4", "argument --batch_size: -4 is not positive"),
    ("--speed=3", "unrecognized arguments: --speed=3"),
  ],
)
def test_wrong_options(option, message, capsys):
  with pytest.raises(SystemExit) as error:
    benchmark.main(["feed", option])
  assert error.value.code == 2
  assert message in capsys.readouterr().err


def test_its_blocks_are_longer_than_those_of_the_others():
  options = benchmark._parser().parse_args(["feed"])
  assert (options.blocks, options.seconds) == (5, 2.0)
  options = benchmark._parser().parse_args(["feed", "--blocks=9"])
  assert (options.blocks, options.seconds) == (9, 2.0)
  assert benchmark._parser().parse_args(["losses"]).seconds == 0.5
