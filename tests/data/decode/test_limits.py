# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Images that would take minutes or gigabytes are refused in one line."""

import struct
import zlib

from encoded_images import encode, every_decoder, photograph
from ml_collections import ConfigDict
import pytest

from etf_jax.configs import base
from etf_jax.data import decode
from etf_jax.data.decode import jpeg, limits
from etf_jax.errors import InputError


def refused(encoded, decoder="pillow", **options):
  """The line with which an image is refused."""
  with pytest.raises(decode.CorruptImage) as error:
    decode.decode(
      encoded, channels=3, size=8, fit="shorter", decoder=decoder, **options
    )
  return str(error.value)


def many_scans(count, **options):
  """A progressive JPEG whose last scan is there many times more."""
  encoded = encode(photograph(16, 24), progressive=True, **options)
  last = encoded.rindex(b"\xff\xda")
  return encoded[:-2] + encoded[last:-2] * count + encoded[-2:]


def png(height, width):
  """A PNG with the header of a large image and hardly a pixel."""
  header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
  chunks = b""
  for name, body in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(99)))):
    crc = zlib.crc32(name + body)
    chunks += struct.pack(">I", len(body)) + name + body
    chunks += struct.pack(">I", crc)
  return b"\x89PNG\r\n\x1a\n" + chunks


@every_decoder
def test_scans_of_a_progressive_jpeg(decoder):
  ordinary = encode(photograph(16, 24), progressive=True)
  scans = jpeg.count_scans(ordinary)
  assert 6 <= scans <= 12
  options = {"channels": 3, "size": 8, "fit": "shorter", "decoder": decoder}
  image, _ = decode.decode(many_scans(64 - scans), **options)
  assert image.shape == (8, 8, 3)
  assert refused(many_scans(2_000), decoder) == (
    f"it has {2_000 + scans:,} scans of 16 x 24 pixels and the limit is 64 "
    "(config.data.max_scans, max_pixels); save it again"
  )


def test_scans_of_a_large_jpeg_are_fewer():
  small = decode.Limits(pixels=16 * 24)
  assert "16 x 24 pixels and the limit is 8 " in refused(
    many_scans(10), limits=small
  )


def test_a_baseline_jpeg_has_one_scan():
  encoded = encode(photograph(16, 24))
  assert jpeg.count_scans(encoded) == 1
  assert not jpeg.read_header(encoded).several_scans
  assert jpeg.read_header(encode(photograph(9, 9), progressive=True))[3]


@pytest.mark.parametrize("shape", [(1, 100_000_000), (100_000_000, 1)])
def test_a_side(shape):
  height, width = shape
  assert refused(png(*shape)) == (
    f"it has {height} x {width} pixels and the limit of a side is 65,536 "
    "(config.data.max_side); cut it"
  )


def test_pixels():
  assert refused(png(20_000, 20_000)) == (
    "20000 x 20000 pixels would be decoded at once and the limit is "
    "134,217,728 (config.data.max_pixels); scale it down"
  )
  few = decode.Limits(pixels=99)
  assert "limit is 99 " in refused(
    encode(photograph(10, 10), "PNG"), limits=few
  )


@pytest.mark.parametrize("field", ["max_pixels", "max_side", "max_scans"])
def test_fields(field):
  config = ConfigDict(base.get_config().data.to_dict())
  assert limits.from_config(config) == decode.Limits()
  config[field] = 7
  assert getattr(limits.from_config(config), field.removeprefix("max_")) == 7
  config[field] = 0
  with pytest.raises(InputError, match=rf"config\.data\.{field}=0: must"):
    limits.from_config(config)
