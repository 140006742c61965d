# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A source in memory, decoded through `cache`."""

import io

import numpy as np
from PIL import Image

from etf_jax.data.decode import cache


def encode(pixels, kind="PNG"):
  buffer = io.BytesIO()
  Image.fromarray(pixels).save(buffer, kind)
  return buffer.getvalue()


class Held:
  """A source in memory that counts what is read."""

  def __init__(self, encoded, names=None):
    self.encoded, self.names = encoded, names
    self.labels = np.arange(len(encoded), dtype=np.int32) % 2
    self.class_names = ("a", "b")
    self.reads = []

  def read(self, index):
    self.reads.append(index)
    return self.encoded[index]

  def describe(self, index):
    return self.names[index] if self.names else f"image {index}"


def pixels(count, height, width, seed=0):
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (count, height, width, 3)).astype(np.uint8)


def held(count, height=6, width=8, seed=0):
  return Held([encode(image) for image in pixels(count, height, width, seed)])


def decode_all(source, **options):
  defaults = {"channels": 3, "size": None, "fit": "shorter"}
  defaults |= {"decoder": "pillow", "workers": 3}
  return cache.decode_all(source, **defaults | options)
