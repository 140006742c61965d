# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Advice on a user's data: the numbers, and commands that can be run."""

import json
import shlex
import shutil

import colored_images
import numpy as np
import pytest

from etf_jax import advise
from etf_jax.runs import command_line


def advised(tmp_path, capsys, *arguments):
  """The JSON, the printed lines, and the config of the first command."""
  output = tmp_path / "advice.json"
  assert advise.main([*arguments, f"--output={output}"]) == 0
  found, printed = json.loads(output.read_text()), capsys.readouterr().out
  for command in found["commands"]:
    assert f"\n{command}\n" in printed
  python, _, module, *words = shlex.split(found["commands"][0])
  assert (python, module) == ("python", "etf_jax.main")
  return found, printed, *command_line.parse(["main", *words])


@pytest.mark.slow
def test_a_folder_of_photographs(tmp_path, capsys):
  folder = colored_images.photographs(tmp_path / "p h")
  shutil.copy(folder / "cat/0.png", folder / "dog/twin.png")
  (folder / "cat/bad.png").write_bytes(b"no image")
  found, printed, config, workdir = advised(
    tmp_path, capsys, f"--dir={folder}", "--config.data.test_fraction=0.5"
  )
  # 13, 9, 5, 2, 1 images, of which half, rounded up, are to test.
  by_class = {r["name"]: (r["train"], r["test"]) for r in found["classes"]}
  assert by_class == {
    "cat": (6, 7), "dog": (4, 5), "emu": (2, 3), "fox": (1, 1), "gnu": (1, 0)
  }  # fmt: skip
  assert found["totals"] == {"train": 14, "test": 16}
  assert (found["largest"], found["smallest"]) == (6, 1)
  assert found["imbalance"] == pytest.approx(1 / 6)
  assert found["shots"] == {"many": 0, "medium": 0, "few": 5}
  (line,) = [x for x in found["duplicates"] if "another class: 2 of 30" in x]
  assert {"cat/0.png", "dog/twin.png"} <= set(line.split())
  sides = found["sides"]
  assert (sides["least"], sides["median"], sides["most"]) == (24, 24, 24)
  assert "14 images of 5 classes" in printed
  assert "without a test image: gnu" in printed
  assert config.data.dir == str(folder)
  assert config.data.test_fraction == 0.5
  assert config.method == found["method"]
  # The images are smaller than the recipe's.
  assert (config.data.image_size, config.augment.crop_size) == (24, 21)
  assert workdir == "runs/p h"


@pytest.mark.slow
def test_features(tmp_path, capsys):
  rows = np.random.default_rng(0).normal(size=(110, 5)).astype(np.float32)
  labels = np.repeat(["a", "b"], [100, 10])
  np.savez(tmp_path / "x.npz", x=rows, y=labels)
  found, printed, config, _ = advised(
    tmp_path, capsys, f"--dir={tmp_path / 'x.npz'}"
  )
  assert found["totals"] == {"train": 88, "test": 22}
  assert found["sides"] is None
  assert "duplicates" not in printed
  assert config.name == "features"
  assert config.method == "ldam_drw"


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ([], "--dir, --config: give one"),
    (["--dir=x", "--config=etf_jax:folder"], "--dir, --config: give one"),
    (["--dir=x", "--output=x.txt"], "--output=x.txt: must end in .json"),
    (["--dir=x", "--workdir=y"], "--workdir=y: nothing is trained; leave"),
    (["--dir=nowhere"], "nowhere"),
    (["--config=etf_jax:foldr"], "did you mean 'folder'"),
  ],
)
def test_wrong_input_is_one_line(arguments, message, capsys):
  assert advise.main(arguments) == 2
  (line,) = capsys.readouterr().err.strip().splitlines()
  assert line.startswith("error: ")
  assert message in line
