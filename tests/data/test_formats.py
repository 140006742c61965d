# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Every format that folders take can be decoded."""

import io
import subprocess
import sys

from encoded_images import encode, photograph, run
import numpy as np
from PIL import Image
import pytest

from etf_jax.data import decode, formats
from etf_jax.data.sources import folders

# Names that Pillow gives to what the suffixes mean, and lossless options.
KINDS = {"JPEG": ".jpg", "GIF": ".gif", "BMP": ".bmp", "TIFF": ".tif"}
KINDS |= {"PNG": ".png", "WEBP": ".webp", "PPM": ".ppm", "AVIF": ".avif"}
PIXELS = photograph(24, 36)


def encoded_as(known):
  if known.name == "HEIC":
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(PIXELS)).save(buffer, quality=-1)
    return buffer.getvalue()
  options = {"lossless": True} if known.name == "WebP" else {}
  return encode(PIXELS, known.name.upper(), quality=100, **options)


@pytest.mark.parametrize("known", formats.FORMATS, ids=lambda known: known.name)
def test_each_format_is_decoded(known):
  encoded = encoded_as(known)
  assert formats.find(encoded) is known
  image, shape = run(encoded)
  assert shape == (24, 36)
  error = np.abs(image.astype(int) - PIXELS)
  exact = known.name in ("PNG", "WebP", "BMP", "TIFF", "PPM")
  # GIF has 216 colors; the others are lossy.
  assert error.max() == 0 if exact else error.mean() < 25


def test_each_suffix_is_that_of_a_format():
  listed = [s for known in formats.FORMATS for s in known.suffixes]
  assert len(listed) == len(set(listed)) == 15
  assert set(folders.SUFFIXES) <= set(listed)
  # What Pillow takes the suffixes for is what the table says.
  Image.init()
  by_suffix = {"HEIC": {None, "HEIF"}, "WebP": {"WEBP"}}
  for known in formats.FORMATS:
    for suffix in known.suffixes:
      name = Image.EXTENSION.get(suffix)
      assert name in by_suffix.get(known.name, {known.name}), suffix


@pytest.mark.parametrize(
  ("text", "expected"),
  [
    (b"P2\n# grey\n2 1\n255\n0 200\n", [0, 200]),
    (b"P5 2 1 255\n\x00\xc8", [0, 200]),
    (b"P5 2 1 65535\n\x00\xff\xc8\x00", [0, 200]),
    (b"P1\n2 1\n1 0\n", [0, 255]),
    (b"P4\n2 1\n\x80", [0, 255]),
    (b"P3\n2 1\n255\n0 0 0 200 200 200\n", [0, 200]),
  ],
)
def test_kinds_of_portable_pixmaps(text, expected):
  image, _ = run(text, channels=1)
  assert image[0, :, 0].tolist() == expected


@pytest.mark.slow
def test_a_format_without_its_package(tmp_path):
  # As where pillow-heif is not installed: named with the number, and refused.
  for name in ("train/a/1.jpg", "train/b/1.jpg", "test/a/1.jpg"):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(b"")
  (tmp_path / "train/a/2.HEIC").write_bytes(b"")
  (tmp_path / "train/a/3.heif").write_bytes(b"")
  code = f"""
import logging, sys
sys.modules["pillow_heif"] = None
import importlib.util
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: (
  None if name == "pillow_heif" else find_spec(name, *rest))
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
from etf_jax.data import decode
from etf_jax.data.sources import folders
print(len(folders.scan({str(tmp_path)!r})["train"].labels))
try:
  decode.decode(b"\\0\\0\\0 ftypheic" + bytes(20), channels=3, size=8,
                fit="shorter", decoder="pillow")
except decode.CorruptImage as error:
  print(error)
"""
  done = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, check=True
  )
  assert done.stdout.splitlines() == [
    f"{tmp_path}: HEIC images, see pip install 'etf_jax[heif]', are left out: "
    "2, such as train/a/2.HEIC",
    "2",
    "it is a HEIC image; pip install 'etf_jax[heif]' to read it",
  ]


@pytest.mark.parametrize(
  "text", [b"", b"P7 1", b"RIFF1234WAVE", b"\0\0\0\x20ftypmp42", b"GIF"]
)
def test_other_files_have_no_format(text):
  assert formats.find(text) is None
  with pytest.raises(decode.CorruptImage):
    run(text)
