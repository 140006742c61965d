# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A page in headless Chromium, by the DevTools protocol over pipes.

with browser_page.open_page(chromium, address, 400, tmp_path) as page:
  page.wait("document.querySelector('li') !== null")
"""

import base64
import contextlib
import json
import os
import subprocess
import time

OPTIONS = (
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-dev-shm-usage",
)
OPTIONS += ("--no-first-run", "--hide-scrollbars", "--remote-debugging-pipe")
SECONDS = 60


class Page:
  """A page that is open."""

  def __init__(self, reading, writing):
    self._reading, self._writing = reading, writing
    self._number, self._session, self._errors = 0, None, []

  def call(self, method, **parameters):
    """Call a method of the protocol and return its result."""
    self._number += 1
    message = {"id": self._number, "method": method, "params": parameters}
    if self._session:
      message["sessionId"] = self._session
    self._writing.write(json.dumps(message).encode() + b"\0")
    self._writing.flush()
    while True:
      answer = self._read()
      if answer.get("id") == self._number:
        assert "error" not in answer, answer
        return answer["result"]
      self._note(answer)

  def _read(self):
    content = bytearray()
    while (byte := self._reading.read(1)) != b"\0":
      assert byte, "Chromium has ended"
      content += byte
    return json.loads(content)

  def _note(self, event):
    entry = event.get("params", {}).get("entry", {})
    if event.get("method") == "Runtime.exceptionThrown":
      self._errors.append(event["params"]["exceptionDetails"])
    elif entry.get("level") == "error" and "favicon" not in entry.get(
      "url", ""
    ):
      self._errors.append(entry)

  def attach(self, address, width):
    """Open an address in a window of a width."""
    target = self.call("Target.createTarget", url="about:blank")["targetId"]
    attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
    self._session = attached["sessionId"]
    for name in ("Page", "Runtime", "Log"):
      self.call(f"{name}.enable")
    self.call(
      "Emulation.setDeviceMetricsOverride",
      width=width,
      height=900,
      deviceScaleFactor=1,
      mobile=width < 600,
    )
    self.call("Page.navigate", url=address)

  def run(self, code):
    """Evaluate an expression of JavaScript."""
    found = self.call("Runtime.evaluate", expression=code, returnByValue=True)
    assert "exceptionDetails" not in found, found
    return found["result"].get("value")

  def wait(self, condition):
    """Wait until an expression is true."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
      found = self.call("Runtime.evaluate", expression=condition)["result"]
      if found.get("value") is True:
        return
      time.sleep(0.1)
    raise AssertionError(f"never true: {condition}")

  def errors(self):
    """Return what the page has complained of: exceptions, refused loads."""
    return self._errors

  def screenshot(self, path):
    """Write the whole page as a PNG."""
    found = self.call("Page.captureScreenshot", captureBeyondViewport=True)
    path.write_bytes(base64.b64decode(found["data"]))


@contextlib.contextmanager
def open_page(chromium, address, width, folder):
  """Start Chromium, open an address, and end Chromium."""
  to_read, to_write = os.pipe()
  from_read, from_write = os.pipe()
  command = [chromium, *OPTIONS, f"--user-data-dir={folder / 'browser'}"]
  # The protocol's file descriptors are 3 and 4.
  script = f'exec "$@" 3<&{to_read} 4>&{from_write}'
  process = subprocess.Popen(
    ["bash", "-c", script, "bash", *command],
    pass_fds=(to_read, from_write),
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
  )
  os.close(to_read)
  os.close(from_write)
  try:
    with (
      os.fdopen(from_read, "rb") as reading,
      os.fdopen(to_write, "wb") as file,
    ):
      page = Page(reading, file)
      page.attach(address, width)
      yield page
  finally:
    process.terminate()
    process.wait(30)
