# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Photographs as they come, brought to 8 bits and 1 or 3 channels, upright."""

import io
import struct

from encoded_images import (
  encode,
  every_decoder,
  exif_bytes,
  expected,
  flat_grey_jpeg,
  photograph,
  pillow,
  png_16,
  run,
)
import numpy as np
from PIL import Image, ImageOps
import pytest

from etf_jax.data import decode
from etf_jax.data.decode import jpeg

pytest.importorskip("simplejpeg")
pytest.importorskip("cv2")


@every_decoder
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_jpegs(decoder, orientation):
  pixels = photograph(130, 187)
  exif = b"Exif\0\0" + exif_bytes(orientation, "<>"[orientation % 2])
  encoded = encode(pixels, quality=95, subsampling=0, exif=exif)
  with Image.open(io.BytesIO(encoded)) as stored:
    upright = np.asarray(ImageOps.exif_transpose(stored))
  assert (upright.shape[0] > upright.shape[1]) == (orientation >= 5)
  np.testing.assert_array_equal(run(encoded, decoder)[0], upright)
  for size, fit in ((100, "shorter"), (95, "longer"), (20, "shorter")):
    image, kept = run(encoded, decoder, size=size, fit=fit)
    reference = expected(upright, size, fit)
    assert kept == reference.shape[:2]
    error = np.abs(image[: kept[0], : kept[1]] - reference)
    # At 20 the JPEG is reduced by 4, which is another filter; the wrong way
    # round, the difference would be above 50.
    if size == 20:
      assert error.mean() < 2
    else:
      assert error.max() <= 1.6


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_other_formats(kind, orientation):
  pixels = photograph(23, 37)
  options = {"lossless": True} if kind == "WEBP" else {}
  exif = Image.Exif()
  exif[0x0112] = orientation
  encoded = encode(pixels, kind, exif=exif, **options)
  stored = Image.fromarray(pixels)
  stored.getexif()[0x0112] = orientation
  upright = np.asarray(ImageOps.exif_transpose(stored))
  np.testing.assert_array_equal(run(encoded)[0], upright)


def test_orientation_in_exif_data():
  for order in "<>":
    for kind in (3, 4):
      assert jpeg.orientation(exif_bytes(6, order, kind)) == 6
  assert jpeg.orientation(b"Exif\0\0" + exif_bytes(8)) == 8
  for value in (0, 9, 60000):
    assert jpeg.orientation(exif_bytes(value)) == 1
  whole = exif_bytes(6)
  assert [jpeg.orientation(whole[:n]) for n in range(32)] == [1] * 32
  assert jpeg.orientation(b"") == 1
  assert jpeg.orientation(b"II*\0\xff\xff\xff\xff") == 1


@every_decoder
def test_damaged_exif_data_do_not_matter(decoder):
  pixels = photograph(20, 30)
  encoded = encode(pixels, exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01")
  np.testing.assert_array_equal(
    run(encoded, decoder)[0], pillow(encode(pixels))
  )


@every_decoder
@pytest.mark.parametrize("size", [None, 16])
def test_cmyk_and_ycck_become_rgb(decoder, size):
  for seed in range(2):
    inks = photograph(64, 64, 4, seed)
    # Pillow writes Adobe's inverted CMYK.
    encoded = encode(Image.fromarray(inks, "CMYK"), quality=95)
    header = jpeg.read_header(encoded)
    assert header.components == 4
    image, _ = run(encoded, decoder, size=size)
    if size is None:
      np.testing.assert_array_equal(image, pillow(encoded))
      # And it is what the inks say, but for the loss in coding.
      light = (255 - inks.astype(float)) / 255
      by_hand = 255 * light[..., :3] * light[..., 3:]
      assert np.abs(image - by_hand).mean() < 6


@every_decoder
def test_grey_and_colour(decoder):
  grey = photograph(60, 70, 1)
  for kind in ("JPEG", "PNG"):
    encoded = encode(grey, kind)
    image, _ = run(encoded, decoder)
    one, _ = run(encoded, decoder, channels=1)
    np.testing.assert_array_equal(image, np.repeat(one, 3, axis=2))
    np.testing.assert_array_equal(image, pillow(encoded))
  colour = photograph(60, 70)
  for kind, tolerance in (("JPEG", 3), ("PNG", 1)):
    encoded = encode(colour, kind)
    one, _ = run(encoded, decoder, channels=1)
    luma = pillow(encoded) @ np.array([0.299, 0.587, 0.114])
    assert np.abs(one[..., 0] - luma).mean() < 0.6
    assert np.percentile(np.abs(one[..., 0] - luma), 99) <= tolerance


def test_16_bits_are_scaled():
  levels = np.array([[0, 255, 256, 257 * 7], [32768, 65535, 65279, 300]])
  high = np.array([[0, 0, 1, 7], [128, 255, 254, 1]])  # levels // 256
  grey, _ = run(png_16(levels, 0), channels=1)
  np.testing.assert_array_equal(grey[..., 0], high)
  colour = np.stack([levels, levels[::-1], levels[:, ::-1]], axis=2)
  image, _ = run(png_16(colour, 2))
  by_hand = np.stack([high, high[::-1], high[:, ::-1]], axis=2)
  np.testing.assert_array_equal(image, by_hand)
  with_alpha = np.stack([levels, np.full_like(levels, 9)], axis=2)
  image, _ = run(png_16(with_alpha, 4))
  np.testing.assert_array_equal(image, np.repeat(high[..., None], 3, axis=2))
  tiff = encode(Image.fromarray(levels.astype(np.uint16)), "TIFF")
  image, _ = run(tiff, channels=1)
  np.testing.assert_array_equal(image[..., 0], high)


def test_alpha_is_dropped():
  pixels = photograph(9, 11)
  alpha = np.arange(99, dtype=np.uint8).reshape(9, 11)
  for kind in ("PNG", "TIFF"):
    image, _ = run(encode(np.dstack([pixels, alpha]), kind))
    np.testing.assert_array_equal(image, pixels)
  grey = encode(np.dstack([pixels[..., 0], alpha]), "PNG")
  np.testing.assert_array_equal(
    run(grey, channels=1)[0][..., 0], pixels[..., 0]
  )


def test_palettes_bits_and_animations():
  colours = np.array([[255, 0, 0], [0, 255, 0], [9, 8, 7]], np.uint8)
  indices = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
  image = Image.fromarray(indices, "P")
  image.putpalette(colours.tobytes())
  for kind, options in (
    ("PNG", {}),
    ("PNG", {"transparency": bytes([0, 128, 255])}),
    ("GIF", {"transparency": 1}),
    ("GIF", {"save_all": True, "append_images": [Image.new("P", (3, 2))]}),
    ("BMP", {}),
    ("TIFF", {}),
  ):
    found, _ = run(encode(image, kind, **options))
    np.testing.assert_array_equal(found, colours[indices])
  bits = Image.fromarray(np.array([[True, False], [False, True]]))
  found, _ = run(encode(bits, "PNG"), channels=1)
  np.testing.assert_array_equal(found[..., 0], [[255, 0], [0, 255]])


@every_decoder
def test_very_large_jpegs_are_reduced(decoder):
  encoded = flat_grey_jpeg(20_000, 20_000)
  image, _ = run(encoded, decoder, channels=1, size=32)
  assert (image == 128).all()
  with pytest.raises(decode.CorruptImage, match="20000 x 20000 pixels would"):
    run(encoded, decoder, channels=1)


def test_progressive_jpegs_count_whole():
  encoded = flat_grey_jpeg(20_000, 20_000, 0xC2)
  with pytest.raises(decode.CorruptImage, match="limit is 134,217,728 "):
    run(encoded, size=32)


def test_large_images_of_other_formats_are_refused():
  encoded = bytearray(encode(np.zeros((2, 2), np.uint8), "BMP"))
  encoded[18:26] = struct.pack("<ii", 20_000, 20_000)
  with pytest.raises(decode.CorruptImage, match="20000 x 20000 pixels would"):
    run(bytes(encoded))
