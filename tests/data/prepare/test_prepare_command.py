# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
import dataclasses
import os
import pathlib
import socket
import subprocess
import sys

import official_archives
import pytest

from etf_jax import prepare
from etf_jax.data import catalog

pytestmark = pytest.mark.slow

_REPOSITORY = pathlib.Path(__file__).parents[3]


def test_list_shows_every_data_set_and_what_is_prepared(tmp_path, capsys):
  prepare.main(["digits", f"--data_dir={tmp_path}"])
  capsys.readouterr()
  assert prepare.main(["--list", f"--data_dir={tmp_path}"]) == 0
  header, *rows = capsys.readouterr().out.splitlines()
  names = "name classes image training test prepared licence state"
  assert header.split() == names.split()
  cells = {row.split()[0]: row.split()[1:6] for row in rows}
  assert list(cells) == list(catalog.DATASETS)
  assert cells["digits"] == ["10", "8x8x1", "1,442", "355", "yes"]
  assert cells["svhn"] == ["10", "32x32x3", "604,388", "26,032", "no"]
  assert cells["birdsnap"] == ["500", "photographs", "?", "?", "folders"]
  for row, info in zip(rows, catalog.DATASETS.values(), strict=True):
    assert info.licence in row
    assert row.endswith(info.state)


def test_list_survives_a_builder_that_cannot_be_made(
  tmp_path, capsys, monkeypatch
):
  gone = dataclasses.replace(catalog.lookup("stl10"), tfds_name="no_such_set")
  monkeypatch.setitem(catalog.DATASETS, "stl10", gone)
  (tmp_path / "cifar10" / "3.0.2").mkdir(parents=True)
  (tmp_path / "cifar10" / "3.0.2" / "dataset_info.json").write_text("{")
  assert prepare.main(["--list", f"--data_dir={tmp_path}"]) == 0
  rows = capsys.readouterr().out.splitlines()[1:]
  prepared = {row.split()[0]: row.split()[5] for row in rows}
  assert prepared["stl10"] == "DatasetNotFoundError"
  assert prepared["cifar10"].endswith("Error")
  assert prepared["svhn"] == "no"


def test_verify_reports_and_has_code_0(tmp_path, capsys):
  prepare.main(["digits", f"--data_dir={tmp_path}"])
  capsys.readouterr()
  assert prepare.main(["digits", "--verify", f"--data_dir={tmp_path}"]) == 0
  captured = capsys.readouterr()
  assert captured.err == ""
  lines = captured.out.splitlines()
  assert lines[0] == f"digits in {tmp_path}/scikit_digits/1.0.0"
  assert lines[-1] == "no problem was found"


def test_verify_ends_in_one_line_and_code_2_if_something_is_wrong(
  tmp_path, capsys, monkeypatch
):
  prepare.main(["digits", f"--data_dir={tmp_path}"])
  capsys.readouterr()
  more = dataclasses.replace(
    catalog.lookup("digits"), splits={"train": 1443, "test": 355, "extra": 1}
  )
  monkeypatch.setitem(catalog.DATASETS, "digits", more)
  assert prepare.main(["digits", "--verify", f"--data_dir={tmp_path}"]) == 2
  captured = capsys.readouterr()
  assert captured.err == (
    "error: digits: split 'train' has 1,442 images, and 1,443 were "
    "published; split 'extra' is missing\n"
  )
  assert captured.out.splitlines()[-1] == "problems: 2"


def test_an_error_is_one_line_and_code_2(capsys):
  assert prepare.main(["cifar-10"]) == 2
  assert capsys.readouterr().err == (
    "error: name='cifar-10': unknown; did you mean 'cifar10'? "
    f"(known: {', '.join(catalog.DATASETS)})\n"
  )


def test_an_error_file_takes_the_place_of_the_terminal(tmp_path, capsys):
  file = tmp_path / "error"
  assert prepare.main(["digit", f"--error_file={file}"]) == 2
  assert file.read_text().startswith("name='digit': unknown; did you mean")
  assert capsys.readouterr().err == ""


@pytest.mark.parametrize("arguments", [[], ["digits", "--list"]])
def test_a_name_or_list_and_not_both(arguments, capsys):
  assert prepare.main(arguments) == 2
  assert "--list" in capsys.readouterr().err


def test_a_silent_network_is_reported(tmp_path):
  # A listener that never accepts: connections are made, and nobody answers.
  with socket.create_server(("127.0.0.1", 0)) as server:
    silent = official_archives.proxy(
      f"http://127.0.0.1:{server.getsockname()[1]}"
    )
    command = ["-m", "etf_jax.prepare", "cifar10"]
    done = subprocess.run(
      [sys.executable, *command, f"--data_dir={tmp_path}"],
      cwd=_REPOSITORY,
      env=os.environ | silent,
      capture_output=True,
      text=True,
      check=False,
    )
  assert done.returncode == 2
  assert done.stderr.count("\n") == 1
  line = "error: cifar10 cannot be downloaded (www.cs.toronto.edu: no answer in"
  assert done.stderr.startswith(line)
