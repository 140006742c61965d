# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The published SVHN-LT, whose labels are wrong, for those who ask for it."""

import dataclasses

import numpy as np
import pytest

from etf_jax import data
from etf_jax.data.sources import published_svhn
from etf_jax.errors import InputError


@dataclasses.dataclass
class Labelled:
  """Images that are their own numbers."""

  labels: np.ndarray
  class_names: tuple[str, ...]


def test_by_hand():
  """Twelve images of three classes: 4, 2 and 1 are wanted, class 0 has 2.

  The images taken are of classes 0 0 1 1 2, and the labels noted are 0 0 0 0 1
  1 2, of which the first five are given.
  """
  labels = np.array([1, 1, 2, 0, 2, 1, 0, 2, 1, 2, 1, 2], np.int32)
  source = Labelled(labels, ("a", "b", "c"))
  found = published_svhn.cut(
    "svhn", source, np.arange(12), (12,), imbalance=0.25, seed=0
  )
  assert labels[found.indices].tolist() == [0, 0, 1, 1, 2]
  assert found.labels.tolist() == [0, 0, 0, 0, 1]
  assert sorted(found.indices[:2]) == [3, 6]
  assert found.labels.dtype == labels.dtype


def test_parts_are_cut_each_by_itself():
  """Of a part where no class falls short every label is right."""
  balanced = np.tile(np.arange(3, dtype=np.int32), 4)
  short = np.array([1, 1, 2, 0, 2, 1, 0, 2, 1, 2, 1, 2], np.int32)
  source = Labelled(np.concatenate([balanced, short]), ("a", "b", "c"))
  found = published_svhn.cut(
    "svhn", source, np.arange(24), (12, 12), imbalance=0.25, seed=0
  )
  true = source.labels[found.indices]
  assert true.tolist() == [0, 0, 0, 0, 1, 1, 2, 0, 0, 1, 1, 2]
  assert found.labels.tolist() == [0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 1]
  assert (found.indices[:7] < 12).all()
  assert (found.indices[7:] >= 12).all()


def test_a_third_of_the_labels_are_wrong():
  """At the sizes of SVHN, as the loader that was published has it."""
  train = (4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659)
  extra = (45550, 90560, 74740, 60765, 50633, 53490, 41582, 43997, 35358, 34456)
  labels = np.concatenate([np.repeat(np.arange(10), n) for n in (train, extra)])
  source = Labelled(labels.astype(np.int32), tuple("0123456789"))
  found = published_svhn.cut(
    "svhn",
    source,
    np.arange(len(labels)),
    (sum(train), sum(extra)),
    imbalance=0.01,
    seed=0,
  )
  wrong = np.mean(labels[found.indices] != found.labels)
  assert 0.33 < wrong < 0.35
  # Class 0 is what was wanted of it, though there are fewer images of it; of
  # the four last digits there are images, but none is called so.
  given = np.bincount(found.labels, minlength=10)
  assert given[0] == 73_257 // 10 + 531_131 // 10
  assert given.tolist()[6:] == [0, 0, 0, 0]
  true = np.bincount(labels[found.indices])
  assert true.tolist()[6:] == [2805, 1680, 1007, 604]


def test_a_data_set_has_the_published_labels(official, data_config):
  contents = official.contents["svhn"]
  digit_of = {
    bytes(image): label
    for split in ("train", "extra")
    for image, label in zip(
      contents.images[split], contents.labels[split].tolist(), strict=True
    )
  }
  config = data_config(
    "svhn", official.data_dir, profile="published_svhn", imbalance=0.1
  )
  dataset = data.load(config)
  true = np.array([digit_of[bytes(image)] for image in dataset.train.images])
  assert len(set(map(bytes, dataset.train.images))) == len(true)
  given = dataset.train.labels
  np.testing.assert_array_equal(
    dataset.class_counts, np.bincount(given, minlength=10)
  )
  # `train` has 8 images of digit 0 and 20 are wanted, `extra` 9 and 18.
  assert np.mean(given != true) > 0.2
  assert dataset.class_counts[0] == 20 + 18
  assert np.sum(true == 0) == 17
  # The test images keep their labels.
  label_of = dict(
    zip(
      map(bytes, contents.images["test"]),
      contents.labels["test"].tolist(),
      strict=True,
    )
  )
  held = [label_of[bytes(image)] for image in dataset.test.images]
  assert dataset.test.labels.tolist() == held


def test_other_data_are_refused(official, data_config):
  config = data_config(
    "cifar10", official.data_dir, profile="published_svhn", imbalance=0.1
  )
  with pytest.raises(InputError, match=r"for config\.data\.name='svhn' as"):
    data.load(config)
  with pytest.raises(InputError, match=r"did you mean 'published_svhn'\?"):
    data.load(
      data_config(
        "svhn", official.data_dir, profile="published_svnh", imbalance=0.1
      )
    )


def test_a_total_is_refused(official, data_config):
  config = data_config(
    "svhn", official.data_dir, profile="published_svhn", imbalance=0.1
  )
  config.images = 50
  with pytest.raises(InputError) as error:
    data.load(config)
  assert str(error.value) == (
    "config.data.images=50 does nothing with config.data.profile="
    "'published_svhn'; leave it out"
  )
