# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Several imbalances in one program: each is the run it would be alone.

In float64, which tells rounding from mistakes. LDAM-DRW's margins and weights
both follow the class counts; the runs stop being alike in the first step.
"""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs

from etf_jax import data
from etf_jax.errors import InputError
from etf_jax.models import Output
from etf_jax.training import experiment as experiments
from etf_jax.training import loop, methods, objectives, train
from etf_jax.training.parallel import distributed

pytestmark = pytest.mark.slow

IMBALANCES, SEEDS = (0.05, 0.3), (0, 3)
NAMES = [(imbalance, seed) for imbalance in IMBALANCES for seed in SEEDS]
TOLERANCE = 1e-12
FIELDS = {
  "dtype": "float64",
  "model.name": "test_packing:Wide",
  "data.images": 300,
  "batch_size": 90,  # three whole batches and a rest
  "total_steps": 8,
  "eval.every_steps": 8,
  "report.log_every_steps": 4,
  "collapse.every_steps": 8,
  "collapse.splits": ("train", "test"),
  "loss.drw_start": 0.5,
}
PACKED = {"pack_seeds": 4, "steps_per_call": 2, "devices": 2, "mesh.seed": 2}
SWEEP = {"imbalances": IMBALANCES, "seeds": SEEDS}


@pytest.fixture(scope="module", autouse=True)
def float64():
  # linen promotes float64 with float32 itself.
  with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
    yield


@pytest.fixture(scope="module")
def datasets(digits_dir):
  """Of each imbalance."""
  loaded = {}
  for imbalance in IMBALANCES:
    fields = FIELDS | {"data.imbalance": imbalance}
    config = tiny_runs.config(digits_dir, "ldam_drw", fields)
    loaded[imbalance] = data.load(config.data)
  return loaded


@pytest.fixture(scope="module")
def build(digits_dir, datasets):
  """Fields -> an experiment."""

  def made(method="ldam_drw", **fields):
    config = tiny_runs.config(digits_dir, method, FIELDS | fields)
    chosen = config.imbalances or (config.data.imbalance,)
    return experiments.create(config, *_first_and_others(datasets, chosen))

  return made


def _first_and_others(datasets, chosen):
  first, *others = (datasets[imbalance] for imbalance in chosen)
  return first, others


@pytest.fixture(scope="module")
def packed(build):
  """Two runs on each of two devices."""
  return build(**SWEEP, **PACKED)


@pytest.fixture(scope="module")
def single(build):
  """The experiment of each imbalance by itself."""
  return {value: build(**{"data.imbalance": value}) for value in IMBALANCES}


@pytest.fixture(scope="module")
def alone(single, tmp_path_factory):
  """The directory of each run, trained by itself."""
  places = below(tmp_path_factory.mktemp("alone"))
  for (imbalance, seed), place in places.items():
    loop.train(single[imbalance], seed, place)
  return places


def below(directory):
  return tiny_runs.below(directory, "imbalance", NAMES)


def assert_same_runs(actual, expected, single):
  tiny_runs.assert_same_runs(actual, expected, single, TOLERANCE)
  for name, place in expected.items():
    rows, like = (
      tiny_runs.rows(directory, "collapse")
      for directory in (actual[name], place)
    )
    assert [row["split"] for row in rows] == ["train", "test"]
    np.testing.assert_allclose(
      tiny_runs.numbers(rows), tiny_runs.numbers(like), rtol=1e-8, atol=1e-9
    )
    counts = [
      (p / "class_counts.json").read_text() for p in (actual[name], place)
    ]
    assert counts[0] == counts[1]


def test_packed_over_devices(packed, single, alone, tmp_path):
  places = below(tmp_path)
  loop.train_together(packed, places)
  assert_same_runs(places, alone, single)
  losses = [tiny_runs.rows(p, "train")[-1]["loss"] for p in places.values()]
  assert len({round(loss, 3) for loss in losses}) == 4
  for (imbalance, seed), place in places.items():
    facts, expected = (
      json.loads((p / "config.json").read_text())
      for p in (place, alone[imbalance, seed])
    )
    assert facts["config"]["data"]["imbalance"] == imbalance
    assert facts["config"]["imbalances"] == []
    assert (facts["hash"], facts["seed"]) == (expected["hash"], seed)


def test_a_packed_run_goes_on_alone(packed, single, alone, tmp_path):
  places = below(tmp_path)
  with pytest.raises(distributed.Preempted, match=r"saved at step 2$"):
    loop.train_together(tiny_runs.terminated(packed, 1), places)
  last = NAMES[-1]
  loop.train(single[last[0]], last[1], places[last])
  # The others go on together, and of this one the result is there.
  loop.train_together(packed, places)
  assert_same_runs(places, alone, single)


def test_with_rates_one_after_another(build, tmp_path):
  rates = (0.05, 0.1)
  swept = build(imbalances=IMBALANCES, learning_rates=rates)
  names = [(x, rate, 3) for x in IMBALANCES for rate in rates]
  places = {name: tmp_path / str(name) for name in names}
  compiled = tiny_runs.train_one_after_another(swept, places)
  # One program for whole batches, one for the rest, and never again.
  assert compiled == [2, 0, 0, 0]
  one = build(**{"data.imbalance": 0.3, "optimizer.learning_rate": 0.05})
  loop.train(one, 3, tmp_path / "alone")
  tiny_runs.assert_same_run(
    places[0.3, 0.05, 3], tmp_path / "alone", one, TOLERANCE
  )


def test_the_command_names_and_reports_them(
  digits_dir, alone, tmp_path, capsys
):
  places = {name: below(tmp_path)[name] for name in NAMES if name[1] == 3}
  for name, place in places.items():
    shutil.copytree(alone[name], place)
  swept = SWEEP | PACKED | {"seeds": (3,)}
  made = tiny_runs.config(digits_dir, "ldam_drw", FIELDS | swept)
  assert train.run(made, str(tmp_path)) == list(places.values())
  said = capsys.readouterr().out
  table = said[said.rindex(" seed 3 in ") :]
  page = (tmp_path / "report.html").read_text()
  for (imbalance, _), place in places.items():
    assert f"ldam_drw imbalance {imbalance} seed 3 in {place}\n" in said
  # Each is compared with those of its own counts, under a heading of its own.
  for largest, smallest in ((88, 4), (51, 15)):
    header = f"300 training images, {largest} to {smallest} a class"
    assert header in table
    assert header in page


@pytest.mark.parametrize(
  "method", [m for m, facts in methods.METHODS.items() if facts.trains == "all"]
)
def test_losses_take_traced_counts(method, digits_dir):
  counts = np.array([40, 12, 5, 3])
  config = tiny_runs.config(
    digits_dir,
    method,
    {"loss.class_lengths": "global", "loss.hinge_minor_count": 5},
  )
  config = objectives.resolve(config, 4)
  rng = np.random.default_rng(0)
  features = rng.standard_normal((6, 5))
  output = Output(
    features=features / np.linalg.norm(features, axis=1, keepdims=True),
    weights=rng.standard_normal((5, 4)),
    bias=rng.standard_normal(4),
  )
  labels = np.array([0, 1, 2, 3, 3, 0], np.int32)
  # Half way, and behind the start of the deferred weights.
  context = objectives.Context(labels, None, jnp.int32(9), jnp.float64(0.9))

  def values(counts):
    return objectives.create_loss(config, counts)(output, labels, context)

  np.testing.assert_allclose(
    jax.jit(values)(counts.astype(float)), values(counts), rtol=TOLERANCE
  )


def test_cones_are_those_of_the_own_counts(build):
  fields = {"loss.hinge_minor_count": 20, "collapse.splits": ("train",)}
  swept = build("etf_hinge", imbalances=IMBALANCES, **fields)
  found = {}
  for imbalance in IMBALANCES:
    one = build("etf_hinge", **{"data.imbalance": imbalance}, **fields)
    own, _ = experiments.of_run(swept, (imbalance, 0))
    variables = tiny_runs.begin(one).eval_variables
    rows = [e.measure(variables, "train")[0] for e in (own, one)]
    assert rows[0].keys() == rows[1].keys()
    shared, expected = map(tiny_runs.numbers, rows)
    np.testing.assert_allclose(shared, expected, rtol=1e-9)
    found[imbalance] = expected
  assert (found[0.05] != found[0.3]).any()


MUST = " must be different numbers in (0, 1], as in 0.01,0.1; or () for none"


@pytest.mark.parametrize(
  ("method", "fields", "message"),
  [
    ("ce", {"imbalances": (0.1, 0.1)}, f"=(0.1, 0.1){MUST}"),
    ("ce", {"imbalances": (0.0,)}, f"=(0.0,){MUST}"),
    ("ce", {"imbalances": (1.5,)}, f"=(1.5,){MUST}"),
    ("ce", {"imbalances": ("0.1",)}, f"=('0.1',){MUST}"),
    (
      "ce",
      {"imbalances": (0.1, 0.5)},
      "=(0.1, 0.5) give epochs of 584, 1037 images, and runs of one program"
      " need equally many: set config.data.images, or give each a command of"
      " its own",
    ),
    (
      "tau_norm",
      {"imbalances": (0.1,)},
      "=(0.1,) does nothing for config.method='tau_norm', whose model comes"
      " from a run on the same images: leave it out",
    ),
    (
      "ce",
      {"imbalances": (0.1,), "data.profile": "none"},
      "=(0.1,) does nothing with config.data.profile='none': leave it out",
    ),
    (
      "ce",
      {"imbalances": (0.1,), "data.feed": "stream"},
      "=(0.1,) needs the images on the devices: leave it out, or set"
      " config.data.feed='resident'",
    ),
  ],
)
def test_bad_input(digits_dir, tmp_path, method, fields, message):
  made = tiny_runs.config(digits_dir, method, fields)
  with pytest.raises(InputError) as error:
    train.run(made, str(tmp_path / "run"))
  assert str(error.value) == f"config.imbalances{message}"
  assert not (tmp_path / "run").exists()
