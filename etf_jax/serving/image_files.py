# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Images that a command line names: files, and all below a folder."""

from collections.abc import Sequence
import os

import numpy as np

from etf_jax.data.sources import folders
from etf_jax.errors import InputError, did_you_mean, some


def walk(folder: str) -> list[str]:
  """List the images at any depth below a folder, in sorted order.

  Hidden files and folders, and files without the suffix of an image, are left
  out. Links are followed.

  Raises:
    InputError: a folder cannot be read, or there is no image.
  """
  found = _below(folder, set())
  if not found:
    raise InputError(
      f"{folder} holds no image: they end in {', '.join(folders.SUFFIXES)}"
    )
  return found


def find(paths: Sequence[str]) -> list[str]:
  """List the images of paths in their order; a folder stands for all in it.

  Raises:
    InputError: nothing is there, or a folder without an image.
  """
  found = []
  for path in paths:
    if os.path.isdir(path):
      found += walk(path)
    elif os.path.exists(path):
      found.append(path)
    else:
      raise InputError(f"no such file or folder: {path}")
  return found


def by_class(folder: str, names: Sequence[str]) -> folders.FileSource:
  """Open the images of `folder`/CLASS/IMAGE, with the classes of a run.

  Args:
    folder: holds a folder for each of some of the classes.
    names: of the run's K classes.

  Raises:
    InputError: there is no image, or one of another class.
  """
  if not os.path.isdir(folder):
    raise InputError(f"--images={folder} is no folder: it holds CLASS/IMAGE")
  paths = [os.path.relpath(path, folder) for path in walk(folder)]
  for path in paths:
    if os.sep not in path:
      raise InputError(
        f"--images={folder}: {os.path.join(folder, path)} is in no class; move"
        " it to CLASS/IMAGE"
      )
  classes = [path.split(os.sep)[0] for path in paths]
  labels = class_numbers(classes, names, folder)
  return folders.file_source(folder, paths, labels, names)


def class_numbers(
  found: Sequence[str], names: Sequence[str], where: str
) -> np.ndarray:
  """Return the numbers that a run gives to classes.

  Args:
    found: names of classes.
    names: of the run's K classes.
    where: what holds those found, for the error.

  Raises:
    InputError: one is none of the run's.
  """
  numbers = {name: number for number, name in enumerate(names)}
  for name in dict.fromkeys(found):
    if name not in numbers:
      hint = did_you_mean(name, names)
      raise InputError(
        f"{where} has images of class {name!r}, which the model does not know"
        f"{hint} (known: {some(names)})"
      )
  return np.array([numbers[name] for name in found], np.int64)


def _below(folder: str, known: set[str]) -> list[str]:
  real = os.path.realpath(folder)
  if real in known:
    raise InputError(
      f"{folder} is a link to a folder above it, or to one that is read"
      " already; remove it"
    )
  known.add(real)
  found = []
  for entry in folders.read_folder(folder):
    path = os.path.join(folder, entry.name)
    if folders.is_hidden(entry.name):
      continue
    if os.path.isdir(path):
      found += _below(path, known)
    elif os.path.isfile(path) and entry.name.lower().endswith(folders.SUFFIXES):
      found.append(path)
  return found
