# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Several learning rates in one program: each is the run it would be alone.

In float64, which tells rounding from mistakes. Momentum, weight decay, a
schedule and a rate of the backbone's own are on, since all must scale alike.
"""

import json
import shutil

import jax
import pytest
import tiny_runs

from etf_jax import data
from etf_jax.errors import InputError
from etf_jax.runs import directory as run_directory
from etf_jax.training import experiment as experiments
from etf_jax.training import loop, train
from etf_jax.training import plan as plans
from etf_jax.training.parallel import distributed

pytestmark = pytest.mark.slow

RATES, SEEDS = (0.05, 0.2), (0, 3)
NAMES = [(rate, seed) for rate in RATES for seed in SEEDS]
TOLERANCE = 1e-12
FIELDS = {
  "dtype": "float64",
  "model.name": "test_packing:Wide",
  "total_steps": 8,
  "eval.every_steps": 8,
  "report.log_every_steps": 4,
  "collapse.splits": (),
  "ema_decay": 0.9,
  "optimizer.nesterov": True,
  "optimizer.weight_decay": 0.01,
  "optimizer.backbone_learning_rate_factor": 0.5,
  "schedule.name": "cosine",
  "schedule.warmup_epochs": 2.0,
}
SWEEP = {"learning_rates": RATES, "seeds": SEEDS}
PACKED = {"pack_seeds": 4, "steps_per_call": 3, "devices": 2, "mesh.seed": 2}


@pytest.fixture(scope="module", autouse=True)
def float64():
  # linen promotes float64 with float32 itself.
  with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
    yield


@pytest.fixture(scope="module")
def build(digits_dir):
  """Fields -> an experiment."""
  dataset = data.load(tiny_runs.config(digits_dir, "ce", FIELDS).data)

  def made(**fields):
    config = tiny_runs.config(digits_dir, "ce", FIELDS | fields)
    return experiments.create(config, dataset)

  return made


@pytest.fixture(scope="module")
def swept(build):
  """The experiment of all runs, one after another."""
  return build(**SWEEP)


@pytest.fixture(scope="module")
def packed(build):
  """The same on two devices, two runs on each."""
  return build(**SWEEP, **PACKED)


@pytest.fixture(scope="module")
def single(build):
  """The experiment of each rate by itself."""
  return {rate: build(**{"optimizer.learning_rate": rate}) for rate in RATES}


@pytest.fixture(scope="module")
def alone(single, tmp_path_factory):
  """The directory of each run, trained by itself."""
  places = below(tmp_path_factory.mktemp("alone"))
  for (rate, seed), place in places.items():
    loop.train(single[rate], seed, place)
  return places


def below(directory):
  return tiny_runs.below(directory, "learning_rate", NAMES)


def assert_same_runs(actual, expected, single):
  tiny_runs.assert_same_runs(actual, expected, single, TOLERANCE)


def recorded(place):
  return json.loads((place / "config.json").read_text())


def test_packed_over_devices(packed, single, alone, tmp_path):
  places = below(tmp_path)
  loop.train_together(packed, places)
  assert_same_runs(places, alone, single)
  losses = [tiny_runs.rows(p, "train")[-1]["loss"] for p in places.values()]
  assert len({round(loss, 3) for loss in losses}) == 4
  for (rate, seed), place in places.items():
    facts, expected = recorded(place), recorded(alone[rate, seed])
    assert facts["config"]["optimizer"]["learning_rate"] == rate
    assert facts["config"]["learning_rates"] == []
    assert (facts["hash"], facts["seed"]) == (expected["hash"], seed)


def test_the_command_names_and_reports_them(
  digits_dir, alone, tmp_path, capsys
):
  places = below(tmp_path)
  places = {(rate, 3): places[rate, 3] for rate in RATES}
  for name, place in places.items():
    shutil.copytree(alone[name], place)
  swept = SWEEP | PACKED | {"seeds": (3,)}
  made = tiny_runs.config(digits_dir, "ce", FIELDS | swept)
  assert train.run(made, str(tmp_path)) == list(places.values())
  said = capsys.readouterr().out
  for rate in RATES:
    assert f"ce learning rate {rate} seed 3 in {places[rate, 3]}\n" in said
  table = said[said.rindex(" seed 3 in ") :]
  page = (tmp_path / "report.html").read_text()
  for rate in RATES:
    assert f"ce (optimizer.learning_rate={rate})" in table
    assert f"ce (optimizer.learning_rate={rate})" in page


def test_one_after_another_compile_once(swept, single, alone, tmp_path):
  places = below(tmp_path)
  compiled = tiny_runs.train_one_after_another(swept, places)
  assert compiled == [1, 0, 0, 0]
  assert_same_runs(places, alone, single)
  with tiny_runs.compilations() as again:
    plans.lower_step(swept, swept.open_feed).compile()
  assert again == []  # What is looked at before a run is what trains.


def test_a_packed_run_goes_on_alone(packed, single, alone, tmp_path):
  places = below(tmp_path)
  with pytest.raises(distributed.Preempted, match=r"saved at step 3$"):
    loop.train_together(tiny_runs.terminated(packed, 1), places)
  last = NAMES[-1]
  loop.train(single[last[0]], last[1], places[last])
  # The others go on together, and of this one the result is there.
  loop.train_together(packed, places)
  assert_same_runs(places, alone, single)


def test_without_a_directory_each_is_where_it_would_be_alone(swept, single):
  for name in NAMES:
    own, seed = experiments.of_run(swept, name)
    place = run_directory.choose(
      own.config, None, seed, {"learning_rate": name[0]}
    )
    assert place == run_directory.choose(single[name[0]].config, None, seed)


def test_a_directory_of_a_single_run_is_refused(digits_dir, alone):
  made = tiny_runs.config(digits_dir, "ce", FIELDS | SWEEP)
  with pytest.raises(InputError) as error:
    train.run(made, str(alone[NAMES[0]]))
  assert str(error.value) == (
    f"--workdir={alone[NAMES[0]]}: holds the run of one seed; give another"
    " --workdir for config.learning_rates"
  )


def test_a_loss_that_is_not_finite_tells_the_rate(swept, tmp_path):
  with pytest.raises(InputError, match=r"of seed 0 .*\.learning_rate=1e\+200,"):
    loop.train_together(swept, {(1e200, 0): tmp_path / "run"})


MUST = " must be different finite numbers > 0, as in 0.1,0.2; or () for none"


@pytest.mark.parametrize(
  ("method", "rates", "message"),
  [
    ("ce", (0.1, 0.1), MUST),
    ("ce", (1, 1.0), MUST),
    ("ce", (0.1, 0.0), MUST),
    ("ce", (-0.1,), MUST),
    ("ce", (float("nan"),), MUST),
    ("ce", (float("inf"),), MUST),
    ("ce", ("0.1",), MUST),
    ("ce", (True,), MUST),
    (
      "tau_norm",
      (0.1,),
      " does nothing with config.method='tau_norm', which trains nothing: leave"
      " it out",
    ),
  ],
)
def test_bad_input(digits_dir, tmp_path, method, rates, message):
  made = tiny_runs.config(digits_dir, method, {"learning_rates": rates})
  with pytest.raises(InputError) as error:
    train.run(made, str(tmp_path / "run"))
  assert str(error.value) == f"config.learning_rates={rates!r}{message}"
  assert not (tmp_path / "run").exists()
