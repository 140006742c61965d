# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
import concurrent.futures
import doctest
import io
import subprocess
import sys

from encoded_images import (
  DECODERS,
  difference,
  encode,
  every_decoder,
  expected,
  photograph,
  pillow,
  run,
)
import hypothesis
from hypothesis import strategies as st
import numpy as np
from PIL import Image
import pytest

from etf_jax.data import decode
from etf_jax.errors import InputError

pytest.importorskip("simplejpeg")
pytest.importorskip("cv2")


# Geometry.


@pytest.mark.parametrize("fit", ["shorter", "longer"])
@hypothesis.given(
  height=st.integers(1, 90), width=st.integers(1, 90), size=st.integers(1, 60)
)
@hypothesis.example(height=1, width=90, size=7)
@hypothesis.example(height=90, width=1, size=60)
@hypothesis.example(height=15, width=11, size=4)
def test_scaling_is_the_triangle_filter(fit, height, width, size):
  pixels = photograph(height, width).reshape(height, width, 3)
  image, (rows, columns) = run(encode(pixels, "PNG"), size=size, fit=fit)
  reference = expected(pixels, size, fit)
  assert image.shape == (size, size, 3)
  assert (rows, columns) == reference.shape[:2]
  # Pillow rounds to 8 bits between the two axes.
  assert np.abs(image[:rows, :columns] - reference).max() <= 1.01
  assert not image[rows:].any()
  assert not image[:, columns:].any()


@every_decoder
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
  ("shape", "size", "fit"),
  [
    ((375, 500), 256, "shorter"),
    ((500, 333), 224, "shorter"),
    ((375, 500), 300, "longer"),
    ((60, 51), 13, "shorter"),  # too small for a reduction
    ((75, 101), 160, "shorter"),  # enlarged
  ],
)
def test_scaling_of_jpegs_is_the_triangle_filter(
  decoder, channels, shape, size, fit
):
  encoded = encode(photograph(*shape), quality=90)
  whole, _ = run(encoded, decoder, channels)
  image, (rows, columns) = run(encoded, decoder, channels, size, fit)
  error = np.abs(image[:rows, :columns] - expected(whole, size, fit))
  # A quarter is what rounding takes. Measured: at most 0.254 and 0.75 by
  # matrix products, 0.301 and 1.0 by Pillow, which rounds after each axis.
  assert error.mean() <= (0.31 if decoder == "pillow" else 0.27)
  assert error.max() <= 1.01


@pytest.mark.parametrize(
  ("shape", "size", "kept"),
  [
    ((375, 500), 256, (192, 256)),
    ((500, 333), 300, (300, 199)),  # 199.8 is cut, as torchvision does
    ((100, 80), 128, (100, 80)),  # never enlarged
    ((3, 1000), 100, (1, 100)),  # 0.3 rows would be none
  ],
)
def test_longer_side_by_hand(shape, size, kept):
  image, found = run(
    encode(np.full((*shape, 3), 200, np.uint8), "PNG"), size=size, fit="longer"
  )
  assert found == kept
  assert (image[: kept[0], : kept[1]] == 200).all()
  assert image.sum() == 600 * kept[0] * kept[1]


@every_decoder
def test_crop_of_the_middle_by_hand(decoder):
  # 8 x 13: columns 2..9, as round(2.5) is 2.
  pixels = np.zeros((8, 13, 3), np.uint8)
  pixels[..., 0] = np.arange(13)
  encoded = encode(pixels, "PNG")
  image, _ = run(encoded, decoder, size=8)
  np.testing.assert_array_equal(
    image[..., 0], np.tile(np.arange(2, 10), (8, 1))
  )


@pytest.mark.parametrize("shape", [(1, 65000), (65000, 1)])
def test_extreme_ratio_keeps_to_the_crop(shape):
  # The whole would be 224 x 14,560,000.
  pixels = np.full((*shape, 3), 90, np.uint8)
  pixels[tuple(np.array(shape) // 2)] = 255
  encoded = encode(pixels, "PNG")
  image, _ = run(encoded, size=224)
  assert image.min() == 90
  assert image.max() > 200
  image, size = run(encoded, size=224, fit="longer")
  assert sorted(size) == [1, 224]


# Hardly different results whatever the decoder.


@every_decoder
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
  ("shape", "size", "fit"),
  [
    ((375, 500), 224, "shorter"),
    ((375, 500), None, "shorter"),
    ((601, 803), 64, "shorter"),  # reduced by 8
    ((601, 803), 200, "longer"),  # reduced by 4
    ((9, 601), 9, "longer"),  # 1 x 9, reduced by 8
    ((1, 100), 10, "longer"),
    ((40, 30), 64, "shorter"),
  ],
)
def test_decoders_agree(decoder, channels, shape, size, fit):
  pixels = photograph(*shape).reshape(*shape, 3)
  for options in (
    {"quality": 90, "subsampling": 0},
    {"quality": 75, "subsampling": 2, "progressive": True},
  ):
    encoded = encode(pixels, **options)
    image, kept = run(encoded, decoder, channels, size, fit)
    reference, expected_kept = run(encoded, "pillow", channels, size, fit)
    assert kept == expected_kept
    off = difference(image, reference)
    if size is None:
      # Equal where all are built with one libjpeg-turbo; 1 leaves room.
      assert off.max() <= 1
    else:
      # Scaled, they differ where Pillow rounds after each axis: measured 0.20
      # on average, and 1.
      assert off.mean() <= 0.25
      assert off.max() <= 1
    if decoder == "opencv":
      same, _ = run(encoded, "simplejpeg", channels, size, fit)
      assert difference(image, same).max() <= 1


@every_decoder
def test_against_pillow_alone(decoder):
  encoded = encode(photograph(375, 500), quality=90)
  np.testing.assert_array_equal(run(encoded, decoder)[0], pillow(encoded))
  with Image.open(io.BytesIO(encoded)) as image:
    # torchvision: Resize(224) gives 298 columns, CenterCrop starts at 37.
    scaled = image.resize((298, 224), Image.Resampling.BILINEAR)
    plain = np.asarray(scaled.crop((37, 0, 261, 224)))
  assert difference(run(encoded, decoder, size=224)[0], plain).max() <= 1


@every_decoder
@pytest.mark.parametrize("shape", [(803, 601), (600, 800)])
def test_reduction_stays_in_place(decoder, shape):
  # A ramp is the same after any reduction, if nothing is shifted: 803
  # rows become 101 eighths, of which the last is not whole.
  ramp = np.linspace(0, 255, shape[0])[:, None] * np.ones(shape[1])
  pixels = np.dstack([ramp, ramp, 255 - ramp]).astype(np.uint8)
  encoded = encode(pixels, quality=95)
  image, _ = run(encoded, decoder, size=50)
  reference = expected(pixels, 50, "shorter")
  assert np.abs(image - reference).max() <= 2.0
  assert np.abs((image - reference).mean(axis=(0, 1))).max() < 0.5
  textured = photograph(*shape)
  image, _ = run(encode(textured, quality=95), decoder, size=70)
  assert np.abs(image - expected(textured, 70, "shorter")).mean() < 5.0


# Errors.


def message(encoded, decoder="pillow", **options):
  with pytest.raises(decode.CorruptImage) as caught:
    run(encoded, decoder, **options)
  assert "\n" not in str(caught.value)
  assert 0 < len(str(caught.value)) <= 200
  return str(caught.value)


@every_decoder
def test_truncated_jpegs(decoder):
  encoded = encode(photograph(100, 120), quality=90)
  for size in (None, 30):
    said = message(encoded[: len(encoded) // 2], decoder, size=size)
    assert "truncated" in said
    assert "truncated" in message(encoded[:-2], decoder, size=size)
  assert message(encoded[:100], decoder) == "the JPEG ends in its header"
  scan = encoded.index(b"\xff\xda")
  frame = encoded.index(b"\xff\xc0")
  assert (
    message(encoded[:frame] + encoded[scan:], decoder)
    == "the JPEG has no size in its header"
  )


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_truncated_images_of_other_formats(kind):
  encoded = encode(photograph(40, 50), kind)
  for length in (len(encoded) // 2, 30):
    message(encoded[:length])


@every_decoder
def test_no_image(decoder):
  assert message(b"", decoder) == "the file is empty"
  text = "it is no JPEG, PNG, WebP, GIF, BMP, TIFF, PPM, HEIC or AVIF image"
  for encoded in (b"path,label\n", b"<html>", b"\xff\xd8", bytes(100)):
    assert message(encoded, decoder) == text


@hypothesis.given(st.data())
def test_damage_never_raises_anything_else(data):
  kind = data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "TIFF"]))
  encoded = bytearray(encode(photograph(20, 24), kind))
  for _ in range(3):
    place = data.draw(st.integers(4, len(encoded) - 1))
    encoded[place] = data.draw(st.integers(0, 255))
  for decoder in DECODERS:
    try:
      image, kept = run(bytes(encoded), decoder, size=8)
    except decode.CorruptImage as error:
      assert "\n" not in str(error)  # noqa: PT017
    else:
      assert image.shape == (8, 8, 3)
      assert kept == (8, 8)


def test_32_bits_are_refused():
  encoded = encode(np.ones((3, 3), np.float32), "TIFF")
  assert message(encoded) == (
    "its pixels have 32 bits, for which no range is known"
  )


def test_arguments():
  encoded = encode(photograph(8, 8))
  for options, said in (
    ({"channels": 4}, "channels must be 1 or 3 .*, got 4 and 'shorter'"),
    ({"fit": "exact"}, "got 3 and 'exact'"),
    ({"size": 0}, "size must be at least 1, got 0"),
  ):
    with pytest.raises(ValueError, match=said):
      run(encoded, **options)


def test_choose():
  assert decode.choose(None) == "simplejpeg"
  assert [decode.choose(name) for name in DECODERS] == list(DECODERS)
  said = "config.data.decoder='turbo' is none of simplejpeg, opencv, pillow"
  with pytest.raises(InputError, match=said):
    decode.choose("turbo")


# The environment: what is installed, noise, threads.


_ALONE = """
import importlib.abc, sys
class Missing(importlib.abc.MetaPathFinder):
  def find_spec(self, name, path, target=None):
    if name in ("simplejpeg", "cv2"):
      raise ImportError(f"No module named {name!r}")
sys.meta_path.insert(0, Missing())
from etf_jax.data import decode
assert decode.choose(None) == "pillow"
try:
  decode.choose("opencv")
except Exception as error:
  print(type(error).__name__, error)
sys.meta_path.pop(0)
for index, name in enumerate(sys.argv[1:]):
  for decoder in ("simplejpeg", "opencv", "pillow"):
    try:
      decode.decode(open(name, "rb").read(), channels=3, size=20,
                    fit="shorter", decoder=decoder)
      print(index, "good")
    except decode.CorruptImage:
      print(index, "corrupt")
"""


@pytest.mark.slow
def test_missing_decoders_and_silence(tmp_path):
  whole = encode(photograph(100, 120), quality=90)
  odd = encode(
    photograph(9, 9), exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01"
  )
  palette = Image.fromarray(np.zeros((4, 4), np.uint8), "P")
  files = [
    whole[: len(whole) // 2],
    whole[:-2],
    b"",
    b"not an image",
    odd,
    encode(palette, "PNG", transparency=bytes(3)),
    encode(photograph(40, 50), "PNG")[:-300],
    encode(photograph(40, 50), "TIFF")[:300],
  ]
  names = []
  for index, encoded in enumerate(files):
    names.append(str(tmp_path / f"{index}.jpg"))
    (tmp_path / f"{index}.jpg").write_bytes(encoded)
  done = subprocess.run(
    [sys.executable, "-c", _ALONE, *names],
    capture_output=True,
    text=True,
    check=True,
  )
  assert done.stderr == ""
  first, *rest = done.stdout.splitlines()
  assert first == (
    "InputError config.data.decoder='opencv' cannot be used (No module named "
    "'cv2'): pip install opencv-python-headless, or choose another"
  )
  assert [line.split()[1] for line in rest] == (
    ["corrupt"] * 12 + ["good"] * 6 + ["corrupt"] * 6
  )


def test_threads():
  encoded = [encode(photograph(60, 80, seed=seed)) for seed in range(8)]
  jobs = [(e, d) for d in DECODERS for e in encoded] * 4

  def one(job):
    return run(*job, size=32)[0]

  alone = [one(job) for job in jobs]
  with concurrent.futures.ThreadPoolExecutor(8) as pool:
    for together, expected_image in zip(
      pool.map(one, jobs), alone, strict=True
    ):
      np.testing.assert_array_equal(together, expected_image)


def test_examples():
  assert doctest.testmod(decode).failed == 0
