# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Scikit-learn's handwritten digits as a TFDS builder.

    digits.ScikitDigits(data_dir=...).download_and_prepare(
      file_format="array_record")

The 1,797 real 8x8 images travel inside scikit-learn, so that this set needs
neither a network nor TensorFlow. Every fifth image of a class, in the order of
scikit-learn, is a test image.
"""

from collections.abc import Iterator
import io

import numpy as np
from PIL import Image
import tensorflow_datasets as tfds

_NUM_CLASSES = 10
_INK_LEVELS = 16  # A pixel counts the inked ones of a 4x4 block: 0..16.
_TEST_EVERY = 5


class ScikitDigits(tfds.core.GeneratorBasedBuilder):
  """Handwritten digits, 8x8 pixels, 1,442 for training and 355 for testing."""

  VERSION = tfds.core.Version("1.0.0")

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
      builder=self,
      features=tfds.features.FeaturesDict(
        {
          "id": tfds.features.Text(),
          "image": tfds.features.Image(shape=(8, 8, 1)),
          "label": tfds.features.ClassLabel(num_classes=_NUM_CLASSES),
        }
      ),
      supervised_keys=("image", "label"),
      description="Scikit-learn's load_digits, scaled to 0..255.",
      homepage="https://archive.ics.uci.edu/dataset/80",
      # Small enough to keep scikit-learn's order, which makes checks simple.
      disable_shuffling=True,
    )

  def _split_generators(
    self, dl_manager: tfds.download.DownloadManager
  ) -> dict[str, Iterator]:
    del dl_manager  # Nothing to download.
    return {
      "train": self._generate_examples(test=False),
      "test": self._generate_examples(test=True),
    }

  def _generate_examples(self, test: bool) -> Iterator[tuple[int, dict]]:
    from sklearn.datasets import load_digits  # Slow to import; rarely needed.

    data = load_digits()
    levels = np.rint(data.images * (255 / _INK_LEVELS)).astype(np.uint8)
    images_of = [0] * _NUM_CLASSES
    for index, (image, label) in enumerate(
      zip(levels, data.target.tolist(), strict=True)
    ):
      images_of[label] += 1
      if (images_of[label] % _TEST_EVERY == 0) == test:
        yield (
          index,
          {"id": f"digit_{index:04d}", "image": _png(image), "label": label},
        )


def _png(image: np.ndarray) -> io.BytesIO:
  """Encode an image here: TFDS would encode an array with TensorFlow."""
  buffer = io.BytesIO()
  Image.fromarray(image).save(buffer, format="PNG")
  buffer.seek(0)
  return buffer
