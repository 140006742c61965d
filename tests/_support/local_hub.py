# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A hub of models on this machine, as huggingface_hub asks for one."""

import contextlib
import hashlib
import http.server
import re
import threading

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_PATH = re.compile(r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(.*)")


@contextlib.contextmanager
def serve(repositories):
  """Serve {"ORG/NAME": {file: bytes}} at one commit; yields the address."""

  class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
      match = _PATH.fullmatch(self.path)
      files = repositories.get(match["repo"]) if match else None
      if files is None:
        return self.refuse("RepoNotFound", 404)
      if files == "gated":
        return self.refuse("GatedRepo", 403)
      if match["revision"] not in ("main", "v1", COMMIT):
        return self.refuse("RevisionNotFound", 404)
      content = files.get(match[3])
      if content is None:
        return self.refuse("EntryNotFound", 404)
      self.send_response(200)
      self.send_header("X-Repo-Commit", COMMIT)
      self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
      self.send_header("Content-Length", str(len(content)))
      self.end_headers()
      if self.command == "GET":
        self.wfile.write(content)

    do_HEAD = do_GET

    def refuse(self, code, status):
      self.send_response(status)
      self.send_header("X-Error-Code", code)
      self.send_header("X-Repo-Commit", COMMIT)
      self.send_header("Content-Length", "0")
      self.end_headers()

    def log_message(self, *_):
      pass

  with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
