# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""SVHN-LT as the loader of Yang et al. (2022) makes it, wrong labels and all.

    train = cut("svhn", source, training, parts, imbalance=0.01, seed=0)

That loader cuts `train` and `extra` each by itself. It goes through the digits,
takes as many images as are wanted, or all that there are, and notes a label for
each one that is wanted. Digit 0 has fewer, so from there on every label belongs
to an image further on, and those that are left over at the end are dropped. At
imbalance 0.01 a third of the labels are wrong, and no image is labelled 6 to 9;
so this is for methods that ask for no counts of the classes.
"""

from collections.abc import Sequence

import numpy as np

from etf_jax.data import long_tail, sources
from etf_jax.errors import InputError

PROFILE = "published_svhn"
_DATASET = "svhn"


def cut(
  name: str,
  source: sources.Source,
  training: np.ndarray,
  parts: Sequence[int],
  *,
  imbalance: float,
  seed: int,
) -> sources.Subset:
  """Choose images of each part, and label them as the loader does.

  Args:
    name: Name of the data set.
    source: All training images, with their true labels.
    training: Sorted indices of those that may be taken.
    parts: Number of images of each part of the source, in its order.
    imbalance: Smallest over largest class, in (0, 1].
    seed: Decides which images of a digit are taken, where that is a choice.

  Returns:
    The images, part by part and digit by digit, with the labels given.

  Raises:
    InputError: It is another data set, or an argument is out of range.
  """
  if name != _DATASET or not parts:
    raise InputError(
      f"config.data.profile={PROFILE!r} is for config.data.name={_DATASET!r}"
      " as `python -m etf_jax.prepare svhn` prepares it, not for other data"
    )
  num_classes = len(source.class_names)
  taken, given = [], []
  ends = np.searchsorted(training, np.cumsum(parts)[:-1])
  for members in np.split(training, ends):
    labels = source.labels[members]
    # Not rounded before it is multiplied, unlike our own tails.
    wanted = long_tail.exponential_counts(
      len(members) / num_classes, num_classes, imbalance
    )
    only = np.diag(wanted)  # row k: those of digit k, and none of the others
    chosen = [long_tail.select(labels, counts, seed) for counts in only]
    found = members[np.concatenate(chosen)]
    taken.append(found)
    given.append(np.repeat(np.arange(num_classes), wanted)[: len(found)])
  indices = np.concatenate(taken)
  labels = np.concatenate(given).astype(source.labels.dtype)
  return sources.Subset(source, indices, labels, source.class_names)
