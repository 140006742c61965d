# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0

import numpy as np
from planted import message
import pytest

from etf_jax.data.sources import lists

SYNSETS = ("n01", "n02", "n10")


def listing(tmp_path, text, name="list.txt"):
  (tmp_path / name).write_text(text)
  return lists.read(str(tmp_path / name))


@pytest.mark.parametrize(
  ("lines", "names"),
  [
    # As ImageNet-LT's; as Places-LT's; and iNaturalist's.
    (["train/n02/a 1", "train/n01/b 0", "train/n02/c 1"], ("n01", "n02")),
    (["d/a/air/1 0", "d/b/bar/in/1 1", "d/b/bar/out/1 2"],
     ("a/air", "b/bar/in", "b/bar/out")),
    (["n/A/0/x 0", "n/A/1/x 1", "n/B/2/x 2"], ("A/0", "A/1", "B/2")),
    # Folders that say nothing about the class: two for one, one for two, none.
    (["a/1 0", "b/2 0", "c/3 1"], ("class 0", "class 1")),
    (["a/1 0", "a/2 1"], ("class 0", "class 1")),
    (["1 0", "a/2 1"], ("class 0", "class 1")),
  ],
)  # fmt: skip
def test_names_of_integer_labels(tmp_path, lines, names):
  assert lists.class_names(listing(tmp_path, "\n".join(lines))) == names


def test_names_in_a_csv_are_sorted(tmp_path):
  text = "path,label\n1,dog\n2,Cat\n3,ant\n4,dog\n5,7\n"
  table = listing(tmp_path, text, "list.csv")
  names = lists.class_names(table)
  assert names == ("7", "Cat", "ant", "dog")
  assert lists.labels(table, names).tolist() == [3, 1, 2, 3, 0]


def test_integers_with_a_gap(tmp_path):
  table = listing(tmp_path, "1 0\n2 2\n3 5\n")
  line = message(tmp_path, lists.class_names, table)
  assert "list DIR/list.txt, line 2 (2 2): no line has label 1; int" in line


@pytest.mark.parametrize(
  ("name", "text", "expected"),
  [
    ("x.txt", "a/1 0\na/2 3\n", "line 2 (a/2 3): the label is outside 0..2"),
    ("x.txt", "a/1 -1\na/2 0\n", "line 1 (a/1 -1): the label is outside 0..2"),
    ("x.csv", "a/1,n02\na/2,n011\n", "class 'n011'; did you mean 'n01'?"),
    ("x.csv", "a/1,zebra\n", "line 1 (a/1 zebra): there is no training image"),
    (
      "x.txt",
      "val/n02/1 1\nval/n10/2 1\n",
      "the image is in the folder of class 2 ('n10'), and class 1 is 'n02'",
    ),
  ],
)
def test_labels_that_are_wrong(tmp_path, name, text, expected):
  table = listing(tmp_path, text, name)
  assert expected in message(tmp_path, lists.labels, table, SYNSETS)


def test_a_csv_may_put_an_image_into_another_class_than_its_folder(tmp_path):
  table = listing(tmp_path, "n01/1,n02\nn02/2,n02\n", "x.csv")
  assert lists.labels(table, SYNSETS).tolist() == [1, 1]


RECORDS = ["n10_7.JPEG", "n01_1.JPEG", "n02_3.JPEG", "n01_2.JPEG"]
CLASSES = np.array([2, 0, 1, 0])


def test_join_finds_records_by_file_name(tmp_path):
  table = listing(tmp_path, "train/n01/n01_2.JPEG 0\ntrain/n10/n10_7.JPEG 2\n")
  found = lists.join(table, RECORDS, CLASSES, SYNSETS)
  assert found.dtype == np.int64
  assert found.tolist() == [3, 0]
  # What sources have is an array.
  found = lists.join(table, np.array(RECORDS), CLASSES, SYNSETS)
  assert found.tolist() == [3, 0]


def test_join_with_names_without_suffix_or_with_folders(tmp_path):
  table = listing(tmp_path, "nature/A/0/x.jpg 0\nnature/B/2/z.y.jpg 2\n")
  found = lists.join(table, ["v", "z.y", "x"], np.array([1, 2, 0]), SYNSETS)
  assert found.tolist() == [2, 1]
  names = ["B/z.y.jpg", "v.jpg", "A/x.jpg"]
  found = lists.join(table, names, np.array([2, 1, 0]), SYNSETS)
  assert found.tolist() == [2, 0]


@pytest.mark.parametrize(
  ("text", "expected"),
  [
    (
      "train/n01/n01_2.JPEG 0\ntrain/n01/n01_9.JPEG 0\n",
      "line 2 (train/n01/n01_9.JPEG 0): no record has this name; the list be",
    ),
    (
      "a/8.JPEG 0\ntrain/n01/n01_2.JPEG 0\na/9.JPEG 0\na/7.JPEG 1\n",
      "line 1 (a/8.JPEG 0): no record has this name, and 2 more like it; the",
    ),
    (
      "x/n01_2.JPEG 0\nx/n02_3.JPEG 2\nx/n10_7.JPEG 0\n",
      "is of class 1 ('n02'), and not 2 ('n10'), and 1 more like it",
    ),
    (
      "train/n01/n01_2.JPEG 0\ntrain/n02/n02_3.JPEG 0\n",
      "the image is in the folder of class 1 ('n02'), and class 0 is 'n01'",
    ),
    (
      "a/n01_2.JPEG 0\na/n10_7.JPEG 2\n\nb/n01_2.JPEG 0\n",
      "line 1 (a/n01_2.JPEG 0); leave one of them",
    ),
  ],
)
def test_lines_that_do_not_join(tmp_path, text, expected):
  table = listing(tmp_path, text)
  args = (table, RECORDS, CLASSES, SYNSETS)
  assert expected in message(tmp_path, lists.join, *args)


def test_two_records_of_one_name(tmp_path):
  table = listing(tmp_path, "a/n01_2.JPEG 0\n")
  args = (table, [*RECORDS, "n01_2.JPEG"], np.append(CLASSES, 0), SYNSETS)
  line = message(tmp_path, lists.join, *args)
  assert "line 1 (a/n01_2.JPEG 0): records 3 and 4 both have this name" in line
