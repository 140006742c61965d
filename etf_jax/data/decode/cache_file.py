# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The files of `cache`: one folder per source and options.

It holds `images.npy`, and `index.npz` with what is known of each image. While
it is written its name ends in `.partial`; the name changes when all is there.
"""

from collections.abc import Callable, Iterator
import contextlib
import dataclasses
import hashlib
import logging
import math
import os
import pathlib
import shutil
import time
import zipfile

import numpy as np

from etf_jax.data.sources import Source
from etf_jax.errors import InputError
from etf_jax.runs import files

_log = logging.getLogger(__name__)

# Changes when the same arguments give other pixels than before.
_VERSION = 2

# How much work a process that is killed may lose.
_SAVE_SECONDS = 30.0

# What reading files that are absent or damaged may raise.
_UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


@dataclasses.dataclass
class State:
  """Decoded images and their sizes, as far as they are known.

  Attributes:
    done: booleans `[N]`, whether an image is decoded.
    sizes: int32 `[N, 2]`, heights and widths.
    bad: why images cannot be decoded, by index.
  """

  done: np.ndarray
  sizes: np.ndarray
  bad: dict[int, str]


def new_state(count: int) -> State:
  """Nothing is known yet."""
  return State(np.zeros(count, bool), np.zeros((count, 2), np.int32), {})


def key(source: Source, options: dict) -> str:
  """Name what decides the pixels."""
  digest = hashlib.sha256(repr((_VERSION, sorted(options.items()))).encode())
  digest.update(np.asarray(source.labels, np.int64).tobytes())
  for index in range(len(source.labels)):
    name = source.describe(index)
    digest.update(name.encode(errors="surrogateescape") + b"\0")
    with contextlib.suppress(OSError, ValueError):
      status = os.stat(name)
      digest.update(b"%d %d\0" % (status.st_size, status.st_mtime_ns))
  return f"{len(source.labels)}-{digest.hexdigest()[:32]}"


def load_or_make(
  cache_dir: str | os.PathLike,
  name: str,
  count: int,
  image_shape: Callable[[], tuple[int, ...]],
  fill: Callable[[State, Callable[[int, np.ndarray], None]], Iterator[None]],
) -> tuple[np.ndarray, State]:
  """Return the images as a read-only map, and what is known of them.

  Args:
    cache_dir: where the folder is.
    name: of the folder.
    count: N.
    image_shape: gives the shape of an image; called if there is no file.
    fill: decodes what is not done in a state, passes blocks of images with the
      index of their first to a function, and pauses whenever it has marked one
      as done.

  Raises:
    InputError: There is no room, or no permission; the files are damaged.
  """
  entry = pathlib.Path(cache_dir, name)
  try:
    if not entry.exists():
      with files.lock(
        entry.with_name(f"{entry.name}.lock"),
        waiting=f"waiting for another process that decodes into {entry}",
      ):
        if not entry.exists():  # Another process may have made it meanwhile.
          _make(entry, (count, *image_shape()), fill)
  except OSError as error:
    raise InputError(
      f"cannot write to config.data.cache_dir={str(cache_dir)!r} "
      f"({error.strerror or error}); give another one"
    ) from error
  try:
    return np.load(entry / "images.npy", mmap_mode="r"), _read(entry)
  except _UNREADABLE as error:
    raise InputError(
      f"the decoded images in {entry} are damaged ({error}); remove it"
    ) from error


def _make(entry, shape, fill) -> None:
  partial = entry.with_name(entry.name + ".partial")
  path = partial / "images.npy"
  state = _resume(partial, path, shape)
  each = math.prod(shape[1:])
  needed = each * int(np.sum(~state.done))
  free = shutil.disk_usage(entry.parent).free
  if needed > free:
    raise InputError(
      f"{shape[0]:,} decoded images need {needed:,} bytes in "
      f"config.data.cache_dir={str(entry.parent)!r} and {free:,} are free; "
      "give another one, a smaller config.data.image_size, or "
      "config.data.feed='stream'"
    )
  if not state.done.any():
    partial.mkdir(exist_ok=True)
    # A header and a hole.
    np.lib.format.open_memmap(path, "w+", np.uint8, shape)
  offset = np.load(path, mmap_mode="r").offset
  with path.open("r+b") as file:

    def store(start, block):
      # Not through the map: a full disk would kill the process there.
      data, place = memoryview(block).cast("B"), offset + start * each
      while data:
        written = os.pwrite(file.fileno(), data, place)
        data, place = data[written:], place + written

    saved = time.monotonic()
    try:
      for _ in fill(state, store):
        if time.monotonic() - saved >= _SAVE_SECONDS:
          _save(partial, state, file)
          saved = time.monotonic()
    finally:
      _save(partial, state, file)
  partial.rename(entry)


def _resume(partial, path, shape) -> State:
  """Read the state that an unfinished process has left."""
  try:
    state = _read(partial)
    if np.load(path, mmap_mode="r").shape != shape:
      return new_state(shape[0])
  except _UNREADABLE:
    return new_state(shape[0])
  _log.info(
    f"continuing after {np.sum(state.done):,} of {shape[0]:,} images in "
    f"{partial}"
  )
  return state


def _save(folder: pathlib.Path, state: State, file) -> None:
  """Write the index, never ahead of the images."""
  os.fsync(file.fileno())
  bad = sorted(state.bad)
  with files.replacing(folder / "index.npz") as index:
    np.savez(
      index,
      done=state.done,
      sizes=state.sizes,
      bad=np.asarray(bad, np.int64),
      why=np.asarray([state.bad[i] for i in bad], np.str_),
    )


def _read(folder: pathlib.Path) -> State:
  with np.load(folder / "index.npz", allow_pickle=False) as index:
    bad = dict(zip(index["bad"].tolist(), index["why"].tolist(), strict=True))
    return State(index["done"], index["sizes"], bad)
