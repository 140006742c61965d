# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Drives the stock TFDS builders on small archives in the official formats.

    contents = official_small.write_cifar10(directory, per_class=4)
    official_archives.prepare(
      ["cifar10"], data_dir=data_dir, manual_dir=directory)

The builders are the real ones. Only the size and the sha256 that are
registered for an archive are replaced by those of the archive written here.
"""

from collections.abc import Iterator, Mapping, Sequence
import contextlib
import hashlib
import http.server
import json
import os
import pathlib
import subprocess
import sys
import threading
import urllib.parse

from etf_jax.data import catalog

_REPOSITORY = pathlib.Path(__file__).parents[2]

# Runs in its own process: preparing imports TensorFlow, whose warnings would
# be errors here, and the replaced checksums die with it.
_DRIVER = """
import json, sys
import tensorflow_datasets as tfds
from etf_jax import prepare
from etf_jax.data import catalog
registered, members, commands = json.loads(sys.argv[1])
for name, published in members.items():
  catalog.lookup(name).members.clear()
  catalog.lookup(name).members.update(published)
for name, archives in registered.items():
  info = catalog.lookup(name)
  for url, (size, sha256) in archives.items():
    if url in info.checksums:
      info.checksums[url] = size, sha256
    else:
      url_info = tfds.builder_cls(info.tfds_name).url_infos[url]
      url_info.size, url_info.checksum = size, sha256
sys.exit(max(prepare.main(command) for command in commands))
"""


def prepare(
  names: Sequence[str],
  *,
  data_dir: pathlib.Path,
  manual_dir: pathlib.Path,
  registered_dir: pathlib.Path | None = None,
  environment: Mapping[str, str] | None = None,
  members: Mapping[str, Mapping[str, str]] | None = None,
) -> subprocess.CompletedProcess:
  """Run `python -m etf_jax.prepare` for each name, in one process.

  Args:
    names: Names in the catalog.
    data_dir: The command's --data_dir.
    manual_dir: The command's --manual_dir.
    registered_dir: Directory of the archives whose size and sha256 the builders
      are made to expect; None is manual_dir.
    environment: Variables to set besides those of this process.
    members: Digests of files in archives that the catalog is made to have.

  Returns:
    The finished process, with what it printed as text.
  """
  registered = {
    name: _measured(name, registered_dir or manual_dir) for name in names
  }
  commands = [
    [name, f"--data_dir={data_dir}", f"--manual_dir={manual_dir}"]
    for name in names
  ]
  return subprocess.run(
    [
      *(sys.executable, "-c", _DRIVER),
      json.dumps([registered, members or {}, commands]),
    ],
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
    path = pathlib.PurePosixPath(urllib.parse.urlsplit(url).path)
    data = (directory / path.name).read_bytes()
    measured[url] = (len(data), hashlib.sha256(data).hexdigest())
  return measured
