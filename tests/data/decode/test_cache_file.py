# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Writers of one cache that die, and several at once."""

import pathlib
import signal
import subprocess
import sys
import threading

from counted_source import Held, decode_all, held, pixels
import numpy as np
import pytest

from etf_jax.data.decode import cache
from etf_jax.errors import InputError

pytestmark = pytest.mark.slow

_WRITER = """
import pathlib, sys, time
sys.path.insert(0, sys.argv[1])
import counted_source
from etf_jax.data.decode import cache_file
cache_file._SAVE_SECONDS = 0.0
source = counted_source.held(1000)
read = source.read
def slow(index):
  if index == int(sys.argv[3]):
    print("here", flush=True)
    time.sleep(float(sys.argv[4]))
  return read(index)
source.read = slow
counted_source.decode_all(source, cache_dir=sys.argv[2])
print(len(source.reads))
"""


def start_writer(folder, index, seconds):
  here = str(pathlib.Path(__file__).parents[1])
  arguments = [here, str(folder), str(index), str(seconds)]
  process = subprocess.Popen(
    [sys.executable, "-c", _WRITER, *arguments],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  assert process.stdout.readline() == "here\n"
  return process


def test_killed_writer_is_continued(tmp_path, capsys):
  process = start_writer(tmp_path, 600, 60)
  process.send_signal(signal.SIGKILL)
  process.communicate()
  (entry,) = {p.with_suffix("") for p in tmp_path.iterdir()}
  assert not entry.exists()
  source = held(1000)
  images, _, _ = decode_all(source, cache_dir=tmp_path)
  np.testing.assert_array_equal(images, pixels(1000, 6, 8))
  # Blocks of 256: the killed one had saved two.
  assert sorted(set(source.reads)) == [0, *range(512, 1000)]
  assert capsys.readouterr().err == (
    f"continuing after 512 of 1,000 images in {entry}.partial\n"
  )
  assert {p.suffix for p in tmp_path.iterdir()} == {"", ".lock"}


def test_second_process_waits_for_the_first(tmp_path, capsys):
  process = start_writer(tmp_path, 900, 0.5)
  source = held(1000)
  images, _, _ = decode_all(source, cache_dir=tmp_path)
  assert process.communicate() == ("1001\n", "")  # the first image twice
  assert not source.reads
  np.testing.assert_array_equal(images, pixels(1000, 6, 8))
  assert capsys.readouterr().err.startswith("waiting for another process")


def test_interrupted_call_is_continued(tmp_path, monkeypatch):
  monkeypatch.setattr(cache, "_BLOCK_IMAGES", 10)
  monkeypatch.setattr(cache, "_SMALL", 0)  # threads
  source = held(100)
  source.encoded[95] = b""
  with pytest.raises(InputError, match="image 95 cannot be decoded"):
    decode_all(source, cache_dir=tmp_path)
  again = held(100)
  images, _, _ = decode_all(again, cache_dir=tmp_path)
  np.testing.assert_array_equal(images, pixels(100, 6, 8))
  assert len(again.reads) == 11


def test_threads_stop_at_the_first_error(monkeypatch):
  monkeypatch.setattr(cache, "_BLOCK_IMAGES", 1)
  monkeypatch.setattr(cache, "_SMALL", 0)
  source = held(200)
  read, first = source.read, threading.Event()

  def slow(index):
    if not index:
      raise FileNotFoundError(2, "No such file")
    first.wait(0.01)
    return read(index)

  source.read = slow
  with pytest.raises(InputError, match="cannot read image 0"):
    decode_all(source, size=10, workers=4)
  assert len(source.reads) < 50


def test_more_than_2_to_the_31_elements(tmp_path, monkeypatch):
  # All but the last image are marked as done and remain a hole in the file.
  count, size = 180, 2000
  assert count * size * size * 3 > 2**31

  class Interrupted(Exception):
    pass

  def read(index):
    raise Interrupted

  source = held(count)
  source.read = read
  options = {"size": size, "cache_dir": tmp_path}
  with pytest.raises(Interrupted):
    decode_all(source, **options)
  (index,) = tmp_path.glob("*.partial/index.npz")
  with np.load(index) as found:
    state = dict(found)
  state["done"][:-1] = True
  np.savez(index, **state)
  source = held(count)
  images, _, good = decode_all(source, **options)
  assert source.reads == [count - 1]
  assert images.shape == (count, size, size, 3)
  assert good.all()
  expected, _, _ = decode_all(Held(source.encoded[-1:]), size=size)
  np.testing.assert_array_equal(images[-1], expected[0])
  assert not images[-2, ::100, ::100].any()
  (path,) = tmp_path.glob("*/images.npy")
  assert path.stat().st_size > 2**31
  assert path.stat().st_blocks * 512 < 2**26
