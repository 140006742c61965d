# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Speed of decoding and of the stream feed: `etf_jax.benchmark feed`.

Decoding is timed in one thread, against Pillow alone; the feed on all cores,
against tf.data on the same files, in a process of its own.
"""

import argparse
from collections.abc import Iterator
import contextlib
import dataclasses
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
from etf_jax.benchmarks import turns
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
# With ours as exact as TensorFlow can: its defaults are a less accurate cosine
# transform and scaling that is not antialiased.
_TF_DATA, _TF_DEFAULTS = "tf.data", "tf.data, its defaults"


@dataclasses.dataclass(frozen=True)
class _Rounds:
  """The images in order, over and over; a `stream.Plan`."""

  size: int
  batch_size: int
  steps: int = 2**31

  def indices(self, step: int) -> np.ndarray:
    start = step * self.batch_size
    return np.arange(start, start + self.batch_size) % self.size


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """Add the options of the command."""
  parser.add_argument(
    "--dir", type=pathlib.Path, help="JPEGs at any depth; default: made ones"
  )
  parser.add_argument(
    "--images", type=_positive, default=256, help="how many, at most"
  )
  parser.add_argument(
    "--sizes",
    type=lambda text: [_positive(part) for part in text.split(",")],
    default=[256, 224],
    help="sides that are decoded to, by commas; the first is the feeds'",
  )
  parser.add_argument("--batch_size", type=_positive, default=64)
  parser.add_argument(
    "--workers",
    type=_not_negative,
    default=decode.cpu_threads(),
    help="processes of the feed that has some; 0 for no such feed",
  )
  parser.set_defaults(blocks=5, seconds=2.0)


def _positive(text: str) -> int:
  number = int(text)
  if number < 1:
    raise argparse.ArgumentTypeError(f"{text} is not positive")
  return number


def _not_negative(text: str) -> int:
  number = int(text)
  if number < 0:
    raise argparse.ArgumentTypeError(f"{text} is negative")
  return number


def run(options: argparse.Namespace) -> list[dict[str, Any]]:
  """Time decoding and the feeds.

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
      "mean_bytes": _check(source),
      "made": options.dir is None,
      "versions": _versions(),
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
    # Smooth colours, and the finer the detail the weaker, as in photographs.
    pixels = np.zeros((*shape, 3), np.float32)
    fall = rng.uniform(0.7, 0.9)
    for octave in range(1, 9):
      rows, columns = (2 + side * 2**octave // 500 for side in shape)
      noise = rng.integers(0, 256, (rows, columns, 3), np.uint8)
      layer = Image.fromarray(noise).resize(
        shape[::-1], Image.Resampling.BICUBIC
      )
      layer = np.asarray(layer, np.float32) - 127.5
      if octave > 4:  # Detail is mostly grey.
        layer = 0.7 * layer.mean(axis=2, keepdims=True) + 0.3 * layer
      pixels += 0.8 * fall ** (octave - 1) * layer
    image = Image.fromarray(np.clip(pixels + 127.5, 0, 255).astype(np.uint8))
    image.save(folder / f"{index:06}.jpg", quality=int(rng.integers(88, 96)))


def _open(folder: pathlib.Path, most: int) -> folders.FileSource:
  """The JPEGs below a folder, or as many of them from all over it."""
  folder = folder.expanduser()
  if not folder.is_dir():
    raise InputError(f"--dir={folder}: there is no such folder")
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


def _check(source: folders.FileSource) -> float:
  """Decode every file once; returns their mean size in bytes."""
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
  """What torchvision does for Resize(size) and CenterCrop(size)."""
  image = Image.open(io.BytesIO(encoded)).convert("RGB")
  shorter = min(image.size)
  width, height = (size * side // shorter for side in image.size)
  image = image.resize((width, height), Image.Resampling.BILINEAR)
  left, top = (width - size) // 2, (height - size) // 2
  return np.asarray(image.crop((left, top, left + size, top + size)))


def _decoding(source, size, options) -> dict[str, Any]:
  """One thread, files that are in memory."""
  files = [source.read(index) for index in range(len(source.labels))]

  def arm(function):
    following = itertools.cycle(files)

    def turn(batches):
      wall, processors = time.perf_counter(), time.process_time()
      for encoded in itertools.islice(following, batches * options.batch_size):
        function(encoded)
      processors = time.process_time() - processors
      return turns.Taken(time.perf_counter() - wall, processors)

    return turn

  def ours(decoder):
    return lambda encoded: decode.decode(
      encoded, channels=3, size=size, fit="shorter", decoder=decoder
    )

  arms = {}
  for decoder in ("simplejpeg", "opencv", "pillow"):
    with contextlib.suppress(InputError):  # It is not installed.
      arms[decoder] = arm(ours(decode.choose(decoder)))
  arms[_PILLOW_ALONE] = arm(lambda encoded: _by_pillow_alone(encoded, size))
  return {"part": "decoding", "size": size} | turns.compare(
    arms,
    base=_PILLOW_ALONE,
    batch_size=options.batch_size,
    blocks=options.blocks,
    seconds=options.seconds,
  )


def _feeds(source, options) -> dict[str, Any]:
  """All cores, from files to batches."""
  size, batch_size = options.sizes[0], options.batch_size
  chosen = decode.choose(None)
  feeds = {f"ours, {decoder}": (decoder, 0) for decoder in (chosen, "pillow")}
  if options.workers:
    feeds[f"ours, {chosen}, {options.workers} processes"] = (
      chosen,
      options.workers,
    )
  row: dict[str, Any] = {
    "part": "feed",
    "size": size,
    "batch_size": batch_size,
    "difference": {},
  }
  arms = {}
  with contextlib.ExitStack() as stack:
    for name, (decoder, workers) in feeds.items():
      pixels = data.Pixels((size, size, 3), size, "shorter", decoder, "error")
      batches = stream.Batches(
        data.Encoded(source, pixels),
        _Rounds(len(source.labels), batch_size),
        threads=1 if workers else decode.cpu_threads(),
      )
      feed = stack.enter_context(stream.Stream(batches, workers=workers))
      arms[name] = lambda batches, feed=feed, counted=not workers: turns.pull(
        feed, batches, counted=counted
      )
    if importlib.util.find_spec("tensorflow") is not None:
      ours = batches[0].images.astype(np.float32)
      paths = [source.describe(i) for i in range(len(source.labels))]
      for name in (_TF_DATA, _TF_DEFAULTS):
        arms[name], first = stack.enter_context(
          _tf_data(paths, size, batch_size, accurate=name == _TF_DATA)
        )
        row["difference"][name] = float(np.mean(np.abs(first - ours)))
    return row | turns.compare(
      arms,
      base=_TF_DEFAULTS if _TF_DEFAULTS in arms else "ours, pillow",
      batch_size=batch_size,
      blocks=options.blocks,
      seconds=options.seconds,
    )


@contextlib.contextmanager
def _tf_data(
  paths: list[str], size: int, batch_size: int, *, accurate: bool
) -> Iterator[tuple[turns.Arm, np.ndarray]]:
  """A feed of tf.data in a process of its own, and its first batch.

  It cuts out the middle before it scales, which is less work than after it, and
  puts the borders up to half a pixel from where ours are.
  """
  context = multiprocessing.get_context("spawn")
  here, there = context.Pipe()
  process = context.Process(
    target=_serve, args=(there, paths, size, batch_size, accurate), daemon=True
  )
  process.start()
  there.close()

  def ask(batches):
    try:
      here.send(batches)
      answer = here.recv()
    except (EOFError, OSError) as error:
      raise InputError(
        "tf.data's process ended; uninstall TensorFlow to measure without it"
      ) from error
    if isinstance(answer, str):
      raise InputError(f"tf.data cannot make batches: {answer}")
    return answer

  try:
    yield ask, ask(0)
  finally:
    here.close()
    process.join(10)
    process.terminate()


def _serve(connection, paths, size, batch_size, accurate) -> None:
  """Answer 0 with a batch, and other numbers with the time of so many."""
  os.environ["CUDA_VISIBLE_DEVICES"] = ""
  with open(os.devnull, "w") as nowhere:  # TensorFlow talks while it starts.
    os.dup2(nowhere.fileno(), 2)
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
      .prefetch(turns.READY)
      .as_numpy_iterator()
    )
    while True:
      batches = connection.recv()
      connection.send(
        turns.pull(feed, batches, counted=True) if batches else next(feed)
      )
  except EOFError:
    pass
  except Exception as error:  # TensorFlow's, by the type of file.
    connection.send(" ".join(str(error).split())[:200])


def table(rows: list[dict[str, Any]]) -> list[str]:
  """The results as lines."""
  first = rows[0]
  lines = [
    " ".join(f"{key}={value}" for key, value in first["versions"].items()),
    f"{first['images']} JPEGs{' made for this' if first['made'] else ''}, "
    f"{first['mean_bytes'] / 1000:.0f} kB on average; {first['cores']} cores; "
    f"median (range) of {first['blocks']} turns; all ratios: above 1 is better",
  ]
  for row in rows:
    if row["part"] == "decoding":
      what = f"decoding to {row['size']}, one thread"
    else:
      what = f"feed of {row['size']}, batches of {row['batch_size']}, all cores"
    lines.append(
      f"{what}; ratio to {row['base']}; the machine's load {row['load']:.1f}"
    )
    width = max(map(len, row["arms"]))
    for name, arm in row["arms"].items():
      line = (
        f"  {name:<{width}} {arm['images_per_second']:>6.0f} images/s "
        f"({arm['images_per_second_min']:.0f}-"
        f"{arm['images_per_second_max']:.0f}), ratio {arm['ratio']:.2f} "
        f"({arm['ratio_min']:.2f}-{arm['ratio_max']:.2f})"
      )
      if "processor_ms" in arm:
        line += (
          f"; CPU {arm['processor_ms']:.2f} ms an image, ratio "
          f"{arm['processor_ratio']:.2f}, {arm['cores']:.1f} cores"
        )
      lines.append(line)
    for name, difference in row.get("difference", {}).items():
      lines.append(
        f"  {name}: its pixels differ from ours by {difference:.2f} on average"
      )
    if row["part"] == "feed" and not row["difference"]:
      lines.append(
        "  tf.data was not measured: TensorFlow is not installed (pip install "
        "tensorflow-cpu)"
      )
  return lines
