# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The archives of a data set: which there are, which are here, which are not.

wanted = archives.of(info, builder)
missing = [a for a in wanted if not archives.is_here(a, builder, folder)]
archives.unreachable([a.url for a in missing])
"""

from collections.abc import Iterator, Mapping, Sequence
import contextlib
import dataclasses
import hashlib
import logging
import os
import pathlib
import posixpath
import tarfile
import threading
import time
import urllib.parse

import requests
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import checksums, download_manager
from tensorflow_datasets.core.download import resource as tfds_resource
from tensorflow_datasets.core.download import util as download_util

from etf_jax.data.catalog import DatasetInfo
from etf_jax.runs.console import Progress

# TFDS keeps these to itself: this file alone imports them.
WrongChecksumError = download_manager.NonMatchingChecksumError
DownloadError = download_util.DownloadError

_log = logging.getLogger(__name__)

_PROBE_SECONDS = 5.0
_BLOCK = 1 << 22


@dataclasses.dataclass(frozen=True)
class Archive:
  """One file that a builder reads.

  Attributes:
    url: Where it comes from.
    name: What it is called in manual_dir.
    size: In bytes.
    sha256: Digest of the content, in hexadecimal digits.
  """

  url: str
  name: str
  size: int
  sha256: str

  def __str__(self) -> str:
    return f"{self.name} from {self.url} (sha256 {self.sha256})"


def of(info: DatasetInfo, builder: tfds.core.DatasetBuilder) -> list[Archive]:
  """Return the archives of a data set as TFDS, or the catalog, knows them."""
  found = []
  for url in info.archives:
    name = pathlib.PurePosixPath(urllib.parse.urlsplit(url).path).name
    if url in info.checksums:
      found.append(Archive(url, name, *info.checksums[url]))
    else:
      known = builder.url_infos[url]
      name = known.filename or name
      found.append(Archive(url, name, int(known.size), known.checksum))
  return found


def register(wanted: Sequence[Archive], info: DatasetInfo) -> None:
  """Tell TFDS of archives that the catalog knows and TFDS does not.

  Without this it would take any content for them, and none from manual_dir.
  """
  for archive in wanted:
    if archive.url in info.checksums:
      checksums.get_all_url_infos()[archive.url] = checksums.UrlInfo(
        tfds.core.utils.Size(archive.size), archive.sha256, archive.name
      )


def manual_dir(
  builder: tfds.core.DatasetBuilder, directory: str | os.PathLike | None
) -> str:
  """Return where archives lie that were fetched by hand."""
  if directory is None:
    return os.fspath(builder.data_dir_root / "downloads" / "manual")
  # Shells leave the tilde of --manual_dir=~/archives alone.
  return os.path.expanduser(directory)


def is_here(
  archive: Archive, builder: tfds.core.DatasetBuilder, folder: str
) -> bool:
  """Return True if an archive lies in the folder or was downloaded before."""
  if pathlib.Path(folder, archive.name).exists():
    return True
  downloads = builder.data_dir_root / "downloads"
  file_name = tfds_resource.get_dl_fname(archive.url, archive.sha256)
  return any(
    tfds_resource.is_locally_cached(directory / file_name)
    for directory in (downloads / builder.name, downloads)
  )


def difference(archive: Archive, folder: str) -> str | None:
  """Return what is wrong with an archive in the folder; None if nothing is.

  For builders that read their archives unchecked.
  """
  path = pathlib.Path(folder, archive.name)
  size = path.stat().st_size
  if size != archive.size:
    return (
      f"{path} has {size:,} bytes, and {archive.size:,} were expected; remove "
      "the file and fetch it again"
    )
  found = hashlib.sha256()
  with (
    path.open("rb") as file,
    Progress(f"checking {archive.name}", size, unit="B") as progress,
  ):
    while block := file.read(_BLOCK):
      found.update(block)
      progress.update(len(block))
  if found.hexdigest() == archive.sha256:
    return None
  return wrong_sha256(path, found.hexdigest(), archive.sha256)


@contextlib.contextmanager
def accepted(
  wanted: Sequence[Archive],
  info: DatasetInfo,
  builder: tfds.core.DatasetBuilder,
  folder: str,
) -> Iterator[None]:
  """Let TFDS take archives of the published files, whatever packed them.

  Args:
    wanted: What `of` returned.
    info: Facts of the data set; `members` are checked.
    builder: Builder, which takes them inside this context.
    folder: Folder of archives that were fetched by hand.
  """
  with contextlib.ExitStack() as stack:
    for archive in wanted if info.members else ():
      path = pathlib.Path(folder, archive.name)
      if not path.exists():
        continue
      with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
      if sha256 != archive.sha256 and _has_members(path, info.members):
        _log.info(
          f"{path} is another archive than the registered one; its"
          f" {len(info.members)} files have the published content"
        )
        known = builder.url_infos[archive.url]
        stack.callback(vars(known).update, dict(vars(known)))
        vars(known).update(
          size=tfds.core.utils.Size(path.stat().st_size), checksum=sha256
        )
    yield


def _has_members(path: pathlib.Path, members: Mapping[str, str]) -> bool:
  """Return True if a tar archive holds files of these names and digests."""
  found = set()
  try:
    with tarfile.open(path, "r|*") as archive:
      for member in archive:
        name = posixpath.normpath(member.name)
        if name not in members:
          continue
        # Of two members of one name, the second would be unpacked.
        content = archive.extractfile(member) if member.isfile() else None
        if content is None or name in found:
          return False
        kind = "sha1" if len(members[name]) == 40 else "md5"
        digest = hashlib.new(kind, usedforsecurity=False)
        while block := content.read(_BLOCK):
          digest.update(block)
        if digest.hexdigest() != members[name]:
          return False
        found.add(name)
  except Exception:  # Python's readers raise anything of a damaged archive.
    return False
  return found == set(members)


def wrong_sha256(path: object, found: str, expected: str) -> str:
  """Return the message for a file with another content than was expected."""
  return (
    f"{path} has sha256 {found}, and {expected} was expected; remove the file "
    "and fetch it again"
  )


def unreachable(urls: Sequence[str]) -> list[str]:
  """Return what is wrong with the hosts, asking all of them at once.

  TFDS alone retries for minutes, without a word. A GET through requests is
  what it will do, proxies and redirections included; the threads are daemons
  because a stuck name look-up has no time limit of its own.
  """
  by_host = {urllib.parse.urlsplit(url).netloc: url for url in reversed(urls)}
  answers = {host: f"no answer in {_PROBE_SECONDS:g} s" for host in by_host}

  def ask(host: str, url: str) -> None:
    try:
      with requests.get(url, stream=True, timeout=_PROBE_SECONDS) as response:
        good = response.status_code < 400
        answers[host] = "" if good else f"HTTP {response.status_code}"
    except requests.Timeout:
      pass
    except requests.RequestException as error:
      answers[host] = f"no connection, {type(error).__name__}"

  threads = [
    threading.Thread(target=ask, args=item, daemon=True)
    for item in by_host.items()
  ]
  for thread in threads:
    thread.start()
  deadline = time.monotonic() + _PROBE_SECONDS
  for thread in threads:
    thread.join(max(0.0, deadline - time.monotonic()))
  return [f"{host}: {answer}" for host, answer in answers.items() if answer]
