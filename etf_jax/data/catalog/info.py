# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Rows of the catalog."""

from collections.abc import Mapping
import dataclasses


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
  """The catalog's facts about one data set.

  Attributes:
    tfds_name: Name of the TFDS builder; None where there is none, and the
      images lie in folders.
    image_shape: Height, width and channels of every image; None for
      photographs of many sizes, with 3 channels.
    num_classes: Number of classes, K; labels are 0..K-1.
    splits: Published number of images of each split, by the builder's name of
      it. Empty where nobody can get all that was published.
    train_split: The split that is cut to a long tail; "train+extra" is two of
      them, one behind the other.
    validation_split: A split held out by those who made the data; None if
      there is none, or if it is the one that results are reported on.
    test_split: The split that results are reported on.
    mean: Mean per channel of the pixels in [0, 1].
    std: Standard deviation per channel of the pixels in [0, 1].
    crop_padding: Recommended zero padding before the random crop, in pixels.
    flip: Whether a horizontal flip keeps the label.
    archives: URLs of the archives; empty if it needs no network.
    licence: Terms of the data, in short.
    state: How the data are come by, and what has been checked of that way.
    needs_tensorflow: Whether preparing needs TensorFlow; reading never does.
    needs: Further modules that preparing imports.
    by_hand: True: the user fetches the archives into manual_dir, under the last
      part of their URL.
    homepage: Where to ask for archives that are fetched by hand.
    checksums: Size in bytes and sha256 by URL, where TFDS has registered none.
    members: Published SHA-1 or MD5 of files in the archives, by their names
      there. An archive of these files is taken whatever packed it.
    annotations: File of the official folder that classifies the test images, by
      lines of a name and a class; None: they lie in folders of classes.
    tfds_config: Name of the builder's configuration; None is its default.
    label_key: Field of a record that holds the label.
    class_name_key: Field of a record that spells the class, where the builder
      knows numbers only.
    file_key: Field of a record that names the image; None if there is none.
    lists: Published lists of a long-tailed subset of train_split and so on, by
      "train", "validation" and "test": URL#sha256=.. or URL#git=..
    list_sizes: Number of lines of each list.
    list_labels: Whether a list numbers the classes as the builder does.
    shots: A class with fewer training images than the first number has few,
      with more than the second many, and medium otherwise.
  """

  tfds_name: str | None
  image_shape: tuple[int, int, int] | None
  num_classes: int
  splits: Mapping[str, int]
  train_split: str
  test_split: str
  mean: tuple[float, ...]
  std: tuple[float, ...]
  crop_padding: int
  flip: bool
  archives: tuple[str, ...]
  licence: str
  state: str
  validation_split: str | None = None
  needs_tensorflow: bool = True
  needs: tuple[str, ...] = ()
  by_hand: bool = False
  homepage: str | None = None
  checksums: Mapping[str, tuple[int, str]] = dataclasses.field(
    default_factory=dict
  )
  members: Mapping[str, str] = dataclasses.field(default_factory=dict)
  annotations: str | None = None
  tfds_config: str | None = None
  label_key: str = "label"
  class_name_key: str | None = None
  file_key: str | None = None
  lists: Mapping[str, str] = dataclasses.field(default_factory=dict)
  list_sizes: Mapping[str, int] = dataclasses.field(default_factory=dict)
  list_labels: bool = True
  shots: tuple[int, int] = (20, 100)

  def split_names(self) -> dict[str, str]:
    """Return the names of the splits that "train", "test", .. are."""
    names = {
      "train": self.train_split,
      "validation": self.validation_split,
      "test": self.test_split,
    }
    return {role: name for role, name in names.items() if name is not None}

  def sizes(self) -> dict[str, int]:
    """Return the numbers of images of the splits, as far as they are known.

    Before a long tail is cut, but after the published lists, if there are any.
    """
    found = {}
    for role, split in self.split_names().items():
      if role in self.list_sizes:
        found[role] = self.list_sizes[role]
      elif self.splits:
        found[role] = sum(self.splits[part] for part in split.split("+"))
    return found
