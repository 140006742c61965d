# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Command lines: --config=FILE --config.field=value --workdir=DIR."""

import difflib
import re
from typing import NamedTuple

from absl import flags
from ml_collections import ConfigDict, config_flags

from etf_jax import configs
from etf_jax.errors import InputError

_USAGE = "--config=FILE.py [--config.field=value ...] [--workdir=DIR]"


class Processes(NamedTuple):
  """Processes that take part in a run; the environment tells what is None.

  Attributes:
    coordinator_address: host:port, where process 0 listens.
    num_processes: number of all processes.
    process_id: number of this process, from 0.
  """

  coordinator_address: str | None = None
  num_processes: int | None = None
  process_id: int | None = None


class Command(NamedTuple):
  """What a command line asks for.

  Attributes:
    config: of the experiment.
    workdir: as given, or None.
    processes: None: this one alone.
  """

  config: ConfigDict
  workdir: str | None
  processes: Processes | None


def parse_command(argv: list[str]) -> Command:
  """Like `parse`, and how this process finds the others of its run.

  Args:
    argv: with the program's name first.

  Raises:
    InputError: as `parse`, or flags that do not fit together.
  """
  # Flags of their own, since other commands run in one process.
  values = flags.FlagValues()
  flags.DEFINE_bool("distributed", False, "find the others", values)
  flags.DEFINE_string("coordinator_address", None, "host:port", values)
  flags.DEFINE_integer(
    "num_processes", None, "in all", flag_values=values, lower_bound=1
  )
  flags.DEFINE_integer(
    "process_id", None, "this one", flag_values=values, lower_bound=0
  )
  try:
    rest = values(argv, known_only=True)
  except flags.Error as error:
    raise InputError(_one_line(error)) from error
  config, workdir = parse(rest)
  return Command(config, workdir, _processes(values))


def _processes(values) -> Processes | None:
  given = Processes(
    values.coordinator_address, values.num_processes, values.process_id
  )
  missing = [
    f"--{name}" for name, value in given._asdict().items() if value is None
  ]
  if len(missing) == len(given):
    return given if values.distributed else None
  if missing and not values.distributed:
    raise InputError(
      f"{' and '.join(missing)} must be given too, or --distributed to find"
      " them in the environment"
    )
  address = given.coordinator_address
  if address is not None and not re.fullmatch(r".+:\d+", address):
    raise InputError(f"--coordinator_address={address} must be host:port")
  if not missing and given.process_id >= given.num_processes:
    raise InputError(
      f"--process_id={given.process_id} must be less than"
      f" --num_processes={given.num_processes}"
    )
  return given


def parse(argv: list[str]) -> tuple[ConfigDict, str | None]:
  """The config and the working directory that a command line names.

  Args:
    argv: with the program's name first.

  Raises:
    InputError: a file that cannot be loaded, an unknown field (with the
      nearest known name), or a value of the wrong type.
  """
  argv = [_locate(argument) for argument in argv]
  try:
    config, workdir, rest = _parse(argv)
  except (AttributeError, KeyError) as error:
    raise InputError(_unknown_field(argv) or str(error)) from error
  except (flags.Error, OSError, TypeError, ValueError) as error:
    raise InputError(_one_line(error)) from error
  if config is None:
    raise InputError(f"no --config was given; usage: {_USAGE}")
  if rest:
    raise InputError(f"cannot tell what {rest[0]!r} is; usage: {_USAGE}")
  return config, workdir


def _parse(argv):
  # Flags of our own, so that a program may call this more than once.
  values = flags.FlagValues()
  config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=argv)
  flags.DEFINE_string("workdir", None, "the run's place", flag_values=values)
  rest = values(argv)[1:]
  if values.config is not None:
    # A file that failed to load raises when it is first looked into.
    _ = values.config.is_locked
  return values.config, values.workdir, rest


def _locate(argument: str) -> str:
  """`--config=etf_jax:NAME` as the path of that file."""
  match = re.fullmatch(r"(--?config=)etf_jax:(\w+)(:.*)?", argument)
  if not match:
    return argument
  known = sorted(path.stem for path in configs.FOLDER.glob("*.py"))
  if match[2] not in known:
    near = difflib.get_close_matches(match[2], known, 1, 0)[0]
    raise InputError(
      f"no experiment is named {match[2]!r}; did you mean {near!r}?"
      f" (known: {', '.join(known)})"
    )
  return f"{match[1]}{configs.FOLDER / match[2]}.py{match[3] or ''}"


def _unknown_field(argv: list[str]) -> str | None:
  """Name the first field of the command line that the config lacks."""
  given = [re.match(r"--?config\.([\w.]+)", argument) for argument in argv]
  fields = [match[1] for match in given if match]
  base, *_ = _parse([a for a in argv if not re.match(r"--?config\.", a)])
  known = list(_field_names(base))
  for field in fields:
    if field not in known:
      near = difflib.get_close_matches(field, known, 1, 0)[0]
      return f"config.{field} is unknown; did you mean config.{near}?"
  return None


def _field_names(config: ConfigDict, prefix: str = ""):
  for key, value in config.items():
    yield prefix + key
    if isinstance(value, ConfigDict):
      yield from _field_names(value, f"{prefix}{key}.")


def _one_line(error: Exception) -> str:
  # A file that raises comes with its whole traceback, the error last.
  text, _, traceback = str(error).partition("Traceback (most recent call")
  if traceback:
    last = traceback.strip().splitlines()[-1]
    text += last.partition(": ")[2] or last
  return " ".join(text.split())
