# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Prints one table and writes one report of all the runs given.

    python -m etf_jax.reporting RUN_DIR [RUN_DIR ...] [--out=report.html]

A directory that holds runs (seed=0/, seed=1/, ...) stands for all of them.
"""

import argparse
from collections.abc import Sequence
import sys

from etf_jax.errors import InputError
from etf_jax.reporting import report, results


def main(arguments: Sequence[str] | None = None) -> int:
  """Run the command and returns its exit code."""
  parser = argparse.ArgumentParser(
    prog="python -m etf_jax.reporting",
    description="One table and one report of all the runs given.",
  )
  parser.add_argument("run_dirs", nargs="+", metavar="RUN_DIR")
  parser.add_argument("--out", default="report.html", help="the HTML file")
  parser.add_argument(
    "--markdown", action="store_true", help="print the table as Markdown"
  )
  flags = parser.parse_args(arguments)
  try:
    show = results.markdown if flags.markdown else results.text
    print(show(flags.run_dirs))
    out = report.write(flags.run_dirs, flags.out)
  except InputError as error:
    print(f"error: {error}", file=sys.stderr)
    return 2
  print(f"\nreport: {out}  figures: {out.parent / 'figures'}")
  return 0


if __name__ == "__main__":
  sys.exit(main())
