# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Serves a trained model: a local page for photographs, and the same as JSON.

In use::

    pip install 'etf_jax[serve]'
    python -m etf_jax.serve --workdir=runs/my_run
    curl -F image=@photograph.jpg http://127.0.0.1:8000/predict

The page is for this machine: --host=127.0.0.1. There is no login, so that with
another --host everybody who reaches it can use it. Uploads are limited in
number and size, held in memory, and not kept. Ctrl-C ends it.
"""

from collections.abc import Sequence
import ipaddress
import logging
import signal
import socket
import sys

from etf_jax.errors import InputError
from etf_jax.runs import commands
from etf_jax.serving import run_directory, trained

_log = logging.getLogger("etf_jax")


@commands.command
def main(argv: Sequence[str] | None = None) -> None:
  """Run the command and return its exit code."""
  parser = commands.Parser("python -m etf_jax.serve", __doc__)
  run_directory.add_arguments(parser)
  parser.add_argument(
    "--host", default="127.0.0.1", help="(default: 127.0.0.1)"
  )
  parser.add_argument(
    "--port", type=int, default=8000, help="0 takes a free one (default: 8000)"
  )
  parser.add_argument(
    "--max_images", type=int, default=32, help="in a request (default: 32)"
  )
  parser.add_argument(
    "--max_megabytes", type=int, default=32, help="a request (default: 32)"
  )
  parser.add_argument(
    "--max_megapixels", type=int, default=50, help="an image (default: 50)"
  )
  parser.add_argument(
    "--top", type=int, default=5, help="classes in an answer (default: 5)"
  )
  options = parser.parse_args(argv)
  for name in ("max_images", "max_megabytes", "max_megapixels", "top"):
    if getattr(options, name) < 1:
      raise InputError(
        f"--{name}={getattr(options, name)}: must be at least 1; name more"
      )
  try:
    import uvicorn

    from etf_jax.serving import web
  except ImportError as error:
    raise InputError(
      f"serving needs {error.name}: pip install 'etf_jax[serve]'"
    ) from error
  with _bind(options.host, options.port) as listener:
    model = trained.load(
      options.workdir, options.step, trust_code=options.trust_code
    )
    _log.info(model.description)
    if model.pixels.features:
      raise InputError(
        f"--workdir={options.workdir}: a run on features, which takes no"
        " photographs; use python -m etf_jax.predict"
      )
    limits = web.Limits(
      images=options.max_images,
      megabytes=options.max_megabytes,
      megapixels=options.max_megapixels,
      top=options.top,
    )
    hosts: list[str] | None = ["localhost", "127.0.0.1", "::1", options.host]
    if not _is_loopback(options.host):
      _log.warning(
        "--host=%s: everybody who reaches this address can use the page",
        options.host,
      )
      hosts = None
    app = web.create_app(model, limits, hosts)
    host = f"[{options.host}]" if ":" in options.host else options.host
    port = listener.getsockname()[1]
    server = uvicorn.Server(
      uvicorn.Config(
        app,
        log_level="warning",
        lifespan="off",
        server_header=False,
        limit_concurrency=32,
        timeout_graceful_shutdown=5,
      )
    )
    # From here on, and not from uvicorn's start: an exception of Python's could
    # be raised, and lost, where exceptions are ignored.
    before = signal.signal(signal.SIGINT, server.handle_exit)
    try:
      print(f"serving on http://{host}:{port}/ (Ctrl-C ends)", flush=True)
      server.run(sockets=[listener])
    finally:
      signal.signal(signal.SIGINT, before)


def _bind(host: str, port: int) -> socket.socket:
  family = socket.AF_INET6 if ":" in host else socket.AF_INET
  if not 0 <= port < 1 << 16:
    raise InputError(f"--port={port}: must lie in 0 to 65535; choose another")
  try:
    return socket.create_server((host, port), family=family)
  except OSError as error:
    raise InputError(
      f"--host={host} --port={port}: cannot listen, {error.strerror}; choose"
      " another --port (0 takes a free one)"
    ) from error


def _is_loopback(host: str) -> bool:
  try:
    return ipaddress.ip_address(host).is_loopback
  except ValueError:
    return host == "localhost"


if __name__ == "__main__":
  sys.exit(main())
