# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Trains the runs of an experiment file.

  python -m etf_jax.main --config=configs/digits_lt.py
  python -m etf_jax.main --config=etf_jax:digits_lt --config.method=ce \\
    --config.seeds=0,1,2 --workdir=runs/ce

The same command again continues where it stopped.

A run of several processes has the command once for each, with a working
directory that all see: with --distributed where SLURM, Cloud TPU, Kubernetes or
Open MPI tell who takes part, and elsewhere with

  --coordinator_address=HOST:PORT --num_processes=4 --process_id=0

Exit codes: 0 done; 2 the message says what to mend; 75 stopped by SIGTERM and
saved, 130 so by Ctrl-C (a second one ends at once), 76 another process is lost:
the same command continues.
"""

import sys
import textwrap

import etf_jax
from etf_jax import configs
from etf_jax.errors import InputError, one_line
from etf_jax.runs import command_line, commands
from etf_jax.training.parallel import bootstrap, distributed


def main(argv: list[str]) -> int:
  """Run the command; returns its exit code."""
  commands.show_log()
  if {"--help", "-h"} & set(argv):
    print(_help())
    return 0
  try:
    commands.check_limits()
    command = command_line.parse_command(argv)
    with bootstrap.together(command.processes):
      etf_jax.train(command.config, command.workdir)
  except distributed.Preempted as stopped:
    if distributed.is_writer():
      print(f"{stopped}; the same command continues", file=sys.stderr)
    if distributed.interrupted():
      return commands.EXIT_INTERRUPTED
    return distributed.EXIT_PREEMPTED
  except KeyboardInterrupt:
    # Before or between the steps of runs; those that began are saved.
    print("interrupted; the same command continues", file=sys.stderr)
    return commands.EXIT_INTERRUPTED
  except InputError as error:
    print(f"error: {one_line(error)}", file=sys.stderr)
    return 2
  except MemoryError:
    print(commands.OUT_OF_MEMORY, file=sys.stderr)
    return 2
  return 0


def _help() -> str:
  from etf_jax.training import methods

  parser = command_line.parser()
  parser.description = __doc__
  names = {
    "experiments (--config=etf_jax:NAME)": command_line.experiments(),
    "methods (--config.method=NAME)": list(methods.METHODS),
  }
  listed = "\n\n".join(
    f"{title}:\n"
    + textwrap.fill(
      ", ".join(words), 78, initial_indent="  ", subsequent_indent="  "
    )
    for title, words in names.items()
  )
  parser.epilog = (
    f"{listed}\n\nfields (--config.FIELD=VALUE): {configs.FOLDER / 'base.py'}"
    " explains each"
  )
  return parser.format_help()


if __name__ == "__main__":
  exit_code = main(sys.argv)
  if exit_code == 2:
    # Threads of a save that has failed would keep the process for minutes.
    distributed.leave(None, exit_code)
  sys.exit(exit_code)
