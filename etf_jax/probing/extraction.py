# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Features of images in files, written as a file of features that resumes.

parts = find("DIR")                        # by split and class
extract(encoder, parts, Path("x.npz"), batch_size=64, corrupt="error")

Rows are appended to `OUTPUT.part/rows` as they are made; the file of features
appears when it is complete, and the folder goes.
"""

from collections.abc import Mapping, Sequence
import hashlib
import json
import logging
import os
from pathlib import Path
import shutil
from typing import NamedTuple

import numpy as np

from etf_jax.data.sources import folders
from etf_jax.errors import InputError
from etf_jax.probing.encoders import Encoder
from etf_jax.runs import console, files
from etf_jax.serving import image_files, prediction

_log = logging.getLogger("etf_jax")


class Part(NamedTuple):
  """Images of a split.

  Attributes:
    prefix: of its arrays, `train_` or `test_`; "": of images in no split.
    paths: files, N of them.
    labels: N names of classes; None where images lie in no class.
  """

  prefix: str
  paths: Sequence[str]
  labels: Sequence[str] | None


def find(directory: str) -> list[Part]:
  """Find the images of a folder, by split and class.

  Args:
    directory: holds SPLIT/CLASS/IMAGE as configs/folder.py has it, CLASS/IMAGE,
      or images at any depth.

  Raises:
    InputError: there is none.
  """
  root = Path(directory)
  if not root.is_dir():
    raise InputError(f"--dir={directory}: no such folder; give one of images")
  if (root / "train").is_dir():
    found = folders.scan(root)
    return [
      Part(
        f"{split}_",
        [source.describe(i) for i in range(len(source.labels))],
        [source.class_names[k] for k in source.labels],
      )
      for split, source in found.items()
      if split in ("train", "test")
    ]
  paths = image_files.walk(directory)
  inside = [os.path.relpath(path, directory).split(os.sep) for path in paths]
  labels = [names[0] for names in inside] if min(map(len, inside)) > 1 else None
  return [Part("", paths, labels)]


def extract(
  encoder: Encoder,
  parts: Sequence[Part],
  root: str,
  output: Path,
  *,
  batch_size: int,
  corrupt: str,
) -> tuple[int, int]:
  """Write the features of images to an .npz; a repeated call goes on.

  It holds for each part `x` float32 `[N, d]`, `y` the names of the classes,
  `files` the paths from the root, and once `model`, the name of the encoder.

  Args:
    encoder: the model.
    parts: images, see `find`.
    root: folder that `files` start from.
    output: the .npz.
    batch_size: images at once; the last batch is filled up.
    corrupt: an image that cannot be decoded is left out (`skip`) or an `error`.

  Returns:
    The rows, and their width.

  Raises:
    InputError: an image cannot be decoded, features are not finite, or the
      output is of something else.
  """
  paths = [path for part in parts for path in part.paths]
  work = output.with_name(f"{output.name}.part")
  try:
    with files.lock(work / ".lock"):
      about = {"model": encoder.name, "images": _digest(paths, root)}
      width = _begin(work, about, output)
      width = _append(encoder, paths, work, about, width, batch_size, corrupt)
      rows = np.memmap(work / "rows", np.float32, "r").reshape(-1, width)
      number = _assemble(parts, rows, root, output, encoder.name)
      del rows
  except files.LockedError as error:
    raise InputError(
      f"--output={output}: {error} writes it; wait, or give another"
    ) from error
  except OSError as error:
    raise InputError(
      f"--output={output}: cannot be written, {error.strerror}; make room, or"
      " give another path"
    ) from error
  shutil.rmtree(work)
  return number, width


def _digest(paths, root):
  """Return a hash of the images' names and sizes."""
  digest = hashlib.sha256()
  for path in paths:
    line = f"{os.path.relpath(path, root)}\0{os.path.getsize(path)}\0"
    digest.update(line.encode(errors="surrogateescape"))
  return digest.hexdigest()


def _begin(work: Path, about: Mapping[str, str], output: Path) -> int | None:
  """Return the width of the rows that are there; None: there are none."""
  record = work / "about.json"
  if not record.exists():
    return None
  found = json.loads(record.read_text())
  width = found.pop("width")
  if found != dict(about):
    raise InputError(
      f"--output={output}: {work} holds rows of {found['model']}, or of other"
      " images; remove it, or give another output"
    )
  return width


def _append(encoder, paths, work, about, width, batch_size, corrupt):
  """Append the rows that are missing; NaN stands for a corrupt image."""
  place = work / "rows"
  done = 0
  if width is not None:
    # A process that was killed may have left a part of a row.
    done = min(place.stat().st_size // (4 * width), len(paths))
    os.truncate(place, 4 * width * done)
    _log.info("%d of %d images are done", done, len(paths))
  skipped = 0
  with (
    place.open("ab") as file,
    console.Progress("extracting", len(paths), finished=done) as progress,
  ):
    for batch in prediction.read_batches(
      encoder.decode, paths[done:], batch_size
    ):
      features = _encode(encoder, batch, batch_size, corrupt)
      if features is None and width is None:
        raise InputError(
          f"--dir: none of the first {len(batch)} images can be decoded, the"
          f" first {batch[0][0]} ({batch[0][2]}); remove them"
        )
      if features is None:
        features = np.full((len(batch), width), np.nan, np.float32)
      if width not in (None, features.shape[1]):
        raise InputError(
          f"--model: gave {features.shape[1]} features after {width}; return"
          " as many for every image"
        )
      if width is None:
        width = features.shape[1]
        files.write(work / "about.json", json.dumps({**about, "width": width}))
      skipped += int(np.isnan(features[:, 0]).sum())
      file.write(features.tobytes())
      file.flush()
      progress.update(len(batch))
  if skipped:
    _log.warning("%d images could not be read and are left out", skipped)
  return width


def _encode(encoder, batch, batch_size, corrupt):
  """Return float32 `[B, d]`; None where no image of a batch can be decoded."""
  images, sizes = [], []
  for path, image, detail in batch:
    if image is None:
      if corrupt == "error":
        raise InputError(f"{path}: {detail}; remove it, or use --corrupt=skip")
      continue
    images.append(image)
    sizes.append(detail)
  if not images:
    return None
  # Batches of one size are one program.
  rows = [*range(len(images)), *[0] * (batch_size - len(images))]
  found = encoder.encode(
    np.stack(images)[rows], np.array(sizes, np.int32)[rows]
  )
  if found.ndim != 2 or len(found) != batch_size:
    raise InputError(
      f"--model: gave shape {found.shape} for {batch_size} images; return"
      " [images, features]"
    )
  good = np.array([image is not None for _, image, _ in batch])
  features = np.full((len(batch), found.shape[1]), np.nan, np.float32)
  features[good] = found[: len(images)]
  bad = good & ~np.isfinite(features).all(axis=1)
  if bad.any():
    raise InputError(
      f"--model: the features of {batch[int(np.argmax(bad))][0]} have NaN or"
      " infinity; give another model"
    )
  return features


def _assemble(parts, rows, root, output, name):
  """Write the file of features; return the number of rows."""
  arrays, start, number = {"model": np.array(name)}, 0, 0
  for part in parts:
    chosen = rows[start : start + len(part.paths)]
    kept = np.flatnonzero(~np.isnan(chosen[:, 0]))
    start, number = start + len(part.paths), number + len(kept)
    if len(kept) < len(chosen):
      chosen = chosen[kept]
    arrays[f"{part.prefix}x"] = chosen
    named = [os.path.relpath(path, root) for path in part.paths]
    arrays[f"{part.prefix}files"] = np.array(named)[kept]
    if part.labels is not None:
      arrays[f"{part.prefix}y"] = np.array(part.labels)[kept]
  with files.replacing(output) as file:
    np.savez(file, **arrays)
  return number
