# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Encoded images to arrays of one shape.

  decoder = decode.choose(None)
  image, (height, width) = decode.decode(
    encoded, channels=3, size=256, fit="shorter", decoder=decoder
  )

simplejpeg and OpenCV decode JPEGs, which `scale` scales. Everything else is
Pillow's, scaling included: other formats, CMYK, JPEGs that the others refuse.
All three use libjpeg-turbo with the same settings, so their pixels are equal
until they are scaled. Both scalings are one filter, that of torchvision; the
guide says how close to it they come.

Photographs as they come:
* The content decides the format, not the file's name.
* The orientation of Exif data is applied, so images stand as viewers show them.
* Alpha is dropped, as Pillow's convert("RGB") drops it: what colors lie under
  transparent pixels shows.
* Of 16 bits the high 8 are kept.
* CMYK becomes RGB without a color profile, as Pillow does it. Profiles are
  ignored everywhere.
* Of color, one channel is the luma of ITU-R BT.601.
* Of animations and of several pages, the first is taken.
* JPEGs at least twice as large as asked are decoded at 1/2, 1/4 or 1/8 of
  their size, four times as fast for 2000x1500 to 256. It is a sharper filter:
  1 to 3 gray levels on average from scaling the whole, in noisy images.
* Damage that leaves a JPEG complete goes unseen, as it does in Pillow. OpenCV's
  libjpeg then prints a line that cannot be turned off.

Everything is safe in threads, and the libraries release the interpreter's lock.
"""

import importlib
import io
from typing import NamedTuple
import warnings

import numpy as np
from PIL import Image, JpegImagePlugin

from etf_jax.data import formats
from etf_jax.data.decode import jpeg, scale
from etf_jax.data.decode.limits import CorruptImage, Limits
from etf_jax.errors import InputError

# In the order of preference, with what is imported and what is installed.
_DECODERS = {
  "simplejpeg": ("simplejpeg", "simplejpeg"),
  "opencv": ("cv2", "opencv-python-headless"),
  "pillow": ("PIL", "pillow"),
}
_MODES = {1: "L", 3: "RGB"}
_REDUCTIONS = (8, 4, 2)
# Below this no image is worth a reduction.
_REDUCED_FROM = 64

# Pillow warns of odd metadata, which say nothing about the pixels.
warnings.filterwarnings("ignore", module=r"PIL\.")


class _Plan(NamedTuple):
  """An image scaled to rows x columns, of which a part is kept; as stored."""

  rows: int
  columns: int
  top: int
  left: int
  height: int
  width: int


def choose(name: str | None) -> str:
  """Return the decoder to use.

  Args:
    name: "simplejpeg", "opencv" or "pillow"; None: the first that is installed.

  Raises:
    InputError: There is no such decoder, or it is not installed.
  """
  if name is not None and name not in _DECODERS:
    raise InputError(
      f"config.data.decoder={name!r} is none of {', '.join(_DECODERS)}"
    )
  for candidate in _DECODERS if name is None else (name,):
    module, package = _DECODERS[candidate]
    try:
      importlib.import_module(module)
    except ImportError as error:
      if name is not None:
        raise InputError(
          f"config.data.decoder={name!r} cannot be used ({error}): "
          f"pip install {package}, or choose another"
        ) from error
    else:
      return candidate
  raise AssertionError("Pillow is imported above")


def decode(
  encoded: bytes,
  *,
  channels: int,
  size: int | None,
  fit: str,
  decoder: str,
  limits: Limits | None = None,
) -> tuple[np.ndarray, tuple[int, int]]:
  """Decode an image and bring it to one size.

  Scaling is bilinear and antialiased. Sides are rounded as torchvision's Resize
  and CenterCrop round them.

  Args:
    encoded: An image of one of `formats.FORMATS`.
    channels: 1 or 3.
    size: None for the image as it is, or the side of the square returned.
    fit: "shorter" scales the shorter side to `size`, down or up, and keeps the
      middle. "longer" scales down, never up, until the longer side is at most
      `size`, and puts the image into the top left corner of zeros.
    decoder: What `choose` returned.
    limits: Limits of an image; None: the defaults of `Limits`.

  Returns:
    uint8 `[size, size, channels]`, or `[height, width, channels]` if `size` is
    None, which may be read-only; height and width of the part that is image.

  Raises:
    CorruptImage: This is no image, only a part of one, or one beyond
      the limits.

  >>> square = io.BytesIO()
  >>> Image.new("RGB", (40, 30), "red").save(square, "PNG")
  >>> options = {"channels": 3, "size": 20, "decoder": "pillow"}
  >>> image, shape = decode(square.getvalue(), fit="longer", **options)
  >>> image.shape, shape
  ((20, 20, 3), (15, 20))
  """
  if channels not in _MODES or fit not in ("shorter", "longer"):
    raise ValueError(
      f"channels must be 1 or 3 and fit 'shorter' or 'longer', got {channels} "
      f"and {fit!r}"
    )
  if size is not None and size < 1:
    raise ValueError(f"size must be at least 1, got {size}")
  limits = limits or Limits()
  try:
    if encoded.startswith(jpeg.START):
      return _decode_jpeg(encoded, channels, size, fit, decoder, limits)
    image, orientation = _open(encoded, channels, limits)
    plan = _plan(image.height, image.width, orientation, size, fit)
    shape = (image.height, image.width)
    return _finish(image, shape, 1, plan, orientation, size, fit)
  except (CorruptImage, MemoryError):
    raise
  except Exception as error:  # Libraries raise anything on damaged files.
    line = " ".join(str(error).split())[:200]
    raise CorruptImage(line or type(error).__name__) from error


def _decode_jpeg(encoded, channels, size, fit, decoder, limits):
  header = jpeg.read_header(encoded)
  shape = (header.height, header.width)
  plan = _plan(*shape, header.orientation, size, fit)
  reduction = _reduction(*shape, plan)
  if header.several_scans:
    limits.check_scans(*shape, jpeg.count_scans(encoded))
    limits.check_pixels(*shape)
  else:
    limits.check_pixels(*(-(-side // reduction) for side in shape))
  image = None
  if header.components in (1, 3):
    image = _FAST[decoder](encoded, header, channels, reduction)
  if image is None:
    image = _jpeg_by_pillow(encoded, header, channels, reduction)
  return _finish(image, shape, reduction, plan, header.orientation, size, fit)


def _jpeg_by_simplejpeg(encoded, header, channels, reduction):
  """Return an array, or None where simplejpeg finds anything unusual."""
  import simplejpeg

  try:
    image = simplejpeg.decode_jpeg(
      encoded,
      "RGB" if channels == 3 else "GRAY",
      fastdct=False,
      fastupsample=False,
      min_height=-(-header.height // reduction),
      min_width=-(-header.width // reduction),
      min_factor=reduction,
    )
  except ValueError:
    return None
  return image if channels == 3 else image[..., 0]


def _jpeg_by_opencv(encoded, header, channels, reduction):
  """Return an array, or None where OpenCV cannot decode it."""
  del header
  import cv2

  color, gray = {
    1: (cv2.IMREAD_COLOR, cv2.IMREAD_GRAYSCALE),
    2: (cv2.IMREAD_REDUCED_COLOR_2, cv2.IMREAD_REDUCED_GRAYSCALE_2),
    4: (cv2.IMREAD_REDUCED_COLOR_4, cv2.IMREAD_REDUCED_GRAYSCALE_4),
    8: (cv2.IMREAD_REDUCED_COLOR_8, cv2.IMREAD_REDUCED_GRAYSCALE_8),
  }[reduction]
  flags = (color if channels == 3 else gray) | cv2.IMREAD_IGNORE_ORIENTATION
  try:
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags)
  except cv2.error:
    return None
  if image is None or channels == 1:
    return image
  return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _jpeg_by_pillow(encoded, header, channels, reduction):
  encoded = jpeg.without_irrelevant(encoded, header)
  # Not Image.open: it refuses images by their size before a reduction.
  image = JpegImagePlugin.JpegImageFile(io.BytesIO(encoded))
  # Pillow reduces by the largest of 1, 2, 4, 8 that leaves at least this size.
  image.draft(
    _MODES[channels], (header.width // reduction, header.height // reduction)
  )
  return _converted(image, channels)


_FAST = {
  "simplejpeg": _jpeg_by_simplejpeg,
  "opencv": _jpeg_by_opencv,
  "pillow": _jpeg_by_pillow,
}


def _open(
  encoded: bytes, channels: int, limits: Limits
) -> tuple[Image.Image, int]:
  """Return an image that is no JPEG, and its orientation."""
  if not encoded:
    raise CorruptImage("the file is empty")
  known = formats.find(encoded)
  if known is None:
    *others, last = (known.name for known in formats.FORMATS)
    raise CorruptImage(f"it is no {', '.join(others)} or {last} image")
  if not formats.is_readable(known):
    raise CorruptImage(
      f"it is a {known.name} image; pip install {known.package} to read it"
    )
  reader = getattr(importlib.import_module(known.module), known.reader)
  image: Image.Image = reader(io.BytesIO(encoded))
  limits.check_pixels(image.height, image.width)
  # Pillow turns TIFF images itself, and finds Exif data behind the pixels.
  image.load()
  if known.name == "PPM" and image.mode == "I":  # scaled to 16 bits
    image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
  exif = b"" if known.name == "TIFF" else image.info.get("exif") or b""
  return _converted(image, channels), jpeg.orientation(exif)


def _converted(image: Image.Image, channels: int) -> Image.Image:
  mode = _MODES[channels]
  image.load()
  if image.mode == mode:
    return image
  # Otherwise Pillow would make an alpha channel of it.
  image.info.pop("transparency", None)
  if image.mode.startswith("I;16"):
    high = np.asarray(image) >> 8
    image = Image.fromarray(high.astype(np.uint8))
  elif image.mode in ("I", "F"):
    raise CorruptImage("its pixels have 32 bits, for which no range is known")
  return image if image.mode == mode else image.convert(mode)


def _plan(
  height: int, width: int, orientation: int, size: int | None, fit: str
) -> _Plan | None:
  """Choose the scaling and the part to keep; height and width are as stored."""
  if size is None:
    return None
  transposed, upside_down, mirrored = _turns(orientation)
  if transposed:
    height, width = width, height
  shorter, longer = min(height, width), max(height, width)
  if fit == "shorter":
    short, long = size, size * longer // shorter
  else:
    long = min(size, longer)
    short = max(1, shorter * long // longer)
  rows, columns = (short, long) if height <= width else (long, short)
  top, left = 0, 0
  kept = (rows, columns)
  if fit == "shorter":
    # Python rounds halves to even, as does torchvision's CenterCrop.
    top, left = round((rows - size) / 2), round((columns - size) / 2)
    kept = (size, size)
  # From the image as seen to the image as stored.
  if upside_down:
    top = rows - kept[0] - top
  if mirrored:
    left = columns - kept[1] - left
  if transposed:
    return _Plan(columns, rows, left, top, kept[1], kept[0])
  return _Plan(rows, columns, top, left, *kept)


def _turns(orientation: int) -> tuple[bool, bool, bool]:
  """Transposition, then mirroring of rows, then of columns."""
  return (
    orientation >= 5,
    orientation in (3, 4, 7, 8),
    orientation in (2, 3, 6, 7),
  )


def _reduction(height: int, width: int, plan: _Plan | None) -> int:
  """By how much to reduce in decoding: never below what is asked for."""
  if plan is None or max(height, width) < _REDUCED_FROM:
    return 1
  for by in _REDUCTIONS:
    if (
      by <= min(height, width)
      and -(-height // by) >= plan.rows
      and -(-width // by) >= plan.columns
    ):
      return by
  return 1


def _finish(image, shape, reduction, plan, orientation, size, fit):
  """Scale, turn and place an image of the given stored height and width."""
  if plan is not None:
    scaled = (plan.rows, plan.columns)
    if scaled != shape or scaled != (plan.height, plan.width):
      box = _box(shape, reduction, plan)
      if isinstance(image, np.ndarray):
        image = scale.scale(image, box, plan.height, plan.width)
      else:
        image = image.resize(
          (plan.width, plan.height), Image.Resampling.BILINEAR, box=box
        )
  pixels = np.asarray(image)
  if pixels.ndim == 2:
    pixels = pixels[..., None]
  if orientation != 1:
    transposed, upside_down, mirrored = _turns(orientation)
    if transposed:
      pixels = pixels.transpose(1, 0, 2)
    if upside_down:
      pixels = pixels[::-1]
    if mirrored:
      pixels = pixels[:, ::-1]
    pixels = np.ascontiguousarray(pixels)
  height, width = pixels.shape[:2]
  if size is not None and fit == "longer" and (height, width) != (size, size):
    canvas = np.zeros((size, size, pixels.shape[2]), np.uint8)
    canvas[:height, :width] = pixels
    pixels = canvas
  return pixels, (height, width)


def _box(shape, reduction, plan):
  """Return the box to scale, in pixels of the reduced image.

  The reduced image is a little larger than the image is: libjpeg rounds up.
  """
  height, width = shape
  down, right = plan.rows * reduction, plan.columns * reduction
  return (
    plan.left * width / right,
    plan.top * height / down,
    (plan.left + plan.width) * width / right,
    (plan.top + plan.height) * height / down,
  )
