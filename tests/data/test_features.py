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


class Trap:
  """An object that writes a file where it is unpickled."""

  def __init__(self, path):
    self.path = path

  def __reduce__(self):
    return open, (str(self.path), "w")


def write_table(path, **columns):
  pyarrow = pytest.importorskip("pyarrow")
  parquet = pytest.importorskip("pyarrow.parquet")
  parquet.write_table(pyarrow.table(columns), path)


def truncate(path):
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


ROWS = X.tolist()


@pytest.mark.parametrize(
  ("name", "write", "message"),
  [
    (
      "x.npz",
      lambda p: np.savez(p, x=np.where(X[7, 1] == X, np.inf, X), y=Y),
      "has NaN or infinity; remove it",
    ),
    (
      "x.npz",
      lambda p: np.savez(p, x=X, y=np.zeros(40, int)),
      "all labels are ['0']; give two classes or more",
    ),
    (
      "x.npz",
      lambda p: np.savez(p, x=np.array([Trap(p.with_name("trap"))]), y=Y[:1]),
      "Object arrays cannot be loaded when allow_pickle=False",
    ),
    (
      "x.npz",
      lambda p: (np.savez(p, x=X, y=Y), truncate(p)),
      "cannot be read (File is not a zip file); write it again",
    ),
    (
      "x.parquet",
      lambda p: write_table(p, x=[*ROWS[:-1], ROWS[-1][:3]], y=Y),
      "rows of different lengths in x; give one width",
    ),
    (
      "x.parquet",
      lambda p: write_table(p, x=[*ROWS[:-1], None], y=Y),
      "cannot be read (",
    ),
    (
      "x.parquet",
      lambda p: write_table(p, x=ROWS, species=Y),
      "has no column y or label or class; name the column of labels",
    ),
    (
      "x.parquet",
      lambda p: write_table(p, a=["red"] * 40, y=Y),
      "cannot be read (could not convert",
    ),
    (
      "x.parquet",
      lambda p: (write_table(p, x=ROWS, y=Y), truncate(p)),
      "cannot be read (",
    ),
  ],
)
def test_bad_input_is_one_line(tmp_path, name, write, message):
  path = tmp_path / name
  write(path)
  with pytest.raises(InputError) as caught:
    opened(path)
  line = str(caught.value)
  assert line.startswith(f"config.data.dir={path}: ")
  assert message in line
  assert "; " in line
  assert "\n" not in line
  assert not (tmp_path / "trap").exists()


def test_what_is_no_file_of_features(tmp_path, npz):
  for name, content in (("a.npz", npz.read_bytes()[:99]), ("b.txt", b"")):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=r"config\.data\.dir="):
      opened(tmp_path / name)
  with pytest.raises(InputError, match="set it to"):
    features.open_files(None, test_fraction=0.2, seed=0)
