# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Encoded images to arrays: `decode` one, or `decode_all` of a source."""

from etf_jax.data.decode.cache import (
  corrupt_image,
  cpu_threads,
  decode_all,
  first_shape,
)
from etf_jax.data.decode.image import MAX_PIXELS, CorruptImage, choose, decode

__all__ = [
  "MAX_PIXELS",
  "CorruptImage",
  "choose",
  "corrupt_image",
  "cpu_threads",
  "decode",
  "decode_all",
  "first_shape",
]
