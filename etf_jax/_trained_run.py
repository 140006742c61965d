# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""From a run's directory: its config, its model, its images, its variables."""

from collections.abc import Iterator
import contextlib
import json
import math
import os
from pathlib import Path
from typing import NamedTuple

import jax
from ml_collections import ConfigDict
import numpy as np
import optax
import orbax.checkpoint as ocp

from etf_jax import models
from etf_jax.configs import base
from etf_jax.data import Pixels, cache, decode, opening
from etf_jax.errors import InputError
from etf_jax.reporting import runs
from etf_jax.training import digests, objectives
from etf_jax.training import state as train_state

STEPS = ("last", "best")
CALIBRATION = "calibration.json"


class Images(NamedTuple):
  """What a run's model takes.

  Attributes:
    pixels: how encoded images become arrays.
    mean: per channel, of pixels in [0, 1].
    std: per channel, of pixels in [0, 1].
  """

  pixels: Pixels
  mean: tuple[float, ...]
  std: tuple[float, ...]


class _OtherModelError(InputError):
  """A checkpoint that can be read, of another model."""


def find(workdir: str | Path) -> Path:
  """The directory of the one run at or right below a directory.

  Raises:
    InputError: there is none, or there are several.
  """
  directory = Path(workdir)
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


def config(run: runs.Run) -> ConfigDict:
  """The resolved config of a run; fields that came later have their defaults.

  Raises:
    InputError: it cannot be that of a run.
  """
  found = base.get_config()
  try:
    found.update(run.config)
    objectives.check_choices(found)
  except (AttributeError, KeyError, TypeError, ValueError) as error:
    raise InputError(
      f"{run.directory / 'config.json'} cannot be used: {error}"
    ) from error
  if found.model.num_classes != len(run.class_counts):
    raise InputError(
      f"{run.directory}: config.json has {found.model.num_classes} classes and"
      f" class_counts.json {len(run.class_counts)}; they must agree"
    )
  if found.dtype == "float64" and not jax.config.jax_enable_x64:
    raise InputError(
      f"{run.directory} was trained in float64, which needs JAX_ENABLE_X64=1"
    )
  return found


def images(config: ConfigDict) -> Images:
  """What the model of a run takes; its data are only opened if they must be.

  Photographs are held in squares of `image_size`. Without it their size is
  that of the training images. Images of another size are scaled to it where
  it is a square, as `decode.decode` with fit "shorter".

  Raises:
    InputError: the data are needed, and are not there.
  """
  known = opening.appearance(config.data)
  decoder = decode.choose(config.data.decoder)
  shape, size, fit = known["image_shape"], config.data.image_size, "shorter"
  if size is not None:
    shape = (size, size, 3 if shape is None else shape[2])
    fit = config.data.fit
  elif shape is None:
    shape = cache.first_shape(
      opening.open_splits(config.data).train,
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
  """The shape of an image after the centre crop of the evaluation."""
  height, width, channels = image_shape
  side = config.augment.crop_size
  return (side or height, side or width, channels)


def variables(
  run: runs.Run,
  config: ConfigDict,
  model: models.Classifier,
  shape: tuple[int, int, int],
  which: str,
) -> tuple[dict, int]:
  """The variables that a run evaluates, from one of its checkpoints.

  Args:
    run: its directory.
    config: see `config`.
    model: that of the config.
    shape: of its inputs, see `input_shape`.
    which: "last", the newest that there is, or "best".

  Returns:
    `params`, `batch_stats` and `etf`, as NumPy arrays, and their step.

  Raises:
    InputError: there is no such checkpoint, it cannot be read, or it is of
      another model.
  """
  folder, step = _checkpoint(run, config, which)
  averaged = bool(config.ema_decay)
  wanted = train_state.shapes(
    model, optax.identity(), shape, average=averaged
  ).eval_variables
  # A state has its averages beside the variables of its own.
  apart = averaged and which == "last"
  with _reading(folder) as place:
    digests.check(place)
    saved = ocp.PyTreeCheckpointHandler().metadata(place).tree
    if ("ema" in saved) != apart:
      raise _OtherModelError(
        f"{folder} {'has no' if apart else 'has'} averages, and"
        f" config.ema_decay={config.ema_decay:g} in the config.json beside it"
      )
    there = saved | saved["ema"] if apart else saved
    _check_same(folder, {name: there.get(name) for name in wanted}, wanted)
    learned = {name: tree for name, tree in wanted.items() if name != "etf"}
    stored = {"ema": learned, "etf": wanted["etf"]} if apart else wanted
    found = _restored(place, {k: tree for k, tree in stored.items() if tree})
  found = found.pop("ema", {}) | found
  return {name: found.get(name, {}) for name in wanted}, step


@contextlib.contextmanager
def _reading(folder: Path) -> Iterator[Path]:
  """Where a checkpoint's arrays are; what goes wrong there is one line."""
  try:
    yield folder.absolute() / "default"
  except (MemoryError, _OtherModelError):
    raise
  # What is damaged can raise anything: JSON, OCDBT, TensorStore and Orbax do.
  except Exception as error:
    first = next(iter(str(error).splitlines()), type(error).__name__)[:200]
    raise InputError(
      f"{folder} cannot be read ({first}): the training command makes a damaged"
      " checkpoint again, or choose another --step"
    ) from error


def _checkpoint(run, config, which) -> tuple[Path, int]:
  if which not in STEPS:
    raise InputError(f"step={which!r} is none of {', '.join(STEPS)}")
  if which == "best" and not config.checkpoint.best:
    raise InputError(
      f"{run.directory} keeps no best checkpoint (config.checkpoint.best is"
      " False): use --step=last"
    )
  folder = run.directory / ("best" if which == "best" else "checkpoints")
  steps = ocp.utils.checkpoint_steps(folder) if folder.is_dir() else ()
  if not steps:
    raise InputError(
      f"{folder} holds no checkpoint: the run has not come to its first, or the"
      " folder was not copied with it"
    )
  return folder / str(max(steps)), max(steps)


def _restored(place, stored):
  """The arrays that `stored` names, on the host."""
  arguments = ocp.args.PyTreeRestore(
    stored,
    restore_args=jax.tree.map(
      lambda _: ocp.RestoreArgs(restore_type=np.ndarray), stored
    ),
    partial_restore=True,
  )
  reader = ocp.Checkpointer(ocp.PyTreeCheckpointHandler())
  with contextlib.closing(reader):
    return reader.restore(place, args=arguments)


def _check_same(folder, there, here):
  """Whether the arrays are those of the config's model."""
  there, here = map(_shapes, (there, here))
  for name in sorted(here | there):
    if there.get(name) != here.get(name):
      raise _OtherModelError(
        f"{folder} is of another model than the config.json beside it: {name}"
        f" is {there.get(name, 'absent')} there and"
        f" {here.get(name, 'absent')} by the config"
      )


def _shapes(tree) -> dict[str, tuple[int, ...]]:
  """The shape of each array by its place, as `params.head.kernel`."""
  leaves = jax.tree_util.tree_leaves_with_path(
    tree, is_leaf=lambda x: hasattr(x, "shape")
  )
  return {
    jax.tree_util.keystr(path, simple=True, separator="."): tuple(leaf.shape)
    for path, leaf in leaves
  }


def calibration(run: runs.Run, step: int) -> dict | None:
  """What was fitted to a step of a run, see `keep_calibration`; or None.

  Raises:
    InputError: calibration.json cannot be read.
  """
  path = run.directory / CALIBRATION
  if not path.exists():
    return None
  try:
    record = json.loads(path.read_text()).get(str(step))
    if record is not None and not 0 < record["temperature"] < math.inf:
      raise ValueError(f"the temperature is {record['temperature']}")
  except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
    raise InputError(
      f"cannot read {path} ({error}): remove it, and fit again with python -m"
      " etf_jax.evaluate --fit_temperature"
    ) from error
  return record


def keep_calibration(run: runs.Run, step: int, record: dict) -> Path:
  """Adds a fitted `temperature`, and what is known of it, to calibration.json.

  Raises:
    InputError: the file cannot be read or written.
  """
  calibration(run, step)
  path = run.directory / CALIBRATION
  known = json.loads(path.read_text()) if path.exists() else {}
  known[str(step)] = record
  write(path, json.dumps(known, indent=1) + "\n")
  return path


def write(path: Path, content: str | bytes) -> None:
  """Writes a file, which appears only once it is whole.

  Raises:
    InputError: it cannot be written.
  """
  temporary = path.with_name(path.name + ".tmp")
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary.write_bytes(
      content.encode() if isinstance(content, str) else content
    )
    os.replace(temporary, path)
  except OSError as error:
    raise InputError(f"cannot write {path}: {error.strerror}") from error
