# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Files that hold their own paths, and the text of errors."""

from collections.abc import Callable
import pathlib

import pytest

from etf_jax.data.sources import folders
from etf_jax.errors import InputError


def plant(root: pathlib.Path, *paths: str) -> pathlib.Path:
  """Make files that hold their own paths; a path ending in / is a folder."""
  for path in paths:
    file = root / path
    if path.endswith("/"):
      file.mkdir(parents=True)
    else:
      file.parent.mkdir(parents=True, exist_ok=True)
      file.write_text(path)
  return root


def contents(source: folders.FileSource) -> list[str]:
  """Return the content of the files of a source."""
  return [source.read(index).decode() for index in range(len(source.labels))]


def message(folder: pathlib.Path, function: Callable, *args, **kwargs) -> str:
  """The text of the error that a call ends in, with DIR for the folder."""
  with pytest.raises(InputError) as error:
    function(*args, **kwargs)
  return str(error.value).replace(str(folder), "DIR")
