# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Files of features: kinds, the share to test on, and bad input."""

import zipfile

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


def arrays(**columns):
  return "x.npz", lambda path: np.savez(path, **columns)


def table(**columns):
  return "x.parquet", lambda path: write_table(path, **columns)


def listed(lines, rows=X):
  """Features in .npy, and a CSV of labels beside them."""

  def write(path):
    np.save(path, rows)
    path.with_suffix(".csv").write_text(lines)

  return "x.npy", write


def spoiled(value):
  return np.where(X[7, 1] == X, value, X.astype(float))


@pytest.mark.parametrize(
  ("file", "message"),
  [
    (arrays(x=spoiled(np.nan), y=Y), "row 7 of x has NaN, infinity or"),
    (arrays(x=spoiled(np.inf), y=Y), "row 7 of x has NaN, infinity or"),
    (arrays(x=spoiled(1e200), y=Y), "row 7 of x has NaN, inf"),
    (arrays(x=X[:, 0], y=Y), "x is float32 of shape (40,); give numbers [rows"),
    (arrays(x=X[:, :0], y=Y), "of shape (40, 0); give numbers [rows"),
    (arrays(x=X[:0], y=Y[:0]), "of shape (0, 5); give numbers [rows"),
    (arrays(x=X + 1j, y=Y), "x is complex64 of shape"),
    (arrays(x=X.astype(str), y=Y), "give numbers [rows, features]"),
    (arrays(x=X, y=Y[:-1]), "40 rows and 39 labels; give a label for each"),
    (arrays(x=X, y=[*Y, *Y]), "40 rows and 80 labels; give a label for each"),
    (arrays(x=X, y=np.zeros(40, int)), "all labels are '0'; give two classes"),
    (
      arrays(x=X, y=np.eye(40)),
      "y is float64 of shape (40, 40); give a number",
    ),
    (arrays(x=X, y=[*Y[:-1], ""]), "row 39 of y has no label; give one"),
    (arrays(x=X, y=[*[0] * 39, np.nan]), "row 39 of y has no label; give one"),
    (arrays(x=X, y=[*[0] * 39, 0.5]), "y has fractions; give classes as whole"),
    (arrays(x=X), "has no labels; give y in .npz, a column y, label or class"),
    (arrays(a=X), "holds a; give x and y, or train_x"),
    (arrays(train_x=X, train_y=Y), "has no test_x; give x and y, or"),
    (
      arrays(train_x=X, train_y=Y, test_x=X[:0], test_y=Y[:0]),
      "test_x is float32 of shape (0, 5); give numbers",
    ),
    (
      arrays(train_x=X, train_y=Y, test_x=X[:, :4], test_y=Y),
      "rows of [4, 5] features; give one width",
    ),
    (
      arrays(train_x=X, train_y=Y, test_x=X, test_y=["8"] * 40),
      "class '8' has no training rows; add some",
    ),
    (
      ("x.npz", lambda p: np.savez(p, x=[Trap(p.with_name("trap"))], y=Y[:1])),
      "Object arrays cannot be loaded when allow_pickle=False",
    ),
    (
      ("x.npz", lambda p: (np.savez(p, x=X, y=Y), truncate(p))),
      "cannot be read (File is not a zip file); write it again",
    ),
    (
      ("x.npz", lambda p: zipfile.ZipFile(p, "w").writestr("x.npy", b"text")),
      "x is bytes of shape (); give numbers",
    ),
    (("x.npz", lambda p: p.write_bytes(b"")), "cannot be read ("),
    (("x.npz", lambda p: None), "there is no such file; correct the path"),
    (("x.txt", lambda p: p.write_text("1")), "is no .npz, .npy or .parquet"),
    (listed("label\n" + "a\n" * 39 + ",b\n"), "row 39 of y has no label"),
    (listed("species\na\n"), "has no column y or label or class; name the"),
    (listed("", X.astype(object)), "cannot be read ("),
    (
      table(x=[*ROWS[:-1], ROWS[-1][:3]], y=Y),
      "rows of different lengths in x, as row 39; give one width",
    ),
    (
      table(x=[*ROWS[:-1], None], y=Y),
      "rows of different lengths in x, as row",
    ),
    (
      table(x=[*ROWS[:-1], [None, *ROWS[0][1:]]], y=Y),
      "row 39 of x has NaN, infinity or",
    ),
    (table(x=X[:, 0], y=Y), "x is float; give lists of numbers"),
    (table(x=[["a", "b"]] * 40, y=Y), "give lists of numbers"),
    (table(x=ROWS, species=Y), "has no labels; give y in .npz, a column y"),
    (table(x=ROWS, y=[*Y[:-1].tolist(), None]), "row 39 of y has no label"),
    (table(a=X[:, 0], b=["red"] * 40, y=Y), "column b is string; give columns"),
    (table(y=Y), "column x is absent; give columns of numbers"),
    (
      ("x.parquet", lambda p: (write_table(p, x=ROWS, y=Y), truncate(p))),
      "cannot be read (",
    ),
  ],
)
def test_bad_input_is_one_line(tmp_path, file, message):
  name, write = file
  path = tmp_path / name
  write(path)
  with pytest.raises(InputError) as caught:
    opened(path)
  line = str(caught.value)
  assert line.startswith(f"config.data.dir={path.with_suffix('')}.")
  assert message in line
  assert "; " in line
  assert "\n" not in line
  assert not (tmp_path / "trap").exists()


def test_no_place_of_features():
  with pytest.raises(InputError, match="set it to"):
    features.open_files(None, test_fraction=0.2, seed=0)


@pytest.mark.parametrize(
  ("labels", "names"),
  [
    (np.repeat([-1, 0, 2], [20, 15, 5]), ("-1", "0", "2")),
    (np.repeat([0.0, 1.0], 20), ("0", "1")),
    (np.repeat([b"a", b"b"], 20), ("a", "b")),
    (np.repeat([True, False], 20), ("False", "True")),
  ],
)
def test_labels_of_many_kinds(tmp_path, labels, names):
  np.savez(tmp_path / "x.npz", x=X, y=labels)
  assert opened(tmp_path / "x.npz")["train"].class_names == names


def test_numbers_of_16_bits_stay_so(tmp_path):
  np.savez(tmp_path / "x.npz", x=X.astype(np.float16), y=Y)
  np.savez(tmp_path / "i.npz", x=(100 * X).astype(int), y=Y)
  for name, kind in (("x", np.float16), ("i", np.float32)):
    found = data.load(config(tmp_path / f"{name}.npz"))
    assert found.train.images.dtype == kind
