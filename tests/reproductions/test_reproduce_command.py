# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The command: one line for wrong input, and the plan of a dry run."""

import contextlib
import io

import pytest

from etf_jax import reproduce


def run(*arguments):
  """Exit code and the line on standard error."""
  error = io.StringIO()
  with contextlib.redirect_stderr(error):
    code = reproduce.main(list(arguments))
  return code, error.getvalue()


@pytest.mark.parametrize(
  ("arguments", "said"),
  [
    ([], "the following arguments are required: TARGET"),
    (["table1", "--seeds=many"], "invalid int value: 'many'"),
    (["table1", "--imbalance=tiny"], "--imbalance: 'tiny' is no number"),
    (["table1", "--mixup=1;2"], "--mixup: '1;2' is no number"),
    (["table1", "--shard=3/2"], "--shard=3/2: must be i/n with 1 <= i <= n"),
    (["table1", "--shard=half"], "--shard=half: must be i/n"),
    (["table1", "--processes=0"], "--processes=0: must be at least 1"),
    (
      ["table1", "--proceses=2"],
      "--proceses=2: unknown; did you mean '--processes'?",
    ),
    (["table1", "--config.dtype"], "--config.dtype has no value"),
    (
      ["table1", "--config.data.imbalence=1"],
      "did you mean config.data.imbalance?",
    ),
    (["table1", "--output=/dev/null/x"], "--output=/dev/null/x"),
  ],
)
def test_bad_input_gets_one_line(arguments, said):
  code, error = run(*arguments)
  assert code == 2
  assert error.startswith("error: ")
  assert said in error
  assert error.count("\n") == 1


def test_dry_run_prints_the_plan(capsys):
  code = reproduce.main(
    ["table1", "--dry_run", "--methods=paper", "--imbalance=.01", "--seeds=2"]
  )
  out = capsys.readouterr().out
  assert code == 0
  assert "76.5 ± 0.3" in out
  assert "16 runs in 8 programs" in out


def test_dry_run_of_a_part(capsys):
  reproduce.main(["table1", "--dry_run", "--methods=ce,etf_dr", "--shard=2/4"])
  out = capsys.readouterr().out
  assert "part 2 of 4: 15 runs in 5 programs" in out
  assert "elsewhere" in out
