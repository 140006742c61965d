# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The modern recipe goes on top of any experiment."""

import pytest

from etf_jax.configs import cifar10_lt
from etf_jax.errors import InputError
from etf_jax.runs import command_line


def parse(experiment, *fields):
  config, _ = command_line.parse(
    ["main", f"--config=etf_jax:modern:{experiment}", *fields]
  )
  return config


def changes(before, after):
  """The fields that differ, by their dotted names, with their new values."""
  before, after = before.to_dict(), after.to_dict()

  def walk(a, b, prefix):
    for key in a:
      if isinstance(a[key], dict):
        yield from walk(a[key], b[key], f"{prefix}{key}.")
      elif a[key] != b[key]:
        yield prefix + key, b[key]

  return dict(walk(before, after, ""))


def test_what_it_changes_of_an_experiment():
  assert changes(cifar10_lt.get_config(), parse("cifar10_lt")) == {
    "name": "cifar10_lt_modern",
    "total_epochs": 400.0,
    "ema_decay": 0.9998,
    "augment.randaugment_layers": 2,
    "augment.randaugment_magnitude": 5.0,
    "schedule.name": "cosine",
  }


def test_the_experiments_own_argument():
  config = parse("fashion_mnist_lt:cpu")
  assert config.name == "fashion_mnist_lt_cpu_modern"
  assert (config.model.name, config.total_epochs) == ("resnet8", 40)


def test_a_file_of_ones_own_and_a_length_in_steps(tmp_path):
  path = tmp_path / "mine.py"
  path.write_text(
    "from etf_jax.configs import base\n"
    "def get_config(width='1'):\n"
    "  c = base.get_config()\n"
    "  c.name = 'mine'\n"
    "  c.model.width = int(width)\n"
    "  c.total_steps = 70\n"
    "  return c\n"
  )
  config = parse(f"{path}:3", "--config.ema_decay=0.5")
  assert (config.name, config.model.width) == ("mine_modern", 3)
  assert (config.total_steps, config.ema_decay) == (140, 0.5)


def test_unknown_experiments():
  with pytest.raises(InputError) as error:
    parse("cifar_lt")
  message = str(error.value)
  assert "no experiment is named 'cifar_lt'; did you mean 'cifar10_lt'?" in (
    message
  )
  assert "\n" not in message
  with pytest.raises(InputError, match=r"is no experiment file 'x/y.py'"):
    parse("x/y.py")
