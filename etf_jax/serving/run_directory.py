# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""From a run's directory: its config, its model, its images, its variables."""

import argparse
from collections.abc import Collection
import json
import math
import os
from pathlib import Path
from typing import NamedTuple

import jax
from ml_collections import ConfigDict
import numpy as np
import optax

from etf_jax import models
from etf_jax.configs import base
from etf_jax.data import Pixels, decode
from etf_jax.data.sources import splits
from etf_jax.errors import InputError
from etf_jax.runs import files, reader
from etf_jax.training import state as train_state
from etf_jax.training.checkpoints import restore
from etf_jax.training.config import check_config

CALIBRATION = "calibration.json"


class Images(NamedTuple):
  """The images of a run's model.

  Attributes:
    pixels: how encoded images become arrays.
    mean: per channel, of pixels in [0, 1].
    std: per channel, of pixels in [0, 1].
  """

  pixels: Pixels
  mean: tuple[float, ...]
  std: tuple[float, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """Add --workdir and --step, the run and the checkpoint of a command."""
  parser.add_argument("--workdir", required=True, help="of the run")
  parser.add_argument(
    "--step",
    choices=restore.CHOICES,
    default="last",
    help="which checkpoint (default: last, the result of a finished run)",
  )
  add_trust(parser)


def add_trust(parser: argparse.ArgumentParser) -> None:
  """Add --trust_code, for the directories of runs that one trusts."""
  parser.add_argument(
    "--trust_code",
    action="store_true",
    help="import the run's backbone from the current folder too, and read from"
    " addresses in its config",
  )


def opens_data(config: ConfigDict) -> bool:
  """Return True if `images` has to open the training images."""
  known = splits.appearance(config.data)["image_shape"]
  return config.data.image_size is None and known is None


def refuse_addresses(data: ConfigDict, given: Collection[str] = ()) -> None:
  """Refuse addresses that only a run's directory names.

  Args:
    data: `config.data`.
    given: its fields that the command line gives.

  Raises:
    InputError: one has an address.
  """
  for field, value in data.items():
    if isinstance(value, str) and "://" in value and field not in given:
      raise InputError(
        f"config.data.{field}={value}: an address of the run's directory, which"
        " is not read from unasked; give --trust_code if you trust the run"
      )


def find(workdir: str | Path) -> Path:
  """Find the directory of the one run at or right below a directory.

  Raises:
    InputError: there is none, or there are several.
  """
  directory = Path(os.path.expanduser(workdir))
  if not directory.is_dir():
    raise InputError(f"no such directory: {workdir}")
  if (directory / "config.json").exists():
    return directory
  seeds = sorted(path.parent for path in directory.glob("seed=*/config.json"))
  if len(seeds) == 1:
    return seeds[0]
  if seeds:
    raise InputError(
      f"{workdir} holds the runs {', '.join(seed.name for seed in seeds)}: give"
      " the directory of one of them"
    )
  raise InputError(
    f"{workdir} holds no run (neither config.json nor seed=N/config.json): give"
    " the --workdir of python -m etf_jax.main"
  )


def config(run: reader.RunRecord) -> ConfigDict:
  """Return the config of a run; fields that came later have their defaults.

  Raises:
    InputError: it cannot be that of a run.
  """
  found = base.get_config()
  try:
    found.update(run.config)
    check_config(found)
  except (AttributeError, KeyError, TypeError, ValueError) as error:
    raise InputError(
      f"{run.directory / 'config.json'} cannot be used: {error}"
    ) from error
  if found.model.num_classes != len(run.class_counts):
    raise InputError(
      f"{run.directory}: config.json has {found.model.num_classes} classes and"
      f" class_counts.json {len(run.class_counts)}; they must agree"
    )
  if found.dtype == "float64" and not jax.config.values["jax_enable_x64"]:
    raise InputError(
      f"{run.directory} was trained in float64, which needs JAX_ENABLE_X64=1"
    )
  return found


def images(config: ConfigDict) -> Images:
  """Return the images of a run's model; opens the data only if it must.

  Photographs are held in squares of `image_size`. Without it their size is
  that of the training images. Images of another size are scaled to it where
  it is a square, as `decode.decode` with fit "shorter".

  Raises:
    InputError: the data are needed, and are not there.
  """
  known = splits.appearance(config.data)
  if config.data.name == splits.FEATURES:
    shape = known["image_shape"]
    pixels = Pixels(shape, None, "shorter", "", "error", features=np.float32)
    return Images(pixels, known["mean"], known["std"])
  decoder = decode.choose(config.data.decoder)
  shape, size, fit = known["image_shape"], config.data.image_size, "shorter"
  if size is not None:
    shape = (size, size, 3 if shape is None else shape[2])
    fit = config.data.fit
  elif shape is None:
    shape = decode.first_shape(
      splits.open_splits(config.data).train,
      channels=3,
      fit=fit,
      decoder=decoder,
      corrupt=config.data.corrupt,
    )
  if shape[0] == shape[1]:
    size = shape[0]
  pixels = Pixels(shape, size, fit, decoder, config.data.corrupt)
  return Images(pixels, known["mean"], known["std"])


def input_shape(
  config: ConfigDict, image_shape: tuple[int, int, int]
) -> tuple[int, int, int]:
  """Return the shape of an image after the center crop of the evaluation."""
  height, width, channels = image_shape
  side = config.augment.crop_size
  return (side or height, side or width, channels)


def variables(
  run: reader.RunRecord,
  model: models.Classifier,
  shape: tuple[int, int, int],
  which: str,
) -> tuple[dict, int]:
  """Read the variables that a run evaluates, from one of its checkpoints.

  Args:
    run: its directory.
    model: that of the config.
    shape: of its inputs, see `input_shape`.
    which: see `restore.find`.

  Returns:
    `params`, `batch_stats` and `etf`, as NumPy arrays, and their step.

  Raises:
    InputError: there is no such checkpoint, it cannot be read, or it is of
      another model.
  """
  checkpoint = restore.find(run, which, choice="--step")
  wanted = train_state.train_state_shapes(
    model, optax.identity(), shape
  ).variables
  try:
    found = restore.read(checkpoint, wanted, whole=True)
  except restore.OtherModelError as error:
    raise InputError(
      f"{error}: config.json beside it is not as the run wrote it"
    ) from error
  if not all(np.isfinite(x).all() for x in jax.tree.leaves(found)):
    raise InputError(
      f"{checkpoint.folder}: holds weights that are not finite, so its answers"
      " mean nothing; train with a lower config.optimizer.learning_rate"
    )
  return found, checkpoint.step


def calibration(run: reader.RunRecord, step: int) -> dict | None:
  """Return what `keep_calibration` kept of a step of a run; or None.

  Raises:
    InputError: calibration.json cannot be read.
  """
  path = run.directory / CALIBRATION
  if not path.exists():
    return None
  try:
    record = files.read_json(path).get(str(step))
    if record is not None:
      if not 0 < record["temperature"] < math.inf:
        raise ValueError(f"the temperature is {record['temperature']}")
      numbers = [record["nll_before"], record["nll_after"]]
      for before, after in record["ece"].values():
        numbers += [before, after]
      if not all(isinstance(n, (int, float)) for n in numbers):
        raise ValueError("it lacks numbers")
      if [*map(type, (record["images"], record["fitted_on"]))] != [int, str]:
        raise ValueError("images and fitted_on are not a number and a text")
  except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
    raise InputError(
      f"cannot read {path} ({error}): remove it, and fit again with python -m"
      " etf_jax.evaluate --fit_temperature"
    ) from error
  return record


def keep_calibration(run: reader.RunRecord, step: int, record: dict) -> Path:
  """Add a fitted `temperature`, and what is known of it, to calibration.json.

  Raises:
    InputError: the file cannot be read or written.
  """
  calibration(run, step)
  path = run.directory / CALIBRATION
  known = files.read_json(path) if path.exists() else {}
  known[str(step)] = record
  files.write(path, json.dumps(known, indent=1) + "\n")
  return path
