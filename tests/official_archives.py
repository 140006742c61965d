# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Small archives in the official formats, for the stock TFDS builders.

    contents = official_archives.write_cifar10(directory, per_class=4)
    official_archives.prepare(
      ["cifar10"], data_dir=data_dir, manual_dir=directory)

The builders are the real ones. Only the size and the sha256 that they have
registered for an archive are replaced by those of the archive written here.
"""

from collections.abc import Iterator, Mapping, Sequence
import contextlib
import dataclasses
import gzip
import hashlib
import http.server
import io
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import threading

import numpy as np

from etf_jax.data import catalog

_REPOSITORY = pathlib.Path(__file__).parents[1]

# Runs in its own process: preparing imports TensorFlow, whose warnings would
# be errors here, and the replaced checksums die with it.
_DRIVER = """
import json, sys
import tensorflow_datasets as tfds
from etf_jax import prepare
registered, commands = json.loads(sys.argv[1])
for builder, archives in registered.items():
  url_infos = tfds.builder_cls(builder).url_infos
  for url, (size, sha256) in archives.items():
    url_infos[url].size, url_infos[url].checksum = size, sha256
sys.exit(max(prepare.main(command) for command in commands))
"""


@dataclasses.dataclass(frozen=True)
class Contents:
  """What was put into an archive, in the archive's order."""

  train_images: np.ndarray
  train_labels: np.ndarray
  test_images: np.ndarray
  test_labels: np.ndarray
  class_names: tuple[str, ...]


def write_cifar10(directory: pathlib.Path, *, per_class: int) -> Contents:
  """Writes cifar-10-binary.tar.gz: five training batches and a test batch."""
  contents = _random_contents(10, per_class, "class{}")
  batches = {}
  for number, members in enumerate(
    np.array_split(np.arange(len(contents.train_labels)), 5), start=1
  ):
    batches[f"data_batch_{number}.bin"] = _cifar_bytes(
      contents.train_images[members], contents.train_labels[members, None]
    )
  batches["test_batch.bin"] = _cifar_bytes(
    contents.test_images, contents.test_labels[:, None]
  )
  # The official file ends in an empty line.
  batches["batches.meta.txt"] = _lines(contents.class_names) + b"\n"
  _write_tar(
    directory / "cifar-10-binary.tar.gz", "cifar-10-batches-bin", batches
  )
  return contents


def write_cifar100(directory: pathlib.Path, *, per_class: int) -> Contents:
  """Writes cifar-100-binary.tar.gz, with coarse labels that differ."""
  contents = _random_contents(100, per_class, "fine{}")
  files = {
    "fine_label_names.txt": _lines(contents.class_names),
    "coarse_label_names.txt": _lines([f"coarse{k}" for k in range(20)]),
  }
  for split in ("train", "test"):
    fine = getattr(contents, f"{split}_labels")
    files[f"{split}.bin"] = _cifar_bytes(
      getattr(contents, f"{split}_images"),
      np.stack([fine % 20, fine], axis=1),
    )
  _write_tar(directory / "cifar-100-binary.tar.gz", "cifar-100-binary", files)
  return contents


def write_fashion_mnist(directory: pathlib.Path) -> Contents:
  """Writes the four idx files, full size: the builder insists on it.

  Image i is blank but for three pixels that spell i, and has label 7 i mod 10.
  """
  splits = {}
  for split, prefix, size in (
    ("train", "train", 60_000),
    ("test", "t10k", 10_000),
  ):
    index = np.arange(size)
    images = np.zeros((size, 28, 28, 1), np.uint8)
    for place in range(3):
      images[:, 14, place, 0] = index // 256**place % 256
    labels = index * 7 % 10
    splits[f"{split}_images"], splits[f"{split}_labels"] = images, labels
    # Magic number: two zeros, type uint8, number of axes; then the axes.
    _write_gzip(
      directory / f"{prefix}-images-idx3-ubyte.gz",
      b"\x00\x00\x08\x03" + _big_endian(size, 28, 28) + images.tobytes(),
    )
    _write_gzip(
      directory / f"{prefix}-labels-idx1-ubyte.gz",
      b"\x00\x00\x08\x01"
      + _big_endian(size)
      + labels.astype(np.uint8).tobytes(),
    )
  names = (
    "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,"
    "Ankle boot"
  )
  return Contents(**splits, class_names=tuple(names.split(",")))


def prepare(
  names: Sequence[str],
  *,
  data_dir: pathlib.Path,
  manual_dir: pathlib.Path,
  registered_dir: pathlib.Path | None = None,
  environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess:
  """Runs `python -m etf_jax.prepare` for each name, in one process.

  Args:
    names: Names in the catalog.
    data_dir: The command's --data_dir.
    manual_dir: The command's --manual_dir.
    registered_dir: Directory of the archives whose size and sha256 the builders
      are made to expect; None is manual_dir.
    environment: Variables to set besides those of this process.

  Returns:
    The finished process, with what it printed as text.
  """
  registered = {
    catalog.lookup(name).tfds_name: _measured(
      name, registered_dir or manual_dir
    )
    for name in names
  }
  commands = [
    [name, f"--data_dir={data_dir}", f"--manual_dir={manual_dir}"]
    for name in names
  ]
  return subprocess.run(
    [sys.executable, "-c", _DRIVER, json.dumps([registered, commands])],
    env=os.environ | {"PYTHONPATH": str(_REPOSITORY)} | dict(environment or {}),
    capture_output=True,
    text=True,
    check=False,
  )


def proxy(url: str) -> dict[str, str]:
  """The environment in which every request goes to this address."""
  names = ("http_proxy", "https_proxy")
  everywhere = {name: url for name in names + tuple(map(str.upper, names))}
  return everywhere | {"no_proxy": "", "NO_PROXY": ""}


@contextlib.contextmanager
def file_server(directory: pathlib.Path) -> Iterator[str]:
  """Serves files under their bare names, to whatever host they are asked of."""

  class Handler(http.server.SimpleHTTPRequestHandler):
    def translate_path(self, path: str) -> str:
      return str(directory / pathlib.PurePosixPath(path).name)

    def log_message(self, *args: object) -> None:
      del args  # Pytest's output is not a web server's log.

  server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
  thread = threading.Thread(target=server.serve_forever)
  thread.start()
  try:
    yield f"http://127.0.0.1:{server.server_port}"
  finally:
    server.shutdown()
    thread.join()
    server.server_close()


def _measured(name: str, directory: pathlib.Path) -> dict[str, tuple[int, str]]:
  measured = {}
  for url in catalog.lookup(name).archives:
    data = (directory / pathlib.PurePosixPath(url).name).read_bytes()
    measured[url] = (len(data), hashlib.sha256(data).hexdigest())
  return measured


def _random_contents(num_classes: int, per_class: int, name: str) -> Contents:
  rng = np.random.default_rng(num_classes)

  def split() -> tuple[np.ndarray, np.ndarray]:
    labels = rng.permutation(np.repeat(np.arange(num_classes), per_class))
    shape = (len(labels), 32, 32, 3)
    return rng.integers(0, 256, shape, dtype=np.uint8), labels

  train_images, train_labels = split()
  test_images, test_labels = split()
  names = tuple(name.format(k) for k in range(num_classes))
  return Contents(train_images, train_labels, test_images, test_labels, names)


def _cifar_bytes(images: np.ndarray, labels: np.ndarray) -> bytes:
  """Each record is its label bytes, then a red, a green and a blue plane."""
  planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
  return np.concatenate([labels.astype(np.uint8), planes], axis=1).tobytes()


def _lines(names: Sequence[str]) -> bytes:
  return "".join(f"{name}\n" for name in names).encode()


def _big_endian(*numbers: int) -> bytes:
  return b"".join(number.to_bytes(4, "big") for number in numbers)


def _write_gzip(path: pathlib.Path, data: bytes) -> None:
  path.write_bytes(gzip.compress(data, compresslevel=1))


def _write_tar(
  path: pathlib.Path, folder: str, files: Mapping[str, bytes]
) -> None:
  with tarfile.open(path, "w:gz", compresslevel=1) as tar:
    for name, data in files.items():
      member = tarfile.TarInfo(f"{folder}/{name}")
      member.size = len(data)
      tar.addfile(member, io.BytesIO(data))
