# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The command line of training: a config file, values of fields, a directory.

config, workdir = command_line.parse(["main", "--config=etf_jax:digits_lt"])
"""

import ast
from collections.abc import Collection, Iterator
import re
from typing import Any, NamedTuple

from absl import flags
from ml_collections import ConfigDict, config_flags

from etf_jax import configs
from etf_jax.configs import base
from etf_jax.errors import InputError, unknown_field, unknown_name
from etf_jax.runs import commands

_OVERRIDE = re.compile(r"--?(no)?config\.([\w.]+)(?:=(.*))?", re.DOTALL)
# Fields of a backbone's arguments, which no file need name.
_ARGUMENT = re.compile(r"model\.kwargs\.(\w+)")
# Units of durations that decide over one, see `training.durations`.
_FINER = {
  "epochs": ("examples", "steps", "min_steps"),
  "examples": ("steps", "min_steps"),
}
_USAGE = "usage: --config=FILE.py [--config.field=value ...] [--workdir=DIR]"


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
  """A parsed command line.

  Attributes:
    config: config of the experiment, with the fields of the command line.
    workdir: directory of the command line, or None.
    processes: how to find the other processes; None: there is only this one.
  """

  config: ConfigDict
  workdir: str | None
  processes: Processes | None


def experiments() -> list[str]:
  """Return the names that `--config=etf_jax:NAME` takes."""
  return sorted(path.stem for path in configs.FOLDER.glob("*.py"))


def parser() -> commands.Parser:
  """Create the parser of training's flags, without the fields of a config."""
  parser = commands.Parser("python -m etf_jax.main", _USAGE)
  add = parser.add_argument
  add("--config", metavar="FILE.py", help="experiment, or etf_jax:NAME")
  add(
    "--workdir",
    metavar="DIR",
    help="directory of the run (default: runs/NAME-METHOD-HASH/seed=N)",
  )
  add(
    "--distributed",
    action="store_true",
    help="there are several processes, which the environment names",
  )
  add("--coordinator_address", metavar="HOST:PORT", help="where process 0 is")
  add("--num_processes", type=int, metavar="N", help="number of processes")
  add("--process_id", type=int, metavar="I", help="number of this one, from 0")
  return parser


def parse_command(argv: list[str]) -> Command:
  """Parse the command line of one process of training.

  Args:
    argv: arguments, with the program's name first.

  Raises:
    InputError: a file that cannot be loaded, an unknown field (with the
      nearest known name), a value of the wrong type, or flags that do not fit
      together.
  """
  flags_of_training = parser()
  options, rest = flags_of_training.parse_known_args(argv[1:])
  fields: dict[str, str] = {}
  while rest:
    word = rest.pop(0)
    match = _OVERRIDE.fullmatch(word)
    if not match and word.startswith("-"):
      flags_of_training.parse_args([word])  # names the nearest flag
    if not match:
      raise InputError(f"cannot tell what {word!r} is; {_USAGE}")
    negated, field, value = match.groups()
    if value is None and rest and not rest[0].startswith("-"):
      value = rest.pop(0)
    if value is None:
      value = str(not negated)
    # The last value of a field counts.
    fields.pop(field, None)
    fields[field] = value
  if options.config is None:
    raise InputError(f"no --config was given; {_USAGE}")
  config = _with_fields(_locate(options.config), fields)
  return Command(config, options.workdir, _processes(options))


def parse(argv: list[str]) -> tuple[ConfigDict, str | None]:
  """Return the config and the directory of a command line.

  Args:
    argv: arguments, with the program's name first.

  Raises:
    InputError: see `parse_command`.
  """
  command = parse_command(argv)
  return command.config, command.workdir


def _processes(options) -> Processes | None:
  given = Processes(
    options.coordinator_address, options.num_processes, options.process_id
  )
  address, number, index = given
  if address is not None and not re.fullmatch(r".+:\d+", address):
    raise InputError(f"--coordinator_address={address}: must be host:port")
  if number is not None and number < 1:
    raise InputError(f"--num_processes={number}: must be at least 1")
  if index is not None and not 0 <= index < (number or index + 1):
    raise InputError(
      f"--process_id={index}: must be 0 or more, and less than"
      f" --num_processes={number}"
    )
  missing = [f"--{name}" for name, x in given._asdict().items() if x is None]
  if len(missing) == len(given):
    return given if options.distributed else None
  if missing and not options.distributed:
    raise InputError(
      f"{' and '.join(missing)} must be given too, or --distributed to find"
      " them in the environment"
    )
  return given


def _locate(config: str) -> str:
  """Return etf_jax:NAME as the path of that file."""
  match = re.fullmatch(r"etf_jax:(\w+)(:.*)?", config)
  if not match:
    return config
  if match[1] not in experiments():
    raise unknown_name("--config", match[1], experiments())
  return f"{configs.FOLDER / match[1]}.py{match[2] or ''}"


def _with_fields(file: str, given: dict[str, str]) -> ConfigDict:
  """Load a config file and set the fields that the command line names."""
  known = dict(_fields(_load(file, {})))
  defaults = dict(_fields(base.get_config()))
  values, none, arguments = {}, [], {}
  for field, text in given.items():
    if field not in known and (match := _ARGUMENT.fullmatch(field)):
      arguments[match[1]] = _literal(text)
    elif field not in known:
      raise unknown_field(field, known)
    elif text != "None":
      values[field] = _quoted(text) if _is_tuple(known[field]) else text
    elif defaults.get(field) is None:
      none.append(field)
    else:
      raise InputError(
        f"config.{field}=None: cannot be None; give a value like"
        f" {defaults[field]!r}"
      )
  config = _load(file, values)
  for field in (*none, *_finer_units(given, known)):
    config.update_from_flattened_dict({field: None})
  with config.unlocked():
    config.model.kwargs.update(arguments)
  return config


def _literal(text: str) -> Any:
  """Return the value of a field that has no type yet; a word is itself."""
  try:
    return ast.literal_eval(text)
  except (ValueError, SyntaxError):
    return text


def _finer_units(
  given: Collection[str], known: Collection[str]
) -> Iterator[str]:
  """Yield the fields of finer units than one that is given.

  A duration on the command line replaces that of the file, whose finer unit
  would decide otherwise.
  """
  for field in given:
    name, _, unit = field.rpartition("_")
    for finer in _FINER.get(unit, ()):
      if f"{name}_{finer}" in known and f"{name}_{finer}" not in given:
        yield f"{name}_{finer}"


def _is_tuple(value) -> bool:
  return isinstance(value, tuple | list)


def _quoted(text: str) -> str:
  """Return words with commas between as a tuple of strings."""
  try:
    ast.literal_eval(text)
  except (ValueError, SyntaxError):
    if re.fullmatch(r"[\w.-]+(,[\w.-]+)*,?", text):
      return repr(tuple(text.rstrip(",").split(",")))
  return text


def _load(file: str, values: dict[str, str]) -> ConfigDict:
  argv = ["", f"--config={file}"]
  argv += [f"--config.{field}={text}" for field, text in values.items()]
  # Flags of our own, so that a program may call this more than once.
  found = flags.FlagValues()
  config_flags.DEFINE_config_file("config", flag_values=found, sys_argv=argv)
  try:
    found(argv)
    # A file that failed to load raises when it is first looked into.
    _ = found.config.is_locked
  except (
    flags.Error, AttributeError, KeyError, OSError, TypeError, ValueError
  ) as error:  # fmt: skip
    raise InputError(_one_line(error)) from error
  return found.config


def _fields(config: ConfigDict, prefix: str = ""):
  for key, value in config.items():
    yield prefix + key, value
    if isinstance(value, ConfigDict):
      yield from _fields(value, f"{prefix}{key}.")


def _one_line(error: Exception) -> str:
  # A file that raises comes with its whole traceback, the error last.
  text, _, traceback = str(error).partition("Traceback (most recent call")
  if traceback:
    last = traceback.strip().splitlines()[-1]
    text += last.partition(": ")[2] or last
  return " ".join(text.split())
