# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
import os
import pathlib
import pickle

import numpy as np
from planted import contents, plant
import pytest

from etf_jax.data.sources import folders
from etf_jax.errors import InputError


def message(directory: pathlib.Path) -> str:
  with pytest.raises(InputError) as error:
    folders.scan(directory)
  return str(error.value)


@pytest.fixture
def animals(tmp_path):
  return plant(
    tmp_path,
    *("train/dog/2.png", "train/dog/10.jpg", "train/Cat/b.JPEG"),
    *("train/ant/deep/er/1.jpg", "train/ant/z.webp"),
    *("val/dog/1.png", "val/ant/1.png"),
    *("test/Cat/1.bmp", "test/Cat/2.bmp"),
  )


def test_splits_classes_and_images_in_sorted_order(animals, capsys):
  splits = folders.scan(animals)
  assert list(splits) == ["train", "validation", "test"]
  # Capitals come first, as in torchvision.
  names = ("Cat", "ant", "dog")
  assert all(source.class_names == names for source in splits.values())
  assert contents(splits["train"]) == [
    "train/Cat/b.JPEG",
    "train/ant/z.webp",
    "train/ant/deep/er/1.jpg",
    "train/dog/10.jpg",
    "train/dog/2.png",
  ]
  assert splits["train"].labels.dtype == np.int32
  assert splits["train"].labels.tolist() == [0, 1, 1, 2, 2]
  assert contents(splits["validation"]) == ["val/ant/1.png", "val/dog/1.png"]
  assert splits["validation"].labels.tolist() == [1, 2]
  assert splits["test"].labels.tolist() == [0, 0]
  assert capsys.readouterr().err == ""


def test_a_source_travels_and_names_its_files(animals, monkeypatch):
  monkeypatch.chdir(animals.parent)
  source = folders.scan(animals.name)["train"]
  monkeypatch.chdir("/")
  copy = pickle.loads(pickle.dumps(source))
  assert contents(copy) == contents(source)
  assert copy.describe(np.int64(3)) == str(animals / "train/dog/10.jpg")
  assert copy.class_names == source.class_names


def test_names_that_are_not_ascii(tmp_path):
  odd = os.fsdecode(b"train/caf\xc3\xa9/\xff.jpg")  # the latter is no UTF-8
  plant(tmp_path, "train/bar/1.jpg", "test/bar/1.jpg", "train/café/日本.png")
  (tmp_path / odd).write_bytes(b"odd")
  source = folders.scan(tmp_path)["train"]
  assert source.class_names == ("bar", "café")
  assert source.read(1).decode() == "train/café/日本.png"
  assert source.read(2) == b"odd"


def test_what_is_no_image_is_reported_once_a_kind(animals, capsys):
  plant(
    animals,
    *("train/notes.txt", "train/dog/.DS_Store", "test/Cat/.hidden/1.jpg"),
    *("train/dog/readme", "train/dog/list.csv", "val/dog/deep/movie.mp4"),
    "train/.git/1.jpg",
  )
  (animals / "train/dog/gone.jpg").symlink_to("nowhere.jpg")
  (animals / "train/dog/self").symlink_to("self")
  (animals / "train/dog/self.jpg").symlink_to("self.jpg")
  splits = folders.scan(animals)
  assert [len(s.labels) for s in splits.values()] == [5, 2, 2]
  assert set(capsys.readouterr().err.splitlines()) == {
    f"{animals}: hidden files and folders are left out: 3, such as train/.git",
    f"{animals}: files without the suffix of an image are left out: 4, such as "
    "train/dog/list.csv",
    f"{animals}: broken links and other things that are no files are left out: "
    "2, such as train/dog/gone.jpg",
    f"{animals}: files outside a class folder are left out: 1, such as "
    "train/notes.txt",
  }


def test_links_are_followed(tmp_path):
  plant(tmp_path / "elsewhere", "1.jpg", "2.jpg")
  plant(tmp_path / "set", "train/a/1.jpg", "train/b/1.jpg", "test/a/1.jpg")
  (tmp_path / "set/train/c").symlink_to(tmp_path / "elsewhere")
  (tmp_path / "set/train/a/3.jpg").symlink_to(tmp_path / "elsewhere/2.jpg")
  source = folders.scan(tmp_path / "set")["train"]
  assert contents(source) == [
    *("train/a/1.jpg", "2.jpg", "train/b/1.jpg", "1.jpg", "2.jpg")
  ]
  assert source.labels.tolist() == [0, 0, 1, 2, 2]


@pytest.mark.parametrize("link", ["train", "train/c", "train/a/2.jpg"])
def test_links_out_of_the_folder(tmp_path, link):
  plant(tmp_path / "elsewhere", "a/1.jpg", "b/1.jpg", "c.jpg")
  plant(tmp_path / "set", "test/a/1.jpg", "test/b/1.jpg")
  path = tmp_path / "set" / link
  if link != "train":
    plant(tmp_path / "set", "train/a/1.jpg", "train/b/1.jpg")
    (tmp_path / "set/train/inside").symlink_to(tmp_path / "set/test/b")
  path.symlink_to(tmp_path / "elsewhere" / ("c.jpg" if "2" in link else ""))
  line = f"{path} is a link .* out of {tmp_path}/set; .*follow_links=True"
  with pytest.raises(InputError, match=line):
    folders.scan(tmp_path / "set", follow_links=False)
  folders.scan(tmp_path / "set")
  path.unlink()


def test_a_link_that_leads_in_circles(animals):
  (animals / "train/ant/deep/er/up").symlink_to(animals / "train/ant")
  assert message(animals) == (
    f"{animals}/train/ant/deep/er/up is a link to a folder above it; remove it"
  )


def test_an_empty_class_is_left_out_and_named(animals, capsys):
  plant(animals, "train/bee/notes.txt", "train/elk/", "test/elk/", "test/gnu/")
  splits = folders.scan(animals)
  assert splits["train"].class_names == ("Cat", "ant", "dog")
  assert splits["test"].labels.tolist() == [0, 0]
  assert (
    f"{animals}: classes without a training image are left out: "
    "train/bee, train/elk"
  ) in capsys.readouterr().err.splitlines()


@pytest.mark.parametrize("empty", ["train/elk/", "train/fox/"])
def test_a_test_class_without_training_images(animals, empty):
  plant(animals, "test/elk/1.jpg", empty)
  line = f"{animals}/test/elk is a class without an image in {animals}/train; "
  assert message(animals).startswith(line)


def test_a_misspelt_class_of_a_split(animals):
  plant(animals, "val/dogs/1.jpg")
  assert f"{animals}/val/dogs is a class without an image" in message(animals)
  assert message(animals).endswith("; did you mean 'dog'?")


def test_validation_stands_in_for_a_missing_test_split(tmp_path, capsys):
  plant(tmp_path, "train/a/1.png", "train/b/1.png", "valid/b/2.png")
  splits = folders.scan(tmp_path)
  assert list(splits) == ["train", "test"]
  assert contents(splits["test"]) == ["valid/b/2.png"]
  assert capsys.readouterr().err == (
    f"{tmp_path} has no folder 'test': results are those on the images of "
    "'valid'\n"
  )


NO_TRAIN = "{0} has no folder 'train': images lie in .* its folders are "


@pytest.mark.parametrize(
  ("paths", "expected"),
  [
    (["cat/1.jpg", "dog/1.jpg", "readme.txt"], NO_TRAIN + "cat, dog$"),
    ([], NO_TRAIN + "none$"),
    ([f"n{k}/1.jpg" for k in range(8)], NO_TRAIN + "n0, .*, n4 and 3 more$"),
    (["train/cat/1.jpg"], "{0} has no folder 'test': .*train_list .*train$"),
    (
      ["train/cat/1.jpg", "val/cat/1.jpg", "validation/cat/1.jpg"],
      "{0} has 'validation' and 'val', which both .* split; leave one",
    ),
    (
      ["train/cat/1.jpg", "test/1.jpg"],
      "{0}/test holds no image: .*test/CLASS",
    ),
    (
      ["train/cat/1.txt", "test/cat/1.jpg"],
      "{0}/train holds no image: .*{0}/train/CLASS and end in .*.webp",
    ),
  ],
)
def test_other_layouts(tmp_path, paths, expected):
  with pytest.raises(InputError, match=expected.format(tmp_path)):
    folders.scan(plant(tmp_path, *paths))


def test_no_such_folder(tmp_path):
  plant(tmp_path, "file")
  rest = "; give the folder that holds train and test"
  for name, what in (("none", "does not exist"), ("file", "is not a folder")):
    path = tmp_path / name
    assert f"config.data.dir={path}: {what}{rest}" in message(path)


def test_a_file_that_went_away(animals):
  source = folders.scan(animals)["test"]
  path = animals / "test/Cat/2.bmp"
  path.unlink()
  with pytest.raises(InputError, match=rf"read {path} \(No such .*; restore"):
    source.read(1)


def test_a_folder_that_cannot_be_read(tmp_path):
  file = plant(tmp_path, "file") / "file"
  with pytest.raises(InputError, match=rf"read folder {file} \(Not a dir"):
    folders.read_folder(file)


def test_paths_of_many_files_are_small():
  # Twenty bytes a path, eight for its end and four for its label.
  count = 50_000
  source = folders.file_source(
    "/", [f"train/cat/{i:06d}.png" for i in range(count)], [0] * count, ["cat"]
  )
  assert len(pickle.dumps(source)) < count * (20 + 8 + 4) + 2_000
  assert source.describe(count - 1) == "/train/cat/049999.png"


def test_what_systems_leave_behind_is_neither_class_nor_image(tmp_path, capsys):
  plant(
    tmp_path,
    *("a/1.jpg", "a/2.jpg", "b/1.jpg", "a/._1.jpg", "a/@eaDir/1.jpg"),
    *("__MACOSX/a/1.jpg", ".ipynb_checkpoints/1-checkpoint.jpg", "notes.txt"),
  )
  splits = folders.scan(tmp_path, test_fraction=0.5)
  assert splits["train"].class_names == ("a", "b")
  assert sorted(contents(splits["train"]) + contents(splits["test"])) == [
    *("a/1.jpg", "a/2.jpg", "b/1.jpg")
  ]
  lines = capsys.readouterr().err.splitlines()
  assert (
    f"{tmp_path}: hidden files and folders are left out: 4, such as "
    + (".ipynb_checkpoints")
    in lines
  )


@pytest.mark.parametrize(
  ("wrong", "right"), [("Train", "train"), ("TEST", "test"), ("Val", "val")]
)
def test_a_split_folder_in_capitals(tmp_path, wrong, right):
  plant(tmp_path, f"{wrong}/a/1.jpg", f"{wrong}/b/1.jpg")
  line = f"has no folder {right!r} and has {wrong!r}; rename it to {right!r}"
  with pytest.raises(InputError, match=line):
    folders.scan(tmp_path, test_fraction=0.2)


def test_the_folder_above_the_classes(tmp_path):
  plant(tmp_path, "photos/a/1.jpg", "photos/b/1.jpg")
  line = f"one class, 'photos'; .*; give config.data.dir={tmp_path}/photos"
  with pytest.raises(InputError, match=line):
    folders.scan(tmp_path, test_fraction=0.2)


def test_a_class_may_be_called_train(tmp_path):
  plant(tmp_path, *(f"{c}/{i}.jpg" for c in ("bus", "train") for i in range(3)))
  splits = folders.scan(tmp_path, test_fraction=0.2)
  assert splits["train"].class_names == ("bus", "train")
  assert splits["train"].labels.tolist() == [0, 0, 1, 1]
