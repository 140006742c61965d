# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Print one table and write one report of all the runs given.

    python -m etf_jax.reporting RUN_DIR [RUN_DIR ...] [--output=report.html]

A directory that holds runs (seed=0/, seed=1/, ...) stands for all of them.
"""

from collections.abc import Sequence
import sys

from etf_jax.reporting import report, results
from etf_jax.runs import commands


@commands.command
def main(arguments: Sequence[str] | None = None) -> int:
  """Run the command and return its exit code."""
  parser = commands.Parser("python -m etf_jax.reporting", __doc__)
  parser.add_argument("run_dirs", nargs="+", metavar="RUN_DIR")
  parser.add_argument("--output", default="report.html", help="the HTML file")
  parser.add_argument(
    "--markdown", action="store_true", help="print the table as Markdown"
  )
  flags = parser.parse_args(arguments)
  show = results.markdown if flags.markdown else results.text
  print(show(flags.run_dirs))
  out = report.write(flags.run_dirs, flags.output)
  print(f"\nreport: {out}  figures: {out.parent / 'figures'}")
  return 0


if __name__ == "__main__":
  sys.exit(main())
