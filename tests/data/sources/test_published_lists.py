# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from etf_jax.data import catalog
from etf_jax.data.sources import lists, prepared, published_lists
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
  chosen = published_lists.select(
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
  chosen = published_lists.select(source, listing, catalog.lookup("places_lt"))
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
  chosen = published_lists.select(source, listing, catalog.lookup("places_lt"))
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
    published_lists.select(source, listing, catalog.lookup("places_lt"))
  assert f"train.txt, line {len(PLACES) + 1} {message}" in str(error.value)


def test_records_without_names_cannot_be_listed(official, tmp_path):
  listing = _listing(tmp_path / "train.txt", ["train/a/b.jpg 0"])
  with pytest.raises(InputError, match="have no names; use a set that has"):
    published_lists.select(
      _open(official, "food101"), listing, catalog.lookup("food101")
    )
