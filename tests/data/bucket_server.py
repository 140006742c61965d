# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""As much of Google Cloud Storage's JSON interface as gcsfs needs here."""

import contextlib
import datetime
import http.server
import json
import pathlib
import re
import threading
import urllib.parse


@contextlib.contextmanager
def serve(folder: pathlib.Path):
  """Serves FOLDER/BUCKET/NAME; the bucket `closed` may not be read."""

  class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
      pass

    def do_GET(self):
      url = urllib.parse.urlsplit(self.path)
      query = dict(urllib.parse.parse_qsl(url.query))
      found = re.fullmatch(
        r"(?:/download)?/storage/v1/b/(\w+)/o/?(.*)", url.path
      )
      if found is None or not (folder / found[1]).is_dir():
        self.answer(404, {})
      elif found[1] == "closed":
        self.answer(403, {"error": {"code": 403, "message": "not yours"}})
      elif not found[2]:
        self.answer(200, {"items": items(folder / found[1], query["prefix"])})
      else:
        name = urllib.parse.unquote(found[2])
        if not url.path.startswith("/download"):
          self.answer(200, items(folder / found[1], name)[0])
          return
        content = (folder / found[1] / name).read_bytes()
        if wanted := re.findall(r"\d+", self.headers.get("Range", "")):
          content = content[int(wanted[0]) : int(wanted[1]) + 1]
        self.answer(206 if wanted else 200, content)

    def do_POST(self):
      """A small file with its name, in two parts."""
      url = urllib.parse.urlsplit(self.path)
      name = re.fullmatch(r"/upload/storage/v1/b/(\w+)/o", url.path)[1]
      body = self.rfile.read(int(self.headers["Content-Length"]))
      if name == "closed":
        self.answer(403, {"error": {"code": 403, "message": "not yours"}})
        return
      _, about, content = body.removesuffix(b"\n--==0==--").split(b"\n\n", 2)
      about = about.partition(b"\n--==0==")[0]
      file = folder / name / json.loads(about)["name"]
      file.parent.mkdir(parents=True, exist_ok=True)
      file.write_bytes(content)
      self.answer(200, {"name": str(file), "size": str(len(content))})

    def answer(self, code, content):
      if not isinstance(content, bytes):
        content = json.dumps(content).encode()
      self.send_response(code)
      self.send_header("Content-Length", str(len(content)))
      self.end_headers()
      self.wfile.write(content)

  with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


def items(bucket: pathlib.Path, prefix: str) -> list[dict[str, str]]:
  """The entries of a listing."""
  found = []
  for path in sorted(bucket.rglob("*")):
    name = str(path.relative_to(bucket))
    if path.is_file() and name.startswith(prefix):
      status = path.stat()
      moment = datetime.datetime.fromtimestamp(status.st_mtime, datetime.UTC)
      found.append(
        {
          "name": name,
          "bucket": bucket.name,
          "size": str(status.st_size),
          "updated": moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
      )
  return found
