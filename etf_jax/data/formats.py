# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The formats of image files: their suffixes, and the bytes they begin with.

FORMATS is the one list: folders take files with these suffixes, and the decoder
takes what begins with these bytes.
"""

import importlib
import importlib.util
import io
from typing import NamedTuple

from PIL import features


class Format(NamedTuple):
  """A format of image files.

  Attributes:
    name: Name in messages.
    suffixes: Endings of its files, in lower case.
    module: Module with the class of Pillow that reads it.
    reader: Name of that class.
    starts: First bytes of its files; for HEIC and AVIF those from the fifth on.
    package: What to install where the module is missing; "": part of Pillow.
  """

  name: str
  suffixes: tuple[str, ...]
  module: str
  reader: str
  starts: tuple[bytes, ...]
  package: str = ""


_BLANKS = (b" ", b"\t", b"\n", b"\r", b"#")

# Brands of ISO/IEC 23008-12, B.4: still images coded with HEVC.
_HEIC = ("heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1")

FORMATS = (
  Format("JPEG", (".jfif", ".jpe", ".jpeg", ".jpg"),
         "PIL.JpegImagePlugin", "JpegImageFile", (b"\xff\xd8\xff",)),
  Format("PNG", (".png",),
         "PIL.PngImagePlugin", "PngImageFile", (b"\x89PNG\r\n\x1a\n",)),
  Format("WebP", (".webp",),
         "PIL.WebPImagePlugin", "WebPImageFile", (b"RIFF",)),
  Format("GIF", (".gif",),
         "PIL.GifImagePlugin", "GifImageFile", (b"GIF87a", b"GIF89a")),
  Format("BMP", (".bmp",), "PIL.BmpImagePlugin", "BmpImageFile", (b"BM",)),
  Format("TIFF", (".tif", ".tiff"), "PIL.TiffImagePlugin", "TiffImageFile",
         (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
  Format("PPM", (".pgm", ".ppm"), "PIL.PpmImagePlugin", "PpmImageFile",
         tuple(b"P%d" % k + blank for k in range(1, 7) for blank in _BLANKS)),
  Format("HEIC", (".heic", ".heif"), "pillow_heif.as_plugin", "HeifImageFile",
         tuple(b"ftyp" + brand.encode() for brand in _HEIC), "'etf_jax[heif]'"),
  Format("AVIF", (".avif",), "PIL.AvifImagePlugin", "AvifImageFile",
         (b"ftypavif", b"ftypavis"), "'pillow>=11.3'"),
)  # fmt: skip


def is_readable(known: Format) -> bool:
  """Return True where what reads a format is installed."""
  if known.name == "AVIF":
    return bool(features.check("avif"))
  return importlib.util.find_spec(known.module.split(".")[0]) is not None


def find(encoded: bytes) -> Format | None:
  """Return the format of a file by its first bytes; None: none of these."""
  for known in FORMATS:
    at = 4 if known.name in ("HEIC", "AVIF") else 0
    if encoded.startswith(known.starts, at) and (
      known.name != "WebP" or encoded[8:12] == b"WEBP"
    ):
      return known
  return None


def size(encoded: bytes) -> tuple[int, int] | None:
  """Return the width and height that a file's header names; None: no image."""
  known = find(encoded)
  if known is None or not is_readable(known):
    return None
  reader = getattr(importlib.import_module(known.module), known.reader)
  try:
    return reader(io.BytesIO(encoded)).size
  except Exception:  # Libraries raise anything on damaged files.
    return None
