# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Archives that nobody can download, and class names."""

import hashlib
import io
import shutil
import tarfile

import official_archives
import official_files
import pytest

from etf_jax.data import catalog
from etf_jax.data.prepare import archives, prepare
from etf_jax.data.sources import prepared
from etf_jax.errors import InputError

pytestmark = pytest.mark.slow

_IMAGENET = "http://www.image-net.org/challenges/LSVRC/2012/nnoupb/"
_TRAIN_SHA256 = (
  "b08200a27a8e34218a0e58fde36b0fe8f73bc377f4acea2d91602057c3ca45bb"
)
_VAL_SHA256 = "c7e06a6c0baccf06d8dbeb6577d71efff84673a5dbdd50633ab44f8ea0456ae0"


@pytest.fixture
def tiny_imagenet(monkeypatch, tmp_path):
  """Two registered archives of a few bytes, and a manual_dir that has them."""
  manual = tmp_path / "manual"
  manual.mkdir()
  url_infos = prepared.make_builder("imagenet", tmp_path).url_infos
  for url in catalog.lookup("imagenet").archives:
    content = b"archive " + url.encode()
    (manual / url.rpartition("/")[2]).write_bytes(content)
    monkeypatch.setattr(url_infos[url], "size", len(content))
    monkeypatch.setattr(
      url_infos[url], "checksum", hashlib.sha256(content).hexdigest()
    )
  return manual


@pytest.mark.parametrize("name", ["imagenet", "imagenet_lt"])
def test_imagenet_says_what_to_fetch_and_where_to_ask(
  name, tmp_path, monkeypatch
):
  """Without a look at the network."""
  asked = []
  monkeypatch.setattr("socket.getaddrinfo", lambda *args: asked.append(args))
  with pytest.raises(InputError) as error:
    prepare.prepare(name, tmp_path)
  assert asked == []
  manual = tmp_path / "downloads" / "manual"
  assert str(error.value) == (
    f"the archives of {name} must be fetched by hand, after registering at "
    "https://image-net.org/download-images; fetch elsewhere "
    f"ILSVRC2012_img_train.tar from {_IMAGENET}ILSVRC2012_img_train.tar "
    f"(sha256 {_TRAIN_SHA256}), ILSVRC2012_img_val.tar from "
    f"{_IMAGENET}ILSVRC2012_img_val.tar (sha256 {_VAL_SHA256}); put what you "
    f"fetched in {manual} and run: python -m etf_jax.prepare {name} "
    f"--data_dir={tmp_path} --manual_dir={manual}"
  )


def test_imagenet_needs_the_validation_archive_too(tmp_path):
  """The builder alone would prepare what it finds, or end in a traceback."""
  manual = tmp_path / "manual"
  manual.mkdir()
  (manual / "ILSVRC2012_img_train.tar").touch()
  with pytest.raises(InputError) as error:
    prepare.prepare("imagenet", tmp_path, manual)
  assert "fetch elsewhere ILSVRC2012_img_val.tar from" in str(error.value)
  assert "ILSVRC2012_img_train.tar" not in str(error.value)


def test_an_archive_of_another_size(tiny_imagenet, tmp_path):
  file = tiny_imagenet / "ILSVRC2012_img_val.tar"
  file.write_bytes(file.read_bytes()[:-1])
  size = file.stat().st_size
  line = f"imagenet: {file} has {size} bytes, and {size + 1} were expected; rem"
  with pytest.raises(InputError, match=line):
    prepare.prepare("imagenet", tmp_path, tiny_imagenet)


def test_an_archive_of_another_content(tiny_imagenet, tmp_path):
  file = tiny_imagenet / "ILSVRC2012_img_train.tar"
  original = file.read_bytes()
  file.write_bytes(original[:-1] + b"!")
  expected = hashlib.sha256(original).hexdigest()
  found = hashlib.sha256(file.read_bytes()).hexdigest()
  line = f"imagenet: {file} has sha256 {found}, and {expected} was expected; re"
  with pytest.raises(InputError, match=line):
    prepare.prepare("imagenet", tmp_path, tiny_imagenet)


def test_an_archive_that_is_right(tiny_imagenet, tmp_path):
  builder = prepared.make_builder("imagenet", tmp_path)
  for archive in archives.of(catalog.lookup("imagenet"), builder):
    assert archives.difference(archive, str(tiny_imagenet)) is None


def test_a_set_without_a_builder_says_how_to_use_it(tmp_path):
  line = "aircraft has no builder.*2013b.tar.gz .* DIR/train/CLASS .*dir=DIR"
  with pytest.raises(InputError, match=line):
    prepare.prepare("aircraft", tmp_path)


def test_fine_and_coarse_labels_are_prepared_once(official):
  assert prepare.prepare("cifar20", official.data_dir) == prepare.prepare(
    "cifar100", official.data_dir
  )


def test_class_names_are_added_to_data_that_lack_them(official, tmp_path):
  """As data do that another program prepared."""
  folder = "caltech_birds2011"
  shutil.copytree(official.data_dir / folder, tmp_path / folder)
  names = tmp_path / folder / "0.2.0" / "label.labels.txt"
  names.unlink()
  info = catalog.lookup("cub200")

  def class_names():
    builder = prepared.make_builder("cub200", tmp_path)
    return prepared.open_prepared(builder, "train", info).class_names

  assert class_names() == tuple(map(str, range(200)))
  prepare.prepare("cub200", tmp_path)
  assert class_names() == official.contents["cub200"].class_names
  assert class_names()[:2] == ("bird_of_000", "bird_of_001")
  left = {path.name for path in names.parent.iterdir()}
  assert not {name for name in left if name.startswith(".label")}


_MEMBER = "cifar-10-batches-bin/test_batch.bin"


def members_of(path):
  """The files of an archive."""
  with tarfile.open(path) as archive:
    return {
      member.name: archive.extractfile(member).read()
      for member in archive
      if member.isfile()
    }


def published(path):
  """Return the catalog's row of the archive: six files by their SHA-1."""
  return {
    name: hashlib.sha1(content).hexdigest()
    for name, content in members_of(path).items()
    if name.endswith(".bin")
  }


def test_another_archive_of_the_published_files(official, tmp_path):
  """The stock builder reads it, and takes no other file for the archive."""
  original = official.archives / "cifar-10-binary.tar.gz"
  manual = tmp_path / "manual"
  manual.mkdir()
  files = members_of(original)
  official_files.write_tar(
    manual / original.name, {f"./{k}": v for k, v in files.items()}
  )
  options = {"manual_dir": manual, "registered_dir": official.archives}
  options["members"] = {"cifar10": published(original)}
  done = official_archives.prepare(
    ["cifar10"], data_dir=tmp_path / "good", **options
  )
  assert done.returncode == 0, done.stderr
  assert "another archive than the registered one" in done.stderr
  info = catalog.lookup("cifar10")
  for split in ("train", "test"):
    found, expected = (
      prepared.open_prepared(prepared.make_builder("cifar10", d), split, info)
      for d in (tmp_path / "good", official.data_dir)
    )
    assert found.encoded_images == expected.encoded_images
    assert found.labels.tolist() == expected.labels.tolist()
    assert found.class_names == expected.class_names
  # One bit of one file.
  files[_MEMBER] = files[_MEMBER][:-1] + bytes([files[_MEMBER][-1] ^ 1])
  official_files.write_tar(manual / original.name, files)
  done = official_archives.prepare(
    ["cifar10"], data_dir=tmp_path / "bad", **options
  )
  assert done.returncode == 2
  assert f"{manual / original.name} has sha256 " in done.stderr


@pytest.mark.parametrize(
  "change",
  [
    lambda files: files.pop(),
    lambda files: files.append(("a/1", b"other")),
    lambda files: files.append(("b/../a/1", b"one")),
    lambda files: files.append(("a/1", None)),
  ],
  ids=["missing", "twice", "twice by another path", "link"],
)
def test_archives_of_other_files(tmp_path, change):
  contents = {"a/1": b"one", "a/2": b"two"}
  members = {k: hashlib.md5(v).hexdigest() for k, v in contents.items()}

  def has_members(files):
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as archive:
      for name, content in files:
        member = tarfile.TarInfo(name)
        if content is None:
          member.type, member.linkname = tarfile.SYMTYPE, "a/2"
        member.size = len(content or b"")
        archive.addfile(member, io.BytesIO(content or b""))
    return archives._has_members(tmp_path / "x.tar.gz", members)

  files = [("readme", b""), *contents.items()]
  assert has_members(files)
  change(files)
  assert not has_members(files)
  whole = (tmp_path / "x.tar.gz").read_bytes()
  for content in (whole[: len(whole) // 2], b"", b"text"):
    (tmp_path / "x.tar.gz").write_bytes(content)
    assert not archives._has_members(tmp_path / "x.tar.gz", members)
