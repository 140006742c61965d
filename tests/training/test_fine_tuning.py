# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Runs that train the head first, layers at their rates, clipped gradients."""

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
import tiny_runs

from etf_jax import data
from etf_jax.errors import InputError
from etf_jax.training import loop, state
from etf_jax.training.setup import make_trainer

pytestmark = pytest.mark.slow

FIELDS = {"report.html": False, "collapse.splits": ()}
FREEZE = 5  # of 12 steps, with checkpoints at 4, 8 and 12


@pytest.fixture(scope="module")
def digits(digits_dir):
  return data.load(tiny_runs.config(digits_dir, "ce").data)


@pytest.fixture(scope="module")
def make(digits_dir, digits):
  def made(**fields):
    steps = {"checkpoint.every_steps": 4, "checkpoint.keep": 9}
    config = tiny_runs.config(digits_dir, "etf_dr", FIELDS | steps | fields)
    return make_trainer(config, digits)

  return made


@pytest.fixture(scope="module")
def source(make, tmp_path_factory):
  place = tmp_path_factory.mktemp("source") / "run"
  loop.train_seed(make(), 0, place)
  return place


def saved(trainer, workdir, step):
  """The state of a checkpoint."""
  setup = trainer.setup
  like = state.create_train_state(
    setup.model,
    setup.optimizer,
    setup.input_shape,
    state.draw_classifier(setup.model, setup.input_shape, 0),
    0,
    setup.state_sharding,
  )
  with ocp.CheckpointManager(workdir.absolute() / "checkpoints") as manager:
    return jax.device_get(
      manager.restore(
        step,
        args=ocp.args.StandardRestore(
          jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        ),
      )
    )


def differ(one, other):
  pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
  return [bool(np.any(a != b)) for a, b in pairs]


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_the_head_comes_first_and_resumes(name, make, source, tmp_path):
  trainer = make(
    **{
      "init_from": str(source),
      "freeze_steps": FREEZE,
      "optimizer.name": name,
      "optimizer.learning_rate": 0.01,
      "optimizer.layer_decay": 0.5,
      "optimizer.clip_norm": 0.5,
    }
  )
  straight = tmp_path / "straight"
  loop.train_seed(trainer, 0, straight)
  before = saved(make(), source, 12)
  frozen, joined = (saved(trainer, straight, step) for step in (4, 8))
  for found, moves in ((frozen, False), (joined, True)):
    for part in ("params", "batch_stats"):
      pair = (getattr(x, part)["backbone"] for x in (found, before))
      assert set(differ(*pair)) == {moves}
  # The head learns, and its BatchNorm follows the batches, all the while.
  for part in ("params", "batch_stats"):
    pair = (getattr(x, part)["head"] for x in (frozen, before))
    assert all(differ(*pair))
  for step in (4, 8):
    resumed = tiny_runs.interrupted(straight, tmp_path / str(step), step=step)
    loop.train_seed(trainer, 0, resumed)
    assert tiny_runs.rows(resumed) == tiny_runs.rows(straight)
    pair = (saved(trainer, place, 12) for place in (resumed, straight))
    assert not any(differ(*pair))


def test_seeds_in_one_program_are_frozen_alike(make, source, tmp_path):
  fields = {"init_from": str(source), "freeze_steps": FREEZE}
  losses = []
  for packed in (1, 2):
    trainer = make(**fields, seeds=(0, 1), pack_seeds=packed)
    places = {s: tmp_path / f"{packed}/seed={s}" for s in (0, 1)}
    loop.train_seeds(trainer, places)
    rows = tiny_runs.rows(places[0], "train")
    losses.append([row["loss"] for row in rows])
  np.testing.assert_allclose(*losses, rtol=2e-5)


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    ({"freeze_steps": 3}, "freeze_steps=3 holds a backbone that nothing"),
    (
      {"init_from": "SOURCE", "freeze_steps": 12},
      "freeze_epochs: 12 steps of the head alone, and the run has 12; lower",
    ),
    (
      {
        "init_from": "SOURCE",
        "freeze_epochs": 1.0,
        "optimizer.backbone_learning_rate_factor": 0.0,
        "head.batch_norm": False,
      },
      "freeze_epochs=1.0 does nothing where the backbone is not trained",
    ),
    (
      {
        "init_from": "SOURCE",
        "optimizer.layer_decay": 0.5,
        "optimizer.backbone_learning_rate_factor": 0.0,
        "head.batch_norm": False,
      },
      "layer_decay=0.5 does nothing where the backbone is not trained",
    ),
    ({"optimizer.layer_decay": 0.0}, r"layer_decay=0.0 must lie in (0, 1]"),
    ({"optimizer.clip_norm": 0.0}, "clip_norm=0.0 must be finite and > 0"),
    ({"freeze_epochs": -1.0}, "freeze_epochs=-1.0 must not be negative"),
  ],
)
def test_bad_input(make, source, fields, message):
  if "init_from" in fields:
    fields = fields | {"init_from": str(source)}
  with pytest.raises(InputError) as caught:
    make(**fields)
  assert message in str(caught.value)
  assert "\n" not in str(caught.value)
