# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""One table of what is known about every data set.

    info = catalog.lookup("cifar10")
    info.num_classes, info.image_shape, info.mean

What the table says is what the rest of the package knows about a data set: to
add one, add a row. Sizes and sha256 of archives are not repeated there; they
are registered with the TFDS builder, which checks them.
"""

from etf_jax.data.catalog import photographs, small_images
from etf_jax.data.catalog.info import DatasetInfo
from etf_jax.errors import unknown_name

__all__ = ["DATASETS", "DatasetInfo", "lookup"]

DATASETS: dict[str, DatasetInfo] = small_images.SMALL | photographs.PHOTOGRAPHS


def lookup(name: str) -> DatasetInfo:
  """Return what is known about a data set.

  Raises:
    InputError: There is no data set of this name.
  """
  if name not in DATASETS:
    raise unknown_name("name", name, DATASETS)
  return DATASETS[name]
