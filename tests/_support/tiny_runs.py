# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Runs of seconds: a backbone of one layer on digits, three epochs."""

import dataclasses
import json
import os
import shutil
import signal

import flax.linen as nn
import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from etf_jax import data
from etf_jax.configs import digits_lt
from etf_jax.training.setup import create_state

STEPS = 12
TIMES = {"seconds", "images_per_second", "feed_images_per_second", "limited_by"}
# Four batches of 100 and one of 88 are an epoch; more happens at 6 and 8.
WITH_REST = {
  "batch_size": 100,
  "augment.crop_padding": 1,
  "augment.mixup_alpha": 1.0,
  "report.log_every_steps": 6,
  "eval.train_accuracy_steps": 2,
  "collapse.every_epochs": 1.0,
  "collapse.splits": ("test",),
}


class Tiny(nn.Module):
  """Normalised hidden units, which are never negative."""

  features: int = 16

  @nn.compact
  def __call__(self, images, *, train=False, mask=None):
    x = nn.Dense(self.features)(images.reshape(images.shape[0], -1))
    mask = None if mask is None else mask[:, None]
    x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x, mask=mask)
    return nn.relu(x)


def config(data_dir, method, fields=None):
  """Digits-LT on one device, checkpoints at steps 8 and 12."""
  c = digits_lt.get_config()
  c.method = method
  c.devices = 1
  c.batch_size = 122  # a fourth of the images: no smaller last batch to compile
  c.augment.crop_padding = 0
  c.total_steps = STEPS
  c.data.data_dir = str(data_dir)
  c.model.name = "tiny_runs:Tiny"
  c.schedule.name = "constant"
  c.schedule.warmup_epochs = 0.0
  c.checkpoint.every_steps = 8
  c.checkpoint.best = False
  c.report.log_every_steps = 1
  c.report.tensorboard = False
  c.update_from_flattened_dict(fields or {})
  return c


def noise(counts):
  """Random images as long-tailed digits, K of which are the classes."""
  rng, classes = np.random.default_rng(0), len(counts)

  def split(labels):
    images = rng.integers(0, 256, (len(labels), 8, 8, 1), np.uint8)
    return data.Split(images, labels.astype(np.int32))

  return data.Dataset(
    name="digits",
    num_classes=classes,
    class_names=tuple("abcdefghij"[:classes]),
    train=split(np.repeat(np.arange(classes), counts)),
    validation=None,
    test=split(np.arange(27) % classes),
    class_counts=np.asarray(counts),
    mean=(0.5,),
    std=(0.3,),
    image_shape=(8, 8, 1),
  )


def rows(workdir, kind=None, without=TIMES):
  """The metrics of a run, without what a clock measured and a feed adds."""

  def timeless(value):
    if isinstance(value, dict):
      return {k: timeless(v) for k, v in value.items() if k not in without}
    return value

  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  found = [timeless(json.loads(line)) for line in lines]
  return [row for row in found if kind in (None, row["kind"])]


def variables(workdir, like):
  """Parameters and statistics of the newest checkpoint, as `like` a state."""
  with ocp.CheckpointManager(workdir.absolute() / "checkpoints") as manager:
    state = manager.restore(
      manager.latest_step(),
      args=ocp.args.StandardRestore(
        jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
      ),
    )
  return jax.device_get((state.params, state.batch_stats))


class Watched:
  """A feed that tells of its calls: (state, step, steps) and step after it."""

  def __init__(self, feed, before, after):
    self.feed, self.before, self.after = feed, before, after

  def advance(self, current, step, key, steps):
    current = self.before(current, step, steps)
    result = self.feed.advance(current, step, key, steps)
    self.after(step + steps)
    return result

  def __getattr__(self, name):
    return getattr(self.feed, name)


def watched(trainer, before=lambda current, *_: current, after=lambda _: None):
  """The trainer with such feeds."""
  return dataclasses.replace(
    trainer,
    open_feed=lambda *given, **own: Watched(
      trainer.open_feed(*given, **own), before, after
    ),
  )


def terminated(trainer, at):
  """The trainer whose process is sent SIGTERM in a step, from 0."""

  def before(current, step, steps):
    if step <= at < step + steps:
      os.kill(os.getpid(), signal.SIGTERM)
    return current

  return watched(trainer, before)


def begin(trainer, seed=0):
  """The state in which a run begins."""
  return create_state(trainer.setup, seed)


def error(actual, expected):
  """The largest error of a leaf, relative to its norm."""
  return max(
    np.linalg.norm(a - e) / max(np.linalg.norm(e), 1e-3)
    for a, e in zip(
      *(jax.tree.leaves(jax.device_get(t)) for t in (actual, expected)),
      strict=True,
    )
  )


def assert_same_run(actual, expected, trainer, tolerance):
  """Compare the rows and the last variables of two directories."""
  names = ("step", "epoch", "loss", "accuracy", "learning_rate")
  for kind in ("train", "eval"):
    pairs = zip(
      *(rows(directory, kind) for directory in (actual, expected)), strict=True
    )
    for row, like in pairs:
      assert row.keys() == like.keys()
      for name in set(names) & set(like):
        assert row[name] == pytest.approx(like[name], rel=tolerance), name
  like = begin(trainer)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(
      a, b, rtol=tolerance, atol=tolerance
    ),
    variables(actual, like),
    variables(expected, like),
  )


def interrupted(workdir, copy, step):
  """A copy of a finished run as if it had been killed after a checkpoint."""
  shutil.copytree(workdir, copy)
  for checkpoint in (copy / "checkpoints").iterdir():
    if int(checkpoint.name) > step:
      shutil.rmtree(checkpoint)
  return copy
