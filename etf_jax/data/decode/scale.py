# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Antialiased scaling of decoded images, as products of small matrices.

An output row is a weighted mean of a few rows that lie together, so eight of
them are a small matrix times some twenty rows; columns likewise. NumPy does it
in less than half of the time that Pillow takes and releases the interpreter's
lock meanwhile.

Weights are multiples of 1/256. A pixel times two of them has 24 bits, as many
as a float32 holds, so nothing is rounded before the end: the order of the
additions does not matter, and the result is the same to the last bit with every
BLAS, on every machine and in any number of threads.
"""

import functools
import math
import threading

import numpy as np

_LEVELS = 256
# Rows that a block makes, and columns times channels: a vector register.
_ROWS, _COLUMNS = 8, 16
# Rows that are made at once, and about how many are read for them: memory.
_STRIP, _READ = 256, 512
# Multiplications up to which OpenBLAS takes one thread. With more of them the
# threads that decode would wait for each other.
_MULTIPLICATIONS = 2**18
# Matrices of some 10 kB; photographs come in hundreds of sizes.
_REMEMBERED = 1024

# Memory that every image of a thread uses again: to get it from the system
# takes longer than to write to it.
_thread = threading.local()


def scale(
  image: np.ndarray,
  box: tuple[float, float, float, float],
  height: int,
  width: int,
) -> np.ndarray:
  """Scale a part of an image with the triangle filter.

  It is the filter of Pillow's BILINEAR: its half width is a pixel of the result
  where the image becomes smaller, and a pixel of the image where it becomes
  larger; it is cut off at the borders of the image, not of the part.

  Args:
    image: uint8 `[H, W, channels]` or `[H, W]`.
    box: left, top, right and bottom of the part, in pixels, within the image.
    height: rows of the result.
    width: columns of the result.

  Returns:
    uint8 `[height, width, channels]` or `[height, width]`.
  """
  channels = math.prod(image.shape[2:])
  left, top, right, bottom = box
  strip = min(height, _STRIP, max(1, int(_READ * height / (bottom - top))))
  lefts, across = _bands(
    *(image.shape[1], left, right, width, _COLUMNS // channels),
    strip * channels**2,
  )
  across = _repeat(across, channels)
  first = lefts[0] * channels
  places = [start * channels - first for start in lefts]
  values = places[-1] + across.shape[1]
  flat = image.reshape(len(image), -1)[:, first : first + values]
  tops, down = _bands(image.shape[0], top, bottom, height, _ROWS, values)
  scaled = np.empty((height, width * channels), np.uint8)
  blocks_at_once = -(-strip // down.shape[2])
  for block in range(0, len(tops), blocks_at_once):
    these = slice(block, block + blocks_at_once)
    made = _scale_strip(flat, tops[these], down[these], places, across)
    row = block * down.shape[2]
    target = scaled[row : row + len(made)]
    # The last blocks make more than is asked for.
    target[:] = made[: len(target), : scaled.shape[1]]
  return scaled.reshape(height, width, *image.shape[2:])


def _scale_strip(image, tops, down, places, across):
  """Return some rows of the result, float32, to be cut to integers."""
  (number, read, rows), (_, inputs, outputs) = down.shape, across.shape
  # The result may overwrite the pixels.
  between, pixels, result = _room(
    (number * rows, image.shape[1]),
    (tops[-1] + read - tops[0], image.shape[1]),
    (number * rows, len(places) * outputs),
  )
  pixels[:] = image[tops[0] : tops[-1] + read]
  parts = between.reshape(number, rows, -1)
  for top, block, part in zip(tops, down, parts, strict=True):
    start = top - tops[0]
    np.matmul(block.T, pixels[start : start + read], out=part)
  parts = result.reshape(number * rows, -1, outputs).swapaxes(0, 1)
  for place, block, part in zip(places, across, parts, strict=True):
    np.matmul(between[:, place : place + inputs], block, out=part)
  result += np.float32(0.5)
  return result


def _room(first, *others):
  """Float32 arrays to write to: one, and others that share their memory.

  What the call before has returned is lost.
  """
  start = math.prod(first)
  ends = [start + math.prod(shape) for shape in others]
  room = getattr(_thread, "room", None)
  if room is None or len(room) < max(ends):
    room = _thread.room = np.empty(max(ends), np.float32)
  return [
    room[:start].reshape(first),
    *(
      room[start:end].reshape(shape)
      for end, shape in zip(ends, others, strict=True)
    ),
  ]


def _repeat(blocks, channels):
  """Return the blocks for the values of channels side by side."""
  number, inputs, outputs = blocks.shape
  repeated = np.zeros((number, inputs, channels, outputs, channels), np.float32)
  for channel in range(channels):
    repeated[:, :, channel, :, channel] = blocks
  return repeated.reshape(number, inputs * channels, outputs * channels)


def _bands(
  full: int, start: float, end: float, count: int, outputs: int, times: int
) -> tuple[list[int], np.ndarray]:
  """Return the banded matrix that scales a part of `full` pixels to `count`.

  The part is [start, end); a block makes at most `outputs`, with `times`
  multiplications for each element.

  Returns:
    The first input of each of B blocks, and float32 `[B, inputs, outputs]`. The
    last outputs are repeated until the last block is full.
  """
  step = (end - start) / count
  while outputs > 1 and (
    outputs * _reach(full, step, outputs) * times > _MULTIPLICATIONS
  ):
    outputs //= 2
  return _blocks(full, start, step, count, outputs)


def _reach(full, step, outputs):
  """Return the number of inputs that bear on adjacent outputs."""
  return min(full, math.ceil((outputs - 1) * step + 2 * max(step, 1.0)))


@functools.lru_cache(_REMEMBERED)
def _blocks(full, start, step, count, outputs):
  support, inputs = max(step, 1.0), _reach(full, step, outputs)
  number = -(-count // outputs)
  output = np.minimum(np.arange(number * outputs), count - 1)
  centers = start + (output + 0.5) * step
  starts = np.floor(centers[::outputs] - support - 0.5).astype(int) + 1
  starts = np.clip(starts, 0, full - inputs)
  places = np.repeat(starts, outputs)[:, None] + np.arange(inputs) + 0.5
  distances = np.abs(places - centers[:, None])
  sums = np.cumsum(np.maximum(0.0, 1.0 - distances / support), axis=1)
  # Not the weights are rounded but their sums: the last one stays 1.
  sums = np.rint(sums / sums[:, -1:] * _LEVELS)
  weights = np.diff(sums, axis=1, prepend=0) / _LEVELS
  weights = weights.astype(np.float32).reshape(number, outputs, inputs)
  return starts.tolist(), weights.swapaxes(1, 2)
