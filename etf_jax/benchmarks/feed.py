# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Images per second of decoding and of the stream feed.

Decoding runs in one thread, beside Pillow alone; the feed on all cores, beside
tf.data on the same files in a process.
"""

import argparse
from collections.abc import Iterator
import contextlib
import dataclasses
import functools
import importlib.metadata
import importlib.util
import io
import itertools
import multiprocessing
import os
import pathlib
import tempfile
import time
from typing import Any

import numpy as np
from PIL import Image

from etf_jax import data
from etf_jax.benchmarks import timing
from etf_jax.data import decode
from etf_jax.data.feeds import stream
from etf_jax.data.sources import folders
from etf_jax.errors import InputError

_SUFFIXES = (".jpg", ".jpeg")
_PACKAGES = (
  *("simplejpeg", "opencv-python-headless", "opencv-python", "pillow"),
  *("grain", "tensorflow", "tensorflow-cpu"),
)
_PILLOW_ALONE = "Pillow alone"
# At our accuracy, and by default: a coarser cosine transform and scaling that
# is not antialiased.
_TF_DATA, _TF_DEFAULTS = "tf.data", "tf.data, defaults"
_PREFETCHED = 2
# A feed works ahead between its turns. The batches at hand are not timed.
_UNTIMED = 4 * _PREFETCHED


@dataclasses.dataclass
class _Rounds:
  """The images in order, over and over; a `stream.BatchPlan`."""

  size: int
  batch_size: int
  steps: int = 2**31

  def indices(self, step: int) -> np.ndarray:
    start = step * self.batch_size
    return np.arange(start, start + self.batch_size) % self.size


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """Add the options of `feed`."""
  parser.add_argument(
    "--dir", type=pathlib.Path, help="JPEGs at any depth; default: made ones"
  )
  parser.add_argument(
    "--images", type=timing.size, default=256, help="number of files, at most"
  )
  parser.add_argument(
    "--sizes",
    type=timing.sizes,
    default=[256, 224],
    help="sides of decoded images, by commas; the first is that of the feeds",
  )
  parser.add_argument("--batch_size", type=timing.size, default=64)
  parser.add_argument(
    "--workers",
    type=_not_negative,
    default=decode.cpu_threads(),
    help="processes of the feed with processes; 0 for no such feed",
  )
  parser.set_defaults(blocks=5, seconds=2.0)


def _not_negative(text: str) -> int:
  number = int(text)
  if number < 0:
    raise argparse.ArgumentTypeError(f"{text} is negative")
  return number


def run(options: argparse.Namespace) -> list[dict[str, Any]]:
  """Time decoding at each size and the feeds at the first; a row for each.

  Raises:
    InputError: The folder holds no JPEG, or one that cannot be decoded.
  """
  with contextlib.ExitStack() as stack:
    folder = options.dir
    if folder is None:
      folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
      write_photographs(folder, options.images)
    source = _open(folder, options.images)
    about = {
      "images": len(source.labels),
      "mean_bytes": _mean_bytes(source),
      "made": options.dir is None,
      "versions": _versions(),
      "batch_size": options.batch_size,
      "cores": decode.cpu_threads(),
      "blocks": options.blocks,
    }
    rows = [_decoding(source, size, options) for size in options.sizes]
    rows.append(_feeds(source, options))
  return [about | row for row in rows]


def write_photographs(folder: pathlib.Path, count: int) -> None:
  """Write JPEGs of about 500x375 pixels and 40 to 110 kB, by fixed seeds."""
  for index in range(count):
    rng = np.random.default_rng(index)
    short = int(rng.integers(333, 418))
    shape = (500, short) if index % 4 == 3 else (short, 500)
    # Smooth colors, and the finer the detail the weaker, as in photographs.
    pixels = np.zeros((*shape, 3), np.float32)
    fall = rng.uniform(0.7, 0.9)
    for octave in range(1, 9):
      rows, columns = (2 + side * 2**octave // 500 for side in shape)
      noise = rng.integers(0, 256, (rows, columns, 3), np.uint8)
      scaled = Image.fromarray(noise).resize(
        shape[::-1], Image.Resampling.BICUBIC
      )
      layer = np.asarray(scaled, np.float32) - 127.5
      if octave > 4:  # Detail is mostly gray.
        layer = 0.7 * layer.mean(axis=2, keepdims=True) + 0.3 * layer
      pixels += 0.8 * fall ** (octave - 1) * layer
    image = Image.fromarray(np.clip(pixels + 127.5, 0, 255).astype(np.uint8))
    image.save(folder / f"{index:06}.jpg", quality=int(rng.integers(88, 96)))


def _open(folder: pathlib.Path, most: int) -> folders.FileSource:
  """Return the JPEGs below a folder, at most some from all over it."""
  if not folder.is_dir():
    raise InputError(f"--dir={folder}: there is no such folder; name another")
  paths = sorted(
    str(path.relative_to(folder))
    for path in folder.rglob("*")
    if path.suffix.lower() in _SUFFIXES and path.is_file()
  )
  if not paths:
    raise InputError(
      f"--dir={folder} holds no file that ends in {' or '.join(_SUFFIXES)}; "
      "name a folder of JPEGs, or leave --dir out and some are made"
    )
  if len(paths) > most:
    paths = [paths[i * len(paths) // most] for i in range(most)]
  return folders.file_source(str(folder), paths, np.zeros(len(paths)), ("",))


def _mean_bytes(source: folders.FileSource) -> float:
  """Return the mean size of the files, each decoded once as a check."""
  total = 0
  for index in range(len(source.labels)):
    encoded = source.read(index)
    total += len(encoded)
    try:
      _by_pillow_alone(encoded, 8)
    except Exception as error:  # Pillow raises anything on damaged files.
      raise InputError(
        f"{source.describe(index)} cannot be decoded "
        f"({' '.join(str(error).split())}); remove it"
      ) from error
  return total / len(source.labels)


def _versions() -> dict[str, str]:
  found = {}
  for package in _PACKAGES:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
      found[package] = importlib.metadata.version(package)
  return found


def _by_pillow_alone(encoded: bytes, size: int) -> np.ndarray:
  """Decode as torchvision does with Resize(size) and CenterCrop(size)."""
  image = Image.open(io.BytesIO(encoded)).convert("RGB")
  shorter = min(image.size)
  width, height = (size * side // shorter for side in image.size)
  image = image.resize((width, height), Image.Resampling.BILINEAR)
  left, top = (width - size) // 2, (height - size) // 2
  return np.asarray(image.crop((left, top, left + size, top + size)))


def _decoding(source, size: int, options) -> dict[str, Any]:
  """Time one thread on files that are in memory."""
  files = [source.read(index) for index in range(len(source.labels))]

  def arm(function) -> timing.Turn:
    following = itertools.cycle(files)

    def turn(batches: int) -> float:
      started = time.perf_counter()
      for encoded in itertools.islice(following, batches * options.batch_size):
        function(encoded)
      return time.perf_counter() - started

    return turn

  def ours(decoder):
    return lambda encoded: decode.decode(
      encoded, channels=3, size=size, fit="shorter", decoder=decoder
    )

  arms = {}
  for decoder in ("simplejpeg", "opencv", "pillow"):
    with contextlib.suppress(InputError):  # not installed
      arms[decoder] = arm(ours(decode.choose(decoder)))
  arms[_PILLOW_ALONE] = arm(lambda encoded: _by_pillow_alone(encoded, size))
  return {"part": "decoding", "size": size} | _compare(
    arms, _PILLOW_ALONE, options
  )


def _feeds(source, options) -> dict[str, Any]:
  """Time all cores, from files to batches."""
  size, batch_size = options.sizes[0], options.batch_size
  chosen = decode.choose(None)
  feeds = {f"ours, {decoder}": (decoder, 0) for decoder in (chosen, "pillow")}
  if options.workers:
    name = f"ours, {chosen}, {options.workers} processes"
    feeds[name] = (chosen, options.workers)
  differences: dict[str, float] = {}
  arms: dict[str, timing.Turn] = {}
  with contextlib.ExitStack() as stack:
    for name, (decoder, workers) in feeds.items():
      pixels = data.Pixels((size, size, 3), size, "shorter", decoder, "error")
      batches = stream.Batches(
        data.Encoded(source, pixels),
        _Rounds(len(source.labels), batch_size),
        threads=1 if workers else decode.cpu_threads(),
      )
      feed = stack.enter_context(stream.Stream(batches, workers=workers))
      arms[name] = functools.partial(pull, feed)
    if importlib.util.find_spec("tensorflow") is not None:
      ours = batches[0].images.astype(np.float32)
      paths = [source.describe(i) for i in range(len(source.labels))]
      for name in (_TF_DATA, _TF_DEFAULTS):
        arms[name], first = stack.enter_context(
          _tf_data(paths, size, batch_size, accurate=name == _TF_DATA)
        )
        differences[name] = float(np.mean(np.abs(first - ours)))
    base = _TF_DEFAULTS if _TF_DEFAULTS in arms else "ours, pillow"
    row = {"part": "feed", "size": size, "difference": differences}
    return row | _compare(arms, base, options)


def pull(feed: Iterator, batches: int) -> float:
  """Return the seconds of some batches of a feed that works ahead."""
  for _ in range(_UNTIMED):
    next(feed)
  started = time.perf_counter()
  for _ in range(batches):
    next(feed)
  return time.perf_counter() - started


def _compare(arms: dict[str, timing.Turn], base: str, options):
  """Return images per second by arm, and ratios to the base in each block."""
  taken = timing.take_turns(
    arms, blocks=options.blocks, seconds=options.seconds
  )
  rows = {}
  for name, seconds in taken.items():
    rates = [options.batch_size / one for one in seconds]
    rows[name] = timing.spread_of("images_per_second", rates)
    rows[name] |= timing.ratio(taken, base, name)
  return {"base": base, "arms": rows}


@contextlib.contextmanager
def _tf_data(
  paths: list[str], size: int, batch_size: int, *, accurate: bool
) -> Iterator[tuple[timing.Turn, np.ndarray]]:
  """Start a feed of tf.data in a process; yield its turn and first batch.

  It crops before it scales, which is less work, and puts the borders up to half
  a pixel from where ours are.
  """
  context = multiprocessing.get_context("spawn")
  connection, remote = context.Pipe()
  process = context.Process(
    target=_serve, args=(remote, paths, size, batch_size, accurate), daemon=True
  )
  process.start()
  remote.close()

  def ask(batches):
    try:
      connection.send(batches)
      answer = connection.recv()
    except (EOFError, OSError) as error:
      raise InputError(
        "tf.data's process ended; uninstall TensorFlow to measure without it"
      ) from error
    if isinstance(answer, str):
      raise InputError(
        f"tf.data cannot make batches: {answer}; remove that file"
      )
    return answer

  try:
    yield ask, ask(0)
  finally:
    connection.close()
    process.join(10)
    process.terminate()


def _serve(connection, paths, size, batch_size, accurate) -> None:
  """Answer 0 with a batch and another number with the seconds of so many."""
  os.environ["CUDA_VISIBLE_DEVICES"] = ""
  with open(os.devnull, "w") as null:  # TensorFlow talks while it starts.
    os.dup2(null.fileno(), 2)
  try:
    import tensorflow as tf

    method = "INTEGER_ACCURATE" if accurate else ""

    def load(path):
      image = tf.io.decode_jpeg(
        tf.io.read_file(path), channels=3, dct_method=method
      )
      height, width = tf.shape(image)[0], tf.shape(image)[1]
      side = tf.minimum(height, width)
      image = tf.image.crop_to_bounding_box(
        image, (height - side) // 2, (width - side) // 2, side, side
      )
      image = tf.image.resize(image, (size, size), antialias=accurate)
      return tf.cast(tf.round(image), tf.uint8)

    feed = (
      tf.data.Dataset.from_tensor_slices(paths)
      .repeat()
      .map(load, num_parallel_calls=tf.data.AUTOTUNE)
      .batch(batch_size)
      .prefetch(_PREFETCHED)
      .as_numpy_iterator()
    )
    while True:
      batches = connection.recv()
      connection.send(pull(feed, batches) if batches else next(feed))
  except EOFError:
    pass
  except Exception as error:  # TensorFlow's, by the type of file.
    connection.send(" ".join(str(error).split())[:200])


def table(results: list[dict[str, Any]]) -> list[str]:
  """Return the printed lines."""
  first = results[0]
  lines = [
    " ".join(f"{key}={value}" for key, value in first["versions"].items()),
    f"{first['images']} JPEGs{' made for this' if first['made'] else ''},"
    f" {first['mean_bytes'] / 1000:.0f} kB on average; {first['cores']} cores;"
    f" median (range) of {first['blocks']} blocks; a ratio above 1 is faster",
  ]
  for row in results:
    title = f"decoding to {row['size']}, one thread"
    if row["part"] == "feed":
      title = f"feed of {row['size']}, batches of {row['batch_size']}"
    cells = [
      [
        name,
        timing.spread(arm, "images_per_second", ".0f"),
        timing.spread(arm, "ratio", ".2f"),
      ]
      for name, arm in row["arms"].items()
    ]
    columns = [title, "images/s", f"ratio to {row['base']}"]
    lines += ["", *timing.table(columns, cells)]
  lines += [
    f"{name}: its pixels differ from ours by {difference:.2f} on average"
    for name, difference in results[-1]["difference"].items()
  ]
  if not results[-1]["difference"]:
    lines.append(
      "tf.data was not measured: TensorFlow is not installed (pip install"
      " tensorflow-cpu)"
    )
  return lines
