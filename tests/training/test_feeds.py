# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A run fed from the devices and one fed by a stream are the same run."""

import pytest
import tiny_runs

from etf_jax import data
from etf_jax.errors import InputError
from etf_jax.training import loop
from etf_jax.training.setup import make_trainer

FIELDS = {"augment.crop_padding": 1, "augment.mixup_alpha": 1.0}


def config(digits_dir, **fields):
  return tiny_runs.config(digits_dir, "etf_dr", FIELDS | fields)


def run(digits_dir, directory, **fields):
  made = config(digits_dir, **fields)
  trainer = make_trainer(made, data.load(made.data))
  loop.train_seed(trainer, 0, directory)
  return trainer


@pytest.fixture(scope="module")
def resident_run(digits_dir, tmp_path_factory):
  directory = tmp_path_factory.mktemp("resident") / "run"
  run(digits_dir, directory)
  return directory


@pytest.fixture(scope="module")
def streamed(digits_dir, tmp_path_factory):
  directory = tmp_path_factory.mktemp("streamed") / "run"
  return directory, run(digits_dir, directory, **{"data.feed": "stream"})


@pytest.mark.slow
def test_a_stream_gives_the_same_run(resident_run, streamed):
  directory, _ = streamed
  assert tiny_runs.rows(directory) == tiny_runs.rows(resident_run)
  for row in tiny_runs.rows(directory, "train", without=()):
    assert row["feed_images_per_second"] > 0
    assert row["limited_by"] in ("feed", "device")


@pytest.mark.slow
def test_a_stream_resumes_at_its_step(streamed, tmp_path):
  directory, trainer = streamed
  resumed = tiny_runs.interrupted(directory, tmp_path / "run", step=8)
  loop.train_seed(trainer, 0, resumed)
  assert tiny_runs.rows(resumed) == tiny_runs.rows(directory)


def test_the_sampler_decides_what_an_epoch_holds(digits_dir):
  made = config(digits_dir, **{"data.sampler": "square_root"})
  dataset = data.load(made.data)
  trainer = make_trainer(made, dataset)
  assert trainer.setup.sampler.name == "square_root"
  assert trainer.setup.sampler.total_epochs == 3  # 12 steps of a fourth
  with pytest.raises(InputError, match="sampler='all': unknown"):
    make_trainer(config(digits_dir, **{"data.sampler": "all"}), dataset)


@pytest.mark.parametrize(
  ("field", "value", "message"),
  [
    (
      "data.feed",
      "streem",
      "config.data.feed='streem': unknown; did you mean 'stream'?",
    ),
    ("data.fit", "wide", "config.data.fit='wide': unknown;"),
    ("data.corrupt", "ignore", "config.data.corrupt='ignore': unknown;"),
    ("data.image_size", 0, "config.data.image_size=0 must be at least 1"),
  ],
)
def test_bad_input(digits_dir, field, value, message):
  with pytest.raises(InputError) as error:
    data.load(config(digits_dir, **{field: value}).data)
  assert str(error.value).startswith(message)
