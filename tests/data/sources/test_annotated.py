# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Tiny ImageNet's layout: test images together, classified by a file."""

import dataclasses

import official_files
from planted import contents, message, plant
import pytest

from etf_jax.data import catalog, verify
from etf_jax.data.prepare import prepare
from etf_jax.data.sources import annotated, splits
from etf_jax.errors import InputError

FILE = "val/val_annotations.txt"


@pytest.fixture
def tiny(tmp_path):
  """Two classes, whose order in wnids.txt is another one."""
  plant(
    tmp_path,
    *("train/n02/images/n02_0.JPEG", "train/n01/images/n01_0.JPEG"),
    *("train/n01/images/n01_1.JPEG", "train/n01/n01_boxes.txt"),
    *("val/images/val_0.JPEG", "val/images/val_1.JPEG"),
    *("test/images/test_0.JPEG", "words.txt"),
  )
  (tmp_path / "wnids.txt").write_text("n02\nn01\n")
  text = "val_1.JPEG\tn01\t0\t32\t44\t62\nval_0.JPEG\tn02\t1\t2\t3\t4\n"
  (tmp_path / FILE).write_text(text)
  return tmp_path


def test_classes_are_those_of_the_training_folders(tiny):
  found = annotated.scan(tiny, FILE)
  assert list(found) == ["train", "test"]
  assert all(source.class_names == ("n01", "n02") for source in found.values())
  assert contents(found["train"]) == [
    *("train/n01/images/n01_0.JPEG", "train/n01/images/n01_1.JPEG"),
    "train/n02/images/n02_0.JPEG",
  ]
  assert found["train"].labels.tolist() == [0, 0, 1]
  assert contents(found["test"]) == [
    *("val/images/val_1.JPEG", "val/images/val_0.JPEG")
  ]
  assert found["test"].labels.tolist() == [0, 1]


@pytest.mark.parametrize(
  ("text", "expected"),
  [
    ("val_0.JPEG\tn02\nval_9.JPEG\tn01\n", "line 2 .*no such file.*; unpack"),
    ("val_9.JPEG\tn01\n", r"line 1 .*no such file in \S+; unpack the archive"),
    ("val_0.JPEG\tn03\n", "line 1 .*no training image of class 'n03'"),
    ("val_0.JPEG n02\n", "line 1: an image and a class .*; unpack"),
    ("val_0.JPEG\tn02\nval_0.JPEG\tn02\n", "line 2 .*leave one of them"),
    ("../../../secret.JPEG\tn02\n", "line 1 .*leads out of"),
  ],
)
def test_wrong_annotations_are_named(tiny, text, expected):
  (tiny / FILE).write_text(text)
  with pytest.raises(InputError, match=expected):
    annotated.scan(tiny, FILE)


def test_half_an_archive(tiny):
  (tiny / FILE).unlink()
  line = message(tiny, annotated.scan, tiny, FILE)
  assert line.startswith(f"config.data.dir=DIR: DIR/{FILE} cannot be read")
  assert line.endswith("give the folder of the whole archive")
  assert "train holds no image" in message(
    tiny, annotated.scan, plant(tiny / "other", "train/"), FILE
  )


def test_the_catalog_knows_the_layout(tiny, data_config, monkeypatch):
  info = catalog.lookup("tiny_imagenet")
  small = dataclasses.replace(info, num_classes=2, splits={"train": 3})
  monkeypatch.setitem(catalog.DATASETS, "tiny_imagenet", small)
  config = data_config("tiny_imagenet", None, dir=str(tiny))
  assert splits.open_splits(config).test.labels.tolist() == [0, 1]
  for number, path in enumerate(tiny.rglob("*.JPEG")):
    path.write_bytes(official_files.photograph(number))
  report = verify.verify("tiny_imagenet", tiny)
  assert report.problems == ()
  assert report.lines[1].startswith("train: 3 images, 1 to 2 in a class")
  line = message(tiny, prepare.prepare, "tiny_imagenet", tiny)
  assert "tiny-imagenet-200.zip (see http://cs231n" in line
  assert line.endswith("unpack it into DIR, and give config.data.dir=DIR")


def test_imagenette_in_folders(tmp_path, data_config):
  names = [f"n{k:08}" for k in range(10)]
  plant(tmp_path, *(f"{s}/{n}/1.JPEG" for s in ("train", "val") for n in names))
  for size in ("", "_320", "_160"):
    config = data_config(f"imagenette{size}", None, dir=str(tmp_path))
    opened = splits.open_splits(config)
    assert opened.test.labels.tolist() == list(range(10))
    assert contents(opened.test)[9] == "val/n00000009/1.JPEG"
