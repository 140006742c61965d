# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Finished runs of seconds, each trained once, to use their models."""

import functools
import json
import pathlib
import shutil
import tempfile

import flax.linen as nn
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from etf_jax import main

_FOLDER = tempfile.TemporaryDirectory(prefix="etf_jax_trained_")
ROOT = pathlib.Path(_FOLDER.name)
STEPS = 24
PHOTOGRAPHS = {"ant": 30, "bee": 20, "cat": 8}
_COMMON = (
  "--config.devices=1",
  "--config.schedule.warmup_epochs=0",
  "--config.report.tensorboard=False",
  "--config.report.html=False",
)


class Small(nn.Module):
  """A convolution, BatchNorm, and hidden units."""

  features: int = 16

  @nn.compact
  def __call__(self, images, *, train=False, mask=None):
    x = nn.relu(nn.Conv(8, (3, 3))(images))
    x = nn.Dense(self.features)(x.reshape(x.shape[0], -1))
    mask = None if mask is None else mask[:, None]
    x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x, mask=mask)
    return nn.relu(x)


class Plain(nn.Module):
  """The mean of each quarter's features: nothing that has statistics."""

  @nn.compact
  def __call__(self, images):
    x = nn.relu(nn.Conv(8, (3, 3))(images))
    quarters = x.reshape(x.shape[0], 2, 7, 2, 7, x.shape[-1])
    return quarters.mean(axis=(2, 4)).reshape(x.shape[0], -1)


def mean_color(images):
  """Return the mean color of uint8 images and its square, `[B, 6]`."""
  means = images.mean(axis=(1, 2)) / 255
  return np.concatenate([means, means**2], axis=1)


def train(directory, *arguments):
  """Train with a command line; returns the directory."""
  assert (
    main.main(["main", *arguments, *_COMMON, f"--workdir={directory}"]) == 0
  )
  return directory


@functools.cache
def digits(data_dir) -> pathlib.Path:
  """ETF + DR on long-tailed digits, with validation images, in its `seed=3`."""
  place = ROOT / "digits" / "seed=3"
  train(
    place,
    "--config=etf_jax:digits_lt",
    f"--config.data.data_dir={data_dir}",
    "--config.data.validation_fraction=0.25",
    "--config.batch_size=91",
    "--config.augment.crop_padding=0",
    f"--config.total_steps={STEPS}",
    "--config.eval.every_steps=8",
    "--config.eval.batch_size=100",
    "--config.checkpoint.every_steps=8",
    "--config.checkpoint.keep=2",
    "--config.model.name=trained_runs:Small",
    "--config.seeds=3",
    "--config.collapse.splits=('test',)",
  )
  return place


@functools.cache
def photographs() -> pathlib.Path:
  """CE with averaged weights on photographs that fit into their squares."""
  images = photograph_folder()
  return train(
    ROOT / "photographs",
    "--config=etf_jax:base",
    "--config.method=ce",
    "--config.data.name=folder",
    f"--config.data.dir={images}",
    "--config.data.profile=none",
    "--config.data.image_size=20",
    "--config.data.fit=longer",
    "--config.data.feed=stream",
    "--config.augment.crop_size=14",
    "--config.model.name=trained_runs:Plain",
    "--config.batch_size=29",
    "--config.ema_decay=0.9",
    "--config.total_steps=6",
    "--config.eval.every_steps=6",
    "--config.checkpoint.best=False",
    "--config.collapse.splits=()",
  )


@functools.cache
def photograph_folder() -> pathlib.Path:
  """Colour PNGs of three digits, of many sizes: train/CLASS and test/CLASS."""
  root, source = ROOT / "images", load_digits()
  rng = np.random.default_rng(0)
  for k, (name, count) in enumerate(PHOTOGRAPHS.items()):
    for split, some in (("train", count), ("test", 6)):
      folder = root / split / name
      folder.mkdir(parents=True)
      members = np.flatnonzero(source.target == k)
      chosen = members[:some] if split == "train" else members[-some:]
      for index in chosen:
        size = tuple(rng.integers(16, 31, 2).tolist())
        image = Image.fromarray((source.images[index] * 15.9).astype(np.uint8))
        image.convert("RGB").resize(size).save(folder / f"{index:04d}.png")
  return root


def copy(workdir, place, **fields):
  """A copy of a run whose config.json has other values of dotted fields."""
  shutil.copytree(workdir, place)
  recorded = json.loads((place / "config.json").read_text())
  for name, value in fields.items():
    *path, last = name.split(".")
    functools.reduce(dict.__getitem__, path, recorded["config"])[last] = value
  (place / "config.json").write_text(json.dumps(recorded))
  return place


def final_row(workdir):
  """The last row of metrics."""
  return json.loads((workdir / "metrics.jsonl").read_text().splitlines()[-1])
