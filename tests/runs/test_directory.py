# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The description of a run: other versions are named, lost files come again."""

import json
import logging

import numpy as np
import pytest

from etf_jax.configs import base
from etf_jax.errors import InputError
from etf_jax.runs import directory, identity


def open_run(workdir):
  directory.open_run(
    workdir,
    base.get_config(),
    0,
    np.array([2, 1]),
    ("a", "b"),
    {"splits": {}, "left_out": None},
  )


def test_another_version_is_named_and_kept(tmp_path, caplog):
  open_run(tmp_path)
  path = tmp_path / "config.json"
  first = json.loads(path.read_text())
  before = first["versions"] | {"etf_jax": "0.1.0"}
  path.write_text(json.dumps(first | {"versions": before}))
  with caplog.at_level(logging.WARNING):
    open_run(tmp_path)
  assert "(etf_jax 0.1.0 there, 0.2.0.dev0 here)" in caplog.text
  description = json.loads(path.read_text())
  assert description["history"] == [before]
  assert description["versions"] == identity.versions()
  caplog.clear()
  open_run(tmp_path)
  assert caplog.text == ""


def test_a_lost_file_is_written_again_and_named(tmp_path, caplog):
  open_run(tmp_path)
  before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
  assert len(before) == 4
  assert not directory.lacks_description(tmp_path)
  for name in before:
    (tmp_path / name).unlink()
    assert directory.lacks_description(tmp_path)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
      open_run(tmp_path)
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert after == before
    # Without config.json nothing says that the others belong to a run.
    named = f"{name} is missing; it is written again" in caplog.text
    assert named == (name != "config.json")


@pytest.mark.parametrize(
  ("name", "line"),
  [("notes.txt", "no run of ours; choose"), ("checkpoints", "; put it back,")],
)
def test_files_without_a_description_are_left_alone(tmp_path, name, line):
  (tmp_path / name).mkdir()
  with (
    pytest.raises(InputError, match=line),
    directory.only_run(tmp_path),
  ):
    pass
  assert [path.name for path in tmp_path.iterdir()] == [name]
