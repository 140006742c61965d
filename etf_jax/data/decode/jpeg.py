# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The header of a JPEG, read without decoding the image (ITU-T T.81, B)."""

import struct
from typing import NamedTuple

START = b"\xff\xd8\xff"

_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
# Huffman and arithmetic tables share the range of the frame markers.
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
# Application data and comments, except APP0 (JFIF) and APP14 (Adobe), which
# say how colors are coded.
_IRRELEVANT = {*range(0xE1, 0xEE), 0xEF, 0xFE}
_EXIF, _EXIF_START = 0xE1, b"Exif\0\0"

_ORIENTATION_TAG = 0x0112
_SHORT, _LONG = 3, 4


class Header(NamedTuple):
  """A JPEG's header.

  Attributes:
    height: Rows, as stored.
    width: Columns, as stored.
    components: 1 gray, 3 color, 4 CMYK or YCCK.
    several_scans: True where all coefficients are held while it is decoded: it
      is progressive, or its first scan lacks a component.
    orientation: See `orientation`.
    irrelevant: Start and end of segments that do not bear on the pixels.
  """

  height: int
  width: int
  components: int
  several_scans: bool
  orientation: int
  irrelevant: tuple[tuple[int, int], ...]


def read_header(encoded: bytes) -> Header:
  """Read the segments before the first scan.

  Raises:
    ValueError: There is no complete header.
  """
  frame, found_orientation, irrelevant = None, None, []
  progressive, first_scan = False, 0
  position = 2
  while True:
    start = encoded.find(b"\xff", position)
    marker_at = start + 1
    while encoded[marker_at : marker_at + 1] == b"\xff":
      marker_at += 1
    if start < 0 or marker_at + 3 > len(encoded):
      raise ValueError("the JPEG ends in its header")
    marker = encoded[marker_at]
    position = marker_at + 1
    if marker in (_START_OF_SCAN, _END_OF_IMAGE):
      first_scan = encoded[position + 2] if position + 2 < len(encoded) else 0
      break
    if marker == 0 or marker in _WITHOUT_LENGTH:
      continue
    body, position = (
      position + 2,
      position + int.from_bytes(encoded[position : position + 2], "big"),
    )
    if marker in _FRAMES and frame is None:
      if body + 6 > len(encoded):
        raise ValueError("the JPEG ends in its header")
      height, width, components = struct.unpack_from(">HHB", encoded, body + 1)
      frame = height, width, components
      progressive = marker in _PROGRESSIVE
    elif marker in _IRRELEVANT:
      irrelevant.append((marker_at - 1, position))
      if (
        marker == _EXIF
        and found_orientation is None
        and encoded.startswith(_EXIF_START, body)
      ):
        found_orientation = orientation(encoded[body:position])
  if frame is None or not frame[0] or not frame[1]:
    raise ValueError("the JPEG has no size in its header")
  several = progressive or first_scan < frame[2]
  return Header(*frame, several, found_orientation or 1, tuple(irrelevant))


def count_scans(encoded: bytes) -> int:
  """Return the number of scans, those of previews in its header included."""
  # In coded data a zero follows each 0xff.
  return encoded.count(bytes((0xFF, _START_OF_SCAN)))


def without_irrelevant(encoded: bytes, header: Header) -> bytes:
  """Return the image without what Pillow would read, and complain about."""
  pieces, position = [], 0
  for start, end in header.irrelevant:
    pieces.append(encoded[position:start])
    position = end
  return b"".join((*pieces, encoded[position:])) if pieces else encoded


def orientation(exif: bytes) -> int:
  """Return the orientation that Exif data name, 1 to 8; 1 where there is none.

  1: as stored; 2: mirrored left to right; 3: turned by 180 degrees; 4: mirrored
  top to bottom; 5: transposed; 6: to be turned by 90 degrees clockwise; 7:
  transposed along the other diagonal; 8: to be turned counterclockwise.
  Damaged data count as none.
  """
  exif = exif.removeprefix(_EXIF_START)
  order = {b"II": "<", b"MM": ">"}.get(exif[:2])
  if order is None:
    return 1
  try:
    (directory,) = struct.unpack_from(order + "4xI", exif)
    (entries,) = struct.unpack_from(order + "H", exif, directory)
    for entry in range(entries):
      place = directory + 2 + 12 * entry
      tag, kind = struct.unpack_from(order + "HH", exif, place)
      if tag == _ORIENTATION_TAG:
        form = {_SHORT: "H", _LONG: "I"}.get(kind)
        if form is None:
          return 1
        (value,) = struct.unpack_from(order + form, exif, place + 8)
        return value if 1 <= value <= 8 else 1
  except struct.error:
    pass
  return 1
