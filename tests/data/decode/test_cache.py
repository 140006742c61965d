# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
import concurrent.futures
import os

from counted_source import Held, decode_all, encode, held, pixels
import numpy as np
import pytest

from etf_jax.data.decode import cache, cache_file
from etf_jax.errors import InputError


@pytest.fixture(params=["memory", "file"])
def where(request, tmp_path):
  return {"cache_dir": None if request.param == "memory" else tmp_path / "c"}


# What comes out.


def test_images_of_one_shape(where):
  source = held(600)  # three blocks
  images, sizes, good = decode_all(source, **where)
  np.testing.assert_array_equal(images, pixels(600, 6, 8))
  assert images.dtype == np.uint8
  assert sizes is None
  assert good.dtype == np.bool_
  assert good.all()


@pytest.mark.parametrize("workers", [1, 4])
def test_longer_side_gives_sizes(where, workers, monkeypatch):
  monkeypatch.setattr(cache, "_BLOCK_IMAGES", 3)
  shapes = [(90, 120), (120, 90), (200, 50), (30, 40)] * 4
  source = Held(
    [encode(np.full((*s, 3), 7 + i, np.uint8)) for i, s in enumerate(shapes)]
  )
  images, sizes, good = decode_all(
    source, size=100, fit="longer", workers=workers, **where
  )
  expected = np.array([(75, 100), (100, 75), (100, 25), (30, 40)] * 4)
  np.testing.assert_array_equal(sizes, expected)
  assert sizes.dtype == np.int32
  for i, (height, width) in enumerate(expected):
    canvas = np.zeros((100, 100, 3))
    canvas[:height, :width] = 7 + i
    np.testing.assert_array_equal(images[i], canvas)
  assert good.all()


def test_one_channel_and_shorter_side(where):
  source = Held([encode(np.full((40, 50, 3), 9, np.uint8), "JPEG")] * 2)
  images, sizes, _ = decode_all(source, channels=1, size=20, **where)
  np.testing.assert_array_equal(images, np.full((2, 20, 20, 1), 9))
  assert sizes is None


def test_corrupt_images_are_errors(where):
  source = held(5)
  source.encoded[3] = b"text"
  line = "image 3 cannot be decoded: it is no JPEG.*; mend .*corrupt='skip'"
  with pytest.raises(InputError, match=line):
    decode_all(source, **where)


@pytest.mark.parametrize(
  ("count", "more"), [(2, ""), (5, ""), (8, " and 3 more")]
)
def test_all_corrupt_images_are_counted_at_once(where, count, more):
  source = held(30)
  for index in range(3, 3 + count):
    source.encoded[index] = b""
  with pytest.raises(InputError) as caught:
    decode_all(source, size=10, **where)
  named = [f"image {i} (the file is empty)" for i in range(3, 3 + count)][:5]
  assert str(caught.value) == (
    f"{count} images cannot be decoded: {', '.join(named)}{more}; mend or "
    "remove them, or set config.data.corrupt='skip'"
  )


@pytest.mark.parametrize("size", [None, 10])
def test_corrupt_images_are_skipped(where, size, capsys):
  source = held(30)
  bad = [0, 1, 29]
  for index in bad:
    source.encoded[index] = b""
  whole, _, _ = decode_all(held(30), size=size)
  images, _, good = decode_all(source, size=size, corrupt="skip", **where)
  assert np.flatnonzero(~good).tolist() == bad
  assert not images[bad].any()
  np.testing.assert_array_equal(images[good], whole[good])
  expected = [f"skipped image {i}: the file is empty" for i in bad]
  assert capsys.readouterr().err.splitlines() == expected


def test_corrupt_images_fill_their_canvas(where):
  source = held(2)
  source.encoded[1] = b""
  _, sizes, _ = decode_all(
    source, size=10, fit="longer", corrupt="skip", **where
  )
  np.testing.assert_array_equal(sizes, [[6, 8], [10, 10]])


def test_many_corrupt_images_are_counted(where, capsys):
  source = held(40)
  for index in range(10, 35):
    source.encoded[index] = b""
  decode_all(source, corrupt="skip", **where)
  lines = capsys.readouterr().err.splitlines()
  assert len(lines) == 21
  assert lines[19] == "skipped image 29: the file is empty"
  assert lines[20] == "skipped 5 more, 25 of 40 images in all"


@pytest.mark.parametrize("size", [None, 10])
def test_no_good_image(where, size):
  said = "none of 2 images can be decoded; image 0: the file is empty"
  with pytest.raises(InputError, match=said):
    decode_all(Held([b"", b""]), corrupt="skip", size=size, **where)


def test_no_image(where):
  with pytest.raises(InputError, match="there are no images to decode"):
    decode_all(Held([]), **where)


@pytest.mark.parametrize("corrupt", ["error", "skip"])
def test_shapes_must_agree(where, corrupt):
  source = held(4)
  source.encoded[2] = encode(pixels(1, 5, 8)[0])
  line = r"image 2 has shape \(5, 8, 3\) and not \(6, 8, 3\) .*image_size"
  with pytest.raises(InputError, match=line):
    decode_all(source, corrupt=corrupt, **where)


def test_unreadable_file(where):
  source = held(3)
  source.read = lambda index: open("absent.png", "rb")  # noqa: SIM115
  said = r"cannot read image 0 \(No such file or directory\)"
  with pytest.raises(InputError, match=said):
    decode_all(source, corrupt="skip", **where)


def test_more_than_memory():
  said = "2 decoded images take 6,000,000,000,000,000,000 bytes, more memory"
  with pytest.raises(InputError, match=said):
    decode_all(held(2), size=10**9)


def test_small_images_need_no_pool(monkeypatch):
  monkeypatch.setattr(concurrent.futures, "ThreadPoolExecutor", None)
  images, _, _ = decode_all(held(600), workers=2)
  assert images.shape == (600, 6, 8, 3)


# Reuse.


def test_second_call_reads_no_image(tmp_path, capsys):
  first = decode_all(held(9), size=16, cache_dir=tmp_path)
  source = held(9)
  second = decode_all(source, size=16, cache_dir=tmp_path)
  assert not source.reads
  np.testing.assert_array_equal(second[0], first[0])
  assert isinstance(second[0], np.memmap)
  assert not second[0].flags.writeable
  assert capsys.readouterr().err == ""


def test_reused_file_remembers_corrupt_images(tmp_path, capsys):
  def source():
    made = held(4)
    made.encoded[2] = b""
    return made

  options = {"cache_dir": tmp_path, "size": 12, "fit": "longer"}
  first = decode_all(source(), corrupt="skip", **options)
  said = capsys.readouterr().err
  again = source()
  second = decode_all(again, corrupt="skip", **options)
  assert not again.reads
  assert capsys.readouterr().err == said
  for a, b in zip(first, second, strict=True):
    np.testing.assert_array_equal(a, b)
  with pytest.raises(
    InputError, match="image 2 cannot be decoded: the file is"
  ):
    decode_all(source(), **options)
  assert not again.reads


def test_what_decides_the_pixels_is_in_the_key(tmp_path):
  options = {"channels": 3, "size": 8, "fit": "shorter", "decoder": "pillow"}
  keys = [cache_file.key(held(4), options)]
  assert cache_file.key(held(4, seed=1), options) == keys[0]
  for change in (
    {"channels": 1},
    {"size": None},
    {"size": 9},
    {"fit": "longer"},
    {"decoder": "opencv"},
  ):
    keys.append(cache_file.key(held(4), options | change))
  keys.append(cache_file.key(held(5), options))
  other = held(4)
  other.labels = other.labels[::-1]
  keys.append(cache_file.key(other, options))
  path = tmp_path / "a.png"
  names = ["1", "2", "3", str(path)]
  keys.append(cache_file.key(Held(held(4).encoded, names), options))
  for content, changed in ((b"1", 10**9), (b"12", 10**9), (b"12", 2 * 10**9)):
    path.write_bytes(content)
    os.utime(path, ns=(changed, changed))
    keys.append(cache_file.key(Held(held(4).encoded, names), options))
  assert len(set(keys)) == len(keys) == 12


def test_damaged_file(tmp_path):
  decode_all(held(3), cache_dir=tmp_path)
  (path,) = tmp_path.glob("*/images.npy")
  path.write_bytes(path.read_bytes()[:-1])
  said = r"the decoded images in .* are damaged \(.*\); remove it"
  with pytest.raises(InputError, match=said):
    decode_all(held(3), cache_dir=tmp_path)


def test_folder_that_cannot_be_made(tmp_path):
  (tmp_path / "file").write_text("")
  said = "cannot write to config.data.cache_dir='.*file' .File exists.; give"
  with pytest.raises(InputError, match=said):
    decode_all(held(3), cache_dir=tmp_path / "file")


def test_no_room(tmp_path):
  source = held(2)
  line = "2 decoded images need 60,000,000,000,000,000 bytes .* free; give ano"
  with pytest.raises(InputError, match=line):
    decode_all(source, size=10**8, cache_dir=tmp_path)
  assert not source.reads
  assert [p.suffix for p in tmp_path.iterdir()] == [".lock"]


def test_quick_work_is_silent(capfd):
  decode_all(held(20))
  assert capfd.readouterr().err == ""
