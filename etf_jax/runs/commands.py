# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The frame of every command: arguments, log lines, errors, exit codes.

  @commands.command
  def main(argv: Sequence[str] | None = None) -> int | None:
    parser = commands.Parser("python -m etf_jax.convert", __doc__)
    parser.add_argument("weights", help="...")
    options = parser.parse_args(argv)

Results go to standard output by `print`. Everything else is a line of
`logging.getLogger("etf_jax")`, which a command shows on standard error.
"""

import argparse
from collections.abc import Callable, Sequence
import functools
import logging
import os
import re
import resource
import sys

from etf_jax.errors import InputError, did_you_mean, one_line
from etf_jax.runs import streams

# 128 and the number of SIGINT, as shells have it.
EXIT_INTERRUPTED = 130
OUT_OF_MEMORY = (
  "error: the memory is exhausted; use smaller batches or a larger machine, or"
  " raise the limit (ulimit -v, -d)"
)
# Gigabytes that JAX and the libraries of data need to start; with less they
# wait for ever, or abort without a word.
_LEAST = {"v": (resource.RLIMIT_AS, 4), "d": (resource.RLIMIT_DATA, 2)}


def command(
  main: Callable[[Sequence[str] | None], int | None],
) -> Callable[..., int]:
  """Show log lines, and turn errors of the user's making into exit code 2.

  Args:
    main: takes the arguments (None: those of the process) and returns the exit
      code; None is 0.
  """

  @functools.wraps(main)
  def run(argv: Sequence[str] | None = None) -> int:
    show_log()
    try:
      check_limits()
      code = main(argv) or 0
      sys.stdout.flush()
      if error := getattr(sys.stdout, "error", None):
        raise InputError(f"standard output: {error}; make room")
      return code
    except InputError as error:
      print(f"error: {one_line(error)}", file=sys.stderr, flush=True)
      return 2
    except MemoryError:
      print(OUT_OF_MEMORY, file=sys.stderr, flush=True)
      return 2
    except KeyboardInterrupt:
      print("interrupted", file=sys.stderr, flush=True)
      return EXIT_INTERRUPTED

  return run


def check_limits() -> None:
  """Refuse limits of memory under which nothing starts.

  Raises:
    InputError: one is set.
  """
  for flag, (kind, least) in _LEAST.items():
    limit, _ = resource.getrlimit(kind)
    if limit != resource.RLIM_INFINITY and limit < least << 30:
      raise InputError(
        f"ulimit -{flag} {limit >> 10}: a process needs {least} GiB to start;"
        f" raise it (ulimit -{flag} unlimited)"
      )


class _Lines(logging.Handler):
  """Plain lines on what is standard error at the moment."""

  def emit(self, record: logging.LogRecord) -> None:
    """Write one line."""
    print(self.format(record), file=sys.stderr, flush=True)


def show_log() -> None:
  """Show the package's log on standard error, unless it has a handler.

  Standard output and error do not end the program, see `streams`.
  """
  streams.protect()
  log = logging.getLogger("etf_jax")
  if not log.handlers:
    log.addHandler(_Lines())
    log.setLevel(logging.INFO)
    log.propagate = False


def _at_home(word: str) -> str:
  # A shell leaves the ~ of --flag=~/file as it is.
  match = re.fullmatch(r"(-[^=]*=)?(~(?:/.*)?)", word)
  if not match:
    return word
  path = os.path.expanduser(match[2])
  if path == match[2]:
    raise InputError(f"{word}: there is no home directory; give a full path")
  return (match[1] or "") + path


class Parser(argparse.ArgumentParser):
  """Arguments of a command, by full names; a wrong one is an `InputError`."""

  def __init__(self, prog: str, description: str | None = None, **more):
    super().__init__(
      prog=prog,
      description=description,
      formatter_class=argparse.RawDescriptionHelpFormatter,
      allow_abbrev=False,
      **more,
    )

  def parse_known_args(self, args=None, namespace=None):
    """Parse arguments, in all of which `~` is the home directory."""
    words = sys.argv[1:] if args is None else args
    return super().parse_known_args(map(_at_home, words), namespace)

  def parse_args(self, args=None, namespace=None):
    """Parse arguments, all of which must be known."""
    options, unknown = self.parse_known_args(args, namespace)
    if unknown:
      flag, *_ = unknown[0].split("=")
      near = did_you_mean(flag, self._option_string_actions)
      self.error(f"{unknown[0]}: unknown{near}")
    return options

  def error(self, message: str):
    """Raise an `InputError`, with the place where arguments are explained."""
    message = re.sub(r"^argument (\S+): ", r"\1: ", message)
    raise InputError(f"{message}; see {self.prog} --help")
