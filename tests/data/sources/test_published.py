# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Published subsets: ImageNet-LT, Places-LT, and SVHN-LT with wrong labels."""

import dataclasses

import numpy as np
import pytest

from etf_jax import data
from etf_jax.data import catalog
from etf_jax.data.sources import lists, prepared, published
from etf_jax.errors import InputError


def _open(official, name, split="train"):
  builder = prepared.make_builder(name, official.data_dir)
  return prepared.open_prepared(builder, split, catalog.lookup(name))


def _listing(path, lines):
  path.write_text("".join(f"{line}\n" for line in lines))
  return lists.read(str(path))


def test_imagenet_lt_is_the_images_of_its_list(official, tmp_path):
  files = official.contents["imagenet"].splits["train"]
  names = np.random.default_rng(5).permutation(sorted(files))[:300].tolist()
  listing = _listing(
    tmp_path / "train.txt",
    [f"train/{name.split('_')[0]}/{name} {files[name][1]}" for name in names],
  )
  chosen = published.select(
    _open(official, "imagenet_lt"), listing, catalog.lookup("imagenet_lt")
  )
  assert chosen.labels.tolist() == [files[name][1] for name in names]
  plain = [
    i
    for i, name in enumerate(names)
    if name not in official.contents["imagenet"].rewritten
  ]
  assert len(plain) >= 298
  for index in plain:
    assert chosen.read(index) == files[names[index]][0]


# Places-LT's own spelling and numbers of the five classes that TFDS has in
# another order, and of two others.
PLACES = {
  "airfield": 0,
  "desert_road": 116,
  "desert-sand": 117,
  "desert-vegetation": 118,
  "field-cultivated": 140,
  "field_road": 141,
  "field-wild": 142,
}


def _places_lines(source):
  number = {
    name: file_name.rpartition("/")[2]
    for file_name, name in zip(
      source.file_names,
      (source.class_names[label] for label in source.labels),
      strict=True,
    )
  }
  by_spelling = {name.replace("/", "-"): name for name in source.class_names}
  return [
    f"train/{spelling}/{number[by_spelling[spelling]]} {label}"
    for spelling, label in PLACES.items()
  ]


def test_places_lt_is_found_by_folder_and_gets_the_builders_labels(
  official, tmp_path
):
  source = _open(official, "places_lt")
  listing = _listing(tmp_path / "train.txt", _places_lines(source))
  chosen = published.select(source, listing, catalog.lookup("places_lt"))
  found = [source.class_names[label] for label in chosen.labels]
  assert [name.replace("/", "-") for name in found] == list(PLACES)
  moved = chosen.labels.tolist()
  assert moved[0] == 0
  assert moved[1:4] != list(PLACES.values())[1:4]
  files = official.contents["places_lt"].splits["train"]
  for index in range(len(PLACES)):
    encoded = chosen.read(index)
    assert (encoded, moved[index]) in files.values()


def test_places_lt_test_images_are_found_by_name(official, tmp_path):
  source = _open(official, "places_lt", "validation")
  lines = [
    f"val/{source.class_names[label].replace('/', '-')}/"
    f"{name.rpartition('/')[2]} {k}"
    for k, (name, label) in enumerate(
      zip(source.file_names[::-1], source.labels[::-1], strict=True)
    )
  ]
  listing = _listing(tmp_path / "test.txt", lines)
  chosen = published.select(source, listing, catalog.lookup("places_lt"))
  np.testing.assert_array_equal(chosen.labels, source.labels[::-1])


@pytest.mark.parametrize(
  ("line", "message"),
  [
    (
      "train/no_such_place/00000001.jpg 7",
      "(train/no_such_place/00000001.jpg 7): 'no_such_place' is no class of",
    ),
    (
      "train/alley/00000005.jpg 0",
      "(train/alley/00000005.jpg 0): label 0 is 'airfield' further up",
    ),
    (
      "train/alley/09999999.jpg 4",
      "(alley-09999999.jpg alley): no record has this name",
    ),
  ],
)
def test_a_wrong_line_of_places_lt_is_named(line, message, official, tmp_path):
  source = _open(official, "places_lt")
  listing = _listing(tmp_path / "train.txt", [*_places_lines(source), line])
  with pytest.raises(InputError) as error:
    published.select(source, listing, catalog.lookup("places_lt"))
  assert f"train.txt, line {len(PLACES) + 1} {message}" in str(error.value)


def test_records_without_names_cannot_be_listed(official, tmp_path):
  listing = _listing(tmp_path / "train.txt", ["train/a/b.jpg 0"])
  with pytest.raises(InputError, match="have no names; use a set that has"):
    published.select(
      _open(official, "food101"), listing, catalog.lookup("food101")
    )


@dataclasses.dataclass
class Labelled:
  """Images that are their own numbers."""

  labels: np.ndarray
  class_names: tuple[str, ...]


def test_svhn_by_hand():
  """Twelve images of three classes: 4, 2 and 1 are wanted, class 0 has 2.

  The images taken are of classes 0 0 1 1 2, and the labels noted are 0 0 0 0 1
  1 2, of which the first five are given.
  """
  labels = np.array([1, 1, 2, 0, 2, 1, 0, 2, 1, 2, 1, 2], np.int32)
  source = Labelled(labels, ("a", "b", "c"))
  found = published.cut_svhn(
    "svhn", source, np.arange(12), (12,), imbalance=0.25, seed=0
  )
  assert labels[found.indices].tolist() == [0, 0, 1, 1, 2]
  assert found.labels.tolist() == [0, 0, 0, 0, 1]
  assert sorted(found.indices[:2]) == [3, 6]
  assert found.labels.dtype == labels.dtype


def test_parts_are_cut_each_by_itself():
  """Every label is right in a part where no class falls short."""
  balanced = np.tile(np.arange(3, dtype=np.int32), 4)
  short = np.array([1, 1, 2, 0, 2, 1, 0, 2, 1, 2, 1, 2], np.int32)
  source = Labelled(np.concatenate([balanced, short]), ("a", "b", "c"))
  found = published.cut_svhn(
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
  found = published.cut_svhn(
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


def test_the_profile_of_svhn_on_other_data_is_refused(official, data_config):
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
