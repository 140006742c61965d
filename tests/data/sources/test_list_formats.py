# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
import json

import numpy as np
import official_archives
import pytest

from etf_jax.data.sources import lists
from etf_jax.errors import InputError


def read(tmp_path, name, text):
  path = tmp_path / name
  path.write_bytes(text if isinstance(text, bytes) else text.encode())
  return lists.read(str(path))


@pytest.mark.parametrize(
  ("text", "lines"),
  [
    ("a/1.jpg,3\nb c/2.jpg,0\n", [1, 2]),
    ("path,label\na/1.jpg,3\nb c/2.jpg,0", [2, 3]),
    # Extra columns, another order, capitals, a byte-order mark, line ends of
    # Windows, empty lines, quotes.
    (
      b'\xef\xbb\xbfid,Label, Path \r\n1,3, a/1.jpg\r\n\r\n2,0,"b c/2.jpg"\r\n',
      [2, 4],
    ),
    ('"a/1.jpg","3",extra\n"b c/2.jpg",0\n', [1, 2]),
  ],
)
def test_csv(tmp_path, text, lines):
  listing = read(tmp_path, "list.csv", text)
  assert listing.paths == ["a/1.jpg", "b c/2.jpg"]
  assert listing.labels.dtype == np.int64
  assert listing.labels.tolist() == [3, 0]
  assert listing.lines.tolist() == lines
  assert listing.folder == str(tmp_path)
  assert listing.place(1) == (
    f"list {tmp_path}/list.csv, line {lines[1]} (b c/2.jpg 0)"
  )


def test_csv_with_class_names(tmp_path):
  text = 'path,label\n1.jpg,dog\n"2,3.jpg","cat, wild"\n4.jpg,7\n'
  listing = read(tmp_path, "list.CSV", text)
  assert listing.paths == ["1.jpg", "2,3.jpg", "4.jpg"]
  assert listing.labels == ["dog", "cat, wild", "7"]


@pytest.mark.parametrize(
  ("name", "text"),
  [
    ("x.csv", "path;label\na,b.jpg;dog\nc.jpg;cat\n"),
    ("x.csv", "\nlabel;note;path\ndog;1,5;a,b.jpg\ncat;;c.jpg\n"),
    ("x.csv", "a,b.jpg\tdog\nc.jpg\tcat\n".replace("a,b", '"a,b"')),
    ("x.tsv", "path\tlabel\na,b.jpg\tdog\nc.jpg\tcat\n"),
  ],
)
def test_separators(tmp_path, name, text):
  listing = read(tmp_path, name, text)
  assert listing.paths == ["a,b.jpg", "c.jpg"]
  assert listing.labels == ["dog", "cat"]


def test_columns_of_other_names(tmp_path):
  path = tmp_path / "x.csv"
  path.write_text("id;Species;File name;path\n1;dog;a.jpg;no\n2;cat;b.jpg;no\n")
  listing = lists.read(str(path), columns=("file name", "species"))
  assert listing.paths == ["a.jpg", "b.jpg"]
  assert listing.labels == ["dog", "cat"]
  for columns, expected in (
    (("file", "species"), "columns=file,species: .* id, Species, .*; name two"),
    (("file",), r"config.data.columns=\('file',\): names two columns"),
  ):
    with pytest.raises(InputError, match=expected):
      lists.read(str(path), columns=columns)


def test_latin_1(tmp_path, capsys):
  listing = read(tmp_path, "x.csv", "caf\xe9.jpg;\xfcber\n".encode("latin-1"))
  assert (listing.paths, listing.labels) == (["caf\xe9.jpg"], ["\xfcber"])
  assert capsys.readouterr().err == (
    f"list {tmp_path}/x.csv is not in UTF-8, and is read as Latin-1\n"
  )


@pytest.mark.parametrize(
  "text",
  [
    "train/n1/n1_190.JPEG 0\nval/a b.jpg 12\n",
    "train/n1/n1_190.JPEG\t0\r\n\r\n  val/a b.jpg   12  ",
  ],
)
def test_txt(tmp_path, text):
  listing = read(tmp_path, "list.txt", text)
  assert listing.paths == ["train/n1/n1_190.JPEG", "val/a b.jpg"]
  assert listing.labels.tolist() == [0, 12]


# As in iNaturalist 2018, but with ids that leave some out.
NATURE = {
  "images": [
    {"id": 7, "file_name": "train_val2018/Aves/9/x.jpg"},
    {"id": 3, "file_name": "train_val2018/Fungi/4/y.jpg"},
    {"id": 5, "file_name": "train_val2018/Aves/9/z.jpg"},
  ],
  "annotations": [
    {"id": 0, "image_id": 3, "category_id": 4},
    {"id": 1, "image_id": 5, "category_id": 9},
    {"id": 2, "image_id": 7, "category_id": 9},
  ],
  "categories": [
    {"id": 9, "name": "a wren", "supercategory": "Aves"},
    {"id": 4, "supercategory": "Fungi"},
  ],
}


def test_json(tmp_path):
  listing = read(tmp_path, "train2018.json", json.dumps(NATURE))
  assert listing.paths == [i["file_name"] for i in NATURE["images"]]
  assert listing.labels.tolist() == [1, 0, 1]
  assert listing.categories == ("4", "a wren")
  assert listing.place(1) == (
    f"list {tmp_path}/train2018.json, image 1 (train_val2018/Fungi/4/y.jpg 0)"
  )


def without(part, place=None, key=None, **changed):
  copy = json.loads(json.dumps(NATURE))
  if place is None:
    del copy[part]
    return json.dumps(copy)
  if key is not None:
    del copy[part][place][key]
  copy[part][place].update(changed)
  return json.dumps(copy)


NO_LABEL = r"line {} \({}\): a path and an integer label are wanted"
NO_CELLS = r"line {} \({}\): a path and a label are wanted, with a comma"
NEEDS = r"an image needs id and file_name, .* \(KeyError: '{}'\)"
PARTS = "must have images, annotations and categories"


@pytest.mark.parametrize(
  ("name", "text", "expected"),
  [
    ("x.xlsx", "a.jpg\t0", "x.xlsx must end in .csv, .tsv, .txt, .json"),
    ("x.txt", "", "x.txt names no image"),
    ("x.csv", "path,label\n", "x.csv names no image"),
    ("x.txt", b"a\0 0\n", "x.txt is no text in UTF-8; save it as one"),
    ("x.txt", "a\0b.jpg 1\n", "x.txt is no text in UTF-8; save it as one"),
    ("x.txt", "a.jpg 0\nb.jpg\n", NO_LABEL.format(2, "b.jpg")),
    ("x.txt", "a.jpg cat\n", NO_LABEL.format(1, "a.jpg cat")),
    ("x.csv", "a.jpg|0\n", NO_CELLS.format(1, r"a.jpg\|0")),
    ("x.csv", "id,label,path\n1,0,a.jpg\n2,1\n", NO_CELLS.format(3, "2,1")),
    ("x.csv", "a.jpg,cat\nb.jpg,\n", "line 2: there is no label in it"),
    ("x.csv", "a.jpg,0\n ,1\n", "line 2: there is no path in it"),
    ("x.csv", "a.jpg,0\n" + "b" * 200_000 + ",1\n", "line 2: field larger"),
    ("x.json", "{", "x.json is not JSON: Expecting property name"),
    ("x.json", without("annotations"), PARTS),
    ("x.json", "[]", PARTS),
    ("x.json", without("images", 0, "file_name"), NEEDS.format("file_name")),
    ("x.json", without("images", 1, "id"), NEEDS.format("id")),
    ("x.json", without("categories", 1, "id"), NEEDS.format("id")),
    (
      "x.json",
      without("annotations", 1, "category_id"),
      NEEDS.format("category_id"),
    ),
    (
      "x.json",
      without("annotations", 1, category_id=8),
      "annotation 1: there is no category 8",
    ),
    (
      "x.json",
      without("annotations", 1, image_id=7),
      r"image 2 \(train_val2018/Aves/9/z.jpg\) has no annotation",
    ),
    (
      "x.json",
      without("annotations", 1, image_id=3),
      "annotation 1: image 3 has category 9, and 4 before",
    ),
  ],
)
def test_lists_that_cannot_be_understood(tmp_path, name, text, expected):
  with pytest.raises(InputError, match=expected):
    read(tmp_path, name, text)


def test_what_a_url_without_an_ending_holds(tmp_path, monkeypatch):
  monkeypatch.setenv("NO_PROXY", "*")
  monkeypatch.setenv("no_proxy", "*")
  (tmp_path / "served").mkdir()
  (tmp_path / "served/uc").write_text("a/1.jpg 0\n")
  (tmp_path / "served/nature").write_text(json.dumps(NATURE))
  (tmp_path / "served/x.csv").write_text("a/1.jpg,0\n")
  with official_archives.file_server(tmp_path / "served") as url:
    text, nature, table = (
      lists.read(f"{url}/{name}", tmp_path)
      for name in ("uc", "nature", "x.csv")
    )
  assert text.paths == table.paths == ["a/1.jpg"]
  assert text.folder is None
  assert text.name == f"list {url}/uc"
  assert nature.categories == ("4", "a wren")
