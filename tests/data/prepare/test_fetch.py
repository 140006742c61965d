# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
import hashlib
import socket
import subprocess

import official_archives
import pytest

from etf_jax.data.prepare import fetch
from etf_jax.errors import InputError

TEXT = b"train/n01440764/n01440764_190.JPEG 0\n"
SHA256 = hashlib.sha256(TEXT).hexdigest()


@pytest.fixture
def server(tmp_path, monkeypatch):
  """Serves tmp_path/served; no proxy stands between."""
  monkeypatch.setenv("NO_PROXY", "*")
  monkeypatch.setenv("no_proxy", "*")
  folder = tmp_path / "served"
  folder.mkdir()
  (folder / "train.txt").write_bytes(TEXT)
  with official_archives.file_server(folder) as url:
    yield url


def message(location, cache_dir=None):
  with pytest.raises(InputError) as error:
    fetch.fetch(location, cache_dir)
  return str(error.value)


def test_checksums_of_a_known_file(tmp_path):
  (tmp_path / "list").write_bytes(TEXT)
  git = subprocess.run(
    ["git", "hash-object", "--stdin"], input=TEXT, capture_output=True
  )
  assert fetch.digest(tmp_path / "list", "git") == git.stdout.decode().strip()
  assert fetch.digest(tmp_path / "list", "sha256") == SHA256
  (tmp_path / "empty").touch()
  # What git and sha256sum say of nothing.
  assert fetch.digest(tmp_path / "empty", "git") == (
    "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
  )
  assert fetch.digest(tmp_path / "empty", "sha256") == (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
  )


def test_a_path_and_its_checksum(tmp_path, monkeypatch):
  path = tmp_path / "my#list.txt"
  path.write_bytes(TEXT)
  git = fetch.digest(path, "git")
  for location in (
    path,
    f"{path}#sha256={SHA256}",
    f"{path}#git={git.upper()}",
  ):
    assert fetch.fetch(str(location)) == path
  monkeypatch.setenv("HOME", str(tmp_path))
  assert fetch.fetch(f"~/my#list.txt#git={git}") == path


def test_a_list_of_another_content(tmp_path):
  path = tmp_path / "list.txt"
  path.write_bytes(TEXT + b"\n")
  found = hashlib.sha256(TEXT + b"\n").hexdigest()
  assert f"list {path} has sha256 {found}, and {SHA256} was expected; fe" in (
    message(f"{path}#sha256={SHA256}")
  )


@pytest.mark.parametrize(
  ("kind", "digits", "length"),
  [("sha256", "9af7", 64), ("git", "z" * 40, 40), ("git", "", 40)],
)
def test_a_checksum_that_is_none(tmp_path, kind, digits, length):
  assert message(f"{tmp_path}/list#{kind}={digits}") == (
    f"list {tmp_path}/list: #{kind}={digits} must have {length} hexadecimal "
    "digits"
  )


def test_no_such_list(tmp_path):
  assert message(f"{tmp_path}/no.csv").startswith(
    f"list {tmp_path}/no.csv does not exist; "
  )
  assert message(f"{tmp_path}").startswith(f"list {tmp_path} is not a file; ")


def test_a_relative_path_says_where_it_was_looked_for(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert f"list no.csv does not exist in {tmp_path}; " in message("no.csv")


def test_a_download_is_kept(server, tmp_path):
  location = f"{server}/a/train.txt#sha256={SHA256}"
  path = fetch.fetch(location, tmp_path)
  assert path.read_bytes() == TEXT
  assert path.parent == tmp_path / "lists"
  assert path.name.endswith("-train.txt")
  (tmp_path / "served/train.txt").unlink()
  assert fetch.fetch(location, tmp_path) == path
  # One that does not fit to its checksum any more is fetched again.
  path.write_bytes(b"half")
  assert "HTTP 404" in message(location, tmp_path)
  (tmp_path / "served/train.txt").write_bytes(TEXT)
  assert fetch.fetch(location, tmp_path).read_bytes() == TEXT
  assert list(path.parent.iterdir()) == [path]


def test_downloads_of_one_name_do_not_mix(server, tmp_path):
  first = fetch.fetch(f"{server}/a/train.txt", tmp_path)
  assert fetch.fetch(f"{server}/b/train.txt", tmp_path) != first


def test_the_cache_of_the_user(server, tmp_path, monkeypatch):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
  path = fetch.fetch(f"{server}/train.txt")
  assert path.parent == tmp_path / "xdg/etf_jax/lists"
  monkeypatch.delenv("XDG_CACHE_HOME")
  monkeypatch.setenv("HOME", str(tmp_path))
  path = fetch.fetch(f"{server}/train.txt")
  assert path.parent == tmp_path / ".cache/etf_jax/lists"


def test_a_download_of_another_content_is_not_kept(server, tmp_path):
  url, wrong = f"{server}/train.txt", "0" * 40
  found = fetch.digest(tmp_path / "served/train.txt", "git")
  line = message(f"{url}#git={wrong}", tmp_path)
  assert f"list {url} has git {found}, and {wrong} was expected; fetch" in line
  assert not list((tmp_path / "lists").iterdir())


def test_no_network(tmp_path, monkeypatch):
  monkeypatch.setenv("NO_PROXY", "*")
  monkeypatch.setenv("no_proxy", "*")
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))  # and nobody listens
    url = f"http://127.0.0.1:{free.getsockname()[1]}/train.txt"
    line = message(url, tmp_path)
  assert f"list {url} cannot be downloaded (ConnectionError); fetch" in line
  assert not list((tmp_path / "lists").iterdir())


def test_an_address_without_a_list(server, tmp_path):
  url = f"{server}/none.txt"
  line = message(url, tmp_path)
  assert line.startswith(f"list {url} cannot be downloaded (HTTP 404); fetch")


def test_a_cache_that_cannot_be_written(server, tmp_path):
  (tmp_path / "file").touch()
  url = f"{server}/train.txt"
  line = message(url, tmp_path / "file")
  assert line.endswith("lists (Not a directory); set config.data.cache_dir")


def test_an_address_that_is_not_read(tmp_path):
  line = message("gs://bucket/train.txt", tmp_path)
  assert line.startswith("list gs://bucket/train.txt: gs:// is not read; give")


@pytest.mark.parametrize("kind", ["md5", "SHA256", "sha512"])
def test_a_checksum_that_is_not_checked_is_refused(server, kind):
  said = message(f"{server}/train.txt#{kind}={'0' * 32}")
  assert f"#{kind}= is no checksum that is known" in said
  assert "#sha256=" in said


def test_a_list_has_a_limit(server, tmp_path, monkeypatch):
  monkeypatch.setattr(fetch, "_MOST_BYTES", len(TEXT) - 1)
  said = message(f"{server}/train.txt", tmp_path / "cache")
  assert "has more than 0 MiB; fetch it elsewhere" in said
  assert not any((tmp_path / "cache" / "lists").iterdir())
