# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""One step's examples on the devices."""

from typing import NamedTuple

import jax


class Batch(NamedTuple):
  """One step's examples.

  Attributes:
    images: uint8 `[B, H, W, C]`.
    labels: int32 `[B]`.
    where: booleans `[B]`, False for padding and for images that could not be
      decoded; None if there are none.
    sizes: int32 `[B, 2]`, height and width of each image in the top left
      corner of its array; None if images fill theirs.
    weights: floats `[B]` that multiply the examples' losses; None: all 1.
  """

  images: jax.Array
  labels: jax.Array
  where: jax.Array | None
  sizes: jax.Array | None = None
  weights: jax.Array | None = None
