# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Runs of seconds: a backbone of one layer on digits, three epochs."""

import json
import shutil

import flax.linen as nn
import jax
import orbax.checkpoint as ocp

from etf_jax.configs import digits_lt

STEPS = 12
TIMES = {"seconds", "images_per_second"}


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


def rows(workdir, kind=None):
  """The metrics of a run, without what a clock measured."""

  def timeless(value):
    if isinstance(value, dict):
      return {k: timeless(v) for k, v in value.items() if k not in TIMES}
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


def interrupted(workdir, copy, step):
  """A copy of a finished run as if it had been killed after a checkpoint."""
  shutil.copytree(workdir, copy)
  for checkpoint in (copy / "checkpoints").iterdir():
    if int(checkpoint.name) > step:
      shutil.rmtree(checkpoint)
  return copy
