# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
import dataclasses
import io
import json
import pathlib
import pickle
import shutil
import subprocess
import sys

import numpy as np
from PIL import Image
import pytest
from sklearn.datasets import load_digits
import tensorflow_datasets as tfds

from etf_jax import data
from etf_jax.data import catalog
from etf_jax.data.sources import choose
from etf_jax.data.sources import prepared as sources
from etf_jax.errors import InputError


class MislabelledImages(tfds.core.GeneratorBasedBuilder):
  """Labels 0, 1, 7, 2, which a builder of other people's making may hold."""

  VERSION = tfds.core.Version("1.0.0")

  def _info(self):
    return tfds.core.DatasetInfo(
      builder=self,
      features=tfds.features.FeaturesDict(
        {
          "image": tfds.features.Image(shape=(2, 2, 1)),
          "label": tfds.features.Scalar(np.int64),
        }
      ),
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager):
    return {"train": self._generate_examples()}

  def _generate_examples(self):
    for key, label in enumerate((0, 1, 7, 2)):
      buffer = io.BytesIO()
      Image.new("L", (2, 2)).save(buffer, format="PNG")
      buffer.seek(0)
      yield key, {"image": buffer, "label": label}


def test_cifar_records_follow_their_ids(official):
  contents = official.contents["cifar100"]
  builder = sources.make_builder("cifar100", official.data_dir)
  source = sources.open_prepared(builder, "train", catalog.lookup("cifar100"))
  order = [int(name.removeprefix("train_")) for name in source.file_names]
  for place in (0, 7, len(order) - 1):
    with Image.open(io.BytesIO(source.read(place))) as image:
      expected = contents.train_images[order[place]]
      np.testing.assert_array_equal(np.asarray(image), expected)
  np.testing.assert_array_equal(source.labels, contents.train_labels[order])
  assert source.describe(7) == (
    f"record 7 ({source.file_names[7]}) of split 'train' in {builder.data_dir}"
  )


def test_a_choice_of_a_source_is_a_source(digits_dir):
  builder = sources.make_builder("digits", digits_dir)
  source = sources.open_prepared(builder, "test", catalog.lookup("digits"))
  chosen = pickle.loads(pickle.dumps(choose(source, np.array([9, 2]))))
  np.testing.assert_array_equal(chosen.labels, source.labels[[9, 2]])
  assert chosen.class_names == source.class_names
  assert [chosen.read(0), chosen.read(1)] == [source.read(9), source.read(2)]
  assert chosen.describe(0) == source.describe(9)


def test_labels_of_photographs_are_kept_beside_the_data(digits_dir, tmp_path):
  shutil.copytree(digits_dir, tmp_path, dirs_exist_ok=True)
  builder = sources.make_builder("digits", tmp_path)
  held, lazy = (
    catalog.lookup("digits"),
    dataclasses.replace(catalog.lookup("digits"), image_shape=None),
  )
  expected = sources.open_prepared(builder, "train", held)
  index = pathlib.Path(builder.data_dir, ".etf_jax-train.npz")
  assert not index.exists()
  for _ in range(2):
    source = sources.open_prepared(builder, "train", lazy)
    assert index.exists()
    assert source.encoded_images is None
    np.testing.assert_array_equal(source.labels, expected.labels)
    np.testing.assert_array_equal(source.file_names, expected.file_names)
    copy = pickle.loads(pickle.dumps(source))
    assert copy.read(1441) == expected.read(1441)
  # One that is damaged, or of other data, is made again.
  index.write_bytes(index.read_bytes()[:100])
  sources.open_prepared(builder, "train", lazy)
  shutil.copy(index, index.with_name(".etf_jax-test.npz"))
  assert len(sources.open_prepared(builder, "test", lazy).labels) == 355


def test_digits_are_scikit_learns(digits_dir, data_config):
  dataset = data.load(data_config("digits", digits_dir))
  digits = load_digits()
  place = np.empty(1797, int)
  for k in range(10):
    members = np.flatnonzero(digits.target == k)
    place[members] = np.arange(1, len(members) + 1)
  is_test = place % 5 == 0
  for split, members in ((dataset.train, ~is_test), (dataset.test, is_test)):
    # 16 levels on 0..255: rounding back finds each of them.
    np.testing.assert_array_equal(
      np.rint(split.images[..., 0] * (16 / 255)), digits.images[members]
    )
    np.testing.assert_array_equal(split.labels, digits.target[members])
  assert (len(dataset.train.labels), len(dataset.test.labels)) == (1442, 355)
  assert dataset.train.images.max() == 255
  assert dataset.class_names == tuple("0123456789")
  source = sources.make_builder("digits", digits_dir).as_data_source("test")
  assert source[0]["id"] == f"digit_{np.flatnonzero(is_test)[0]:04d}".encode()


@pytest.mark.slow
def test_long_tail_and_validation_of_digits(digits_dir, data_config):
  def load(**fields):
    return data.load(data_config("digits", digits_dir, **fields))

  tail = {"profile": "exponential", "validation_fraction": 0.2}
  whole = load()
  small, large = (load(**tail, imbalance=ratio) for ratio in (0.05, 0.5))
  # A fifth of each class, before the cut and whatever the imbalance.
  np.testing.assert_array_equal(
    np.bincount(small.validation.labels), whole.class_counts // 5
  )
  np.testing.assert_array_equal(
    small.validation.images, large.validation.images
  )
  # Largest class: (1442 - 284) // 10 = 115.
  expected = np.floor(115 * 0.05 ** (np.arange(10) / 9))
  np.testing.assert_array_equal(small.class_counts, expected)
  np.testing.assert_array_equal(np.bincount(small.train.labels), expected)
  np.testing.assert_array_equal(small.test.images, whole.test.images)

  def examples(split):
    return {image.tobytes() for image in split.images}

  assert examples(small.train) < examples(large.train)
  assert not examples(large.train) & examples(large.validation)
  other = load(**tail, imbalance=0.05, seed=1)
  assert examples(other.train) != examples(small.train)
  np.testing.assert_array_equal(other.class_counts, expected)


def test_missing_data_names_the_command(tmp_path, data_config):
  config = data_config("cifar10", tmp_path, manual_dir="/data/my archives")
  with pytest.raises(InputError) as error:
    data.load(config)
  line = str(error.value)
  assert f"cifar10 is not prepared in {tmp_path}/cifar10/3.0.2; prepare" in line
  assert line.endswith(
    f"--data_dir={tmp_path} '--manual_dir=/data/my archives'"
  )


@pytest.mark.slow
def test_loading_prepares_missing_data_without_tensorflow(tmp_path):
  program = """
import sys
from etf_jax import data
from etf_jax.configs import base
config = base.get_config().data
config.data_dir, config.profile = sys.argv[1], "none"
dataset = data.load(config)
assert len(dataset.train.labels) == 1442
assert "tensorflow" not in sys.modules
"""
  done = subprocess.run(
    [sys.executable, "-c", program, tmp_path],
    cwd=pathlib.Path(__file__).parents[3],
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  assert "digits is ready in" in done.stdout


def test_label_outside_the_classes_is_named(tmp_path):
  builder = MislabelledImages(data_dir=tmp_path)
  builder.download_and_prepare(file_format=sources.FILE_FORMAT)
  info = dataclasses.replace(
    catalog.lookup("digits"), num_classes=3, file_key=None
  )
  line = rf"record 2 of split 'train' in {tmp_path}/.* has label 7, outside 0"
  with pytest.raises(InputError, match=line):
    sources.open_prepared(builder, "train", info)


def test_data_in_a_format_without_random_access(digits_dir, tmp_path):
  prepared = tmp_path / "scikit_digits" / "1.0.0"
  shutil.copytree(digits_dir / "scikit_digits" / "1.0.0", prepared)
  path = prepared / "dataset_info.json"
  info = json.loads(path.read_text())
  path.write_text(json.dumps(info | {"fileFormat": "tfrecord"}))
  for shard in prepared.glob("*array_record*"):
    shard.rename(
      shard.with_name(shard.name.replace("array_record", "tfrecord"))
    )
  line = f"{prepared} is prepared as tfrecord, .* reads array_record; give"
  with pytest.raises(InputError, match=line):
    sources.is_prepared(sources.make_builder("digits", tmp_path))
