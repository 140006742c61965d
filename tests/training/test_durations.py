# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Durations: units, which of them decides, and rounding."""

import ml_collections
import pytest

from etf_jax.configs import base
from etf_jax.errors import InputError
from etf_jax.training import durations

UNITS = ("epochs", "steps", "examples", "min_steps")
EPOCH = durations.Epoch(examples=1797, batch_size=128)


def node(**fields):
  given = {f"total_{unit}": None for unit in UNITS}
  for unit, value in fields.items():
    given[f"total_{unit}"] = value
  return ml_collections.ConfigDict(given)


@pytest.mark.parametrize(
  ("examples", "batch_size", "steps"),
  [(1797, 128, 15), (1792, 128, 14), (1793, 128, 15), (5, 5, 1), (1, 128, 1)],
)
def test_the_last_step_of_an_epoch_takes_what_is_left(
  examples, batch_size, steps
):
  assert durations.Epoch(examples, batch_size).steps == steps


@pytest.mark.parametrize(
  ("fields", "steps"),
  [
    ({"steps": 7}, 7),
    ({"steps": 0}, 0),
    ({"epochs": 2}, 30),
    ({"epochs": 0.5}, 8),
    ({"epochs": 0.0}, 0),
    ({"examples": 1280}, 10),
    ({"examples": 1281}, 11),
    ({"examples": 1}, 1),
    ({"examples": 0}, 0),
  ],
)
def test_each_unit_rounds_up_to_steps(fields, steps):
  found = durations.steps(node(**fields), "total", EPOCH)
  assert found == steps
  assert isinstance(found, int)


@pytest.mark.parametrize(
  ("fields", "steps"),
  [
    ({"steps": 7, "examples": 1280, "epochs": 2.0}, 7),
    ({"examples": 1280, "epochs": 2.0}, 10),
    ({"steps": 0, "epochs": 2.0}, 0),
    ({"epochs": 2.0, "min_steps": 29}, 30),
    ({"epochs": 2.0, "min_steps": 31}, 31),
    ({"examples": 1280, "min_steps": 11}, 11),
    ({"steps": 7, "min_steps": 11}, 7),
  ],
)
def test_the_finest_unit_decides(fields, steps):
  assert durations.steps(node(**fields), "total", EPOCH) == steps


@pytest.mark.parametrize("steps_per_epoch", [1, 7, 29, 100, 230, 905])
@pytest.mark.parametrize("percent", [1, 7, 10, 29, 35, 57, 58, 110])
def test_fractions_of_an_epoch_do_not_gain_a_step(steps_per_epoch, percent):
  epoch = durations.Epoch(steps_per_epoch * 8, 8)
  found = durations.steps(node(epochs=percent / 100), "total", epoch)
  assert found == -(-percent * steps_per_epoch // 100)


def test_a_field_of_the_config_is_read():
  config = base.get_config()
  assert durations.steps(config, "total", EPOCH) == 200 * 15
  assert durations.steps(config.schedule, "warmup", EPOCH) == 5 * 15
  assert durations.steps(config.report, "log_every", EPOCH, 50) == 50
  config.report.log_every_epochs = 1.0
  assert durations.steps(config.report, "log_every", EPOCH, 50) == 15


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    ({}, "set total_epochs, total_steps or total_examples"),
    ({"steps": -1}, "total_steps=-1 must not be negative"),
    ({"epochs": -0.5}, "total_epochs=-0.5 must not be negative"),
    ({"epochs": float("nan")}, "total_epochs=nan must not be .* NaN"),
    ({"epochs": float("inf")}, "total_epochs=inf must not be .* infinite"),
    # A bad value is not hidden by a good one of a coarser unit.
    ({"examples": -3, "epochs": 2.0}, "total_examples=-3 must not"),
    ({"epochs": 2.0, "min_steps": -1}, "total_min_steps=-1 must not"),
  ],
)
def test_bad_durations(fields, message):
  with pytest.raises(InputError, match=message):
    durations.steps(node(**fields), "total", EPOCH)
