# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Images that cannot be decoded, found by several processes of one run."""

import numpy as np
from PIL import Image
import process_runs
import pytest
import tiny_runs

pytestmark = pytest.mark.slow


def test_each_corrupt_image_is_counted_once(tmp_path):
  rng = np.random.default_rng(0)
  for split, count in (("train", 12), ("test", 4)):
    for k in range(2):
      folder = tmp_path / split / f"class {k}"
      folder.mkdir(parents=True)
      for place in range(count):
        levels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(levels).save(folder / f"{place:02d}.png")
  files = sorted((tmp_path / "train").glob("*/*.png"))
  for file in files[::4]:
    file.write_text("no image")
  workdir = tmp_path / "run"
  # Two epochs of one batch: in each a process has half of the images.
  command = process_runs.command(
    workdir,
    "",
    "--config.data.name=folder",
    f"--config.data.dir={tmp_path}",
    "--config.data.profile=none",
    "--config.data.image_size=8",
    "--config.data.feed=stream",
    "--config.data.corrupt=skip",
    "--config.batch_size=24",
    "--config.total_steps=2",
    "--config.augment.crop_padding=0",
    "--config.collapse.splits=()",
    "--config.checkpoint.best=False",
  )
  run = process_runs.Run(workdir, command, 2, 1)
  assert run.running.wait() == 0, run.output
  first, second = (
    {
      line.partition(" skipped ")[2]
      for line in run.said
      if line.startswith(f"[{number}] skipped ")
    }
    for number in range(2)
  )
  # Neither the first process's number nor the sum of both.
  assert len(first) < 6
  assert first & second
  rows = tiny_runs.rows(workdir, "train")
  assert [row["corrupt_images"] for row in rows] == [6, 6]
