# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
import dataclasses

import numpy as np
import official_files
import pytest
from sklearn.datasets import load_digits

from etf_jax.data import catalog, verify
from etf_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Held:
  """A source in memory."""

  labels: np.ndarray
  class_names: tuple[str, ...]
  images: list[bytes]

  def read(self, index):
    return self.images[index]

  def describe(self, index):
    return f"image {index}"


def _facts(**fields):
  defaults = {"num_classes": 3, "image_shape": None, "splits": {}}
  return dataclasses.replace(catalog.lookup("cub200"), **(defaults | fields))


def _held(counts, height=10, width=14):
  labels = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
  images = [
    official_files.photograph(60_000 + i, height, width)
    for i in range(len(labels))
  ]
  return Held(labels, ("ant", "bee", "cat"), images)


def test_digits_are_as_published(digits_dir):
  report = verify.verify("digits", digits_dir)
  assert report.problems == ()
  labels = load_digits().target
  # Every fifth image of a class is a test image.
  total = np.bincount(labels)
  test, train = total // 5, total - total // 5
  assert report.lines == (
    f"digits in {digits_dir}/scikit_digits/1.0.0",
    f"train: 1,442 images, {train.min()} to {train.max()} in a class "
    f"(imbalance {train.min() / train.max():.3g}); classes with many, medium "
    "and few: 10, 0, 0",
    "  200 decoded: 8x8x1",
    f"test: 355 images, {test.min()} to {test.max()} in a class "
    f"(imbalance {test.min() / test.max():.3g}); classes with many, medium "
    "and few: 0, 10, 0",
    "  200 decoded: 8x8x1",
    "no problem was found",
  )


def test_shots_are_those_of_the_facts():
  source = _held([101, 100, 19])
  lines, problems = verify.check(source, "train", _facts(), sample=1)
  assert problems == []
  assert lines[0] == (
    "train: 220 images, 19 to 101 in a class (imbalance 0.188); classes with "
    "many, medium and few: 1, 1, 1"
  )
  lines, _ = verify.check(source, "train", _facts(shots=(101, 500)), sample=1)
  assert lines[0].endswith("many, medium and few: 0, 1, 2")


def test_sizes_of_photographs_are_told():
  small, large = _held([1, 1, 1]), _held([1, 1, 1], 20, 15)
  source = dataclasses.replace(
    small, images=[*small.images[:2], large.images[2]]
  )
  lines, problems = verify.check(source, "train", _facts())
  assert problems == []
  assert lines[1] == "  3 decoded: 10x14x3 to 20x15x3"


def test_corrupt_images_are_named():
  source = _held([2, 2, 2])
  source.images[1] = source.images[1][:40]
  source.images[4] = b"<html>"
  lines, (problem,) = verify.check(source, "train", _facts())
  assert "2 of 6 images of split 'train' that were tried cannot be" in problem
  assert "image 1: " in problem
  assert "image 4: " in problem
  assert lines[1].startswith("  4 decoded: ")


def test_an_image_of_another_shape_is_named():
  source = _held([1, 1, 1])
  source.images[2] = official_files.photograph(1, 11, 14)
  _, problems = verify.check(source, "test", _facts(image_shape=(10, 14, 3)))
  assert problems == [
    "1 of 3 images of split 'test' that were tried cannot be used (image 2: "
    "its shape is (11, 14, 3), not (10, 14, 3))"
  ]


def test_a_sample_finds_what_its_seed_draws():
  source = _held([100, 100, 100])
  source.images[:] = [b"broken"] * 150 + source.images[150:]

  def corrupt(seed):
    _, (problem,) = verify.check(
      source, "train", _facts(), sample=40, seed=seed
    )
    return int(problem.partition(" of 40 images")[0])

  assert corrupt(0) == corrupt(0)
  found = [corrupt(seed) for seed in range(10)]
  # 40 draws without replacement, half of them broken: deviation 2.9.
  assert len(set(found)) > 1
  assert 17 < np.mean(found) < 23


def test_labels_outside_and_classes_without_an_image():
  source = dataclasses.replace(
    _held([2, 2, 0]), labels=np.array([0, 0, 3, -1], np.int32)
  )
  _, problems = verify.check(source, "train", _facts())
  assert problems == [
    "image 2 has label 3, outside 0..2, as have 1 more",
    "split 'train' has no image of 2 of its 3 classes (1 'bee', 2 'cat')",
  ]


def test_of_many_empty_classes_five_are_named():
  source = dataclasses.replace(_held([3, 0, 0]), class_names=tuple("abcdefgh"))
  _, problems = verify.check(source, "train", _facts(num_classes=8))
  assert problems == [
    "split 'train' has no image of 7 of its 8 classes (1 'b', 2 'c', 3 'd', "
    "4 'e', 5 'f' and 2 more)"
  ]


def test_another_number_of_classes():
  _, problems = verify.check(_held([1, 1, 1]), "train", _facts(num_classes=2))
  assert problems[0] == "split 'train' names 3 classes, and there are 2"


def test_small_archives_are_not_taken_for_the_published_ones(official):
  report = verify.verify("svhn", official.data_dir)
  assert report.problems == (
    "split 'train' has 206 images, and 73,257 were published",
    "split 'extra' has 189 images, and 531,131 were published",
    "split 'test' has 30 images, and 26,032 were published",
  )
  assert report.lines[1].startswith("train+extra: 395 images, 17 to 42 in a")
  assert report.lines[-1] == "problems: 3"


def test_imagenet_lt_is_checked_by_its_lists(official, tmp_path, monkeypatch):
  files = official.contents["imagenet"].splits["train"]
  # Two images of the first ten classes and one of the others.
  chosen, seen = [], np.zeros(1000, int)
  for name, (_, label) in files.items():
    if seen[label] < (2 if label < 10 else 1):
      chosen.append(f"train/{name.split('_')[0]}/{name} {label}\n")
      seen[label] += 1
  (tmp_path / "train.txt").write_text("".join(chosen))
  info = dataclasses.replace(
    catalog.lookup("imagenet_lt"),
    splits={"train": 2002, "validation": 1000},
    lists={
      "train": str(tmp_path / "train.txt"),
      "validation": str(tmp_path / "nowhere.txt"),
      "test": str(tmp_path / "nowhere.txt"),
    },
  )
  monkeypatch.setitem(catalog.DATASETS, "imagenet_lt", info)
  report = verify.verify("imagenet_lt", official.data_dir, sample=20)
  assert [line.partition(";")[0] for line in report.lines[1:-1]] == [
    "train list: 1,010 images, 1 to 2 in a class (imbalance 0.5)",
    "  20 decoded: 10x14x3",
    f"validation list: not checked (list {tmp_path}/nowhere.txt does not exist",
    # The split that such a list would choose from, whole.
    "train: 2,002 images, 2 to 3 in a class (imbalance 0.667)",
    "  20 decoded: 10x14x3",
    f"test list: not checked (list {tmp_path}/nowhere.txt does not exist",
    "validation: 1,000 images, 0 to 5 in a class (imbalance 0)",
    "  20 decoded: 10x14x3",
  ]
  # Of the first 1,000 published labels some classes have none.
  assert len(report.problems) == 1
  assert report.problems[0].startswith("split 'validation' has no image of ")

  with (tmp_path / "train.txt").open("a") as file:
    file.write("train/n01440764/n01440764_999999.JPEG 0\n")
  problems = verify.verify("imagenet_lt", official.data_dir).problems
  assert "line 1011 (train/n01440764/n01440764_999999.JPEG 0)" in problems[0]


def test_folders(tmp_path, monkeypatch):
  info = dataclasses.replace(
    catalog.lookup("aircraft"),
    num_classes=2,
    splits={"train": 3, "validation": 2, "test": 2},
  )
  monkeypatch.setitem(catalog.DATASETS, "aircraft", info)
  for number, path in enumerate(
    (
      *("train/707/a.jpg", "train/707/b.jpg", "train/DC-3/c.jpg"),
      *("val/707/d.jpg", "val/DC-3/e.jpg"),
      *("test/707/f.jpg", "test/DC-3/g.jpg"),
    )
  ):
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(official_files.photograph(number))
  report = verify.verify("aircraft", tmp_path)
  assert report.problems == ()
  assert [line.partition(",")[0] for line in report.lines[1:-1:2]] == [
    *("train: 3 images", "validation: 2 images", "test: 2 images")
  ]
  (tmp_path / "test/DC-3/g.jpg").unlink()
  assert verify.verify("aircraft", tmp_path).problems == (
    "split 'test' has 1 images, and 2 were published",
    "split 'test' has no image of 1 of its 2 classes (1 'DC-3')",
  )


def test_folders_must_be_named():
  with pytest.raises(InputError, match=r"birdsnap has no .* with --data_dir"):
    verify.verify("birdsnap")


def test_what_is_not_prepared_cannot_be_verified(tmp_path):
  line = f"{tmp_path}/cifar100/3.0.2; run: python -m etf_jax.prepare cifar20"
  with pytest.raises(InputError, match=line):
    verify.verify("cifar20", tmp_path)
