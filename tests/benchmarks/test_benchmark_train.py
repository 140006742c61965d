# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Timing of the train step and of runs around it."""

import json
import re
import sys

import jax
import numpy as np
import pytest
import tiny_runs

from etf_jax import benchmark, data
from etf_jax.benchmarks import run as runs
from etf_jax.benchmarks import steps, train
from etf_jax.errors import InputError
from etf_jax.training.setup import make_setup, make_trainer

pytestmark = pytest.mark.slow

FIELDS = (
  "--config.model.name=tiny_runs:Tiny",
  "--config.devices=1",
  "--config.augment.mixup_alpha=1.0",
  "--config.report.tensorboard=False",
  "--config.report.html=False",
  "--config.collapse.splits=()",
  "--config.checkpoint.best=False",
)
PACKED = "packing: 2 seeds together / one after the other"
RATIOS = {
  "augmentation: step / frozen batch": ("step", "frozen batch", 1),
  "calls: step / 1 step a call": ("step", "1 step a call", 1),
  PACKED: ("2 seeds together", "step", 2),
}


@pytest.fixture(scope="module")
def report(digits_dir, tmp_path_factory):
  """Results and output of `train` of a tiny network, three steps a call."""
  file = tmp_path_factory.mktemp("benchmark") / "train.json"
  with pytest.MonkeyPatch.context() as patch:
    lines = []
    patch.setattr("builtins.print", lambda *words: lines.extend(words))
    patch.syspath_prepend(tiny_runs.__file__.rpartition("/")[0])
    patch.setenv("PYTHONPATH", tiny_runs.__file__.rpartition("/")[0])
    code = benchmark.main(
      [
        "train",
        *FIELDS,
        f"--config.data.data_dir={digits_dir}",
        "--config.steps_per_call=3",
        "--pack_seeds=2",
        "--epochs=4",
        "--blocks=3",
        "--seconds=0.02",
        "--warmup=1",
        f"--json={file}",
      ]
    )
  assert code == 0, lines
  return json.loads(file.read_text()), "\n".join(lines)


def test_report_has_the_arms_and_their_ratios(report):
  written, printed = report
  _, row = written["results"]
  assert row["part"] == "step"
  assert (row["model"], row["method"]) == ("tiny_runs:Tiny", "etf_dr")
  assert (row["batch_size"], row["image_shape"]) == (128, [8, 8, 1])
  assert row["steps_per_call"] == 3
  for times in row["arms"].values():
    assert 0 < times["ms_min"] <= times["ms"] <= times["ms_max"]
  assert set(row["ratios"]) == set(RATIOS)
  for name, (over, under, number) in RATIOS.items():
    found = {key: number * x for key, x in row["ratios"][name].items()}
    # Of the same blocks, so it lies between the ratios of the extremes.
    arms = row["arms"][over], row["arms"][under]
    assert arms[0]["ms_min"] / arms[1]["ms_max"] <= found["ratio_min"]
    assert found["ratio_min"] <= found["ratio"] <= found["ratio_max"]
    assert found["ratio_max"] <= arms[0]["ms_max"] / arms[1]["ms_min"]
    assert f"| {name} | {found['ratio'] / number:.3f} (" in printed
  assert "On a CPU only the ratios say something." in printed
  assert written["environment"]["load"] >= 0


def test_limits_are_those_of_the_step(report):
  _, row = report[0]["results"]
  limits = row["limits"]
  # 64 pixels to 16 units and back, 16 features against 10 classes; the rest of
  # a step is small beside it.
  products = 2 * 128 * 16 * (2 * 64 + 10)
  assert products < limits["flops"] < 3 * products
  assert limits["compute_ms"] == pytest.approx(
    1e3 * limits["flops"] / limits["flops_per_second"]
  )
  assert limits["memory_ms"] == pytest.approx(
    1e3 * limits["bytes"] / limits["bytes_per_second"]
  )


def test_runs_are_timed_from_their_start(report):
  written, printed = report
  row, step = written["results"]
  assert (row["part"], row["epochs"], row["steps"]) == ("run", 4, 16)
  assert (row["epoch_steps"], row["full_steps"]) == (4, 240)
  order = ["imported", "data", "first_step", "second_epoch"]
  order += ["last_epoch", "last_step"]
  for kind in ("cold", "warm"):
    seconds = [row[kind]["seconds"][name] for name in [*order, "ended"]]
    assert seconds == sorted(seconds)
    assert seconds[0] > 0
    assert row[kind]["compiled"] > 0
  cold, warm = (row[kind]["seconds"] for kind in ("cold", "warm"))
  assert row["warm_over_cold"] == warm["first_step"] / cold["first_step"]
  step_seconds = step["arms"]["step"]["ms"] / 1e3
  assert row["overhead"] == pytest.approx(warm["ended"] / (16 * step_seconds))
  assert f"| whole run, warm / its steps | {row['overhead']:.3f} |" in printed


def test_nothing_is_compiled_again_after_the_first_epoch(report):
  row, _ = report[0]["results"]
  assert row["cold"]["again"] == row["warm"]["again"] == []
  assert row["again"] == 0


def test_a_run_that_compiles_again_is_caught(digits_dir, tmp_path, monkeypatch):
  (tmp_path / "forgetful.py").write_text(
    "import jax, numpy as np\n"
    "class Tracker:\n"
    "  def __init__(self, config, workdir): pass\n"
    "  def write(self, row):\n"
    "    def planted(x): return x + len(row)\n"
    "    jax.jit(planted)(np.zeros(3, np.int32))\n"
    "  def close(self): pass\n"
  )
  monkeypatch.syspath_prepend(tmp_path)
  # Put back what `runs.main` replaces.
  monkeypatch.setattr("etf_jax.training.train.make_trainer", make_trainer)
  code = runs.main(
    [
      str(tmp_path / "answer.json"),
      "4",
      "--config=etf_jax:digits_lt",
      *FIELDS,
      f"--config.data.data_dir={digits_dir}",
      "--config.report.tracker=forgetful:Tracker",
      f"--workdir={tmp_path / 'run'}",
    ]
  )
  assert code == 0
  found = json.loads((tmp_path / "answer.json").read_text())
  assert set(found["again"]) == {"planted"}


@pytest.mark.parametrize(
  ("says", "line"),
  [("", "no message"), ("warning\\nerror: a full disk", "a full disk")],
)
def test_a_run_that_fails_says_why(says, line, tmp_path, monkeypatch):
  failing = tmp_path / "python"
  failing.write_text(f"#!/bin/sh\nprintf '{says}' >&2\nexit 2\n")
  failing.chmod(0o755)
  monkeypatch.setattr(sys, "executable", str(failing))
  with pytest.raises(InputError) as error:
    runs.timed([], 4, tmp_path)
  assert str(error.value) == f"a run ended with exit code 2: {line}"


def test_compilations_are_counted_by_name():
  def counted(x):
    return x * 3

  program = jax.jit(counted)
  three, four = np.zeros(3, np.float32), np.zeros(4, np.float32)
  with runs.Compilations(clock=iter(range(100)).__next__) as found:
    for x in (three, three, four, three):
      program(x)
  program(np.zeros(5, np.float32))
  names = [name for _, name in found.found]
  assert names.count("counted") == 2
  assert len(found.between(-1, 99)) == len(names)
  assert found.between(99, 100) == []


def test_overhead_by_hand():
  seconds = {"second_epoch": 7, "last_epoch": 9, "last_step": 10, "ended": 12}
  row = {
    "warm": {"seconds": seconds},
    "steps": 30,
    "epoch_steps": 10,
    "full_steps": 100,
  }
  # The second of three epochs took 2 seconds; seven more take 14.
  assert train.overhead(row, 0.1) == {
    "overhead": pytest.approx(12 / 3),
    "full_overhead": pytest.approx((12 + 14) / 10),
  }


def test_frozen_steps_do_not_look_at_new_images(digits_dir):
  config = tiny_runs.config(digits_dir, "ce")
  config.augment.crop_padding = 1
  config.steps_per_call = 2
  dataset = data.load(config.data)
  plan = make_setup(config, dataset)
  held = steps.resident.put(dataset.train, plan.mesh)
  run = steps.frozen(plan, dataset, held, 2, seed=0)
  losses = [float(run.go(number).loss) for number in (2, 18, 20, 20)]
  # One batch is learned by heart, which the stream of them is not.
  assert losses[-1] < 0.2 * losses[0]
  assert int(run.state().step) == 60


def test_ratios_by_hand():
  taken = {
    "step": [2.0, 4.0, 8.0],
    "frozen batch": [1.0, 2.0, 2.0],
    "4 seeds together": [4.0, 8.0, 8.0],
  }
  found = train.ratios(taken, [4])
  assert found == {
    "augmentation: step / frozen batch": {
      "ratio": 2.0,
      "ratio_min": 2.0,
      "ratio_max": 4.0,
    },
    # Of four runs, 2, 2 and 1 times as long as one.
    "packing: 4 seeds together / one after the other": {
      "ratio": 0.5,
      "ratio_min": 0.25,
      "ratio_max": 0.5,
    },
  }


def test_whole_batches_by_hand():
  labels = np.array([0, 1, 0, 2, 0, 0, 1], np.int32)
  images = np.arange(7, dtype=np.uint8).reshape(7, 1, 1, 1)
  split = data.Split(images, labels)
  dataset = data.Dataset(
    *("made", 3, ("a", "b", "c"), split, None, split, np.array([4, 2, 1])),
    *((0.5,), (0.5,), (1, 1, 1)),
  )
  cut = steps.whole_batches(dataset, 3)
  # Of seven images one is too many: the first of the largest class.
  assert cut.train.images.ravel().tolist() == [1, 2, 3, 4, 5, 6]
  assert cut.class_counts.tolist() == [3, 2, 1]
  for size in (7, 100):
    assert steps.whole_batches(dataset, size) is dataset


@pytest.mark.parametrize(
  ("options", "message"),
  [
    (["--epochs=3"], "--epochs=3: the first epoch compiles"),
    (["--config.batch=3"], "config.batch is unknown; did you mean"),
  ],
)
def test_wrong_options_are_one_line(options, message, capsys):
  assert benchmark.main(["train", *options]) == 2
  printed = capsys.readouterr()
  assert printed.out == ""
  assert re.match(f"error: {re.escape(message)}", printed.err)
  assert printed.err.count("\n") == 1
