# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Encoded images to arrays: `decode` one, or `decode_all` of a source."""

from etf_jax.data.decode.cache import (
  Options,
  corrupt_images,
  cpu_threads,
  decode_all,
  find_good,
  first_shape,
)
from etf_jax.data.decode.image import choose, decode
from etf_jax.data.decode.limits import CorruptImage, Limits

__all__ = [
  "CorruptImage",
  "Limits",
  "Options",
  "choose",
  "corrupt_images",
  "cpu_threads",
  "decode",
  "decode_all",
  "find_good",
  "first_shape",
]
