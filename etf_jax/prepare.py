# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
r"""Make data sets ready for training.

python -m etf_jax.prepare cifar10 --data_dir=/data/tfds
python -m etf_jax.prepare fashion_mnist --manual_dir=/data/archives
python -m etf_jax.prepare cifar10 --verify --data_dir=/data/tfds
python -m etf_jax.prepare cifar10 --data_dir=gs://bucket/tfds
python -m etf_jax.prepare --list
"""

import argparse
from collections.abc import Callable, Sequence
import logging
import os
import pathlib
import sys

from etf_jax.errors import InputError
from etf_jax.runs import commands

_log = logging.getLogger(__name__)


@commands.command
def main(argv: Sequence[str] | None = None) -> int:
  """Run the command and return its exit code."""
  arguments = _parser().parse_args(argv)
  _quiet_tensorflow()
  try:
    if arguments.list:
      _list(arguments.data_dir)
    elif arguments.verify:
      _verify(arguments)
    else:
      _prepare(arguments)
  except InputError as error:
    if arguments.error_file is None:
      raise
    arguments.error_file.write_text(str(error))
    return 2
  return 0


def _parser() -> argparse.ArgumentParser:
  parser = commands.Parser("python -m etf_jax.prepare", __doc__)
  what = parser.add_mutually_exclusive_group(required=True)
  what.add_argument("name", nargs="?", metavar="NAME", help="the data set")
  what.add_argument(
    "--list", action="store_true", help="list the data sets there are"
  )
  parser.add_argument(
    "--verify",
    action="store_true",
    help="check what is prepared already: numbers of images, labels, and "
    "whether a sample of the images can be decoded",
  )
  parser.add_argument(
    "--data_dir",
    help="where prepared data live, a folder or gs://BUCKET/FOLDER (default: "
    "$TFDS_DATA_DIR, or ~/tensorflow_datasets); with --verify of a set "
    "without a builder, the folder of its images",
  )
  parser.add_argument(
    "--manual_dir",
    help="where archives lie that were fetched by hand (default: "
    "downloads/manual in data_dir)",
  )
  parser.add_argument(
    "--cache_dir",
    help="where the data are on this machine if data_dir is in a bucket "
    "(default: etf_jax in $XDG_CACHE_HOME or ~/.cache)",
  )
  parser.add_argument(
    "--error_file",
    type=pathlib.Path,
    help="write an error here, not to the terminal (for other programs)",
  )
  return parser


def _quiet_tensorflow() -> None:
  """Keep TensorFlow, if it is imported, off the accelerator and silent."""
  os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
  os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
  os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")


def _prepare(arguments: argparse.Namespace) -> None:
  # Imported late: `--help` should not wait for TFDS.
  import tensorflow_datasets as tfds

  from etf_jax.data.prepare import prepare

  if not sys.stderr.isatty():
    tfds.disable_progress_bar()  # A log file wants lines, not bars.
  directory = prepare.prepare(
    arguments.name,
    arguments.data_dir,
    arguments.manual_dir,
    arguments.cache_dir,
  )
  print(f"{arguments.name} is ready in {directory}")


def _verify(arguments: argparse.Namespace) -> None:
  from etf_jax.data import verify

  report = verify.verify(
    arguments.name, arguments.data_dir, cache_dir=arguments.cache_dir
  )
  print("\n".join(report.lines))
  if report.problems:
    raise InputError(f"{arguments.name}: " + "; ".join(report.problems))


def _list(data_dir: str | None) -> None:
  from etf_jax.data import catalog

  look = _look_into(data_dir)
  header = "name classes image training test prepared licence state"
  rows = [tuple(header.split())]
  for name, info in catalog.DATASETS.items():
    sizes = info.sizes()
    rows.append(
      (
        name,
        str(info.num_classes),
        "x".join(map(str, info.image_shape or ("photographs",))),
        *(f"{sizes[s]:,}" if s in sizes else "?" for s in ("train", "test")),
        _prepared(name, look) if info.tfds_name else "folders",
        info.licence,
        info.state,
      )
    )
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  for row in rows:
    cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
    print("  ".join(cells).rstrip())


def _look_into(data_dir: str | None) -> Callable[[str], str]:
  """Return what says of a data set whether it is prepared."""
  from etf_jax.data.prepare import gcs
  from etf_jax.data.sources import prepared

  def in_folder(name: str) -> str:
    builder = prepared.make_builder(name, data_dir)
    return "yes" if prepared.is_prepared(builder) else "no"

  location = data_dir or os.getenv("TFDS_DATA_DIR")
  if not gcs.is_remote(location):
    return in_folder
  try:
    root = gcs.local_root(location, None)
    there = gcs.prepared_folders(location)
  except InputError as error:
    _log.warning(f"warning: {error}")
    return lambda _: "unreadable"

  def in_bucket(name: str) -> str:
    builder = prepared.make_builder(name, root)
    return "yes" if prepared.folder(builder) in there else "no"

  return in_bucket


def _prepared(name: str, look: Callable[[str], str]) -> str:
  try:
    return look(name)
  except InputError:
    return "unreadable"
  except Exception as error:  # One builder's fault leaves the others listed.
    return type(error).__name__


if __name__ == "__main__":
  sys.exit(main())
