# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Images that cannot be decoded, found by several processes of one run."""

import json

import numpy as np
from PIL import Image
import process_runs
import pytest

pytestmark = pytest.mark.slow


def test_all_processes_leave_the_same_images_out(tmp_path):
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
  counts = json.loads((workdir / "class_counts.json").read_text())
  assert sum(counts) == 24 - 6
  left_out = json.loads((workdir / "data.json").read_text())["left_out"]
  assert left_out["train"] == sorted(
    str(file.relative_to(tmp_path)) for file in files[::4]
  )
