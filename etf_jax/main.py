# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Trains the runs of an experiment file.

  python -m etf_jax.main --config=configs/digits_lt.py
  python -m etf_jax.main --config=etf_jax:digits_lt --config.method=ce \\
    --config.seeds=0,1,2 --workdir=runs/ce

The same command again continues where it stopped.
"""

import sys

from etf_jax.errors import InputError
from etf_jax.training import command_line


def main(argv: list[str]) -> int:
  """Runs the command; returns its exit code."""
  if {"--help", "-h"} & set(argv):
    print(__doc__)
    return 0
  try:
    config, workdir = command_line.parse(argv)
    # Imported late, so that a mistyped command is answered at once.
    from etf_jax.training import runs

    runs.run(config, workdir)
  except InputError as error:
    print(f"error: {error}", file=sys.stderr)
    return 2
  return 0


if __name__ == "__main__":
  sys.exit(main(sys.argv))
