# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Images encoded for the tests, and what decoding them should give."""

import io
import struct
import zlib

import numpy as np
from PIL import Image
import pytest

from etf_jax.data import decode

DECODERS = ("simplejpeg", "opencv", "pillow")
every_decoder = pytest.mark.parametrize("decoder", DECODERS)


def photograph(height, width, channels=3, seed=0):
  """Smooth colours with some detail and noise, uint8."""
  rng = np.random.default_rng(seed)
  total = np.zeros((height, width, channels))
  for cell, share in ((60, 0.55), (12, 0.3), (1, 0.15)):
    shape = (-(-height // cell), -(-width // cell), channels)
    coarse = rng.integers(0, 256, shape)
    total += share * np.kron(coarse, np.ones((cell, cell, 1)))[:height, :width]
  return np.squeeze(total.astype(np.uint8))


def encode(image, kind="JPEG", **options):
  if isinstance(image, np.ndarray):
    image = Image.fromarray(image)
  buffer = io.BytesIO()
  image.save(buffer, kind, **options)
  return buffer.getvalue()


def run(encoded, decoder="pillow", channels=3, size=None, fit="shorter"):
  image, shape = decode.decode(
    encoded, channels=channels, size=size, fit=fit, decoder=decoder
  )
  assert image.dtype == np.uint8
  assert image.ndim == 3
  assert image.shape[2] == channels
  return image, shape


def difference(a, b):
  return np.abs(a.astype(int) - b.astype(int))


def pillow(encoded):
  with Image.open(io.BytesIO(encoded)) as image:
    return np.asarray(image.convert("RGB"))


def triangle_weights(full, scaled, start, kept):
  """[kept, full]: rows of the antialiased bilinear filter, float64."""
  scale = full / scaled
  support = max(scale, 1.0)
  centres = (start + np.arange(kept) + 0.5) * scale
  distance = np.abs(np.arange(full) + 0.5 - centres[:, None])
  weights = np.maximum(0.0, 1.0 - distance / support)
  return weights / weights.sum(axis=1, keepdims=True)


def expected(pixels, size, fit):
  """The definition in float64: a matrix product for each axis."""
  height, width = pixels.shape[:2]
  if fit == "shorter":
    short, long = size, int(size * max(height, width) / min(height, width))
    kept = (size, size)
  else:
    long = min(size, max(height, width))
    short = max(1, int(long * min(height, width) / max(height, width)))
  rows, columns = (short, long) if height <= width else (long, short)
  if fit == "longer":
    kept = (rows, columns)
  top = round((rows - kept[0]) / 2)
  left = round((columns - kept[1]) / 2)
  down = triangle_weights(height, rows, top, kept[0])
  across = triangle_weights(width, columns, left, kept[1])
  scaled = np.tensordot(down, pixels.astype(float), 1)
  return np.tensordot(across, scaled, (1, 1)).swapaxes(0, 1)


def exif_bytes(orientation, order="<", kind=3):
  mark = b"II*\0" if order == "<" else b"MM\0*"
  value = struct.pack(
    order + {3: "HH", 4: "I"}[kind], *(orientation, 0)[: 5 - kind]
  )
  entries = struct.pack(order + "HHHI", 2, 0x010F, 2, 4) + b"abc\0"
  entries += struct.pack(order + "HHI", 0x0112, kind, 1) + value
  return mark + struct.pack(order + "I", 8) + entries + b"\0\0\0\0"


def png_16(samples, colour_type):
  """A PNG of 16 bits, written by hand: Pillow writes none in colour."""
  height, width = samples.shape[:2]
  rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
  header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
  encoded = b"\x89PNG\r\n\x1a\n"
  for kind, body in (
    (b"IHDR", header),
    (b"IDAT", zlib.compress(rows)),
    (b"IEND", b""),
  ):
    check = zlib.crc32(kind + body)
    encoded += struct.pack(">I", len(body)) + kind + body
    encoded += struct.pack(">I", check)
  return encoded


def flat_grey_jpeg(height, width, frame_marker=0xC0):
  """A grey JPEG of any size, level 128, written without an encoder's memory.

  A block whose coefficients are all zero takes six bits: 00 for the difference
  of the mean, 1010 for the end of the block.
  """
  small = encode(np.full((8, 8), 128, np.uint8), quality=75)
  frame = small.index(b"\xff\xc0")
  size = struct.pack(">HH", height, width)
  header = bytearray(small[: small.index(b"\xff\xda") + 10])
  header[frame + 1] = frame_marker
  header[frame + 5 : frame + 9] = size
  blocks = -(-height // 8) * -(-width // 8)
  scan = b"\x28\xa2\x8a" * -(-blocks // 4)
  return bytes(header) + scan + b"\xff\xd9"
