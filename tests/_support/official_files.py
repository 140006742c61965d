# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Archives and photographs that the writers of official formats put down."""

from collections.abc import Mapping
import io
import pathlib
import tarfile

import numpy as np
from PIL import Image


def tar(files: Mapping[str, bytes], mode: str = "w") -> bytes:
  """Return a tar archive of these files, in this order."""
  buffer = io.BytesIO()
  options = {"compresslevel": 1} if mode == "w:gz" else {}
  with tarfile.open(fileobj=buffer, mode=mode, **options) as archive:
    for name, data in files.items():
      member = tarfile.TarInfo(name)
      member.size = len(data)
      archive.addfile(member, io.BytesIO(data))
  return buffer.getvalue()


def write_tar(path: pathlib.Path, files: Mapping[str, bytes]) -> None:
  """Write a tar archive, compressed if its name ends in gz."""
  compressed = path.name.endswith(("gz", "tgz"))
  path.write_bytes(tar(files, "w:gz" if compressed else "w"))


def pixels(number: int, height: int = 10, width: int = 14) -> np.ndarray:
  """Return a smooth uint8 `[height, width, 3]` image, another per number."""
  rng = np.random.default_rng(number)
  start, down, right = rng.uniform(40, 120, (3, 3))
  rows = np.linspace(0, 1, height)[:, None, None]
  columns = np.linspace(0, 1, width)[None, :, None]
  return np.rint(start + down * rows + right * columns * 0.1).astype(np.uint8)


def encode(image: np.ndarray | Image.Image, file_format: str = "JPEG") -> bytes:
  """Return an image as the bytes of a file."""
  if isinstance(image, np.ndarray):
    image = Image.fromarray(image)
  buffer = io.BytesIO()
  options = {"quality": 95} if file_format == "JPEG" else {}
  image.save(buffer, file_format, **options)
  return buffer.getvalue()


def photograph(number: int, height: int = 10, width: int = 14) -> bytes:
  """Return a JPEG whose bytes are those of no other number."""
  image = pixels(number, height, width)
  # The number itself, as a row of black and white pixels, makes it unique.
  bits = [255 * (number >> place & 1) for place in range(min(width, 14))]
  image[0, : len(bits)] = np.asarray(bits, np.uint8)[:, None]
  return encode(image)
