# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The lines that the guide to one's own images explains are those of a run."""

import re

import guides
from PIL import Image
import pytest
import trained_runs

from etf_jax import main
from etf_jax.configs import base
from etf_jax.errors import InputError
from etf_jax.training.parallel import memory


def refusal(needed):
  """Return the line for a step that does not fit into 80 GB."""
  batch_size = base.get_config().batch_size
  with pytest.raises(InputError) as error:
    memory.refuse_excess(needed, int(80e9), batch_size)
  return str(error.value)


def said(capsys, *arguments):
  """The line with which a run of photographs is refused."""
  argv = ["main", "--config=etf_jax:folder:cpu", *arguments]
  assert main.main(argv) == 2
  lines = capsys.readouterr().err.splitlines()
  (line,) = [line for line in lines if line.startswith("error: ")]
  return line.removeprefix("error: ")


def write_images(root, *folders):
  for folder in folders:
    (root / folder).mkdir(parents=True)
    Image.new("RGB", (9, 9)).save(root / folder / "0.png")
  return f"--config.data.dir={root}"


def write_lists(root, line):
  write_images(root, "a", "b")
  (root / "train.csv").write_text("a/0.png,a\nb/0.png,b\n")
  (root / "test.csv").write_text(f"path,label\n{line}\n")
  return [f"--config.data.{s}_list={root / s}.csv" for s in ("train", "test")]


@pytest.mark.slow
def test_each_is_said_and_no_other(tmp_path, capsys):
  table = guides.section("images").partition("### What its lines mean")[2]
  explained = re.findall(r"^\| `(.*?)` \|", table, re.MULTILINE)
  broken = write_images(tmp_path / "broken", "train/a", "train/b", "test/a")
  (tmp_path / "broken/train/a/0.png").write_bytes(b"no image")
  many = [f"{split}/{k}" for split in ("train", "test") for k in range(200)]
  own = f"--config.data.dir={trained_runs.photograph_folder()}"
  run = (own, *guides.SHORT, *guides.PHOTOGRAPHS, *guides.SMALL)
  run += ("--config.collapse.splits=()", f"--workdir={tmp_path / 'run'}")
  needed = memory.Needed(int(30e9), 0, 0, int(60e9), 0)
  lines = [
    said(capsys, write_images(tmp_path / "half", "test/a")),
    said(
      capsys, write_images(tmp_path / "new", "train/a", "train/b", "test/c")
    ),
    said(capsys, *write_lists(tmp_path / "file", "b/1.png,b")),
    said(capsys, broken),
    said(
      capsys, write_images(tmp_path / "many", *many), "--config.method=etf_dr"
    ),
    refusal(needed),
    said(capsys, *run, "--config.optimizer.learning_rate=1e38"),
    said(capsys, *run),
  ]
  for text in explained:
    pattern = re.escape(text).replace(r"\.\.\.", ".*")
    pattern = re.sub(r"\b(DIR|CLASS|IMAGE|LIST|RUN)\b", r"\\S+", pattern)
    matching = [line for line in lines if re.fullmatch(pattern, line)]
    assert len(matching) == 1, (text, "\n".join(lines))
    lines.remove(*matching)
  assert not lines
