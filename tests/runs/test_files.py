# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Files that appear whole, locks, and the folder of caches."""

import logging
import os
from pathlib import Path
import subprocess
import sys

import pytest

from etf_jax.errors import InputError
from etf_jax.runs import files


def test_a_file_is_written_as_a_whole(tmp_path):
  place = tmp_path / "folder" / "found.txt"
  files.write(place, "a é\n")
  assert place.read_bytes() == b"a \xc3\xa9\n"
  files.write(place, b"\x00\xff")
  assert place.read_bytes() == b"\x00\xff"
  assert [path.name for path in place.parent.iterdir()] == ["found.txt"]


def test_an_error_while_writing_leaves_the_old_file(tmp_path):
  place = tmp_path / "rows.json"
  place.write_text("old")

  def fail():
    with files.replacing(place) as file:
      file.write(b"new")
      assert place.read_text() == "old"
      raise ZeroDivisionError

  with pytest.raises(ZeroDivisionError):
    fail()
  assert place.read_text() == "old"
  assert list(tmp_path.iterdir()) == [place]


def test_what_cannot_be_written_is_one_line(tmp_path):
  file = tmp_path / "file"
  file.write_text("kept")
  with pytest.raises(InputError) as caught:
    files.write(file / "below", "x")
  assert str(caught.value).startswith(f"cannot write {file / 'below'}: ")
  with pytest.raises(InputError) as caught:
    files.out_folder(str(file))
  assert str(caught.value) == (
    f"--output={file}: cannot be written, File exists; give another folder"
  )
  assert file.read_text() == "kept"


def test_a_folder_may_be_there(tmp_path):
  out = files.out_folder(str(tmp_path / "a" / "b"))
  assert out == tmp_path / "a" / "b"
  assert files.out_folder(str(out)).is_dir()


_HOLDER = """
import sys
from etf_jax.runs import files
with files.lock(sys.argv[1]):
  print("held", flush=True)
  sys.stdin.read(1)
"""


@pytest.fixture
def holder(tmp_path):
  process = subprocess.Popen(
    [sys.executable, "-c", _HOLDER, str(tmp_path / ".lock")],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
  )
  assert process.stdout.readline() == b"held\n"
  yield process
  process.kill()
  process.communicate()


def test_a_lock_names_its_holder_and_ends_with_it(holder, tmp_path):
  with (
    pytest.raises(files.LockedError, match=f"process {holder.pid} on "),
    files.lock(tmp_path / ".lock"),
  ):
    pass
  holder.kill()
  holder.wait()
  with files.lock(tmp_path / ".lock"):
    line = (tmp_path / ".lock").read_text()
    assert line.startswith(f"process {os.getpid()} on ")


def test_a_lock_can_be_waited_for(holder, tmp_path, monkeypatch):
  said = []

  def info(line):
    said.append(line)
    holder.kill()

  monkeypatch.setattr(logging.getLogger("etf_jax.runs.files"), "info", info)
  with files.lock(tmp_path / ".lock", waiting="waiting for another"):
    assert said == ["waiting for another"]


def test_caches_are_where_the_environment_says(monkeypatch):
  monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
  assert files.cache_folder("a") == Path("/somewhere/etf_jax/a")
  monkeypatch.setenv("XDG_CACHE_HOME", "")
  monkeypatch.setenv("HOME", "/home/me")
  assert files.cache_folder() == Path("/home/me/.cache/etf_jax")
  monkeypatch.setattr(Path, "home", lambda: Path("~").expanduser())
  monkeypatch.setattr(
    Path, "expanduser", lambda _: (_ for _ in ()).throw(RuntimeError("none"))
  )
  with pytest.raises(InputError, match="set XDG_CACHE_HOME"):
    files.cache_folder()


@pytest.mark.parametrize(
  ("text", "reason"),
  [
    ("[" * 200_000, "nested too deeply"),
    ("[" * 33 + "]" * 33, "nested too deeply"),
    ("[NaN]", "nan, which is no number"),
    ('{"a": 1e999}', "inf, which is no number"),
    (f"[{2**63}]", "more than 64 bits"),
    ("{,", "Expecting"),
    (b'"\xff\xfe"', "decode"),
  ],
)
def test_json_that_means_nothing_is_refused(text, reason):
  with pytest.raises(ValueError, match=reason):
    files.parse_json(text)


def test_json_within_the_limits_is_what_it_says(tmp_path):
  deep = "[" * 32 + "1" + "]" * 32
  assert str(files.parse_json(deep)) == deep
  assert files.parse_json(f"[{-(2**63)}, {2**63 - 1}]") == [-(2**63), 2**63 - 1]
  (tmp_path / "a.json").write_text('{"a": [1.5, null]}')
  assert files.read_json(tmp_path / "a.json") == {"a": [1.5, None]}


def test_no_pipe_is_waited_for(tmp_path):
  os.mkfifo(tmp_path / "a.json")
  with pytest.raises(ValueError, match="no regular file"):
    files.read_json(tmp_path / "a.json")
  with pytest.raises(ValueError, match="no regular file"):
    files.read_json(Path("/dev/zero"))


def test_names_that_are_no_text_are_written(tmp_path):
  files.write(tmp_path / "page", "class \udcff\n")
  assert (tmp_path / "page").read_bytes() == b"class \\udcff\n"
