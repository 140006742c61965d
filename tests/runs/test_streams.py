# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Output that nobody reads, that has no room or no such letter ends nothing."""

import errno
import io
import os
import subprocess
import sys

import pytest

from etf_jax.runs import streams

SCRIPT = """
import logging, sys, warnings
from etf_jax.runs import commands
@commands.command
def main(argv):
  logging.getLogger("orbax").error("not ours")
  logging.error("nor this")
  warnings.warn("nor that")
  for number in range(20_000):
    print("\\u03c4 = 1", number)
  logging.getLogger("etf_jax").info("all \\xe9 done")
sys.exit(main([]))
"""


def run(redirection, **environment):
  return subprocess.run(
    [
      "bash",
      "-c",
      f'set -o pipefail; "$0" -c "$1" {redirection}',
      sys.executable,
      SCRIPT,
    ],
    env=os.environ | environment,
    capture_output=True,
    check=False,
  )


@pytest.mark.parametrize(
  ("redirection", "code", "error"),
  [
    ("| head -n 1", 0, "all é done\n"),
    (">&-", 0, "all é done\n"),
    ("2>&- >/dev/null", 0, ""),
    (">&- 2>&-", 0, ""),
    (
      "> /dev/full",
      2,
      "all é done\nerror: standard output: [Errno 28] No space left on device;"
      " make room\n",
    ),
  ],
)
def test_a_command_outlives_its_streams(redirection, code, error):
  result = run(redirection, PYTHONIOENCODING="utf-8")
  assert (result.returncode, result.stderr.decode()) == (code, error)


def test_letters_that_a_locale_lacks_are_escaped():
  result = run("", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
  assert result.returncode == 0, result.stderr
  assert result.stdout.startswith(b"\\u03c4 = 1 0\n")
  assert result.stderr == b"all \\xe9 done\n"


def test_others_log_when_they_are_asked_to():
  result = run(">/dev/null", ETF_JAX_ALL_LOGS="1")
  assert result.returncode == 0
  for line in ("not ours", "nor this", "nor that"):
    assert line in result.stderr.decode()


class Full(io.StringIO):
  def write(self, text):
    raise OSError(errno.ENOSPC, "full")


def test_a_stream_keeps_why_text_was_lost():
  stream = streams.steady(Full())
  assert stream.write("lost") == 4
  assert stream.error.errno == errno.ENOSPC
  assert streams.steady(stream) is stream
  nobody = streams.steady(None)
  print("lost", file=nobody, flush=True)
  assert not nobody.isatty()
  assert nobody.error is None
