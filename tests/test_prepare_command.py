# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
import os
import pathlib
import socket
import subprocess
import sys
import time

import official_archives
import pytest

from etf_jax import prepare
from etf_jax.data import catalog

_REPOSITORY = pathlib.Path(__file__).parents[1]


def test_prepares_and_says_where(tmp_path, capsys):
  assert prepare.main(["digits", f"--data_dir={tmp_path}"]) == 0
  output = capsys.readouterr().out
  assert output.splitlines()[-1] == (
    f"digits is ready in {tmp_path}/scikit_digits/1.0.0"
  )


def test_list_shows_every_data_set_and_what_is_prepared(tmp_path, capsys):
  prepare.main(["digits", f"--data_dir={tmp_path}"])
  capsys.readouterr()
  assert prepare.main(["--list", f"--data_dir={tmp_path}"]) == 0
  header, *rows = capsys.readouterr().out.splitlines()
  assert header.split() == [
    "name",
    "classes",
    "image",
    "prepared",
    "licence",
    "checked",
  ]
  assert [row.split()[:4] for row in rows] == [
    ["digits", "10", "8x8x1", "yes"],
    ["fashion_mnist", "10", "28x28x1", "no"],
    ["cifar10", "10", "32x32x3", "no"],
    ["cifar100", "100", "32x32x3", "no"],
  ]
  for row, facts in zip(rows, catalog.DATASETS.values(), strict=True):
    assert facts.licence in row


def test_an_error_is_one_line_and_code_2(capsys):
  assert prepare.main(["cifar-10"]) == 2
  assert capsys.readouterr().err == (
    "etf_jax.prepare: unknown data set 'cifar-10'; did you mean 'cifar10'? "
    "(known: digits, fashion_mnist, cifar10, cifar100)\n"
  )


def test_an_error_file_takes_the_place_of_the_terminal(tmp_path, capsys):
  file = tmp_path / "error"
  assert prepare.main(["digit", f"--error_file={file}"]) == 2
  assert file.read_text().startswith("unknown data set 'digit'; did you mean")
  assert capsys.readouterr().err == ""


@pytest.mark.parametrize("arguments", [[], ["digits", "--list"]])
def test_a_name_or_list_and_not_both(arguments, capsys):
  with pytest.raises(SystemExit) as exit_:
    prepare.main(arguments)
  assert exit_.value.code == 2
  assert "--list" in capsys.readouterr().err


def test_a_silent_network_is_reported_within_15_seconds(tmp_path):
  # A listener that never accepts: connections are made, and nobody answers.
  with socket.create_server(("127.0.0.1", 0)) as server:
    silent = official_archives.proxy(
      f"http://127.0.0.1:{server.getsockname()[1]}"
    )
    start = time.monotonic()
    done = subprocess.run(
      [
        sys.executable,
        "-m",
        "etf_jax.prepare",
        "cifar10",
        f"--data_dir={tmp_path}",
      ],
      cwd=_REPOSITORY,
      env=os.environ | silent,
      capture_output=True,
      text=True,
      check=False,
    )
  assert time.monotonic() - start < 15
  assert done.returncode == 2
  assert done.stderr.count("\n") == 1
  assert done.stderr.startswith(
    "etf_jax.prepare: cifar10 cannot be downloaded (www.cs.toronto.edu: no "
    "answer in 5 s); fetch elsewhere cifar-10-binary.tar.gz from https://"
  )
