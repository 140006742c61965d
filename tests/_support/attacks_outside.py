# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Archives and requests from outside, mutated: kinds of `attacks`."""

import asyncio
from collections.abc import Iterator
import hashlib
import io
import itertools
import json
from pathlib import Path
import random
import tarfile

import mutations
import numpy as np
from PIL import Image

import etf_jax
from etf_jax.data.prepare import archives

_MEMBERS = {f"data/{k}.bin": bytes([k]) * 3000 for k in range(3)}
_DIGESTS = {k: hashlib.md5(v).hexdigest() for k, v in _MEMBERS.items()}
_HOSTILE = (
  *("../out", "/tmp/out", "data/../../out", "data/0.bin", "a/" * 2000 + "b"),
  *("\udcff", "data\x00", ".", "", "C:\\out"),
)
_KINDS = (
  *(tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE),
  *(tarfile.FIFOTYPE, tarfile.DIRTYPE, tarfile.GNUTYPE_SPARSE),
)


def archive_cases(number: int, seed: int) -> Iterator[tuple[str, bytes]]:
  """Yield a name and the content of archives, whole ones first."""
  for mode in ("w", "w:gz", "w:bz2", "w:xz"):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
      for name, content in _MEMBERS.items():
        info = tarfile.TarInfo(name)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    yield "whole", file.getvalue()
    for content in mutations.of_bytes(file.getvalue(), number, seed):
      yield mode, content
  for name, kind in itertools.product(_HOSTILE, _KINDS):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
      info = tarfile.TarInfo(name)
      info.type, info.linkname = kind, "/etc/passwd"
      archive.addfile(info)
    yield "hostile", file.getvalue()
  file = io.BytesIO()
  with tarfile.open(fileobj=file, mode="w:gz") as archive:
    info = tarfile.TarInfo("data/0.bin")
    info.size = 1 << 28
    with open("/dev/zero", "rb") as zeros:
      archive.addfile(info, zeros)
  yield "bomb", file.getvalue()


def check_archive(path: Path, kind: str, content: bytes) -> None:
  """Ask whether an archive holds the published files."""
  path.write_bytes(content)
  found = archives._has_members(path, _DIGESTS)
  if found != (kind == "whole") and kind in ("whole", "hostile", "bomb"):
    raise AssertionError(f"{kind} archive: {found}")
  if found and kind not in ("whole", "hostile", "bomb"):
    # A flipped bit outside of the members' names and contents.
    with tarfile.open(path) as archive:
      names = {m.name.removeprefix("./") for m in archive}
    if not set(_MEMBERS) <= names:
      raise AssertionError(f"accepted: {names}")


def requests(number: int, seed: int) -> list[tuple[str, str, list, bytes]]:
  """Return requests: method, path, headers and body."""
  draw = random.Random(seed)
  pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, "png")
  part = (
    b'--B\r\nContent-Disposition: form-data; name="f"; filename="a.png"\r\n'
    b"Content-Type: image/png\r\n\r\n" + file.getvalue() + b"\r\n"
  )
  kind = b"multipart/form-data; boundary=B"
  headers = [(b"host", b"localhost"), (b"content-type", kind)]
  found = [
    ("POST", "/predict", headers, body)
    for body in mutations.of_bytes(part + b"--B--\r\n", number, seed)
  ]
  kinds = (
    *(b"multipart/form-data", b"multipart/form-data; boundary=", b"\xff\xfe"),
    *(b"multipart/form-data; boundary=" + b"x" * 9999, b"image/png", b""),
    *(b"application/json", b"multipart/form-data; boundary=B; charset=utf-99"),
    *(b"application/octet-stream", b"image/" + b"y" * 9999, kind),
  )
  others = [
    *((b"content-length", x) for x in (b"-1", b"9" * 40, b"x", b"0", b"\xb2")),
    *((b"host", x) for x in (b"evil.org", b"[", b"\xff", b"a" * 9999, b"")),
    *((b"origin", x) for x in (b"http://evil.org", b"http://[", b"null")),
    *((b"transfer-encoding", b"chunked"), (b"range", b"bytes=0-")),
  ]
  paths = (
    *("/predict", "/", "/model", "/../etc/passwd", "/web.css/../../web.py"),
    *("/%2e%2e/", "//evil.org/", "/\x00", "/" + "a" * 9999, "", "*"),
  )
  methods = ("POST", "GET", "PUT", "DELETE", "OPTIONS", "HEAD", "TRACE", "X")
  bodies = [b"", part, part * 40 + b"--B--\r\n", b"\0" * (3 << 20)]
  bodies += [part + b"--B--\r\n", file.getvalue(), b"--B\r\n" * 10**5]
  for _ in range(number):
    sent = [(b"host", b"localhost"), (b"content-type", draw.choice(kinds))]
    sent += draw.sample(others, draw.choice((0, 0, 1, 2)))
    path = draw.choice(paths) if draw.random() < 0.5 else "/predict"
    method = draw.choice(methods) if draw.random() < 0.3 else "POST"
    found.append((method, path, sent, draw.choice(bodies)))
  return found


def ask(run: Path, sent: list[tuple[str, str, list, bytes]]) -> None:
  """Give requests to the application of a run.

  Raises:
    AssertionError: a request has no answer, or one of a failed server.
  """
  from etf_jax.serving import web  # needs the extra serve

  limits = web.Limits(images=4, megabytes=1, megapixels=1, seconds=5)
  app = web.create_app(etf_jax.load(run), limits, ("localhost",))
  for method, path, headers, body in sent:
    answers = asyncio.run(_ask(app, method, path, headers, body))
    start = next(m for m in answers if m["type"] == "http.response.start")
    text = b"".join(m.get("body", b"") for m in answers)
    names = {name for name, _ in start["headers"]}
    if start["status"] >= 500 or b"x-frame-options" not in names:
      raise AssertionError(f"{start['status']}: {method} {path} {headers}")
    if start["status"] >= 400 and method != "HEAD":
      json.loads(text)["error"]


async def _ask(app, method, path, headers, body):
  parts = [body[k : k + 65536] for k in range(0, len(body) or 1, 65536)]
  incoming = [
    {"type": "http.request", "body": part, "more_body": k + 1 < len(parts)}
    for k, part in enumerate(parts)
  ]
  answers = []

  async def receive():
    return incoming.pop(0) if incoming else {"type": "http.disconnect"}

  async def send(message):
    answers.append(message)

  scope = {
    **{"type": "http", "http_version": "1.1", "method": method, "path": path},
    **{"raw_path": path.encode(), "query_string": b"", "headers": headers},
    **{"scheme": "http", "server": ("localhost", 80), "root_path": ""},
    **{"client": ("127.0.0.1", 9), "asgi": {"version": "3.0"}},
  }
  await asyncio.wait_for(app(scope, receive, send), 30)
  return answers
