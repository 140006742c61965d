# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The experiment files: they load, resolve, and can be imported."""

import importlib
import itertools
import pathlib
import re

import pytest

from etf_jax import configs, models
from etf_jax.configs import base, cifar100_lt, fashion_mnist_lt
from etf_jax.data import catalog
from etf_jax.data.sources import splits
from etf_jax.runs import command_line
from etf_jax.training.config import resolve_config

ROOT = pathlib.Path(__file__).parents[2]
NAMES = sorted(path.stem for path in configs.FOLDER.glob("*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_makes_a_model(name):
  config, _ = command_line.parse(["main", f"--config=etf_jax:{name}"])
  assert config.name == name
  # Variants change fields; new ones would be read by nothing.
  assert set(config) == set(base.get_config())
  if config.data.name in (splits.FOLDER, "features"):  # a user's data
    classes = 7
  else:
    classes = catalog.lookup(config.data.name).num_classes
  resolved = resolve_config(config, classes)
  model = models.create_model(resolved)
  assert model.head.num_classes == classes


def test_every_field_is_explained():
  lines = (ROOT / "configs" / "base.py").read_text().splitlines()
  assignment = re.compile(r"  (\w\.\w+ = (?!\w = ml_)|_duration\((?!node))")
  found = 0
  for before, line in itertools.pairwise(lines):
    if not assignment.match(line) or "ConfigDict()" in line.split("#")[0]:
      continue
    found += 1
    is_duration = line.startswith("  _duration(")
    assert is_duration or "  # " in line or before.startswith("  # "), line
  assert found > 30


def test_the_published_recipe():
  """Settings of the published CIFAR-100-LT configuration."""
  c = cifar100_lt.get_config()
  assert (c.model.name, c.model.width) == ("resnet32", 2)
  assert (c.batch_size, c.total_epochs) == (128, 200)
  sgd = c.optimizer
  assert (sgd.learning_rate, sgd.momentum, sgd.weight_decay) == (0.1, 0.9, 2e-4)
  assert (sgd.nesterov, sgd.decayed) == (False, "all")
  assert c.schedule.warmup_epochs == 5
  assert c.schedule.decay_fractions == (0.8, 0.9)
  assert (c.augment.crop_padding, c.augment.flip) == (4, True)
  assert c.augment.mixup_alpha == 1.0
  assert (c.loss.class_lengths, c.loss.scaling) == ("batch", "class_balanced")


def test_an_argument_of_an_experiment_file():
  config, _ = command_line.parse(
    ["main", "--config=etf_jax:fashion_mnist_lt:cpu"]
  )
  assert config.name == "fashion_mnist_lt_cpu"
  assert config.model.name == "resnet8"
  with pytest.raises(ValueError, match="unknown size 'tiny': full or cpu"):
    fashion_mnist_lt.get_config("tiny")


def test_importable_by_their_own_name():
  for name in NAMES:
    module = importlib.import_module(f"etf_jax.configs.{name}")
    assert pathlib.Path(module.__file__) == configs.FOLDER / f"{name}.py"


def test_arguments_of_a_backbone_are_fields():
  given = {"width": 8, "depth": 2, "activation": "relu"}
  flags = [f"--config.model.kwargs.{name}={x}" for name, x in given.items()]
  config, _ = command_line.parse(["main", "--config=etf_jax:features", *flags])
  assert config.model.kwargs.to_dict() == given
