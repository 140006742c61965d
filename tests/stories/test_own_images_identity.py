# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A run knows its images: which they are, and not where they lie.

Covers data/fingerprint, runs/data_record, runs/identity and runs/directory
through the main command, with images that move, change or are corrupt.
"""

import json
import shutil
import signal
import subprocess
import sys

import colored_images
import numpy as np
import process_runs
import pytest
import run_results

from etf_jax import evaluate
from etf_jax.training.parallel import distributed

pytestmark = pytest.mark.slow

COUNTS = {"cat": 6, "dog": 4, "emu": 3}
# Four steps, an evaluation every second.
STEPS = ("--config.total_steps=4",)


@pytest.fixture
def photos(tmp_path):
  root = tmp_path / "photos"
  colored_images.photographs(root / "train", counts=COUNTS)
  colored_images.photographs(root / "test", counts=dict.fromkeys(COUNTS, 2))
  return root


def run(workdir, directory, *arguments):
  return colored_images.run(workdir, directory, *STEPS, *arguments)


def rows(workdir):
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  return [json.loads(line) for line in lines]


def losses(workdir):
  return [row["loss"] for row in rows(workdir) if row["kind"] == "train"]


def interrupted(monkeypatch, workdir, directory, *arguments):
  """Train one step, as a run that is told to stop does."""
  with monkeypatch.context() as patch:
    patch.setattr(distributed, "stop_requested", lambda: True)
    code = run(workdir, directory, *arguments)
  assert code == distributed.EXIT_PREEMPTED


def refusal(capsys, workdir, directory, *arguments):
  capsys.readouterr()
  before = (workdir / "metrics.jsonl").read_text()
  assert run(workdir, directory, *arguments) == 2
  assert (workdir / "metrics.jsonl").read_text() == before
  found = capsys.readouterr().err.splitlines()
  (line,) = [line for line in found if line.startswith("error: ")]
  return line


def test_the_place_of_the_images_is_no_identity(
  photos, tmp_path, monkeypatch, capsys
):
  workdir = tmp_path / "run"
  monkeypatch.chdir(tmp_path)
  interrupted(monkeypatch, workdir, "photos")
  recorded = json.loads((workdir / "config.json").read_text())["config"]
  assert recorded["data"]["dir"] == str(photos)
  moved = photos.rename(tmp_path / "elsewhere")
  interrupted(monkeypatch, workdir, f"{moved}/")
  assert run(workdir, "elsewhere") == 0
  shutil.copytree(moved, photos)
  undisturbed = tmp_path / "undisturbed"
  assert run(undisturbed, photos) == 0
  assert losses(workdir) == losses(undisturbed)
  hashes = {
    json.loads((place / "config.json").read_text())["hash"]
    for place in (workdir, undisturbed)
  }
  assert len(hashes) == 1
  # Another directory, and images that have moved since.
  monkeypatch.chdir("/")
  assert evaluate.main([f"--workdir={workdir}"]) == 0
  shutil.rmtree(photos)
  assert evaluate.main([f"--workdir={workdir}"]) == 2
  capsys.readouterr()
  place = f"--config.data.dir={moved}"
  assert evaluate.main([f"--workdir={workdir}", place]) == 0
  # A second stage on the moved images.
  linear = tmp_path / "linear"
  shutil.copytree(moved, photos)
  assert run(linear, photos, "--config.method=ce") == 0
  second = ("--config.method=crt", f"--config.init_from={linear}")
  assert run(tmp_path / "crt", moved, *second) == 0
  (moved / "train/cat/0.png").unlink()
  assert "1 removed (train/cat/0.png)" in refusal_of(
    capsys, tmp_path / "other", moved, *second
  )


def refusal_of(capsys, workdir, directory, *arguments):
  capsys.readouterr()
  assert run(workdir, directory, *arguments) == 2
  return capsys.readouterr().err


@pytest.mark.parametrize("finished", [True, False])
def test_changed_images_are_named(
  photos, tmp_path, monkeypatch, capsys, finished
):
  workdir = tmp_path / "run"
  if finished:
    assert run(workdir, photos) == 0
  else:
    interrupted(monkeypatch, workdir, photos)
  cat = photos / "train/cat"
  content = (cat / "0.png").read_bytes()
  for k in range(4):
    (cat / f"new{k}.png").write_bytes(content)
  (cat / "0.png").write_bytes(content + b"0")
  (cat / "1.png").rename(photos / "test/cat/9.png")
  line = refusal(capsys, workdir, photos)
  assert f"config.data.dir={photos}" in line
  assert (
    "train: 4 added (train/cat/new0.png, train/cat/new1.png, train/cat/new2.png"
    " and 1 more), 1 removed (train/cat/1.png), 1 changed (train/cat/0.png)"
  ) in line
  assert "test: 1 added (test/cat/9.png)" in line
  assert "choose another --workdir" in line
  assert evaluate.main([f"--workdir={workdir}"]) == 2
  assert "4 added" in capsys.readouterr().err


def test_interrupted_in_every_way_it_ends_with_the_same_bits(photos, tmp_path):
  """Ctrl-C, kill -9, another feed, moved images: one run."""

  def start(workdir, directory, *arguments, **strikes):
    command = colored_images.command(
      workdir,
      directory,
      "--config.total_steps=8",
      "--config.checkpoint.every_steps=1",
      "--config.report.log_every_steps=1",
      "--config.report.tracker=slow_rows:create",
      *arguments,
    )
    return subprocess.run(
      [sys.executable, "-m", "etf_jax.main", *command],
      env=process_runs.environment(**strikes),
      check=False,
    ).returncode

  undisturbed, workdir = tmp_path / "undisturbed", tmp_path / "run"
  assert start(undisturbed, photos) == 0
  assert start(workdir, photos, INT_AT_STEP=2) == 130
  stream = "--config.data.feed=stream"
  assert start(workdir, photos, stream, KILL_AT_STEP=4) == -signal.SIGKILL
  moved = photos.rename(tmp_path / "moved")
  assert start(workdir, moved, INT_AT_STEP=6) == 130
  assert start(workdir, moved, stream) == 0
  actual, expected = map(run_results.read, (workdir, undisturbed))
  assert run_results.differences(actual, expected) == []


def test_what_changes_no_result_may_change(photos, tmp_path, monkeypatch):
  undisturbed, workdir = tmp_path / "undisturbed", tmp_path / "run"
  assert run(undisturbed, photos) == 0
  interrupted(monkeypatch, workdir, photos)
  interrupted(
    monkeypatch,
    workdir,
    photos,
    "--config.data.feed=stream",
    "--config.eval.batch_size=3",
    "--config.data.decoder=opencv",
  )
  more = ("--config.data.corrupt=skip", f"--config.data.cache_dir={tmp_path}/c")
  assert run(workdir, photos, *more) == 0
  np.testing.assert_array_equal(losses(workdir), losses(undisturbed))
  final, expected = rows(workdir)[-1], rows(undisturbed)[-1]
  assert final["confusion"] == expected["confusion"]


@pytest.mark.parametrize("feed", ["resident", "stream"])
def test_corrupt_images_are_listed_once(
  photos, tmp_path, monkeypatch, capsys, feed
):
  bad = photos / "train/cat/3.png", photos / "test/dog/1.png"
  for path in bad:
    path.write_bytes(path.read_bytes()[:300])
  workdir = tmp_path / "run"
  chosen = f"--config.data.feed={feed}"
  advice = "set config.data.corrupt='skip'"
  assert advice in refusal_of(capsys, workdir, photos, chosen)
  # The advice is followed in the same directory.
  skip = "--config.data.corrupt=skip"
  interrupted(monkeypatch, workdir, photos, chosen, skip)
  record = json.loads((workdir / "data.json").read_text())
  assert record["left_out"] == {
    "train": ["train/cat/3.png"],
    "test": ["test/dog/1.png"],
  }
  assert json.loads((workdir / "class_counts.json").read_text()) == [5, 4, 3]
  # The list goes with the run, to other feeds and to commands.
  (other,) = {"resident", "stream"} - {feed}
  assert run(workdir, photos, f"--config.data.feed={other}") == 0
  final = rows(workdir)[-1]
  assert np.sum(final["confusion"], axis=1).tolist() == [2, 1, 2]
  output = tmp_path / "rows.json"
  assert evaluate.main([f"--workdir={workdir}", f"--output={output}"]) == 0
  (row,) = json.loads(output.read_text())
  assert row["confusion"] == final["confusion"]


def test_before_the_first_save_a_run_begins_again(photos, tmp_path, capsys):
  workdir = tmp_path / "run"
  assert run(workdir, photos) == 0
  shutil.rmtree(workdir / "checkpoints")
  (workdir / "metrics.jsonl").unlink()
  (photos / "train/cat/0.png").unlink()
  capsys.readouterr()
  assert run(workdir, photos) == 0
  assert "the run begins again" in capsys.readouterr().err
  assert json.loads((workdir / "class_counts.json").read_text()) == [5, 4, 3]


def test_a_run_of_a_version_without_a_record_goes_on(photos, tmp_path):
  workdir = tmp_path / "run"
  assert run(workdir, photos) == 0
  (workdir / "data.json").unlink()
  before = rows(workdir)
  assert run(workdir, f"{photos}/") == 0
  assert rows(workdir) == before
  assert evaluate.main([f"--workdir={workdir}"]) == 0
