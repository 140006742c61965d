# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The page and the endpoint: answers, malformed uploads, a browser."""

import base64
import io
import json
import os
from pathlib import Path
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import zlib

import browser_page
import numpy as np
from PIL import Image
import pytest
import requests
from sklearn.datasets import load_digits
import trained_runs

import etf_jax
from etf_jax import serve

web = pytest.importorskip("etf_jax.serving.web")
uvicorn = pytest.importorskip("uvicorn")
pytestmark = pytest.mark.slow

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def run(digits_dir):
  return trained_runs.digits(digits_dir)


@pytest.fixture(scope="module")
def address(run):
  """A served model with small limits, as the command starts it."""
  limits = ("--max_images=4", "--max_megabytes=1", "--max_megapixels=1")
  process = subprocess.Popen(
    [
      *(sys.executable, "-m", "etf_jax.serve", f"--workdir={run}"),
      *("--port=0", "--top=3", *limits),
    ],
    env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,
    text=True,
  )
  line = process.stdout.readline()
  (found,) = re.findall(r"^serving on (http://127\.0\.0\.1:\d+)/ ", line)
  yield found
  process.send_signal(signal.SIGINT)
  assert process.wait(60) == 0
  process.stdout.close()


@pytest.fixture(scope="module")
def digits():
  """PNGs of three digits, and their pixels."""
  pixels = np.rint(load_digits().images[:3] * (255 / 16)).astype(np.uint8)
  return [png(image) for image in pixels], pixels


def png(pixels):
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, "PNG")
  return file.getvalue()


def post(address, *contents, **options):
  files = [("image", (f"{k}.png", c)) for k, c in enumerate(contents)]
  return requests.post(f"{address}/predict", files=files, timeout=60, **options)


def refused(answer, status):
  """The line of an answer that is an error."""
  assert answer.status_code == status
  found = answer.json()
  assert list(found) == ["error"]
  check_headers(answer)
  return found["error"]


def check_headers(answer):
  for name, value in web.HEADERS.items():
    assert answer.headers[name] == value
  assert "server" not in answer.headers


def test_answers_are_those_of_the_model(address, run, digits):
  encoded, pixels = digits
  answer = post(address, *encoded)
  assert answer.status_code == 200
  check_headers(answer)
  found = answer.json()
  assert found["calibrated"] is False
  model = etf_jax.load(run)
  expected = model(pixels[..., None])
  prototypes = model.variables["etf"]["head"]["prototypes"]
  for place, row in enumerate(found["images"]):
    assert row["image"] == f"{place}.png"
    assert row["error"] is None
    assert row["class"] == expected.names[place]
    order = np.argsort(-expected.probabilities[place])[:3]
    assert [c["name"] for c in row["classes"]] == [str(k) for k in order]
    np.testing.assert_allclose(
      [c["probability"] for c in row["classes"]],
      expected.probabilities[place][order],
      rtol=1e-4,
    )
    # Of a fixed frame the nearest prototype is that of the class.
    assert row["nearest"][0]["name"] == row["class"]
    angles = [c["angle"] for c in row["nearest"]]
    assert angles == sorted(angles)
    assert np.radians(angles[0]) == pytest.approx(expected.angles[place], 1e-3)
    assert len(angles) == 3
  assert prototypes.shape[1] == 10


def test_one_image_as_the_body(address, digits):
  answer = requests.post(
    f"{address}/predict",
    data=digits[0][0],
    headers={"Content-Type": "image/png"},
    timeout=60,
  )
  (row,) = answer.json()["images"]
  (same,) = post(address, digits[0][0]).json()["images"]
  assert row | {"image": "0.png"} == same


def test_bad_files_have_an_error_and_fail_no_other(address, digits):
  encoded, _ = digits
  cut = encoded[0][:60]
  answer = post(address, cut, encoded[1], b"<svg onload=alert(1)>")
  assert answer.status_code == 200
  errors = [row["error"] for row in answer.json()["images"]]
  assert errors[1] is None
  assert errors[0]
  assert "it is no JPEG, PNG" in errors[2]


def test_a_bomb_is_refused_by_its_header(address):
  # 30,000 x 30,000 pixels in a file of some bytes.
  def chunk(kind, content):
    body = kind + content
    return len(content).to_bytes(4) + body + zlib.crc32(body).to_bytes(4)

  header = (30_000).to_bytes(4) * 2 + bytes([8, 0, 0, 0, 0])
  bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
  bomb += chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
  for content in (bomb, png(np.zeros((1001, 1000), np.uint8))):
    (row,) = post(address, content).json()["images"]
    assert "scale it down" in row["error"]


def test_limits_of_a_request(address, digits):
  line = refused(post(address, *digits[0], *digits[0]), 413)
  assert "Maximum number of files is 4" in line
  assert "more than 1 MiB" in refused(post(address, bytes(2 << 20)), 413)

  def chunks():
    for _ in range(40):
      yield bytes(1 << 16)

  answer = requests.post(
    f"{address}/predict",
    data=chunks(),
    headers={"Content-Type": "image/png"},
    timeout=60,
  )
  assert "more than 1 MiB" in refused(answer, 413)


@pytest.mark.parametrize(
  ("kind", "body", "status"),
  [
    (None, b"", 415),
    ("text/plain", b"x", 415),
    ("application/json", b"{}", 415),
    ("image/png", b"", 400),
    ("multipart/form-data", b"x", 400),
    ("multipart/form-data; boundary=a", b"", 400),
    ("multipart/form-data; boundary=a", b"--a\r\n\r\nx\r\n--a--", 400),
    ("multipart/form-data; boundary=a", b"--b\r\n\r\n", 400),
    ("multipart/form-data; boundary=", b"--\r\n\r\n", 400),
    (
      "multipart/form-data; boundary=a",
      b'--a\r\nContent-Disposition: form-data; name="x"\r\n\r\ny\r\n--a--\r\n',
      400,
    ),
    (
      "multipart/form-data; boundary=a; charset=\x00",
      b'--a\r\nContent-Disposition: form-data; filename="\xff"\r\n\r\ny',
      400,
    ),
  ],
)
def test_malformed_uploads(address, kind, body, status):
  host, port = address.removeprefix("http://").split(":")
  head = f"POST /predict HTTP/1.1\r\nHost: {host}:{port}\r\n"
  if kind is not None:
    head += f"Content-Type: {kind}\r\n"
  head += f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
  with socket.create_connection((host, int(port)), timeout=60) as connection:
    connection.sendall(head.encode("latin-1") + body)
    answer = b"".join(iter(lambda: connection.recv(65536), b""))
  found = int(answer.split()[1])
  assert found in (status, 400), answer
  assert b"Traceback" not in answer


def test_an_upload_that_breaks_off_ends_nothing(address, digits):
  host, port = address.removeprefix("http://").split(":")
  with socket.create_connection((host, int(port)), timeout=60) as connection:
    connection.sendall(
      b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\n"
      b"Content-Type: image/png\r\nContent-Length: 1000\r\n\r\nabc"
    )
  assert post(address, digits[0][0]).status_code == 200


def test_other_hosts_sites_paths_and_methods(address, digits):
  image = digits[0][0]
  for headers in (
    {"Host": "evil.example"},
    {"Origin": "http://evil.example"},
    {"Origin": "http://["},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
  ):
    refused(post(address, image, headers=headers), 403)
  own = {"Origin": address, "Sec-Fetch-Site": "same-origin"}
  assert post(address, image, headers=own).status_code == 200
  for path in ("/none", "/../web.py", "/web.py", "/predict/x"):
    refused(requests.get(address + path, timeout=60), 404)
  refused(requests.get(f"{address}/predict", timeout=60), 405)


def test_the_page_loads_nothing_from_elsewhere(address):
  found = {
    path: requests.get(address + path, timeout=60)
    for path in ("/", "/web.css", "/web.js", "/model")
  }
  for answer in found.values():
    assert answer.status_code == 200
    check_headers(answer)
  for path in ("/", "/web.css", "/web.js"):
    assert "http" not in found[path].text.replace("http-equiv", "")
    assert "innerHTML" not in found[path].text
  assert found["/model"].json()["class_names"] == list("0123456789")
  assert found["/model"].json()["limits"]["images"] == 4


def test_wrong_arguments_are_one_line(run, address, capsys):
  port = address.rsplit(":", 1)[1]
  for argument in (
    *("--max_images=0", "--top=0", "--port=-1", "--port=99999"),
    *(f"--port={port}", "--host=256.0.0.1"),
  ):
    assert serve.main([f"--workdir={run}", argument]) == 2
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {argument.split('=')[0]}") or (
      argument in line
    )


DROP = """
const bytes = Uint8Array.from(atob(%r), c => c.charCodeAt(0));
const data = new DataTransfer();
data.items.add(new File([bytes], "<b>digit</b>.png", {type: "image/png"}));
data.items.add(new File(["no image"], "note.txt", {type: "text/plain"}));
document.getElementById("drop").dispatchEvent(
  new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
"""


BAR_IN_ROW = """
(() => {
  const [row, bar] = [".row", ".bar"].map(
    name => document.querySelector(name).getBoundingClientRect());
  return bar.width > 0 && row.top <= bar.top && bar.bottom <= row.bottom;
})()
"""


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_in_a_browser(run, address, digits, tmp_path, width):
  with browser_page.open_page(CHROMIUM, address, width, tmp_path) as page:
    page.wait("document.getElementById('model').textContent.includes('10 cl')")
    page.run(DROP % base64.b64encode(digits[0][0]).decode())
    page.wait("document.querySelectorAll('#results > li').length == 2")
    found = page.run("document.getElementById('results').innerText")
    (row, _) = post(address, digits[0][0], b"no image").json()["images"]
    first = row["classes"][0]
    assert f"{100 * first['probability']:.1f} %" in found
    assert "<b>digit</b>.png" in found
    assert "Nearest prototypes" in found
    assert "Not classified: it is no JPEG" in found
    overflow = "document.documentElement.scrollWidth - innerWidth"
    assert page.run(overflow) <= 0
    assert page.run("document.querySelector('#results img').naturalWidth") == 8
    assert page.run(BAR_IN_ROW)
    page.screenshot(tmp_path / f"serve_{width}.png")
    assert page.errors() == []


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_the_commands_of_the_guide(run, digits, tmp_path):
  guide = Path(etf_jax.__file__).parent / "evaluation" / "README.md"
  _, text = guide.read_text().split("\n## Serving\n")
  install, start, curl = re.findall(r"^    (.*)$", text.split("\n## ")[0], re.M)
  assert install == "pip install 'etf_jax[serve]'"
  photograph = tmp_path / "0.png"
  photograph.write_bytes(digits[0][0])
  words = shlex.split(start.replace("RUN", str(run)))
  with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
  with subprocess.Popen(
    [sys.executable, *words[1:], f"--port={port}"],
    env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,
    text=True,
  ) as process:
    assert f":{port}/" in process.stdout.readline()
    command = curl.replace("PHOTOGRAPH", str(photograph))
    command = shlex.split(command.replace(":8000", f":{port}"))
    found = subprocess.run(
      [*command, "--silent"], check=True, capture_output=True
    )
    process.send_signal(signal.SIGINT)
  (row,) = json.loads(found.stdout)["images"]
  assert row["class"] == etf_jax.load(run)(digits[1][:1, ..., None]).names[0]
