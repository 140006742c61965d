# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The exception that means "the user can mend this", and how it names things.

Every command prints the message of an `InputError` as one line and exits with
code 2; every other exception is a bug and keeps its traceback.
"""

from collections.abc import Iterable, Sequence
import difflib


class InputError(ValueError):
  """One line for the user: `FIELD=VALUE: what is wrong; what to do`."""


def one_line(error: BaseException) -> str:
  """Return the message of an error on one line that steers no terminal."""
  text = " ".join(str(error).splitlines())
  return "".join(c if c.isprintable() else "?" for c in text)


def did_you_mean(name: object, known: Iterable[str]) -> str:
  """Return "; did you mean 'NEAREST'?", or "" where no known name is near."""
  near = difflib.get_close_matches(str(name), list(known), 1)
  return f"; did you mean {near[0]!r}?" if near else ""


def some(names: Sequence[str], most: int = 5) -> str:
  """Return the first few names for a message, and how many more there are."""
  more = len(names) - most
  return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")


def unknown_field(field: str, known: Iterable[str]) -> InputError:
  """Create the error for an unknown config field, by its dotted name."""
  near = difflib.get_close_matches(field, known, 1)
  hint = "etf_jax/configs/base.py explains the fields"
  if near:
    hint = f"did you mean config.{near[0]}?"
  return InputError(f"config.{field} is unknown; {hint}")


def unknown_name(
  field: str, name: object, known: Iterable[str], more: str = ""
) -> InputError:
  """Create the error for a value that is none of the known names.

  Args:
    field: flag or config field that has the value.
    name: the value.
    known: names to choose from, in the order of the message.
    more: another kind of value, put behind the known names.
  """
  known = list(known)
  hint = did_you_mean(name, known) or "; choose one"
  names = ", ".join([*known, more] if more else known)
  return InputError(f"{field}={name!r}: unknown{hint} (known: {names})")
