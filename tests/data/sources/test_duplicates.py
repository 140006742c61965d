# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
import os

import pytest

from etf_jax.data.sources import duplicates, folders
from etf_jax.errors import InputError


@pytest.fixture
def images(tmp_path):
  """Twelve files of one size and one other, all different."""

  def write(**content):
    for name, text in content.items():
      path = tmp_path / name.replace("__", "/").replace("_", ".")
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_bytes(text)
    return folders.scan(tmp_path)

  base = {
    f"train__{c}__{i}_jpg": b"%s%d" % (c.encode(), i)
    for c in "ab"
    for i in range(5)
  }
  base |= {
    "test__a__9_jpg": b"a9",
    "test__b__9_jpg": b"b9",
    "test__b__8_jpg": b"longer",
  }
  write(**base)
  return write


def test_nothing_is_found_where_all_differ(images, capsys):
  splits = images()
  assert duplicates.find(splits) == []
  duplicates.check(splits, action="error")
  assert capsys.readouterr().err == ""


def test_test_images_that_are_training_images(images, capsys):
  splits = images(
    test__a__9_jpg=b"a3", test__b__9_jpg=b"b0", test__b__8_jpg=b"b0"
  )
  (line,) = duplicates.find(splits)
  assert line == (
    "test images that are duplicates of training images: 3 of 3, such as "
    "test/a/9.jpg (train/a/3.jpg), test/b/8.jpg (train/b/0.jpg), "
    "test/b/9.jpg (train/b/0.jpg)"
  )
  duplicates.check(splits, action="warn")
  assert capsys.readouterr().err == f"warning: {line}\n"
  with pytest.raises(InputError) as error:
    duplicates.check(splits, action="error")
  assert str(error.value) == (
    f"config.data.duplicates='error': {line}; remove them, or set 'warn'"
  )
  duplicates.check(splits, action="allow")
  assert capsys.readouterr().err == ""


def test_one_image_in_two_classes(images):
  assert duplicates.find(images(train__b__4_jpg=b"a1")) == [
    "images that are duplicates of an image of another class: 2 of 13, such as "
    "train/a/1.jpg = train/b/4.jpg"
  ]


def test_the_first_five_are_named(images):
  found = {f"validation__a__{i}_jpg": b"a0" for i in range(7)}
  (line,) = duplicates.find(images(**found))
  assert line.startswith("validation images that are duplicates of training ")
  assert "7 of 7, such as validation/a/0.jpg (train/a/0.jpg), " in line
  assert line.endswith("validation/a/4.jpg (train/a/0.jpg) and 2 more")


def test_copies_within_a_class_and_a_split_are_no_fault(images):
  assert duplicates.find(images(train__a__5_jpg=b"a0")) == []


def test_files_of_one_size_are_read_whole_where_their_ends_agree(
  images, tmp_path, monkeypatch
):
  end = bytes(duplicates._TAIL_BYTES)
  splits = images(train__a__0_jpg=b"x" + end, test__a__9_jpg=b"y" + end)
  read = []
  digest = duplicates._digest
  monkeypatch.setattr(
    duplicates,
    "_digest",
    lambda path, last=None: read.append((path, last)) or digest(path, last),
  )
  assert duplicates.find(splits) == []
  whole = {os.path.relpath(path, tmp_path) for path, last in read if not last}
  assert whole == {"train/a/0.jpg", "test/a/9.jpg"}


def test_digests_of_many_images_are_kept(images, tmp_path, monkeypatch):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  monkeypatch.setattr(duplicates, "_KEPT_FROM", 3)
  splits = images(test__a__9_jpg=b"a3")
  first = duplicates.find(splits)
  assert len(first) == 1
  (kept,) = (tmp_path / "cache/etf_jax/duplicates").iterdir()
  digest = duplicates._digest
  monkeypatch.setattr(duplicates, "_digest", lambda path: 1 / 0)
  assert duplicates.find(splits) == first
  kept.write_text("{damaged")
  monkeypatch.setattr(duplicates, "_digest", digest)
  assert duplicates.find(splits) == first
  # A file that has changed since is read again.
  path = tmp_path / "test/a/9.jpg"
  path.write_bytes(b"a7")
  os.utime(path, (1, 1))
  assert duplicates.find(splits) == []


def test_an_unknown_action():
  with pytest.raises(InputError, match=r"config\.data\.duplicates='warm'"):
    duplicates.check({}, action="warm")
