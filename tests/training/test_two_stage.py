# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""cRT and tau-normalisation: what they keep, what they change, what they
refuse.
"""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs

from etf_jax import data
from etf_jax.data import augment
from etf_jax.errors import InputError
from etf_jax.reporting import results
from etf_jax.training import loop
from etf_jax.training.checkpoints import two_stage
from etf_jax.training.config import resolve_config
from etf_jax.training.setup import make_trainer

# With a projector and BatchNorm before the classifier, which are kept too.
FIELDS = {
  "data.validation_fraction": 0.2,
  "batch_size": 97,  # a fourth of the images that are left
  "head.projector": 12,
  "head.batch_norm": True,
}


@pytest.fixture(scope="module")
def dataset(digits_dir):
  return data.load(tiny_runs.config(digits_dir, "ce", FIELDS).data)


@pytest.fixture(scope="module")
def first(digits_dir, dataset, tmp_path_factory):
  """The directory above the first stages of two seeds, and their trainer."""
  config = tiny_runs.config(digits_dir, "ce", FIELDS | {"seeds": (0, 1)})
  trainer = make_trainer(config, dataset)
  parent = tmp_path_factory.mktemp("first")
  for seed in (0, 1):
    loop.train_seed(trainer, seed, parent / f"seed={seed}")
  return parent, trainer


@pytest.fixture(scope="module")
def second(digits_dir, first):
  """The config of a second stage on the first."""

  def make(method, **fields):
    fields = FIELDS | {"init_from": str(first[0])} | fields
    return tiny_runs.config(digits_dir, method, fields)

  return make


@pytest.fixture(scope="module")
def crt(second, dataset):
  return make_trainer(second("crt", seeds=(0, 1)), dataset)


@pytest.mark.slow
def test_crt_learns_the_classifier_and_nothing_else(first, crt, tmp_path):
  parent, source = first
  straight = tmp_path / "straight"
  loop.train_seed(crt, 1, straight)
  like = tiny_runs.begin(crt, seed=1)
  params, statistics = tiny_runs.variables(straight, like)
  old, old_statistics = tiny_runs.variables(
    parent / "seed=1", tiny_runs.begin(source, seed=1)
  )
  # Parameters and statistics of everything before the classifier: bit by bit.
  begin = jax.device_get(like.params["head"])
  for name in ("kernel", "bias"):
    learned, before = params["head"].pop(name), old["head"].pop(name)
    assert not np.allclose(learned, before, atol=1e-3)
    assert not np.allclose(learned, begin[name], atol=1e-3)
  assert set(params["head"]) == {"projector", "norm"}
  jax.tree.map(np.testing.assert_array_equal, params, old)
  jax.tree.map(np.testing.assert_array_equal, statistics, old_statistics)
  assert jax.tree.leaves(statistics)

  losses = [row["loss"] for row in tiny_runs.rows(straight, "train")]
  assert np.mean(losses[-4:]) < 0.9 * losses[0]

  resumed = tiny_runs.interrupted(straight, tmp_path / "resumed", step=8)
  loop.train_seed(crt, 1, resumed)
  assert tiny_runs.rows(resumed) == tiny_runs.rows(straight)


@pytest.mark.slow
def test_crt_begins_with_the_classifier_of_a_fresh_model(crt):
  fresh = tiny_runs.begin(crt)
  begun, facts = two_stage.start(crt.setup.config, fresh, 0, crt.evaluate)
  assert facts == {}
  assert begun.step == 0
  kernel = fresh.params["head"]["kernel"]
  np.testing.assert_array_equal(begun.params["head"]["kernel"], kernel)
  projector = fresh.params["head"]["projector"]["kernel"]
  assert not np.allclose(
    begun.params["head"]["projector"]["kernel"], projector, atol=1e-3
  )


@pytest.mark.slow
def test_crt_draws_classes_uniformly(crt, dataset):
  orders = [crt.setup.sampler.order(0, epoch) for epoch in range(60)]
  assert {order.shape for order in orders} == {(len(dataset.train.labels),)}
  drawn = dataset.train.labels[np.concatenate(orders)]
  share = np.bincount(drawn, minlength=10) / drawn.size
  # Five standard deviations of a share of .1 in 23,000 draws.
  np.testing.assert_allclose(share, 0.1, atol=5 * (0.09 / drawn.size) ** 0.5)


@pytest.mark.slow
def test_tau_norm_takes_the_best_tau(second, first, dataset, tmp_path):
  parent, source = first
  grid = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
  config = second(
    "tau_norm", **{"loss.tau_grid": grid, "checkpoint.best": True}
  )
  trainer = make_trainer(config, dataset)
  assert trainer.setup.total_steps == 0
  run = tmp_path / "run"
  final = loop.train_seed(trainer, 0, run)

  params, statistics = tiny_runs.variables(
    parent / "seed=0", tiny_runs.begin(source)
  )
  variables = {"params": params, "batch_stats": statistics}
  kernel = params["head"]["kernel"].astype(np.float64)

  def features(split):
    images = augment.normalize(split.images, dataset.mean, dataset.std)
    output = source.setup.model.apply(variables, images)
    return np.asarray(output.features, np.float64)

  def scaled(tau):
    return kernel / np.linalg.norm(kernel, axis=0) ** tau

  def accuracy(split, tau):
    predicted = np.argmax(features(split) @ scaled(tau), axis=1)
    return np.mean(predicted == split.labels)

  def balanced_accuracy(split, tau):
    right = np.argmax(features(split) @ scaled(tau), axis=1) == split.labels
    return np.mean([right[split.labels == k].mean() for k in range(10)])

  expected = [balanced_accuracy(dataset.validation, tau) for tau in grid]
  assert len(set(expected)) > 2
  assert final["tau_accuracies"] == pytest.approx(expected)
  assert final["tau"] == grid[int(np.argmax(expected))]
  assert final["last"]["accuracy"] == pytest.approx(
    accuracy(dataset.test, final["tau"])
  )
  assert final["best_selected_on"] == "validation"
  # The checkpoint holds a model like any other.
  like = tiny_runs.begin(trainer)
  kept, kept_statistics = tiny_runs.variables(run, like)
  np.testing.assert_allclose(
    kept["head"].pop("kernel"), scaled(final["tau"]), rtol=1e-5
  )
  assert not kept["head"].pop("bias").any()
  for name in ("kernel", "bias"):
    params["head"].pop(name)
  jax.tree.map(np.testing.assert_array_equal, kept, params)
  jax.tree.map(np.testing.assert_array_equal, kept_statistics, statistics)
  assert [p.name for p in (run / "best").iterdir()] == ["0"]
  assert "tau_norm  last 0" in results.text([run, parent])

  # A finished run is left alone; one killed before its last row repeats it.
  rows = tiny_runs.rows(run)
  kinds = ["collapse", "collapse", "eval", "eval", "final"]
  assert [row["kind"] for row in rows] == kinds
  before = (run / "metrics.jsonl").read_bytes()
  assert loop.train_seed(trainer, 0, run)["tau"] == final["tau"]
  assert (run / "metrics.jsonl").read_bytes() == before
  (run / "metrics.jsonl").write_bytes(b"\n".join(before.split(b"\n")[:-2]))
  loop.train_seed(trainer, 0, run)
  assert tiny_runs.rows(run) == rows


def test_tau_normalize_by_hand():
  kernel = jnp.array([[3.0, 0.0], [4.0, 2.0]])
  for tau, expected in (
    (0, [[3, 0], [4, 2]]),
    (1, [[0.6, 0], [0.8, 1]]),
    (2, [[0.12, 0], [0.16, 0.5]]),
  ):
    np.testing.assert_allclose(two_stage.tau_normalize(kernel, tau), expected)


@pytest.mark.slow
def test_a_run_is_known_by_what_it_starts_from(
  second, first, dataset, tmp_path
):
  parent, _ = first
  moved = shutil.copytree(parent, tmp_path / "moved")
  trainer = make_trainer(second("tau_norm"), dataset)
  run = tmp_path / "run"
  loop.train_seed(trainer, 0, run)
  recorded = json.loads((run / "config.json").read_text())["config"]
  source = json.loads((parent / "seed=0" / "config.json").read_text())
  assert recorded["init_hash"] == source["hash"]
  # The same run elsewhere, named by its own directory, is the same run ...
  here = second("tau_norm", init_from=str(moved / "seed=0"))
  loop.train_seed(make_trainer(here, dataset), 0, run)
  # ... and another one is not.
  source["hash"] = "0123abcd"
  (moved / "seed=0" / "config.json").write_text(json.dumps(source))
  with pytest.raises(InputError, match="there, '0123abcd' here"):
    loop.train_seed(make_trainer(here, dataset), 0, run)


def edit(path, **changes):
  """Replace top-level fields of a JSON file."""
  path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def refused(config, dataset):
  with pytest.raises(InputError) as caught:
    make_trainer(config, dataset)
  assert "\n" not in str(caught.value)
  return str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(
  ("fields", "message"),
  [
    ({"init_from": None}, "starts from a trained model: set config.init_from"),
    ({"init_hash": "0123abcd"}, ", not 0123abcd: all seeds must start from"),
    ({"data.imbalance": 0.1}, "(data.imbalance: 0.05 there, 0.1 here): make"),
    ({"data.validation_fraction": 0.1}, "fraction: 0.2 there, 0.1 here): make"),
    ({"model.width": 2}, "(model.width: 1 there, 2 here)"),
    ({"head.projector": 8}, "(head.projector: 12 there, 8 here)"),
    ({"head.batch_norm": False}, "(head.batch_norm: True there, False here)"),
    ({"dtype": "bfloat16"}, "(dtype: 'float32' there, 'bfloat16' here)"),
  ],
)
def test_bad_input(second, dataset, fields, message):
  assert message in refused(second("crt", **fields), dataset)


@pytest.mark.slow
def test_tau_norm_needs_validation_images(digits_dir, first):
  config = tiny_runs.config(
    digits_dir, "tau_norm", {"init_from": str(first[0])}
  )
  line = refused(config, data.load(config.data))
  assert (
    "set config.data.validation_fraction in this run and in the one" in line
  )


@pytest.mark.slow
def test_runs_that_cannot_be_started_from(second, first, dataset, tmp_path):
  parent, _ = first

  def line(damage):
    place = shutil.copytree(parent / "seed=0", tmp_path / damage.__name__)
    damage(place)
    return refused(second("crt", init_from=str(place)), dataset)

  def another_head(place):
    facts = json.loads((place / "config.json").read_text())
    facts["config"]["head"]["name"] = "etf"
    edit(place / "config.json", **facts)

  def other_images(place):
    counts = json.loads((place / "class_counts.json").read_text())
    counts[0] += 1
    (place / "class_counts.json").write_text(json.dumps(counts))

  def another_seed(place):
    edit(place / "config.json", seed=7)

  assert "(head.name: 'etf' there, 'linear' here)" in line(another_head)
  assert "images, and digits now has" in line(other_images)
  assert "is the run of seed 7, not 0" in line(another_seed)


@pytest.mark.slow
def test_older_configs_may_lack_a_field_that_is_off(second, first, tmp_path):
  parent, _ = first
  facts = json.loads((parent / "seed=0" / "config.json").read_text())
  del facts["config"]["head"]["l2_normalize"]
  place = shutil.copytree(parent / "seed=0", tmp_path / "older")
  edit(place / "config.json", **facts)
  config = second("crt", init_from=str(place))
  dataset = data.load(config.data)
  resolved = resolve_config(config, 10)
  assert (
    two_stage.resolve(resolved, dataset, (8, 8, 1)).init_hash == facts["hash"]
  )
