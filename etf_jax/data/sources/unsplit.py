# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Splits images that nobody has split into training and test images.

chosen = unsplit.held_back(["cat/1.jpg", "cat/2.jpg"], fraction=0.2, seed=0)
"""

from collections.abc import Mapping, Sequence
import hashlib
import logging
import math
import os
import unicodedata

from etf_jax.errors import InputError, some

_log = logging.getLogger(__name__)


def held_back(names: Sequence[str], *, fraction: float, seed: int) -> set[str]:
  """Choose the test images of one class by their names.

  Each image has a rank that follows from the seed and its name. So the choice
  depends neither on the order of a listing nor on where the folder lies, and an
  image that is added moves at most one other to another side.

  Args:
    names: N different names, `CLASS/IMAGE`.
    fraction: Share to choose, in (0, 1).
    seed: Seed of the choice, at least 0.

  Returns:
    The share, rounded, but at least one image of two, and never the last one.
  """
  count = min(max(1, math.floor(fraction * len(names) + 0.5)), len(names) - 1)

  def rank(name: str) -> bytes:
    text = unicodedata.normalize("NFC", name.replace(os.sep, "/"))
    key = f"{seed}:test:".encode() + text.encode(errors="surrogateescape")
    return hashlib.sha256(key).digest()

  return set(sorted(names, key=rank)[:count])


def split(
  root: str,
  folder: str,
  classes: Mapping[str, list[str]],
  *,
  fraction: float,
  seed: int,
) -> dict[str, dict[str, list[str]]]:
  """Split the images of class folders, and say so.

  Args:
    root: Folder that paths start from.
    folder: Folder below it that holds the class folders; "": the root.
    classes: Paths of the images of each class, below the root.
    fraction: See `held_back`.
    seed: See `held_back`.

  Returns:
    The classes with their "train" and with their "test" images.

  Raises:
    InputError: `fraction` or `seed` is out of range, or no class has two
      images.
  """
  if not 0 < fraction < 1:
    raise InputError(
      f"config.data.test_fraction={fraction:g}: must be above 0 and below 1"
    )
  if seed < 0:
    raise InputError(f"config.data.seed={seed} must be at least 0")
  train: dict[str, list[str]] = {}
  test: dict[str, list[str]] = {}
  single = []
  for name, paths in sorted(classes.items()):
    # The same images are chosen of DIR/train/CLASS and of DIR/CLASS.
    names = [os.path.relpath(path, folder or ".") for path in paths]
    chosen = held_back(names, fraction=fraction, seed=seed)
    sides = [short in chosen for short in names]
    train[name] = [p for p, held in zip(paths, sides, strict=True) if not held]
    test[name] = [p for p, held in zip(paths, sides, strict=True) if held]
    if paths and not test[name]:
      single.append(name)
  tested = sum(map(len, test.values()))
  if not tested:
    raise InputError(
      f"{root}: every class has one image, and none is left to test on; add "
      "images, or give test images in a folder 'test'"
    )
  _log.info(
    f"{root} has no folder 'test': {tested:,} of "
    f"{tested + sum(map(len, train.values())):,} images are held back to test "
    f"on (config.data.test_fraction={fraction:g}, config.data.seed={seed})"
  )
  if single:
    _log.info(
      f"{root}: classes of a single image are trained and not tested: "
      + some(single)
    )
  return {"train": train, "test": test}
