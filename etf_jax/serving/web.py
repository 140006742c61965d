# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A page and an endpoint that classify uploaded photographs.

app = web.create_app(trained, web.Limits(), hosts=("localhost", "127.0.0.1"))

`GET /` is the page, `GET /model` describes the model, and `POST /predict` takes
`multipart/form-data` with a file in each part, or one image as the body. Every
answer but the page is JSON; an error is `{"error": "..."}`. A file that is no
image has an `error` in its row and does not fail the others.

Uploads are held in memory and forgotten. The page loads nothing from elsewhere.
Requests that other sites send, or that name another host, are refused.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
import dataclasses
import io
import logging
from pathlib import Path
import threading
from typing import Any
from urllib import parse
import warnings

import numpy as np
from PIL import Image
from starlette import concurrency, exceptions
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from etf_jax.data import decode
from etf_jax.serving import prediction
from etf_jax.serving.trained import Trained

_log = logging.getLogger(__name__)
_FOLDER = Path(__file__).parent
_FILES = {
  "/": ("web.html", "text/html"),
  "/web.css": ("web.css", "text/css"),
  "/web.js": ("web.js", "text/javascript"),
}
HEADERS = {
  "Cache-Control": "no-store",
  "Content-Security-Policy": (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src blob:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
  ),
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
  "X-Frame-Options": "DENY",
}
_MEGABYTE = 1 << 20


@dataclasses.dataclass(frozen=True)
class Limits:
  """Limits of one request.

  Attributes:
    images: number of images.
    megabytes: size of all of them, in 2**20 bytes.
    megapixels: size of each when it is decoded, in 10**6 pixels.
    seconds: time to upload.
    top: classes in an answer.
  """

  images: int = 32
  megabytes: int = 32
  megapixels: int = 50
  seconds: float = 60.0
  top: int = 5


class _Refused(exceptions.HTTPException):
  """An answer with a status and a line."""


class _Guard:
  """Adds the headers to answers, and refuses other hosts and other sites."""

  def __init__(self, app: Any, hosts: Sequence[str] | None):
    self._app, self._hosts = app, hosts

  async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
      await self._app(scope, receive, send)
      return

    async def send_with_headers(message: Any) -> None:
      if message["type"] == "http.response.start":
        message["headers"] = [
          *message["headers"],
          *((k.lower().encode(), v.encode()) for k, v in HEADERS.items()),
        ]
      await send(message)

    reason = self._reason(Request(scope))
    if reason is None:
      await self._app(scope, receive, send_with_headers)
    else:
      answer = JSONResponse({"error": reason}, 403)
      await answer(scope, receive, send_with_headers)

  def _reason(self, request: Request) -> str | None:
    host = request.headers.get("host", "")
    # A name that somebody points here would let their page read the answers.
    if self._hosts is not None and _name(f"//{host}") not in self._hosts:
      return f"host {host!r} is not served here"
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != host:
      return f"requests of {origin!r} are not answered"
    if request.headers.get("sec-fetch-site", "none") in (
      "cross-site",
      "same-site",
    ):
      return "requests of other sites are not answered"
    return None


def create_app(
  trained: Trained, limits: Limits, hosts: Sequence[str] | None
) -> Any:
  """Create the ASGI application.

  Args:
    trained: the model.
    limits: see `Limits`.
    hosts: names in a request's Host that are answered; None: all.
  """
  limits = dataclasses.replace(
    limits, top=min(limits.top, len(trained.class_names))
  )
  # A model at a time: threads would share its processors and its memory.
  lock = threading.Lock()
  contents = {
    path: (_FOLDER.joinpath(name).read_bytes(), kind)
    for path, (name, kind) in _FILES.items()
  }

  async def file(request: Request) -> Response:
    content, kind = contents[request.url.path]
    return Response(content, media_type=kind)

  async def model(request: Request) -> Response:
    del request
    return JSONResponse(_describe(trained, limits))

  async def predict(request: Request) -> Response:
    try:
      async with asyncio.timeout(limits.seconds):
        images = await _uploads(request, limits)
    except TimeoutError as error:
      raise _Refused(408, f"no upload in {limits.seconds:g} s") from error
    except ClientDisconnect:
      return Response(status_code=400)

    def classify() -> list[dict[str, Any]]:
      with lock:
        return rows(trained, images, limits)

    found = await concurrency.run_in_threadpool(classify)
    return JSONResponse({"calibrated": trained.calibrated, "images": found})

  routes = [Route(path, file, methods=["GET"]) for path in _FILES]
  routes.append(Route("/model", model, methods=["GET"]))
  routes.append(Route("/predict", predict, methods=["POST"]))
  handlers: dict[Any, Callable[..., Awaitable[Response]]] = {
    exceptions.HTTPException: _error,
    Exception: _failure,
  }
  app = Starlette(routes=routes, exception_handlers=handlers)
  return _Guard(app, hosts)


def rows(
  trained: Trained, images: Sequence[tuple[str, bytes]], limits: Limits
) -> list[dict[str, Any]]:
  """Classify uploaded images.

  Args:
    trained: the model.
    images: name and content of each.
    limits: see `Limits`.

  Returns:
    For each `image`, its name; `error` or None; and without an error `class`,
    `probability`, `angle` (degrees), `classes`, the most probable ones with
    `name` and `probability`, and `nearest`, the classifier vectors at the
    smallest angles with `name` and `angle`.
  """
  decoded: list[tuple[np.ndarray, tuple[int, int]]] = []
  found: list[dict[str, Any]] = []
  for name, content in images:
    row: dict[str, Any] = {"image": name, "error": None}
    try:
      _check_pixels(content, limits.megapixels)
      decoded.append(trained.decode(content))
    except decode.CorruptImage as error:
      row["error"] = str(error)
    found.append(row)
  if not decoded:
    return found
  arrays = np.stack([array for array, _ in decoded])
  sizes = None
  if trained.pixels.has_sizes:
    sizes = np.array([size for _, size in decoded], np.int32)
  classified = trained(arrays, sizes)
  nearest = trained.nearest(arrays, sizes, limits.top)
  good = (row for row in found if row["error"] is None)
  for place, row in enumerate(good):
    row |= prediction.describe(trained, classified, place, 1)
    order = np.argsort(-classified.probabilities[place], kind="stable")
    row["classes"] = [
      {
        "name": trained.class_names[k],
        "probability": float(classified.probabilities[place, k]),
      }
      for k in order[: limits.top]
    ]
    row["nearest"] = [
      {"name": trained.class_names[k], "angle": float(np.degrees(angle))}
      for k, angle in zip(*(part[place] for part in nearest), strict=True)
    ]
  return found


async def _uploads(request: Request, limits: Limits) -> list[tuple[str, bytes]]:
  """Read the images of a request, within the limits."""
  kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
  if kind == "multipart/form-data":
    parser = MultiPartParser(
      request.headers,
      _limited(request, limits),
      max_files=limits.images,
      max_fields=16,
    )
    parser.spool_max_size = limits.megabytes * _MEGABYTE  # in memory
    try:
      form = await parser.parse()
    except MultiPartException as error:
      status = 413 if "Too many" in error.message else 400
      raise _Refused(status, error.message) from error
    except (ValueError, KeyError) as error:
      raise _Refused(400, f"not multipart/form-data: {error}") from error
    try:
      images = [
        (part.filename or "image", await part.read())
        for _, part in form.multi_items()
        if isinstance(part, UploadFile)
      ]
    finally:
      await form.close()
  elif kind.startswith("image/") or kind == "application/octet-stream":
    body = [chunk async for chunk in _limited(request, limits)]
    images = [("image", b"".join(body))]
  else:
    raise _Refused(
      415,
      f"Content-Type {kind!r}: send multipart/form-data with a file in each"
      " part, or one image as image/...",
    )
  if not images or not any(content for _, content in images):
    raise _Refused(400, "no image in the request: send a file in each part")
  return images


async def _limited(request: Request, limits: Limits) -> Any:
  """Yield the body; refuse it as soon as it is longer than the limit."""
  limit = limits.megabytes * _MEGABYTE
  message = f"more than {limits.megabytes} MiB: send fewer images at once"
  length = request.headers.get("content-length", "0")
  if length.isdecimal() and int(length) > limit:
    raise _Refused(413, message)
  number = 0
  async for chunk in request.stream():
    number += len(chunk)
    if number > limit:
      raise _Refused(413, message)
    yield chunk


def _check_pixels(content: bytes, megapixels: int) -> None:
  """Refuse an image by its header, before it takes memory."""
  try:
    with warnings.catch_warnings():
      warnings.simplefilter("ignore")
      with Image.open(io.BytesIO(content)) as image:
        width, height = image.size
  except Image.DecompressionBombError as error:
    raise decode.CorruptImage(
      f"it has more than {megapixels} megapixels; scale it down"
    ) from error
  except Exception:  # Libraries raise anything; the decoder says what it is.
    return
  if width * height > megapixels * 10**6:
    raise decode.CorruptImage(
      f"it has {height} x {width} pixels and the limit is {megapixels}"
      " megapixels; scale it down"
    )


def _describe(trained: Trained, limits: Limits) -> dict[str, Any]:
  return {
    "description": f"{trained.run.name} {trained.run.method}, {trained.which}"
    f" checkpoint (step {trained.step})",
    "class_names": list(trained.class_names),
    "calibrated": trained.calibrated,
    "limits": dataclasses.asdict(limits),
  }


def _name(url: str) -> str:
  try:
    return parse.urlsplit(url).hostname or ""
  except ValueError:
    return ""


async def _error(request: Request, error: exceptions.HTTPException) -> Response:
  del request
  return JSONResponse(
    {"error": error.detail}, error.status_code, headers=error.headers
  )


async def _failure(request: Request, error: Exception) -> Response:
  _log.error("%s failed", request.url.path, exc_info=error)
  return JSONResponse({"error": "the server failed; its log says why"}, 500)
