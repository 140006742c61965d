# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Files of features: kinds, the share to test on, and bad input."""

import numpy as np
import pytest

from etf_jax import data
from etf_jax.configs import base
from etf_jax.data.sources import features
from etf_jax.errors import InputError

X = np.random.default_rng(0).normal(2, 3, (40, 5)).astype(np.float32)
Y = np.repeat(["10", "9"], [30, 10])


def opened(path, **fields):
  return features.open_files(
    str(path), **{"test_fraction": 0.2, "seed": 0} | fields
  )


def config(path, **fields):
  c = base.get_config().data
  c.update(name="features", dir=str(path), profile="none", **fields)
  return c


@pytest.fixture
def npz(tmp_path):
  np.savez(tmp_path / "x.npz", x=X, y=Y)
  return tmp_path / "x.npz"


def test_a_share_of_each_class_is_held_back(npz):
  splits = opened(npz)
  # Numbers in their order, not that of words.
  assert splits["train"].class_names == ("9", "10")
  assert np.bincount(splits["train"].labels).tolist() == [8, 24]
  assert np.bincount(splits["test"].labels).tolist() == [2, 6]
  row = np.frombuffer(splits["test"].read(0), np.float32)
  assert (row == X).all(axis=1).sum() == 1


def test_kinds_of_files_agree(tmp_path):
  parquet = pytest.importorskip("pyarrow.parquet")
  pyarrow = pytest.importorskip("pyarrow")
  for kind in ("npy", "lists", "columns"):
    (tmp_path / kind).mkdir()
  for split, rows in (("train", slice(0, 40, 2)), ("test", slice(1, 40, 2))):
    x, y = X[rows], Y[rows]
    np.save(tmp_path / "npy" / f"{split}.npy", x)
    lines = "\n".join(["label", *y])
    (tmp_path / "npy" / f"{split}.csv").write_text(lines)
    table = pyarrow.table({"x": x.tolist(), "y": y})
    parquet.write_table(table, tmp_path / "lists" / f"{split}.parquet")
    columns = {f"f{i}": x[:, i] for i in range(5)} | {"label": y}
    table = pyarrow.table(columns)
    parquet.write_table(table, tmp_path / "columns" / f"{split}.parquet")
  for kind in ("npy", "lists", "columns"):
    found = opened(tmp_path / kind)
    np.testing.assert_array_equal(found["test"].features, X[1::2])
    np.testing.assert_array_equal(found["train"].labels, [1] * 15 + [0] * 5)
  mapped = opened(tmp_path / "npy")["train"].features
  assert isinstance(mapped, np.memmap)


@pytest.mark.parametrize("feed", ["resident", "stream"])
def test_load_cuts_the_tail_and_measures_the_training_rows(npz, feed):
  found = data.load(config(npz, feed=feed))
  assert found.class_counts.tolist() == [8, 24]
  assert found.image_shape == (1, 1, 5)
  chosen = found.train.choose(np.arange(32))
  assert chosen.images.dtype == np.float32
  rows = chosen.images.reshape(32, 5)
  mean, std = found.statistics
  np.testing.assert_allclose(mean, rows.mean(axis=0), rtol=1e-5)
  np.testing.assert_allclose(std, rows.std(axis=0), rtol=1e-5)


@pytest.mark.parametrize(
  ("arrays", "message"),
  [
    ({"x": np.where(X[7, 1] == X, np.nan, X), "y": Y}, "row .* NaN"),
    ({"x": X[:, 0], "y": Y}, r"x is float32 of shape \(40,\)"),
    ({"x": X, "y": Y[:-1]}, "rows and|index"),
    ({"x": X, "y": np.zeros(40, int)}, "two classes"),
    ({"x": X}, "give x and y"),
    ({"train_x": X, "train_y": Y}, "no test_x"),
    (
      {"train_x": X, "train_y": Y, "test_x": X[:, :4], "test_y": Y},
      "one width",
    ),
    ({"train_x": X, "train_y": Y, "test_x": X, "test_y": ["8"] * 40}, "'8'"),
    ({"x": X.astype(object), "y": Y}, "cannot be read"),
  ],
)
def test_bad_files_are_named(tmp_path, arrays, message):
  np.savez(tmp_path / "x.npz", **arrays)
  with pytest.raises(InputError, match=message):
    opened(tmp_path / "x.npz")


def test_what_is_no_file_of_features(tmp_path, npz):
  for name, content in (("a.npz", npz.read_bytes()[:99]), ("b.txt", b"")):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=r"config\.data\.dir="):
      opened(tmp_path / name)
  with pytest.raises(InputError, match="set it to"):
    features.open_files(None, test_fraction=0.2, seed=0)
