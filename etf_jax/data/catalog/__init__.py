# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""One table of facts about every data set.

    facts = catalog.lookup("cifar10")
    facts.num_classes, facts.image_shape, facts.mean

What the table says is what the rest of the package knows about a data set: to
add one, add a row. Sizes and sha256 of archives are not repeated there; they
are registered with the TFDS builder, which checks them.
"""

from etf_jax.data.catalog import photographs, small_images
from etf_jax.data.catalog.info import Facts
from etf_jax.errors import InputError, did_you_mean

__all__ = ["DATASETS", "Facts", "lookup", "unknown"]

DATASETS: dict[str, Facts] = small_images.SMALL | photographs.PHOTOGRAPHS


def lookup(name: str) -> Facts:
  """Return the facts of a data set.

  Raises:
    InputError: There is no data set of this name.
  """
  if name not in DATASETS:
    raise InputError(unknown("data set", name, DATASETS))
  return DATASETS[name]


def unknown(kind: str, name: str, known: dict[str, object]) -> str:
  """Return the message for a name that is not among the known ones."""
  hint = did_you_mean(name, known)
  return f"unknown {kind} {name!r}{hint} (known: {', '.join(known)})"
