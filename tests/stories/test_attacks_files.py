# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Links laid in the way, half-written files, and two starts at one instant.

Covers: runs.files, runs.directory.
"""

import os
import pathlib
import stat
import subprocess
import sys

import pytest

from etf_jax.errors import InputError
from etf_jax.runs import directory, files

TWO_STARTS = """
import pathlib, sys, time
from etf_jax.errors import InputError
from etf_jax.runs import directory
print("ready", flush=True)
sys.stdin.read(1)
try:
  with directory.only_run(pathlib.Path(sys.argv[1])):
    time.sleep(2)
except InputError as error:
  assert "a run of" in str(error), error
  sys.exit(2)
"""


@pytest.fixture
def victim(tmp_path):
  path = tmp_path / "victim"
  path.write_text("precious")
  return path


@pytest.mark.parametrize(
  "name", ["report.html.tmp", "report.html.{}.tmp", "report.html"]
)
def test_no_link_is_written_through(tmp_path, victim, name):
  name = name.format(os.getpid())
  (tmp_path / "out").mkdir()
  (tmp_path / "out" / name).symlink_to(victim)
  files.write(tmp_path / "out" / "report.html", "page")
  assert (tmp_path / "out" / "report.html").read_text() == "page"
  assert victim.read_text() == "precious"


def test_a_name_that_was_guessed_is_refused(tmp_path, victim, monkeypatch):
  monkeypatch.setattr(files.secrets, "token_hex", lambda _: "0" * 16)
  (tmp_path / f"page.{'0' * 16}.tmp").symlink_to(victim)
  with pytest.raises(InputError, match="File exists"):
    files.write(tmp_path / "page", "page")
  assert victim.read_text() == "precious"


def test_a_lock_that_is_a_link_is_refused(tmp_path, victim):
  (tmp_path / "run").mkdir()
  (tmp_path / "run" / ".lock").symlink_to(victim)
  with (
    pytest.raises(InputError, match="--workdir"),
    directory.only_run(tmp_path / "run"),
  ):
    pass
  assert victim.read_text() == "precious"


def test_the_mode_of_a_file_is_that_of_the_mask(tmp_path):
  before = os.umask(0o027)
  try:
    files.write(tmp_path / "page", "page")
  finally:
    os.umask(before)
  assert stat.S_IMODE((tmp_path / "page").stat().st_mode) == 0o640


def test_what_a_killed_run_left_is_removed(tmp_path):
  (tmp_path / "config.json").write_text("{}")
  left = [
    tmp_path / f"metrics.jsonl.{'a' * 16}.tmp",
    tmp_path / "config.json.123.tmp",
    tmp_path / ".seen-0123",
    tmp_path / "checkpoints" / "8.orbax-checkpoint-tmp",
    tmp_path / "best" / "4.orbax-checkpoint-tmp-17",
  ]
  kept = [
    tmp_path / "notes.tmp",
    tmp_path / "checkpoints" / "4" / "array",
    tmp_path / "mine.orbax-checkpoint-tmp",
  ]
  for path in [*kept, *left[3:]]:
    path.parent.mkdir(parents=True, exist_ok=True)
  for path in left[3:]:
    path.mkdir()
    (path / "array").touch()
  for path in [*kept, *left[:3]]:
    path.touch()
  with directory.only_run(tmp_path):
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in kept)


@pytest.mark.slow
def test_of_two_starts_one_goes_on(tmp_path):
  starts = [
    subprocess.Popen(
      [sys.executable, "-c", TWO_STARTS, str(tmp_path / "run")],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      cwd=pathlib.Path(__file__).parents[2],
    )
    for _ in range(2)
  ]
  for start in starts:
    assert start.stdout.readline() == b"ready\n"
  for start in starts:
    start.stdin.write(b"x")
    start.stdin.flush()
  for start in starts:
    start.communicate()
  assert sorted(start.returncode for start in starts) == [0, 2]
