# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
import json

import numpy as np
from planted import contents, message, plant
import pytest

from etf_jax.data.sources import lists

SYNSETS = ("n01", "n02", "n10")


@pytest.fixture
def imagenet(tmp_path):
  """Class folders; the validation images lie together."""
  plant(
    tmp_path / "in",
    *("train/n01/n01_1.JPEG", "train/n01/n01_2.JPEG", "train/n02/n02_3.JPEG"),
    *("train/n10/n10_7.JPEG", "train/n10/n10_8.JPEG"),
    *("val/V_1.JPEG", "val/V_2.JPEG", "val/V_3.JPEG"),
  )
  (tmp_path / "train.txt").write_text(
    "train/n10/n10_7.JPEG 2\ntrain/n01/n01_2.JPEG 0\ntrain/n02/n02_3.JPEG 1\n"
  )
  (tmp_path / "val.txt").write_text("train/n10/n10_8.JPEG 2\n")
  (tmp_path / "test.txt").write_text("val/V_3.JPEG 0\nval/V_1.JPEG 2\n")
  return tmp_path


def refusal(folder, **changed):
  """The error of ImageNet's folder with other lists."""
  options = {k: changed.pop(k) for k in ("names",) if k in changed}
  lists_of = locations(folder, **changed)
  arguments = (lists.open_listed, folder / "in", lists_of)
  return message(folder, *arguments, **options)


def locations(folder, **changed):
  names = {"train": "train.txt", "validation": "val.txt", "test": "test.txt"}
  return {
    split: name and str(folder / name)
    for split, name in (names | changed).items()
  }


def test_imagenet_in_class_folders(imagenet):
  splits = lists.open_listed(imagenet / "in", locations(imagenet))
  assert list(splits) == ["train", "validation", "test"]
  assert all(source.class_names == SYNSETS for source in splits.values())
  assert contents(splits["train"]) == [
    *("train/n10/n10_7.JPEG", "train/n01/n01_2.JPEG", "train/n02/n02_3.JPEG")
  ]
  assert splits["train"].labels.tolist() == [2, 0, 1]
  assert contents(splits["validation"]) == ["train/n10/n10_8.JPEG"]
  assert contents(splits["test"]) == ["val/V_3.JPEG", "val/V_1.JPEG"]
  assert splits["test"].labels.tolist() == [0, 2]
  assert splits["test"].describe(0) == str(imagenet / "in/val/V_3.JPEG")


def test_validation_images_in_class_folders_or_not(imagenet):
  nested = "val/n01/V_3.JPEG 0\nval/n10/V_1.JPEG 2\n"
  (imagenet / "nested.txt").write_text(nested)
  flat = lists.open_listed(
    imagenet / "in", locations(imagenet, test="nested.txt", validation=None)
  )
  assert list(flat) == ["train", "test"]
  assert contents(flat["test"]) == ["val/V_3.JPEG", "val/V_1.JPEG"]

  for image, synset in (("V_3", "n01"), ("V_1", "n10"), ("V_2", "n01")):
    folder = imagenet / "in/val" / synset
    folder.mkdir(exist_ok=True)
    (imagenet / f"in/val/{image}.JPEG").rename(folder / f"{image}.JPEG")
  for test in ("nested.txt", "test.txt"):
    source = lists.open_listed(imagenet / "in", locations(imagenet, test=test))
    found = [source["test"].describe(index) for index in range(2)]
    root = imagenet / "in/val"
    assert found == [f"{root}/n01/V_3.JPEG", f"{root}/n10/V_1.JPEG"]
  (imagenet / "bad.txt").write_text("val/V_3.JPEG 0\nval/V_1.JPEG 1\n")
  assert refusal(imagenet, test="bad.txt") == (
    "list DIR/bad.txt, line 2 (val/V_1.JPEG 1): the image is in the folder of "
    "class 2 ('n10'), and class 1 is 'n02'"
  )


def test_a_csv_beside_its_images(tmp_path):
  plant(tmp_path, "img/1.jpg", "img/2.jpg", "img/3.jpg")
  (tmp_path / "train.csv").write_text(
    f"path,label\nimg/1.jpg,dog\n{tmp_path}/img/../img/2.jpg,cat\n"
  )
  (tmp_path / "test.csv").write_text("label,path\ndog,./img/3.jpg\n")
  splits = lists.open_listed(
    None, {s: str(tmp_path / f"{s}.csv") for s in ("train", "test")}
  )
  assert splits["train"].class_names == ("cat", "dog")
  assert splits["train"].labels.tolist() == [1, 0]
  assert contents(splits["train"]) == ["img/1.jpg", "img/2.jpg"]
  assert contents(splits["test"]) == ["img/3.jpg"]
  assert splits["test"].labels.tolist() == [1]


def write_nature(path, images, categories=("moss", "wren")):
  path.write_text(
    json.dumps(
      {
        "images": [
          {"id": i, "file_name": n} for i, (n, _) in enumerate(images)
        ],
        "annotations": [
          {"image_id": i, "category_id": 10 + k}
          for i, (_, k) in enumerate(images)
        ],
        "categories": [
          {"id": 10 + k, "name": n} for k, n in enumerate(categories)
        ],
      }
    )
  )


def test_json_lists(tmp_path):
  plant(tmp_path, "t/A/11/x.jpg", "t/F/10/y.jpg", "t/A/11/z.jpg")
  train, test = tmp_path / "train2018.json", tmp_path / "val2018.json"
  write_nature(train, [("t/A/11/x.jpg", 1), ("t/F/10/y.jpg", 0)])
  write_nature(test, [("t/A/11/z.jpg", 1)])
  both = {"train": str(train), "test": str(test)}
  splits = lists.open_listed(tmp_path, both)
  assert splits["train"].class_names == ("moss", "wren")
  assert splits["train"].labels.tolist() == [1, 0]
  assert contents(splits["test"]) == ["t/A/11/z.jpg"]
  assert splits["test"].labels.tolist() == [1]
  write_nature(test, [("t/A/11/z.jpg", 1)], categories=("wren", "moss"))
  assert message(tmp_path, lists.open_listed, tmp_path, both) == (
    "list DIR/val2018.json has other categories than list DIR/train2018.json"
  )


_OUT = "the path leads out of DIR/in; a list names files inside of it"
_NONE = (
  "there is no such file in DIR/in; config.data.dir is the folder that the "
  "paths start from"
)


@pytest.mark.parametrize(
  ("line", "rest"),
  [
    ("../other/1.jpg", _OUT),
    ("train/../../other/1.jpg", _OUT),
    ("/etc/passwd", _OUT),
    ("train/n01/n01_9.JPEG", _NONE),
    ("train/n01", _NONE),
    ("train/n02/n01_1.JPEG", _NONE),
    ("none/n01/n01_1.JPEG", _NONE),
    ("train/n01/n01_1.JPEG/x", _NONE),
    (
      "./train//n01/n01_2.JPEG",
      "this is the image of list DIR/bad.txt, line 1 (train/n01/n01_2.JPEG 0); "
      "leave one of them",
    ),
  ],
)
def test_lines_without_a_file(imagenet, line, rest):
  plant(imagenet, "other/1.jpg")
  label = 1 if "n02" in line else 0
  text = f"train/n01/n01_2.JPEG 0\n{line} {label}\n"
  (imagenet / "bad.txt").write_text(text)
  error = refusal(imagenet, validation="bad.txt")
  assert error == f"list DIR/bad.txt, line 2 ({line} {label}): {rest}"


def test_a_header_of_other_names(tmp_path):
  plant(tmp_path, "1.jpg")
  (tmp_path / "train.csv").write_text("file,class\n1.jpg,0\n2.jpg,1\n")
  table = str(tmp_path / "train.csv")
  both = {"train": table, "test": table}
  assert (
    "line 1 (file class): there is no such file in DIR (if it is a header, "
    "name its two columns in config.data.columns), and 1 more like it"
  ) in message(tmp_path, lists.open_listed, tmp_path, both)


def test_lists_of_two_kinds(imagenet):
  (imagenet / "test.csv").write_text("val/V_1.JPEG,n01\n")
  assert (
    "DIR/test.csv has class names for labels and list DIR/train.txt has integer"
  ) in refusal(imagenet, test="test.csv")
  # Unless the names are known.
  splits = lists.open_listed(
    imagenet / "in", locations(imagenet, test="test.csv"), names=SYNSETS
  )
  assert splits["test"].labels.tolist() == [0]


def test_known_names_find_a_wrong_order_of_classes(imagenet):
  assert (
    "the image is in the folder of class 1 ('n10'), and class 2 is 'n02'"
  ) in refusal(imagenet, names=("n01", "n10", "n02"))


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_list_that_is_missing(imagenet, split):
  line = refusal(imagenet, **{split: None})
  assert line.startswith(f"config.data.{split}_list is not set; ")


def test_a_folder_that_is_missing(imagenet):
  options = (lists.open_listed, imagenet / "no", locations(imagenet))
  assert "config.data.dir=DIR/no is not a fo" in message(imagenet, *options)


def test_a_list_from_a_url_needs_a_folder(imagenet):
  url = lists.Listing("list https://h/l.txt", None, ["a/1"], np.zeros(1), [1])
  line = message(imagenet, lists._root, None, url)
  assert "list https://h/l.txt came from a URL: set config.data.dir to" in line


def test_integers_that_are_no_class_numbers_are_names(tmp_path, capsys):
  plant(tmp_path, *(f"{i}.jpg" for i in range(5)))
  (tmp_path / "train.csv").write_text(
    "0.jpg,10\n1.jpg,9\n2.jpg,2019\n3.jpg,9\n"
  )
  (tmp_path / "test.csv").write_text("4.jpg,10\n")
  both = {s: str(tmp_path / f"{s}.csv") for s in ("train", "test")}
  splits = lists.open_listed(tmp_path, both)
  assert splits["train"].class_names == ("9", "10", "2019")
  assert splits["train"].labels.tolist() == [1, 0, 2, 0]
  assert splits["test"].labels.tolist() == [1]
  assert capsys.readouterr().err == (
    f"list {tmp_path}/train.csv: labels are taken for names, since they are not"
    " 0..2: 9, 10, 2019\n"
  )
  (tmp_path / "test.csv").write_text("4.jpg,11\n")
  assert message(tmp_path, lists.open_listed, tmp_path, both) == (
    "list DIR/test.csv, line 1 (4.jpg 11): there is no training image of class "
    "'11'"
  )


@pytest.mark.parametrize("link", ["a", "a/1.jpg"])
def test_listed_links_out_of_the_folder(tmp_path, link):
  plant(tmp_path, "elsewhere/1.jpg", "set/b/1.jpg")
  path = tmp_path / "set" / link
  path.parent.mkdir(exist_ok=True)
  path.symlink_to(tmp_path / "elsewhere" / ("1.jpg" if "1" in link else ""))
  table = tmp_path / "x.csv"
  table.write_text("a/1.jpg,a\nb/1.jpg,b\n")
  both = {"train": str(table), "test": str(table)}
  arguments = (tmp_path, lists.open_listed, tmp_path / "set", both)
  assert message(*arguments, follow_links=False) == (
    f"DIR/set/{link} is a link that leads out of DIR/set; put the images "
    "there, or set config.data.follow_links=True"
  )
  assert len(lists.open_listed(tmp_path / "set", both)["train"].labels) == 2
