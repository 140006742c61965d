# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
import hashlib
import os
import shutil

import numpy as np
from planted import contents, plant
import pytest

from etf_jax.data.sources import folders, unsplit
from etf_jax.errors import InputError

# Images of each class, and of these the test images at a fifth.
COUNTS = {"a": 30, "b": 12, "c": 5, "d": 3, "e": 2, "f": 1}
TESTED = {"a": 6, "b": 2, "c": 1, "d": 1, "e": 1, "f": 0}
IMAGES = [f"{name}/{i}.jpg" for name, n in COUNTS.items() for i in range(n)]


def split(root, fraction=0.2, seed=0):
  """The files that train and that test, by what they hold."""
  found = folders.scan(root, test_fraction=fraction, seed=seed)
  return {name: set(contents(source)) for name, source in found.items()}


def test_each_class_gives_its_share_and_none_its_last_image(tmp_path, capsys):
  plant(tmp_path, *IMAGES)
  found = folders.scan(tmp_path, test_fraction=0.2)
  tested = np.bincount(found["test"].labels, minlength=6)
  assert tested.tolist() == list(TESTED.values())
  trained = np.bincount(found["train"].labels, minlength=6)
  assert (trained + tested).tolist() == list(COUNTS.values())
  sides = [set(contents(source)) for source in found.values()]
  assert sides[0] | sides[1] == set(IMAGES)
  assert not sides[0] & sides[1]
  assert capsys.readouterr().err.splitlines() == [
    f"{tmp_path} has no folder 'test': 11 of 53 images are held back to test on"
    " (config.data.test_fraction=0.2, config.data.seed=0)",
    f"{tmp_path}: classes of a single image are trained and not tested: f",
  ]


def test_it_is_the_hash_of_seed_and_name_that_chooses():
  names = [f"a/{i}.jpg" for i in range(10)]
  ranks = {n: hashlib.sha256(f"7:test:{n}".encode()).digest() for n in names}
  expected = set(sorted(names, key=ranks.get)[:3])
  assert unsplit.held_back(names, fraction=0.3, seed=7) == expected
  assert unsplit.held_back(names[::-1], fraction=0.3, seed=7) == expected
  assert unsplit.held_back(names, fraction=0.3, seed=8) != expected


def test_neither_the_place_nor_the_order_of_a_listing_decides(
  tmp_path, monkeypatch
):
  plant(tmp_path / "one", *IMAGES)
  here = split(tmp_path / "one")
  # The same below train/ alone, made in another order, by a relative path.
  for image in reversed(IMAGES):
    place = tmp_path / "two/train" / image
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(tmp_path / "one" / image, place)
  monkeypatch.chdir(tmp_path)
  assert split("two/") == here
  assert split(tmp_path / "one", seed=1) != here


def test_an_image_that_is_added_moves_at_most_one_other(tmp_path):
  plant(tmp_path, *IMAGES)
  before = split(tmp_path)["test"]
  for number in range(20):
    plant(tmp_path, f"b/new{number}.jpg")
    after = split(tmp_path)["test"]
    assert len((before - after) & set(IMAGES)) <= 1
    assert {n for n in after if n[0] != "b"} == {
      n for n in before if n[0] != "b"
    }
    before = after
  assert len([name for name in before if name[0] == "b"]) == 6  # of 32


@pytest.mark.parametrize(
  ("count", "fraction", "expected"),
  [(1, 0.9, 0), (2, 0.1, 1), (2, 0.9, 1), (10, 0.25, 3), (100, 0.999, 99)],
)
def test_the_share_of_a_class(count, fraction, expected):
  names = [f"a/{i}.jpg" for i in range(count)]
  assert len(unsplit.held_back(names, fraction=fraction, seed=0)) == expected


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_a_fraction_outside_its_range(tmp_path, fraction):
  plant(tmp_path, *IMAGES)
  with pytest.raises(InputError) as error:
    split(tmp_path, fraction)
  assert str(error.value) == (
    f"config.data.test_fraction={fraction:g}: must be above 0 and below 1"
  )


def test_single_images_only(tmp_path):
  plant(tmp_path, "a/1.jpg", "b/1.jpg")
  with pytest.raises(InputError, match="none is left to test on"):
    split(tmp_path)


def test_names_that_are_composed_in_two_ways_are_one():
  # macOS writes an accent as a letter of its own.
  composed = {f"caf\u00e9/{i}.jpg" for i in range(50)}
  apart = {f"cafe\u0301/{i}.jpg" for i in range(50)}

  def numbers(names):
    chosen = unsplit.held_back(sorted(names), fraction=0.2, seed=0)
    return {os.path.basename(name) for name in chosen}

  assert numbers(composed) == numbers(apart)
