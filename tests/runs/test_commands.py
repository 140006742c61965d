# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The frame of commands: one line on standard error, and the exit code."""

import logging
import subprocess
import sys

import pytest

from etf_jax.errors import InputError
from etf_jax.runs import commands


@commands.command
def main(argv):
  parser = commands.Parser("python -m pkg.tool", "Does nothing.")
  parser.add_argument("--batch_size", type=int)
  parser.add_argument("--output")
  options = parser.parse_args(argv)
  logging.getLogger("etf_jax.somewhere").info("size %s", options.batch_size)
  if options.output == "full":
    raise InputError("--output=full: no room; give another")
  if options.output == "endless":
    raise KeyboardInterrupt
  return options.batch_size


@pytest.mark.parametrize(
  ("argv", "code", "line"),
  [
    (["--batch_size=3"], 3, "size 3"),
    ([], 0, "size None"),
    (["--output=full"], 2, "error: --output=full: no room; give another"),
    (["--output=endless"], 130, "interrupted"),
    (
      ["--batch=3"],
      2,
      "error: --batch=3: unknown; did you mean '--batch_size'?; see python -m"
      " pkg.tool --help",
    ),
    (
      ["--batch_size=x"],
      2,
      "error: --batch_size: invalid int value: 'x'; see python -m pkg.tool"
      " --help",
    ),
    (["more"], 2, "error: more: unknown; see python -m pkg.tool --help"),
  ],
)
def test_a_command_ends_with_a_line_and_a_code(argv, code, line, capsys):
  assert main(argv) == code
  assert capsys.readouterr().err.splitlines()[-1] == line


def test_a_fault_of_ours_keeps_its_traceback():
  @commands.command
  def broken(argv):
    raise TypeError("a bug")

  with pytest.raises(TypeError, match="a bug"):
    broken([])


def test_help_ends_well(capsys):
  with pytest.raises(SystemExit) as end:
    main(["--help"])
  assert end.value.code == 0
  assert "--batch_size" in capsys.readouterr().out


@pytest.mark.parametrize("flag", ["v", "d"])
def test_a_limit_under_which_nothing_starts_is_named(flag):
  limited = f'ulimit -{flag} {1900 << 10}; exec "$@"'
  command = [sys.executable, "-m", "etf_jax.convert", "weights.pth", "out"]
  started = subprocess.run(
    ["bash", "-c", limited, "bash", *command],
    capture_output=True,
    text=True,
  )
  assert started.returncode == 2
  assert started.stderr == (
    f"error: ulimit -{flag} {1900 << 10}: a process needs"
    f" {4 if flag == 'v' else 2} GiB to start; raise it (ulimit -{flag}"
    " unlimited)\n"
  )


def test_exhausted_memory_is_one_line(capsys):
  @commands.command
  def main(argv):
    return len(bytearray(2**60))

  assert main([]) == 2
  assert capsys.readouterr().err == commands.OUT_OF_MEMORY + "\n"


def test_home_is_meant_wherever_a_value_begins_with_it(monkeypatch):
  monkeypatch.setenv("HOME", "/home/ann")
  parser = commands.Parser("tool")
  parser.add_argument("images", nargs="+")
  parser.add_argument("--output")
  words = ["~/in.png", "a~b", "~/", "--output=~/x=~/y", "--config.data.dir=~"]
  options, rest = parser.parse_known_args(words)
  assert options.images == ["/home/ann/in.png", "a~b", "/home/ann/"]
  assert options.output == "/home/ann/x=~/y"
  assert rest == ["--config.data.dir=/home/ann"]
  monkeypatch.setattr("os.path.expanduser", lambda path: path)
  with pytest.raises(InputError, match="--output=~/x: there is no home"):
    parser.parse_known_args(["--output=~/x"])
