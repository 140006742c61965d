# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A fault of the published SVHN-LT loader, and that it is not ours."""

import numpy as np

from etf_jax import data

# Images of each digit 0..9 in the files of SVHN.
TRAIN = (4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659)
EXTRA = (
  *(45550, 90560, 74740, 60765, 50633),
  *(53490, 41582, 43997, 35358, 34456),
)


def published_loader(labels, imbalance):
  """Which images the published loader takes, and the labels it gives them.

  It notes a label for every image that it wants. Where a digit has fewer than
  are wanted, all labels behind it move on to other images.
  """
  wanted = [int(len(labels) / 10 * imbalance ** (k / 9)) for k in range(10)]
  taken, given = [], []
  for k, count in enumerate(wanted):
    taken += np.flatnonzero(labels == k)[:count].tolist()
    given += [k] * count
  return np.array(taken), np.array(given)[: len(taken)]


def test_the_published_loader_mislabels_a_third_of_svhn():
  wrong = total = 0
  for counts in (TRAIN, EXTRA):
    labels = np.repeat(np.arange(10), counts)
    taken, given = published_loader(labels, 0.01)
    wrong += np.count_nonzero(labels[taken] != given)
    total += len(taken)
  assert 0.33 < wrong / total < 0.35


def test_images_keep_their_labels_where_the_published_loader_moves_them(
  official, data_config
):
  contents = official.contents["svhn"]
  digit_of = {
    image.tobytes(): label
    for split in ("train", "extra")
    for image, label in zip(
      contents.images[split], contents.labels[split].tolist(), strict=True
    )
  }
  labels = np.concatenate([contents.labels[s] for s in ("train", "extra")])
  available = np.bincount(labels)
  largest = len(labels) // 10
  assert available[0] < largest <= available[1:].min()

  taken, given = published_loader(labels, 0.1)
  assert np.mean(labels[taken] != given) > 0.2

  dataset = data.load(
    data_config("svhn", official.data_dir, profile="exponential", imbalance=0.1)
  )
  wanted = np.floor(largest * 0.1 ** (np.arange(10) / 9)).astype(int)
  np.testing.assert_array_equal(
    dataset.class_counts, np.minimum(wanted, available)
  )
  assert dataset.class_counts[0] == available[0] < wanted[0]
  assert len(dataset.train.labels) == dataset.class_counts.sum()
  for image, label in zip(
    dataset.train.images, dataset.train.labels, strict=True
  ):
    assert digit_of[image.tobytes()] == label
