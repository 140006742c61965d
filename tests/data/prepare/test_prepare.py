# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
import hashlib
import os
import pathlib
import shutil
import socket
import subprocess
import sys

import official_archives
import pytest

from etf_jax import data
from etf_jax.data import catalog
from etf_jax.data.prepare import prepare
from etf_jax.data.sources import prepared
from etf_jax.errors import InputError

pytestmark = pytest.mark.slow

_REPOSITORY = pathlib.Path(__file__).parents[3]
_CIFAR10_SHA256 = (
  "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
)


@pytest.fixture
def no_network(monkeypatch):
  """Every connection is refused at once."""
  with socket.create_server(("127.0.0.1", 0)) as server:
    port = server.getsockname()[1]
  for name, value in official_archives.proxy(
    f"http://127.0.0.1:{port}"
  ).items():
    monkeypatch.setenv(name, value)


def _start(program: str, *arguments: object) -> subprocess.Popen:
  return subprocess.Popen(
    [sys.executable, "-c", program, *map(str, arguments)],
    cwd=_REPOSITORY,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def test_prepares_once(tmp_path):
  first = prepare.prepare("digits", tmp_path)
  assert first == str(tmp_path / "scikit_digits" / "1.0.0")
  before = os.stat(f"{first}/dataset_info.json")
  assert prepare.prepare("digits", tmp_path) == first
  after = os.stat(f"{first}/dataset_info.json")
  assert (after.st_ino, after.st_mtime_ns) == (
    before.st_ino,
    before.st_mtime_ns,
  )


def test_nothing_temporary_is_left(official):
  left = {path.name for path in official.data_dir.iterdir()}
  builders = {catalog.lookup(name).tfds_name for name in official.contents}
  assert left == builders | {f".{name}.lock" for name in builders} | {
    "downloads"
  }
  assert {p.name for p in (official.data_dir / "cifar10").iterdir()} == {
    "3.0.2"
  }


def test_the_second_process_waits_for_the_first(tmp_path):
  program = """
import sys
from etf_jax.data.prepare import prepare
from etf_jax.data.prepare import digits
generate = digits.ScikitDigits._generate_examples
def wait_then_generate(self, test):
  print("holding", flush=True)
  sys.stdin.readline()
  return generate(self, test)
digits.ScikitDigits._generate_examples = wait_then_generate
prepare.prepare("digits", sys.argv[1])
"""
  first = subprocess.Popen(
    [sys.executable, "-c", program, tmp_path],
    cwd=_REPOSITORY,
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,
    text=True,
  )
  with first:
    while first.stdout.readline() != "holding\n":
      assert first.poll() is None
    second = _start(
      "import sys; from etf_jax.data.prepare import prepare; "
      "from etf_jax.runs import commands; commands.show_log(); "
      "print(prepare.prepare('digits', sys.argv[1]))",
      tmp_path,
    )
    assert second.stderr.readline() == (
      "waiting for another process that prepares scikit_digits\n"
    )
    first.communicate("\n\n")
    assert first.returncode == 0
  output, errors = second.communicate()
  assert second.returncode == 0, errors
  # It found the data, and did not make them again.
  assert output == f"{tmp_path}/scikit_digits/1.0.0\n"


def test_a_process_that_dies_half_way_leaves_nothing_prepared(
  tmp_path, data_config
):
  program = """
import os, signal, sys
from etf_jax.data.prepare import prepare
from etf_jax.data.prepare import digits
generate = digits.ScikitDigits._generate_examples
def die_half_way(self, test):
  for number, example in enumerate(generate(self, test)):
    if test and number == 200:
      os.kill(os.getpid(), signal.SIGKILL)
    yield example
digits.ScikitDigits._generate_examples = die_half_way
prepare.prepare("digits", sys.argv[1])
"""
  process = _start(program, tmp_path)
  process.communicate()
  assert process.returncode == -9
  assert list((tmp_path / "scikit_digits").iterdir())
  assert not prepared.is_prepared(prepared.make_builder("digits", tmp_path))
  prepare.prepare("digits", tmp_path)
  dataset = data.load(data_config("digits", tmp_path))
  assert (len(dataset.train.labels), len(dataset.test.labels)) == (1442, 355)


def test_a_directory_that_is_no_data_set(tmp_path):
  directory = tmp_path / "scikit_digits" / "1.0.0"
  directory.mkdir(parents=True)
  with pytest.raises(InputError, match=f"{directory} exists but .*; remove it"):
    prepare.prepare("digits", tmp_path)


def test_data_dir_that_cannot_be_written(tmp_path):
  (tmp_path / "file").touch()
  line = rf"data_dir {tmp_path}/file/tfds \(Not a directory\); .* --data_dir"
  with pytest.raises(InputError, match=line):
    prepare.prepare("digits", tmp_path / "file" / "tfds")


@pytest.mark.parametrize(
  ("name", "module", "called"),
  [
    ("cifar10", "tensorflow", "TensorFlow"),
    ("sun397", "cv2", "OpenCV"),
    ("svhn", "scipy", "SciPy"),
  ],
)
def test_a_missing_module_names_the_extra(
  name, module, called, tmp_path, monkeypatch
):
  monkeypatch.setitem(sys.modules, module, None)
  line = rf"preparing {name} needs {called} .*: pip install 'etf_jax\[prepare"
  with pytest.raises(InputError, match=line):
    prepare.prepare(name, tmp_path)


def test_manual_dir_that_does_not_exist(tmp_path):
  with pytest.raises(InputError, match=f"manual_dir {tmp_path}/nowhere is not"):
    prepare.prepare("cifar10", tmp_path, tmp_path / "nowhere")


def test_no_network_says_what_to_fetch(tmp_path, no_network):
  with pytest.raises(InputError) as error:
    prepare.prepare("cifar10", tmp_path)
  manual = tmp_path / "downloads" / "manual"
  assert str(error.value) == (
    "cifar10 cannot be downloaded (www.cs.toronto.edu: no connection, "
    "ProxyError); fetch elsewhere cifar-10-binary.tar.gz from "
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz (sha256 "
    f"{_CIFAR10_SHA256}); put what you fetched in {manual} and run: python -m "
    f"etf_jax.prepare cifar10 --data_dir={tmp_path} --manual_dir={manual}"
  )


def test_only_the_missing_archives_are_asked_for(
  official, tmp_path, no_network
):
  """Two of four files are downloaded already and one lies in manual_dir."""
  assert len(official.downloaded) == 2
  shutil.copytree(official.data_dir / "downloads", tmp_path / "downloads")
  manual = tmp_path / "manual"
  manual.mkdir()
  shutil.copy(official.archives / "train-labels-idx1-ubyte.gz", manual)
  done = official_archives.prepare(
    ["fashion_mnist"],
    data_dir=tmp_path,
    manual_dir=manual,
    registered_dir=official.archives,
  )
  missing = official.archives / "t10k-labels-idx1-ubyte.gz"
  sha256 = hashlib.sha256(missing.read_bytes()).hexdigest()
  assert (done.returncode, done.stderr.count("\n")) == (2, 1)
  assert f"elsewhere {missing.name} from http://fashion" in done.stderr
  assert f"(sha256 {sha256}); put what you fetched in {manual}" in done.stderr


def test_a_dead_address_is_reported(tmp_path, monkeypatch):
  with official_archives.file_server(tmp_path) as url:
    for name, value in official_archives.proxy(url).items():
      monkeypatch.setenv(name, value)
    with pytest.raises(InputError) as error:
      prepare.prepare("fashion_mnist", tmp_path)
  assert ".amazonaws.com: HTTP 404); fetch elsewhere" in str(error.value)
  url_infos = prepared.make_builder("fashion_mnist", tmp_path).url_infos
  for address in catalog.lookup("fashion_mnist").archives:
    assert f"from {address} (sha256 {url_infos[address].checksum})" in str(
      error.value
    )


def test_wrong_checksums_in_manual_dir(official, tmp_path):
  """One that the builder has registered, and one that only the catalog has."""
  manual = tmp_path / "manual"
  shutil.copytree(official.archives, manual)
  for name in ("cifar-10-binary.tar.gz", "val2018.json.tar.gz"):
    (manual / name).write_bytes(b"not what was registered")
  done = official_archives.prepare(
    ["cifar10", "inaturalist2018"],
    data_dir=tmp_path,
    manual_dir=manual,
    registered_dir=official.archives,
  )
  assert done.returncode == 2
  lines = [
    line for line in done.stderr.splitlines() if line.startswith("error: ")
  ]
  assert lines == [
    f"error: {name}: {manual / file} has sha256 "
    f"{hashlib.sha256((manual / file).read_bytes()).hexdigest()}, and "
    f"{hashlib.sha256((official.archives / file).read_bytes()).hexdigest()} "
    "was expected; remove the file and fetch it again"
    for name, file in (
      ("cifar10", "cifar-10-binary.tar.gz"),
      ("inaturalist2018", "val2018.json.tar.gz"),
    )
  ]
  assert not prepared.is_prepared(prepared.make_builder("cifar10", tmp_path))


def test_wrong_checksum_of_a_download(official, tmp_path):
  served = tmp_path / "served"
  shutil.copytree(official.archives, served)
  damaged = served / "t10k-labels-idx1-ubyte.gz"
  damaged.write_bytes(damaged.read_bytes()[:-1])
  found = hashlib.sha256(damaged.read_bytes()).hexdigest()
  manual = tmp_path / "manual"
  manual.mkdir()
  with official_archives.file_server(served) as url:
    done = official_archives.prepare(
      ["fashion_mnist"],
      data_dir=tmp_path,
      manual_dir=manual,
      registered_dir=official.archives,
      environment=official_archives.proxy(url),
    )
  assert done.returncode == 2
  line = done.stderr.splitlines()[-1]
  assert line.startswith("error: fashion_mnist: ")
  assert f"{damaged.name} has sha256 {found}, and " in line
  assert not prepared.is_prepared(
    prepared.make_builder("fashion_mnist", tmp_path)
  )


def test_errors_come_through_from_the_subprocess(
  tmp_path, no_network, data_config, capfd
):
  with pytest.raises(InputError) as error:
    data.load(data_config("cifar100", tmp_path, prepare=True))
  assert "cifar100 cannot be downloaded (www.cs.toronto" in str(error.value)
  # Whoever catches the error prints it; the child does not print it as well.
  assert capfd.readouterr().err == ""


def test_a_subprocess_that_crashes_is_no_input_error(tmp_path, monkeypatch):
  monkeypatch.setattr(sys, "executable", shutil.which("false"))
  with pytest.raises(RuntimeError, match="ended with exit code 1"):
    prepare.prepare_in_subprocess("digits", tmp_path)
