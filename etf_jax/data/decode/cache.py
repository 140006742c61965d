# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Decodes a whole source once, into memory or into a file that is reused.

  images, sizes, good = cache.decode_all(
    source, channels=3, size=256, fit="shorter", decoder=decode.choose(None),
    workers=8, cache_dir="/data/decoded",
  )

Threads decode: the libraries release the interpreter's lock, and processes
would have to hand over what they made.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
import concurrent.futures
import contextlib
import functools
import logging
import math
import os
from typing import Any, NotRequired, TypedDict, Unpack

import numpy as np

from etf_jax.data.decode import cache_file
from etf_jax.data.decode import image as image_decoder
from etf_jax.data.decode.limits import CorruptImage, Limits
from etf_jax.data.sources import Source
from etf_jax.errors import InputError, some
from etf_jax.runs.console import Progress

_log = logging.getLogger(__name__)

_NAMED_AT_MOST = 20
# Decoded at once by a thread.
_BLOCK_BYTES, _BLOCK_IMAGES = 2**24, 256
_CHECKED_IMAGES = 64
# Images of fewer bytes are decoded by one thread: more would only wait for each
# other (10,000 of 28x28: 0.4 s with one, 0.9 s with two).
_SMALL = 2**14


class Options(TypedDict):
  """The options of `decode.decode`, which see."""

  channels: int
  size: int | None
  fit: str
  decoder: str
  limits: NotRequired[Limits | None]


def decode_all(
  source: Source,
  *,
  workers: int,
  corrupt: str = "error",
  cache_dir: str | os.PathLike | None = None,
  **options: Unpack[Options],
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
  """Decode every image of a source.

  With a `cache_dir` the result is a read-only map of a file there, which every
  later call with the same images and options reuses. A file belongs to the
  names that the source gives its images, and for names that are paths the
  files' sizes and times of change; to the labels; and to the options. Other
  data in the same place and other versions of the libraries go unnoticed:
  remove the cache then. Nothing is ever removed by itself.

  A process that dies leaves a `.partial` folder, which the next one continues.
  Of several processes one writes and the others wait.

  Args:
    source: The images.
    workers: Threads; small images take one.
    corrupt: "error", or "skip" to leave zeros and name them on stderr.
    cache_dir: Folder for the file; None: memory.
    **options: See `decode.decode`; `size` is None if all images have one shape.

  Returns:
    images: uint8 `[N, size, size, channels]`, or `[N, H, W, channels]` if
      `size` is None.
    sizes: int32 `[N, 2]`, height and width of each image in the top left corner
      of its array if `fit` is "longer"; those of the array where an image is
      corrupt. None if all images fill their arrays.
    good: booleans `[N]`, False for corrupt images.

  Raises:
    InputError: An image is corrupt, or has another shape than the first if
      `size` is None; none is good; there is no room.
  """
  if not len(source.labels):
    raise InputError("there are no images to decode")
  decode_one = _Decoder(source, options, corrupt)

  def fill(state, store):
    yield from _fill(decode_one, state, store, workers)
    if corrupt == "error" and state.bad:
      bad = dict(state.bad)
      # They are decoded again when they have been mended.
      state.done[list(bad)] = False
      state.bad.clear()
      _report(source, bad, corrupt)

  if cache_dir is None:
    images, state = _in_memory(decode_one, fill)
  else:
    images, state = cache_file.load_or_make(
      cache_dir,
      cache_file.key(source, decode_one.options),
      len(source.labels),
      lambda: decode_one.shape,
      fill,
    )
  good = _report(source, state.bad, corrupt)
  has_sizes = options["size"] is not None and options["fit"] == "longer"
  return images, state.sizes if has_sizes else None, good


def find_good(
  source: Source, *, workers: int, **options: Unpack[Options]
) -> np.ndarray:
  """Decode every image and keep none; see `decode_all`.

  Returns:
    booleans `[N]`, False for corrupt images, which are named on stderr.

  Raises:
    InputError: none is good.
  """
  decode_one, bad = _Decoder(source, options, "skip"), {}
  starts = range(0, len(source.labels), _CHECKED_IMAGES)
  with (
    Progress("checking images", len(source.labels)) as bar,
    contextlib.closing(_run(decode_one.check, starts, workers)) as results,
  ):
    for start, found in zip(starts, results, strict=True):
      bad.update(found)
      bar.update(min(_CHECKED_IMAGES, len(source.labels) - start))
  return _report(source, bad, "skip")


def first_shape(
  source: Source,
  *,
  channels: int,
  fit: str,
  decoder: str,
  corrupt: str,
  limits: Limits | None = None,
) -> tuple[int, int, int]:
  """Return the shape of the first good image; see `decode_all`."""
  options = Options(
    channels=channels, size=None, fit=fit, decoder=decoder, limits=limits
  )
  return _Decoder(source, options, corrupt).shape


def cpu_threads() -> int:
  """Threads to decode with: the cores that this process may use."""
  if hasattr(os, "sched_getaffinity"):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


class _Decoder:
  """Decodes the images of a source to one shape."""

  def __init__(self, source: Source, options: Options, corrupt: str):
    self.source, self._corrupt = source, corrupt
    self.options: dict[str, Any] = dict(options)
    if options.get("limits") in (None, Limits()):
      self.options.pop("limits", None)  # which the names of old files lack
    self.count = len(source.labels)

  @functools.cached_property
  def shape(self) -> tuple[int, int, int]:
    """The shape of an image: that of the first good one if none is given."""
    if (size := self.options["size"]) is not None:
      return size, size, self.options["channels"]
    bad: dict[int, str] = {}
    for index in range(self.count):
      image, _ = self._decode(index, bad)
      if image is not None:
        return image.shape
      if self._corrupt == "error":
        _report(self.source, bad, "error")
    raise _none_good(self.source, bad)

  def block(
    self, start: int, images: np.ndarray
  ) -> tuple[np.ndarray, dict[int, str]]:
    """Decode images from `start` on; returns their sizes, and bad ones."""
    sizes = np.empty((len(images), 2), np.int32)
    bad: dict[int, str] = {}
    for place in range(len(images)):
      index = start + place
      image, sizes[place] = self._decode(index, bad)
      if image is None:
        images[place] = 0
      elif image.shape != self.shape:
        raise InputError(
          f"{self.source.describe(index)} has shape {image.shape} and not "
          f"{self.shape} as the first one; config.data.image_size scales "
          "images to one size"
        )
      else:
        images[place] = image
    return sizes, bad

  def check(self, start: int) -> dict[int, str]:
    """Decode some images from `start` on; return why some are bad."""
    bad: dict[int, str] = {}
    for index in range(start, min(start + _CHECKED_IMAGES, self.count)):
      self._decode(index, bad)
    return bad

  def _decode(self, index, bad):
    try:
      encoded = self.source.read(index)
    except OSError as error:
      raise InputError(
        f"cannot read {self.source.describe(index)} ({error.strerror or error})"
      ) from error
    try:
      return image_decoder.decode(encoded, **self.options)
    except CorruptImage as error:
      bad[index] = str(error)
      # A cached property: the shape is here once it is known.
      return None, self.__dict__.get("shape", (0, 0))[:2]


def corrupt_images(found: Sequence[tuple[str, object]]) -> InputError:
  """Create the error for images that cannot be decoded.

  Args:
    found: Name of each, and why.
  """
  if len(found) == 1:
    ((name, why),) = found
    what = f"{name} cannot be decoded: {why}; mend or remove it"
  else:
    named = some([f"{name} ({why})" for name, why in found])
    what = (
      f"{len(found):,} images cannot be decoded: {named}; mend or remove them"
    )
  return InputError(f"{what}, or set config.data.corrupt='skip'")


def _none_good(source, bad) -> InputError:
  index = min(bad)
  return InputError(
    f"none of {len(source.labels)} images can be decoded; "
    f"{source.describe(index)}: {bad[index]}"
  )


def _report(source: Source, bad: dict[int, str], corrupt: str) -> np.ndarray:
  """Raise for bad images, or name them; return which are good."""
  ordered = sorted(bad)
  if bad and corrupt == "error":
    raise corrupt_images([(source.describe(i), bad[i]) for i in ordered])
  if bad and len(bad) == len(source.labels):
    raise _none_good(source, bad)
  for index in ordered[:_NAMED_AT_MOST]:
    _log.warning(f"skipped {source.describe(index)}: {bad[index]}")
  if len(bad) > _NAMED_AT_MOST:
    _log.warning(
      f"skipped {len(bad) - _NAMED_AT_MOST} more, {len(bad)} of "
      f"{len(source.labels)} images in all"
    )
  good = np.ones(len(source.labels), bool)
  good[ordered] = False
  return good


def _in_memory(decoder, fill):
  shape = (decoder.count, *decoder.shape)
  try:
    images = np.empty(shape, np.uint8)
  except MemoryError as error:
    raise InputError(
      f"{decoder.count:,} decoded images take {math.prod(shape):,} bytes, more "
      "memory than there is; set config.data.cache_dir, or "
      "config.data.feed='stream'"
    ) from error

  def store(start, block):
    images[start : start + len(block)] = block

  state = cache_file.new_state(decoder.count)
  for _ in fill(state, store):
    pass
  return images, state


def _fill(
  decoder: _Decoder,
  state: cache_file.State,
  store: Callable[[int, np.ndarray], None],
  workers: int,
) -> Iterator[None]:
  """Decode and store what is not done yet; pauses after every block."""
  bytes_each = math.prod(decoder.shape)
  length = max(1, min(_BLOCK_IMAGES, _BLOCK_BYTES // bytes_each))
  starts = [
    start
    for start in range(0, decoder.count, length)
    if not state.done[start : start + length].all()
  ]

  def work(start):
    block = np.empty(
      (min(length, decoder.count - start), *decoder.shape), np.uint8
    )
    found = decoder.block(start, block)
    store(start, block)
    return found

  threads = 1 if bytes_each < _SMALL else min(workers, len(starts))
  with (
    Progress(
      "decoding", decoder.count, finished=int(np.sum(state.done))
    ) as bar,
    contextlib.closing(_run(work, starts, threads)) as results,
  ):
    for start, (sizes, bad) in zip(starts, results, strict=True):
      found = slice(start, start + length)
      state.sizes[found] = sizes
      state.bad.update(bad)
      bar.update(int(np.sum(~state.done[found])))
      state.done[found] = True
      yield


def _run(work: Callable, items: Iterable, threads: int) -> Generator:
  if threads <= 1:
    yield from map(work, items)
    return
  pool = concurrent.futures.ThreadPoolExecutor(threads)
  try:
    yield from pool.map(work, items)
  finally:
    pool.shutdown(cancel_futures=True)
