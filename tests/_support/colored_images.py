# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Small images whose color says their class, and short runs on them."""

import json

import guides
import numpy as np
from PIL import Image

from etf_jax import main

COUNTS = {"cat": 12, "dog": 8, "emu": 5, "fox": 2, "gnu": 1}


def photographs(folder, suffix=".png", counts=COUNTS):
  """Write images of each class, in the color of the class."""
  rng = np.random.default_rng(0)
  for k, (name, count) in enumerate(counts.items()):
    (folder / name).mkdir(parents=True, exist_ok=True)
    for i in range(count):
      pixels = rng.integers(0, 90, (24, 24, 3))
      pixels[..., k % 3] += 120
      image = Image.fromarray(pixels.astype("uint8"))
      image.save(folder / name / f"{i}{suffix}")
  return folder


def run(workdir, directory, *arguments):
  """Train two steps; returns the exit code."""
  return main.main(["main", *command(workdir, directory, *arguments)])


def command(workdir, directory, *arguments):
  """Return the arguments of the main command."""
  fields = [*guides.SHORT, *guides.PHOTOGRAPHS, *guides.SMALL]
  fields += ["--config.collapse.splits=()", f"--config.data.dir={directory}"]
  where = f"--workdir={workdir}"
  return ["--config=etf_jax:folder:cpu", *fields, where, *arguments]


def evaluation(workdir, split):
  """Return the last evaluation of a split, and the training images by class."""
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  rows = [json.loads(line) for line in lines]
  (*_, row) = [r for r in rows if r["kind"] == "eval" and r["split"] == split]
  return row, json.loads((workdir / "class_counts.json").read_text())
