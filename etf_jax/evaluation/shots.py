# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Many, medium and few: classes by how many training images they have."""

from collections.abc import Sequence

import numpy as np

NAMES = ("many", "medium", "few")
MANY_ABOVE = 100
FEW_BELOW = 20


def of(class_counts: Sequence[int] | np.ndarray) -> np.ndarray:
  """Return 0, 1, 2 for the many, medium and few classes.

  Args:
    class_counts: `[K]` training images of each class.

  Returns:
    One index into `NAMES` per class.
  """
  counts = np.asarray(class_counts)
  return np.where(counts > MANY_ABOVE, 0, np.where(counts >= FEW_BELOW, 1, 2))
