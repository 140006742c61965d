# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Limits on an image's size, so that none takes all memory, or minutes."""

import dataclasses
from typing import Any

from etf_jax.errors import InputError

# Scans of an image of the most pixels.
_WHOLE_SCANS = 8


class CorruptImage(ValueError):
  """An image that cannot be decoded, with the reason in one line."""


@dataclasses.dataclass(frozen=True)
class Limits:
  """Limits of an image.

  There is none on seconds: which images are good would depend on the machine.
  Pixels and scans bound the work instead.

  Attributes:
    pixels: Pixels that are decoded; the default is 11,585 x 11,585, half a
      gigabyte in Pillow. JPEGs count after their reduction, those of several
      scans before: up to six bytes a pixel are held of them whatever the
      reduction, and scans times pixels are at most eight times this.
    side: Height and width, before a reduction.
    scans: Scans of a JPEG; a progressive one has about ten.
  """

  pixels: int = 2**27
  side: int = 2**16
  scans: int = 64

  def check_pixels(self, height: int, width: int) -> None:
    """Check the size of what is decoded.

    Raises:
      CorruptImage: It has too many pixels, or too long a side.
    """
    if max(height, width) > self.side:
      raise CorruptImage(
        f"it has {height} x {width} pixels and the limit of a side is "
        f"{self.side:,} (config.data.max_side); cut it"
      )
    if height * width > self.pixels:
      raise CorruptImage(
        f"{height} x {width} pixels would be decoded at once and the limit is "
        f"{self.pixels:,} (config.data.max_pixels); scale it down"
      )

  def check_scans(self, height: int, width: int, scans: int) -> None:
    """Check the number of scans of a JPEG that holds its coefficients.

    Raises:
      CorruptImage: It has too many for its size.
    """
    most = min(self.scans, _WHOLE_SCANS * self.pixels // (height * width))
    if scans > max(most, 1):
      raise CorruptImage(
        f"it has {scans:,} scans of {height} x {width} pixels and the limit is "
        f"{max(most, 1):,} (config.data.max_scans, max_pixels); save it again"
      )


def from_config(config: Any) -> Limits:
  """Return the limits that `data` of configs/base.py sets.

  Raises:
    InputError: A limit is below 1.
  """
  for field in ("max_pixels", "max_side", "max_scans"):
    if getattr(config, field) < 1:
      raise InputError(
        f"config.data.{field}={getattr(config, field)}: must be at least 1"
      )
  return Limits(config.max_pixels, config.max_side, config.max_scans)
