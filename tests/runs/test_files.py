# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Files and folders that commands make for their users."""

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


def test_what_cannot_be_written_is_one_line(tmp_path):
  file = tmp_path / "file"
  file.write_text("kept")
  with pytest.raises(InputError) as caught:
    files.write(file / "below", "x")
  assert str(caught.value).startswith(f"cannot write {file / 'below'}: ")
  with pytest.raises(InputError) as caught:
    files.out_folder(str(file))
  assert str(caught.value) == (
    f"cannot write to --out={file}: File exists; give another folder"
  )
  assert file.read_text() == "kept"


def test_a_folder_may_be_there(tmp_path):
  out = files.out_folder(str(tmp_path / "a" / "b"))
  assert out == tmp_path / "a" / "b"
  assert files.out_folder(str(out)).is_dir()
