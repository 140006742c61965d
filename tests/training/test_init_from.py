# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Runs that begin with another model: what they take, keep and refuse."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
import tiny_runs

from etf_jax import data
from etf_jax.errors import InputError
from etf_jax.training import loop
from etf_jax.training.checkpoints import two_stage
from etf_jax.training.setup import make_trainer

pytestmark = pytest.mark.slow


def begin(trainer, seed=0):
  fresh = tiny_runs.begin(trainer, seed)
  begun, facts = two_stage.start(trainer.setup.config, fresh, seed, None)
  assert facts == {}
  assert begun.step == 0
  return jax.device_get(fresh), jax.device_get(begun)


def trained(source, workdir, seed=0):
  """The parameters and statistics of a run's last step."""
  return tiny_runs.variables(workdir, tiny_runs.begin(source, seed))


def assert_equal(one, other):
  jax.tree.map(np.testing.assert_array_equal, one, other)


def assert_differ(one, other):
  assert not np.allclose(one, other, atol=1e-4)


@pytest.fixture(scope="module")
def digits(digits_dir):
  return data.load(tiny_runs.config(digits_dir, "ce").data)


@pytest.fixture(scope="module")
def pairs(digits):
  """The same images in five classes: 0 and 1, 2 and 3, ..."""

  def paired(split):
    return dataclasses.replace(split, labels=split.labels // 2)

  return dataclasses.replace(
    digits,
    num_classes=5,
    class_names=tuple("abcde"),
    train=paired(digits.train),
    test=paired(digits.test),
    class_counts=digits.class_counts.reshape(5, 2).sum(axis=1),
  )


FIELDS = {"report.html": False, "collapse.splits": ()}


@pytest.fixture(scope="module")
def source(digits_dir, pairs, tmp_path_factory):
  """Run of two seeds on the five classes, and their trainer."""
  fields = {"seeds": (0, 1), "checkpoint.best": True, "ema_decay": 0.9}
  config = tiny_runs.config(digits_dir, "etf_ce", FIELDS | fields)
  trainer = make_trainer(config, pairs)
  parent = tmp_path_factory.mktemp("source")
  for seed in (0, 1):
    loop.train_seed(trainer, seed, parent / f"seed={seed}")
  return parent, trainer


@pytest.fixture
def made(digits_dir, source):
  """Build a trainer that starts from the source's runs."""

  def make(dataset, method="ce", **fields):
    fields = FIELDS | {"init_from": str(source[0])} | fields
    config = tiny_runs.config(digits_dir, method, fields)
    return make_trainer(config, dataset)

  return make


def averages(source, seed=0):
  """Return the variables that the source was evaluated with last."""
  parent, trainer = source
  like = tiny_runs.begin(trainer, seed)
  folder = (parent / f"seed={seed}" / "checkpoints").absolute()
  with ocp.CheckpointManager(folder) as manager:
    saved = manager.restore(
      manager.latest_step(),
      args=ocp.args.StandardRestore(
        jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
      ),
    )
  return jax.device_get(saved)


def test_a_backbone_under_a_fresh_head(source, made, digits):
  trainer = made(digits, seeds=(0, 1))
  for seed in (0, 1):  # each seed takes the run of its own
    fresh, begun = begin(trainer, seed)
    saved = averages(source, seed)
    for name in ("params", "batch_stats"):
      ours = getattr(begun, name)["backbone"]
      # What the source was evaluated with, not its last weights.
      assert_equal(ours, saved.ema[name]["backbone"])
    kernel = begun.params["backbone"]["Dense_0"]["kernel"]
    assert_differ(kernel, saved.params["backbone"]["Dense_0"]["kernel"])
    assert_differ(kernel, fresh.params["backbone"]["Dense_0"]["kernel"])
    assert_equal(begun.params["head"], fresh.params["head"])
    assert begun.params["head"]["kernel"].shape == (16, 10)


def test_all_of_a_model(source, made, pairs):
  # The frame is that of the source's seed, whatever our own.
  one = str(source[0] / "seed=1")
  trainer = made(
    pairs, "etf_ce", init_from=one, init_parts="all", ema_decay=0.5
  )
  fresh, begun = begin(trainer)
  saved = averages(source, 1)
  assert_equal(begun.params, saved.ema["params"])
  assert_equal(begun.batch_stats, saved.ema["batch_stats"])
  assert_equal(begun.etf, saved.etf)
  assert_differ(
    begun.etf["head"]["prototypes"], fresh.etf["head"]["prototypes"]
  )
  # Averages begin there as well.
  assert_equal(begun.ema, saved.ema)


def test_the_best_checkpoint(source, made, pairs, tmp_path):
  parent = shutil.copytree(source[0], tmp_path / "copy")
  run = parent / "seed=0"
  (best,) = (run / "best").iterdir()
  (final,) = tiny_runs.rows(run, "final")
  assert final["best"]["step"] == int(best.name)
  trainer = made(
    pairs,
    "etf_ce",
    init_from=str(run),
    init_parts="all",
    init_checkpoint="best",
  )
  _, begun = begin(trainer)
  sums = source[1].evaluate(begun.variables, "test")
  accuracy = np.trace(sums.confusion) / np.sum(sums.confusion)
  assert accuracy == pytest.approx(final["best"]["accuracy"])
  shutil.rmtree(best)
  with pytest.raises(
    InputError, match=r"has no best checkpoint, best/\d+: .*_checkpoint=last$"
  ):
    made(pairs, "etf_ce", init_from=str(run), init_checkpoint="best")


def test_only_a_fresh_run_starts_from_it(source, made, digits, tmp_path):
  parent = shutil.copytree(source[0], tmp_path / "there")
  trainer = made(digits, init_from=str(parent))
  straight = tmp_path / "straight"
  loop.train_seed(trainer, 0, straight)
  # A resumed run has no use for it any more.
  resumed = tiny_runs.interrupted(straight, tmp_path / "resumed", step=8)
  shutil.rmtree(parent)
  loop.train_seed(trainer, 0, resumed)
  assert tiny_runs.rows(resumed) == tiny_runs.rows(straight)
  assert_equal(trained(trainer, resumed), trained(trainer, straight))
  # But a fresh one has.
  with pytest.raises(InputError, match="holds no run of seed 0"):
    loop.train_seed(trainer, 0, tmp_path / "fresh")


def test_a_backbone_that_stays_as_it_is(source, made, digits, tmp_path):
  factor = {"optimizer.backbone_learning_rate_factor": 0.0}
  trainer = made(digits, **factor)
  run = tmp_path / "run"
  loop.train_seed(trainer, 0, run)
  params, statistics = trained(trainer, run)
  saved = averages(source).ema
  assert_equal(params["backbone"], saved["params"]["backbone"])
  assert_equal(statistics["backbone"], saved["batch_stats"]["backbone"])
  begun = tiny_runs.begin(trainer).params["head"]
  for name in ("kernel", "bias"):
    assert_differ(params["head"][name], begun[name])
  losses = [row["loss"] for row in tiny_runs.rows(run, "train")]
  assert np.mean(losses[-4:]) < 0.9 * losses[0]


def test_a_run_is_known_by_what_it_starts_from(source, made, digits, tmp_path):
  parent, _ = source
  facts = json.loads((parent / "seed=0" / "config.json").read_text())
  moved = shutil.copytree(parent, tmp_path / "moved")
  here = [made(digits, init_from=str(p)).setup.config for p in (parent, moved)]
  assert [config.init_hash for config in here] == [facts["hash"]] * 2
  # One run for all seeds is not that of each seed.
  one = made(digits, init_from=str(parent / "seed=1"), seeds=(0, 1)).setup
  assert one.config.init_hash == f"{facts['hash']}/seed=1"
  known = made(digits, init_hash=facts["hash"]).setup
  assert known.config.init_hash == facts["hash"]


def test_a_state_that_is_cut_over_devices(source, made, digits):
  trainer = made(digits, **{"mesh.fsdp": 2, "devices": 2})
  begun, _ = two_stage.start(
    trainer.setup.config, tiny_runs.begin(trainer), 0, None
  )
  kernel = begun.params["backbone"]["Dense_0"]["kernel"]
  assert {shard.data.shape for shard in kernel.addressable_shards} == {(32, 16)}
  saved = averages(source).ema["params"]["backbone"]
  assert_equal(jax.device_get(begun.params["backbone"]), saved)


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    (
      {"init_from": "no/such/place"},
      "config.init_from='no/such/place' holds no run of seed 0 (neither",
    ),
    ({"init_from": "no.safetensors"}, "no such file: no.safetensors"),
    (
      {"init_from": "no.safetensors", "init_checkpoint": "best"},
      "config.init_checkpoint='best' is for runs, and config.init_from=",
    ),
    ({"seeds": (0, 2)}, "holds no run of seed 2 (neither config.json nor"),
    ({"init_hash": "0123abcd"}, " is 0123abcd and "),
    (
      {"init_parts": "all"},
      "has another model (head.batch_norm: True there, False here; head.l2",
    ),
    (
      {"model.name": "resnet8"},
      "has another model (model.name: 'tiny_runs:Tiny' there, 'resnet8' here)",
    ),
    (
      {"method": "crt", "init_parts": "all"},
      "config.init_parts='all' does nothing with config.method='crt'",
    ),
    (
      {"method": "crt", "init_checkpoint": "best"},
      "config.init_checkpoint='best' does nothing with config.method='crt'",
    ),
  ],
)
def test_bad_input(made, digits, fields, message):
  with pytest.raises(InputError) as caught:
    made(digits, **fields)
  assert message in str(caught.value)
  assert "\n" not in str(caught.value)


def test_shapes_that_differ(source, made, digits, pairs):
  def refused(dataset, *arguments, **fields):
    with pytest.raises(InputError) as caught:
      made(dataset, *arguments, **fields)
    return str(caught.value).partition("/12 is of another model ")[2]

  # Other classes are another head.
  assert refused(digits, "etf_ce", init_parts="all") == (
    "(etf/head/prototypes: [16, 5] there, [16, 10] here): set"
    " config.init_parts='backbone'"
  )
  # This backbone, unlike a convolutional one, has a weight for each pixel.
  assert refused(digits, **{"augment.crop_size": 6}) == (
    "(params/backbone/Dense_0/kernel: [64, 16] there, [36, 16] here)"
  )


def test_an_unfinished_run(source, made, digits, tmp_path):
  place = shutil.copytree(source[0] / "seed=0", tmp_path / "copy")
  lines = (place / "metrics.jsonl").read_text().splitlines()
  (place / "metrics.jsonl").write_text("\n".join(lines[:-1]) + "\n")
  with pytest.raises(InputError, match=r"has not finished \(epoch 3\): repeat"):
    made(digits, init_from=str(place))
  (place / "metrics.jsonl").write_text("\n".join(lines) + "\n")
  shutil.rmtree(place / "checkpoints")
  with pytest.raises(
    InputError, match="has no last checkpoint, checkpoints/12"
  ):
    made(digits, init_from=str(place))


def test_a_damaged_checkpoint(source, made, digits, tmp_path):
  place = shutil.copytree(source[0] / "seed=0", tmp_path / "copy")
  trainer = made(digits, init_from=str(place))
  files = (place / "checkpoints").glob("12/default/d/*")
  data = max(files, key=lambda path: path.stat().st_size)
  content = bytearray(data.read_bytes())
  content[len(content) // 2] ^= 1
  data.write_bytes(content)
  with pytest.raises(InputError) as caught:
    begin(trainer)
  said = str(caught.value)
  assert said.startswith("config.init_from: ")
  assert "/checkpoints/12 cannot be read (" in said
  assert "by its SHA-256): copy it again, " in said
  assert said.endswith(", or take config.init_checkpoint=best")
