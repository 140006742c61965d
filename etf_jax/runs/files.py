# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The files that commands write for their users."""

import os
from pathlib import Path

from etf_jax.errors import InputError


def out_folder(text: str) -> Path:
  """Make the folder of --out, before anything is computed for it.

  Raises:
    InputError: it cannot be made.
  """
  out = Path(text)
  try:
    out.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise InputError(
      f"cannot write to --out={out}: {error.strerror}; give another folder"
    ) from error
  return out


def write(path: Path, content: str | bytes) -> None:
  """Write a file, which appears only once it is whole; text as UTF-8.

  Raises:
    InputError: it cannot be written.
  """
  temporary = path.with_name(path.name + ".tmp")
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary.write_bytes(
      content.encode() if isinstance(content, str) else content
    )
    os.replace(temporary, path)
  except OSError as error:
    raise InputError(f"cannot write {path}: {error.strerror}") from error
